#include <mlops/pipeline.hpp>

#include "calendar/fires.hpp"
#include "cli/context.hpp"
#include "cli/output.hpp"
#include "util/files.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <memory>

namespace mlops::cli {

namespace {

using calendar::Rule;
using calendar::sys_seconds;

struct Options {
  std::string what;  // a pipeline file or an expression
  std::string zone;
  std::string from;
  int count = 10;
  bool json = false;
};

/// What is asked about: an expression, and the rule made of it.
struct Entry {
  std::string expression;
  calendar::Cron cron;
  Rule rule;
};

calendar::Cron read_cron(const std::string& text, const std::string& seed) {
  calendar::CronProblem problem;
  if (auto cron = calendar::parse_cron(text, seed, problem)) return *cron;
  throw Error(ExitCode::usage, "cannot read the schedule: " + problem.message, problem.hint);
}

Entry find_entry(const Options& options) {
  Entry entry{options.what, {}, {}};
  std::string zone = options.zone, seed;
  // An expression has blanks or is a macro; anything else names a file.
  const bool expression = options.what.starts_with('@') ||
                          (options.what.find(' ') != options.what.npos && !util::exists(options.what));
  if (!expression) {
    const Pipeline pipeline = load_pipeline(options.what, {.overrides = {}, .check_files = false});
    if (!pipeline.schedule)
      throw Error(ExitCode::usage, "'" + options.what + "' has no schedule",
                  "such as  schedule: \"0 3 * * *\"  for every day at 03:00");
    entry.expression = pipeline.schedule->cron;
    if (zone.empty()) zone = pipeline.schedule->timezone;
    seed = pipeline.name;
  }
  if (zone.empty()) zone = calendar::TimeZone::local_name();
  entry.cron = read_cron(entry.expression, seed);
  entry.rule.what = entry.cron;
  entry.rule.zone = std::make_shared<const calendar::TimeZone>(calendar::TimeZone::load(zone));
  return entry;
}

// Local time of the zone ("2026-03-29 02:00"), or an instant with its offset ("2026-03-29T02:00:00+01:00",
// "…Z").
sys_seconds read_time(const std::string& text, const calendar::TimeZone& zone) {
  using namespace std::chrono;
  std::string plain = text;
  seconds offset{0};
  bool has_offset = false;
  if (const std::size_t at = plain.find_first_of("+-", 11);
      at != plain.npos && plain.size() == at + 6 && plain[at + 3] == ':' &&
      std::ranges::count_if(plain.substr(at), [](unsigned char c) { return std::isdigit(c) != 0; }) == 4) {
    const auto two = [&](std::size_t from) { return (plain[from] - '0') * 10 + (plain[from + 1] - '0'); };
    offset = hours(two(at + 1)) + minutes(two(at + 4));
    if (plain[at] == '-') offset = -offset;
    has_offset = true;
    plain.resize(at);
  } else if (plain.ends_with('Z')) {
    has_offset = true;
    plain.pop_back();
  }
  if (plain.size() == 10) plain += " 00:00:00";
  if (plain.size() == 16) plain += ":00";
  const auto read = util::parse_utc(plain);
  if (!read) {
    throw Error(ExitCode::usage, "cannot read the time '" + text + "'",
                "such as 2026-03-29, \"2026-03-29 02:00\" or 2026-03-29T02:00:00+01:00");
  }
  const auto clock = floor<seconds>(*read);
  if (has_offset) return sys_seconds(clock.time_since_epoch()) - offset;
  const auto instants = zone.instants_of(calendar::local_seconds(clock.time_since_epoch()));
  if (!instants.empty()) return instants.front();
  throw Error(ExitCode::usage, "no clock in " + zone.name() + " ever shows " + text + ": it is skipped there",
              "give the offset, as in 2026-03-29T02:00:00+01:00");
}

sys_seconds beginning(const Options& options, const Entry& entry) {
  if (!options.from.empty()) return read_time(options.from, *entry.rule.zone) - std::chrono::seconds(1);
  return std::chrono::floor<std::chrono::seconds>(util::now());
}

// How a time is told apart from others of its day.
std::string remark(const Entry& entry, sys_seconds at) {
  const calendar::TimeZone& zone = *entry.rule.zone;
  const auto local = zone.to_local(at);
  if (zone.instants_of(local).size() > 1)
    return zone.instants_of(local)[0] == at ? "the first of two times that clocks show this"
                                            : "the second of two times that clocks show this";
  for (const calendar::Gap& gap : calendar::gaps_between(entry.rule, at - std::chrono::seconds(1), at)) {
    if (gap.instant == at && gap.local < local)
      return "in place of " + calendar::to_text(gap.local).substr(11) + ", which clocks skip";
  }
  return {};
}

void next(const Options& options) {
  const Entry entry = find_entry(options);
  const auto fires = calendar::fires_between(entry.rule, beginning(options, entry), sys_seconds::max(),
                                             static_cast<std::size_t>(options.count));
  if (options.json) {
    nlohmann::json list = nlohmann::json::array();
    for (const sys_seconds at : fires)
      list.push_back({{"time", calendar::to_text(at, *entry.rule.zone)}, {"note", remark(entry, at)}});
    return print_json(
        {{"expression", entry.expression}, {"timezone", entry.rule.zone->name()}, {"next", std::move(list)}});
  }
  if (fires.empty()) std::fprintf(stderr, "it never runs: no such time comes until the end of 2199\n");
  const Style style = style_of(stdout);
  for (const sys_seconds at : fires) {
    const std::string note = remark(entry, at);
    std::printf("%s%s\n", calendar::to_text(at, *entry.rule.zone).c_str(),
                note.empty() ? "" : style.dim("  " + note).c_str());
  }
}

// What the clocks of the next year do to the schedule.
std::vector<std::string> changes_of_clocks(const Entry& entry, sys_seconds from) {
  const calendar::TimeZone& zone = *entry.rule.zone;
  const sys_seconds until = from + std::chrono::days(366);
  std::vector<std::string> lines;
  for (std::size_t i = zone.index_at(from); i + 1 < zone.size() && zone.end(i) <= until; ++i) {
    const auto jump = zone.offset(i + 1) - zone.offset(i);
    if (jump == std::chrono::seconds(0)) continue;
    const sys_seconds at = zone.end(i);
    const auto before = calendar::local_seconds((at + zone.offset(i)).time_since_epoch()),
               after = zone.to_local(at);
    std::string line = calendar::to_text(before) + " becomes " + calendar::to_text(after).substr(11) + ": ";
    const auto gaps = calendar::gaps_between(entry.rule, at - std::chrono::seconds(1), at);
    const auto repeated = calendar::fires_between(entry.rule, at - std::chrono::seconds(1),
                                                  at - jump - std::chrono::seconds(1), 1'000);
    if (jump > std::chrono::seconds(0)) {
      if (gaps.empty()) {
        line += "nothing is skipped";
      } else if (entry.cron.is_wildcard()) {
        line += "times between do not exist, and do not run";
      } else {
        line += "what falls between runs at " + calendar::to_text(after).substr(11);
      }
    } else {
      line += entry.cron.is_wildcard()
                  ? repeated.empty() ? "nothing runs twice" : "times between come twice, and run twice"
                  : "a time of day that comes twice runs the first time";
    }
    lines.push_back(std::move(line));
  }
  return lines;
}

void explain(const Options& options) {
  const Entry entry = find_entry(options);
  const std::string words = calendar::in_words(entry.cron);
  const auto doubts = calendar::doubts_about(entry.expression, entry.cron);
  const sys_seconds from = beginning(options, entry);
  const auto clocks = entry.cron.at_boot ? std::vector<std::string>() : changes_of_clocks(entry, from);
  const auto fires = calendar::fires_between(entry.rule, from, sys_seconds::max(), 3);
  if (options.json) {
    nlohmann::json warnings = nlohmann::json::array(), times = nlohmann::json::array();
    for (const calendar::CronProblem& doubt : doubts)
      warnings.push_back({{"message", doubt.message}, {"hint", doubt.hint}, {"column", doubt.at + 1}});
    for (const sys_seconds at : fires) times.push_back(calendar::to_text(at, *entry.rule.zone));
    return print_json({{"expression", entry.expression},
                       {"timezone", entry.rule.zone->name()},
                       {"words", words},
                       {"warnings", std::move(warnings)},
                       {"clocks", clocks},
                       {"next", std::move(times)}});
  }
  const Style style = style_of(stdout);
  std::printf("%s: %s, in %s\n", style.bold(entry.expression).c_str(), words.c_str(),
              entry.rule.zone->name().c_str());
  for (const calendar::CronProblem& doubt : doubts)
    std::printf("%s %s\n  %s\n", style.warn("!").c_str(), doubt.message.c_str(), doubt.hint.c_str());
  for (const std::string& line : clocks) std::printf("clocks: %s\n", line.c_str());
  for (const sys_seconds at : fires)
    std::printf("next:   %s\n", calendar::to_text(at, *entry.rule.zone).c_str());
  if (fires.empty() && !entry.cron.at_boot) std::printf("next:   never\n");
}

void add_options(CLI::App& app, Options& options) {
  app.add_option("FILE|EXPR", options.what, "a pipeline file, or five fields of cron in quotes")->required();
  app.add_option("--tz", options.zone, "time zone (default: that of the file, or this machine's)")
      ->type_name("ZONE");
  app.add_option("--from", options.from, "from this time on, in that zone or with an offset (default: now)")
      ->type_name("TIME");
  app.add_flag("--json", options.json, "print JSON");
}

}  // namespace

void set_up_schedule(CLI::App& app, Context&) {
  app.require_subcommand(1);
  auto options = std::make_shared<Options>();
  auto* coming = app.add_subcommand("next", "list the times at which a schedule runs");
  add_options(*coming, *options);
  coming->add_option("-n,--count", options->count, "how many (default 10)")
      ->type_name("N")
      ->check(CLI::Range(1, 100'000));
  coming->callback([options] { next(*options); });
  auto* words = app.add_subcommand(
      "explain", "say in words what an expression means, and what changes of clocks do to it");
  add_options(*words, *options);
  words->callback([options] { explain(*options); });
  app.footer(
      "Expressions are those of cron, with L, W, #, ? and H beyond it; what changes of clocks do is what "
      "cronie does.\n"
      "Examples:\n"
      "  mlops schedule next \"30 2 * * *\" --tz Europe/Berlin --from 2026-03-28\n"
      "  mlops schedule next pipeline.yaml -n 3\n"
      "  mlops schedule explain \"0 0 13 * 5\"");
}

}  // namespace mlops::cli
