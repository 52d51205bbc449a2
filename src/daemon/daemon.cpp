#include "daemon/daemon.hpp"

#include <mlops/error.hpp>

#include "calendar/instants.hpp"
#include "db/slots.hpp"
#include "engine/recovery.hpp"
#include "schedule/bell.hpp"
#include "util/fd_lock.hpp"
#include "util/quantity.hpp"
#include "util/time.hpp"
#include "workspace/layout.hpp"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace mlops::daemon {

using schedule::Claimed;
using schedule::Entry;
using schedule::sys_seconds;
using schedule::Timetable;

namespace {

std::string lock_path(const Workspace& workspace) {
  return layout::in(workspace.state_directory(), layout::daemon_lock);
}

// The lock file's time is that of the last look: it costs no write to the database, and lasts.
std::optional<sys_seconds> last_look(const Workspace& workspace) {
  struct stat st {};
  if (::stat(lock_path(workspace).c_str(), &st) != 0) return std::nullopt;
  return sys_seconds(std::chrono::seconds(st.st_mtim.tv_sec));
}

process::LockFile take_lock(const Workspace& workspace) {
  const std::string path = lock_path(workspace);
  auto lock = process::LockFile::try_lock(path);
  auto holder = process::LockFile::holder(path);
  // A run that a killed daemon was just about to start has its descriptors until it has begun. Who was killed
  // before the name was written has none.
  const std::int64_t start = util::monotonic_ms();
  while (!lock && !(holder && process::open_process(*holder)) && util::monotonic_ms() - start < 10'000) {
    util::pause_us(2'000);
    lock = process::LockFile::try_lock(path);
    holder = process::LockFile::holder(path);
  }
  if (lock) return std::move(*lock);
  throw Error(ExitCode::overlap,
              "a daemon serves '" + workspace.root() + "' already" +
                  (holder ? ": process " + std::to_string(holder->pid) : ""),
              "there is one for each workspace; `mlops schedule list` shows what it serves");
}

constexpr std::size_t promises_at_a_time = 100;  // some 10 ms

}  // namespace

Daemon::Daemon(const Workspace& workspace, DaemonSettings settings)
    : workspace_(workspace),
      settings_(std::move(settings)),
      seen_(last_look(workspace)),
      lock_(take_lock(workspace)),
      database_(db::Database::open(workspace.database_path())),
      ledger_(workspace_, database_),
      chronicle_(database_, say),
      dispatcher_(workspace, database_, layout::in(workspace.state_directory(), layout::daemon),
                  settings_.runs, {settings_.queue, {}}),
      triggers_(workspace, database_, say),
      deliveries_(workspace_, database_),
      vigil_(workspace_, database_),
      pinger_(workspace_, complain) {
  if (settings_.quiet) set_talk(Talk::troubles);
  database_.keep_few_pages();
  wakeup_.add(triggers_.fd());
  dispatcher_.tell_before([this](const RequestRecord& request) { triggers_.tell_of(request); });
  if (settings_.web.address.empty()) return;
  web_.emplace(workspace, settings_.web, [this](const std::string& line) { triggers_.pass_on(line); });
  wakeup_.add(web_->fd());
}

void Daemon::unplan(File& file) {
  for (std::size_t i = 0; i < file.due.size(); ++i) {
    if (file.due[i]) agenda_.erase({*file.due[i], {&file, i}});
  }
  file.due.clear();
}

// When the entry is next due: after what the ledger has decided, and after `floor`.
void Daemon::plan(const Place& place, sys_seconds floor) {
  File& file = *place.first;
  const Timetable& timetable = file.timetables[place.second];
  std::optional<sys_seconds>& due = file.due[place.second];
  if (due) agenda_.erase({*due, place});
  due.reset();
  due = schedule::next_look(timetable, std::max(file.records[place.second].cursor, floor));
  if (due) agenda_.insert({*due, place});
}

void Daemon::settle(sys_seconds now) {
  std::vector<Place> due;
  for (auto it = agenda_.begin(); it != agenda_.end() && it->first <= now; ++it) due.push_back(it->second);
  settle(due, now);
}

// They stay on the agenda until the ledger has them.
void Daemon::settle(const std::vector<Place>& due, sys_seconds now) {
  if (due.empty() && !in_doubt_) return;
  in_doubt_ = true;  // until all of this is done
  std::vector<Entry> entries;
  std::map<std::string, std::vector<Entry>> broken;
  for (const auto& [file, i] : due) {
    const Entry entry{file->records[i], &file->timetables[i]};
    if (file->problem.empty()) {
      entries.push_back(entry);
    } else {
      broken[file->problem].push_back(entry);
    }
  }
  for (const auto& [problem, list] : broken) ledger_.refuse(list, now, problem);
  recover(now, Turn::before);
  take(ledger_.settle(entries, now, {.seen = seen_}));
  for (const Place& place : due) {
    ScheduleRecord& record = place.first->records[place.second];
    chronicle_.tell(record, now);
    if (const auto current = db::find_schedule(database_.connection(), record.id))
      record.cursor = current->cursor;
    vigil_.news_of(record.id);
    // One that the ledger leaves alone, as it is removed, is not due again at once.
    plan(place, schedule::settled_until(place.first->timetables[place.second], now));
  }
  recover(now, Turn::after);
  in_doubt_ = false;
}

// Claims of processes that died, of ours before a restart and of others. What waited in a queue has its turn
// before what is due now; of other entries what is due now may take the place of what was due before.
void Daemon::recover(sys_seconds now, Turn turn) {
  const schedule::Fences known = dispatcher_.fences();
  if (!ledger_.has_dead_claims(known)) return;
  std::vector<Entry> entries;
  for (auto& [path, file] : files_) {
    if (file.problem.empty()) {
      for (const Entry& entry : entries_of(file)) {
        const bool queued = entry.timetable->entry.overlap == Overlap::queue;
        if (queued == (turn == Turn::before)) entries.push_back(entry);
      }
    }
  }
  const auto claims =
      db::list_slots(database_.connection(), {.schedule = {}, .since = {}, .outcome = SlotOutcome::claimed});
  take(ledger_.recover(entries, now, known));
  chronicle_.tell_of(claims);
}

// After a start, and after a jump of the clock.
void Daemon::look_at_all(sys_seconds now) {
  std::vector<Place> ahead;  // of a clock that was set back
  sys_seconds latest{};
  for (auto& [path, file] : files_) {
    for (std::size_t i = 0; i < file.records.size(); ++i) {
      latest = std::max(latest, file.records[i].cursor);
      if (file.records[i].cursor > now + schedule::small_step) ahead.push_back({&file, i});
    }
  }
  const std::string set_back =
      "the clock was set back: schedules were looked at until " + util::format_local(latest) + " already";
  if (!ahead.empty()) {
    complain(set_back + "; they go on from now on, and no slot that ran is run again");
  } else if (latest > now + schedule::on_time) {
    say(set_back + "; nothing runs until then");
  }
  settle(ahead, now);
  for (const auto& [file, i] : ahead) plan({file, i});
  in_doubt_ = true;
  settle(now);
}

void Daemon::take(const std::vector<Claimed>& claims) {
  for (const Claimed& claimed : claims) {
    const auto file = file_of_.find(claimed.schedule);
    if (file == file_of_.end()) continue;
    Job job;
    job.fence = claimed.claim.fence;
    job.run_id = claimed.claim.run_id;
    job.file = file->second->path;
    job.what = claimed.pipeline + " " + claimed.entry + " " + claimed.local;
    job.pipeline = claimed.pipeline;
    job.in_turn = claimed.overlap == Overlap::queue;
    job.priority = file->second->priority;
    job.concurrency = file->second->concurrency;
    job.replaces = claimed.overlap == Overlap::replace;
    job.start_by = claimed.start_by;
    dispatcher_.add(std::move(job));
  }
}

void Daemon::look_at_promises(sys_seconds now) {
  const std::size_t most = settings_.once ? std::numeric_limits<std::size_t>::max() : promises_at_a_time;
  for (const schedule::Promise& news : vigil_.look(now, most))
    complain(news.record.pipeline + " " + news.record.name + ": " + news.standing.words);
}

void Daemon::take_changes(const std::set<std::string>& changed) {
  for (const std::string& path : changed) {
    const auto owners = owners_.find(path);
    if (files_.contains(path)) {
      changed_.insert(path);
    } else if (owners != owners_.end()) {
      changed_.insert(owners->second.begin(), owners->second.end());
    } else if (path == schedule::bell_path(workspace_, layout::runs_bell)) {
      runs_ended_ = true;
    } else if (path == workspace::config_path(workspace_)) {
      dispatcher_.read_limits();
      pinger_.set_up(calendar::now_seconds());
    } else if (zones_.files().contains(path)) {
      zones_again_ = calendar::now_seconds() + retry_after;  // when all of a new version are there
    } else if (path != schedule::bell_path(workspace_, layout::queue_bell)) {
      look_again_ = true;
    }
  }
}

std::optional<Instant> Daemon::next() const {
  if (kill_at_) return kill_at_;
  // As long as the ledger cannot be written to, what is due stays due.
  if (told_) return again_;
  std::optional<Instant> next = dispatcher_.next();
  const auto take = [&](std::optional<sys_seconds> at) {
    if (at) next = std::min<Instant>(next.value_or(*at), *at);
  };
  take(again_);
  take(zones_again_);
  if (serves() && !agenda_.empty()) take(agenda_.begin()->first);
  if (settings_.once) return next;
  take(vigil_.next());
  take(pinger_.next());
  take(deliveries_.next());
  return next;
}

// False: what happened is nothing to the daemon.
bool Daemon::wait() {
  // As long as nothing can be started, nobody's end is news.
  wakeup_.watch(told_ || kill_at_ ? std::vector<process::Identity>{} : dispatcher_.holders());
  const News news = wakeup_.wait(next());
  take_changes(news.changed);
  triggers_.wake();
  if (web_) web_->wake();
  stopping_ = stopping_ || news.stop;
  if (news.reload) {
    const auto all = paths();
    changed_.insert(all.begin(), all.end());
    look_again_ = true;
    dispatcher_.read_limits();
    pinger_.set_up(calendar::now_seconds());
  }
  if (news.clock_was_set) {
    say("the clock was set: all schedules are looked at");
    vigil_.news_of_all();
    pinger_.begin_anew(calendar::now_seconds());
    look_at_all_ = true;
  }
  return news.any;
}

void Daemon::try_again(const std::exception& error, sys_seconds now) {
  if (!std::exchange(told_, true)) complain(std::string("trying again every few seconds: ") + error.what());
  again_ = now + retry_after;
}

// What is due, what has ended and what has changed. A ledger that cannot be written to, as when another
// process holds it for long or the disk is full, is tried again; so is whatever else goes wrong.
void Daemon::work() {
  const sys_seconds now = calendar::now_seconds();
  if (again_ && *again_ <= now) {
    again_.reset();
    for (const auto& [path, file] : files_) {
      if (!file.problem.empty()) changed_.insert(path);
    }
  }
  try {
    for (const std::string& pipeline : dispatcher_.end()) vigil_.news_of(pipeline);
    read_zones_again(now);
    load_changed();
    if (std::exchange(hooks_changed_, false) && web_) web_->reload();
    if (runs_ended_) triggers_.follow_runs();
    runs_ended_ = false;
    if (look_at_all_) look_at_all(now);
    look_at_all_ = false;
    if (serves()) settle(now);
    triggers_.work();
    dispatcher_.start();
    look_at_promises(now);
    deliveries_.tend(now);
    pinger_.work(now);  // who cannot write to the ledger is not alive
    told_ = false;
    note_look();
  } catch (const Error& error) {
    if (settings_.once && error.code() == ExitCode::usage) throw;
    try_again(error, now);
  } catch (const std::exception& error) {
    try_again(error, now);
  }
}

// For whoever finds later that slots were missed: until now somebody was there.
void Daemon::note_look() {
  if (!serves()) return;
  seen_ = calendar::now_seconds();
  ::utimensat(AT_FDCWD, lock_path(workspace_).c_str(), nullptr, 0);
}

void Daemon::end_all_runs() {
  agenda_.clear();  // nothing is due any more
  again_.reset();
  end_as_process_1(dispatcher_, settings_.stop_within, [this](Instant until) {
    kill_at_ = until;
    wait();
  });
}

int Daemon::run() {
  engine::recover_all(workspace_, database_);
  for (const char* bell : {layout::daemon_bell, layout::queue_bell, layout::runs_bell})
    wakeup_.files().add(schedule::bell_path(workspace_, bell));
  wakeup_.files().add(workspace::config_path(workspace_));
  pinger_.set_up(calendar::now_seconds());
  load_served();
  look_at_all(calendar::now_seconds());
  std::size_t entries = 0;
  for (const auto& [path, file] : files_) entries += file.records.size();
  if (web_) say("takes webhooks at http://" + web_->address() + "/hooks/NAME");
  const std::size_t triggers = triggers_.size();
  say("serving " + std::to_string(entries) + (entries == 1 ? " schedule" : " schedules") +
      (triggers > 0 ? " and " + std::to_string(triggers) + (triggers == 1 ? " trigger" : " triggers") : "") +
      " of " + std::to_string(files_.size()) + (files_.size() == 1 ? " file" : " files") +
      (agenda_.empty() ? "" : ", next at " + util::format_local(agenda_.begin()->first)));
  // What was needed to begin is not needed again.
  database_.connection().execute("PRAGMA shrink_memory");
  ::malloc_trim(0);
  work();
  const Children& children = dispatcher_.children();
  while (!stopping_ && !(settings_.once && children.idle() && triggers_.idle())) {
    // Others may look at what is due next, while the last of these still run.
    if (settings_.once && children.all_started() && triggers_.idle()) lock_.reset();
    if (wait()) work();
  }
  chronicle_.close();
  if (::getpid() == 1 && stopping_) end_all_runs();
  if (!settings_.once) {
    say_stopping(children);
  }
  note_look();
  // Who looks once has nobody who tries again.
  return static_cast<int>(settings_.once && told_ ? ExitCode::io : ExitCode::done);
}

}  // namespace mlops::daemon
