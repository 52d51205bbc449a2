#include "db/backfills.hpp"

#include "db/columns.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace mlops {

namespace {
constexpr const char* kSlotStates[] = {"missing", "failed", "stale", "fresh", "running", "waiting"};
constexpr const char* kBackfillStates[] = {"open", "paused", "cancelled"};
}  // namespace

const char* to_string(SlotState state) { return kSlotStates[static_cast<int>(state)]; }
const char* to_string(BackfillState state) { return kBackfillStates[static_cast<int>(state)]; }

std::optional<SlotState> parse_slot_state(std::string_view text) {
  const auto found = std::ranges::find(kSlotStates, text);
  if (found == std::end(kSlotStates)) return std::nullopt;
  return static_cast<SlotState>(found - std::begin(kSlotStates));
}

namespace db {

namespace {

using Json = nlohmann::json;
using std::chrono::seconds;
using std::chrono::sys_seconds;

constexpr const char* select_backfill =
    "SELECT b.id, b.schedule, c.pipeline, c.file, c.name, b.from_at, b.to_at, b.jobs, b.options, b.state, "
    "b.created_at, b.created_by FROM backfills b JOIN schedules c ON c.id = b.schedule ";
constexpr const char* select_slot =
    "SELECT s.slot_at, s.local, s.was, s.run_before, s.request, q.state, q.reason, q.run_id, r.state, "
    "r.reason, "
    "r.duration_ms FROM backfill_slots s LEFT JOIN requests q ON q.id = s.request "
    "LEFT JOIN runs r ON r.id = q.run_id ";

std::int64_t number(sys_seconds at) { return at.time_since_epoch().count(); }
sys_seconds time(const Statement& row, int column) { return sys_seconds(seconds(row.integer(column))); }

BackfillRecord read_backfill(const Statement& row) {
  BackfillRecord b;
  b.id = row.integer(0);
  b.schedule = row.integer(1);
  b.pipeline = row.text(2);
  b.file = row.text(3);
  b.entry = row.text(4);
  b.from = time(row, 5);
  b.to = time(row, 6);
  b.jobs = static_cast<int>(row.integer(7));
  const Json options = Json::parse(row.text(8), nullptr, false);
  if (options.is_object()) b.overrides = options.value("set", std::vector<std::string>());
  const auto state = std::ranges::find(kBackfillStates, row.text(9));
  // Of a state that is not known nothing is to be run.
  b.state = state == std::end(kBackfillStates)
                ? BackfillState::paused
                : static_cast<BackfillState>(state - std::begin(kBackfillStates));
  b.created_at = instant(row, 10).value_or(Instant{});
  b.created_by = row.text(11);
  return b;
}

BackfillSlot read_slot(const Statement& row) {
  BackfillSlot s;
  s.at = time(row, 0);
  s.local = row.text(1);
  s.was = parse_slot_state(row.text(2)).value_or(SlotState::missing);
  if (!row.is_null(3)) s.run_before = row.text(3);
  s.request = row.integer(4);
  s.asked = row.is_null(5) ? RequestState::rejected
                           : parse_request_state(row.text(5)).value_or(RequestState::rejected);
  if (!row.is_null(6)) s.reason = row.text(6);
  if (s.asked != RequestState::started) return s;
  s.run_id = row.text(7);
  if (!row.is_null(8)) s.run = parse_run_state(row.text(8));
  s.reason = s.run ? row.text(9) : "its run was deleted";
  s.duration_ms = row.maybe_integer(10);
  return s;
}

}  // namespace

std::int64_t put_backfill(Connection& db, const BackfillRecord& b) {
  Statement& row = db.cached(R"sql(
      INSERT INTO backfills (schedule, from_at, to_at, jobs, options, state, created_at, created_by)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id
    )sql")
                       .bind(b.schedule, number(b.from), number(b.to), b.jobs,
                             Json{{"set", b.overrides}}.dump(-1, ' ', false, Json::error_handler_t::replace),
                             to_string(b.state), util::format_utc(b.created_at), b.created_by);
  row.step();
  const std::int64_t id = row.integer(0);
  row.reset();
  return id;
}

void put_backfill_slot(Connection& db, std::int64_t backfill, const BackfillSlot& s) {
  db.cached("INSERT INTO backfill_slots VALUES (?, ?, ?, ?, ?, ?)")
      .bind(backfill, number(s.at), s.local, to_string(s.was),
            s.run_before.empty() ? std::nullopt : std::optional(s.run_before), s.request)
      .run();
}

void update_backfill(Connection& db, std::int64_t id, BackfillState state, int jobs) {
  db.cached("UPDATE backfills SET state = ?2, jobs = ?3 WHERE id = ?1")
      .bind(id, to_string(state), jobs)
      .run();
}

void set_backfill_request(Connection& db, std::int64_t backfill, sys_seconds at, std::int64_t request) {
  db.cached("UPDATE backfill_slots SET request = ?3 WHERE backfill = ?1 AND slot_at = ?2")
      .bind(backfill, number(at), request)
      .run();
}

bool start_backfill_slot(Connection& db, std::int64_t fence, const std::string& run_id, Instant now) {
  Statement& row = db.cached(R"sql(
      SELECT b.id, b.schedule, s.slot_at, s.local FROM requests q JOIN backfill_slots s ON s.request = q.id
      JOIN backfills b ON b.id = s.backfill WHERE q.fence = ?
    )sql")
                       .bind(fence);
  if (!row.step()) return row.reset(), true;
  const std::int64_t backfill = row.integer(0), schedule = row.integer(1), at = row.integer(2);
  const std::string local = row.text(3), when = util::format_utc(now);
  row.reset();
  const std::int64_t late = now.time_since_epoch().count() - at * 1000;
  const std::string reason = "backfill " + std::to_string(backfill);
  db.cached(R"sql(
      UPDATE slots SET outcome = 'ran', run_id = ?3, fence = ?4, late_ms = ?5, decided_at = ?6, overlap = '',
        reason = ?7 || CASE WHEN outcome = 'ran' THEN ', before it run ' || run_id ELSE ', was ' || outcome END
      WHERE schedule = ?1 AND slot_at = ?2 AND slots = 1 AND outcome NOT IN ('gap', 'claimed')
    )sql")
      .bind(schedule, at, run_id, fence, late, when, reason)
      .run();
  if (db.changes() > 0) return true;
  db.cached(R"sql(
      INSERT INTO slots (schedule, slot_at, local, outcome, reason, until_at, run_id, fence, decided_at, late_ms)
      VALUES (?1, ?2, ?3, 'ran', ?4, ?2, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING
    )sql")
      .bind(schedule, at, local, reason, run_id, fence, when, late)
      .run();
  return db.changes() > 0;
}

std::optional<BackfillRecord> find_backfill(Connection& db, std::int64_t id) {
  Statement& row = db.cached(std::string(select_backfill) + "WHERE b.id = ?").bind(id);
  std::optional<BackfillRecord> found;
  if (row.step()) found = read_backfill(row);
  row.reset();
  return found;
}

std::vector<BackfillRecord> backfills(Connection& db) {
  std::vector<BackfillRecord> list;
  Statement row = db.prepare(std::string(select_backfill) + "ORDER BY b.id");
  while (row.step()) list.push_back(read_backfill(row));
  return list;
}

std::vector<BackfillSlot> slots_of_backfill(Connection& db, std::int64_t id) {
  std::vector<BackfillSlot> list;
  Statement& row = db.cached(std::string(select_slot) + "WHERE s.backfill = ? ORDER BY s.slot_at").bind(id);
  while (row.step()) list.push_back(read_slot(row));
  row.reset();
  return list;
}

std::optional<BackfillSlot> slot_of_request(Connection& db, std::int64_t request) {
  Statement& row = db.cached(std::string(select_slot) + "WHERE s.request = ?").bind(request);
  std::optional<BackfillSlot> slot;
  if (row.step()) slot = read_slot(row);
  row.reset();
  return slot;
}

std::map<sys_seconds, std::int64_t> slots_asked_for(Connection& db, std::int64_t schedule) {
  std::map<sys_seconds, std::int64_t> slots;
  Statement row = db.prepare(R"sql(
      SELECT s.slot_at, b.id FROM backfills b JOIN backfill_slots s ON s.backfill = b.id JOIN requests q ON q.id = s.request
      WHERE b.schedule = ? AND b.state <> 'cancelled' AND q.state IN ('waiting', 'claimed')
    )sql");
  row.bind(schedule);
  while (row.step()) slots[time(row, 0)] = row.integer(1);
  return slots;
}

bool is_backfill_open(Connection& db, std::int64_t id) {
  Statement& row = db.cached(R"sql(
      SELECT 1 FROM backfills b JOIN backfill_slots s ON s.backfill = b.id JOIN requests q ON q.id = s.request
      LEFT JOIN runs r ON r.id = q.run_id
      WHERE b.id = ? AND b.state = 'open' AND (q.state IN ('waiting', 'claimed') OR (q.state = 'started' AND r.state = 'running'))
      LIMIT 1
    )sql")
                       .bind(id);
  const bool open = row.step();
  row.reset();
  return open;
}

bool is_of_backfill(Connection& db, const std::string& run_id) {
  Statement& row = db.cached("SELECT 1 FROM requests WHERE run_id = ? AND backfill IS NOT NULL").bind(run_id);
  const bool found = row.step();
  row.reset();
  return found;
}

}  // namespace db

}  // namespace mlops
