-- Where files come from and what was made of them: what steps opened without declaring it, and inputs that the store
-- keeps.

-- 1: the store was given the content. Outputs always were, inputs since this version.
ALTER TABLE artifacts ADD COLUMN kept INTEGER NOT NULL DEFAULT 1;
UPDATE artifacts SET kept = 0 WHERE direction = 'in';
-- Of a folder that was read and not kept: the list of its files in the store, see store/tree.hpp; else empty.
ALTER TABLE artifacts ADD COLUMN list TEXT NOT NULL DEFAULT '';

-- A search for the maker of a content must not pass through all who read it.
DROP INDEX artifacts_by_content;
CREATE INDEX artifacts_by_content ON artifacts(sha256, direction);
CREATE INDEX artifacts_by_path ON artifacts(path, direction, run_id);

-- Steps whose reads were traced.
CREATE TABLE step_traces (
  run_id   TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
  step     INTEGER NOT NULL,
  attempt  INTEGER NOT NULL,             -- the last one
  files    INTEGER NOT NULL,             -- how many of the project it opened, declared ones too
  problem  TEXT NOT NULL DEFAULT '',     -- why not all is known; empty: all is
  PRIMARY KEY (run_id, step)
) WITHOUT ROWID;

-- Files that traced steps opened without declaring them.
CREATE TABLE hidden_files (
  run_id  TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
  step    INTEGER NOT NULL,
  path    TEXT NOT NULL,                 -- relative to the workspace if inside it
  access  TEXT NOT NULL,                 -- read, executed, written, updated (read and written)
  form    TEXT NOT NULL,                 -- file or executable; empty: gone when the step had ended
  sha256  TEXT NOT NULL,                 -- when the step had ended; empty: not digested
  size    INTEGER NOT NULL,
  PRIMARY KEY (run_id, step, path)
) WITHOUT ROWID;
CREATE INDEX hidden_files_by_content ON hidden_files(sha256);

CREATE VIEW v_hidden_files AS
  SELECT s.run_id, r.pipeline, s.name AS step, h.access, h.path, h.form, h.size, h.sha256
  FROM steps s JOIN runs r ON r.id = s.run_id
  JOIN hidden_files h ON h.run_id = coalesce(s.source_run, s.run_id) AND h.step = coalesce(s.source_step, s.step);

DROP VIEW v_artifacts;
CREATE VIEW v_artifacts AS
  SELECT s.run_id, r.pipeline, s.name AS step, a.direction, a.path, a.kind, a.form, a.size, a.files, a.sha256, a.kept
  FROM steps s JOIN runs r ON r.id = s.run_id
  JOIN artifacts a ON a.run_id = coalesce(s.source_run, s.run_id) AND a.step = coalesce(s.source_step, s.step);
