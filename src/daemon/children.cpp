#include "daemon/children.hpp"

#include "util/files.hpp"
#include "util/strings.hpp"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

extern char** environ;

namespace mlops::daemon {

namespace {

// The attributes and actions of a spawn, freed at the end.
struct Spawn {
  Spawn() {
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawnattr_init(&attributes);
  }
  ~Spawn() {
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
  }
  Spawn(const Spawn&) = delete;
  Spawn& operator=(const Spawn&) = delete;

  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
};

std::string last_lines(const std::string& path) {
  constexpr std::size_t most = 2'000;
  std::string text;
  try {
    text = util::read_file(path);
  } catch (const std::exception&) {
    return {};
  }
  if (text.size() > most) text = text.substr(text.size() - most);
  return util::to_utf8(std::string(util::trim(text)));
}

}  // namespace

Children::Children(std::string workspace_root, std::string directory, std::size_t most)
    : root_(std::move(workspace_root)), directory_(std::move(directory)), most_(most) {
  // What is left there is of runs that outlived the daemon before: they are on record, or will be rejected.
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
  util::make_directories(directory_);
}

std::vector<Job> Children::add(Job job, const std::function<bool(const Job&)>& replaces) {
  std::vector<Job> replaced;
  std::optional<std::size_t> place;
  for (std::size_t i = 0; i < waiting_.size();) {
    if (!replaces(waiting_[i])) {
      ++i;
      continue;
    }
    if (!place) place = i;
    replaced.push_back(std::move(waiting_[i]));
    waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(i));
  }
  auto at =
      place ? waiting_.begin() + static_cast<std::ptrdiff_t>(*place)
            : std::ranges::find_if(waiting_, [&](const Job& other) { return other.priority < job.priority; });
  // Not before an older one of its pipeline, whose priority was another one: it would wait for that.
  for (auto other = at; !place && other != waiting_.end(); ++other)
    if (other->pipeline == job.pipeline && other->fence < job.fence) at = other + 1;
  waiting_.insert(at, std::move(job));
  return replaced;
}

void Children::add_again(Job job) {
  const auto behind =
      std::ranges::find_if(waiting_, [&](const Job& other) { return other.priority <= job.priority; });
  waiting_.insert(behind, std::move(job));
}

std::vector<Job> Children::take(const std::function<bool(const Job&)>& which) {
  std::vector<Job> taken;
  std::erase_if(waiting_, [&](Job& job) {
    const bool meant = which(job);
    if (meant) taken.push_back(std::move(job));
    return meant;
  });
  return taken;
}

std::optional<Instant> Children::first_late() const {
  std::optional<Instant> first;
  for (const Job& job : waiting_)
    if (job.start_by) first = std::min(first.value_or(*job.start_by), *job.start_by);
  return first ? std::optional(*first + std::chrono::milliseconds(1)) : std::nullopt;
}

// What of its own there is no room for; empty: it has its turn.
std::string Children::held_by_others(const Job& job) const {
  const auto pipeline = [](const auto& child) -> const auto& { return child.second.pipeline; };
  const auto same = std::ranges::find(running_, job.pipeline, pipeline);
  if (job.in_turn && same != running_.end())
    return "waits for run " + same->second.run_id + " of the same pipeline";
  // One that ends another run of its pipeline takes the place of that one; the next has to wait until it has.
  if (running_.size() < most_ || (job.replaces && std::ranges::count(running_, job.pipeline, pipeline) == 1))
    return {};
  return "waits for room: " + std::to_string(running_.size()) + " of " + std::to_string(most_) +
         (most_ == 1 ? " run goes on" : " runs go on");
}

std::vector<Job> Children::start(const std::function<std::string(const Job&)>& hold,
                                 std::vector<NotStarted>& failed) {
  std::vector<Job> started;
  for (auto next = waiting_.begin(); next != waiting_.end();) {
    std::string why = held_by_others(*next);
    if (why.empty()) why = hold(*next);
    if (!why.empty()) {
      next->waits = std::move(why);
      ++next;
      continue;
    }
    Job job = std::move(*next);
    next = waiting_.erase(next);
    if (auto not_started = start(job)) {
      failed.push_back(std::move(*not_started));
    } else {
      started.push_back(std::move(job));
    }
  }
  return started;
}

std::optional<NotStarted> Children::start(Job job) {
  std::error_code ignored;
  std::filesystem::create_directories(directory_, ignored);  // somebody may have cleaned up
  const std::string fence = std::to_string(job.fence), output = output_path(job.fence);
  const std::string directory = std::filesystem::path(job.file).parent_path().string();
  const char* const argv[] = {"mlops",     "-w",          root_.c_str(), "run",  job.file.c_str(),
                              "--claimed", fence.c_str(), "--quiet",     nullptr};
  Spawn spawn;
  ::posix_spawn_file_actions_addopen(&spawn.actions, 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_addopen(&spawn.actions, 1, output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  ::posix_spawn_file_actions_adddup2(&spawn.actions, 1, 2);
  ::posix_spawn_file_actions_addchdir_np(&spawn.actions, directory.c_str());
  sigset_t none, all;
  ::sigemptyset(&none);
  ::sigfillset(&all);
  ::posix_spawnattr_setsigmask(&spawn.attributes, &none);
  ::posix_spawnattr_setsigdefault(&spawn.attributes, &all);
  ::posix_spawnattr_setflags(&spawn.attributes,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  pid_t pid = 0;
  const int error = ::posix_spawn(&pid, "/proc/self/exe", &spawn.actions, &spawn.attributes,
                                  const_cast<char* const*>(argv), environ);
  if (error != 0) {
    const bool for_now = error != ENOENT && error != ENOTDIR && error != EACCES;
    return NotStarted{std::move(job),
                      "its process cannot be started in '" + directory + "': " + std::strerror(error),
                      for_now};
  }
  running_.emplace(pid, std::move(job));
  return std::nullopt;
}

std::set<std::int64_t> Children::fences() const {
  std::set<std::int64_t> fences;
  for (const Job& job : waiting_) fences.insert(job.fence);
  for (const auto& [pid, job] : running_) fences.insert(job.fence);
  return fences;
}

std::vector<std::pair<std::int64_t, std::string>> Children::untold_waits() const {
  std::vector<std::pair<std::int64_t, std::string>> waits;
  for (const Job& job : waiting_)
    if (job.waits != job.told) waits.emplace_back(job.fence, job.waits);
  return waits;
}

void Children::told_waits() {
  for (Job& job : waiting_) job.told = job.waits;
}

std::vector<Ended> Children::reap() {
  std::vector<Ended> ended;
  int status = 0;
  for (pid_t pid; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
    const auto child = running_.find(pid);
    if (child == running_.end()) continue;
    const std::string output = output_path(child->second.fence);
    ended.push_back({std::move(child->second), status, last_lines(output)});
    ::unlink(output.c_str());
    running_.erase(child);
  }
  return ended;
}

void Children::end_all(int signal) {
  waiting_.clear();
  for (const auto& [pid, job] : running_) ::kill(pid, signal);
}

}  // namespace mlops::daemon
