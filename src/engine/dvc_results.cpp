// Between a DVC project (src/dvc) and the records of runs.
#include <mlops/error.hpp>

#include "db/cache.hpp"
#include "db/steps.hpp"
#include "dvc/project.hpp"
#include "engine/dvclive.hpp"
#include "engine/metric_files.hpp"
#include "engine/results.hpp"
#include "pipeline/paths.hpp"
#include "util/digest.hpp"
#include "util/files.hpp"
#include "util/log.hpp"

#include <algorithm>
#include <chrono>
#include <set>
#include <thread>

namespace mlops::engine {

namespace {

constexpr auto look_again_after = std::chrono::milliseconds(100);
constexpr std::size_t file_limit = 256u << 20;

const char* form_of(const dvc::File& file) {
  return file.md5.empty()             ? ""
         : file.md5.ends_with(".dir") ? "tree"
         : file.executable            ? "executable"
                                      : "file";
}

std::string digest_of(const dvc::File& file) { return file.md5.empty() ? "" : "md5:" + file.md5; }

Cause cause_of(const dvc::Change& change) {
  using Kind = dvc::Change::Kind;
  switch (change.kind) {
    case Kind::command: {
      StepFacts before, now;
      before.shell = now.shell = true;
      before.command = {change.before}, now.command = {change.after};
      const auto causes = compare_facts(before, now);
      return causes.empty() ? Cause{"command", "now a list of commands, or no longer", "", ""} : causes[0];
    }
    case Kind::input: return {"input", change.what, change.before, change.after};
    case Kind::param: return {"param", change.what, change.before, change.after};
    case Kind::output: return {"output", change.what, change.before, change.after};
    case Kind::missing:
      return {"missing", change.what, "", "in DVC's cache; `dvc pull` fetches it if it was pushed"};
    case Kind::always: return {"no_cache", change.what, "", ""};
    case Kind::first_run: break;
  }
  return {"first_run", "", "", ""};
}

// Metrics files as DVC has them: anything that is no metric is left alone.
class MetricsReader {
 public:
  void read(const std::string& path) {
    if (const auto live = dvclive_directory(path)) {
      if (seen_.insert(*live).second) take(read_dvclive(*live));
      return;
    }
    if (util::is_directory(path) || !seen_.insert(path).second) return;
    if (const auto text = util::read_regular_file(path, file_limit)) take(parse_metrics_file(path, *text));
  }

  void read_live_only(const std::string& path) {
    if (dvclive_directory(path)) read(path);
  }

  std::vector<MetricPoint> points;
  std::vector<std::string> problems;

 private:
  void take(ParsedMetrics parsed) {
    std::ranges::move(parsed.points, std::back_inserter(points));
    std::ranges::move(parsed.problems, std::back_inserter(problems));
  }
  std::set<std::string> seen_;
};

class DvcResults final : public Results {
 public:
  DvcResults(const Pipeline& pipeline, const Workspace& workspace, Depot& depot,
             const CacheSettings& settings)
      : pipeline_(pipeline),
        workspace_(workspace),
        depot_(depot),
        settings_(settings),
        products_(pipeline),
        project_(pipeline, depot.objects,
                 {settings.keeper, workspace.relative(pipeline.file) + " (run " + settings.run + ")"}) {}

