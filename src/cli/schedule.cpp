#include <mlops/pipeline.hpp>

#include "calendar/fires.hpp"
#include "calendar/instants.hpp"
#include "cli/context.hpp"
#include "cli/install.hpp"
#include "cli/output.hpp"
#include "cli/simulate.hpp"
#include "cli/slots.hpp"
#include "pipeline/doubts.hpp"
#include "pipeline/schedule_reader.hpp"
#include "pipeline/schedule_rule.hpp"
#include "util/files.hpp"
#include "util/quantity.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"

#include <algorithm>
#include <cstdio>
#include <memory>

namespace mlops::cli {

namespace {

using calendar::Rule;
using calendar::sys_seconds;

struct ScheduleOptions {
  std::string what;  // a pipeline file or an expression
  std::string zone;
  std::string from;
  int count = 10;
  bool json = false;
};

/// What is asked about: an entry of a file, or an expression.
struct Entry {
  Schedule schedule;
  Rule rule;
  std::optional<std::chrono::seconds> delay;  // by the jitter; of an expression, which has no names, unknown

  const calendar::Cron* cron() const { return std::get_if<calendar::Cron>(&rule.what); }
  bool is_wildcard() const { return cron() && cron()->is_wildcard(); }
};

std::vector<Schedule> read_expression(const std::string& text) {
  if (pipeline::is_written_entry(text)) return pipeline::read_written_entry(text);
  Schedule schedule;
  schedule.cron = text;
  return {schedule};
}

std::vector<Entry> find_entries(const ScheduleOptions& options) {
  if (util::trim(options.what).empty())
    throw Error(ExitCode::usage, "an empty text is neither a pipeline file nor an expression",
                "such as pipeline.yaml, \"0 3 * * *\" or \"every: 15m\"");
  pipeline::Zones zones;
  std::vector<Entry> entries;
  // An expression has blanks or is a macro; anything else names a file.
  const bool expression = options.what.starts_with('@') ||
                          (options.what.find(' ') != options.what.npos && !util::exists(options.what));
  if (expression) {
    zones.get(options.zone);
    try {
      for (Schedule& schedule : read_expression(options.what)) {
        zones.get(schedule.timezone);  // also one that --tz takes the place of
        if (!options.zone.empty()) schedule.timezone = options.zone;
        Rule rule = pipeline::rule_of(schedule, "", "", zones);
        const auto delay =
            schedule.jitter.count() > 0 ? std::nullopt : std::optional(std::chrono::seconds(0));
        entries.push_back({std::move(schedule), std::move(rule), delay});
      }
    } catch (const Error& error) {
      throw Error(error.code(), std::string("cannot read the schedule: ") + error.what(), error.hint());
    }
    return entries;
  }
  const Pipeline pipeline = load_pipeline(options.what, {.overrides = {}, .check_files = false});
  if (pipeline.schedules.empty())
    throw Error(ExitCode::usage, "'" + options.what + "' has no schedule",
                "such as  schedule: \"0 3 * * *\"  for every day at 03:00");
  for (Schedule schedule : pipeline.schedules) {
    if (!options.zone.empty()) schedule.timezone = options.zone;
    entries.push_back({schedule, pipeline::rule_of(schedule, pipeline.name, pipeline.directory, zones),
                       pipeline::delay_of(schedule, pipeline.name)});
  }
  return entries;
}

sys_seconds beginning(const ScheduleOptions& options, const Entry& entry) {
  if (!options.from.empty())
    return calendar::read_time(options.from, *entry.rule.zone) - std::chrono::seconds(1);
  return calendar::now_seconds();
}

// Why it has no time after `from`; empty if it has one.
std::string why_never(const Entry& entry, sys_seconds from) {
  if (calendar::next_fire(entry.rule, from)) return {};
  if (entry.cron() && entry.cron()->at_boot)
    return "@reboot is no time: cron runs it once after each start of the machine";
  const auto text = [&](sys_seconds at) { return calendar::to_text(at, *entry.rule.zone); };
  const std::string since = text(from + std::chrono::seconds(1));
  const auto* once = std::get_if<sys_seconds>(&entry.rule.what);
  if (once && *once <= from) return "`at` is a single time, " + text(*once) + ", and that is before " + since;
  if (entry.rule.end && *entry.rule.end <= from)
    return "`end` is " + entry.schedule.end + ", and that is before " + since;
  if (entry.rule.start || entry.rule.end || !entry.rule.except.empty())
    return "`start`, `end` and `except` leave none of its times after " + since;
  return "no such time comes until the end of " + std::to_string(static_cast<int>(calendar::last_year));
}

// With the jitter; empty where that is not known.
std::string start_of(const Entry& entry, sys_seconds at) {
  return entry.delay ? calendar::to_text(at + *entry.delay, *entry.rule.zone) : std::string();
}

// Of an expression; empty where the start of each run is known.
std::string why_no_start(const Entry& entry) {
  if (entry.delay) return {};
  return "runs start up to " + util::format_duration(entry.schedule.jitter) +
         " later, each time by the same: by how much depends on the pipeline's name, so ask for a pipeline "
         "file";
}

using Fires = std::vector<std::pair<sys_seconds, const Entry*>>;

// What is of one entry only is said of the whole where there is no other.
nlohmann::json next_json(const ScheduleOptions& options, const std::vector<Entry>& entries,
                         const Fires& fires) {
  nlohmann::json list = nlohmann::json::array(), described = list;
  for (const Entry& entry : entries) {
    const std::string never = why_never(entry, beginning(options, entry)), no_start = why_no_start(entry);
    described.push_back(
        {{"schedule", entry.schedule.name},
         {"expression", times_of(entry.schedule)},
         {"timezone", entry.rule.zone->name()},
         {"never", never.empty() ? nlohmann::json(nullptr) : nlohmann::json(never)},
         {"no_start", no_start.empty() ? nlohmann::json(nullptr) : nlohmann::json(no_start)}});
  }
  for (const auto& [at, entry] : fires) {
    const std::string start = start_of(*entry, at);
    list.push_back({{"time", calendar::to_text(at, *entry->rule.zone)},
                    {"starts_at", start.empty() ? nlohmann::json(nullptr) : nlohmann::json(start)},
                    {"note", calendar::note_on(entry->rule, at)},
                    {"schedule", entry->schedule.name}});
  }
  const bool one = entries.size() == 1;
  return {{"expression", one ? described[0]["expression"] : nlohmann::json(nullptr)},
          {"timezone", one ? described[0]["timezone"] : nlohmann::json(nullptr)},
          {"never", one ? described[0]["never"] : nlohmann::json(nullptr)},
          {"entries", std::move(described)},
          {"next", std::move(list)}};
}

void next(const ScheduleOptions& options) {
  const std::vector<Entry> entries = find_entries(options);
  Fires fires;
  for (const Entry& entry : entries) {
    for (const sys_seconds at :
         calendar::fires_between(entry.rule, beginning(options, entry), sys_seconds::max(),
                                 static_cast<std::size_t>(options.count)))
      fires.emplace_back(at, &entry);
  }
  std::ranges::stable_sort(fires, {}, &Fires::value_type::first);
  fires.resize(std::min(fires.size(), static_cast<std::size_t>(options.count)));
  if (options.json) return print_json(next_json(options, entries, fires));
  for (const Entry& entry : entries) {
    const std::string never = why_never(entry, beginning(options, entry));
    if (!never.empty())
      std::fprintf(stderr, "%s has no next time: %s\n",
                   entries.size() > 1 ? shown(entry.schedule.name).c_str() : "it", never.c_str());
    if (const std::string why = why_no_start(entry); !why.empty())
      std::fprintf(stderr, "%s%s\n", entries.size() > 1 ? (shown(entry.schedule.name) + ": ").c_str() : "",
                   why.c_str());
  }
  const Style style = style_of(stdout);
  for (const auto& [at, entry] : fires) {
    std::vector<std::string> notes;
    if (entries.size() > 1) notes.push_back(shown(entry->schedule.name));
    if (std::string note = calendar::note_on(entry->rule, at); !note.empty())
      notes.push_back(std::move(note));
    if (entry->delay && entry->delay->count() > 0) notes.push_back("starts at " + start_of(*entry, at));
    std::printf("%s%s\n", calendar::to_text(at, *entry->rule.zone).c_str(),
                notes.empty() ? "" : style.dim("  " + util::join(notes, ", ")).c_str());
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
      } else if (entry.is_wildcard()) {
        line += "times between do not exist, and do not run";
      } else if (!entry.rule.run_in_gap) {
        line += "what falls between does not run";
      } else {
        line += "what falls between runs at " + calendar::to_text(after).substr(11);
      }
    } else {
      line += entry.is_wildcard()
                  ? repeated.empty() ? "nothing runs twice" : "times between come twice, and run twice"
                  : std::string("a time of day that comes twice runs ") +
                        (entry.rule.run_in_both ? "both times" : "the first time");
    }
    lines.push_back(std::move(line));
  }
  return lines;
}

