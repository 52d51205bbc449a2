#include "triggers/events.hpp"

#include <mlops/error.hpp>

#include "db/triggers.hpp"
#include "schedule/requests.hpp"
#include "triggers/definition.hpp"
#include "util/files.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"
#include "workspace/environment.hpp"

#include <algorithm>
#include <filesystem>

namespace mlops::triggers {

namespace {

constexpr std::size_t most_words = 500;
constexpr int most_attempts = 5;

bool same_record(const TriggerRecord& a, const TriggerRecord& b) {
  return a.pipeline == b.pipeline && a.kind == b.kind && a.definition == b.definition &&
         a.priority == b.priority && a.concurrency == b.concurrency && a.served == b.served &&
         a.removed_at == b.removed_at && a.problem == b.problem;
}

std::string shortened(const std::string& text) {
  return text.size() <= most_words ? text : util::to_utf8(text.substr(0, most_words)) + "…";
}

}  // namespace

std::string file_of(const Workspace& workspace, const TriggerRecord& trigger) {
  return util::absolute_path(trigger.file.starts_with('/') ? trigger.file
                                                           : workspace.root() + "/" + trigger.file);
}

std::vector<TriggerRecord> Events::adopt(const Pipeline& pipeline, std::optional<bool> serve) {
  const std::string file = workspace_.relative(pipeline.file);
  db::Connection& connection = database_.connection();
  if (pipeline.triggers.empty() && db::triggers_of(connection, file).empty()) return {};
  db::Transaction transaction(database_, db::Durability::full);
  const std::vector<TriggerRecord> known = db::triggers_of(connection, file);
  std::vector<TriggerRecord> result;
  for (const Trigger& trigger : pipeline.triggers) {
    const auto found = std::ranges::find(known, trigger.name, &TriggerRecord::name);
    TriggerRecord record;
    bool begins = false;
    if (found != known.end()) {
      record = *found;
      begins = record.removed_at ||
               !same_subject(Json::parse(record.definition, nullptr, false), definition_of(trigger));
    } else {
      record.file = file;
      record.name = trigger.name;
      record.created_at = util::now();
      record.served = std::ranges::any_of(known, &TriggerRecord::served);
    }
    record.pipeline = pipeline.name;
    record.kind = to_string(trigger.kind);
    record.definition = definition_of(trigger).dump(-1, ' ', false, Json::error_handler_t::replace);
    record.priority = pipeline.priority;
    record.concurrency = pipeline.concurrency;
    record.problem.clear();
    record.removed_at.reset();
    if (serve) record.served = *serve;
    if (found == known.end() || !same_record(*found, record)) record.id = db::put_trigger(connection, record);
    if (begins && !record.state.empty()) {
      db::set_trigger_state(connection, record.id, record.version, "");
      ++record.version;
      record.state.clear();
    }
    result.push_back(std::move(record));
  }
  for (TriggerRecord record : known) {
    if (record.removed_at || std::ranges::find(result, record.name, &TriggerRecord::name) != result.end())
      continue;
    record.removed_at = util::now();
    db::put_trigger(connection, record);
  }
  transaction.commit();
  return result;
}

std::vector<EventRecord> Events::look(std::int64_t id) {
  try {
    for (int attempt = 0; attempt < most_attempts; ++attempt) {
      const auto record = db::find_trigger(database_.connection(), id);
      if (!record || record->removed_at) return {};
      const std::string file = file_of(workspace_, *record);
      const Sight sight = triggers::look(
          *record, trigger_of(*record),
          {workspace_, database_.connection(), file, std::filesystem::path(file).parent_path().string()});
      // Where another look came first, this one may have seen what that one had not.
      if (auto events = this->record(*record, sight)) return std::move(*events);
    }
    throw Error(ExitCode::busy, "others look at the same time, again and again");
  } catch (const Error& error) {
    db::Transaction transaction(database_);
    db::set_trigger_looked(database_.connection(), id, util::now(), error.what());
    transaction.commit();
    throw;
  }
}

std::optional<std::vector<EventRecord>> Events::record(const TriggerRecord& record, const Sight& sight) {
  db::Connection& connection = database_.connection();
  const bool news = sight.state || !sight.happenings.empty();
  std::vector<EventRecord> events;
  if (!news && follows_runs(kind_of(record)) && record.problem.empty()) return events;
  db::Transaction transaction(database_, news ? db::Durability::full : db::Durability::normal);
  const auto current = db::find_trigger(connection, record.id);
  if (!current || current->removed_at) return std::nullopt;
  if (sight.state && !db::set_trigger_state(connection, record.id, record.version, *sight.state))
    return std::nullopt;
  db::set_trigger_looked(connection, record.id, util::now(), "");
  for (const Happening& happening : sight.happenings) {
    if (auto event = put(*current, happening, transaction)) events.push_back(std::move(*event));
  }
  if (!events.empty()) db::forget_payloads(connection, record.id, kept_payloads);
  transaction.commit();
  return events;
}

std::optional<EventRecord> Events::put(const TriggerRecord& trigger, const Happening& happening,
                                       db::Transaction& transaction) {
  db::Connection& connection = database_.connection();
  EventRecord event;
  event.trigger = trigger.id;
  event.dedupe = happening.dedupe;
  event.what = shortened(happening.what);
  event.at = util::now();
  if (happening.known) {
    event.outcome = EventOutcome::known;
  } else {
    event.payload = happening.payload.dump(-1, ' ', false, Json::error_handler_t::replace);
    if (!happening.refused.empty()) {
      event.outcome = EventOutcome::refused;
      event.reason = happening.refused;
    } else if (trigger.paused_at) {
      event.outcome = EventOutcome::paused;
      event.reason = "paused" + (trigger.pause_note.empty() ? "" : ": " + trigger.pause_note);
    } else if (shares_runs(kind_of(trigger))) {
      if (const auto waiting = db::waiting_for(connection, trigger.id); !waiting.empty()) {
        event.outcome = EventOutcome::joined;
        event.request = waiting.front();
        event.reason = "the run of an earlier event has not begun yet: it sees this one as well";
      }
    }
  }
  const auto id = db::put_event(connection, event);
  if (!id) return std::nullopt;
  event.id = *id;
  if (event.outcome != EventOutcome::requested) return event;
  RequestRecord request;
  request.file = trigger.file;
  request.pipeline = trigger.pipeline;
  request.options = schedule::to_text({});
  request.priority = trigger.priority;
  request.concurrency = trigger.concurrency;
  request.source = "trigger";
  request.cause = trigger.name + ": " + event.what;
  request.dedupe = schedule::key_of_event(event.id);
  request.not_before = request.submitted_at = event.at;
  request.submitted_by = workspace::user_name();
  event.request = schedule::Requests(workspace_, database_).submit_within(transaction, request);
  if (!event.request) throw Error(ExitCode::io, "the queue knows the event already: " + *request.dedupe);
  db::set_event_request(connection, event.id, *event.request);
  return event;
}

void Events::refuse(const std::string& file, const std::string& why) {
  db::Transaction transaction(database_);
  for (TriggerRecord record : db::triggers_of(database_.connection(), file)) {
    record.problem = why;
    if (!record.removed_at) db::put_trigger(database_.connection(), record);
  }
  transaction.commit();
}

template <typename Change>
void Events::change(const TriggerRecord& trigger, const Change& change) {
  db::Transaction transaction(database_, db::Durability::full);
  if (auto record = db::find_trigger(database_.connection(), trigger.id)) {
    change(*record);
    db::put_trigger(database_.connection(), *record);
  }
  transaction.commit();
}

void Events::serve(const TriggerRecord& trigger, bool served) {
  change(trigger, [&](TriggerRecord& record) { record.served = served; });
}

void Events::pause(const TriggerRecord& trigger, const std::string& note) {
  change(trigger, [&](TriggerRecord& record) {
    if (!record.paused_at) record.paused_at = util::now();
    record.pause_note = note;
  });
}

void Events::resume(const TriggerRecord& trigger) {
  change(trigger, [](TriggerRecord& record) {
    record.paused_at.reset();
    record.pause_note.clear();
  });
}

}  // namespace mlops::triggers
