#include <mlops/events.hpp>
#include <mlops/pipeline.hpp>

#include "cli/context.hpp"
#include "cli/output.hpp"
#include "db/requests.hpp"
#include "db/runs.hpp"
#include "db/triggers.hpp"
#include "process/lock_file.hpp"
#include "server/hook_service.hpp"
#include "triggers/definition.hpp"
#include "triggers/events.hpp"
#include "util/files.hpp"
#include "util/id.hpp"
#include "util/json.hpp"
#include "util/log.hpp"
#include "util/quantity.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"
#include "workspace/layout.hpp"
#include "workspace/secrets.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>

namespace mlops::cli {

namespace {

struct TriggerOptions {
  std::string file;
  std::string name;
  std::string payload;
  std::string note;
  std::string last = "30d";
  std::vector<std::string> http_names;
  std::int64_t id = 0;
  int limit = 100;
  bool all = false;
  bool json = false;
};

// Those of a file or of a pipeline, one of them if it is named; all if nothing is.
std::vector<TriggerRecord> find_triggers(OpenWorkspace& open, const TriggerOptions& options) {
  std::vector<TriggerRecord> result;
  std::vector<std::string> known, names;
  const std::string file = options.file.empty() ? "" : open.workspace.relative(options.file);
  for (TriggerRecord& record : db::triggers(open.database.connection())) {
    known.push_back(record.file);
    if (!options.file.empty() && record.file != file && record.pipeline != options.file) continue;
    names.push_back(record.name);
    if (options.name.empty() || record.name == options.name) result.push_back(std::move(record));
  }
  if (!result.empty() || options.file.empty()) return result;
  if (names.empty())
    throw Error(ExitCode::usage, "no trigger of '" + options.file + "' is known",
                known.empty() ? "the daemon takes them up: mlops daemon " + options.file
                              : util::did_you_mean(options.file, known));
  throw Error(ExitCode::usage, "'" + options.file + "' has no trigger '" + options.name + "'",
              util::did_you_mean(options.name, names));
}

std::string state_of(const TriggerRecord& record) {
  if (record.removed_at) return "removed";
  if (!record.problem.empty()) return "broken";
  if (record.paused_at) return "paused";
  return record.served ? "on" : "by hand";
}

/// An event with what became of it.
struct Line {
  EventRecord event;
  const TriggerRecord* trigger;
  std::optional<RequestRecord> request;
  std::optional<RunRecord> run;