  CheckResult check(OpenFacts open, bool put_back) override {
    const int index = open.step;
    CheckResult result;
    result.step = index;
    result.facts = std::move(open.facts);
    const bool forced = is_forced(index);
    dvc::Check found = check_without_others(index, {put_back, settings_.look_up && !forced});
    result.remarks = std::move(found.remarks);
    result.facts.params = std::move(found.params);
    for (const dvc::File& file : found.inputs)
      result.facts.inputs.push_back(
          {workspace_.relative(file.path), form_of(file), digest_of(file), file.size, file.files});
    for (const dvc::Change& change : found.changes) {
      // Where there was nothing, everything is new.
      if (!result.causes.empty() && result.causes[0].kind == "first_run") break;
      result.causes.push_back(cause_of(change));
      if (change.kind == dvc::Change::Kind::input) result.causes.back().by = maker_of(index, change);
    }
    switch (found.verdict) {
      case dvc::Check::Verdict::refused: result.refused = found.problem; break;
      case dvc::Check::Verdict::run:
        if (forced || !settings_.look_up)
          result.causes = {{"forced", forced ? "--force" : "--no-cache", "", ""}};
        break;
      case dvc::Check::Verdict::unchanged:
      case dvc::Check::Verdict::put_back:
        hit(result, found, {is_frozen(index) ? "frozen" : "locked", "", "", ""});
        break;
      case dvc::Check::Verdict::from_run_cache: hit(result, found, {"run_cache", "", "", ""}); break;
    }
    if (result.causes.empty() && result.refused.empty())
      result.causes = {{"missing", "of an earlier run", "", ""}};
    if (put_back) {
      write_locks(result.note);
    } else {
      for (std::string& text : result.remarks)
        result.causes.push_back({"tracked_data", std::move(text), "", ""});
    }
    if (put_back && forced && !settings_.force_all && is_frozen(index)) {
      util::log_warning("--force does not reach " + pipeline_.steps[static_cast<std::size_t>(index)].name +
                        ", which is frozen: `dvc unfreeze` it, or take `frozen: true` out of its dvc.yaml");
    }
    return result;
  }

  Collection collect(const CollectJob& job) override {
    Collection result = collect_reserved(job);
    try {
      project_.done(job.step);
    } catch (const std::exception& error) {
      result.notes.push_back(std::string("DVC takes it for running still: ") + error.what());
    }
    return result;
  }

 private:
  static dvc::Check refused(std::string why) {
    dvc::Check check;
    check.verdict = dvc::Check::Verdict::refused;
    check.problem = std::move(why);
    return check;
  }

  // DVC and mlops do not write what the other is at. What has to run is reserved when it returns.
  dvc::Check check_without_others(int index, const dvc::CheckOptions& options) {
    if (!options.put_back) return project_.check(index, options);
    std::string told;
    std::vector<std::string> remarks;
    while (true) {
      std::optional<dvc::Holder> other;
      try {
        other = project_.user_of(index);
        if (!other) {
          dvc::Check found = project_.check(index, options);
          std::ranges::move(found.remarks, std::back_inserter(remarks));
          if (found.verdict == dvc::Check::Verdict::run) other = project_.reserve(index);
          if (!other) {
            found.remarks = std::move(remarks);
            return found;
          }
        }
      } catch (const dvc::UnknownUse& unknown) {
        return refused(unknown.what());
      }
      const std::string who = "`" + other->command + "` (PID " + std::to_string(other->pid) + "), which " +
                              (other->writes ? "writes '" : "reads '") + workspace_.relative(other->path) +
                              "'";
      if (depot_.stopping) return refused("it waited for " + who);
      if (told != who)
        util::log_warning(pipeline_.steps[static_cast<std::size_t>(index)].name + " waits for " + who);
      told = who;
      std::this_thread::sleep_for(look_again_after);
    }
  }

  Collection collect_reserved(const CollectJob& job) {
    Collection result;
    try {
      // What it declares matters to a trace; DVC's own way takes stock of the rest.
      const Step& step = pipeline_.steps[static_cast<std::size_t>(job.step)];
      Step declared;
      declared.inputs = step.inputs;
      declared.outputs = step.outputs;
      CollectJob small = job;
      small.trace_path.clear();
      result = engine::collect(small, Step(), workspace_, nullptr);
      if (!job.trace_path.empty()) engine::collect_trace(job, declared, workspace_, &depot_, result);
      if (!job.succeeded) return result;
      dvc::Saved saved = project_.save(job.step, job.keep);
      add_artifacts(job.step, saved.outputs, result.artifacts);
      std::ranges::move(saved.notes, std::back_inserter(result.notes));
      if (result.problem.empty()) result.problem = saved.problem;
      if (!saved.problem.empty()) return result;
      MetricsReader metrics = read_metrics(job.step);
      std::ranges::move(metrics.points, std::back_inserter(result.metrics));
      std::ranges::move(metrics.problems, std::back_inserter(result.notes));
      if (job.keep && !saved.key.empty()) result.key = key_of(job.step, saved.key);
      std::string note;
      write_locks(note);
      if (!note.empty()) result.notes.push_back(note);
    } catch (const std::exception& error) {
      if (result.problem.empty()) result.problem = error.what();
    }
    return result;
  }

