#include "engine/reproduce.hpp"

#include "cli/context.hpp"
#include "cli/output.hpp"
#include "cli/progress.hpp"
#include "engine/resources.hpp"
#include "process/keeper.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"

#include <cstdio>
#include <filesystem>
#include <map>

namespace mlops::cli {

namespace {

struct ReproduceArguments {
  std::string run;
  engine::ReproduceOptions build;
  bool keep = false;
  bool json = false;
};

/// Removes the tree at the end, unless it is to stay.
struct Removal {
  std::string root;
  bool keep = false;
  ~Removal() {
    std::error_code ignored;
    if (keep) return;
    std::filesystem::remove_all(root, ignored);
    std::filesystem::remove(std::filesystem::path(root).parent_path(), ignored);  // if it is empty now
  }
};

void print_tree(const engine::ScratchTree& tree) {
  std::printf("reproducing run %s of %s, started %s\n", tree.run.id.c_str(), shown(tree.run.pipeline).c_str(),
              util::format_local(tree.run.created_at).c_str());
  std::map<std::string, std::vector<std::string>> from;
  for (const engine::RestoredFile& file : tree.restored) from[file.from].push_back(file.path);
  for (const auto& [place, paths] : from) {
    const bool all = paths.size() <= 5;
    const std::string list =
        util::join(all ? paths : std::vector<std::string>(paths.begin(), paths.begin() + 5), ", ") +
        (all ? "" : " and " + std::to_string(paths.size() - 5) + " more");
    const std::string words = place == "present" ? "as it is now, for want of a record" : "from the " + place;
    std::printf("  restored %s: %s\n", place == "git" ? "from git" : words.c_str(), shown(list).c_str());
  }
  for (const std::string& note : tree.notes) std::printf("  %s\n", shown(note).c_str());
  const Style style = style_of(stdout);
  for (const auto& [path, why] : tree.lost)
    std::printf("  %s %s: %s\n", style.warn("not restored").c_str(), shown(path).c_str(), shown(why).c_str());
  std::fflush(stdout);
}

std::string value(const std::optional<double>& number) { return number ? format_number(*number) : "none"; }

void print_comparison(const engine::Comparison& c, const RunResult& result) {
  const Style style = style_of(stdout);
  std::size_t equal = 0;
  for (const engine::ComparedOutput& output : c.outputs) equal += output.same;
  if (!c.outputs.empty()) std::printf("outputs\n");
  for (const engine::ComparedOutput& o : c.outputs) {
    if (o.same) {
      std::printf("  = %s\n", shown(o.path).c_str());
      continue;
    }
    const auto digest = [](const std::string& d) {
      return d.empty() ? std::string("not made") : d.substr(0, 12);
    };
    std::printf("  %s %s  %s → %s\n", style.error("≠").c_str(), shown(o.path).c_str(),
                digest(o.before).c_str(), digest(o.after).c_str());
  }
  bool titled = false;
  std::size_t same_metrics = 0;
  for (const engine::ComparedMetric& m : c.metrics) {
    same_metrics += m.same;
    if (m.same) continue;
    if (!std::exchange(titled, true)) std::printf("metrics that differ\n");
    std::printf("  %s of %s  %s → %s\n", shown(m.name).c_str(), shown(m.step).c_str(),
                value(m.before).c_str(), value(m.after).c_str());
  }
  for (const engine::ComparedStep& s : c.steps)
    std::printf("  %s ended as %s in the run, and as %s here\n", shown(s.name).c_str(), to_string(s.before),
                to_string(s.after));
  std::printf("%s: %zu of %zu outputs are byte for byte equal", c.same() ? "reproduced" : "not reproduced",
              equal, c.outputs.size());
  if (!c.metrics.empty()) std::printf(", %zu of %zu metrics", same_metrics, c.metrics.size());
  std::printf("%s\n", c.same() && result.state == RunState::failed ? "; it fails as it did then" : "");
}

nlohmann::json as_json(const engine::ScratchTree& tree, const engine::Comparison& c, const RunResult& result,
                       bool kept) {
  nlohmann::json restored = nlohmann::json::array(), lost = nlohmann::json::array(),
                 outputs = nlohmann::json::array(), metrics = nlohmann::json::array(),
                 steps = nlohmann::json::array();
  for (const auto& file : tree.restored) restored.push_back({{"path", file.path}, {"from", file.from}});
  for (const auto& [path, why] : tree.lost) lost.push_back({{"path", path}, {"why", why}});
  for (const auto& o : c.outputs)
    outputs.push_back(
        {{"path", o.path}, {"step", o.step}, {"same", o.same}, {"before", o.before}, {"after", o.after}});
  const auto number = [](const std::optional<double>& v) {
    return v ? nlohmann::json(*v) : nlohmann::json(nullptr);
  };
  for (const auto& m : c.metrics)
    metrics.push_back({{"name", m.name},
                       {"step", m.step},
                       {"same", m.same},
                       {"before", number(m.before)},
                       {"after", number(m.after)}});
  for (const auto& s : c.steps)
    steps.push_back({{"name", s.name}, {"before", to_string(s.before)}, {"after", to_string(s.after)}});
  return {{"run", tree.run.id},
          {"reproduced", c.same()},
          {"state", to_string(result.state)},
          {"reason", result.reason},
          {"directory", kept ? nlohmann::json(tree.root) : nlohmann::json(nullptr)},
          {"restored", std::move(restored)},
          {"lost", std::move(lost)},
          {"notes", tree.notes},
          {"outputs", std::move(outputs)},
          {"metrics", std::move(metrics)},
          {"steps_that_differ", std::move(steps)}};
}

int reproduce(ReproduceArguments& options, const Context& context) {
  // First of all, while this process is small and has neither threads nor a database.
  process::KeeperProcess keeper = process::fork_keeper();
  OpenWorkspace open = open_to_write(context);
  const std::string id = find_run_id(open, options.run);
  engine::ScratchTree tree = engine::make_scratch_tree(open.workspace, open.database, id, options.build);
  const bool keep = options.keep || !options.build.into.empty();
  const Removal removal{tree.root, keep};
  if (!options.json) print_tree(tree);

  const Workspace scratch = Workspace::create(tree.root);
  const Graph graph = make_graph(tree.pipeline);
  const Plan plan = make_plan(tree.pipeline, graph, tree.settings.selection);
  engine::require_possible(tree.pipeline, plan);
  RunSettings settings = tree.settings;
  settings.use_cache = false;  // the tree is new, and what it makes is only compared
  settings.trace_reads = false;
  settings.command_line = "mlops reproduce " + id;
  Progress progress(stdout, options.json ? OutputMode::none : OutputMode::failed,
                    can_redraw(stdout) && !options.json);
  progress.set_workspace_option("-w " + util::shell_quote(tree.root) + " ");
  if (!keep) progress.leave_out_hints();
  std::vector<RunObserver*> observers;
  if (!options.json) observers.push_back(&progress);
  const RunResult result =
      run_plan(scratch, tree.pipeline, graph, plan, settings, std::move(keeper), observers);
  db::Database now = db::Database::open_to_read(scratch.database_path());
  const engine::Comparison comparison = engine::compare_with(tree, open.workspace, open.database.connection(),
                                                             scratch, now.connection(), result.id);
  if (options.json) {
    print_json(as_json(tree, comparison, result, keep));
  } else {
    print_comparison(comparison, result);
    if (keep) std::printf("kept in %s\n", shown(tree.root).c_str());
  }
  if (result.state == RunState::cancelled) return static_cast<int>(result.exit_code);
  if (comparison.same()) return 0;
  const bool failed_anew = result.state == RunState::failed && tree.run.state == RunState::succeeded;
  return static_cast<int>(failed_anew ? result.exit_code : ExitCode::gate_refused);
}

}  // namespace

void set_up_reproduce(CLI::App& app, Context& context) {
  auto options = std::make_shared<ReproduceArguments>();
  app.add_option("RUN", options->run, "an id, a unique beginning or end of one, latest or latest:PIPELINE")
      ->required();
  app.add_option("--into", options->build.into, "build the work tree here, and leave it")->type_name("DIR");
  app.add_flag("--keep", options->keep, "leave the work tree (default: below .mlops, removed at the end)");
  app.add_flag("--deploy", options->build.deploy, "also run steps of the kind deploy");
  app.add_flag("--json", options->json, "print JSON");
  app.footer(
      "Puts inputs, code, params and the definition of a run into a work tree of their own, runs them there, "
      "and\n"
      "compares outputs and metrics with those of then. Exits with 0 when all outputs are equal, 3 when "
      "some\n"
      "differ, 1 when a step fails that did not fail then.\n"
      "Examples:\n"
      "  mlops reproduce latest\n"
      "  mlops reproduce 7k2m --into /tmp/again --json");
  app.callback([options, &context] { context.exit_code = reproduce(*options, context); });
}

}  // namespace mlops::cli
