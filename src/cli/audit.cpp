// `mlops schedule audit`: what became of each slot, and why.
#include <mlops/slots.hpp>

#include "calendar/instants.hpp"
#include "cli/slots.hpp"
#include "db/runs.hpp"
#include "db/slots.hpp"
#include "engine/recovery.hpp"
#include "schedule/waits.hpp"
#include "util/quantity.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <span>

namespace mlops::cli {

namespace {

using calendar::sys_seconds;
using schedule::Known;

struct AuditOptions {
  std::string file;
  std::string last = "30d";
  std::string why;
  std::string outcome;
  int limit = 100;
  bool json = false;
};

std::string late_words(const SlotRecord& slot) {
  return slot.late_ms ? util::format_duration(std::chrono::milliseconds(*slot.late_ms)) : "";
}

std::string slot_words(const SlotRecord& slot) {
  return slot.slots == 1 ? slot.local : slot.local + " and " + std::to_string(slot.slots - 1) + " more";
}

std::optional<sys_seconds> since(const AuditOptions& options) {
  if (options.last == "all") return std::nullopt;
  const auto span = util::parse_duration(options.last);
  if (!span)
    throw Error(ExitCode::usage, "cannot read --last '" + options.last + "'", "such as 30d, 12h, or all");
  return calendar::now_seconds() - std::chrono::ceil<std::chrono::seconds>(*span);
}

// The slots of a schedule from `since` on that have no row: there are none, unless the database was tampered
// with.
std::int64_t holes(const Known& known, const std::vector<SlotRecord>& slots,
                   std::optional<sys_seconds> since) {
  if (!known.timetable || known.record.removed_at) return 0;
  std::int64_t missing = 0;
  std::size_t next = 0;
  sys_seconds from = known.record.since;
  if (since) from = std::max(from, *since);
  for (auto at = calendar::next_fire(known.timetable->rule, from); at && *at <= known.record.cursor;
       at = calendar::next_fire(known.timetable->rule, *at)) {
    while (next < slots.size() && slots[next].until < *at) ++next;
    if (next == slots.size() || slots[next].at > *at) ++missing;
  }
  return missing;
}

/// A row of the answer.
struct Line {
  SlotRecord slot;
  const Known* known;
  std::string run_state;
  std::optional<SlotRecord> into;  ///< of a coalesced one: the slot whose run was made for it as well
  std::string into_state;          ///< of that run
};

std::string time_words(const Known& known, sys_seconds at) {
  return known.timetable ? known.timetable->text(at) : util::format_utc(at).substr(0, 19) + "Z";
}

std::string last_slot(const Line& line) {
  return line.slot.slots > 1 ? time_words(*line.known, line.slot.until) : line.slot.local;
}

void print_into(const SlotRecord& into, const std::string& state) {
  if (into.outcome == SlotOutcome::ran) {
    std::printf("  run %s of that slot %s\n", into.run_id.c_str(), state.c_str());
  } else if (into.outcome == SlotOutcome::claimed) {
    std::printf("  run %s of that slot %s\n", into.run_id.c_str(),
                shown(schedule::prospect_of(into)).c_str());
  } else {
    std::printf("  that slot was %s%s%s\n", to_string(into.outcome), into.reason.empty() ? "" : ": ",
                in_one_line(into.reason).c_str());
  }
}

void print_why(const Line& line) {
  const Style style = style_of(stdout);
  const SlotRecord& slot = line.slot;
  const ScheduleRecord& record = line.known->record;
  const auto decided = std::chrono::floor<std::chrono::seconds>(slot.decided_at);
  std::printf("%s  %s %s: %s\n", style.bold(slot_words(slot)).c_str(), record.pipeline.c_str(),
              shown(record.name).c_str(), to_string(slot.outcome));
  if (slot.slots > 1) std::printf("  all slots from %s to %s\n", slot.local.c_str(), last_slot(line).c_str());
  for (const std::string& part : util::split(slot.reason, '\n'))
    if (const auto text = util::trim(part); !text.empty())
      std::printf("  %s\n", shown(std::string(text)).c_str());
  if (slot.outcome == SlotOutcome::ran) {
    std::printf("  run %s %s, begun %s after its time\n", slot.run_id.c_str(), line.run_state.c_str(),
                late_words(slot).c_str());
  }
  if (slot.outcome == SlotOutcome::claimed && schedule::wait_of(slot).empty())
    std::printf("  run %s is about to begin\n", slot.run_id.c_str());
  if (line.into) print_into(*line.into, line.into_state);
  // The reason of one that was missed says so itself.
  if (slot.outcome == SlotOutcome::coalesced && slot.unseen_from)
    std::printf("  nobody looked at the time from %s to %s\n",
                time_words(*line.known, *slot.unseen_from).c_str(), time_words(*line.known, decided).c_str());
  std::printf("  decided at %s\n", time_words(*line.known, decided).c_str());
}

// By its instant, in whatever zone that is given, or by the beginning of the slot or of its time of day; a
// time that clocks skip has a space in place of the T. Of many slots that share a row, those between its
// first and its last.
bool is_meant(const Line& line, std::string words) {
  if (const auto at = calendar::read_instant(words)) return line.slot.at <= *at && *at <= line.slot.until;
  const auto plain = [](std::string text) {
    std::ranges::replace(text, ' ', 'T');
    return text;
  };
  const std::string first = plain(line.slot.local), last = plain(last_slot(line));
  words = plain(std::move(words));
  if (first.starts_with(words) || first.find("T" + words) != first.npos) return true;
  const bool dated = words.size() > 4 && words[4] == '-';
  return line.slot.slots > 1 && dated && first < words && words <= last;
}

// What was coalesced names the slot that was run in its place, last of all.
void find_runs_of_coalesced(std::span<Line> lines, OpenWorkspace& open,
                            const std::vector<SlotRecord>& slots) {
  std::map<std::string_view, const SlotRecord*> by_time;
  for (const SlotRecord& slot : slots)
    if (slot.outcome != SlotOutcome::gap) by_time[slot.local] = &slot;
  for (Line& line : lines) {
    if (line.slot.outcome != SlotOutcome::coalesced) continue;
    const std::string_view reason = line.slot.reason;
    const auto found = by_time.find(reason.substr(reason.rfind(' ') + 1));
    if (found == by_time.end()) continue;
    line.into = *found->second;
    line.into_state = run_state_of(open, *line.into);
  }
}

nlohmann::json line_json(const Line& line) {
  nlohmann::json json = slot_json(line.slot, line.known->record, line.run_state);
  json["last_slot"] = last_slot(line);
  json["coalesced_into"] = nullptr;
  if (line.into)
    json["coalesced_into"] = {
        {"slot", line.into->local},
        {"outcome", to_string(line.into->outcome)},
        {"run", line.into->run_id},
        {"run_state", line.into_state.empty() ? nlohmann::json(nullptr) : nlohmann::json(line.into_state)}};
  return json;
}

// "2 failed, 5 succeeded".
std::string in_words(const std::map<std::string, std::int64_t>& counts) {
  std::vector<std::string> parts;
  for (const auto& [what, count] : counts) parts.push_back(std::to_string(count) + " " + what);
  return util::join(parts, ", ");
}

// Why nothing is listed: nothing has been, or nothing of late.
std::string words_for_none(const AuditOptions& options, OpenWorkspace& open, const std::vector<Known>& all) {
  const Known* newest = nullptr;
  std::optional<SlotRecord> last;
  for (const Known& known : all) {
    auto slots = db::list_slots(open.database.connection(),
                                {.schedule = known.record.id, .since = {}, .outcome = {}, .limit = 1});
    if (slots.empty() || (last && slots.front().at <= last->at)) continue;
    last = std::move(slots.front());
    newest = &known;
  }
  if (!last) return "no slot has been due yet";
  return "no slot was due within --last " + options.last + "; the newest was " +
         time_words(*newest, last->until) + " of " + newest->record.pipeline + " " +
         shown(newest->record.name) + ": --last all looks further back";
}

void audit(const AuditOptions& options, const Context& context) {
  OpenWorkspace open = open_to_read(context);
  db::Connection& connection = open.database.connection();
  const auto from = since(options);
  std::optional<SlotOutcome> only;
  if (!options.outcome.empty()) {
    only = parse_slot_outcome(options.outcome);
    if (!only)
      throw Error(ExitCode::usage, "there is no outcome '" + options.outcome + "'",
                  "ran, skipped, coalesced, missed, paused, superseded, rejected, gap or claimed");
  }
  std::vector<Line> lines;
  std::map<SlotOutcome, std::int64_t> counts;
  std::map<std::string, std::int64_t> runs;  // by how they ended
  std::int64_t to_come = 0;                  // by the clock as it is now
  const sys_seconds now = calendar::now_seconds();
  std::int64_t missing = 0;
  const std::vector<Known> all = known_schedules(open, options.file);
  for (const Known& known : all) {
    const auto slots =
        db::list_slots(connection, {.schedule = known.record.id, .since = from, .outcome = {}});
    missing += holes(known, slots, from);
    const std::size_t before = lines.size();
    for (const SlotRecord& slot : slots) {
      counts[slot.outcome] += slot.slots;
      if (slot.at > now) to_come += slot.slots;
      std::string run_state = run_state_of(open, slot);
      if (!run_state.empty()) ++runs[run_state];
      if (only && slot.outcome != *only) continue;
      Line line{slot, &known, std::move(run_state), {}, {}};
      if (options.why.empty() || is_meant(line, options.why)) lines.push_back(std::move(line));
    }
    if (options.json || !options.why.empty())
      find_runs_of_coalesced(std::span(lines).subspan(before), open, slots);
  }
  std::ranges::stable_sort(lines, {}, [](const Line& line) { return line.slot.at; });
  if (!options.why.empty()) {
    if (lines.empty())
      throw Error(ExitCode::usage,
                  (calendar::read_instant(options.why) ? "no slot of the ledger is at '"
                                                       : "no slot of the ledger begins with '") +
                      options.why + "'",
                  "`mlops schedule audit` lists them; --last all looks further back");
    if (!options.json) {
      for (const Line& line : lines) print_why(line);
      return;
    }
  }
  const std::size_t left_out = options.limit > 0 && lines.size() > static_cast<std::size_t>(options.limit)
                                   ? lines.size() - static_cast<std::size_t>(options.limit)
                                   : 0;
  if (options.json) {
    nlohmann::json list = nlohmann::json::array(), summary = nlohmann::json::object();
    for (std::size_t i = left_out; i < lines.size(); ++i) list.push_back(line_json(lines[i]));
    for (const auto& [outcome, count] : counts) summary[to_string(outcome)] = count;
    return print_json({{"slots", std::move(list)},
                       {"summary", std::move(summary)},
                       {"runs", runs},
                       {"without_outcome", missing},
                       {"to_come", to_come},
                       {"left_out", left_out}});
  }
  Table table({"SLOT", "PIPELINE", "SCHEDULE", "OUTCOME", "STATE", "RUN", "LATE", "REASON"});
  table.right_align(6);
  for (std::size_t i = left_out; i < lines.size(); ++i) {
    const SlotRecord& slot = lines[i].slot;
    table.add({slot_words(slot), lines[i].known->record.pipeline, lines[i].known->record.name,
               to_string(slot.outcome), lines[i].run_state, slot.run_id, late_words(slot),
               in_one_line(slot.reason)});
  }
  if (lines.size() > left_out) table.print(stdout);
  std::string words;
  for (const auto& [outcome, count] : counts) {
    words += (words.empty() ? "" : ", ") + std::to_string(count) + " " + to_string(outcome);
    if (outcome == SlotOutcome::ran) words += " (" + in_words(runs) + ")";
  }
  if (left_out > 0) std::printf("%zu older ones are not shown (--limit 0 shows all)\n", left_out);
  std::printf("%s\n", (words.empty() ? words_for_none(options, open, all) : words).c_str());
  if (to_come > 0)
    std::printf("%lld of them are yet to come: the clock was set back after they had been decided about\n",
                static_cast<long long>(to_come));
  if (missing > 0)
    std::printf("%lld slots have no outcome: the database was changed by something else\n",
                static_cast<long long>(missing));
}

}  // namespace

std::vector<Known> known_schedules(OpenWorkspace& open, const std::string& what, bool may_be_none) {
  std::vector<Known> result;
  std::vector<std::string> names;
  const std::string file = what.empty() ? "" : open.workspace.relative(what);
  for (Known& known : schedule::known_schedules(open.workspace, open.database.connection())) {
    if (std::ranges::find(names, known.record.file) == names.end()) names.push_back(known.record.file);
    if (what.empty() || known.record.file == file || known.record.pipeline == what)
      result.push_back(std::move(known));
  }
  if (result.empty() && !what.empty() && !may_be_none) {
    throw Error(ExitCode::usage, "the ledger has no schedule of '" + what + "'",
                names.empty() ? "a schedule is taken up with `mlops run FILE --slot now`"
                              : util::did_you_mean(what, names));
  }
  return result;
}

std::string run_state_of(OpenWorkspace& open, const SlotRecord& slot) {
  if (slot.outcome != SlotOutcome::ran) return {};
  const auto state = db::state_of_run(open.database.connection(), slot.run_id);
  if (!state) return "deleted";
  const bool orphaned = state == RunState::running &&
                        engine::liveness(open.workspace, slot.run_id) == engine::Liveness::orphaned;
  return orphaned ? "orphaned" : to_string(*state);
}

nlohmann::json slot_json(const SlotRecord& slot, const ScheduleRecord& record, const std::string& run_state) {
  const auto maybe = [](const auto& value) {
    return value ? nlohmann::json(*value) : nlohmann::json(nullptr);
  };
  return {{"pipeline", record.pipeline},
          {"file", record.file},
          {"schedule", record.name},
          {"slot", slot.local},
          {"slots", slot.slots},
          {"outcome", to_string(slot.outcome)},
          {"reason", slot.reason},
          {"run", slot.run_id},
          {"run_state", run_state.empty() ? nlohmann::json(nullptr) : nlohmann::json(run_state)},
          {"late_ms", maybe(slot.late_ms)},
          {"fence", maybe(slot.fence)},
          {"decided_at", time_json(slot.decided_at)},
          {"unseen_from", slot.unseen_from ? time_json(Instant(*slot.unseen_from)) : nullptr},
          {"unseen_until", slot.unseen_from ? time_json(slot.decided_at) : nullptr}};
}

void add_audit_command(CLI::App& app, Context& context) {
  auto options = std::make_shared<AuditOptions>();
  auto* slots = app.add_subcommand("audit", "tell what became of each time at which a pipeline was to run");
  slots->add_option("FILE", options->file, "only those of this pipeline file, or pipeline");
  slots->add_option("--last", options->last, "how far back, such as 12h, or all (default 30d)")
      ->type_name("DURATION");
  slots
      ->add_option(
          "--why", options->why,
          "only slots that begin with this, such as 2026-03-29T02 or 02:30, or are at this instant, such as "
          "2026-03-29T01:00:00Z; each with all that is known")
      ->type_name("SLOT");
  slots->add_option("--outcome", options->outcome, "only these: ran, skipped, coalesced, missed, …")
      ->type_name("OUTCOME");
  slots->add_option("--limit", options->limit, "the newest so many (default 100; 0: all)")
      ->type_name("N")
      ->check(CLI::Range(0, 1'000'000'000));
  slots->add_flag("--json", options->json, "print JSON");
  slots->footer(
      "Examples:\n  mlops schedule audit pipeline.yaml --last 7d\n"
      "  mlops schedule audit --outcome missed --json\n"
      "  mlops schedule audit pipeline.yaml --why 2026-03-29T02");
  slots->callback([options, &context] { audit(*options, context); });
}

}  // namespace mlops::cli
