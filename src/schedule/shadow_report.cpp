// What cron did, beside what mlops would have done.
#include <mlops/error.hpp>

#include "schedule/shadow.hpp"
#include "util/strings.hpp"

#include <algorithm>
#include <charconv>
#include <map>

namespace mlops::schedule {

using std::chrono::minutes;
using std::chrono::seconds;
using util::Instant;

namespace {

// Of each line of the crontab, by its id. What is torn or no note is passed over.
std::map<std::string, std::vector<Instant>> starts_of(const std::string& text) {
  std::map<std::string, std::vector<Instant>> starts;
  for (const std::string& line : lines_of(text)) {
    const std::size_t blank = line.find(' ');
    std::int64_t ms = 0;
    if (blank == line.npos) continue;
    const auto [end, error] = std::from_chars(line.data() + blank + 1, line.data() + line.size(), ms);
    if (error == std::errc() && end == line.data() + line.size())
      starts[line.substr(0, blank)].push_back(Instant(std::chrono::milliseconds(ms)));
  }
  for (auto& [id, list] : starts) std::ranges::sort(list);
  return starts;
}

// What the pipeline's file says now, or else the line of the crontab.
std::vector<Timetable> timetables_of(const ShadowLine& line, std::string& remark) {
  pipeline::Zones zones;
  try {
    const Pipeline pipeline = load_pipeline(line.file, {.overrides = {}, .check_files = false});
    if (pipeline.schedules.empty()) remark = "'" + line.file + "' has no schedule any more";
    return timetables(pipeline, zones);
  } catch (const Error& error) {
    std::string why = error.what();
    why.resize(std::min(why.find('\n'), why.size()));
    remark = "compared with the line of the crontab, as '" + line.file + "' cannot be read: " + why;
  }
  Schedule entry;
  entry.cron = line.times;
  return {{entry, pipeline::rule_of(entry, line.pipeline, "/", zones), seconds(0)}};
}

}  // namespace

const char* to_string(Difference::Kind kind) {
  constexpr const char* words[] = {"only cron", "only mlops", "twice by cron"};
  return words[static_cast<int>(kind)];
}

Comparison compare(const std::vector<sys_seconds>& slots, const std::vector<Instant>& starts) {
  Comparison result;
  std::vector<bool> met(slots.size());
  std::vector<Instant> left;
  const auto last_before = [&](Instant start) {
    return std::upper_bound(slots.begin(), slots.end(), std::chrono::floor<seconds>(start)) - slots.begin() -
           1;
  };
  std::vector<Instant> again;
  for (const Instant start : starts) {
    const auto slot = last_before(start);
    const auto i = static_cast<std::size_t>(slot);
    const bool near = slot >= 0 && start - slots[i] < minutes(1);
    if (near && !met[i]) {
      met[i] = true;
      ++result.same;
    } else {
      (near ? again : left).push_back(start);
    }
  }
  for (const std::vector<Instant>* list : {&left, &again}) {
    for (const Instant start : *list) {
      auto i = static_cast<std::size_t>(
          std::upper_bound(slots.begin(), slots.end(), std::chrono::floor<seconds>(start) - minutes(5)) -
          slots.begin());
      while (i < slots.size() && slots[i] <= start && met[i]) ++i;
      if (i < slots.size() && slots[i] <= start) {
        met[i] = true;
        ++result.same;
      } else {
        result.differences.push_back({list == &again ? Difference::Kind::twice : Difference::Kind::only_cron,
                                      std::chrono::floor<seconds>(start)});
      }
    }
  }
  for (std::size_t i = 0; i < slots.size(); ++i) {
    if (!met[i]) result.differences.push_back({Difference::Kind::only_mlops, slots[i]});
  }
  std::ranges::stable_sort(result.differences, {}, &Difference::at);
  return result;
}

ShadowReport report_on(const Shadow& shadow, const std::string& starts, const std::string& crontab,
                       sys_seconds now) {
  constexpr std::size_t most = 1'000'000;
  constexpr seconds settled{90};  // a job may still be about to start
  ShadowReport report;
  report.from = std::chrono::floor<minutes>(shadow.since) + minutes(2);
  report.to = std::chrono::floor<minutes>((shadow.until ? std::chrono::floor<seconds>(*shadow.until) : now) -
                                          settled);
  auto noted = starts_of(starts);
  if (noted.empty() && report.to > report.from)
    report.remarks.emplace_back(
        "not one start was noted: does cron run, and did the lines stay in the crontab?");
  const std::vector<std::string> current = lines_of(crontab);
  for (const ShadowLine& line : shadow.lines) {
    ShadowReport::Line result{line, 0, 0, {}, "", ""};
    const std::vector<Timetable> all = timetables_of(line, result.remark);
    std::vector<sys_seconds> slots;
    for (const Timetable& timetable : all) {
      const auto fires = calendar::fires_between(timetable.rule, report.from - seconds(1), report.to, most);
      slots.insert(slots.end(), fires.begin(), fires.end());
      result.zone = timetable.rule.zone->name();
    }
    std::ranges::sort(slots);
    slots.erase(std::unique(slots.begin(), slots.end()), slots.end());
    std::vector<Instant> when = noted[line.id];
    std::erase_if(when, [&](Instant at) { return at < report.from || at >= report.to + minutes(1); });
    result.slots = slots.size();
    result.starts = when.size();
    result.comparison = compare(slots, when);
    if (!shadow.until && std::ranges::find(current, line.after) == current.end() && result.remark.empty())
      result.remark = "its line in the crontab was changed or taken away since";
    report.lines.push_back(std::move(result));
  }
  return report;
}

}  // namespace mlops::schedule
