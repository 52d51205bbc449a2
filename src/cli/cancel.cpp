#include "cli/context.hpp"
#include "cli/output.hpp"
#include "db/runs.hpp"
#include "engine/recovery.hpp"
#include "process/identity.hpp"
#include "process/lock_file.hpp"
#include "util/quantity.hpp"
#include "util/strings.hpp"
#include "workspace/layout.hpp"

#include <poll.h>
#include <signal.h>

#include <cstdio>

namespace mlops::cli {

namespace {

struct Options {
  std::vector<std::string> runs;
  bool now = false;
  bool no_wait = false;
  bool json = false;
};

// Asks the runner, or the keeper of a dead one, to stop; waits for it to end unless told not to.
std::string cancel_one(OpenWorkspace& open, const std::string& id, const Options& options) {
  const engine::Liveness alive = engine::liveness(open.workspace, id);
  if (alive == engine::Liveness::dead) {
    const auto run = db::find_run(open.database.connection(), id);
    return std::string("is not running: it has ") + (run ? to_string(run->state) : "gone");
  }
  const std::string directory = open.workspace.run_directory(id);
  const bool runner = alive == engine::Liveness::running;
  const std::string lock = layout::in(directory, runner ? layout::runner_lock : layout::keeper_lock);
  const auto holder = process::LockFile::holder(lock);
  const util::Fd process = holder ? process::open_process(*holder) : util::Fd();
  // A second SIGTERM might merge with the first: to end at once there is a signal of its own.
  if (!process || !process::signal_process(*holder, runner && options.now ? SIGQUIT : SIGTERM)) {
    if (!process::LockFile::is_locked(lock)) return "has just ended";
    throw Error(ExitCode::busy,
                "cannot cancel run " + id + ": its process is on another machine or of another user",
                "cancel it where it runs");
  }
  if (options.no_wait) return "was asked to stop";
  pollfd waiting{process.get(), POLLIN, 0};
  ::poll(&waiting, 1, -1);
  if (!runner) {
    engine::recover_all(open.workspace, open.database);
    return "had lost its runner; its steps were stopped";
  }
  const auto run = db::find_run(open.database.connection(), id);
  return run ? std::string("ended as ") + to_string(run->state) : "is gone";
}

void cancel(const Options& options, Context& context) {
  OpenWorkspace open = open_to_read(context);
  nlohmann::json list = nlohmann::json::array();
  for (const std::string& name : options.runs) {
    const std::string id = find_run_id(open, name);
    const std::string what = cancel_one(open, id, options);
    list.push_back({{"id", id}, {"result", what}});
    if (!options.json) std::printf("run %s %s\n", id.c_str(), what.c_str());
  }
  if (options.json) print_json({{"runs", std::move(list)}});
}

}  // namespace

void set_up_cancel(CLI::App& app, Context& context) {
  auto options = std::make_shared<Options>();
  app.add_option("RUN", options->runs,
                 "runs to stop: an id, a unique beginning or end of one, latest or latest:PIPELINE")
      ->required();
  app.add_flag("--now", options->now, "kill the steps at once, without grace and clean-up steps");
  app.add_flag("--no-wait", options->no_wait, "do not wait until it has ended");
  app.add_flag("--json", options->json, "print JSON");
  app.footer(
      "Steps get SIGTERM, their grace period, then SIGKILL; `always:` steps still run.\n"
      "Examples:\n  mlops cancel latest\n  mlops cancel 7k2m --now");
  app.callback([options, &context] { cancel(*options, context); });
}

}  // namespace mlops::cli
