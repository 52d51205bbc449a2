// The pipeline files that the daemon serves: read at first and again, dropped, remembered while they are
// broken.
#include <mlops/error.hpp>

#include "calendar/instants.hpp"
#include "daemon/daemon.hpp"
#include "db/slots.hpp"
#include "db/triggers.hpp"
#include "schedule/broken_files.hpp"
#include "util/files.hpp"
#include "util/strings.hpp"

#include <algorithm>
#include <cstdint>
#include <map>
#include <unordered_map>
#include <utility>

namespace mlops::daemon {

using schedule::Entry;
using schedule::sys_seconds;
using schedule::Timetable;

namespace {

constexpr int crontab_limit_ms = 2'000;

// What is new in a file since the ledger last heard of it; empty if nothing is.
std::string changes(const std::vector<ScheduleRecord>& before, const std::vector<ScheduleRecord>& now) {
  std::vector<std::string> list;
  std::unordered_map<std::int64_t, const ScheduleRecord*> known, there;  // there may be thousands
  for (const ScheduleRecord& record : before) known[record.id] = &record;
  for (const ScheduleRecord& record : now) {
    there[record.id] = &record;
    const auto was = known.find(record.id);
    if (was == known.end() || was->second->removed_at) {
      list.push_back(record.name + " is new");
    } else if (was->second->name != record.name) {
      list.push_back(was->second->name + " is called " + record.name + " now");
    } else if (was->second->definition != record.definition) {
      const bool times = !schedule::same_times(Json::parse(was->second->definition, nullptr, false),
                                               Json::parse(record.definition, nullptr, false));
      list.push_back(record.name + (times ? " has other times" : " has other settings"));
    }
  }
  for (const ScheduleRecord& record : before) {
    if (!record.removed_at && !there.contains(record.id)) list.push_back(record.name + " is gone");
  }
  return util::join(list, ", ");
}

}  // namespace

void require_servable(const std::vector<std::string>& files, std::map<std::string, std::string> names,
                      pipeline::Zones& zones, const Workspace* workspace) {
  for (const std::string& one : files) {
    const std::string path = util::absolute_path(one), words = "cannot serve '" + one + "': ";
    std::optional<Pipeline> pipeline;
    try {
      pipeline = load_pipeline(path, {.overrides = {}, .check_files = false});
      schedule::timetables(*pipeline, zones);
    } catch (const std::exception& error) {
      throw Error(ExitCode::usage, words + schedule::unreadable(error),
                  "`mlops validate " + one + "` tells more");
    }
    if (pipeline->schedules.empty() && pipeline->triggers.empty())
      throw Error(ExitCode::usage, "'" + one + "' has neither a schedule nor triggers",
                  "such as  schedule: \"0 3 * * *\"  or  triggers: {files: data/*.csv}");
    const std::string& other = names.try_emplace(pipeline->name, path).first->second;
    if (other != path)
      throw Error(ExitCode::usage,
                  words + schedule::same_name(pipeline->name, workspace ? workspace->relative(other) : other),
                  "give one of them a `name:` of its own");
  }
}

std::vector<Entry> Daemon::entries_of(const File& file) const {
  std::vector<Entry> entries;
  for (std::size_t i = 0; i < file.records.size(); ++i)
    entries.push_back({file.records[i], &file.timetables[i]});
  return entries;
}

// Reads a pipeline file, at first or again. Of one that cannot be read what it said before, or is `known` to
// have said, still counts, and its slots are refused.
bool Daemon::load(const std::string& path, bool serve, std::vector<ScheduleRecord> known) {
  const sys_seconds now = calendar::now_seconds();
  const bool again = files_.contains(path);
  File& file = files_[path];
  file.path = path;
  const bool had_namesake = !std::exchange(file.namesake, "").empty();
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
    const auto other = named_.find(pipeline->name);
    if (other != named_.end() && other->second != &file) {
      file.namesake = other->second->path;
      why = schedule::same_name(pipeline->name, workspace_.relative(file.namesake));
    }
  } catch (const std::exception& error) {  // whatever it is: the other files go on
    why = schedule::unreadable(error);
  }
  take_name(file, why.empty() ? pipeline->name : "");
  if (std::exchange(zones_watched_, zones_.files().size()) != zones_.files().size()) {
    for (const std::string& zone : zones_.files()) wakeup_.files().add(zone);
  }
  if (!why.empty()) return refuse(file, why, std::move(known));
  settle(now);  // by what it said until now
  const auto before =
      again ? db::schedules_of(database_.connection(), workspace_.relative(path)) : std::move(known);
  std::vector<ScheduleRecord> records =
      ledger_.adopt(*pipeline, timetables, now, serve ? std::optional(true) : std::nullopt,
                    again ? now : seen_.value_or(sys_seconds()));
  const std::string news = before.empty() ? "" : changes(before, records);
  if (!news.empty()) say(workspace_.relative(path) + " was changed: " + news);
  const bool has_news = !news.empty() || !file.problem.empty();
  if (!news.empty()) {
    for (const ScheduleRecord& record : before) chronicle_.tell(record, now);
  }
  unplan(file);
  for (const ScheduleRecord& record : file.records) vigil_.forget(record.id);
  file.records = std::move(records);
  file.timetables = std::move(timetables);
  file.priority = pipeline->priority;
  file.concurrency = pipeline->concurrency;
  for (ScheduleRecord& record : file.records) record.definition = {};  // of thousands it would be much
  if (!file.problem.empty())
    say(workspace_.relative(path) + (had_namesake ? " has its name for itself now" : " can be read again"));
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
  if (!again) look_at_crontab(*pipeline);
  return has_news;
}

