#include "db/lineage.hpp"

#include "db/columns.hpp"

#include <algorithm>

namespace mlops::db {

namespace {

const std::string lineage_columns =
    "run_id, step, direction, path, kind, sha256, size, files, form, kept, list";

Trace read_trace(const Statement& row) {
  Trace t;
  t.by = {row.text(0), static_cast<int>(row.integer(1))};
  t.file.step = t.by.step;
  t.file.output = row.text(2) == "out";
  t.file.path = row.text(3);
  t.file.kind = row.text(4);
  t.file.sha256 = row.text(5);
  t.file.size = static_cast<std::uint64_t>(row.integer(6));
  t.file.files = static_cast<std::uint64_t>(row.integer(7));
  t.file.form = row.text(8);
  t.file.kept = row.integer(9) != 0;
  t.file.list = row.text(10);
  return t;
}

Trace read_hidden(const Statement& row, bool output) {
  Trace t;
  t.hidden = true;
  t.by = {row.text(0), static_cast<int>(row.integer(1))};
  t.file.step = t.by.step;
  t.file.output = output;
  t.file.path = row.text(2);
  t.file.form = row.text(3);
  t.file.sha256 = row.text(4);
  t.file.size = static_cast<std::uint64_t>(row.integer(5));
  t.file.kept = false;
  return t;
}

std::vector<Trace> newest(Connection& db, const char* direction, const std::string& sha256,
                          const std::string& path, int limit) {
  Statement& row = db.cached("SELECT " + lineage_columns + R"sql( FROM artifacts
    WHERE sha256 = ?1 AND direction = ?2 AND (?3 = '' OR path = ?3)
    ORDER BY run_id DESC, step DESC LIMIT ?4
  )sql");
  row.bind(sha256, direction, path, limit);
  std::vector<Trace> traces;
  while (row.step()) traces.push_back(read_trace(row));
  row.reset();
  return traces;
}

std::optional<Trace> first(Statement& row) {
  std::optional<Trace> found;
  if (row.step()) found = read_trace(row);
  row.reset();
  return found;
}

}  // namespace

std::optional<ExecutionFacts> facts_of_execution(Connection& db, const Execution& e) {
  Statement& row = db.cached(R"sql(
    SELECT r.pipeline, s.name, s.kind, s.command, s.state, r.created_at, r.git_commit, r.git_dirty,
           (SELECT facts FROM step_facts f WHERE f.run_id = s.run_id AND f.step = s.step)
    FROM steps s JOIN runs r ON r.id = s.run_id WHERE s.run_id = ? AND s.step = ?
  )sql");
  row.bind(e.run, e.step);
  if (!row.step()) {
    row.reset();
    return std::nullopt;
  }
  ExecutionFacts facts;
  facts.pipeline = row.text(0);
  facts.name = row.text(1);
  facts.kind = row.text(2);
  facts.command = row.text(3);
  facts.state = parse_step_state(row.text(4)).value_or(StepState::lost);
  facts.at = instant(row, 5).value_or(Instant{});
  if (!row.is_null(6)) facts.git_commit = row.text(6);
  if (!row.is_null(7)) facts.git_dirty = row.integer(7) != 0;
  facts.facts = row.text(8);
  row.reset();
  Statement& param = db.cached("SELECT name, value FROM run_params WHERE run_id = ? ORDER BY name");
  param.bind(e.run);
  while (param.step()) facts.params.emplace_back(param.text(0), param.text(1));
  param.reset();
  return facts;
}

std::map<int, std::int64_t> times_taken_over(Connection& db, const std::string& run) {
  std::map<int, std::int64_t> times;
  Statement& row =
      db.cached("SELECT source_step, count(*) FROM steps WHERE source_run = ? GROUP BY source_step")
          .bind(run);
  while (row.step()) times[static_cast<int>(row.integer(0))] = row.integer(1);
  row.reset();
  return times;
}

std::optional<Trace> maker_for(Connection& db, const Execution& reader, const std::string& sha256,
                               const std::string& path, bool by_path) {
  // In the same run, perhaps taken from an earlier one. By way of its few steps: a content may be in many
  // runs. Under another name only where the maker had not read the same content: a copy is not where it comes
  // from.
  Statement& own = db.cached(R"sql(
    SELECT a.run_id, a.step, a.direction, a.path, a.kind, a.sha256, a.size, a.files, a.form, a.kept, a.list
    FROM steps s CROSS JOIN artifacts a
    ON a.run_id = coalesce(s.source_run, s.run_id) AND a.step = coalesce(s.source_step, s.step)
    WHERE s.run_id = ?1 AND s.step <> ?2 AND a.direction = 'out' AND +a.sha256 = ?3
      AND (a.path = ?4 OR (NOT ?5 AND NOT EXISTS (SELECT 1 FROM artifacts i WHERE i.run_id = a.run_id
                           AND i.step = a.step AND i.direction = 'in' AND +i.sha256 = ?3)))
    ORDER BY a.path <> ?4, s.step LIMIT 1
  )sql");
  own.bind(reader.run, reader.step, sha256, path, by_path);
  if (auto found = first(own)) return found;
  for (const bool same_path : {true, false}) {
    if (by_path && !same_path) break;
    Statement& earlier = db.cached("SELECT " + lineage_columns + R"sql( FROM artifacts
      WHERE sha256 = ?1 AND direction = 'out' AND run_id < ?2
        AND (path = ?3 OR (NOT ?4 AND NOT EXISTS (SELECT 1 FROM artifacts i WHERE i.run_id = artifacts.run_id
                           AND i.step = artifacts.step AND i.direction = 'in' AND +i.sha256 = ?1)))
      ORDER BY run_id DESC, step DESC LIMIT 1
    )sql");
    earlier.bind(sha256, reader.run, path, same_path);
    if (auto found = first(earlier)) return found;
  }
  return std::nullopt;
}

std::vector<Trace> makers_of(Connection& db, const std::string& sha256, const std::string& path, int limit) {
  return newest(db, "out", sha256, path, limit);
}

std::vector<Trace> readers_of(Connection& db, const std::string& sha256, const std::string& path, int limit) {
  std::vector<Trace> traces = newest(db, "in", sha256, path, limit);
  Statement& row = db.cached(R"sql(
    SELECT run_id, step, path, form, sha256, size FROM hidden_files
    WHERE sha256 = ?1 AND access <> 'written' AND (?2 = '' OR path = ?2) ORDER BY run_id DESC LIMIT ?3
  )sql");
  row.bind(sha256, path, limit);
  while (row.step()) traces.push_back(read_hidden(row, false));
  row.reset();
  std::ranges::sort(traces, [](const Trace& a, const Trace& b) { return a.by > b.by; });
  if (traces.size() > static_cast<std::size_t>(limit)) traces.resize(static_cast<std::size_t>(limit));
  return traces;
}

std::int64_t count_readers(Connection& db, const std::string& sha256, const std::string& path) {
  Statement& row = db.cached(R"sql(
    SELECT (SELECT count(*) FROM artifacts WHERE sha256 = ?1 AND direction = 'in' AND (?2 = '' OR path = ?2)) +
           (SELECT count(*) FROM hidden_files WHERE sha256 = ?1 AND access <> 'written' AND (?2 = '' OR path = ?2))
  )sql");
  row.bind(sha256, path);
  const std::int64_t count = row.step() ? row.integer(0) : 0;
  row.reset();
  return count;
}

std::optional<Trace> newest_at(Connection& db, const std::string& path) {
  for (const char* direction : {"out", "in"}) {
    Statement& row =
        db.cached("SELECT " + lineage_columns +
                  " FROM artifacts WHERE path = ? AND direction = ? ORDER BY run_id DESC LIMIT 1");
    row.bind(path, direction);
    if (auto found = first(row)) return found;
  }
  return std::nullopt;
}

std::vector<Trace> files_of_execution(Connection& db, const Execution& e) {
  std::vector<Trace> traces;
  Statement& row =
      db.cached("SELECT " + lineage_columns +
                " FROM artifacts WHERE run_id = ? AND step = ? ORDER BY direction, kind <> 'code', path");
  row.bind(e.run, e.step);
  while (row.step()) traces.push_back(read_trace(row));
  row.reset();
  Statement& hidden = db.cached(R"sql(
    SELECT run_id, step, path, form, sha256, size, access FROM hidden_files
    WHERE run_id = ? AND step = ? AND sha256 <> '' ORDER BY path
  )sql");
  hidden.bind(e.run, e.step);
  while (hidden.step()) {
    const std::string access = hidden.text(6);
    // Of what was updated only the later content is known.
    traces.push_back(read_hidden(hidden, access == "written" || access == "updated"));
  }
  hidden.reset();
  return traces;
}

std::vector<std::string> match_digests(Connection& db, const std::string& prefix, int limit) {
  // One look at the index for each: a content may be in many rows.
  Statement& row = db.cached("SELECT min(sha256) FROM artifacts WHERE sha256 >= ?1 AND sha256 < ?2");
  std::vector<std::string> found;
  const std::string end = prefix + "g";  // after all hexadecimal digits
  std::string from = prefix;
  while (static_cast<int>(found.size()) < limit) {
    row.bind(from, end);
    if (!row.step() || row.is_null(0)) break;
    found.push_back(row.text(0));
    from = found.back() + "0";
  }
  row.reset();
  return found;
}

}  // namespace mlops::db
