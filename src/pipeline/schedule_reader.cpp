#include "pipeline/schedule_reader.hpp"

#include <mlops/error.hpp>

#include "calendar/cron.hpp"
#include "pipeline/schedule_rule.hpp"
#include "util/strings.hpp"

#include <algorithm>

namespace mlops::pipeline {

namespace {

using util::YamlNode;

constexpr std::size_t kMostSchedules = 1000;

// One entry.
class ScheduleEntry {
 public:
  ScheduleEntry(const YamlNode& node, const Fields& fields) : node_(node), fields_(fields) {}

  bool read(Schedule& out) {
    if (node_.is_scalar()) {
      const auto cron = fields_.text(node_, "schedule");
      if (cron && cron->empty())
        fields_.expected(node_, "schedule", "a cron line",
                         "such as schedule: \"0 3 * * *\" for every day at 3:00");
      out.cron = cron.value_or("");
      return !out.cron.empty();
    }
    if (!check_keys(node_, schedule_keys(), "schedule", fields_.problems())) return false;
    const std::size_t before = fields_.problems().list().size();
    read_times(out);
    read_place(out);
    read_policy(out);
    return fields_.problems().list().size() == before;
  }

 private:
  const YamlNode* find(const char* key) const {
    const YamlNode* node = node_.find(key);
    return node && !node->is_null() ? node : nullptr;
  }
  std::string text(const char* key) const {
    const YamlNode* node = find(key);
    if (!node) return "";
    const auto value = fields_.text(*node, key);
    if (value && value->empty())
      fields_.expected(*node, key, "a text", std::string("leave '") + key + "' out if it is to say nothing");
    return value.value_or("");
  }

  void read_times(Schedule& out) {
    out.name = text("name");
    out.cron = text("cron");
    out.at = text("at");
    int given = (find("cron") ? 1 : 0) + (find("at") ? 1 : 0);
    if (const YamlNode* node = find("every")) {
      ++given;
      const auto period = fields_.duration(*node, "every");
      if (period &&
          (*period < std::chrono::seconds(1) || *period % std::chrono::seconds(1) != std::chrono::seconds(0)))
        fields_.expected(*node, "every", "whole seconds, at least one");
      out.every = std::chrono::duration_cast<std::chrono::seconds>(period.value_or(Milliseconds(0)));
    }
    if (given == 1) return;
    fields_.problems().add(
        node_.at,
        given == 0 ? "schedule: says no time" : "schedule: only one of 'cron', 'every' and 'at' can be given",
        given == 0
            ? "such as cron: \"0 3 * * *\" for every day at 3:00, every: 15m, or at: \"2026-12-24 18:00\""
            : "several entries make a list: schedule: [{cron: …}, {every: …}]");
  }

  void read_place(Schedule& out) {
    out.timezone = text("timezone");
    out.start = text("start");
    out.end = text("end");
    if (const YamlNode* node = find("except")) {
      for (Placed& day : fields_.texts(*node, "except")) out.except.push_back(std::move(day.text));
    }
    if (const YamlNode* node = find("days"))
      out.days = fields_.choice(*node, "days", days_values()).value_or("cron");
    if (const YamlNode* node = find("dst")) {
      if (check_keys(*node, dst_keys(), "dst", fields_.problems())) {
        if (const YamlNode* gap = node->find("gap"))
          out.run_in_gap = fields_.choice(*gap, "gap", gap_values()).value_or("run") == "run";
        if (const YamlNode* both = node->find("overlap"))
          out.run_in_both = fields_.choice(*both, "overlap", repeated_values()).value_or("first") == "both";
      }
    }
    if (const YamlNode* node = find("jitter"))
      out.jitter = fields_.duration(*node, "jitter").value_or(out.jitter);
  }

