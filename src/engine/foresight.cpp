#include "engine/foresight.hpp"

#include "db/steps.hpp"
#include "engine/collect.hpp"
#include "engine/results.hpp"
#include "pipeline/conditions.hpp"
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

/// Goes through the steps in an order in which they could run, as the machine would.
class Seer {
 public:
  /// Without a workspace nothing has run yet.
  Seer(const Pipeline& pipeline, const Graph& graph, const Workspace* workspace,
       const CacheSettings& settings)
      : pipeline_(pipeline), graph_(graph), conditions_(pipeline), fates_(pipeline.steps.size()) {
    if (workspace) records_ = std::make_unique<Records>(pipeline, *workspace, settings);
  }

  ~Seer() {
    try {
      if (records_) records_->depot.snapshots.save();
    } catch (const std::exception&) {
      // The files are read again next time.
    }
  }

  Foreseen look(const PlannedStep& planned) {
    Foreseen seen{planned.step, What::left_out, {}};
    Fate& fate = fates_[static_cast<std::size_t>(planned.step)];
    const std::string skipped = inherit(planned.step, fate);
    if (!planned.selected) {
      seen.causes = {{"left_out", planned.reason, "", ""}};
    } else if (fate.skipped) {
      seen.causes = {{"skipped", "needs " + skipped + ", which is skipped", "", ""}};
    } else {
      decide(seen, fate);
    }
    fate.what = seen.what;
    return seen;
  }

 private:
  struct Fate {
    What what = What::left_out;
    bool skipped = false;      // by a condition, its own or that of a step it needs
    bool conditional = false;  // may be skipped so
  };

  struct Records {
    Records(const Pipeline& pipeline, const Workspace& workspace, const CacheSettings& settings)
        : database(db::Database::open_to_read(
              workspace.database_path(), workspace.trusted() ? db::Access::write : db::Access::read_only)),
          depot(workspace),
          results(make_results(pipeline, workspace, depot, settings)) {}
    db::Database database;
    Depot depot;
    std::unique_ptr<Results> results;
  };

  const Step& step_of(int index) const { return pipeline_.steps[static_cast<std::size_t>(index)]; }
  const std::vector<int>& needs_of(int index) const { return graph_.needs[static_cast<std::size_t>(index)]; }
  const Fate& fate_of(int index) const { return fates_[static_cast<std::size_t>(index)]; }

  // What becomes of a step by what becomes of those it needs; returns the one that skips it.
  std::string inherit(int index, Fate& fate) {
    if (step_of(index).always) return {};
    std::string by;
    for (const int need : needs_of(index)) {
      fate.conditional = fate.conditional || fate_of(need).conditional;
      if (!fate_of(need).skipped) continue;
      fate.skipped = true;
      by = step_of(need).name;
    }
    return by;
  }

  // The verdict of a condition that no step can change any more, nor the slot of a run to come.
  std::optional<params::Verdict> verdict(const Step& step) const {
    using Root = params::ConditionName::Root;
    const params::Condition condition = conditions_.parse(step);
    for (const params::ConditionName& name : condition.names()) {
      if (name.root == Root::state || name.root == Root::exit_code || name.root == Root::output ||
          name.root == Root::metric || (name.root == Root::slot && !pipeline_.slot))
        return std::nullopt;
    }
    return conditions_.evaluate(step, [](const auto&, const auto&, const auto&) { return Json(); });
  }

  void decide(Foreseen& seen, Fate& fate) {
    const Step& step = step_of(seen.step);
    if (!step.when.empty()) {
      const std::optional<params::Verdict> known = verdict(step);
      if (known && !known->holds) {
        fate.skipped = true;
        seen.causes = {{"skipped", known->why, "", ""}};
        return;
      }
      if (!known) {
        fate.conditional = true;
        seen.what = What::may_run;
        seen.causes = {{"condition", step.when, "", ""}};
        return;
      }
    }
    check(seen);
    if (!fate.conditional || seen.what != What::runs) return;
    seen.what = What::may_run;
    for (const int need : needs_of(seen.step)) {
      if (fate_of(need).conditional) seen.causes = {{"conditional", step_of(need).name, "", ""}};
    }
  }

  void check(Foreseen& seen) {
    const Step& step = step_of(seen.step);
    seen.what = What::runs;
    if (!records_) {
      seen.causes = {{"first_run", "", "", ""}};
      return;
    }
    const std::string before = open_need(seen.step);
    try {
      const CheckResult result = records_->results->check(open_facts(pipeline_, seen.step, values_), false);
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
               cause.kind == "restored" || cause.kind == "checked_out" || cause.kind == "locked" ||
               cause.kind == "run_cache";
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
    for (const int need : needs_of(index)) {
      const What what = fate_of(need).what;
      if (what == What::cached) continue;
      const std::string& name = step_of(need).name;
      for (const auto& [key, value] : db::last_outputs(records_->database.connection(), pipeline_.name, name))
        values_[name].try_emplace(key, value);
      if (what != What::left_out) found = name;
    }
    return found;
  }

  const Pipeline& pipeline_;
  const Graph& graph_;
  const pipeline::Conditions conditions_;
  std::vector<Fate> fates_;
  std::unique_ptr<Records> records_;
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
  // A DVC project's own files tell what would run, without any record of ours.
  if (!recorded && pipeline.dvc) scratch.emplace();
  const Workspace* const looked_at = scratch ? &scratch->workspace : recorded ? &*workspace : nullptr;
  Seer seer(pipeline, graph, looked_at, settings);
  for (const PlannedStep& planned : plan.steps) list.push_back(seer.look(planned));
  return list;
}

}  // namespace mlops::engine
