#include "engine/foresight.hpp"

#include "db/steps.hpp"
#include "engine/collect.hpp"
#include "util/files.hpp"

namespace mlops::engine {

using What = Foreseen::What;

const char* to_string(What what) {
  constexpr const char* words[] = {"run", "cached", "maybe", "skip"};
  return words[static_cast<int>(what)];
}

namespace {

class Seer {
 public:
  Seer(const Pipeline& pipeline, const Graph& graph, const Workspace& workspace, const CacheSettings& settings)
      : pipeline_(pipeline),
        graph_(graph),
        depot_(workspace),
        cache_(pipeline, workspace, depot_.objects, depot_.snapshots, settings),
        what_(pipeline.steps.size(), What::left_out) {}

  ~Seer() {
    try {
      depot_.snapshots.save();
    } catch (const std::exception&) {
      // The files are read again next time.
    }
  }

  Foreseen look(const PlannedStep& planned) {
    Foreseen seen{planned.step, What::left_out, {}};
    if (planned.selected) {
      decide(seen);
    } else {
      seen.causes = {{"left_out", planned.reason, "", ""}};
    }
    what_[static_cast<std::size_t>(planned.step)] = seen.what;
    return seen;
  }

 private:
  void decide(Foreseen& seen) {
    const auto index = static_cast<std::size_t>(seen.step);
    const Step& step = pipeline_.steps[index];
    const std::string never = why_never_reused(step);
    if (!step.when.empty()) {
      seen.what = What::may_run;
      seen.causes = {{"condition", step.when, "", ""}};
      return;
    }
    for (const int need : graph_.needs[index]) {
      const What before = what_[static_cast<std::size_t>(need)];
      if (before != What::runs && before != What::may_run) continue;
      // What it makes may turn out to be what it was.
      seen.what = never.empty() ? What::may_run : What::runs;
      seen.causes = {never.empty() ? Cause{"upstream", pipeline_.steps[static_cast<std::size_t>(need)].name, "", ""}
                                   : Cause{"no_cache", never, "", ""}};
      return;
    }
    seen.what = What::runs;
    try {
      const CheckResult result = cache_.check(open_facts(pipeline_, seen.step, values_), false);
      seen.causes = result.causes;
      if (!result.hit) return;
      seen.what = What::cached;
      for (const auto& [name, value] : result.outputs) values_[step.name][name] = value;
    } catch (const Error& error) {
      seen.causes = {{"unknown", error.what(), "", ""}};
    }
  }

  const Pipeline& pipeline_;
  const Graph& graph_;
  Depot depot_;
  Cache cache_;
  std::vector<What> what_;
  OutputValues values_;
};

}  // namespace

std::vector<Foreseen> foresee(const Pipeline& pipeline, const Graph& graph, const Plan& plan,
                              const std::optional<Workspace>& workspace, const CacheSettings& settings) {
  std::vector<Foreseen> list;
  if (!workspace || !util::exists(workspace->database_path())) {
    for (const PlannedStep& planned : plan.steps) {
      const Cause cause = planned.selected ? Cause{"first_run", "", "", ""} : Cause{"left_out", planned.reason, "", ""};
      list.push_back({planned.step, planned.selected ? What::runs : What::left_out, {cause}});
    }
    return list;
  }
  Seer seer(pipeline, graph, *workspace, settings);
  for (const PlannedStep& planned : plan.steps) list.push_back(seer.look(planned));
  return list;
}

}  // namespace mlops::engine
