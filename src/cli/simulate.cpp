#include "cli/simulate.hpp"

#include <mlops/pipeline.hpp>

#include "calendar/instants.hpp"
#include "cli/output.hpp"
#include "schedule/stagger.hpp"
#include "schedule/standings.hpp"
#include "util/files.hpp"
#include "util/log.hpp"
#include "util/quantity.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"

#include <algorithm>
#include <cstdio>
#include <map>
#include <set>
#include <thread>

namespace mlops::cli {

namespace {

using calendar::sys_seconds;
using schedule::Fire;
using schedule::Subject;

struct SimulateOptions {
  std::vector<std::string> files;
  std::string from, to = "7d", zone;
  int limit = 100;
  int runs = 0;
  bool json = false;
};

/// What is looked ahead at, and what is left out of it.
struct Question {
  std::vector<Subject> subjects;
  std::vector<std::string> paused;
  std::shared_ptr<const calendar::TimeZone> zone;
  schedule::Window window;
  std::size_t runs = 0;
};

void add_file(Question& question, const std::string& file, const Context& context, pipeline::Zones& zones) {
  const Pipeline pipeline = load_pipeline(file, {.overrides = {}, .check_files = false});
  if (pipeline.schedules.empty())
    throw Error(ExitCode::usage, "'" + file + "' has no schedule",
                "such as  schedule: \"0 3 * * *\"  for every day at 03:00");
  std::optional<schedule::Usual> usual;
  const auto workspace = Workspace::find(pipeline.directory, context.workspace);
  if (workspace && util::exists(workspace->database_path())) {
    db::Database database = db::Database::open_to_read(
        workspace->database_path(), workspace->trusted() ? db::Access::write : db::Access::read_only);
    usual = schedule::usual_of(database.connection(), pipeline.name);
  }
  for (schedule::Timetable& timetable : schedule::timetables(pipeline, zones))
    question.subjects.push_back({file, pipeline.name, std::move(timetable), usual});
}

void add_ledger(Question& question, const Context& context) {
  OpenWorkspace open = open_to_read(context);
  db::Connection& connection = open.database.connection();
  for (schedule::Known& known : schedule::known_schedules(open.workspace, connection)) {
    const ScheduleRecord& record = known.record;
    if (record.removed_at || !known.timetable) continue;
    if (record.paused_at) {
      question.paused.push_back(record.pipeline + " " + record.name);
    } else {
      question.subjects.push_back({record.file, record.pipeline, std::move(*known.timetable),
                                   schedule::usual_of(connection, record.pipeline)});
    }
  }
  if (question.subjects.empty())
    throw Error(ExitCode::usage, "the ledger has no schedule to look ahead at",
                "name pipeline files, or take them up with `mlops schedule add FILE`");
}

Question ask(const SimulateOptions& options, const Context& context) {
  Question question;
  pipeline::Zones zones;
  for (const std::string& file : options.files) add_file(question, file, context, zones);
  if (options.files.empty()) add_ledger(question, context);
  // That of the schedules, if they have one.
  question.zone = question.subjects.front().timetable.rule.zone;
  for (const Subject& subject : question.subjects) {
    if (subject.timetable.rule.zone->name() != question.zone->name()) question.zone = zones.get("");
  }
  if (!options.zone.empty()) question.zone = zones.get(options.zone);
  question.window.from =
      options.from.empty() ? calendar::now_seconds() : calendar::read_time(options.from, *question.zone);
  const auto span = util::parse_duration(options.to);
  question.window.to = span ? question.window.from + std::chrono::ceil<std::chrono::seconds>(*span)
                            : calendar::read_time(options.to, *question.zone);
  if (question.window.to <= question.window.from)
    throw Error(ExitCode::usage, "--to comes before --from", "such as --to 24h, or a later time");
  question.runs = options.runs > 0 ? static_cast<std::size_t>(options.runs)
                                   : std::max<std::size_t>(2, std::thread::hardware_concurrency());
  return question;
}

std::string time_words(const Question& question, const Fire& fire, sys_seconds at) {
  return question.subjects[fire.subject].timetable.text(at);
}

// It starts, and waits for no other run.
bool starts_by_jitter(const Question& question, const Fire& fire) {
  return fire.outcome != Fire::Outcome::gap && fire.outcome != Fire::Outcome::skipped &&
         fire.begins == fire.at + question.subjects[fire.subject].timetable.delay;
}

// With the jitter.
std::string start_words(const Question& question, const Fire& fire) {
  return time_words(question, fire, fire.at + question.subjects[fire.subject].timetable.delay);
}

std::string note_of(const Question& question, const Fire& fire) {
  std::vector<std::string> notes;
  const Subject& subject = question.subjects[fire.subject];
  if (!fire.note.empty()) notes.push_back(fire.note);
  if (subject.timetable.delay.count() > 0 && starts_by_jitter(question, fire))
    notes.push_back("starts at " + start_words(question, fire));
  if (fire.meets && fire.certain) {
    const std::string met = "meets the run of " + subject.timetable.text(*fire.meets);
    switch (fire.outcome) {
      case Fire::Outcome::skipped: notes.push_back(met + ": it is skipped"); break;
      case Fire::Outcome::waits:
        notes.push_back(met + ": it waits until " + time_words(question, fire, fire.begins));
        break;
      case Fire::Outcome::replaces: notes.push_back(met + ", and ends it"); break;
      case Fire::Outcome::runs:
      case Fire::Outcome::gap: notes.push_back(met + ", and runs beside it"); break;
    }
  } else if (fire.meets) {
    notes.push_back("meets the run of " + subject.timetable.text(*fire.meets) + " if that takes long");
  }
  if (fire.at_once > question.runs)
    notes.push_back("run " + std::to_string(fire.at_once) + " at once, of " + std::to_string(question.runs));
  if (fire.late.count() > 0)
    notes.push_back("may be " + util::format_duration(fire.late) + " late for its deadline of " +
                    subject.timetable.entry.deadline);
  return util::join(notes, "; ");
}

nlohmann::json as_json(const Question& question, const schedule::Forecast& forecast,
                       const schedule::HeatMap& heat, const schedule::Staggering& staggering,
                       std::size_t shown) {
  const auto name = [&](std::size_t index) {
    const Subject& subject = question.subjects[index];
    return nlohmann::json{
        {"file", subject.file}, {"pipeline", subject.pipeline}, {"schedule", subject.timetable.entry.name}};
  };
  std::vector<std::size_t> counts(question.subjects.size());
  nlohmann::json fires = nlohmann::json::array(), entries = fires, moves = fires;
  for (std::size_t i = 0; i < forecast.fires.size(); ++i) {
    const Fire& fire = forecast.fires[i];
    if (fire.outcome != Fire::Outcome::gap) ++counts[fire.subject];
    if (i >= shown) continue;
    nlohmann::json entry = name(fire.subject);
    entry["time"] = time_words(question, fire, fire.at);
    entry["starts_at"] = nullptr;
    if (starts_by_jitter(question, fire)) entry["starts_at"] = start_words(question, fire);
    entry["outcome"] = to_string(fire.outcome);
    entry["begins"] = time_words(question, fire, fire.begins);
    entry["ends"] = time_words(question, fire, fire.ends);
    entry["note"] = fire.note;
    entry["meets"] = nullptr;
    if (fire.meets)
      entry["meets"] = {{"slot", time_words(question, fire, *fire.meets)}, {"certain", fire.certain}};
    entry["at_once"] = fire.at_once;
    entry["late_s"] = fire.late.count();
    fires.push_back(std::move(entry));
  }
  for (std::size_t i = 0; i < question.subjects.size(); ++i) {
    const Subject& subject = question.subjects[i];
    nlohmann::json entry = name(i);
    entry["times"] = times_of(subject.timetable.entry);
    entry["timezone"] = subject.timetable.rule.zone->name();
    entry["fires"] = counts[i];
    entry["usual"] = nullptr;
    if (subject.usual)
      entry["usual"] = {{"runs", subject.usual->runs},
                        {"median_ms", subject.usual->median.count()},
                        {"p95_ms", subject.usual->slow.count()}};
    entries.push_back(std::move(entry));
  }
  for (const schedule::Move& move : staggering.moves) {
    nlohmann::json entry = name(move.subject);
    entry["key"] = move.key;
    entry["from"] = move.from;
    entry["to"] = move.to;
    moves.push_back(std::move(entry));
  }
  const calendar::TimeZone& zone = *question.zone;
  const auto time = [&](sys_seconds at) { return calendar::to_text(at, zone); };
  return {{"from", time(question.window.from)},
          {"to", time(question.window.to)},
          {"timezone", zone.name()},
          {"schedules", std::move(entries)},
          {"paused", question.paused},
          {"fires", std::move(fires)},
          {"left_out", forecast.fires.size() - shown},
          {"cut", forecast.cut ? nlohmann::json(time(*forecast.cut)) : nlohmann::json(nullptr)},
          {"load",
           {{"peak", forecast.peak},
            {"peak_at", forecast.peak > 0 ? nlohmann::json(time(forecast.peak_at)) : nlohmann::json(nullptr)},
            {"limit", question.runs},
            {"over_limit_s", forecast.over.count()}}},
          {"heat", {{"rows", heat.rows}, {"columns", heat.columns}, {"runs", heat.runs}}},
          {"staggering",
           {{"before", staggering.before}, {"after", staggering.after}, {"moves", std::move(moves)}}}};
}

void print_run_times(const Question& question) {
  constexpr std::size_t most_names = 5;
  std::map<std::string, const Subject*> pipelines;
  for (const Subject& subject : question.subjects) pipelines.emplace(subject.pipeline, &subject);
  std::vector<std::string> unknown;
  Table table({"PIPELINE", "USUALLY TAKES", "AT TIMES", "BY RUNS"});
  table.right_align(3);
  for (const auto& [pipeline, subject] : pipelines) {
    if (!subject->usual) {
      unknown.push_back(pipeline);
      continue;
    }
    table.add({pipeline, util::format_duration(subject->usual->median),
               util::format_duration(subject->usual->slow), std::to_string(subject->usual->runs)});
  }
  if (table.rows() > 0) table.print(stdout);
  if (unknown.empty()) return;
  const std::size_t more = unknown.size() - std::min(unknown.size(), most_names);
  unknown.resize(unknown.size() - more);
  std::printf("no run has succeeded yet, and each is taken to end at once: %s%s\n",
              util::join(unknown, ", ").c_str(),
              more > 0 ? (" and " + std::to_string(more) + " more").c_str() : "");
}

// In which zones its times are.
void print_zones(const Question& question) {
  std::set<std::string> zones;
  for (const Subject& subject : question.subjects) zones.insert(subject.timetable.rule.zone->name());
  std::printf("times are in %s%s\n", zones.size() == 1 ? "" : "the zone of each schedule: ",
              util::join({zones.begin(), zones.end()}, ", ").c_str());
}

void print_fires(const Question& question, const schedule::Forecast& forecast, std::size_t shown) {
  Table table({"TIME", "PIPELINE", "SCHEDULE", "NOTE"});
  for (std::size_t i = 0; i < shown; ++i) {
    const Fire& fire = forecast.fires[i];
    const Subject& subject = question.subjects[fire.subject];
    table.add({time_words(question, fire, fire.at), subject.pipeline, subject.timetable.entry.name,
               note_of(question, fire)});
  }
  std::printf("\n");
  if (shown > 0) {
    table.print(stdout);
    print_zones(question);
  }
  if (shown < forecast.fires.size())
    std::printf("%zu later ones are not shown (-n 0 shows all)\n", forecast.fires.size() - shown);
  if (forecast.fires.empty()) std::printf("nothing runs in that time\n");
  if (forecast.cut)
    std::printf("what comes after %s is left out: more than %zu times\n",
                calendar::to_text(*forecast.cut, *question.zone).c_str(), schedule::most_fires);
  for (const std::string& what : question.paused) std::printf("%s is paused, and left out\n", what.c_str());
}

void print_heat(const schedule::HeatMap& heat, const schedule::Forecast& forecast, std::size_t limit) {
  const Style style = style_of(stdout);
  const std::size_t width = std::max<std::size_t>(3, std::to_string(forecast.peak).size() + 1);
  const auto cell = [&](const std::string& text) { return std::string(width - text.size(), ' ') + text; };
  std::string line(heat.rows.front().size() + 1, ' ');
  for (const std::string& column : heat.columns) line += cell(column);
  std::printf("%s\n", style.dim(line).c_str());
  for (std::size_t row = 0; row < heat.rows.size(); ++row) {
    // Of hours in which nothing happens not every one.
    if (heat.rows.size() == 24 && std::ranges::all_of(heat.runs[row], [](std::size_t n) { return n == 0; }))
      continue;
    std::printf("%s ", style.dim(heat.rows[row]).c_str());
    for (const std::size_t runs : heat.runs[row]) {
      const std::string text = cell(runs == 0 ? "." : std::to_string(runs));
      std::printf("%s", (runs > limit ? style.error(text) : runs > 0 ? style.accent(text) : text).c_str());
    }
    std::printf("\n");
  }
}

void print_moves(const Question& question, const schedule::Staggering& staggering, std::size_t most) {
  if (staggering.moves.empty()) return;
  std::printf("\nwith these moved, most runs at once: %zu instead of %zu\n", staggering.after,
              staggering.before);
  Table table({"FILE", "SCHEDULE", "INSTEAD OF", "WRITE"});
  for (const schedule::Move& move : staggering.moves) {
    if (table.rows() == most) break;
    const Subject& subject = question.subjects[move.subject];
    table.add({subject.file, subject.timetable.entry.name,
               move.from.empty() ? "no " + move.key : move.key + ": \"" + move.from + "\"",
               move.key + ": \"" + move.to + "\""});
  }
  table.print(stdout);
  if (table.rows() < staggering.moves.size())
    std::printf("and %zu more (-n 0 shows all)\n", staggering.moves.size() - table.rows());
}

void print_load(const Question& question, const schedule::Forecast& forecast, const schedule::HeatMap& heat) {
  if (forecast.peak == 0) return;
  std::printf("\nmost runs at once: %zu, at %s\n", forecast.peak,
              calendar::to_text(forecast.peak_at, *question.zone).c_str());
  if (forecast.over.count() > 0)
    std::printf("more than %zu for %s in all: then some have to wait\n", question.runs,
                util::format_duration(forecast.over).c_str());
  std::printf(
      "%s, in %s:\n",
      heat.rows.size() == 7 ? "by weekday and hour" : "by hour and minute, hours without runs left out",
      question.zone->name().c_str());
  print_heat(heat, forecast, question.runs);
}

void simulate(const SimulateOptions& options, const Context& context) {
  util::set_up_log(context.verbose);
  const Question question = ask(options, context);
  const schedule::Forecast forecast = schedule::look_ahead(question.subjects, question.window, question.runs);
  const schedule::HeatMap heat = schedule::heat_of(forecast, question.window, *question.zone);
  const schedule::Staggering staggering = schedule::stagger(question.subjects, forecast, question.window);
  const std::size_t shown = options.limit > 0
                                ? std::min(forecast.fires.size(), static_cast<std::size_t>(options.limit))
                                : forecast.fires.size();
  if (options.json) return print_json(as_json(question, forecast, heat, staggering, shown));
  print_run_times(question);
  print_fires(question, forecast, shown);
  print_load(question, forecast, heat);
  print_moves(question, staggering,
              options.limit > 0 ? static_cast<std::size_t>(options.limit) : staggering.moves.size());
}

}  // namespace

void add_simulate_command(CLI::App& app, Context& context) {
  auto options = std::make_shared<SimulateOptions>();
  auto* command = app.add_subcommand(
      "simulate", "look ahead: what runs when, what it meets, and how much goes on at once");
  command->add_option("FILE", options->files, "pipeline files (default: all schedules of the ledger)");
  command->add_option("--from", options->from, "from this time on (default: now)")->type_name("TIME");
  command->add_option("--to", options->to, "until this time, or for so long, such as 24h (default 7d)")
      ->type_name("TIME");
  command
      ->add_option("--tz", options->zone, "zone of --from, --to and the map (default: that of the schedules)")
      ->type_name("ZONE")
      ->check(not_empty);
  command->add_option("-n,--limit", options->limit, "list the first so many (default 100; 0: all)")
      ->type_name("N")
      ->check(CLI::Range(0, 1'000'000'000));
  command
      ->add_option("--runs", options->runs, "runs at a time, as of the daemon (default: the machine's cores)")
      ->type_name("N")
      ->check(CLI::Range(1, 10'000));
  command->add_flag("--json", options->json, "print JSON");
  command->footer(
      "Examples:\n"
      "  mlops schedule simulate\n"
      "  mlops schedule simulate pipeline.yaml --from 2026-03-28 --to 2026-03-30\n"
      "  mlops schedule simulate --to 24h --runs 2 --json");
  command->callback([options, &context] { simulate(*options, context); });
}

}  // namespace mlops::cli
