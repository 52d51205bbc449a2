// The pipeline files that the daemon serves: read at first and again, dropped, remembered while they are
// broken.
#include <mlops/error.hpp>

#include "calendar/instants.hpp"
#include "daemon/daemon.hpp"
#include "db/slots.hpp"
#include "db/triggers.hpp"
#include "util/files.hpp"

#include <algorithm>
#include <utility>

namespace mlops::daemon {

using schedule::Entry;
using schedule::sys_seconds;
using schedule::Timetable;

namespace {

std::string unreadable(const std::exception& error) {
  std::string why = std::string("its file cannot be read: ") + error.what();
  why.resize(std::min(why.find('\n'), why.size()));
  return why;
}

Error cannot_serve(const std::string& given, const std::string& why) {
  return Error(ExitCode::usage, "cannot serve '" + given + "': " + why,
               "`mlops validate " + given + "` tells more");
}

// Asked of all that are new before the first of them is registered.
void require_servable(const std::string& given, pipeline::Zones& zones) {
  std::optional<Pipeline> pipeline;
  try {
    pipeline = load_pipeline(util::absolute_path(given), {.overrides = {}, .check_files = false});
    schedule::timetables(*pipeline, zones);
  } catch (const std::exception& error) {
    throw cannot_serve(given, unreadable(error));
  }
  if (pipeline->schedules.empty() && pipeline->triggers.empty())
    throw Error(ExitCode::usage, "'" + given + "' has neither a schedule nor triggers",
                "such as  schedule: \"0 3 * * *\"  or  triggers: {files: data/*.csv}");
}

}  // namespace

std::vector<Entry> Daemon::entries_of(const File& file) const {
  std::vector<Entry> entries;
  for (std::size_t i = 0; i < file.records.size(); ++i)
    entries.push_back({file.records[i], &file.timetables[i]});
  return entries;
}

// Reads a pipeline file, at first or again. Of one that cannot be read what it said before is still known,
// and its slots are refused. False: nothing is known of it.
bool Daemon::load(const std::string& path, bool serve) {
  const sys_seconds now = calendar::now_seconds();
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
  ledger_.refuse(entries_of(file), calendar::now_seconds(), file.problem);
  const std::string words =
      workspace_.relative(file.path) + ": " + file.problem + "; nothing of it runs until that is mended";
  told ? say(words) : complain(words);
  for (std::size_t i = 0; i < file.records.size(); ++i) plan({&file, i}, calendar::now_seconds());
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
  for (const std::string& given : settings_.files) {
    if (!known.contains(util::absolute_path(given))) require_servable(given, zones_);
  }
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

// What is not served any more. What was due until now still is.
void Daemon::drop(const std::string& path) {
  settle(calendar::now_seconds());
  File& file = files_[path];
  unplan(file);
  triggers_.drop(path);
  hooks_changed_ = true;
  for (const ScheduleRecord& record : file.records) vigil_.forget(record.id);
  std::erase_if(file_of_, [&](const auto& entry) { return entry.second == &file; });
  files_.erase(path);
  say(workspace_.relative(path) + " is not served any more");
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

}  // namespace mlops::daemon
