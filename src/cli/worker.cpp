#include "daemon/worker.hpp"

#include "cli/context.hpp"
#include "cli/queue.hpp"
#include "cli/stop_within.hpp"
#include "util/log.hpp"

namespace mlops::cli {

namespace {

int work(const daemon::WorkerSettings& settings, const Context& context) {
  util::set_up_log(context.verbose);
  for (const std::string& queue : settings.queues) require_queue_name(queue);
  bool created = false;
  const Workspace workspace = Workspace::find_or_create(".", context.workspace, created);
  workspace.check_owner();
  if (created) daemon::say("made a workspace: " + workspace.state_directory());
  daemon::Worker(workspace, settings).run();
  return 0;
}

}  // namespace

void set_up_worker(CLI::App& app, Context& context) {
  auto settings = std::make_shared<daemon::WorkerSettings>();
  app.add_option("--queue", settings->queues, "only these queues (default: all)")
      ->type_name("NAME")
      ->take_all()
      ->delimiter(',')
      ->expected(1);
  app.add_option("-j,--runs", settings->runs, "runs at a time (default: the machine's cores)")
      ->type_name("N")
      ->check(CLI::Range(1, 10'000));
  add_stop_within(app, settings->stop_within, "runs");
  app.add_flag("--once", settings->once, "end when nothing more can begin");
  app.footer(
      "Runs what `mlops submit` put into queues until it is asked to stop (SIGTERM, SIGINT); runs go on by "
      "themselves\n"
      "then, and so they do when it is killed. Any number of workers may share a workspace.\n"
      "Examples:\n"
      "  mlops worker -j 4\n"
      "  mlops worker --queue gpu --runs 1\n"
      "  mlops worker --once");
  app.callback([settings, &context] { context.exit_code = work(*settings, context); });
}

}  // namespace mlops::cli
