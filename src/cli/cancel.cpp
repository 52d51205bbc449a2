#include "cli/context.hpp"
#include "cli/output.hpp"
#include "engine/cancellation.hpp"

#include <cstdio>

namespace mlops::cli {

namespace {

struct CancelOptions {
  std::vector<std::string> runs;
  bool now = false;
  bool no_wait = false;
  bool json = false;
};

void cancel(const CancelOptions& options, Context& context) {
  OpenWorkspace open = open_to_write(context);
  std::vector<std::string> ids;
  for (const std::string& name : options.runs) ids.push_back(find_run_id(open, name));
  nlohmann::json list = nlohmann::json::array();
  for (const std::string& id : ids) {
    const engine::CancelResult result =
        engine::cancel_run(open.workspace, open.database, id, {.now = options.now, .wait = !options.no_wait});
    if (result.still_runs) context.exit_code = static_cast<int>(ExitCode::busy);
    list.push_back({{"id", id}, {"result", result.words}, {"cancelled", result.cancelled}});
    if (!options.json) std::printf("run %s %s\n", id.c_str(), result.words.c_str());
  }
  if (options.json) print_json({{"runs", std::move(list)}});
}

}  // namespace

void set_up_cancel(CLI::App& app, Context& context) {
  auto options = std::make_shared<CancelOptions>();
  app.add_option("RUN", options->runs,
                 "runs to stop: an id, a unique beginning or end of one, latest or latest:PIPELINE")
      ->required();
  app.add_flag("--now", options->now, "kill the steps at once, without grace and clean-up steps");
  app.add_flag("--no-wait", options->no_wait, "do not wait until it has ended");
  app.add_flag("--json", options->json, "print JSON");
  app.footer(
      "Steps get SIGTERM, their grace period, then SIGKILL; `always:` steps still run, unless the run has "
      "lost its runner.\n"
      "Exits with 0 also when a run was not running, 5 when it still runs.\n"
      "Examples:\n  mlops cancel latest\n  mlops cancel 7k2m --now");
  app.callback([options, &context] { cancel(*options, context); });
}

}  // namespace mlops::cli
