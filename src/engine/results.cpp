#include "engine/results.hpp"

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
    return cache_.check(std::move(open), put_back);
  }

  Collection collect(const CollectJob& job) override {
    return engine::collect(job, pipeline_.steps[static_cast<std::size_t>(job.step)], workspace_, &depot_);
  }

 private:
  const Pipeline& pipeline_;
  const Workspace& workspace_;
  Depot& depot_;
  Cache cache_;
};

}  // namespace

std::unique_ptr<Results> make_results(const Pipeline& pipeline, const Workspace& workspace, Depot& depot,
                                      const CacheSettings& settings) {
  if (pipeline.dvc) return make_dvc_results(pipeline, workspace, depot, settings);
  return std::make_unique<OwnResults>(pipeline, workspace, depot, settings);
}

bool checks_every_step(const Pipeline& pipeline) { return pipeline.dvc.has_value(); }

bool makes_folders(const Pipeline& pipeline) { return !pipeline.dvc; }

}  // namespace mlops::engine
