#include "daemon/worker.hpp"

#include <mlops/error.hpp>

#include "db/backfills.hpp"
#include "engine/recovery.hpp"
#include "process/identity.hpp"
#include "schedule/bell.hpp"
#include "util/log.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <utility>

namespace mlops::daemon {

namespace {

constexpr std::chrono::seconds retry_after{2};
constexpr std::chrono::seconds look_often{1};

std::string directory_of_workers(const Workspace& workspace) {
  return layout::in(workspace.state_directory(), layout::workers);
}

// The directory of a worker is named by its process.
std::string own_directory(const Workspace& workspace) {
  std::string name = process::to_string(process::self());
  std::ranges::replace(name, ' ', '_');
  return directory_of_workers(workspace) + "/" + name;
}

// Calls `on_worker` with each directory, and whether its worker lives.
template <typename Function>
void for_each_worker(const Workspace& workspace, const Function& on_worker) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory_of_workers(workspace), error)) {
    std::string name = entry.path().filename().string();
    std::ranges::replace(name, '_', ' ');
    on_worker(entry.path(), process::is_alive(name));
  }
}

void remove_directories_of_the_dead(const Workspace& workspace) {
  for_each_worker(workspace, [](const std::filesystem::path& directory, bool alive) {
    std::error_code ignored;
    if (!alive) std::filesystem::remove_all(directory, ignored);
  });
}

}  // namespace

int live_workers(const Workspace& workspace) {
  int count = 0;
  for_each_worker(workspace, [&](const std::filesystem::path&, bool alive) { count += alive ? 1 : 0; });
  return count;
}

Worker::Worker(const Workspace& workspace, WorkerSettings settings)
    : workspace_(workspace),
      settings_(std::move(settings)),
      directory_(own_directory(workspace)),
      database_(db::Database::open(workspace.database_path())),
      dispatcher_(workspace, database_, directory_, settings_.runs,
                  {true, settings_.queues, settings_.backfill}) {
  database_.keep_few_pages();
}

Worker::~Worker() {
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

// A database that cannot be written to, as when the disk is full, is tried again; so is whatever else goes
// wrong.
void Worker::work() {
  again_.reset();
  try {
    dispatcher_.end();
    dispatcher_.start();
    told_ = false;
  } catch (const std::exception& error) {
    if (!std::exchange(told_, true)) complain(std::string("trying again every few seconds: ") + error.what());
    again_ = util::now() + retry_after;
  }
}

bool Worker::is_over() {
  if (!dispatcher_.children().idle() || again_) return false;
  if (settings_.backfill) return !db::is_backfill_open(database_.connection(), *settings_.backfill);
  return settings_.once;
}

bool Worker::run() {
  remove_directories_of_the_dead(workspace_);
  engine::recover_all(workspace_, database_);
  const std::string bell = schedule::bell_path(workspace_, layout::queue_bell);
  const std::string config = workspace::config_path(workspace_);
  for (const std::string& path : {bell, config}) {
    if (!wakeup_.files().add(path))
      throw Error(
          ExitCode::io, "cannot watch '" + path + "'",
          "the system's limit of inotify watches or instances is used up: see fs.inotify in `sysctl -a`");
  }
  if (!settings_.backfill)
    say("taking runs from " +
        (settings_.queues.empty() ? "all queues" : "the queues " + util::join(settings_.queues, ", ")));
  work();
  while (!is_over()) {
    auto next = again_ ? again_ : dispatcher_.next();
    // Others may run parts of it, and pause it.
    if (settings_.backfill) next = std::min(next.value_or(Instant::max()), util::now() + look_often);
    wakeup_.watch(again_ ? std::vector<process::Identity>{} : dispatcher_.holders());
    const News news = wakeup_.wait(next);
    if (news.stop) {
      wakeup_.watch({});
      if (::getpid() == 1)
        end_as_process_1(dispatcher_, settings_.stop_within, [this](Instant until) { wakeup_.wait(until); });
      say_stopping(dispatcher_.children());
      return false;
    }
    if (news.reload || news.changed.contains(config)) dispatcher_.read_limits();
    if (news.any) work();
  }
  return true;
}

}  // namespace mlops::daemon
