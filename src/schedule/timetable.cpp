#include "schedule/timetable.hpp"

#include "util/digest.hpp"

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
          {"overlap", to_string(s.overlap)}};
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
