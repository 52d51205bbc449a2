#include "db/triggers.hpp"

#include "db/columns.hpp"

#include <algorithm>
#include <iterator>

namespace mlops {

namespace {

constexpr const char* event_outcomes[] = {"requested", "joined", "paused", "refused", "known"};

}  // namespace

const char* to_string(EventOutcome outcome) { return event_outcomes[static_cast<int>(outcome)]; }
std::optional<EventOutcome> parse_event_outcome(std::string_view text) {
  const auto found = std::ranges::find(event_outcomes, text);
  if (found == std::end(event_outcomes)) return std::nullopt;
  return static_cast<EventOutcome>(found - std::begin(event_outcomes));
}

namespace db {

namespace {

constexpr const char* trigger_columns =
    "id, file, name, pipeline, kind, definition, priority, concurrency, state, version, looked_at, problem, "
    "served, created_at, removed_at, paused_at, pause_note";
constexpr const char* event_columns =
    "e.id, e.trigger_id, e.dedupe, e.what, e.payload, e.at, e.outcome, e.reason, e.request";

TriggerRecord read_trigger(const Statement& row) {
  TriggerRecord t;
  t.id = row.integer(0);
  t.file = row.text(1);
  t.name = row.text(2);
  t.pipeline = row.text(3);
  t.kind = row.text(4);
  t.definition = row.text(5);
  t.priority = static_cast<int>(row.integer(6));
  t.concurrency = static_cast<int>(row.integer(7));
  t.state = row.text(8);
  t.version = row.integer(9);
  t.looked_at = instant(row, 10);
  t.problem = row.text(11);
  t.served = row.integer(12) != 0;
  t.created_at = instant(row, 13).value_or(Instant{});
  t.removed_at = instant(row, 14);
  t.paused_at = instant(row, 15);
  t.pause_note = row.text(16);
  return t;
}

EventRecord read_event(const Statement& row) {
  EventRecord e;
  e.id = row.integer(0);
  e.trigger = row.integer(1);
  e.dedupe = row.text(2);
  e.what = row.text(3);
  e.payload = row.text(4);
  e.at = instant(row, 5).value_or(Instant{});
  e.outcome = parse_event_outcome(row.text(6)).value_or(EventOutcome::refused);
  e.reason = row.text(7);
  e.request = row.maybe_integer(8);
  return e;
}

std::optional<EventRecord> first_event(Statement& row) {
  std::optional<EventRecord> event;
  if (row.step()) event = read_event(row);
  row.reset();
  return event;
}

std::vector<EventRecord> read_events(Statement row) {
  std::vector<EventRecord> list;
  while (row.step()) list.push_back(read_event(row));
  return list;
}

std::vector<TriggerRecord> read_triggers(Statement row) {
  std::vector<TriggerRecord> list;
  while (row.step()) list.push_back(read_trigger(row));
  return list;
}

}  // namespace

std::int64_t put_trigger(Connection& db, const TriggerRecord& t) {
  Statement& row = db.cached(R"sql(
      INSERT INTO triggers (file, name, pipeline, kind, definition, priority, concurrency, problem, served, created_at,
                            removed_at, paused_at, pause_note)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      ON CONFLICT (file, name) DO UPDATE SET pipeline = excluded.pipeline, kind = excluded.kind,
        definition = excluded.definition, priority = excluded.priority, concurrency = excluded.concurrency,
        problem = excluded.problem, served = excluded.served, removed_at = excluded.removed_at,
        paused_at = excluded.paused_at, pause_note = excluded.pause_note
      RETURNING id
    )sql")
                       .bind(t.file, t.name, t.pipeline, t.kind, t.definition, t.priority, t.concurrency,
                             t.problem, t.served, util::format_utc(t.created_at), time_text(t.removed_at),
                             time_text(t.paused_at), t.pause_note);
  row.step();
  const std::int64_t id = row.integer(0);
  row.run();
  return id;
}

bool set_trigger_state(Connection& db, std::int64_t id, std::int64_t version, const std::string& state) {
  db.cached("UPDATE triggers SET state = ?3, version = version + 1 WHERE id = ?1 AND version = ?2")
      .bind(id, version, state)
      .run();
  return db.changes() > 0;
}

void set_trigger_looked(Connection& db, std::int64_t id, Instant at, const std::string& problem) {
  db.cached("UPDATE triggers SET looked_at = ?2, problem = ?3 WHERE id = ?1")
      .bind(id, util::format_utc(at), problem)
      .run();
}

std::optional<std::int64_t> put_event(Connection& db, const EventRecord& e) {
  Statement& row = db.cached(R"sql(
      INSERT INTO events (trigger_id, dedupe, what, payload, at, outcome, reason, request) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
      ON CONFLICT DO NOTHING RETURNING id
    )sql")
                       .bind(e.trigger, e.dedupe, e.what, e.payload, util::format_utc(e.at),
                             to_string(e.outcome), e.reason, e.request);
  std::optional<std::int64_t> id;
  if (row.step()) id = row.integer(0);
  row.run();
  return id;
}

void set_event_request(Connection& db, std::int64_t id, std::int64_t request) {
  db.cached("UPDATE events SET request = ?2 WHERE id = ?1").bind(id, request).run();
}

void forget_payloads(Connection& db, std::int64_t trigger, int keep) {
  db.cached(R"sql(
      UPDATE events SET payload = '' WHERE trigger_id = ?1 AND payload <> '' AND id <= (
        SELECT id FROM events WHERE trigger_id = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)
    )sql")
      .bind(trigger, keep)
      .run();
}

void put_run_end(Connection& db, const std::string& run_id) {
  db.cached("INSERT OR REPLACE INTO run_ends (run_id) VALUES (?)").bind(run_id).run();
  db.cached("DELETE FROM run_ends WHERE run_id IS NULL").bind().run();
}

std::vector<TriggerRecord> triggers(Connection& db) {
  return read_triggers(
      db.prepare(std::string("SELECT ") + trigger_columns + " FROM triggers ORDER BY file, id"));
}

std::vector<TriggerRecord> triggers_of(Connection& db, const std::string& file) {
  Statement row =
      db.prepare(std::string("SELECT ") + trigger_columns + " FROM triggers WHERE file = ? ORDER BY id");
  row.bind(file);
  return read_triggers(std::move(row));
}

std::optional<TriggerRecord> find_trigger(Connection& db, std::int64_t id) {
  Statement row = db.prepare(std::string("SELECT ") + trigger_columns + " FROM triggers WHERE id = ?");
  row.bind(id);
  if (!row.step()) return std::nullopt;
  return read_trigger(row);
}

bool has_event(Connection& db, std::int64_t trigger, const std::string& dedupe) {
  Statement& row =
      db.cached("SELECT 1 FROM events WHERE trigger_id = ? AND dedupe = ?").bind(trigger, dedupe);
  const bool found = row.step();
  row.reset();
  return found;
}

std::optional<EventRecord> event_with_key(Connection& db, std::int64_t trigger, const std::string& dedupe) {
  static const std::string sql =
      std::string("SELECT ") + event_columns + " FROM events e WHERE e.trigger_id = ? AND e.dedupe = ?";
  return first_event(db.cached(sql).bind(trigger, dedupe));
}

std::optional<EventRecord> event_with_fence(Connection& db, std::int64_t fence) {
  static const std::string sql =
      std::string("SELECT ") + event_columns +
      " FROM events e JOIN requests q ON q.id = e.request WHERE q.fence = ? ORDER BY e.id LIMIT 1";
  return first_event(db.cached(sql).bind(fence));
}

std::optional<EventRecord> event_of_run(Connection& db, const std::string& run_id) {
  static const std::string sql =
      std::string("SELECT ") + event_columns +
      " FROM events e JOIN requests q ON q.id = e.request WHERE q.run_id = ? ORDER BY e.id LIMIT 1";
  return first_event(db.cached(sql).bind(run_id));
}

std::vector<EventRecord> events_that_joined(Connection& db, const EventRecord& event) {
  Statement row = db.prepare(std::string("SELECT ") + event_columns +
                             " FROM events e WHERE e.request = ? AND e.id > ? ORDER BY e.id");
  row.bind(event.request, event.id);
  return read_events(std::move(row));
}

std::vector<std::int64_t> waiting_for(Connection& db, std::int64_t trigger) {
  // From the requests that wait: a trigger may have had many events.
  Statement& row = db.cached(R"sql(
      SELECT q.id FROM requests q WHERE q.state = 'waiting' AND EXISTS (
        SELECT 1 FROM events e WHERE e.request = q.id AND e.trigger_id = ?) ORDER BY q.id
    )sql")
                       .bind(trigger);
  std::vector<std::int64_t> list;
  while (row.step()) list.push_back(row.integer(0));
  row.reset();
  return list;
}

std::vector<EventRecord> list_events(Connection& db, const EventFilter& filter) {
  std::string sql = std::string("SELECT ") + event_columns + " FROM events e WHERE TRUE";
  if (filter.trigger) sql += " AND e.trigger_id = ?";
  if (filter.since) sql += " AND e.at >= ?";
  if (!filter.known) sql += " AND e.outcome <> 'known'";
  sql += " ORDER BY e.id DESC";
  if (filter.limit > 0) sql += " LIMIT ?";
  Statement row = db.prepare(sql);
  int place = 0;
  if (filter.trigger) row.bind_one(++place, *filter.trigger);
  if (filter.since) row.bind_one(++place, util::format_utc(*filter.since));
  if (filter.limit > 0) row.bind_one(++place, filter.limit);
  std::vector<EventRecord> list = read_events(std::move(row));
  std::ranges::reverse(list);
  return list;
}

std::int64_t last_run_end(Connection& db) {
  Statement& row = db.cached("SELECT coalesce(max(seq), 0) FROM run_ends").bind();
  row.step();
  const std::int64_t sequence = row.integer(0);
  row.reset();
  return sequence;
}

std::vector<RunEnd> run_ends_after(Connection& db, std::int64_t sequence,
                                   const std::vector<std::string>& pipelines, int limit) {
  std::vector<RunEnd> list;
  Statement row = db.prepare(R"sql(
      SELECT n.seq, r.id, r.pipeline, r.state FROM run_ends n JOIN runs r ON r.id = n.run_id
      WHERE n.seq > ? AND r.state <> 'running' ORDER BY n.seq
    )sql");
  row.bind(sequence);
  while (static_cast<int>(list.size()) < limit && row.step()) {
    if (!pipelines.empty() && std::ranges::find(pipelines, row.text(2)) == pipelines.end()) continue;
    list.push_back(
        {row.integer(0), row.text(1), row.text(2), parse_run_state(row.text(3)).value_or(RunState::failed)});
  }
  return list;
}

}  // namespace db

}  // namespace mlops
