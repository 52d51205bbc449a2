#include "daemon/trigger_desk.hpp"

#include <mlops/error.hpp>

#include "db/triggers.hpp"
#include "pipeline/paths.hpp"
#include "triggers/definition.hpp"
#include "util/time.hpp"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <string_view>
#include <thread>

namespace mlops::daemon {

using Kind = Trigger::Kind;

namespace {

constexpr std::int64_t retry_ms = 60'000;  // after a look that failed
constexpr std::int64_t file_limit_ms = 6 * 3'600'000, other_limit_ms = 5 * 60'000;  // for one look
constexpr std::string_view event_word = "event ";
constexpr std::size_t most_said = 1'000;
constexpr std::int64_t of_watch = -1, of_timer = -2;

// At a time: servers that hang must keep nobody from looking at files.
std::size_t most_looks() { return std::max<std::size_t>(2, std::thread::hardware_concurrency()); }
constexpr std::size_t most_asked = 32;

// What is watched of a trigger.
std::optional<pipeline::FilePatterns> watched_by(const Trigger& trigger, const std::string& directory) {
  if (trigger.kind == Kind::files) return pipeline::FilePatterns(trigger.files, directory);
  if (trigger.kind != Kind::sql) return std::nullopt;
  // The log beside a database changes when it does.
  std::vector<std::string> files;
  for (const char* suffix : {"", "-wal", "-journal"}) files.push_back(trigger.database + suffix);
  return pipeline::FilePatterns(files, directory);
}

}  // namespace

std::int64_t TriggerDesk::now_ms() { return util::monotonic_ms(); }

TriggerDesk::TriggerDesk(const Workspace& workspace, db::Database& database,
                         std::function<void(const std::string&)> say)
    : workspace_(workspace),
      database_(database),
      events_(workspace, database),
      say_(std::move(say)),
      poll_(::epoll_create1(EPOLL_CLOEXEC)),
      timer_(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)) {
  if (!poll_ || !timer_) throw_errno("cannot set up the triggers", errno);
  listen(watch_.fd(), of_watch);
  listen(timer_.get(), of_timer);
}

void TriggerDesk::listen(int fd, std::int64_t id) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = static_cast<std::uint64_t>(id);
  if (::epoll_ctl(poll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) throw_errno("epoll_ctl", errno);
}

void TriggerDesk::plan(std::int64_t id, std::int64_t due) {
  unplan(id);
  seats_.at(id).due = due;
  agenda_.insert({due, id});
}

void TriggerDesk::unplan(std::int64_t id) {
  Seat& seat = seats_.at(id);
  if (seat.due) agenda_.erase({*seat.due, id});
  seat.due.reset();
}

void TriggerDesk::remove(std::int64_t id) {
  Seat& seat = seats_.at(id);
  unplan(id);
  watch_.remove(id);
  // What it sees is recorded only if the trigger is still what it was.
  if (seat.look) --places_of(seat);
  seats_.erase(id);
}

void TriggerDesk::drop(const std::string& path) {
  const auto gone = of_file_.find(path);
  if (gone == of_file_.end()) return;
  for (const std::int64_t id : gone->second) remove(id);
  of_file_.erase(gone);
}

