#include "db/hidden_files.hpp"

namespace mlops::db {

namespace {

TraceRecord read_trace(const Statement& row, int first) {
  TraceRecord trace;
  trace.step = static_cast<int>(row.integer(first));
  trace.attempt = static_cast<int>(row.integer(first + 1));
  trace.files = static_cast<std::uint64_t>(row.integer(first + 2));
  trace.problem = row.text(first + 3);
  return trace;
}

HiddenFile read_file(const Statement& row) {
  HiddenFile file;
  file.step = static_cast<int>(row.integer(0));
  file.path = row.text(1);
  file.access = row.text(2);
  file.form = row.text(3);
  file.sha256 = row.text(4);
  file.size = static_cast<std::uint64_t>(row.integer(5));
  return file;
}

std::vector<HiddenFile> files_of_step(Connection& db, const std::string& run_id, int step) {
  Statement row = db.prepare(
      "SELECT step, path, access, form, sha256, size FROM hidden_files WHERE run_id = ? AND step = ? ORDER "
      "BY path");
  row.bind(run_id, step);
  std::vector<HiddenFile> files;
  while (row.step()) files.push_back(read_file(row));
  return files;
}

}  // namespace

void put_trace(Connection& db, const std::string& run_id, const TraceRecord& trace,
               const std::vector<HiddenFile>& files) {
  db.cached(
        "INSERT OR REPLACE INTO step_traces (run_id, step, attempt, files, problem) VALUES (?, ?, ?, ?, ?)")
      .bind(run_id, trace.step, trace.attempt, trace.files, trace.problem)
      .run();
  db.cached("DELETE FROM hidden_files WHERE run_id = ? AND step = ?").bind(run_id, trace.step).run();
  Statement& insert = db.cached(
      "INSERT OR REPLACE INTO hidden_files (run_id, step, path, access, form, sha256, size) VALUES (?, ?, ?, "
      "?, ?, "
      "?, ?)");
  for (const HiddenFile& f : files)
    insert.bind(run_id, trace.step, f.path, f.access, f.form, f.sha256, f.size).run();
}

std::vector<TraceRecord> traces_of(Connection& db, const std::string& run_id) {
  Statement row = db.prepare(R"sql(
    SELECT s.step, t.attempt, t.files, t.problem
    FROM steps s JOIN step_traces t
    ON t.run_id = coalesce(s.source_run, s.run_id) AND t.step = coalesce(s.source_step, s.step)
    WHERE s.run_id = ? ORDER BY s.step
  )sql");
  row.bind(run_id);
  std::vector<TraceRecord> traces;
  while (row.step()) traces.push_back(read_trace(row, 0));
  return traces;
}

std::vector<HiddenFile> hidden_files_of(Connection& db, const std::string& run_id) {
  Statement row = db.prepare(R"sql(
    SELECT s.step, h.path, h.access, h.form, h.sha256, h.size
    FROM steps s JOIN hidden_files h
    ON h.run_id = coalesce(s.source_run, s.run_id) AND h.step = coalesce(s.source_step, s.step)
    WHERE s.run_id = ? ORDER BY s.step, h.path
  )sql");
  row.bind(run_id);
  std::vector<HiddenFile> files;
  while (row.step()) files.push_back(read_file(row));
  return files;
}

std::optional<LastTrace> last_trace(Connection& db, const std::string& pipeline, const std::string& name) {
  std::optional<LastTrace> last;
  {
    Statement row = db.prepare(R"sql(
      SELECT t.run_id, t.step, t.attempt, t.files, t.problem
      FROM step_traces t CROSS JOIN steps s ON s.run_id = t.run_id AND s.step = t.step
      JOIN runs r ON r.id = s.run_id
      WHERE s.name = ?2 AND r.pipeline = ?1
      ORDER BY t.run_id DESC LIMIT 1
    )sql");
    row.bind(pipeline, name);
    if (row.step()) last = LastTrace{row.text(0), read_trace(row, 1), {}};
  }
  if (last) last->files = files_of_step(db, last->run, last->trace.step);
  return last;
}

}  // namespace mlops::db
