#include "calendar/instants.hpp"
#include "cli/context.hpp"
#include "cli/output.hpp"
#include "cli/slots.hpp"
#include "db/requests.hpp"
#include "db/slots.hpp"
#include "db/triggers.hpp"
#include "engine/activity.hpp"
#include "process/identity.hpp"
#include "process/lock_file.hpp"
#include "schedule/broken_files.hpp"
#include "schedule/waits.hpp"
#include "util/quantity.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"
#include "workspace/layout.hpp"

#include <algorithm>
#include <cstdio>

namespace mlops::cli {

namespace {

const char* word(engine::Liveness alive) {
  switch (alive) {
    case engine::Liveness::running: return "running";
    case engine::Liveness::orphaned: return "orphaned";
    case engine::Liveness::dead: break;
  }
  return "dead";
}

nlohmann::json active_json(const engine::ActiveRun& active) {
  nlohmann::json entry = to_json(active.run);
  entry["alive"] = word(active.alive);
  entry["runner_pid"] = active.run.runner_pid;
  entry["steps_done"] = active.steps_done;
  entry["running"] = nlohmann::json::array();
  for (const StepRecord& step : active.running) entry["running"].push_back(to_json(step));
  return entry;
}

void print(const engine::ActiveRun& active, const Style& style, Instant now) {
  const RunRecord& run = active.run;
  std::printf("%s  %s  %d of %d steps done, for %s, process %d on %s\n",
              style.bold(shown(run.pipeline)).c_str(), run.id.c_str(), active.steps_done, run.steps,
              util::format_duration(now - run.created_at).c_str(), run.runner_pid, run.host.c_str());
  if (active.alive == engine::Liveness::orphaned) {
    const std::string advice =
        "its runner died; what its keeper still runs goes on: mlops run --resume " + run.id;
    std::printf("  %s\n", style.warn(advice).c_str());
  }
  for (const StepRecord& step : active.running) {
    const std::string since = step.started_at ? util::format_duration(now - *step.started_at) : "";
    std::string what;
    if (step.state == StepState::retrying) {
      what = " waits to try again: " + shown(step.reason);
    } else if (step.attempts > 1) {
      what = " attempt " + std::to_string(step.attempts);
    }
    std::printf("  %s %s%s\n", style.accent(shown(step.name)).c_str(), since.c_str(), what.c_str());
  }
}

/// A slot or request whose run has not begun.
struct Waiting {
  std::string pipeline, what, run_id, why;  // "slot 2026-…", "request 12"
};

std::string prospect(const std::string& claimer, std::string why) {
  if (!process::is_alive(claimer))
    return "the process that had claimed it died: who looks at the schedule next takes it over";
  return why;
}

std::vector<Waiting> find_waiting(db::Connection& connection) {
  std::vector<Waiting> list;
  for (const SlotRecord& slot :
       db::list_slots(connection, {.schedule = {}, .since = {}, .outcome = SlotOutcome::claimed})) {
    const auto schedule = db::find_schedule(connection, slot.schedule);
    if (schedule)
      list.push_back({schedule->pipeline, "slot " + slot.local, slot.run_id,
                      prospect(slot.claimer, schedule::prospect_of(slot))});
  }
  for (const RequestRecord& request : db::claimed_requests(connection))
    list.push_back(
        {request.pipeline, "request " + std::to_string(request.id), request.run_id,
         prospect(request.claimer, request.reason.empty() ? "is about to begin" : request.reason)});
  return list;
}

nlohmann::json waiting_json(const std::vector<Waiting>& all) {
  nlohmann::json list = nlohmann::json::array();
  for (const Waiting& one : all)
    list.push_back({{"pipeline", one.pipeline}, {"for", one.what}, {"run", one.run_id}, {"reason", one.why}});
  return list;
}

void print(const std::vector<Waiting>& all, const Style& style) {
  constexpr std::size_t most = 10;
  for (std::size_t i = 0; i < std::min(most, all.size()); ++i)
    std::printf("%s  %s: %s\n", style.bold(shown(all[i].pipeline)).c_str(), all[i].what.c_str(),
                in_one_line(all[i].why).c_str());
  if (all.size() > most)
    std::printf("%zu more runs have not begun: mlops schedule audit --outcome claimed\n", all.size() - most);
}

nlohmann::json broken_json(const std::vector<schedule::BrokenFile>& files) {
  nlohmann::json list = nlohmann::json::array();
  for (const schedule::BrokenFile& broken : files)
    list.push_back({{"file", util::to_utf8(broken.file)},
                    {"pipeline", broken.pipeline},
                    {"problem", util::to_utf8(broken.problem)},
                    {"since", time_json(broken.since)},
                    {"served", broken.served},
                    {"slots_rejected", broken.rejected}});
  return list;
}

// What became of the slots until now, and what becomes of the next ones.
std::string fate_of_slots(const schedule::BrokenFile& broken, bool daemon_runs) {
  std::string words;
  if (broken.rejected > 0)
    words = std::to_string(broken.rejected) +
            (broken.rejected == 1 ? " slot was rejected" : " slots were rejected") + " for that; ";
  if (!broken.served && broken.has_slots) return words + "`mlops run --slot` refuses it until that is mended";
  words += "nothing of it runs until that is mended";
  return words + (daemon_runs && broken.has_slots ? ", and slots that are due meanwhile are rejected" : "");
}

void print(const schedule::BrokenFile& broken, bool daemon_runs, const Style& style) {
  std::string since;
  if (broken.since)
    since =
        (broken.is_there ? "since it was changed, " : "since ") + util::format_local(*broken.since) + ": ";
  std::printf("%s %s is not run: %s\n  %s%s\n", style.error("✘").c_str(), shown(broken.file).c_str(),
              shown(broken.problem).c_str(), since.c_str(), fate_of_slots(broken, daemon_runs).c_str());
}

// Triggers that cannot look, of files that can be read.
std::vector<TriggerRecord> broken_triggers(db::Connection& connection,
                                           const std::vector<schedule::BrokenFile>& files) {
  std::vector<TriggerRecord> list;
  for (TriggerRecord& record : db::triggers(connection)) {
    if (record.removed_at || record.paused_at || !record.served || record.problem.empty()) continue;
    if (std::ranges::find(files, record.file, &schedule::BrokenFile::file) == files.end())
      list.push_back(std::move(record));
  }
  return list;
}

void status(bool json, Context& context) {
  OpenWorkspace open = open_to_read(context);
  db::Connection& connection = open.database.connection();
  const auto runs = engine::active_runs(open.workspace, open.database);
  const std::vector<Waiting> waiting = find_waiting(connection);
  const std::int64_t queued = db::count_waiting(connection, "");
  const bool daemon_runs =
      process::LockFile::is_locked(layout::in(open.workspace.state_directory(), layout::daemon_lock));
  const auto broken = schedule::broken_files(open.workspace, connection, daemon_runs);
  const auto triggers = broken_triggers(connection, broken);
  const auto promises = schedule::promises_of(open.workspace, connection, calendar::now_seconds());
  if (json) {
    nlohmann::json list = nlohmann::json::array(), promised = list, blind = list;
    for (const TriggerRecord& record : triggers)
      blind.push_back({{"file", util::to_utf8(record.file)},
                       {"pipeline", record.pipeline},
                       {"trigger", record.name},
                       {"problem", util::to_utf8(record.problem)}});
    for (const engine::ActiveRun& active : runs) list.push_back(active_json(active));
    for (const schedule::Promise& promise : promises) {
      promised.push_back(to_json(promise.standing));
      promised.back()["pipeline"] = promise.record.pipeline;
      promised.back()["schedule"] = promise.record.name;
    }
    return print_json({{"workspace", open.workspace.root()},
                       {"runs", std::move(list)},
                       {"waiting", waiting_json(waiting)},
                       {"queued", queued},
                       {"broken_files", broken_json(broken)},
                       {"broken_triggers", std::move(blind)},
                       {"promises", std::move(promised)}});
  }
  const Style style = style_of(stdout);
  for (const engine::ActiveRun& active : runs) print(active, style, util::now());
  if (runs.empty()) std::printf("nothing is running in %s\n", shown(open.workspace.root()).c_str());
  print(waiting, style);
  if (queued > 0)
    std::printf("%lld request%s in the queue: mlops queue list\n", static_cast<long long>(queued),
                queued == 1 ? " waits" : "s wait");
  for (const schedule::BrokenFile& each : broken) print(each, daemon_runs, style);
  for (const TriggerRecord& record : triggers)
    std::printf("%s %s %s sees nothing: %s\n", style.error("✘").c_str(), shown(record.file).c_str(),
                shown(record.name).c_str(), in_one_line(record.problem).c_str());
  for (const schedule::Promise& promise : promises) {
    if (promise.standing.state != schedule::Standing::State::kept && !promise.standing.made_up)
      print_promise(promise);
  }
}

}  // namespace

void set_up_status(CLI::App& app, Context& context) {
  auto json = std::make_shared<bool>(false);
  app.add_flag("--json", *json, "print JSON");
  app.footer("Examples:\n  mlops status\n  mlops status --json");
  app.callback([json, &context] { status(*json, context); });
}

}  // namespace mlops::cli
