-- Datasets: contents of the work tree kept under a name, one version after the other; and what may not go.

CREATE TABLE datasets (
  name        TEXT PRIMARY KEY,
  created_at  TEXT NOT NULL,
  next        INTEGER NOT NULL DEFAULT 1 -- number of the next version: none is given twice
) WITHOUT ROWID;

CREATE TABLE dataset_versions (
  dataset     TEXT NOT NULL REFERENCES datasets(name) ON DELETE CASCADE,
  version     INTEGER NOT NULL,          -- 1, 2, 3, …
  path        TEXT NOT NULL,             -- where it lay, relative to the workspace if inside it
  sha256      TEXT NOT NULL,             -- of the content, as artifacts.sha256
  form        TEXT NOT NULL,             -- file, executable or tree, as artifacts.form
  size        INTEGER NOT NULL,          -- bytes
  files       INTEGER NOT NULL,
  added       INTEGER NOT NULL,          -- files, against the version before
  removed     INTEGER NOT NULL,
  changed     INTEGER NOT NULL,
  note        TEXT NOT NULL DEFAULT '',
  user        TEXT NOT NULL,
  created_at  TEXT NOT NULL,
  PRIMARY KEY (dataset, version)
) WITHOUT ROWID;
CREATE INDEX dataset_versions_by_sha256 ON dataset_versions(sha256);

-- A pinned run or version is not deleted, and what it needs stays in the store.
CREATE TABLE pinned_runs (
  run_id      TEXT PRIMARY KEY REFERENCES runs(id) ON DELETE CASCADE,
  note        TEXT NOT NULL DEFAULT '',
  created_at  TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE pinned_versions (
  dataset     TEXT NOT NULL,
  version     INTEGER NOT NULL,
  note        TEXT NOT NULL DEFAULT '',
  created_at  TEXT NOT NULL,
  PRIMARY KEY (dataset, version),
  FOREIGN KEY (dataset, version) REFERENCES dataset_versions(dataset, version) ON DELETE CASCADE
) WITHOUT ROWID;

CREATE VIEW v_dataset_versions AS
  SELECT v.dataset, v.version, v.path, v.form, v.size, v.files, v.added, v.removed, v.changed, v.sha256, v.note,
         v.user, v.created_at, p.dataset IS NOT NULL AS pinned
  FROM dataset_versions v LEFT JOIN pinned_versions p ON p.dataset = v.dataset AND p.version = v.version;

CREATE VIEW v_datasets AS
  SELECT d.name, count(*) AS versions, max(v.version) AS latest, v.path, v.form, v.size, v.files, v.sha256,
         d.created_at, v.created_at AS updated_at
  FROM datasets d JOIN dataset_versions v ON v.dataset = d.name
  GROUP BY d.name;

CREATE VIEW v_pins AS
  SELECT 'run' AS kind, p.run_id AS name, r.pipeline AS of, p.note, p.created_at
  FROM pinned_runs p JOIN runs r ON r.id = p.run_id
  UNION ALL
  SELECT 'dataset', dataset || '@' || version, dataset, note, created_at FROM pinned_versions;