  std::string outcome() const {
    if (event.outcome != EventOutcome::requested && event.outcome != EventOutcome::joined)
      return to_string(event.outcome);
    if (run) return to_string(run->state);
    if (!run_id().empty()) return "deleted";
    return request ? to_string(request->state) : "request deleted";
  }
  // Also of one that was deleted.
  std::string run_id() const {
    return request && request->state == RequestState::started ? request->run_id : std::string();
  }
  std::string reason() const {
    if (event.outcome == EventOutcome::requested && request && !request->reason.empty())
      return request->reason;
    return event.reason;
  }
};

Line line_of(db::Connection& connection, EventRecord event, const std::vector<TriggerRecord>& all) {
  Line line{std::move(event), nullptr, {}, {}};
  line.trigger = &*std::ranges::find(all, line.event.trigger, &TriggerRecord::id);
  if (line.event.request) line.request = db::find_request(connection, *line.event.request);
  if (line.request && line.request->state == RequestState::started)
    line.run = db::find_run(connection, line.request->run_id);
  return line;
}

nlohmann::json line_json(const Line& line, bool payload) {
  nlohmann::json json = {
      {"id", line.event.id},
      {"pipeline", line.trigger->pipeline},
      {"file", line.trigger->file},
      {"trigger", line.trigger->name},
      {"kind", line.trigger->kind},
      {"at", time_json(line.event.at)},
      {"what", line.event.what},
      {"key", line.event.dedupe},
      {"event", to_string(line.event.outcome)},
      {"outcome", line.outcome()},
      {"reason", line.reason()},
      {"request", line.event.request ? nlohmann::json(*line.event.request) : nlohmann::json()},
      {"run", line.run_id().empty() ? nlohmann::json() : nlohmann::json(line.run_id())}};
  if (payload) json["payload"] = nlohmann::json::parse(line.event.payload, nullptr, false);
  return json;
}

void list(const TriggerOptions& options, const Context& context) {
  OpenWorkspace open = open_to_read(context);
  db::Connection& connection = open.database.connection();
  const std::vector<TriggerRecord> all = find_triggers(open, options);
  nlohmann::json json = nlohmann::json::array();
  Table table({"FILE", "TRIGGER", "LOOKS AT", "STATE", "LAST EVENT"});
  for (const TriggerRecord& record : all) {
    const std::string words = triggers::words_for(triggers::trigger_of(record));
    auto last = db::list_events(connection, {.trigger = record.id, .since = {}, .limit = 1});
    if (options.json) {
      json.push_back({{"id", record.id},
                      {"file", record.file},
                      {"pipeline", record.pipeline},
                      {"trigger", record.name},
                      {"kind", record.kind},
                      {"looks_at", words},
                      {"state", state_of(record)},
                      {"note", record.paused_at ? record.pause_note : record.problem},
                      {"looked_at", time_json(record.looked_at)},
                      {"last", last.empty() ? nlohmann::json()
                                            : line_json(line_of(connection, last.back(), all), false)}});
      continue;
    }
    std::string ended;
    if (!last.empty()) {
      const Line line = line_of(connection, last.back(), all);
      ended = util::format_ago(line.event.at, util::now()) + ": " + line.event.what + ", " + line.outcome();
    }
    table.add({record.file, record.name, words, state_of(record), ended});
  }
  if (options.json) return print_json({{"triggers", std::move(json)}});
  if (all.empty()) {
    std::fprintf(stderr, "no trigger is known yet; the daemon takes them up: mlops daemon FILE\n");
    return;
  }
  table.print(stdout);
  const bool daemon =
      process::LockFile::is_locked(layout::in(open.workspace.state_directory(), layout::daemon_lock));
  if (!daemon) std::printf("no daemon runs: what happens is seen when one is started\n");
  for (const TriggerRecord& record : all) {
    const std::string note = record.paused_at ? record.pause_note : record.problem;
    if (!note.empty()) std::printf("%s\n", shown(record.file + " " + record.name + ": " + note).c_str());
  }
}

void events(const TriggerOptions& options, const Context& context) {
  OpenWorkspace open = open_to_read(context);
  db::Connection& connection = open.database.connection();
  const std::vector<TriggerRecord> all = find_triggers(open, options);
  db::EventFilter filter{.trigger = {}, .since = {}, .known = options.all, .limit = options.limit};
  if (options.last != "all") {
    const auto span = util::parse_duration(options.last);
    if (!span)
      throw Error(ExitCode::usage, "cannot read --last '" + options.last + "'", "such as 30d, 12h, or all");
    filter.since = util::now() - *span;
  }
  std::vector<Line> lines;
  const auto add = [&](std::vector<EventRecord> list) {
    for (EventRecord& event : list) lines.push_back(line_of(connection, std::move(event), all));
  };
  if (options.file.empty()) {
    add(db::list_events(connection, filter));
  } else {
    for (const TriggerRecord& record : all) {
      filter.trigger = record.id;
      add(db::list_events(connection, filter));
    }
    std::ranges::sort(lines, {}, [](const Line& line) { return line.event.id; });
    if (options.limit > 0 && lines.size() > static_cast<std::size_t>(options.limit))
      lines.erase(lines.begin(), lines.end() - options.limit);
  }
  if (options.json) {
    nlohmann::json json = nlohmann::json::array();
    for (const Line& line : lines) json.push_back(line_json(line, true));
    return print_json({{"events", std::move(json)}});
  }
  Table table({"EVENT", "AT", "PIPELINE", "TRIGGER", "WHAT", "OUTCOME", "RUN", "REASON"});
  for (const Line& line : lines) {
    table.add({std::to_string(line.event.id), util::format_local(line.event.at), line.trigger->pipeline,
               line.trigger->name, line.event.what, line.outcome(), line.run_id(),
               in_one_line(line.reason())});
  }
  if (lines.empty()) {
    std::fprintf(stderr, "nothing has happened yet\n");
    return;
  }
  table.print(stdout);
}

/// A pipeline file and the one of its triggers that is meant.
struct Chosen {
  Pipeline pipeline;
  std::size_t trigger = 0;
};

Chosen choose(const TriggerOptions& options) {
  Chosen chosen{load_pipeline(options.file, {.overrides = {}, .check_files = true}), 0};
  const auto& list = chosen.pipeline.triggers;
  if (list.empty())
    throw Error(ExitCode::usage, "'" + options.file + "' has no triggers",
                "such as  triggers: {files: data/*.csv}");
  std::vector<std::string> names;
  for (const Trigger& trigger : list) names.push_back(trigger.name);
  if (options.name.empty() && list.size() > 1)
    throw Error(ExitCode::usage, "'" + options.file + "' has several triggers: which one?",
                util::join(names, ", "));
  const auto found = options.name.empty() ? names.begin() : std::ranges::find(names, options.name);
  if (found == names.end())
    throw Error(ExitCode::usage, "'" + options.file + "' has no trigger '" + options.name + "'",
                util::did_you_mean(options.name, names));
  chosen.trigger = static_cast<std::size_t>(found - names.begin());
  return chosen;
}

Json payload_from(const std::string& file) {
  if (file.empty()) return Json::object();
  constexpr std::size_t most = 1 << 20;
  Json payload = util::parse_json(util::read_file(file, most));
  if (payload.is_discarded())
    throw Error(ExitCode::usage,
                "'" + file + "' is not JSON, or nested deeper than " + std::to_string(util::deepest_json),
                "what --payload names is handed to the steps as JSON");
  return payload;
}

int fire(const TriggerOptions& options, const Context& context) {
  util::set_up_log(context.verbose);
  const Chosen chosen = choose(options);
  const Json payload = payload_from(options.payload);
  bool created = false;
  const Workspace workspace =
      Workspace::find_or_create(chosen.pipeline.directory, context.workspace, created);
  workspace.check_owner();
  db::Database database = db::Database::open(workspace.database_path());
  triggers::Events events(workspace, database);
  const std::vector<TriggerRecord> all = events.adopt(chosen.pipeline);
  triggers::Sight sight;
  sight.happenings.push_back({"hand " + util::new_id(), "fired by hand", payload});
  const auto recorded = events.record(all.at(chosen.trigger), sight);
  if (!recorded || recorded->empty())
    throw Error(ExitCode::io, "the event could not be recorded: the trigger is gone");
  const Line line = line_of(database.connection(), recorded->front(), all);
  if (options.json) {
    print_json(line_json(line, true));
  } else {
    std::printf("event %lld of %s %s: %s\n", static_cast<long long>(line.event.id),
                line.trigger->pipeline.c_str(), shown(line.trigger->name).c_str(),
                shown(triggers::words_for(line.event)).c_str());
  }
  return line.event.request ? 0 : static_cast<int>(ExitCode::gate_refused);
}

// What a look would find now; for a webhook, whether its secret can be had.
std::string test_webhook(const Pipeline& pipeline, const Trigger& trigger) {
  const auto secret = std::ranges::find(pipeline.secrets, trigger.secret, &Secret::name);
  if (secret == pipeline.secrets.end())
    throw Error(ExitCode::usage, "the secret '" + trigger.secret + "' of the webhook is not declared",
                "name it in `secrets:` of '" + pipeline.file + "'");
  workspace::secret_value(*secret, pipeline.directory);
  return "the secret " + trigger.secret +
         " can be had; try it with\n"
         "  body='{}'; sign=$(printf %s \"$body\" | openssl dgst -sha256 -hmac \"$" +
         trigger.secret +
         "\" | sed 's/.* //')\n"
         "  curl -i -H \"X-Hub-Signature-256: sha256=$sign\" -d \"$body\" http://127.0.0.1:PORT/hooks/" +
         trigger.name;
}

int test(const TriggerOptions& options, const Context& context) {
  util::set_up_log(context.verbose);
  const Chosen chosen = choose(options);
  const Trigger& trigger = chosen.pipeline.triggers[chosen.trigger];
  const auto workspace = Workspace::find(chosen.pipeline.directory, context.workspace);
  TriggerRecord record;
  db::Database database = workspace && util::exists(workspace->database_path())
                              ? db::Database::open_to_read(workspace->database_path())
                              : db::Database::empty();
  if (workspace) {
    for (const TriggerRecord& each :
         db::triggers_of(database.connection(), workspace->relative(chosen.pipeline.file))) {
      const bool same = triggers::same_subject(Json::parse(each.definition, nullptr, false),
                                               triggers::definition_of(trigger));
      if (each.name == trigger.name && same && !each.removed_at) record = each;
    }
  }
  triggers::Sight sight;
  if (trigger.kind == Trigger::Kind::webhook) {
    sight.words = test_webhook(chosen.pipeline, trigger);
  } else if (!workspace) {
    throw Error(ExitCode::usage, "there is no workspace here yet", "make one with `mlops init`");
  } else {
    sight =
        triggers::look(record, trigger,
                       {*workspace, database.connection(), chosen.pipeline.file, chosen.pipeline.directory});
  }
  const bool first = record.state.empty() && trigger.kind != Trigger::Kind::webhook;
  if (options.json) {
    nlohmann::json found = nlohmann::json::array();
    for (const triggers::Happening& h : sight.happenings) {
      if (!h.known)
        found.push_back(
            {{"what", h.what}, {"key", h.dedupe}, {"payload", h.payload}, {"refused", h.refused}});
    }
    print_json({{"pipeline", chosen.pipeline.name},
                {"trigger", trigger.name},
                {"kind", triggers::to_string(trigger.kind)},
                {"looks_at", triggers::words_for(trigger)},
                {"sees", sight.words},
                {"first_look", first},
                {"events", std::move(found)}});
    return 0;
  }
  std::printf("%s %s: %s\n", chosen.pipeline.name.c_str(), shown(trigger.name).c_str(),
              shown(triggers::words_for(trigger)).c_str());
  std::printf("sees: %s\n", sight.words.c_str());
  if (trigger.kind == Trigger::Kind::webhook) return 0;
  if (first) {
    std::printf("it has not looked before: what is there now would be no event\n");
  } else if (sight.happenings.empty()) {
    std::printf("nothing has happened since it looked last\n");
  }
  for (const triggers::Happening& h : sight.happenings) {
    if (!h.known)
      std::printf("would be an event: %s\n",
                  shown(h.what + (h.refused.empty() ? "" : " (refused: " + h.refused + ")")).c_str());
  }
  return 0;
}

void set_paused(const TriggerOptions& options, const Context& context, bool paused) {
  OpenWorkspace open = open_to_write(context);
  triggers::Events events(open.workspace, open.database);
  for (const TriggerRecord& record : find_triggers(open, options)) {
    if (record.removed_at) continue;
    const std::string what = shown(record.pipeline + " " + record.name);
    if (paused) {
      events.pause(record, options.note);
      std::printf("paused %s: its events are on record, and run nothing until `mlops trigger resume %s`\n",
                  what.c_str(), shown(util::shell_quote(options.file)).c_str());
    } else if (!record.paused_at) {
      std::printf("%s is not paused\n", what.c_str());
    } else {
      events.resume(record);
      std::printf("resumed %s\n", what.c_str());
    }
  }
}

// For the daemon, which reads what it prints: lines that begin with "event" and its number, and "ok" at the
// end.
void look(const TriggerOptions& options, const Context& context) {
  OpenWorkspace open = open_to_write(context);
  for (const EventRecord& event : triggers::Events(open.workspace, open.database).look(options.id)) {
    if (event.outcome != EventOutcome::known)
      std::printf("event %lld %s\n", static_cast<long long>(event.id),
                  util::escape_controls(triggers::words_for(event)).c_str());
  }
  std::printf("ok\n");
}

// For the daemon: answers on the socket that is descriptor 3, and ends with the daemon.
void serve(const TriggerOptions& options, const Context& context) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::fcntl(3, F_SETFD, FD_CLOEXEC);
  if (::getppid() != static_cast<pid_t>(options.id)) return;
  OpenWorkspace open = open_to_write(context);
  server::serve_hooks(open.workspace, open.database, 3, options.http_names, [](const std::string& text) {
    std::printf("%s\n", util::escape_controls(text).c_str());
    std::fflush(stdout);
  });
}

}  // namespace