  // The stage that makes a changed input, or something in an absent one; empty if none does.
  std::string maker_of(int index, const dvc::Change& input) const {
    const Step& step = pipeline_.steps[static_cast<std::size_t>(index)];
    const std::string path = pipeline::normal_path(pipeline_.directory, step.workdir, input.what);
    for (const auto* product : products_.touching(path)) {
      const bool whole = product->path == path || pipeline::lies_in(path, product->path);
      if (product->step != index && (whole || input.after == "missing"))
        return pipeline_.steps[static_cast<std::size_t>(product->step)].name;
    }
    return {};
  }

  bool is_frozen(int index) const { return pipeline_.dvc->stages[static_cast<std::size_t>(index)].frozen; }

  bool is_forced(int index) const {
    const Step& step = pipeline_.steps[static_cast<std::size_t>(index)];
    return settings_.force_all || settings_.forced.contains(step.name) ||
           settings_.forced.contains(step.base);
  }

  db::Connection& connection() {
    if (!database_) {
      database_ = std::make_unique<db::Database>(db::Database::open_to_read(
          workspace_.database_path(), workspace_.trusted() ? db::Access::write : db::Access::read_only));
    }
    return database_->connection();
  }

  // DVC's name of the results does not tell directories apart; our records name files.
  std::string key_of(int index, const std::string& key) const {
    const Step& step = pipeline_.steps[static_cast<std::size_t>(index)];
    return util::sha256("dvc\n" + workspace_.relative(step_directory(pipeline_, step)) + "\n" + key);
  }

  // What is recorded of results that a run of this workspace made is that run's; of others it is read anew.
  void hit(CheckResult& result, const dvc::Check& found, const Cause& cause) {
    result.hit = true;
    result.causes = {cause};
    for (const std::string& path : found.restored) result.causes.push_back({"checked_out", path, "", ""});
    result.key = key_of(result.step, found.key);
    if (auto source = db::find_cached(connection(), result.key)) {
      result.source = std::move(*source);
      return;
    }
    result.source.metrics = read_metrics(result.step).points;
    add_artifacts(result.step, found.outputs, result.source.artifacts);
  }

  MetricsReader read_metrics(int index) const {
    const DvcStage& stage = pipeline_.dvc->stages[static_cast<std::size_t>(index)];
    const std::string directory = step_directory(pipeline_, pipeline_.steps[static_cast<std::size_t>(index)]);
    MetricsReader metrics;
    for (const DvcOut& out : stage.outs) {
      const std::string path = step_path(directory, out.path);
      if (out.metric) {
        metrics.read(path);
      } else {
        metrics.read_live_only(path);
      }
    }
    for (const std::string& path : stage.metrics) metrics.read(path);
    return metrics;
  }

  void add_artifacts(int step, const std::vector<dvc::File>& files,
                     std::vector<ArtifactRecord>& artifacts) const {
    for (const dvc::File& file : files) {
      ArtifactRecord artifact;
      artifact.step = step;
      artifact.path = workspace_.relative(file.path);
      artifact.kind = file.kind;
      artifact.form = form_of(file);
      artifact.sha256 = digest_of(file);
      artifact.size = file.size;
      artifact.files = file.files;
      artifacts.push_back(std::move(artifact));
    }
  }

  void write_locks(std::string& note) {
    try {
      project_.flush();
    } catch (const std::exception& error) {
      note =
          std::string("dvc.lock could not be written, and DVC does not know of its results: ") + error.what();
    }
  }

  const Pipeline& pipeline_;
  const Workspace& workspace_;
  Depot& depot_;
  CacheSettings settings_;
  const pipeline::Products products_;
  dvc::Project project_;
  std::unique_ptr<db::Database> database_;
};

}  // namespace

std::unique_ptr<Results> make_dvc_results(const Pipeline& pipeline, const Workspace& workspace, Depot& depot,
                                          const CacheSettings& settings) {
  return std::make_unique<DvcResults>(pipeline, workspace, depot, settings);
}

}  // namespace mlops::engine
