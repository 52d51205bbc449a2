#include "db/slots.hpp"

#include "db/columns.hpp"

#include <algorithm>

namespace mlops {

namespace {
constexpr const char* slot_outcomes[] = {"claimed", "ran",        "skipped",  "coalesced", "missed",
                                         "paused",  "superseded", "rejected", "gap"};
}  // namespace

const char* to_string(SlotOutcome outcome) { return slot_outcomes[static_cast<int>(outcome)]; }

std::optional<SlotOutcome> parse_slot_outcome(std::string_view text) {
  const auto found = std::ranges::find(slot_outcomes, text);
  if (found == std::end(slot_outcomes)) return std::nullopt;
  return static_cast<SlotOutcome>(found - std::begin(slot_outcomes));
}

namespace db {

namespace {

using std::chrono::seconds;
using std::chrono::sys_seconds;

constexpr const char* schedule_columns =
    "id, file, name, pipeline, definition, cursor, served, created_at, removed_at, paused_at, pause_note, "
    "problem, since";
constexpr const char* slot_columns =
    "s.id, s.schedule, s.slot_at, s.local, s.outcome, s.reason, s.until_at, s.slots, s.run_id, s.fence, "
    "s.claimer, "
    "s.decided_at, s.late_ms, s.overlap, s.going, s.unseen_from";

std::int64_t number(sys_seconds at) { return at.time_since_epoch().count(); }
sys_seconds time(const Statement& row, int column) { return sys_seconds(seconds(row.integer(column))); }

ScheduleRecord read_schedule(const Statement& row) {
  ScheduleRecord s;
  s.id = row.integer(0);
  s.file = row.text(1);
  s.name = row.text(2);
  s.pipeline = row.text(3);
  s.definition = row.text(4);
  s.cursor = time(row, 5);
  s.served = row.integer(6) != 0;
  s.created_at = instant(row, 7).value_or(Instant{});
  s.removed_at = instant(row, 8);
  s.paused_at = instant(row, 9);
  s.pause_note = row.text(10);
  s.problem = row.text(11);
  s.since = time(row, 12);
  return s;
}

SlotRecord read_slot(const Statement& row) {
  SlotRecord s;
  s.id = row.integer(0);
  s.schedule = row.integer(1);
  s.at = time(row, 2);
  s.local = row.text(3);
  s.outcome = parse_slot_outcome(row.text(4)).value_or(SlotOutcome::missed);
  s.reason = row.text(5);
  s.until = time(row, 6);
  s.slots = row.integer(7);
  if (!row.is_null(8)) s.run_id = row.text(8);
  s.fence = row.maybe_integer(9);
  s.claimer = row.text(10);
  s.decided_at = instant(row, 11).value_or(Instant{});
  s.late_ms = row.maybe_integer(12);
  s.overlap = row.text(13);
  s.going = row.integer(14) != 0;
  if (!row.is_null(15)) s.unseen_from = time(row, 15);
  return s;
}

std::vector<SlotRecord> read_slots(Statement& row) {
  std::vector<SlotRecord> list;
  while (row.step()) list.push_back(read_slot(row));
  return list;
}

std::optional<SlotRecord> first_slot(Statement& row) {
  std::optional<SlotRecord> slot;
  if (row.step()) slot = read_slot(row);
  row.reset();
  return slot;
}

std::optional<std::int64_t> or_null(std::optional<sys_seconds> at) {
  return at ? std::optional(number(*at)) : std::nullopt;
}

}  // namespace

std::vector<ScheduleRecord> schedules(Connection& db) {
  std::vector<ScheduleRecord> list;
  Statement row = db.prepare(std::string("SELECT ") + schedule_columns + " FROM schedules ORDER BY file, id");
  while (row.step()) list.push_back(read_schedule(row));
  return list;
}

std::optional<ScheduleRecord> find_schedule(Connection& db, std::int64_t id) {
  static const std::string sql = std::string("SELECT ") + schedule_columns + " FROM schedules WHERE id = ?";
  Statement& row = db.cached(sql).bind(id);
  std::optional<ScheduleRecord> found;
  if (row.step()) found = read_schedule(row);
  row.reset();
  return found;
}

std::vector<ScheduleRecord> schedules_of(Connection& db, const std::string& file) {
  std::vector<ScheduleRecord> list;
  Statement row =
      db.prepare(std::string("SELECT ") + schedule_columns + " FROM schedules WHERE file = ? ORDER BY id");
  row.bind(file);
  while (row.step()) list.push_back(read_schedule(row));
  return list;
}

std::int64_t put_schedule(Connection& db, const ScheduleRecord& s) {
  db.cached(R"sql(
      INSERT INTO schedules (file, name, pipeline, definition, cursor, served, created_at, removed_at, paused_at, pause_note,
                             problem, since)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      ON CONFLICT (file, name) DO UPDATE SET pipeline = excluded.pipeline, definition = excluded.definition,
        cursor = excluded.cursor, served = excluded.served, removed_at = excluded.removed_at, paused_at = excluded.paused_at,
        pause_note = excluded.pause_note, problem = excluded.problem, since = excluded.since
    )sql")
      .bind(s.file, s.name, s.pipeline, s.definition, number(s.cursor), s.served,
            util::format_utc(s.created_at), time_text(s.removed_at), time_text(s.paused_at), s.pause_note,
            s.problem, number(s.since))
      .run();
  Statement& id = db.cached("SELECT id FROM schedules WHERE file = ? AND name = ?").bind(s.file, s.name);
  id.step();
  const std::int64_t result = id.integer(0);
  id.reset();
  return result;
}

void rename_schedule(Connection& db, std::int64_t schedule, const std::string& name) {
  db.cached("UPDATE schedules SET name = ?2 WHERE id = ?1").bind(schedule, name).run();
}

void set_cursor(Connection& db, std::int64_t schedule, sys_seconds cursor) {
  db.cached("UPDATE schedules SET cursor = ?2 WHERE id = ?1").bind(schedule, number(cursor)).run();
}

bool put_slot(Connection& db, const SlotRecord& s) {
  db.cached(R"sql(
      INSERT INTO slots (schedule, slot_at, local, outcome, reason, until_at, slots, run_id, fence, claimer, decided_at, late_ms,
                         overlap, going, unseen_from)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
    )sql")
      .bind(s.schedule, number(s.at), s.local, to_string(s.outcome), s.reason,
            number(std::max(s.until, s.at)), s.slots, or_null(s.run_id), s.fence, s.claimer,
            util::format_utc(s.decided_at), s.late_ms, s.overlap, s.going, or_null(s.unseen_from))
      .run();
  return db.changes() > 0;
}

void update_slot(Connection& db, const SlotRecord& s) {
  db.cached(R"sql(
      UPDATE slots SET outcome = ?2, reason = ?3, run_id = ?4, fence = ?5, claimer = ?6, decided_at = ?7, late_ms = ?8,
                       overlap = ?9, until_at = ?10, slots = ?11, going = ?12, unseen_from = ?13
      WHERE id = ?1
    )sql")
      .bind(s.id, to_string(s.outcome), s.reason, or_null(s.run_id), s.fence, s.claimer,
            util::format_utc(s.decided_at), s.late_ms, s.overlap, number(std::max(s.until, s.at)), s.slots,
            s.going, or_null(s.unseen_from))
      .run();
}

std::optional<sys_seconds> decided_until(Connection& db, const ScheduleRecord& schedule, sys_seconds from,
                                         sys_seconds until, Instant when) {
  Statement& row =
      db.cached(R"sql(
      SELECT max(until_at) FROM (
        SELECT until_at FROM slots
        WHERE schedule = ?1 AND slot_at > ?2 AND slot_at <= ?3 AND decided_at < ?4 AND outcome <> 'gap'
        UNION ALL
        SELECT until_at FROM slots
        WHERE schedule = ?1 AND slots > 1 AND slot_at > ?5 AND slot_at <= ?2 AND until_at > ?2 AND decided_at < ?4)
    )sql")
          .bind(schedule.id, number(from), number(until), util::format_utc(when), number(schedule.since));
  std::optional<sys_seconds> last;
  if (row.step() && !row.is_null(0)) last = std::min(time(row, 0), until);
  row.reset();
  return last;
}

void forget_slots(Connection& db, std::int64_t schedule, sys_seconds from, sys_seconds until, Instant when) {
  // The '+' keeps it from the index of fences, where all that have none are alike.
  db.cached(R"sql(
      DELETE FROM slots WHERE schedule = ?1 AND slot_at > ?2 AND slot_at <= ?3 AND decided_at >= ?4 AND slots = 1
        AND +fence IS NULL
    )sql")
      .bind(schedule, number(from), number(until), util::format_utc(when))
      .run();
}

std::vector<SlotRecord> rows_of_many(Connection& db, const ScheduleRecord& schedule, sys_seconds from,
                                     sys_seconds until, Instant when) {
  static const std::string sql = std::string("SELECT ") + slot_columns +
                                 " FROM slots s WHERE s.schedule = ?1 AND s.slots > 1 AND s.slot_at > ?2 "
                                 "AND s.slot_at <= ?4 AND s.until_at > ?3 AND s.decided_at >= ?5";
  Statement& row = db.cached(sql).bind(schedule.id, number(schedule.since), number(from), number(until),
                                       util::format_utc(when));
  std::vector<SlotRecord> list = read_slots(row);
  row.reset();
  return list;
}

sys_seconds last_slot(Connection& db, std::int64_t schedule) {
  Statement& row =
      db.cached("SELECT until_at FROM slots WHERE schedule = ? ORDER BY slot_at DESC LIMIT 1").bind(schedule);
  sys_seconds last{};
  if (row.step()) last = time(row, 0);
  row.reset();
  return last;
}

std::int64_t next_fence(Connection& db) {
  Statement& row = db.cached(R"sql(
      SELECT max(coalesce((SELECT max(fence) FROM slots), 0), coalesce((SELECT max(fence) FROM requests), 0)) + 1
    )sql")
                       .bind();
  row.step();
  const std::int64_t fence = row.integer(0);
  row.reset();
  return fence;
}

bool start_slot(Connection& db, std::int64_t fence, const std::string& run_id, Instant now) {
  db.cached(R"sql(
      UPDATE slots SET outcome = 'ran', run_id = ?2, late_ms = ?3 - slot_at * 1000, decided_at = ?4,
        reason = CASE WHEN reason LIKE 'waits for %' THEN ''
                      WHEN reason LIKE '%' || char(10) || 'waits for %'
                      THEN substr(reason, 1, instr(reason, char(10) || 'waits for ') - 1)
                      ELSE reason END
      WHERE fence = ?1 AND outcome = 'claimed'
    )sql")
      .bind(fence, run_id, static_cast<std::int64_t>(now.time_since_epoch().count()), util::format_utc(now))
      .run();
  return db.changes() > 0;
}

std::optional<SlotRecord> find_slot(Connection& db, std::int64_t schedule, sys_seconds at) {
  static const std::string sql =
      std::string("SELECT ") + slot_columns +
      " FROM slots s WHERE s.schedule = ? AND s.slot_at = ? AND s.outcome <> 'gap'";
  return first_slot(db.cached(sql).bind(schedule, number(at)));
}

std::optional<SlotRecord> slots_around(Connection& db, std::int64_t schedule, sys_seconds at,
                                       sys_seconds since) {
  static const std::string sql = std::string("SELECT ") + slot_columns +
                                 " FROM slots s WHERE s.schedule = ?1 AND s.slots > 1 AND s.slot_at <= ?2 "
                                 "AND s.until_at >= ?2 AND s.slot_at > ?3";
  return first_slot(db.cached(sql).bind(schedule, number(at), number(since)));
}

std::vector<SlotRecord> slots_between(Connection& db, std::int64_t schedule, sys_seconds from,
                                      sys_seconds until) {
  static const std::string sql = std::string("SELECT ") + slot_columns +
                                 " FROM slots s WHERE s.schedule = ? AND s.slot_at > ? AND s.slot_at <= ? "
                                 "ORDER BY s.slot_at";
  Statement& row = db.cached(sql).bind(schedule, number(from), number(until));
  std::vector<SlotRecord> list = read_slots(row);
  row.reset();
  return list;
}

std::vector<sys_seconds> slot_times(Connection& db, std::int64_t schedule, sys_seconds first,
                                    sys_seconds last) {
  Statement& row = db.cached(R"sql(
      SELECT slot_at FROM slots WHERE schedule = ? AND slot_at BETWEEN ? AND ? AND outcome <> 'gap' ORDER BY slot_at
    )sql")
                       .bind(schedule, number(first), number(last));
  std::vector<sys_seconds> times;
  while (row.step()) times.push_back(time(row, 0));
  row.reset();
  return times;
}

void delete_slot(Connection& db, std::int64_t id) {
  db.cached("DELETE FROM slots WHERE id = ?").bind(id).run();
}

std::optional<SlotRecord> slot_of_run(Connection& db, const std::string& run_id) {
  static const std::string sql =
      std::string("SELECT ") + slot_columns + " FROM slots s WHERE s.run_id = ? AND s.outcome = 'ran'";
  return first_slot(db.cached(sql).bind(run_id));
}

std::optional<SlotRecord> slot_with_fence(Connection& db, std::int64_t fence) {
  static const std::string sql = std::string("SELECT ") + slot_columns + " FROM slots s WHERE s.fence = ?";
  return first_slot(db.cached(sql).bind(fence));
}

std::vector<SlotRecord> claimed_slots(Connection& db, const std::string& pipeline) {
  Statement row = db.prepare(std::string("SELECT ") + slot_columns + R"sql(
    FROM slots s JOIN schedules c ON c.id = s.schedule
    WHERE s.outcome = 'claimed' AND c.pipeline = ? ORDER BY s.fence
  )sql");
  row.bind(pipeline);
  return read_slots(row);
}

std::vector<SlotRecord> list_slots(Connection& db, const SlotFilter& filter) {
  // Each question with the terms that it has: an index serves no term that may be absent.
  std::string sql = std::string("SELECT ") + slot_columns + " FROM slots s WHERE TRUE";
  if (filter.schedule) sql += " AND s.schedule = ?";
  if (filter.since) sql += " AND s.until_at >= ?";
  if (filter.until) sql += " AND s.slot_at <= ?";
  if (filter.outcome) sql += std::string(" AND s.outcome = '") + to_string(*filter.outcome) + "'";
  sql += " ORDER BY s.slot_at DESC, s.schedule DESC, s.local DESC";
  if (filter.limit > 0) sql += " LIMIT ?";
  Statement row = db.prepare(sql);
  int place = 0;
  if (filter.schedule) row.bind_one(++place, *filter.schedule);
  if (filter.since) row.bind_one(++place, number(*filter.since));
  if (filter.until) row.bind_one(++place, number(*filter.until));
  if (filter.limit > 0) row.bind_one(++place, filter.limit);
  std::vector<SlotRecord> list = read_slots(row);
  std::ranges::reverse(list);
  return list;
}

}  // namespace db

}  // namespace mlops