// Cron may go on with what is run here from now on. A line that looks each minute says nothing of that:
// whoever wrote it was told.
void Daemon::look_at_crontab(const Pipeline& pipeline) {
  if (settings_.once || pipeline.schedules.empty()) return;
  if (!cron_) cron_ = schedule::jobs_of_cron(crontab_limit_ms);
  const auto lines = schedule::active_lines(*cron_, {&pipeline});
  for (const schedule::ActiveLine& line : lines) complain(words_for(line));
  if (!lines.empty()) complain("to take that out: " + schedule::way_out(lines));
}

// The name of its pipeline, "" for none. Who could not have the one that it had may have it now.
void Daemon::take_name(File& file, const std::string& name) {
  if (file.pipeline == name) return;
  if (!file.pipeline.empty()) {
    named_.erase(file.pipeline);
    for (const auto& [path, other] : files_) {
      if (other.namesake == file.path) changed_.insert(path);
    }
  }
  file.pipeline = name;
  if (!name.empty()) named_[name] = &file;
}

// Nothing of it runs until it is mended. True: it says so for the first time.
bool Daemon::refuse(File& file, const std::string& why, std::vector<ScheduleRecord> known) {
  const bool has_triggers = triggers_.refuse(file.path, why);
  if (file.records.empty()) remember(file, std::move(known));
  const bool same = std::exchange(file.problem, why) == why;
  if (!has_triggers && file.records.empty()) return !same;
  // A line in a crontab that looks each minute says it once.
  const bool told = !file.records.empty() && std::ranges::all_of(file.records, [&](const auto& record) {
    return record.problem == why;
  });
  ledger_.refuse(entries_of(file), calendar::now_seconds(), why);
  const std::string words =
      workspace_.relative(file.path) + ": " + why + "; nothing of it runs until that is mended";
  if (!same) told ? say(words) : complain(words);
  return !same;
}

std::vector<std::string> Daemon::paths() const {
  std::vector<std::string> list;
  for (const auto& [path, file] : files_) list.push_back(path);
  return list;
}

// What a file said last, which cannot be read now.
void Daemon::remember(File& file, std::vector<ScheduleRecord> records) {
  const std::string directory = file.path.substr(0, file.path.rfind('/'));
  for (ScheduleRecord& record : records) {
    Schedule entry = schedule::schedule_of(Json::parse(record.definition, nullptr, false));
    std::optional<calendar::Rule> rule;
    for (int attempt = 0; attempt < 2 && !rule; ++attempt) {
      try {
        rule = pipeline::rule_of(entry, record.pipeline, directory, zones_);
      } catch (const std::exception&) {
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
  for (const std::string& path : paths()) {
    if (!known.contains(path)) drop(path);
  }
  // What was refused before comes last: another has its name, perhaps. Those that are here already are read
  // again when they change.
  const auto is_refused = [](const ScheduleRecord& record) { return !record.problem.empty(); };
  for (const bool refused : {false, true}) {
    for (auto& [path, records] : known) {
      if (files_.contains(path) || std::ranges::any_of(records, is_refused) != refused) continue;
      load(path, false, std::move(records));
    }
  }
  std::vector<std::string> fresh;
  for (const std::string& given : settings_.files) {
    if (!known.contains(util::absolute_path(given))) fresh.push_back(given);
  }
  // Asked of all that are new before the first of them is registered.
  std::map<std::string, std::string> names;
  for (const auto& [name, file] : named_) names[name] = file->path;
  require_servable(fresh, std::move(names), zones_, &workspace_);
  // From now on these are served like the others, and may be taken away likewise.
  for (const std::string& given : std::exchange(settings_.files, {})) load(util::absolute_path(given), true);
  cron_.reset();
}

// What is not served any more. What was due until now still is.
void Daemon::drop(const std::string& path) {
  settle(calendar::now_seconds());
  File& file = files_[path];
  unplan(file);
  triggers_.drop(path);
  hooks_changed_ = true;
  take_name(file, "");
  for (const ScheduleRecord& record : file.records) vigil_.forget(record.id);
  std::erase_if(file_of_, [&](const auto& entry) { return entry.second == &file; });
  files_.erase(path);
  say(workspace_.relative(path) + " is not served any more");
}

// Their files have changed. What is due until now is so by what they said.
void Daemon::read_zones_again(sys_seconds now) {
  if (!zones_again_ || *zones_again_ > now) return;
  zones_again_.reset();
  settle(now);
  zones_.forget();
  say("the data of time zones has changed: all schedules are read again");
  for (const auto& [path, file] : files_) changed_.insert(path);
}

// Each stays to be read until it has been.
void Daemon::load_changed() {
  std::vector<std::string> same;
  while (!changed_.empty() || look_again_) {
    if (changed_.empty()) {
      load_served();
      dispatcher_.drop_void();
      vigil_.news_of_all();
      look_again_ = false;
      continue;
    }
    const std::string path = *changed_.begin();
    if (files_.contains(path) && !load(path, false)) same.push_back(path);
    changed_.erase(path);
  }
  if (same.size() == 1) {
    say(workspace_.relative(same.front()) + " was read again: its schedules are as they were");
  } else if (!same.empty()) {
    say(std::to_string(same.size()) + " files were read again: their schedules are as they were");
  }
}

}  // namespace mlops::daemon
