#include "db/outbox.hpp"

#include "db/columns.hpp"

#include <algorithm>
#include <iterator>

namespace mlops {

namespace {
constexpr const char* message_states[] = {"waiting", "sent", "failed", "suppressed"};
}  // namespace

const char* to_string(MessageState state) { return message_states[static_cast<int>(state)]; }

std::optional<MessageState> parse_message_state(std::string_view text) {
  const auto found = std::ranges::find(message_states, text);
  if (found == std::end(message_states)) return std::nullopt;
  return static_cast<MessageState>(found - std::begin(message_states));
}

namespace db {

namespace {

constexpr const char* message_columns =
    "id, pipeline, notification, occasion, run_id, target, subject, body, state, attempts, next_at, error, "
    "created_at, ended_at, claimer, dedupe";

MessageRecord read_message(const Statement& row) {
  MessageRecord m;
  m.id = row.text(0);
  m.pipeline = row.text(1);
  m.notification = row.text(2);
  m.occasion = row.text(3);
  if (!row.is_null(4)) m.run_id = row.text(4);
  m.target = row.text(5);
  m.subject = row.text(6);
  m.body = row.text(7);
  m.state = parse_message_state(row.text(8)).value_or(MessageState::failed);
  m.attempts = static_cast<int>(row.integer(9));
  m.next_at = instant(row, 10).value_or(Instant{});
  m.error = row.text(11);
  m.created_at = instant(row, 12).value_or(Instant{});
  m.ended_at = instant(row, 13);
  m.claimer = row.text(14);
  if (!row.is_null(15)) m.dedupe = row.text(15);
  return m;
}

std::vector<MessageRecord> read_messages(Statement& row) {
  std::vector<MessageRecord> list;
  while (row.step()) list.push_back(read_message(row));
  return list;
}

Statement select_messages(Connection& db, const std::string& rest) {
  return db.prepare(std::string("SELECT ") + message_columns + " FROM outbox " + rest);
}

}  // namespace

bool put_message(Connection& db, const MessageRecord& m) {
  db.cached(R"sql(
      INSERT INTO outbox (id, pipeline, notification, occasion, run_id, target, subject, body, state, attempts, next_at,
                          error, created_at, ended_at, claimer, dedupe)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
    )sql")
      .bind(m.id, m.pipeline, m.notification, m.occasion, or_null(m.run_id), m.target, m.subject, m.body,
            to_string(m.state), m.attempts, util::format_utc(m.next_at), m.error,
            util::format_utc(m.created_at), time_text(m.ended_at), m.claimer, or_null(m.dedupe))
      .run();
  return db.changes() > 0;
}

bool claim_message(Connection& db, const std::string& id, const std::string& claimer) {
  db.cached(R"sql(
      UPDATE outbox SET claimer = ?2, attempts = attempts + 1
      WHERE id = ?1 AND state = 'waiting' AND claimer = ''
    )sql")
      .bind(id, claimer)
      .run();
  return db.changes() > 0;
}

bool settle_message(Connection& db, const MessageRecord& m, const std::string& claimer) {
  db.cached(R"sql(
      UPDATE outbox SET state = ?2, attempts = ?3, next_at = ?4, error = ?5, ended_at = ?6, claimer = ''
      WHERE id = ?1 AND claimer = ?7 AND state <> 'sent'
    )sql")
      .bind(m.id, to_string(m.state), m.attempts, util::format_utc(m.next_at), m.error, time_text(m.ended_at),
            claimer)
      .run();
  return db.changes() > 0;
}

void forget_messages(Connection& db, Instant before) {
  db.cached("DELETE FROM outbox WHERE created_at < ? AND state <> 'waiting'")
      .bind(util::format_utc(before))
      .run();
}

std::vector<MessageRecord> due_messages(Connection& db, Instant now, const std::string& run_id, int limit) {
  Statement row = select_messages(db,
                                  "WHERE state = 'waiting' AND claimer = '' AND next_at <= ?1 "
                                  "ORDER BY run_id IS NOT ?2, next_at, id LIMIT ?3");
  row.bind(util::format_utc(now), run_id, limit);
  return read_messages(row);
}

std::vector<MessageRecord> claimed_messages(Connection& db) {
  Statement row = select_messages(db, "WHERE state = 'waiting' AND claimer <> ''");
  row.bind();
  return read_messages(row);
}

std::optional<Instant> next_message_at(Connection& db) {
  Statement& row = db.cached("SELECT min(next_at) FROM outbox WHERE state = 'waiting'").bind();
  std::optional<Instant> next;
  if (row.step()) next = instant(row, 0);
  row.reset();
  return next;
}

std::vector<MessageRecord> messages_of_run(Connection& db, const std::string& run_id) {
  Statement row = select_messages(db, "WHERE run_id = ? ORDER BY id");
  row.bind(run_id);
  return read_messages(row);
}

std::vector<MessageRecord> find_messages(Connection& db, const std::string& text) {
  Statement row =
      select_messages(db,
                      "WHERE (id >= ?1 AND id < ?1 || '~') OR (length(?1) >= 4 AND substr(id, -length(?1)) "
                      "= ?1) ORDER BY id DESC LIMIT 5");
  row.bind(text);
  return read_messages(row);
}

std::vector<MessageRecord> list_messages(Connection& db, const MessageFilter& filter) {
  std::string rest = "WHERE TRUE";
  if (filter.state) rest += std::string(" AND state = '") + to_string(*filter.state) + "'";
  if (filter.since) rest += " AND created_at >= ?1";
  rest += " ORDER BY created_at DESC, id DESC";
  if (filter.limit > 0) rest += " LIMIT " + std::to_string(filter.limit);
  Statement row = select_messages(db, rest);
  if (filter.since) row.bind_one(1, util::format_utc(*filter.since));
  return read_messages(row);
}

Told last_told(Connection& db, const std::string& pipeline, const std::string& notification,
               const std::string& occasion) {
  Told told;
  Statement& last = db.cached(R"sql(
      SELECT max(created_at) FROM outbox
      WHERE pipeline = ? AND notification = ? AND occasion = ? AND state IN ('waiting', 'sent')
    )sql");
  last.bind(pipeline, notification, occasion);
  if (last.step()) told.last = instant(last, 0);
  last.reset();
  Statement& count = db.cached(R"sql(
      SELECT count(*) FROM outbox
      WHERE pipeline = ? AND notification = ? AND occasion = ? AND state = 'suppressed' AND created_at >= ?
    )sql");
  count.bind(pipeline, notification, occasion, util::format_utc(told.last.value_or(Instant{})));
  if (count.step()) told.left_out = count.integer(0);
  count.reset();
  return told;
}

std::optional<TroubleRecord> find_trouble(Connection& db, const std::string& pipeline) {
  Statement& row =
      db.cached("SELECT since, failures, refusals FROM troubles WHERE pipeline = ?").bind(pipeline);
  std::optional<TroubleRecord> found;
  if (row.step()) found = TroubleRecord{instant(row, 0).value_or(Instant{}), row.integer(1), row.integer(2)};
  row.reset();
  return found;
}

void put_trouble(Connection& db, const std::string& pipeline, const TroubleRecord& trouble) {
  db.cached("INSERT OR REPLACE INTO troubles VALUES (?, ?, ?, ?)")
      .bind(pipeline, util::format_utc(trouble.since), trouble.failures, trouble.refusals)
      .run();
}

void end_trouble(Connection& db, const std::string& pipeline) {
  db.cached("DELETE FROM troubles WHERE pipeline = ?").bind(pipeline).run();
}

}  // namespace db

}  // namespace mlops
