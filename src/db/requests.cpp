#include "db/requests.hpp"

#include "db/columns.hpp"

#include <algorithm>

namespace mlops {

namespace {
constexpr const char* request_states[] = {"waiting", "claimed", "started", "cancelled", "rejected"};
}  // namespace

const char* to_string(RequestState state) { return request_states[static_cast<int>(state)]; }

std::optional<RequestState> parse_request_state(std::string_view text) {
  const auto found = std::ranges::find(request_states, text);
  if (found == std::end(request_states)) return std::nullopt;
  return static_cast<RequestState>(found - std::begin(request_states));
}

namespace db {

namespace {

constexpr const char* select_request =
    "SELECT id, queue, file, pipeline, options, priority, concurrency, source, cause, dedupe, backfill, "
    "not_before, state, reason, run_id, fence, claimer, attempts, submitted_at, submitted_by, claimed_at, "
    "decided_at FROM requests ";

std::optional<std::string> maybe_text(const Statement& row, int column) {
  return row.is_null(column) ? std::nullopt : std::optional(row.text(column));
}

RequestRecord read_request(const Statement& row) {
  RequestRecord r;
  r.id = row.integer(0);
  r.queue = row.text(1);
  r.file = row.text(2);
  r.pipeline = row.text(3);
  r.options = row.text(4);
  r.priority = static_cast<int>(row.integer(5));
  r.concurrency = static_cast<int>(row.integer(6));
  r.source = row.text(7);
  r.cause = row.text(8);
  r.dedupe = maybe_text(row, 9);
  r.backfill = row.maybe_integer(10);
  r.not_before = instant(row, 11).value_or(Instant{});
  r.state = parse_request_state(row.text(12)).value_or(RequestState::rejected);
  r.reason = row.text(13);
  r.run_id = maybe_text(row, 14).value_or("");
  r.fence = row.maybe_integer(15);
  r.claimer = row.text(16);
  r.attempts = static_cast<int>(row.integer(17));
  r.submitted_at = instant(row, 18).value_or(Instant{});
  r.submitted_by = row.text(19);
  r.claimed_at = instant(row, 20);
  r.decided_at = instant(row, 21);
  return r;
}

template <typename... Args>
std::optional<RequestRecord> first(Connection& db, const char* where, const Args&... args) {
  Statement& row = db.cached(std::string(select_request) + where).bind(args...);
  std::optional<RequestRecord> request;
  if (row.step()) request = read_request(row);
  row.reset();
  return request;
}

std::vector<RequestRecord> read_requests(Statement& row) {
  std::vector<RequestRecord> list;
  while (row.step()) list.push_back(read_request(row));
  return list;
}

}  // namespace

std::optional<std::int64_t> put_request(Connection& db, const RequestRecord& r) {
  Statement& row =
      db.cached(R"sql(
      INSERT INTO requests (queue, file, pipeline, options, priority, concurrency, source, cause, dedupe, backfill, not_before,
                            state, reason, submitted_at, submitted_by, decided_at)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (dedupe) DO NOTHING RETURNING id
    )sql")
          .bind(r.queue, r.file, r.pipeline, r.options, r.priority, r.concurrency, r.source, r.cause,
                r.dedupe, r.backfill, util::format_utc(r.not_before), to_string(r.state), r.reason,
                util::format_utc(r.submitted_at), r.submitted_by, time_text(r.decided_at));
  std::optional<std::int64_t> id;
  if (row.step()) id = row.integer(0);
  row.reset();
  return id;
}

void update_request(Connection& db, const RequestRecord& r) {
  db.cached(R"sql(
      UPDATE requests SET queue = ?2, priority = ?3, not_before = ?4, state = ?5, reason = ?6, run_id = ?7, fence = ?8,
                          claimer = ?9, attempts = ?10, claimed_at = ?11, decided_at = ?12
      WHERE id = ?1
    )sql")
      .bind(r.id, r.queue, r.priority, util::format_utc(r.not_before), to_string(r.state), r.reason,
            or_null(r.run_id), r.fence, r.claimer, r.attempts, time_text(r.claimed_at),
            time_text(r.decided_at))
      .run();
}

bool start_request(Connection& db, std::int64_t fence, const std::string& run_id, Instant now) {
  db.cached(R"sql(
      UPDATE requests SET state = 'started', run_id = ?2, decided_at = ?3,
        reason = CASE WHEN reason LIKE 'waits for %' THEN '' ELSE reason END
      WHERE fence = ?1 AND state = 'claimed'
    )sql")
      .bind(fence, run_id, util::format_utc(now))
      .run();
  return db.changes() > 0;
}

void set_request_concurrency(Connection& db, const std::string& file, int concurrency) {
  db.cached(
        "UPDATE requests SET concurrency = ?2 WHERE state = 'waiting' AND concurrency <> ?2 AND file = ?1")
      .bind(file, concurrency)
      .run();
}

std::optional<RequestRecord> find_request(Connection& db, std::int64_t id) {
  return first(db, "WHERE id = ?", id);
}

std::optional<RequestRecord> request_with_key(Connection& db, const std::string& dedupe) {
  return first(db, "WHERE dedupe = ?", dedupe);
}

std::optional<RequestRecord> request_with_fence(Connection& db, std::int64_t fence) {
  return first(db, "WHERE fence = ?", fence);
}

std::optional<RequestRecord> request_of_run(Connection& db, const std::string& run_id) {
  return first(db, "WHERE run_id = ? AND state = 'started'", run_id);
}

std::vector<RequestRecord> claimed_requests(Connection& db) {
  Statement row = db.prepare(std::string(select_request) + "WHERE state = 'claimed' ORDER BY fence");
  return read_requests(row);
}

std::vector<RequestRecord> list_requests(Connection& db, const RequestFilter& filter) {
  // Each question with the terms that it has: an index serves no term that may be absent.
  std::string sql = std::string(select_request) + "WHERE TRUE";
  if (!filter.queue.empty()) sql += " AND queue = ?1";
  if (filter.state) sql += std::string(" AND state = '") + to_string(*filter.state) + "'";
  if (filter.backfill) sql += " AND backfill = ?2";
  sql += " ORDER BY id DESC";
  if (filter.limit > 0) sql += " LIMIT ?3";
  Statement row = db.prepare(sql);
  if (!filter.queue.empty()) row.bind_one(1, filter.queue);
  if (filter.backfill) row.bind_one(2, *filter.backfill);
  if (filter.limit > 0) row.bind_one(3, filter.limit);
  std::vector<RequestRecord> list = read_requests(row);
  std::ranges::reverse(list);
  return list;
}

std::vector<RequestRecord> waiting_requests(Connection& db, const std::string& queue, int limit) {
  Statement row = db.prepare(std::string(select_request) + "WHERE state = 'waiting'" +
                             (queue.empty() ? "" : " AND queue = ?1") +
                             " ORDER BY priority DESC, not_before, id LIMIT ?2");
  if (!queue.empty()) row.bind_one(1, queue);
  row.bind_one(2, limit > 0 ? limit : -1);
  return read_requests(row);
}

void for_each_candidate(Connection& db, Instant now,
                        const std::function<bool(const Candidate&)>& on_candidate) {
  Statement& row = db.cached(R"sql(
      SELECT id, queue, pipeline, priority, concurrency, backfill FROM requests WHERE state = 'waiting' AND not_before <= ?
      ORDER BY priority DESC, not_before, id
    )sql")
                       .bind(util::format_utc(now));
  while (row.step()) {
    if (!on_candidate({row.integer(0), row.text(1), row.text(2), static_cast<int>(row.integer(3)),
                       static_cast<int>(row.integer(4)), row.maybe_integer(5)}))
      break;
  }
  row.reset();
}

bool has_candidates(Connection& db, Instant now) {
  bool any = false;
  for_each_candidate(db, now, [&](const Candidate&) { return any = true, false; });
  return any;
}

std::int64_t count_waiting(Connection& db, const std::string& queue) {
  const std::string all = "SELECT count(*) FROM requests WHERE state = 'waiting'";
  Statement row = db.prepare(queue.empty() ? all : all + " AND queue = ?");
  if (!queue.empty()) row.bind(queue);
  row.step();
  return row.integer(0);
}

bool is_full(Connection& db, std::int64_t most) {
  Statement& row = db.cached(R"sql(
      SELECT (SELECT max(id) FROM requests) - (SELECT min(id) FROM requests WHERE state = 'waiting') + 1
    )sql")
                       .bind();
  row.step();
  const std::int64_t at_most = row.is_null(0) ? 0 : row.integer(0);
  row.reset();
  return at_most >= most && count_waiting(db) >= most;
}

std::optional<Instant> next_candidate(Connection& db, Instant now) {
  Statement& row =
      db.cached("SELECT min(not_before) FROM requests WHERE state = 'waiting' AND not_before > ?")
          .bind(util::format_utc(now));
  row.step();
  const auto next = instant(row, 0);
  row.reset();
  return next;
}

std::vector<Ongoing> ongoing_work(Connection& db) {
  Statement& row = db.cached(R"sql(
      SELECT r.id, r.pipeline, coalesce(q.queue, ''), '', q.backfill FROM runs r
      LEFT JOIN requests q ON q.run_id = r.id AND q.state = 'started'
      LEFT JOIN slots s ON s.run_id = r.id AND s.outcome = 'ran'
      WHERE r.state = 'running' AND (q.id IS NOT NULL OR s.id IS NOT NULL)
      UNION ALL
      SELECT run_id, pipeline, queue, claimer, backfill FROM requests WHERE state = 'claimed'
      UNION ALL
      SELECT s.run_id, c.pipeline, '', s.claimer, NULL FROM slots s JOIN schedules c ON c.id = s.schedule
      WHERE s.outcome = 'claimed' AND s.going = 1
    )sql")
                       .bind();
  std::vector<Ongoing> list;
  while (row.step())
    list.push_back({row.text(0), row.text(1), row.text(2), row.text(3), row.maybe_integer(4)});
  row.reset();
  return list;
}

std::optional<Instant> claim_from_end(Connection& db, const std::string& queue, int n, Instant now) {
  Statement& row = db.cached(R"sql(
      SELECT claimed_at FROM requests WHERE queue = ?1 AND claimed_at IS NOT NULL AND claimed_at <= ?2
      ORDER BY claimed_at DESC LIMIT 1 OFFSET ?3
    )sql")
                       .bind(queue, util::format_utc(now), n - 1);
  std::optional<Instant> at;
  if (row.step()) at = instant(row, 0);
  row.reset();
  return at;
}

}  // namespace db

}  // namespace mlops