void set_up_trigger(CLI::App& app, Context& context) {
  app.require_subcommand(1);
  auto options = std::make_shared<TriggerOptions>();
  const auto choose_some = [&](CLI::App* command, bool required) {
    command->add_option("FILE", options->file, "a pipeline file, or pipeline")->required(required);
    command->add_option("NAME", options->name, "only this trigger of it");
  };
  const auto add_json = [&](CLI::App* command) { command->add_flag("--json", options->json, "print JSON"); };
  auto* all = app.add_subcommand("list", "list triggers, and what happened last");
  choose_some(all, false);
  add_json(all);
  all->footer("Examples:\n  mlops trigger list\n  mlops trigger list pipeline.yaml --json");
  all->callback([options, &context] { list(*options, context); });

  auto* happened = app.add_subcommand("events", "tell what has happened, and what became of it");
  choose_some(happened, false);
  happened->add_option("--last", options->last, "how far back, such as 12h, or all (default 30d)")
      ->type_name("DURATION");
  happened->add_option("--limit", options->limit, "the newest so many (default 100; 0: all)")
      ->type_name("N")
      ->check(CLI::Range(0, 1'000'000'000));
  happened->add_flag("--all", options->all, "also rows that were there before their trigger was");
  add_json(happened);
  happened->footer(
      "Examples:\n  mlops trigger events\n  mlops trigger events pipeline.yaml --last 1d --limit 20");
  happened->callback([options, &context] { events(*options, context); });

  auto* hand = app.add_subcommand("fire", "make an event by hand, as if it had happened");
  hand->add_option("FILE", options->file, "pipeline file")->required();
  hand->add_option("NAME", options->name, "which of its triggers, if it has several");
  hand->add_option("--payload", options->payload, "a JSON file with what the event tells steps")
      ->type_name("FILE");
  add_json(hand);
  hand->footer(
      "Examples:\n  mlops trigger fire pipeline.yaml\n"
      "  mlops trigger fire pipeline.yaml push --payload body.json");
  hand->callback([options, &context] { context.exit_code = fire(*options, context); });

  auto* trial = app.add_subcommand("test", "look as the daemon would, and record nothing");
  trial->add_option("FILE", options->file, "pipeline file")->required();
  trial->add_option("NAME", options->name, "which of its triggers, if it has several");
  add_json(trial);
  trial->footer(
      "Examples:\n  mlops trigger test pipeline.yaml\n  mlops trigger test pipeline.yaml push --json");
  trial->callback([options, &context] { context.exit_code = test(*options, context); });

  auto* pause = app.add_subcommand("pause", "let events run nothing until they are resumed");
  choose_some(pause, true);
  pause->add_option("--note", options->note, "why, for those who wonder")->type_name("TEXT");
  pause->footer(
      "Examples:\n  mlops trigger pause pipeline.yaml\n"
      "  mlops trigger pause pipeline.yaml push --note \"the source moves\"");
  pause->callback([options, &context] { set_paused(*options, context, true); });
  auto* resume = app.add_subcommand("resume", "let events run the pipeline again, from the next one on");
  choose_some(resume, true);
  resume->footer("Examples:\n  mlops trigger resume pipeline.yaml");
  resume->callback([options, &context] { set_paused(*options, context, false); });

  auto* one = app.add_subcommand("look", "")->group("");  // the daemon's own, like the next one
  one->add_option("ID", options->id)->required();
  one->callback([options, &context] { look(*options, context); });
  auto* web = app.add_subcommand("serve", "")->group("");
  web->add_option("PID", options->id)->required();
  web->add_option("--http-name", options->http_names);
  web->callback([options, &context] { serve(*options, context); });
  app.footer(
      "Triggers are looked after by `mlops daemon FILE`; runs that they ask for wait in the queue.\n"
      "Examples:\n"
      "  mlops trigger test pipeline.yaml\n"
      "  mlops trigger events pipeline.yaml --last 1d\n"
      "  mlops trigger fire pipeline.yaml push --payload body.json\n"
      "  mlops trigger pause pipeline.yaml --note \"the source moves\"");
}

}  // namespace mlops::cli