  void read_policy(Schedule& out) {
    if (const YamlNode* node = find("catchup")) read_catchup(*node, out);
    if (const YamlNode* node = find("overlap")) {
      if (const auto word = fields_.choice(*node, "overlap", overlap_values()))
        out.overlap =
            static_cast<Overlap>(std::ranges::find(overlap_values(), *word) - overlap_values().begin());
    }
    if (const YamlNode* node = find("start_within"))
      out.start_within = fields_.duration(*node, "start_within").value_or(out.start_within);
    if (const YamlNode* node = find("deadline")) {
      out.deadline = fields_.text(*node, "deadline").value_or("");
      if (!read_time_of_day(out.deadline))
        fields_.expected(*node, "deadline", "a time of day, such as \"06:00\"");
    }
    if (const YamlNode* node = find("fresh_within")) {
      const auto span = fields_.duration(*node, "fresh_within");
      if (span && *span < std::chrono::seconds(1))
        fields_.expected(*node, "fresh_within", "a time of a second or more, such as 26h");
      out.fresh_within = span.value_or(out.fresh_within);
    }
  }

  void read_catchup(const YamlNode& node, Schedule& out) {
    const YamlNode* word = &node;
    if (node.is_map()) {
      if (!check_keys(node, catchup_keys(), "catchup", fields_.problems())) return;
      word = node.find("mode");
      if (!word)
        return fields_.problems().add(node.at, "catchup: 'mode' is missing",
                                      "such as {mode: all, max: 10, window: 7d}");
      if (const YamlNode* most = node.find("max"))
        out.catchup_most = fields_.integer(*most, "max", 1, 100'000).value_or(out.catchup_most);
      if (const YamlNode* window = node.find("window"))
        out.catchup_window = fields_.duration(*window, "window").value_or(out.catchup_window);
    }
    if (const auto mode = fields_.choice(*word, "catchup", catchup_values()))
      out.catchup =
          static_cast<Catchup>(std::ranges::find(catchup_values(), *mode) - catchup_values().begin());
  }

  const YamlNode& node_;
  const Fields& fields_;
};

// "every 15s", which is YAML with its colon.
std::string with_colon(std::string text) {
  for (const char* key : {"every", "at"}) {
    if (text.starts_with(key + std::string(" "))) text.insert(std::string_view(key).size(), ":");
  }
  return text;
}

std::string in_braces(const std::string& text) {
  return text.starts_with('{') || text.starts_with('[') ? text : "{" + with_colon(text) + "}";
}

// "every: 30s, jitter: 10s": keys behind the first one, as in a map that lacks its braces.
bool needs_braces(std::string_view text) {
  if (text.starts_with('{') || text.starts_with('[')) return false;
  for (std::size_t comma = text.find(','); comma != text.npos; comma = text.find(',', comma + 1)) {
    const std::string_view rest = util::trim(text.substr(comma + 1));
    if (std::ranges::any_of(names_of(schedule_keys()),
                            [&](const std::string& key) { return rest.starts_with(key + ":"); }))
      return true;
  }
  return false;
}

// What the calendar finds wrong with the zone, the limits and the time: each by itself, so that none hides
// another.
void check_parts(const YamlNode& node, const Schedule& schedule, const Pipeline& pipeline,
                 Problems& problems) {
  Zones zones;
  const auto place = [&](const char* key) {
    const YamlNode* value = node.is_map() ? node.find(key) : nullptr;
    return value ? value : &node;
  };
  const auto is_sound = [&](const Schedule& part, const YamlNode* at) {
    try {
      rule_of(part, pipeline.name, pipeline.directory, zones);
      return true;
    } catch (const Error& error) {
      problems.add(at->at, std::string("schedule: ") + error.what(), error.hint());
      return false;
    }
  };
  Schedule plain;
  plain.every = std::chrono::seconds(1);
  plain.timezone = schedule.timezone;
  if (!is_sound(plain, place("timezone"))) plain.timezone = "UTC";
  Schedule start = plain, end = plain, at = plain;
  start.start = schedule.start;
  end.end = schedule.end;
  const bool has_start = is_sound(start, place("start")), has_end = is_sound(end, place("end"));
  end.start = schedule.start;
  if (has_start && has_end) is_sound(end, place("end"));
  at.at = schedule.at;
  if (!schedule.at.empty()) is_sound(at, place("at"));
  const YamlNode* except = place("except");
  const bool listed = except->is_list() && except->items.size() == schedule.except.size();
  for (std::size_t i = 0; i < schedule.except.size(); ++i) {
    Schedule days = plain;
    days.except = {schedule.except[i]};
    is_sound(days, listed ? &except->items[i] : except);
  }
}

// What the calendar finds wrong with it.
void check(const YamlNode& node, const Schedule& schedule, const Pipeline& pipeline, bool check_files,
           Problems& problems) {
  const YamlNode* cron = node.is_map() ? node.find("cron") : &node;
  if (!schedule.cron.empty()) {
    calendar::CronProblem problem;
    const auto parsed = calendar::parse_cron(schedule.cron, pipeline.name, problem);
    if (!parsed && is_written_entry(schedule.cron)) {  // in quotes, as on the command line
      problems.add(cron->at, "schedule: '" + schedule.cron + "' is a text, and a text is a line of cron",
                   "without the quotes, and in braces: schedule: " + in_braces(schedule.cron));
    } else if (!parsed) {
      problems.add(cron->at, "schedule: " + problem.message, problem.hint);
    }
    if (parsed && parsed->at_boot) {
      problems.add(cron->at, "schedule: @reboot is no time, so it has no slots",
                   "let the system do it, as with a line in the crontab: @reboot mlops run FILE");
    }
  }
  // A frozen definition is read wherever it has come to.
  if (check_files) check_parts(node, schedule, pipeline, problems);
}

}  // namespace

std::vector<Schedule> read_schedules(const YamlNode& node, const Fields& fields, const Pipeline& pipeline,
                                     bool check_files) {
  std::vector<Schedule> result;
  Problems& problems = fields.problems();
  const auto add = [&](const YamlNode& item) {
    if (!item.is_scalar() && !item.is_map())
      return fields.expected(item, "schedule",
                             "a cron line, or a map such as {cron: \"0 3 * * *\", timezone: Asia/Seoul}");
    Schedule schedule;
    const bool readable = ScheduleEntry(item, fields).read(schedule);
    check(item, schedule, pipeline, check_files, problems);
    if (!readable) return;
    if (schedule.name.empty())
      schedule.name = &item == &node || &item == &node.items.front() ? "main" : times_of(schedule);
    if (std::ranges::find(result, schedule.name, &Schedule::name) != result.end()) {
      return problems.add(item.at, "schedule: two entries are called '" + schedule.name + "'",
                          "give one of them a name: {name: …, …}");
    }
    result.push_back(std::move(schedule));
  };
  if (!node.is_list()) {
    add(node);
  } else if (node.items.empty()) {
    problems.add(node.at, "schedule: the list is empty");
  } else if (node.items.size() > kMostSchedules) {
    problems.add(node.at, "schedule: more than " + std::to_string(kMostSchedules) + " entries");
  } else {
    for (const YamlNode& item : node.items) add(item);
  }
  return result;
}

bool is_written_entry(std::string_view text) {
  return text.starts_with('{') || text.starts_with('[') ||
         std::ranges::any_of(names_of(schedule_keys()), [&](const std::string& key) {
           if (!text.starts_with(key)) return false;
           const std::string_view rest = text.substr(key.size());
           return rest.starts_with(": ") || (rest.starts_with(' ') && (key == "every" || key == "at"));
         });
}

std::vector<Schedule> read_written_entry(const std::string& text) {
  const std::string yaml = with_colon(text);
  std::vector<Schedule> result;
  std::vector<Diagnostic> unreadable;
  const YamlNode node = util::parse_yaml(yaml, "", unreadable);
  Problems problems("", yaml);
  for (Diagnostic& problem : unreadable) problems.add(std::move(problem));
  const params::Scope nothing;
  if (!problems.any()) result = read_schedules(node, Fields(nothing, problems), Pipeline(), false);
  if (!problems.any()) return result;
  if (needs_braces(text))
    throw Error(ExitCode::usage, "'" + text + "' has several settings and no braces around them",
                "write \"" + in_braces(text) + "\"");
  const Diagnostic& first = problems.list().front();
  const std::size_t lead = first.message.starts_with("schedule: ") ? 10 : 0;
  throw Error(ExitCode::usage, first.message.substr(lead), first.hint);
}

}  // namespace mlops::pipeline