std::string words_for(const Entry& entry) {
  if (entry.cron()) return calendar::in_words(*entry.cron());
  if (!entry.schedule.at.empty()) return "once, at " + entry.schedule.at;
  return times_of(entry.schedule) + ", counted from " +
         (entry.schedule.start.empty() ? "1970-01-01T00:00:00Z" : entry.schedule.start);
}

// Besides the expression: what limits it.
std::vector<std::string> limits_of(const Entry& entry) {
  const Schedule& s = entry.schedule;
  std::vector<std::string> lines;
  if (!s.start.empty() && s.every.count() == 0) lines.push_back("from " + s.start + " on");
  if (!s.end.empty()) lines.push_back("until " + s.end);
  if (!entry.rule.except.empty())
    lines.push_back("but on " + std::to_string(entry.rule.except.size()) +
                    (entry.rule.except.size() == 1 ? " day" : " days"));
  if (!s.deadline.empty()) lines.push_back("to be done by " + s.deadline);
  if (s.fresh_within.count() > 0)
    lines.push_back("the last success never older than " + util::format_duration(s.fresh_within));
  if (s.jitter.count() > 0)
    lines.push_back("up to " + util::format_duration(s.jitter) + " later, each time by the same" +
                    (entry.delay ? " " + util::format_duration(*entry.delay) : ""));
  return lines;
}

