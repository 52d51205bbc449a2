#include "pipeline/schedule_rule.hpp"

#include <mlops/error.hpp>

#include "calendar/instants.hpp"
#include "util/digest.hpp"
#include "util/files.hpp"

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <utility>

namespace mlops {

const char* to_string(Catchup catchup) {
  constexpr const char* words[] = {"none", "last", "all"};
  return words[static_cast<int>(catchup)];
}

const char* to_string(Overlap overlap) {
  constexpr const char* words[] = {"skip", "queue", "replace", "allow"};
  return words[static_cast<int>(overlap)];
}

namespace {

// As one writes it: "15s", "1h30m".
std::string exact(std::chrono::seconds duration) {
  std::int64_t rest = duration.count();
  std::string text;
  for (const auto& [size, unit] :
       {std::pair(86'400, "d"), std::pair(3'600, "h"), std::pair(60, "m"), std::pair(1, "s")}) {
    if (rest >= size) text += std::to_string(rest / size) + unit;
    rest %= size;
  }
  return text;
}

}  // namespace

std::string times_of(const Schedule& schedule) {
  if (!schedule.cron.empty()) return schedule.cron;
  return schedule.at.empty() ? "every " + exact(schedule.every) : "at " + schedule.at;
}

namespace pipeline {

using namespace std::chrono;

namespace {

calendar::Cron cron_of(const Schedule& schedule, const std::string& pipeline) {
  calendar::CronProblem problem;
  auto cron = calendar::parse_cron(schedule.cron, pipeline, problem);
  if (!cron) throw Error(ExitCode::usage, problem.message, problem.hint);
  if (schedule.days == "and") cron->days = calendar::Days::both;
  if (schedule.days == "or") cron->days = calendar::Days::either;
  return *cron;
}

constexpr const char* hint_for_days =
    "'except' takes days, such as 2026-12-24, and text files with a day on each line";

std::string read_calendar(const std::string& path) {
  constexpr std::size_t most_bytes = 1 << 20;
  std::optional<std::string> text;
  try {
    text = util::read_regular_file(path, most_bytes);
  } catch (const Error& error) {
    throw Error(error.code(), error.what(), hint_for_days);
  }
  if (text) return std::move(*text);
  throw Error(ExitCode::usage, "cannot open '" + path + "': there is no such file", hint_for_days);
}

// One that was meant to be a day: no file is called like that.
bool looks_like_day(const std::string& text) {
  return !text.empty() && text.find_first_not_of("0123456789-./ ") == text.npos && text[0] >= '0' &&
         text[0] <= '9';
}

std::set<calendar::local_days> days_without(const Schedule& schedule, const std::string& directory) {
  std::set<calendar::local_days> days;
  for (const std::string& text : schedule.except) {
    if (const auto day = calendar::read_day(text)) {
      days.insert(*day);
      continue;
    }
    const std::string path = (std::filesystem::path(directory) / text).string();
    if (looks_like_day(text) && !util::exists(path))
      throw Error(ExitCode::usage, "'" + text + "' is no day", hint_for_days);
    days.merge(calendar::read_days(read_calendar(path), text));
  }
  return days;
}

}  // namespace

std::shared_ptr<const calendar::TimeZone> Zones::get(const std::string& name) {
  auto& zone = known_[name];
  if (!zone) {
    const std::string full = name.empty() ? calendar::TimeZone::local_name() : name;
    zone = std::make_shared<const calendar::TimeZone>(calendar::TimeZone::load(full));
    if (name.empty()) files_.insert(calendar::local_time_file);
    if (const std::string file = calendar::TimeZone::file_of(full); !file.empty()) files_.insert(file);
  }
  return zone;
}

calendar::Rule rule_of(const Schedule& schedule, const std::string& pipeline, const std::string& directory,
                       Zones& zones) {
  calendar::Rule rule;
  rule.zone = zones.get(schedule.timezone);
  rule.run_in_gap = schedule.run_in_gap;
  rule.run_in_both = schedule.run_in_both;
  if (!schedule.start.empty()) rule.start = calendar::read_time(schedule.start, *rule.zone);
  if (!schedule.end.empty()) {
    // A day is meant whole.
    const auto day = calendar::read_day(schedule.end);
    rule.end =
        day ? calendar::begin_of(*day + days(1), *rule.zone) : calendar::read_time(schedule.end, *rule.zone);
  }
  if (rule.start && rule.end && *rule.end <= *rule.start)
    throw Error(ExitCode::usage, "'end' comes before 'start'", "it would never run");
  rule.except = days_without(schedule, directory);
  if (!schedule.cron.empty()) {
    rule.what = cron_of(schedule, pipeline);
  } else if (!schedule.at.empty()) {
    rule.what = calendar::read_time(schedule.at, *rule.zone);
  } else {
    rule.what = calendar::Every{schedule.every, rule.start.value_or(sys_seconds{})};
  }
  return rule;
}

std::optional<minutes> read_time_of_day(std::string_view text) {
  const auto digit = [&](std::size_t at) {
    return text[at] >= '0' && text[at] <= '9' ? text[at] - '0' : 100;
  };
  if (text.size() != 5 || text[2] != ':') return std::nullopt;
  const int hour = digit(0) * 10 + digit(1), minute = digit(3) * 10 + digit(4);
  if (hour > 23 || minute > 59) return std::nullopt;
  return hours(hour) + minutes(minute);
}

std::optional<calendar::Rule> deadlines_of(const Schedule& schedule,
                                           std::shared_ptr<const calendar::TimeZone> zone) {
  const auto time = read_time_of_day(schedule.deadline);
  if (!time) return std::nullopt;
  calendar::CronProblem none;
  const auto daily = calendar::parse_cron(
      std::to_string(time->count() % 60) + " " + std::to_string(time->count() / 60) + " * * *", "", none);
  calendar::Rule rule;
  rule.what = daily.value();
  rule.zone = std::move(zone);
  return rule;
}

seconds delay_of(const Schedule& schedule, const std::string& pipeline) {
  const auto most = duration_cast<seconds>(schedule.jitter).count();
  if (most <= 0) return seconds(0);
  util::Sha256 sum;
  sum.update(pipeline + "\n" + schedule.name);
  std::uint64_t number = 0;
  const util::Digest digest = sum.digest();
  std::memcpy(&number, digest.bytes.data(), sizeof number);
  return seconds(number % static_cast<std::uint64_t>(most));
}

}  // namespace pipeline

}  // namespace mlops
