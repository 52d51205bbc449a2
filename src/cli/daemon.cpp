#include "daemon/daemon.hpp"

#include <mlops/error.hpp>

#include "cli/context.hpp"
#include "cli/stop_within.hpp"
#include "util/log.hpp"

namespace mlops::cli {

namespace {
struct DaemonOptions {
  daemon::DaemonSettings settings;
};

int serve(DaemonOptions& options, const Context& context) {
  util::set_up_log(context.verbose);
  if (!Workspace::find(".", context.workspace)) {  // none is made for files that cannot be served
    pipeline::Zones zones;
    daemon::require_servable(options.settings.files, {}, zones, nullptr);
  }
  bool created = false;
  const Workspace workspace = Workspace::find_or_create(".", context.workspace, created);
  workspace.check_owner();
  if (created && !options.settings.quiet) daemon::say("made a workspace: " + workspace.state_directory());
  try {
    return daemon::Daemon(workspace, options.settings).run();
  } catch (const Error& error) {
    // As often as a crontab asks while a daemon is there: nothing is wrong.
    if (error.code() != ExitCode::overlap || !options.settings.once || !options.settings.quiet) throw;
    return static_cast<int>(error.code());
  }
}

}  // namespace

void set_up_daemon(CLI::App& app, Context& context) {
  auto options = std::make_shared<DaemonOptions>();
  app.add_option("FILE", options->settings.files,
                 "pipeline files whose schedules and triggers are served from now on");
  app.add_option("--runs", options->settings.runs, "runs at a time (default: the machine's cores)")
      ->type_name("N")
      ->check(CLI::Range(1, 10'000));
  app.add_flag("!--no-queue", options->settings.queue, "leave what waits in queues to workers");
  app.add_option("--http", options->settings.web.address, "take webhooks at this address of the machine")
      ->type_name("ADDRESS:PORT");
  app.add_option("--http-name", options->settings.web.names,
                 "a name by which a proxy asks for it, besides localhost")
      ->type_name("HOST");
  app.add_flag("--insecure-behind-proxy", options->settings.web.insecure_behind_proxy,
               "listen also where other machines can reach it: there has to be a proxy with TLS");
  add_stop_within(app, options->settings.stop_within, "runs");
  app.add_flag("--once", options->settings.once, "run what is due, and end when it has ended");
  app.add_flag("-q,--quiet", options->settings.quiet, "say only what went wrong");
  app.add_flag(
      "--foreground", [](std::int64_t) {}, "stay in the foreground, as it always does");
  app.footer(
      "Serves the schedules of a workspace until it is asked to stop (SIGTERM, SIGINT); runs go on by "
      "themselves then, and\n"
      "so they do when it is killed. Files are read again when they change. What waits in queues is run as "
      "well, when no slot\n"
      "needs the room.\n"
      "Examples:\n"
      "  mlops daemon pipeline.yaml\n"
      "  mlops daemon pipeline.yaml --http 127.0.0.1:8080\n"
      "  mlops daemon --once");
  app.callback([options, &context] { context.exit_code = serve(*options, context); });
}

}  // namespace mlops::cli
