#include "schedule/timetable.hpp"

#include <mlops/error.hpp>

#include "calendar/instants.hpp"
#include "util/digest.hpp"
#include "util/time.hpp"

#include <algorithm>
#include <variant>

namespace mlops::schedule {

using std::chrono::milliseconds;

std::vector<Timetable> timetables(const Pipeline& pipeline, pipeline::Zones& zones) {
  std::vector<Timetable> result;
  for (const Schedule& entry : pipeline.schedules) {
    result.push_back({entry, pipeline::rule_of(entry, pipeline.name, pipeline.directory, zones),
                      pipeline::delay_of(entry, pipeline.name)});
  }
  return result;
}

std::vector<Timetable> require_timetables(const Pipeline& pipeline, pipeline::Zones& zones) {
  if (pipeline.schedules.empty()) {
    throw Error(ExitCode::usage, "'" + pipeline.file + "' has no schedule, so it has no slots",
                "such as  schedule: \"0 3 * * *\"  for every day at 03:00");
  }
  return timetables(pipeline, zones);
}

std::vector<std::pair<sys_seconds, std::size_t>> slots_meant(const std::string& file,
                                                             const std::vector<Timetable>& timetables,
                                                             const std::optional<std::string>& at,
                                                             sys_seconds now) {
  std::vector<std::pair<sys_seconds, std::size_t>> slots;
  for (std::size_t i = 0; i < timetables.size(); ++i) {
    const calendar::Rule& rule = timetables[i].rule;
    std::optional<sys_seconds> time;
    if (at) {
      const sys_seconds wanted = calendar::read_time(*at, *rule.zone);
      if (calendar::next_fire(rule, wanted - std::chrono::seconds(1)) == wanted) time = wanted;
    } else {
      time = calendar::last_fire(rule, now);
    }
    if (time) slots.emplace_back(*time, i);
  }
  if (slots.empty()) {
    const auto next = calendar::next_fire(timetables.front().rule, now);
    throw Error(ExitCode::usage,
                at ? "'" + file + "' has no slot at " + *at : "no slot of '" + file + "' has come yet",
                next ? "the next one is " + timetables.front().text(*next) + "; see `mlops schedule next`"
                     : "see `mlops schedule next`");
  }
  std::ranges::stable_sort(slots, std::ranges::greater{}, &std::pair<sys_seconds, std::size_t>::first);
  if (slots.front().first > now) {
    throw Error(ExitCode::usage,
                "the slot " + timetables[slots.front().second].text(slots.front().first) + " is yet to come",
                "slots are run when their time has come");
  }
  return slots;
}

SlotValues slot_values(const Timetable& timetable, sys_seconds at) {
  calendar::Rule rule = timetable.rule;
  rule.start.reset();
  const auto* every = std::get_if<calendar::Every>(&rule.what);
  const sys_seconds before =
      calendar::last_fire(rule, at - std::chrono::seconds(1)).value_or(every ? at - every->period : at);
  std::string id = util::format_utc(at).substr(0, 19);
  std::erase_if(id, [](char c) { return c == '-' || c == ':'; });
  std::ranges::replace(id, ' ', 'T');
  return {id + "Z", timetable.text(before), timetable.text(at)};
}

Timetable timetable_of(const ScheduleRecord& record, const std::string& root, pipeline::Zones& zones) {
  const Schedule entry = schedule_of(Json::parse(record.definition, nullptr, false));
  const std::string path = record.file.starts_with('/') ? record.file : root + "/" + record.file;
  return {entry, pipeline::rule_of(entry, record.pipeline, path.substr(0, path.rfind('/')), zones),
          pipeline::delay_of(entry, record.pipeline)};
}

Json definition_of(const Timetable& timetable) {
  const Schedule& s = timetable.entry;
  std::string days;
  for (const auto day : timetable.rule.except) days += calendar::to_text(calendar::local_seconds(day)) + "\n";
  return {{"except_days", days.empty() ? "" : util::sha256(days).substr(0, 16)},
          {"name", s.name},
          {"cron", s.cron},
          {"every_s", s.every.count()},
          {"at", s.at},
          {"timezone", s.timezone},
          {"start", s.start},
          {"end", s.end},
          {"except", s.except},
          {"days", s.days},
          {"run_in_gap", s.run_in_gap},
          {"run_in_both", s.run_in_both},
          {"jitter_ms", s.jitter.count()},
          {"catchup", to_string(s.catchup)},
          {"catchup_most", s.catchup_most},
          {"catchup_window_ms", s.catchup_window.count()},
          {"start_within_ms", s.start_within.count()},
          {"overlap", to_string(s.overlap)},
          {"deadline", s.deadline},
          {"fresh_within_ms", s.fresh_within.count()}};
}

Schedule schedule_of(const Json& json) {
  Schedule s;
  if (!json.is_object()) return s;
  s.name = json.value("name", "");
  s.cron = json.value("cron", "");
  s.every = std::chrono::seconds(json.value("every_s", std::int64_t{0}));
  s.at = json.value("at", "");
  s.timezone = json.value("timezone", "");
  s.start = json.value("start", "");
  s.end = json.value("end", "");
  s.except = json.value("except", std::vector<std::string>());
  s.days = json.value("days", "cron");
  s.run_in_gap = json.value("run_in_gap", true);
  s.run_in_both = json.value("run_in_both", false);
  s.jitter = milliseconds(json.value("jitter_ms", std::int64_t{0}));
  const std::string catchup = json.value("catchup", "last");
  for (const Catchup each : {Catchup::none, Catchup::last, Catchup::all})
    if (catchup == to_string(each)) s.catchup = each;
  s.catchup_most = json.value("catchup_most", s.catchup_most);
  s.catchup_window = milliseconds(json.value("catchup_window_ms", std::int64_t{0}));
  s.start_within = milliseconds(json.value("start_within_ms", std::int64_t{0}));
  const std::string overlap = json.value("overlap", "skip");
  for (const Overlap each : {Overlap::skip, Overlap::queue, Overlap::replace, Overlap::allow})
    if (overlap == to_string(each)) s.overlap = each;
  s.deadline = json.value("deadline", "");
  s.fresh_within = milliseconds(json.value("fresh_within_ms", std::int64_t{0}));
  return s;
}

bool same_times(const Json& a, const Json& b) {
  for (const char* key : {"cron", "every_s", "at", "timezone", "start", "end", "except", "except_days",
                          "days", "run_in_gap", "run_in_both"}) {
    if (!a.is_object() || !b.is_object() || a.value(key, Json()) != b.value(key, Json())) return false;
  }
  return true;
}

}  // namespace mlops::schedule
