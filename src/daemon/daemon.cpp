#include "daemon/daemon.hpp"

#include <mlops/error.hpp>

#include "db/slots.hpp"
#include "db/triggers.hpp"
#include "engine/recovery.hpp"
#include "schedule/bell.hpp"
#include "util/fd_lock.hpp"
#include "util/files.hpp"
#include "util/log.hpp"
#include "util/time.hpp"
#include "workspace/layout.hpp"

#include <malloc.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace mlops::daemon {

using schedule::Claimed;
using schedule::Entry;
using schedule::sys_seconds;
using schedule::Timetable;

namespace {

sys_seconds now_seconds() { return std::chrono::floor<std::chrono::seconds>(util::now()); }

process::LockFile take_lock(const Workspace& workspace) {
  const std::string path = layout::in(workspace.state_directory(), layout::daemon_lock);
  auto lock = process::LockFile::try_lock(path);
  auto holder = process::LockFile::holder(path);
  // A run that a killed daemon was just about to start has its descriptors until it has begun.
  const std::int64_t start = util::monotonic_ms();
  while (!lock && holder && !process::open_process(*holder) && util::monotonic_ms() - start < 10'000) {
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

std::string unreadable(const std::exception& error) {
  std::string why = std::string("its file cannot be read: ") + error.what();
  why.resize(std::min(why.find('\n'), why.size()));
  return why;
}

Error cannot_serve(const std::string& given, const std::string& why) {
  return Error(ExitCode::usage, "cannot serve '" + given + "': " + why,
               "`mlops validate " + given + "` tells more");
}

// Asked of all that are given before the first is registered. One that is `known` may be broken just now.
void require_servable(const std::string& given, bool known, pipeline::Zones& zones) {
  std::optional<Pipeline> pipeline;
  try {
    pipeline = load_pipeline(util::absolute_path(given), {.overrides = {}, .check_files = false});
    schedule::timetables(*pipeline, zones);
  } catch (const std::exception& error) {
    if (known) return;
    throw cannot_serve(given, unreadable(error));
  }
  if (pipeline->schedules.empty() && pipeline->triggers.empty())
    throw Error(ExitCode::usage, "'" + given + "' has neither a schedule nor triggers",
                "such as  schedule: \"0 3 * * *\"  or  triggers: {files: data/*.csv}");
}

constexpr std::chrono::seconds retry_after{2};
constexpr std::size_t promises_at_a_time = 100;  // some 10 ms

}  // namespace

Daemon::Daemon(const Workspace& workspace, DaemonSettings settings)
    : workspace_(workspace),
      settings_(std::move(settings)),
      lock_(take_lock(workspace)),
      database_(db::Database::open(workspace.database_path())),
      ledger_(workspace_, database_),
      dispatcher_(workspace, database_, layout::in(workspace.state_directory(), layout::daemon),
                  settings_.runs, {settings_.queue, {}}),
      triggers_(workspace, database_, say),
      deliveries_(workspace_, database_),
      vigil_(workspace_, database_),
      pinger_(workspace_, complain) {
  if (settings_.quiet) set_talk(Talk::troubles);
  wakeup_.add(triggers_.fd());
  if (settings_.web.address.empty()) return;
  web_.emplace(workspace, settings_.web, say);
  wakeup_.add(web_->fd());
}

std::vector<Entry> Daemon::entries_of(const File& file) const {
  std::vector<Entry> entries;
  for (std::size_t i = 0; i < file.records.size(); ++i)
    entries.push_back({file.records[i], &file.timetables[i]});
  return entries;
}

// Reads a pipeline file, at first or again. Of one that cannot be read what it said before is still known,
// and its slots are refused. False: nothing is known of it.
bool Daemon::load(const std::string& path, bool serve) {
  const sys_seconds now = now_seconds();
  File& file = files_[path];
  file.path = path;
  // Before it is read: what changes meanwhile is read again.
  if (!wakeup_.files().add(path)) again_ = now + retry_after;
  std::optional<Pipeline> pipeline;
  std::vector<Timetable> timetables;
  std::string why;
  try {
    pipeline = load_pipeline(path, {.overrides = {}, .check_files = false});
    for (const Schedule& entry : pipeline->schedules) {
      for (const std::string& days : entry.except) {
        const std::string other = util::absolute_path(pipeline->directory + "/" + days);
        if (util::exists(other) && wakeup_.files().add(other)) owners_[other].insert(path);
      }
    }
    timetables = schedule::timetables(*pipeline, zones_);
  } catch (const std::exception& error) {  // whatever it is: the other files go on
    why = unreadable(error);
  }
  if (!why.empty()) {
    if (!triggers_.refuse(path, why) && file.records.empty()) {
      file.problem = why;
      return false;
    }
    ledger_.refuse(entries_of(file), now, why);
    if (std::exchange(file.problem, why) != why)
      complain(workspace_.relative(path) + ": " + why + "; nothing of it runs until that is mended");
    return true;
  }
  settle(now);  // by what it said until now
  std::vector<ScheduleRecord> records =
      ledger_.adopt(*pipeline, timetables, now, serve ? std::optional(true) : std::nullopt);
  unplan(file);
  for (const ScheduleRecord& record : file.records) vigil_.forget(record.id);
  file.records = std::move(records);
  file.timetables = std::move(timetables);
  file.priority = pipeline->priority;
  file.concurrency = pipeline->concurrency;
  for (ScheduleRecord& record : file.records) record.definition = {};  // of thousands it would be much
  if (!file.problem.empty()) say(workspace_.relative(path) + " can be read again");
  file.problem.clear();
  file.due.resize(file.records.size());
  for (std::size_t i = 0; i < file.records.size(); ++i) {
    file_of_[file.records[i].id] = &file;
    vigil_.watch(file.records[i], file.timetables[i]);
    plan({&file, i});
  }
  triggers_.take(
      path,
      triggers::Events(workspace_, database_).adopt(*pipeline, serve ? std::optional(true) : std::nullopt));
  hooks_changed_ = true;
  if (!web_ && std::ranges::find(pipeline->triggers, Trigger::Kind::webhook, &Trigger::kind) !=
                   pipeline->triggers.end())
    say(workspace_.relative(path) + ": webhooks are taken only with --http, such as --http 127.0.0.1:8080");
  return true;
}

std::vector<std::string> Daemon::paths() const {
  std::vector<std::string> list;
  for (const auto& [path, file] : files_) list.push_back(path);
  return list;
}

// What a file said last, which cannot be read now: its slots are refused.
void Daemon::remember(File& file, std::vector<ScheduleRecord> records) {
  const std::string directory = file.path.substr(0, file.path.rfind('/'));
  for (ScheduleRecord& record : records) {
    Schedule entry = schedule::schedule_of(Json::parse(record.definition, nullptr, false));
    std::optional<calendar::Rule> rule;
    for (int attempt = 0; attempt < 2 && !rule; ++attempt) {
      try {
        rule = pipeline::rule_of(entry, record.pipeline, directory, zones_);
      } catch (const Error&) {
        entry.except.clear();  // a file of days may be gone
      }
    }
    if (!rule || record.removed_at) continue;
    file.timetables.push_back({entry, std::move(*rule), pipeline::delay_of(entry, record.pipeline)});
    vigil_.watch(record, file.timetables.back());
    file_of_[record.id] = &file;
    file.records.push_back(std::move(record));
  }
  file.due.resize(file.records.size());
  // A line in a crontab that looks each minute says it once.
  const bool told = std::ranges::all_of(
      file.records, [&](const ScheduleRecord& record) { return record.problem == file.problem; });
  ledger_.refuse(entries_of(file), now_seconds(), file.problem);
  const std::string words =
      workspace_.relative(file.path) + ": " + file.problem + "; nothing of it runs until that is mended";
  told ? say(words) : complain(words);
  for (std::size_t i = 0; i < file.records.size(); ++i) plan({&file, i}, now_seconds());
}

void Daemon::load_served() {
  std::map<std::string, std::vector<ScheduleRecord>> known;
  for (ScheduleRecord& record : db::schedules(database_.connection())) {
    // Also one that the file does not have just now: it may come back.
    if (record.served)
      known[util::absolute_path(record.file.starts_with('/') ? record.file
                                                             : workspace_.root() + "/" + record.file)]
          .push_back(std::move(record));
  }
  for (const TriggerRecord& record : db::triggers(database_.connection())) {
    if (record.served) known[triggers::file_of(workspace_, record)];
  }
  for (const std::string& given : settings_.files)
    require_servable(given, known.contains(util::absolute_path(given)), zones_);
  for (const std::string& path : paths()) {
    if (!known.contains(path)) drop(path);
  }
  for (auto& [path, records] : known) {
    if (files_.contains(path)) continue;  // it is read again when it changes
    if (!load(path, false)) remember(files_[path], std::move(records));
  }
  // From now on these are served like the others, and may be taken away likewise.
  for (const std::string& given : std::exchange(settings_.files, {})) {
    const std::string path = util::absolute_path(given);
    if (load(path, true) || known.contains(path)) continue;
    const std::string why = files_[path].problem;
    files_.erase(path);
    throw cannot_serve(given, why);
  }
}

void Daemon::unplan(File& file) {
  for (std::size_t i = 0; i < file.due.size(); ++i) {
    if (file.due[i]) agenda_.erase({*file.due[i], {&file, i}});
  }
  file.due.clear();
}

// What is not served any more. What was due until now still is.
void Daemon::drop(const std::string& path) {
  settle(now_seconds());
  File& file = files_[path];
  unplan(file);
  triggers_.drop(path);
  hooks_changed_ = true;
  for (const ScheduleRecord& record : file.records) vigil_.forget(record.id);
  std::erase_if(file_of_, [&](const auto& entry) { return entry.second == &file; });
  files_.erase(path);
  say(workspace_.relative(path) + " is not served any more");
}

// When the entry is next due: after what the ledger has decided, and after `floor`.
void Daemon::plan(const Place& place, sys_seconds floor) {
  File& file = *place.first;
  const Timetable& timetable = file.timetables[place.second];
  std::optional<sys_seconds>& due = file.due[place.second];
  if (due) agenda_.erase({*due, place});
  due.reset();
  const auto next = calendar::next_fire(timetable.rule, std::max(file.records[place.second].cursor, floor));
  if (!next) return;
  due = *next + timetable.delay;
  agenda_.insert({*due, place});
}

void Daemon::settle(sys_seconds now) {
  std::vector<Place> due;
  for (auto it = agenda_.begin(); it != agenda_.end() && it->first <= now; ++it) due.push_back(it->second);
  settle(due, now);
}

// They stay on the agenda until the ledger has them.
void Daemon::settle(const std::vector<Place>& due, sys_seconds now) {
  if (due.empty()) return;
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
  std::vector<Claimed> claims = ledger_.settle(entries, now);
  for (const Place& place : due) {
    ScheduleRecord& record = place.first->records[place.second];
    if (const auto current = db::find_schedule(database_.connection(), record.id))
      record.cursor = current->cursor;
    vigil_.news_of(record.id);
    // One that the ledger leaves alone, as it is removed, is not due again at once.
    plan(place, schedule::settled_until(place.first->timetables[place.second], now));
  }
  take(claims);
  recover(now);
}

// Claims of processes that died, of ours before a restart and of others.
void Daemon::recover(sys_seconds now) {
  if (!ledger_.has_dead_claims()) return;
  std::vector<Entry> entries;
  for (auto& [path, file] : files_) {
    if (file.problem.empty()) {
      for (const Entry& entry : entries_of(file)) entries.push_back(entry);
    }
  }
  take(ledger_.recover(entries, now));
}

// After a start, and after a jump of the clock.
void Daemon::look_at_all(sys_seconds now) {
  std::vector<Place> ahead;  // of a clock that was set back
  for (auto& [path, file] : files_) {
    for (std::size_t i = 0; i < file.records.size(); ++i) {
      if (file.records[i].cursor > now + schedule::small_step) ahead.push_back({&file, i});
    }
  }
  settle(ahead, now);
  for (const auto& [file, i] : ahead) plan({file, i});
  settle(now);
  recover(now);
}

void Daemon::take(const std::vector<Claimed>& claims) {
  for (const Claimed& claimed : claims) {
    const auto file = file_of_.find(claimed.schedule);
    if (file == file_of_.end()) continue;
    Job job;
    job.fence = claimed.claim.fence;
    job.run_id = claimed.claim.run_id;
    job.file = file->second->path;
    job.what = claimed.pipeline + " " + claimed.local;
    job.pipeline = claimed.pipeline;
    job.in_turn = claimed.overlap == Overlap::queue;
    job.priority = file->second->priority;
    job.concurrency = file->second->concurrency;
    job.replaces = claimed.overlap == Overlap::replace;
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
      pinger_.set_up(now_seconds());
    } else if (path != schedule::bell_path(workspace_, layout::queue_bell)) {
      look_again_ = true;
    }
  }
}

// Each stays to be read until it has been.
void Daemon::load_changed() {
  while (!changed_.empty()) {
    const std::string path = *changed_.begin();
    if (files_.contains(path)) load(path, false);
    changed_.erase(path);
  }
  if (look_again_) {
    load_served();
    vigil_.news_of_all();
  }
  look_again_ = false;
}

std::optional<Instant> Daemon::next() const {
  // As long as the ledger cannot be written to, what is due stays due.
  if (told_) return again_;
  std::optional<Instant> next = dispatcher_.next();
  const auto take = [&](std::optional<sys_seconds> at) {
    if (at) next = std::min<Instant>(next.value_or(*at), *at);
  };
  take(again_);
  if (settings_.once) return next;
  if (!agenda_.empty()) take(agenda_.begin()->first);
  take(vigil_.next());
  take(pinger_.next());
  take(deliveries_.next());
  return next;
}

// False: what happened is nothing to the daemon.
bool Daemon::wait() {
  wakeup_.watch(dispatcher_.holders());
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
    pinger_.set_up(now_seconds());
  }
  if (news.clock_was_set) {
    say("the clock was set: all schedules are looked at");
    vigil_.news_of_all();
    pinger_.begin_anew(now_seconds());
    look_at_all(now_seconds());
  }
  return news.any;
}