nlohmann::json explained(const ScheduleOptions& options, const Entry& entry) {
  nlohmann::json warnings = nlohmann::json::array(), times = nlohmann::json::array();
  const sys_seconds from = beginning(options, entry);
  for (const pipeline::Doubt& doubt : pipeline::doubts_about(entry.schedule, entry.rule, from))
    warnings.push_back({{"message", doubt.message}, {"hint", doubt.hint}, {"column", doubt.at + 1}});
  for (const sys_seconds at : calendar::fires_between(entry.rule, from, sys_seconds::max(), 3))
    times.push_back(calendar::to_text(at, *entry.rule.zone));
  const std::string never = why_never(entry, from);
  const bool clocks = entry.cron() && !entry.cron()->at_boot;
  return {{"schedule", entry.schedule.name},
          {"expression", times_of(entry.schedule)},
          {"timezone", entry.rule.zone->name()},
          {"words", words_for(entry)},
          {"limits", limits_of(entry)},
          {"warnings", std::move(warnings)},
          {"never", never.empty() ? nlohmann::json(nullptr) : nlohmann::json(never)},
          {"clocks", clocks ? changes_of_clocks(entry, from) : std::vector<std::string>()},
          {"next", std::move(times)}};
}

void print_explained(const nlohmann::json& e, bool named) {
  const Style style = style_of(stdout);
  const auto text = [&](const char* key) { return e[key].get<std::string>(); };
  std::string limits;
  for (const auto& limit : e["limits"]) limits += ", " + limit.get<std::string>();
  std::printf("%s%s: %s, in %s%s\n", named ? (text("schedule") + ": ").c_str() : "",
              style.bold(text("expression")).c_str(), text("words").c_str(), text("timezone").c_str(),
              limits.c_str());
  for (const auto& warning : e["warnings"])
    std::printf("%s %s\n  %s\n", style.warn("!").c_str(), warning["message"].get<std::string>().c_str(),
                warning["hint"].get<std::string>().c_str());
  for (const auto& line : e["clocks"]) std::printf("clocks: %s\n", line.get<std::string>().c_str());
  for (const auto& at : e["next"]) std::printf("next:   %s\n", at.get<std::string>().c_str());
  if (e["never"].is_string()) std::printf("next:   never: %s\n", text("never").c_str());
}