void TriggerDesk::take(const std::string& path, const std::vector<TriggerRecord>& records) {
  drop(path);
  const std::string directory = std::filesystem::path(path).parent_path().string();
  for (const TriggerRecord& record : records) {
    Seat& seat = seats_[record.id];
    of_file_[path].push_back(record.id);
    seat.what = record.pipeline + " " + record.name;
    seat.trigger = triggers::trigger_of(record);
    if (const auto patterns = watched_by(seat.trigger, directory)) {
      const std::string why = watch_.add(record.id, *patterns, seat.trigger.kind == Kind::sql);
      seat.watched = why.empty();
      if (!why.empty()) {
        say_(seat.what + ": " + why + "; it is looked at every " +
             std::to_string(seat.trigger.every.count() / 1'000) + "s");
      }
    }
    if (triggers::follows_runs(seat.trigger.kind)) {
      follow(record.id, seat);
    } else if (seat.trigger.kind != Kind::webhook) {
      plan(record.id, now_ms());
    }
  }
  set_timer();
}

bool TriggerDesk::refuse(const std::string& path, const std::string& why) {
  drop(path);
  const std::string file = workspace_.relative(path);
  const bool known = !db::triggers_of(database_.connection(), file).empty();
  if (known) events_.refuse(file, why);
  return known;
}

void TriggerDesk::follow_runs() {
  const auto ends = db::run_ends_after(database_.connection(), followed_, {}, 10'000);
  std::set<std::string> pipelines;
  for (const RunEnd& end : ends) {
    pipelines.insert(end.pipeline);
    followed_ = end.sequence;
  }
  if (pipelines.empty()) return;
  for (auto& [id, seat] : seats_) {
    const bool named = std::ranges::any_of(seat.trigger.pipelines,
                                           [&](const std::string& name) { return pipelines.contains(name); });
    if (triggers::follows_runs(seat.trigger.kind) && named) follow(id, seat);
  }
}

void TriggerDesk::follow(std::int64_t id, Seat& seat) {
  try {
    for (const EventRecord& event : events_.look(id))
      say_event(event.id, seat.what + ": " + triggers::words_for(event));
    tell(seat, "");
  } catch (const Error& error) {
    if (error.code() == ExitCode::io) throw;  // the database: all is tried again
    tell(seat, error.what());
  } catch (const std::exception& error) {
    tell(seat, error.what());
  }
}

void TriggerDesk::tell(Seat& seat, const std::string& problem) {
  if (problem == seat.problem) return;
  say_(seat.what + ": " + (problem.empty() ? "it can look again" : problem));
  seat.problem = problem;
}

// A run may begin before the line of its event arrives, which comes from another process. Whichever is first
// says it, and the other one does not.
void TriggerDesk::say_event(std::int64_t event, const std::string& text) {
  if (said_.erase(event) > 0) return;
  said_.insert(event);
  if (said_.size() > most_said) said_.erase(said_.begin());
  say_(text);
}

void TriggerDesk::tell_of(const RequestRecord& request) {
  if (!request.fence) return;
  const auto event = db::event_with_fence(database_.connection(), *request.fence);
  const auto seat = event ? seats_.find(event->trigger) : seats_.end();
  if (seat != seats_.end()) say_event(event->id, seat->second.what + ": " + triggers::words_for(*event));
}

void TriggerDesk::pass_on(const std::string& line, const std::string& lead) {
  const std::size_t behind = line.find(' ', event_word.size());
  std::int64_t event = 0;
  const char* const end = line.data() + std::min(behind, line.size());
  const bool is_event = line.starts_with(event_word) && behind != line.npos &&
                        std::from_chars(line.data() + event_word.size(), end, event).ptr == end && event > 0;
  is_event ? say_event(event, lead + line.substr(behind + 1)) : say_(lead + line);
}

void TriggerDesk::work() {
  std::vector<std::int64_t> due;
  for (auto it = agenda_.begin(); it != agenda_.end() && it->first <= now_ms(); ++it)
    due.push_back(it->second);
  for (const std::int64_t id : due) {
    Seat& seat = seats_.at(id);
    if (seat.look) {  // too long
      unplan(id);
      seat.last_line = "it took too long to look, and was ended";
      seat.look->signal(SIGKILL);
    } else if (has_room(seat)) {
      start(id, seat);
    }
  }
  set_timer();
}

bool TriggerDesk::has_room(const Seat& seat) {
  return places_of(seat) < (seat.trigger.kind == Kind::http ? most_asked : most_looks());
}

void TriggerDesk::start(std::int64_t id, Seat& seat) {
  seat.again = false;
  seat.last_line.clear();
  try {
    seat.look.emplace(workspace_.root(), std::vector<std::string>{"trigger", "look", std::to_string(id)});
  } catch (const std::exception& error) {
    tell(seat, error.what());
    return plan(id, now_ms() + retry_ms);
  }
  ++places_of(seat);
  listen(seat.look->fd(), id);
  plan(id, now_ms() + (seat.trigger.kind == Kind::files ? file_limit_ms : other_limit_ms));
}

// Each line is for whoever reads what the daemon says; the last one is "ok", or why it could not look.
void TriggerDesk::hear(std::int64_t id) {
  const auto found = seats_.find(id);
  if (found == seats_.end() || !found->second.look) return;
  Seat& seat = found->second;
  const auto lines = seat.look->lines();
  if (!lines) return end(id, seat);
  for (const std::string& line : *lines) {
    if (line.starts_with(event_word)) pass_on(line, seat.what + ": ");
    if (!line.starts_with("  ")) seat.last_line = line;
  }
}

void TriggerDesk::end(std::int64_t id, Seat& seat) {
  seat.look.reset();
  --places_of(seat);
  unplan(id);
  const bool well = seat.last_line == "ok";
  std::string why = seat.last_line.starts_with("mlops: ") ? seat.last_line.substr(7) : seat.last_line;
  if (why.empty()) why = "the process that looks died";
  tell(seat, well ? "" : why);
  const std::int64_t every = seat.trigger.every.count();
  const bool asks = !seat.watched || seat.trigger.kind == Kind::sql;
  if (seat.again) {
    plan(id, now_ms() + seat.trigger.debounce.count());
  } else if (!well) {
    plan(id, now_ms() + (asks ? every : retry_ms));
  } else if (asks) {
    plan(id, now_ms() + every);
  }
}

void TriggerDesk::wake() {
  epoll_event events[16];
  const int n = ::epoll_wait(poll_.get(), events, 16, 0);
  for (int i = 0; i < n; ++i) {
    const auto id = static_cast<std::int64_t>(events[i].data.u64);
    if (id == of_timer) {
      std::uint64_t expirations = 0;
      [[maybe_unused]] const ssize_t read = ::read(timer_.get(), &expirations, sizeof expirations);
    } else if (id == of_watch) {
      for (const std::int64_t changed : watch_.changed()) {
        Seat& seat = seats_.at(changed);
        const std::int64_t due = now_ms() + seat.trigger.debounce.count();
        // A database may be written to without end; files are looked at when that is over.
        const bool soon = seat.trigger.kind == Kind::sql && seat.due && *seat.due <= due;
        if (seat.look) {
          seat.again = true;
        } else if (!soon) {
          plan(changed, due);
        }
      }
    } else {
      hear(id);
    }
  }
  set_timer();
}

void TriggerDesk::set_timer() {
  itimerspec spec{};
  // One that is due and has no room is started at the end of one that looks.
  const auto next = std::ranges::find_if(agenda_, [&](const auto& entry) {
    const Seat& seat = seats_.at(entry.second);
    return entry.first > now_ms() || seat.look || has_room(seat);
  });
  if (next != agenda_.end()) {
    const std::int64_t ms = std::max<std::int64_t>(next->first, 1);
    spec.it_value = {ms / 1'000, ms % 1'000 * 1'000'000};
  }
  ::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &spec, nullptr);
}

}  // namespace mlops::daemon
