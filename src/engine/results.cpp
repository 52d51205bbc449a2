#include "engine/results.hpp"

#include "engine/kept_inputs.hpp"

#include <algorithm>
#include <map>

namespace mlops::engine {

namespace {

class OwnResults final : public Results {
 public:
  OwnResults(const Pipeline& pipeline, const Workspace& workspace, Depot& depot,
             const CacheSettings& settings)
      : pipeline_(pipeline),
        workspace_(workspace),
        depot_(depot),
        cache_(pipeline, workspace, depot.objects, depot.snapshots, settings) {}

  CheckResult check(OpenFacts open, bool put_back) override {
    CheckResult result = cache_.check(std::move(open), put_back);
    if (put_back && !result.hit && !result.key.empty()) {
      std::vector<FileFact>& read = read_[result.step];
      read = result.facts.inputs;
      read.insert(read.end(), result.facts.code.begin(), result.facts.code.end());
    }
    return result;
  }

  Collection collect(const CollectJob& job) override {
    const Step& step = pipeline_.steps[static_cast<std::size_t>(job.step)];
    const std::string changed =
        job.succeeded && !job.key.empty()
            ? changed_input(read_[job.step], step, job.directory, workspace_, depot_.snapshots)
            : "";
    if (changed.empty()) return engine::collect(job, step, workspace_, &depot_);
    CollectJob once = job;
    once.key.clear();
    Collection result = engine::collect(once, step, workspace_, &depot_);
    result.notes.push_back("its input " + changed +
                           " changed while it ran: what it made is not taken for a later run");
    return result;
  }

 private:
  const Pipeline& pipeline_;
  const Workspace& workspace_;
  Depot& depot_;
  Cache cache_;
  std::map<int, std::vector<FileFact>> read_;  // what steps that run were found to read
};

}  // namespace

std::string changed_input(const std::vector<FileFact>& before, const Step& step, const std::string& directory,
                          const Workspace& workspace, store::Snapshots& snapshots) {
  for (const FileFact& fact : before) {
    const std::string path = path_of_record(workspace, fact.path);
    const bool own = std::ranges::any_of(step.outputs, [&](const Output& output) {
      const std::string made = step_path(directory, output.path);
      return made == path || path.starts_with(made + "/") || made.starts_with(path + "/");
    });
    if (own) continue;
    const auto now = snapshots.look(path);
    if ((now ? now->digest.hex() : "") != fact.sha256 || (now ? form_of(*now) : "") != fact.form)
      return fact.path;
  }
  return {};
}

std::unique_ptr<Results> make_results(const Pipeline& pipeline, const Workspace& workspace, Depot& depot,
                                      const CacheSettings& settings) {
  if (pipeline.dvc) return make_dvc_results(pipeline, workspace, depot, settings);
  return std::make_unique<OwnResults>(pipeline, workspace, depot, settings);
}

bool checks_every_step(const Pipeline& pipeline) { return pipeline.dvc.has_value(); }

bool makes_results(const Step& step, const Pipeline& pipeline) {
  return !step.outputs.empty() || !step.metrics.empty() || checks_every_step(pipeline);
}

bool makes_folders(const Pipeline& pipeline) { return !pipeline.dvc; }

}  // namespace mlops::engine