// What is due, what has ended and what has changed. A ledger that cannot be written to, as when another
// process holds it for long or the disk is full, is tried again.
void Daemon::work() {
  const sys_seconds now = now_seconds();
  if (again_ && *again_ <= now) {
    again_.reset();
    for (const auto& [path, file] : files_) {
      if (!file.problem.empty()) changed_.insert(path);
    }
  }
  try {
    for (const std::string& pipeline : dispatcher_.end()) vigil_.news_of(pipeline);
    load_changed();
    if (std::exchange(hooks_changed_, false) && web_) web_->reload();
    if (runs_ended_) triggers_.follow_runs();
    runs_ended_ = false;
    if (!settings_.once) settle(now);
    triggers_.work();
    dispatcher_.start();
    look_at_promises(now);
    deliveries_.tend(now);
    pinger_.work(now);  // who cannot write to the ledger is not alive
    told_ = false;
  } catch (const Error& error) {
    if (error.code() == ExitCode::usage) throw;
    if (!std::exchange(told_, true)) complain(std::string("trying again every few seconds: ") + error.what());
    again_ = now + retry_after;
  }
}

// Process 1, as in a container, takes all others with it: so its runs are ended in order, and say so in their
// records. Whoever stops the container sees to it that this does not take for ever.
void Daemon::end_all_runs() {
  say("stopping, as process 1: " + std::to_string(dispatcher_.children().running()) +
      " runs are ended first");
  agenda_.clear();  // nothing is due any more
  again_.reset();
  dispatcher_.end_all();
  while (dispatcher_.children().running() > 0) {
    wait();
    try {
      dispatcher_.end();
    } catch (const Error& error) {
      complain(error.what());
    }
  }
}

int Daemon::run() {
  engine::recover_all(workspace_, database_);
  for (const char* bell : {layout::daemon_bell, layout::queue_bell, layout::runs_bell})
    wakeup_.files().add(schedule::bell_path(workspace_, bell));
  wakeup_.files().add(workspace::config_path(workspace_));
  pinger_.set_up(now_seconds());
  load_served();
  look_at_all(now_seconds());
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
  if (::getpid() == 1 && stopping_) end_all_runs();
  if (!settings_.once) {
    say_stopping(children);
  }
  return 0;
}

}  // namespace mlops::daemon
