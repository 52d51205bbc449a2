-- Steps whose results are taken from an earlier run instead of being made again.

-- file, executable, tree (a directory by store/tree.hpp), or listing (a directory as version 1 digested it)
ALTER TABLE artifacts ADD COLUMN form TEXT NOT NULL DEFAULT 'file';

ALTER TABLE runs ADD COLUMN part_started_at TEXT;    -- when a runner last took it up; null: created_at

ALTER TABLE steps ADD COLUMN cache_key TEXT;         -- SHA-256 of what the step depends on; null: its results are not kept
ALTER TABLE steps ADD COLUMN because TEXT NOT NULL DEFAULT '[]';  -- JSON: why it ran, or did not
ALTER TABLE steps ADD COLUMN source_run TEXT;        -- of a cached step: the run and step that made its results
ALTER TABLE steps ADD COLUMN source_step INTEGER;
CREATE INDEX steps_by_source ON steps(source_run, source_step) WHERE source_run IS NOT NULL;
CREATE INDEX steps_by_name ON steps(name, run_id);

-- What a step that ran depended on, as JSON: the parts of its key, so that a later run can tell what has changed.
CREATE TABLE step_facts (
  run_id  TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
  step    INTEGER NOT NULL,
  facts   TEXT NOT NULL,
  PRIMARY KEY (run_id, step)
) WITHOUT ROWID;

-- Results that can be had again.
CREATE TABLE cache (
  key         TEXT PRIMARY KEY,
  run_id      TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
  step        INTEGER NOT NULL,
  created_at  TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX cache_by_run ON cache(run_id, step);

-- Views follow a cached step to the run that made its results.
DROP VIEW v_steps;
CREATE VIEW v_steps AS
  SELECT s.run_id, r.pipeline, s.step, s.name, s.kind, s.state, s.reason, s.attempts, s.started_at, s.ended_at,
         ROUND((julianday(s.ended_at) - julianday(s.started_at)) * 86400, 3) AS seconds, s.source_run, s.because
  FROM steps s JOIN runs r ON r.id = s.run_id;

DROP VIEW v_metrics;
CREATE VIEW v_metrics AS
  SELECT s.run_id, r.pipeline, s.name AS step, m.name, m.value, m.points
  FROM steps s JOIN runs r ON r.id = s.run_id
  JOIN metric_latest m ON m.run_id = coalesce(s.source_run, s.run_id) AND m.step = coalesce(s.source_step, s.step);

DROP VIEW v_metric_history;
CREATE VIEW v_metric_history AS
  SELECT s.run_id, s.name AS step, m.name, m.at, m.value, m.time
  FROM steps s
  JOIN metrics m ON m.run_id = coalesce(s.source_run, s.run_id) AND m.step = coalesce(s.source_step, s.step);

DROP VIEW v_artifacts;
CREATE VIEW v_artifacts AS
  SELECT s.run_id, r.pipeline, s.name AS step, a.direction, a.path, a.kind, a.form, a.size, a.files, a.sha256
  FROM steps s JOIN runs r ON r.id = s.run_id
  JOIN artifacts a ON a.run_id = coalesce(s.source_run, s.run_id) AND a.step = coalesce(s.source_step, s.step);
