#include "notify/outbox.hpp"

#include "db/backfills.hpp"
#include "db/outbox.hpp"
#include "db/runs.hpp"
#include "db/slots.hpp"
#include "db/steps.hpp"
#include "notify/message.hpp"
#include "notify/policy.hpp"
#include "util/id.hpp"
#include "util/quantity.hpp"
#include "util/time.hpp"

#include <algorithm>

namespace mlops::notify {

namespace {

constexpr std::size_t most_metrics = 100;

MessageRecord record_of(const Addressee& addressee, Event event) {
  MessageRecord record;
  record.id = event.message_id = util::new_id();
  record.pipeline = event.pipeline;
  record.notification = addressee.entry.name;
  record.occasion = to_string(event.occasion);
  if (event.run) record.run_id = event.run->id;
  record.target = to_json(addressee).dump(-1, ' ', false, Json::error_handler_t::replace);
  Message message = make_message(addressee, event);
  record.subject = std::move(message.subject);
  record.body = std::move(message.body);
  record.next_at = record.created_at = util::now();
  return record;
}

void put(db::Connection& connection, const Addressee& addressee, Event event, const std::string& dedupe) {
  const db::Told told =
      db::last_told(connection, event.pipeline, addressee.entry.name, to_string(event.occasion));
  event.left_out = told.left_out;
  MessageRecord record = record_of(addressee, std::move(event));
  record.dedupe = dedupe;
  if (too_soon(told, addressee.entry.every, record.created_at)) {
    record.state = MessageState::suppressed;
    record.error = "one was made at " + util::format_local(*told.last) + ", the next is due " +
                   util::format_duration(addressee.entry.every) + " after it";
    record.ended_at = record.created_at;
  }
  db::put_message(connection, record);
}

Event event_of(db::Connection& connection, const RunRecord& run) {
  Event event;
  event.pipeline = run.pipeline;
  event.file = run.file;
  event.run = run;
  event.reason = run.reason;
  if (const auto slot = db::slot_of_run(connection, run.id)) event.slot = slot->local;
  event.metrics = db::metrics_of(connection, run.id);
  event.metrics.resize(std::min(event.metrics.size(), most_metrics));
  return event;
}

// Takes note of the end, and returns what there was before and is now.
struct Troubles {
  std::optional<TroubleRecord> before, after;
};
Troubles take_note(db::Connection& connection, const std::string& pipeline, Occasion end, Instant at) {
  Troubles troubles;
  troubles.before = db::find_trouble(connection, pipeline);
  troubles.after = trouble_after(end, troubles.before, at);
  if (troubles.after) {
    db::put_trouble(connection, pipeline, *troubles.after);
  } else if (troubles.before) {
    db::end_trouble(connection, pipeline);
  }
  return troubles;
}

// Tells those who are told of such an end.
void tell(db::Connection& connection, const std::vector<Addressee>& addressees, const Event& event,
          Occasion end, const Troubles& troubles) {
  // A backfill has many, of days long past, and whoever asked for it looks at how far it has come.
  const bool quiet = event.run && db::is_of_backfill(connection, event.run->id);
  for (const Addressee& addressee : addressees) {
    const auto occasion = told_of(addressee.entry, end, troubles.before);
    if (!occasion || (quiet && *occasion == Occasion::success)) continue;
    Event own = event;
    own.occasion = *occasion;
    if (const auto& trouble = troubles.after ? troubles.after : troubles.before) {
      own.failing_since = trouble->since;
      own.failures = trouble->failures;
      // A refusal is a failure for who is told of refusals.
      if (told_of(addressee.entry, Occasion::refused, std::nullopt)) own.failures += trouble->refusals;
    }
    put(connection, addressee, std::move(own), {});
  }
}

}  // namespace

void tell_end(db::Connection& connection, const std::vector<Addressee>& addressees,
              const std::string& run_id) {
  if (addressees.empty()) return;
  const auto run = db::find_run(connection, run_id);
  const auto end = run ? end_of(*run) : std::nullopt;
  if (!end) return;
  const Troubles troubles = take_note(connection, run->pipeline, *end, run->ended_at.value_or(util::now()));
  tell(connection, addressees, event_of(connection, *run), *end, troubles);
}

void tell_not_begun(db::Database& database, const Pipeline& pipeline, const std::string& run_id,
                    const std::string& reason) {
  if (pipeline.notifications.empty()) return;
  db::Transaction transaction(database, db::Durability::full);
  db::Connection& connection = database.connection();
  if (db::run_exists(connection, run_id)) return;
  Event event;
  event.pipeline = pipeline.name;
  event.file = pipeline.file;
  event.reason = "the run could not begin: " + reason;
  const Troubles troubles = take_note(connection, pipeline.name, Occasion::failure, util::now());
  tell(connection, addressees_of(pipeline), event, Occasion::failure, troubles);
  transaction.commit();
}

void tell_late(db::Connection& connection, const Pipeline& pipeline, const Late& late) {
  for (const Addressee& addressee : addressees_of(pipeline)) {
    if (!told_of(addressee.entry, Occasion::late, std::nullopt)) continue;
    Event event;
    event.occasion = Occasion::late;
    event.pipeline = pipeline.name;
    event.file = pipeline.file;
    event.slot = late.slot;
    event.reason = late.reason;
    event.ahead = late.ahead;
    if (!late.run_id.empty()) event.run = db::find_run(connection, late.run_id);
    put(connection, addressee, std::move(event),
        "late " + pipeline.name + " " + addressee.entry.name + " " + late.key);
  }
}

void make_due(db::Database& database, std::vector<MessageRecord> messages) {
  db::Transaction transaction(database);
  for (MessageRecord& message : messages) {
    if (message.state == MessageState::suppressed) continue;
    message.state = MessageState::waiting;
    message.next_at = util::now();
    message.ended_at.reset();
    db::settle_message(database.connection(), message, {});
  }
  transaction.commit();
}

MessageRecord send_test(const Transport& transport, const Addressee& addressee, const Pipeline& pipeline) {
  Event event;
  event.occasion = addressee.entry.on.front();
  event.pipeline = pipeline.name;
  event.file = pipeline.file;
  event.reason = "this is a test of mlops: nothing has happened";
  MessageRecord record = record_of(addressee, std::move(event));
  record.attempts = 1;
  settle(record, transport.send(addressee, record), util::now());
  return record;
}

}  // namespace mlops::notify
