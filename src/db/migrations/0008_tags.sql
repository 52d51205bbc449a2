-- Words that people and scripts attach to runs, as release=2026-11 or just baseline.

CREATE TABLE tags (
  run_id      TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
  key         TEXT NOT NULL,
  value       TEXT NOT NULL DEFAULT '',  -- empty: the key says it all
  created_at  TEXT NOT NULL,
  PRIMARY KEY (run_id, key)
) WITHOUT ROWID;
CREATE INDEX tags_by_key ON tags(key, value);
