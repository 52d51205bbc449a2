#include "engine/foresight.hpp"

#include "db/steps.hpp"
#include "engine/collect.hpp"
#include "engine/results.hpp"
#include "util/files.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>

namespace mlops::engine {

using What = Foreseen::What;

const char* to_string(What what) {
  constexpr const char* words[] = {"run", "cached", "maybe", "skip"};
  return words[static_cast<int>(what)];
}

namespace {

class Seer {
 public:
  Seer(const Pipeline& pipeline, const Graph& graph, const Workspace& workspace,
       const CacheSettings& settings)
      : pipeline_(pipeline),
        graph_(graph),
        database_(db::Database::open_to_read(
            workspace.database_path(), workspace.trusted() ? db::Access::write : db::Access::read_only)),
        depot_(workspace),
        results_(make_results(pipeline, workspace, depot_, settings)),
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
    if (!step.when.empty()) {
      seen.what = What::may_run;
      seen.causes = {{"condition", step.when, "", ""}};
      return;
    }
    const std::string before = open_need(seen.step);
    seen.what = What::runs;
    try {
      const CheckResult result = results_->check(open_facts(pipeline_, seen.step, values_), false);
      seen.causes = result.causes;
      if (!result.refused.empty()) seen.causes = {{"unknown", result.refused, "", ""}};
      if (before.empty()) {
        if (!result.hit) return;
        seen.what = What::cached;
        for (const auto& [name, value] : result.source.values) values_[step.name][name] = value;
        return;
      }
      // Whatever the steps before it make: does it have to run anyway?
      std::erase_if(seen.causes, [](const Cause& cause) {
        return (cause.kind == "input" && !cause.by.empty()) || cause.kind == "missing" ||
               cause.kind == "not_kept" || cause.kind == "cached" || cause.kind == "renamed" ||
               cause.kind == "restored" || cause.kind == "locked" || cause.kind == "run_cache";
      });
      const bool files = std::ranges::any_of(
          seen.causes, [](const Cause& cause) { return cause.kind == "input" || cause.kind == "code"; });
      if (!files) std::erase_if(seen.causes, [](const Cause& cause) { return cause.kind == "more"; });
    } catch (const Error& error) {
      seen.causes.clear();
      if (before.empty()) seen.causes = {{"unknown", error.what(), "", ""}};
    }
    if (!seen.causes.empty()) return;
    // What they make may turn out to be what it was.
    seen.what = What::may_run;
    seen.causes = {{"upstream", before, "", ""}};
  }

  // A step that it waits for and that runs, or may run; empty if there is none. Values that these steps set
  // are taken to be those of last time.
  std::string open_need(int index) {
    std::string found;
    for (const int need : graph_.needs[static_cast<std::size_t>(index)]) {
      const What what = what_[static_cast<std::size_t>(need)];
      if (what == What::cached) continue;
      const std::string& name = pipeline_.steps[static_cast<std::size_t>(need)].name;
      for (const auto& [key, value] : db::last_outputs(database_.connection(), pipeline_.name, name))
        values_[name].try_emplace(key, value);
      if (what != What::left_out) found = name;
    }
    return found;
  }

  const Pipeline& pipeline_;
  const Graph& graph_;
  db::Database database_;
  Depot depot_;
  std::unique_ptr<Results> results_;
  std::vector<What> what_;
  OutputValues values_;
};

// A workspace for the time of one look, where nothing is to be left behind.
struct ScratchWorkspace {
  ScratchWorkspace() : workspace(Workspace::create(directory())) {
    db::Database::open(workspace.database_path());
  }
  ~ScratchWorkspace() {
    std::error_code ignored;
    std::filesystem::remove_all(workspace.root(), ignored);
  }
  ScratchWorkspace(const ScratchWorkspace&) = delete;
  ScratchWorkspace& operator=(const ScratchWorkspace&) = delete;

  Workspace workspace;

 private:
  static std::string directory() {
    std::string name = (std::filesystem::temp_directory_path() / "mlops-XXXXXX").string();
    if (!::mkdtemp(name.data())) throw_errno("cannot make a directory in '" + name + "'", errno);
    return name;
  }
};

}  // namespace

std::vector<Foreseen> foresee(const Pipeline& pipeline, const Graph& graph, const Plan& plan,
                              const std::optional<Workspace>& workspace, const CacheSettings& settings) {
  std::vector<Foreseen> list;
  const bool recorded = workspace && util::exists(workspace->database_path());
  std::optional<ScratchWorkspace> scratch;
  if (!recorded && pipeline.dvc) {
    // Its own files tell what would run, without any record of ours.
    scratch.emplace();
  } else if (!recorded) {
    for (const PlannedStep& planned : plan.steps) {
      const Cause cause =
          planned.selected ? Cause{"first_run", "", "", ""} : Cause{"left_out", planned.reason, "", ""};
      list.push_back({planned.step, planned.selected ? What::runs : What::left_out, {cause}});
    }
    return list;
  }
  Seer seer(pipeline, graph, scratch ? scratch->workspace : *workspace, settings);
  for (const PlannedStep& planned : plan.steps) list.push_back(seer.look(planned));
  return list;
}

}  // namespace mlops::engine