void explain(const ScheduleOptions& options) {
  const std::vector<Entry> entries = find_entries(options);
  nlohmann::json list = nlohmann::json::array();
  for (const Entry& entry : entries) list.push_back(explained(options, entry));
  if (options.json) {
    nlohmann::json result = list.front();
    if (entries.size() > 1) result["entries"] = std::move(list);
    return print_json(result);
  }
  for (const auto& each : list) print_explained(each, entries.size() > 1);
}

void add_options(CLI::App& app, ScheduleOptions& options) {
  app.add_option("FILE|EXPR", options.what,
                 "a pipeline file, or in quotes five fields of cron, or what an entry of `schedule:` "
                 "says, such as \"every: 15s\"")
      ->required();
  app.add_option("--tz", options.zone, "time zone (default: that of the file, or this machine's)")
      ->type_name("ZONE")
      ->check(not_empty);
  app.add_option("--from", options.from, "from this time on, in that zone or with an offset (default: now)")
      ->type_name("TIME");
  app.add_flag("--json", options.json, "print JSON");
}

}  // namespace

void set_up_schedule(CLI::App& app, Context& context) {
  app.require_subcommand(1);
  auto options = std::make_shared<ScheduleOptions>();
  auto* coming = app.add_subcommand("next", "list the times at which a schedule runs");
  add_options(*coming, *options);
  coming->add_option("-n,--count", options->count, "how many (default 10)")
      ->type_name("N")
      ->check(CLI::Range(1, 100'000));
  coming->footer(
      "Examples:\n"
      "  mlops schedule next pipeline.yaml -n 3\n"
      "  mlops schedule next \"30 2 * * *\" --tz Europe/Berlin --from 2026-03-28\n"
      "  mlops schedule next \"every: 15m\" --json");
  coming->callback([options] { next(*options); });
  auto* words = app.add_subcommand(
      "explain", "say in words what an expression means, and what changes of clocks do to it");
  add_options(*words, *options);
  words->footer(
      "Examples:\n"
      "  mlops schedule explain pipeline.yaml\n"
      "  mlops schedule explain \"0 0 13 * 5\"\n"
      "  mlops schedule explain \"{cron: 30 2 * * *, dst: {gap: skip}}\" --tz Europe/Berlin");
  words->callback([options] { explain(*options); });
  add_simulate_command(app, context);
  add_ledger_commands(app, context);
  add_install_command(app, context);
  app.footer(
      "Expressions are those of cron, with L, W, #, ? and H beyond it; what changes of clocks do is what "
      "cronie does.\n"
      "Examples:\n"
      "  mlops schedule next \"30 2 * * *\" --tz Europe/Berlin --from 2026-03-28\n"
      "  mlops schedule next pipeline.yaml -n 3\n"
      "  mlops schedule explain \"0 0 13 * 5\"\n"
      "  mlops schedule simulate --to 24h\n"
      "  mlops schedule audit pipeline.yaml --last 7d\n"
      "  mlops schedule pause pipeline.yaml --note \"the source moves\"");
}

}  // namespace mlops::cli
