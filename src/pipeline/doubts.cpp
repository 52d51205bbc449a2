#include "pipeline/doubts.hpp"

#include "pipeline/problems.hpp"
#include "pipeline/schedule_rule.hpp"
#include "pipeline/source.hpp"
#include "util/quantity.hpp"
#include "util/time.hpp"
#include "util/yaml.hpp"

#include <algorithm>
#include <optional>
#include <variant>

namespace mlops::pipeline {

using calendar::sys_seconds;
using std::chrono::seconds;
using util::YamlNode;

namespace {

// Between two slots that follow each other, of the next few thousand; nothing if there are not two.
struct Distances {
  seconds shortest{0}, longest{0};
};
Distances distances(const calendar::Rule& rule, sys_seconds from) {
  Distances found;
  const auto fires = calendar::fires_between(rule, from, from + std::chrono::days(800), 3'000);
  for (std::size_t i = 1; i < fires.size(); ++i) {
    const seconds distance = fires[i] - fires[i - 1];
    found.shortest = i == 1 ? distance : std::min(found.shortest, distance);
    found.longest = std::max(found.longest, distance);
  }
  return found;
}

// Why no time of it is to come, if that is so and not told otherwise.
std::optional<Doubt> past(const Schedule& schedule, const calendar::Rule& rule, sys_seconds from) {
  if (calendar::next_fire(rule, from)) return std::nullopt;
  const auto* cron = std::get_if<calendar::Cron>(&rule.what);
  const auto* once = std::get_if<sys_seconds>(&rule.what);
  const std::string hint = "it does not run any more: give it a later time, or take the entry out";
  if (once && *once <= from) return Doubt{"at", 0, "'at' is past: " + schedule.at, hint};
  if (rule.end && *rule.end <= from) return Doubt{"end", 0, "'end' is past: " + schedule.end, hint};
  const bool limited = rule.start || rule.end || !rule.except.empty();
  if (!limited || (cron && cron->at_boot)) return std::nullopt;
  return Doubt{once   ? "at"
               : cron ? "cron"
                      : "every",
               0, "none of its times is to come", "'start', 'end' and 'except' leave none: check them"};
}

// A slot of `one` at which `other` has one as well, of the next few of `one`.
std::optional<sys_seconds> common_slot(const calendar::Rule& one, const calendar::Rule& other,
                                       sys_seconds from) {
  for (const sys_seconds at : calendar::fires_between(one, from, from + std::chrono::days(800), 60)) {
    if (calendar::next_fire(other, at - seconds(1)) == at) return at;
  }
  return std::nullopt;
}

constexpr std::size_t most_compared = 30;  // entries of a file, each with each

// An entry that does not overlap, and that comes second to one before it in the file.
std::optional<Doubt> comes_second(const std::vector<Schedule>& entries,
                                  const std::vector<calendar::Rule>& rules, std::size_t number,
                                  sys_seconds from) {
  const Schedule& schedule = entries[number];
  if (schedule.overlap != Overlap::skip || schedule.jitter.count() > 0 || entries.size() > most_compared)
    return std::nullopt;
  for (std::size_t i = 0; i < number; ++i) {
    if (entries[i].jitter.count() > 0) continue;
    std::optional<sys_seconds> common = common_slot(rules[number], rules[i], from);
    if (!common) common = common_slot(rules[i], rules[number], from);
    if (!common) continue;
    return Doubt{"overlap", 0,
                 "'" + schedule.name + "' is due when '" + entries[i].name + "' is, as at " +
                     util::format_utc(*common) + " UTC, and is skipped then",
                 "of a pipeline one run goes on at a time, and the entry that comes first in the file is the "
                 "first: give '" +
                     schedule.name + "' other times, or `overlap: queue`"};
  }
  return std::nullopt;
}

// "5", where "5m" may have been meant.
bool bare_number(const YamlNode& node) {
  return node.is_scalar() && node.text.size() <= 2 && !node.text.empty() &&
         std::ranges::all_of(node.text, [](char c) { return c >= '0' && c <= '9'; });
}

Location place_of(const YamlNode& entry, const Doubt& doubt, const Schedule& schedule,
                  const Problems& source) {
  const YamlNode* value = entry.is_map() ? entry.find(doubt.key) : &entry;
  if (!value) return entry.at;
  if (doubt.key != "cron" || value->text != schedule.cron) return value->at;
  Location at = source.locate(value->at, schedule.cron, 0);
  // Behind its quote, if it was found.
  const bool found = !value->quoted || at.line != value->at.line || at.column != value->at.column;
  if (found) at.column += static_cast<int>(doubt.at);
  return at;
}

}  // namespace

std::vector<Doubt> doubts_about(const Schedule& schedule, const calendar::Rule& rule, sys_seconds from) {
  std::vector<Doubt> doubts;
  if (const auto* cron = std::get_if<calendar::Cron>(&rule.what)) {
    for (calendar::CronProblem& doubt : calendar::doubts_about(schedule.cron, *cron))
      doubts.push_back({"cron", doubt.at, std::move(doubt.message), std::move(doubt.hint)});
  }
  if (auto doubt = past(schedule, rule, from)) doubts.push_back(std::move(*doubt));
  if (schedule.fresh_within.count() == 0 && schedule.jitter.count() == 0) return doubts;
  const auto [shortest, longest] = distances(rule, from);
  if (longest > schedule.fresh_within && schedule.fresh_within.count() > 0) {
    doubts.push_back({"fresh_within", 0,
                      "'fresh_within' is " + util::format_duration(schedule.fresh_within) +
                          ", and slots lie up to " + util::format_duration(longest) + " apart",
                      "it cannot be kept: give it that distance and the time that a run takes"});
  }
  if (shortest.count() > 0 && schedule.jitter > shortest) {
    doubts.push_back({"jitter", 0,
                      "'jitter' is " + util::format_duration(schedule.jitter) + ", and slots lie " +
                          util::format_duration(shortest) + " apart",
                      "a run may begin when the next slots are due: give it less than that distance"});
  }
  return doubts;
}

std::vector<Diagnostic> doubts_about(const Pipeline& pipeline, sys_seconds from) {
  if (pipeline.schedules.empty()) return {};
  std::vector<Diagnostic> unreadable, result;
  const std::string file = shown_name(pipeline.file);
  const YamlNode root = util::parse_yaml(pipeline.source, file, unreadable);
  const YamlNode* node = root.find("schedule");
  if (!node) return {};
  const Problems source(file, pipeline.source);
  Zones zones;
  std::vector<calendar::Rule> rules;
  for (const Schedule& schedule : pipeline.schedules)
    rules.push_back(rule_of(schedule, pipeline.name, pipeline.directory, zones));
  for (std::size_t i = 0; i < pipeline.schedules.size(); ++i) {
    // Of a file without problems each entry became a schedule.
    const YamlNode& entry = node->is_list() ? node->items[i] : *node;
    const Schedule& schedule = pipeline.schedules[i];
    std::vector<Doubt> doubts = doubts_about(schedule, rules[i], from);
    if (auto doubt = comes_second(pipeline.schedules, rules, i, from)) doubts.push_back(std::move(*doubt));
    const YamlNode* every = entry.is_map() ? entry.find("every") : nullptr;
    if (every && bare_number(*every)) {
      doubts.push_back(
          {"every", 0, "'" + every->text + "' is " + every->text + " seconds",
           "write '" + every->text + "s' if that is meant, or '" + every->text + "m' for minutes"});
    }
    for (Doubt& doubt : doubts) {
      result.push_back({file, place_of(entry, doubt, schedule, source), "schedule: " + doubt.message,
                        std::move(doubt.hint)});
    }
  }
  std::ranges::stable_sort(result, [](const Diagnostic& a, const Diagnostic& b) {
    return std::pair(a.at.line, a.at.column) < std::pair(b.at.line, b.at.column);
  });
  return result;
}

}  // namespace mlops::pipeline
