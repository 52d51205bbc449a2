CREATE TABLE artifacts (
  run_id     TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
  step       INTEGER NOT NULL,
  direction  TEXT NOT NULL,              -- in, out
  path       TEXT NOT NULL,              -- relative to the workspace if inside it
  kind       TEXT NOT NULL,              -- model, data, …; may be empty
  sha256     TEXT NOT NULL,
  size       INTEGER NOT NULL,           -- bytes, summed over a directory
  files      INTEGER NOT NULL, form TEXT NOT NULL DEFAULT 'file', kept INTEGER NOT NULL DEFAULT 1, list TEXT NOT NULL DEFAULT '',           -- 1 for a file
  PRIMARY KEY (run_id, step, direction, path)
) WITHOUT ROWID;

CREATE INDEX artifacts_by_content ON artifacts(sha256, direction);

CREATE INDEX artifacts_by_path ON artifacts(path, direction, run_id);

CREATE TABLE attempts (
  run_id         TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
  step           INTEGER NOT NULL,
  attempt        INTEGER NOT NULL,       -- from 1
  cause          TEXT NOT NULL,          -- running, exited, timeout, no_output, stopped, not_started, lost, interrupted
  exit_code      INTEGER,                -- null when a signal ended it or it never ran
  signal         INTEGER,
  pid            INTEGER,
  started_at     TEXT NOT NULL,
  ended_at       TEXT,
  cpu_user_ms    INTEGER,                -- children that were waited for included
  cpu_system_ms  INTEGER,
  max_rss_bytes  INTEGER,                -- peak of the largest process
  read_bytes     INTEGER,                -- from storage
  written_bytes  INTEGER,                -- to storage
  log_bytes      INTEGER NOT NULL DEFAULT 0,
  log_dropped    INTEGER NOT NULL DEFAULT 0, -- bytes of the log's middle that were not kept
  note           TEXT NOT NULL DEFAULT '',   -- what else is worth knowing
  PRIMARY KEY (run_id, step, attempt)
) WITHOUT ROWID;

CREATE TABLE backfill_slots (
  backfill    INTEGER NOT NULL REFERENCES backfills(id) ON DELETE CASCADE,
  slot_at     INTEGER NOT NULL,          -- seconds since 1970
  local       TEXT NOT NULL,             -- ISO 8601, as clocks of the schedule's zone show it
  was         TEXT NOT NULL,             -- before: missing, failed, stale or fresh
  run_before  TEXT,                      -- the run that the slot had then
  request     INTEGER NOT NULL,          -- the last one for it
  PRIMARY KEY (backfill, slot_at)
) WITHOUT ROWID;

CREATE INDEX backfill_slots_by_request ON backfill_slots(request);

CREATE TABLE backfills (
  id          INTEGER PRIMARY KEY,
  schedule    INTEGER NOT NULL REFERENCES schedules(id) ON DELETE CASCADE,
  from_at     INTEGER NOT NULL,          -- seconds since 1970: its first slot, and its last
  to_at       INTEGER NOT NULL,
  jobs        INTEGER NOT NULL,          -- runs at a time
  options     TEXT NOT NULL,             -- JSON: {"set": [overrides]}
  state       TEXT NOT NULL,             -- open (it is done when nothing of it is left), paused, cancelled
  created_at  TEXT NOT NULL,
  created_by  TEXT NOT NULL
);

CREATE TABLE cache (
  key         TEXT PRIMARY KEY,
  run_id      TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
  step        INTEGER NOT NULL,
  created_at  TEXT NOT NULL
) WITHOUT ROWID;

CREATE INDEX cache_by_run ON cache(run_id, step);

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

CREATE TABLE datasets (
  name        TEXT PRIMARY KEY,
  created_at  TEXT NOT NULL,
  next        INTEGER NOT NULL DEFAULT 1 -- number of the next version: none is given twice
) WITHOUT ROWID;

CREATE TABLE definitions (
  sha256      TEXT PRIMARY KEY,          -- of `source`
  source      TEXT NOT NULL,             -- the bytes of the file
  first_seen  TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE events (
  id          INTEGER PRIMARY KEY,
  trigger_id  INTEGER NOT NULL REFERENCES triggers(id) ON DELETE CASCADE,
  dedupe      TEXT NOT NULL,             -- what happened twice under one key happened once
  what        TEXT NOT NULL,             -- in words
  payload     TEXT NOT NULL DEFAULT '',  -- JSON; empty of old events
  at          TEXT NOT NULL,
  outcome     TEXT NOT NULL,             -- requested, joined, paused, refused, known
  reason      TEXT NOT NULL DEFAULT '',  -- why there is no run of its own
  request     INTEGER,                   -- whose run it is
  UNIQUE (trigger_id, dedupe)
);

CREATE INDEX events_by_request ON events(request) WHERE request IS NOT NULL;

CREATE INDEX events_by_trigger ON events(trigger_id, id);

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

CREATE TABLE metric_latest (
  run_id  TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
  step    INTEGER NOT NULL,
  name    TEXT NOT NULL,
  value   REAL,
  points  INTEGER NOT NULL,
  PRIMARY KEY (run_id, step, name)
) WITHOUT ROWID;

CREATE TABLE metrics (
  run_id  TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
  step    INTEGER NOT NULL,              -- of the pipeline
  name    TEXT NOT NULL,                 -- dotted: test.accuracy
  at      INTEGER NOT NULL,              -- training step or epoch as logged; 0 for a final figure
  seq     INTEGER NOT NULL,              -- order among points of the same `at`
  value   REAL,                          -- null: not a number
  time    TEXT,                          -- when it was logged, if known
  PRIMARY KEY (run_id, step, name, at, seq)
) WITHOUT ROWID;

CREATE TABLE outbox (
  id           TEXT PRIMARY KEY,         -- goes along with the message, the same in every attempt
  pipeline     TEXT NOT NULL,
  notification TEXT NOT NULL,            -- name of the entry of `notify:`
  occasion     TEXT NOT NULL,            -- failure, recovery, late, refused, success
  run_id       TEXT,                     -- null: it is about no run
  target       TEXT NOT NULL,            -- JSON of whom it goes to; secrets by name
  subject      TEXT NOT NULL,
  body         TEXT NOT NULL,            -- as it is sent
  state        TEXT NOT NULL,            -- waiting, sent, failed, suppressed
  attempts     INTEGER NOT NULL DEFAULT 0,
  next_at      TEXT NOT NULL,            -- when it is to be sent, while it waits
  error        TEXT NOT NULL DEFAULT '', -- why the last attempt did not do, or why there was none
  created_at   TEXT NOT NULL,
  ended_at     TEXT,                     -- when it was sent or given up
  claimer      TEXT NOT NULL DEFAULT '', -- the process that is sending it: boot id, number, start
  dedupe       TEXT UNIQUE               -- no two of one; null: none
) WITHOUT ROWID;

CREATE INDEX outbox_by_entry ON outbox(pipeline, notification, occasion, created_at);

CREATE INDEX outbox_by_run ON outbox(run_id) WHERE run_id IS NOT NULL;

CREATE INDEX outbox_by_time ON outbox(created_at);

CREATE INDEX outbox_waiting ON outbox(next_at) WHERE state = 'waiting';

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

CREATE TABLE promises (
  schedule  INTEGER NOT NULL REFERENCES schedules(id) ON DELETE CASCADE,
  kind      TEXT NOT NULL,               -- deadline, fresh_within
  due_at    INTEGER NOT NULL,            -- seconds since 1970: by when it was to be kept
  state     TEXT NOT NULL,               -- at_risk, missed
  words     TEXT NOT NULL,               -- what was told
  told_at   TEXT NOT NULL,
  PRIMARY KEY (schedule, kind, due_at, state)
) WITHOUT ROWID;

CREATE TABLE requests (
  id           INTEGER PRIMARY KEY,
  queue        TEXT NOT NULL,
  file         TEXT NOT NULL,             -- the pipeline file, relative to the workspace if inside it
  pipeline     TEXT NOT NULL,
  options      TEXT NOT NULL,             -- JSON: {"set": [overrides], "slot": {"id", "start", "end"} or absent}
  priority     INTEGER NOT NULL,          -- larger ones first
  concurrency  INTEGER NOT NULL DEFAULT 0,-- as the file said when it was read last: runs of the pipeline at a time; 0: no limit
  source       TEXT NOT NULL,             -- submit, trigger, backfill
  cause        TEXT NOT NULL,             -- what it was asked for, for people
  dedupe       TEXT UNIQUE,               -- there is one of each; null: none
  backfill     INTEGER,                   -- which backfill it is a part of
  not_before   TEXT NOT NULL,
  state        TEXT NOT NULL,             -- waiting, claimed, started, cancelled, rejected
  reason       TEXT NOT NULL DEFAULT '',
  run_id       TEXT,                      -- chosen when it is claimed
  fence        INTEGER UNIQUE,            -- of the last claim; one count with that of slots
  claimer      TEXT NOT NULL DEFAULT '',  -- the process: number, start, boot id
  attempts     INTEGER NOT NULL DEFAULT 0,-- processes of its own that took it up, to begin the run
  submitted_at TEXT NOT NULL,
  submitted_by TEXT NOT NULL,
  claimed_at   TEXT,                      -- null: it waits, or was never claimed
  decided_at   TEXT                       -- when it was started, cancelled or rejected
);

CREATE INDEX requests_by_backfill ON requests(backfill, state) WHERE backfill IS NOT NULL;

CREATE INDEX requests_by_claim ON requests(queue, claimed_at) WHERE claimed_at IS NOT NULL;

CREATE INDEX requests_by_run ON requests(run_id) WHERE run_id IS NOT NULL;

CREATE INDEX requests_claimed ON requests(fence) WHERE state = 'claimed';

CREATE INDEX requests_open ON requests(id) WHERE state = 'waiting';

CREATE INDEX requests_waiting ON requests(priority DESC, not_before, id, queue, pipeline, concurrency, backfill) WHERE state = 'waiting';

CREATE TABLE run_ends (
  seq         INTEGER PRIMARY KEY,
  run_id      TEXT UNIQUE REFERENCES runs(id) ON DELETE SET NULL -- null: deleted; the last number is not given again
);

CREATE INDEX run_ends_deleted ON run_ends(seq) WHERE run_id IS NULL;

CREATE TABLE run_environment (
  run_id  TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
  name    TEXT NOT NULL,
  PRIMARY KEY (run_id, name)
) WITHOUT ROWID;

CREATE TABLE run_params (
  run_id  TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
  name    TEXT NOT NULL,                 -- dotted: train.lr
  value   TEXT NOT NULL,                 -- JSON
  PRIMARY KEY (run_id, name)
) WITHOUT ROWID;

CREATE TABLE runs (
  id            TEXT PRIMARY KEY,        -- sorts by time
  pipeline      TEXT NOT NULL,           -- its name
  file          TEXT NOT NULL,           -- path of the pipeline file, relative to the workspace if inside it
  definition    TEXT NOT NULL REFERENCES definitions(sha256),
  state         TEXT NOT NULL,           -- running, succeeded, failed, cancelled, interrupted
  reason        TEXT NOT NULL DEFAULT '',-- why it is in that state, in words
  exit_code     INTEGER,                 -- of `mlops run`
  created_at    TEXT NOT NULL,
  ended_at      TEXT,                    -- of the last attempt to run it
  duration_ms   INTEGER,                 -- time spent running, resumed parts added up
  steps         INTEGER NOT NULL,        -- how many the plan has
  jobs          INTEGER NOT NULL,
  resumes       INTEGER NOT NULL DEFAULT 0,
  host          TEXT NOT NULL,
  user          TEXT NOT NULL,
  command_line  TEXT NOT NULL,
  git_commit    TEXT,                    -- null: not in a git work tree
  git_dirty     INTEGER,                 -- 1: tracked files had changes, 0: none, null: unknown
  mlops_version TEXT NOT NULL,
  runner_pid    INTEGER NOT NULL,
  boot_id       TEXT NOT NULL            -- of the machine when the runner last started
, part_started_at TEXT) WITHOUT ROWID;

CREATE INDEX runs_by_definition ON runs(definition);

CREATE INDEX runs_by_end ON runs(substr(id, -4));

CREATE INDEX runs_by_pipeline ON runs(pipeline, id);

CREATE INDEX runs_by_state ON runs(state, id);

CREATE TABLE schedules (
  id          INTEGER PRIMARY KEY,
  file        TEXT NOT NULL,             -- the pipeline file, relative to the workspace if inside it
  name        TEXT NOT NULL,             -- of the entry
  pipeline    TEXT NOT NULL,
  definition  TEXT NOT NULL,             -- JSON of the entry as it was read
  cursor      INTEGER NOT NULL,          -- seconds since 1970: of all slots up to it something has become
  since       INTEGER NOT NULL,          -- from then on the definition counts: slots before are none of its
  served      INTEGER NOT NULL DEFAULT 0,-- 1: the daemon runs it
  created_at  TEXT NOT NULL,
  removed_at  TEXT,                      -- when it was seen that the file does not have it any more
  paused_at   TEXT,
  pause_note  TEXT NOT NULL DEFAULT '',
  problem     TEXT NOT NULL DEFAULT '',  -- why the file cannot be read just now
  UNIQUE (file, name)
);

CREATE TABLE slots (
  id          INTEGER PRIMARY KEY,
  schedule    INTEGER NOT NULL REFERENCES schedules(id) ON DELETE CASCADE,
  slot_at     INTEGER NOT NULL,          -- seconds since 1970
  local       TEXT NOT NULL,             -- ISO 8601, as clocks of the schedule's zone show it
  outcome     TEXT NOT NULL,             -- claimed, ran, skipped, coalesced, missed, paused, superseded, rejected, gap
  reason      TEXT NOT NULL DEFAULT '',
  until_at    INTEGER NOT NULL,          -- of a row that stands for many slots: the last of them, else slot_at
  slots       INTEGER NOT NULL DEFAULT 1,
  run_id      TEXT,                      -- what ran, or why it did not: the run that was in the way
  fence       INTEGER UNIQUE,            -- grows with each claim; null: never claimed
  claimer     TEXT NOT NULL DEFAULT '',  -- the process: boot id, number, start
  decided_at  TEXT NOT NULL,
  late_ms     INTEGER,                   -- from the slot to the start of the run
  overlap     TEXT NOT NULL DEFAULT ''   -- what a claimed slot does while another run is going on
, going INTEGER NOT NULL DEFAULT 0, unseen_from INTEGER);

CREATE INDEX slots_by_outcome ON slots(outcome) WHERE outcome = 'claimed';

CREATE INDEX slots_by_run ON slots(run_id) WHERE run_id IS NOT NULL;

CREATE INDEX slots_by_schedule ON slots(schedule, slot_at);

CREATE UNIQUE INDEX slots_by_time ON slots(schedule, slot_at) WHERE outcome <> 'gap';

CREATE UNIQUE INDEX slots_gaps ON slots(schedule, slot_at, local) WHERE outcome = 'gap';

CREATE INDEX slots_of_many ON slots(schedule, slot_at) WHERE slots > 1;

CREATE TABLE step_facts (
  run_id  TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
  step    INTEGER NOT NULL,
  facts   TEXT NOT NULL,
  PRIMARY KEY (run_id, step)
) WITHOUT ROWID;

CREATE TABLE step_outputs (
  run_id  TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
  step    INTEGER NOT NULL,
  name    TEXT NOT NULL,
  value   TEXT NOT NULL,
  PRIMARY KEY (run_id, step, name)
) WITHOUT ROWID;

CREATE TABLE step_traces (
  run_id   TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
  step     INTEGER NOT NULL,
  attempt  INTEGER NOT NULL,             -- the last one
  files    INTEGER NOT NULL,             -- how many of the project it opened, declared ones too
  problem  TEXT NOT NULL DEFAULT '',     -- why not all is known; empty: all is
  PRIMARY KEY (run_id, step)
) WITHOUT ROWID;

CREATE TABLE steps (
  run_id      TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
  step        INTEGER NOT NULL,          -- place in the pipeline, from 0
  name        TEXT NOT NULL,
  kind        TEXT NOT NULL,             -- ingest, train, …; may be empty
  command     TEXT NOT NULL,             -- as in the file, params filled in
  state       TEXT NOT NULL,             -- pending, running, retrying, succeeded, failed, lost, interrupted,
                                         -- skipped, not_run, cancelled
  reason      TEXT NOT NULL DEFAULT '',
  attempts    INTEGER NOT NULL DEFAULT 0,
  started_at  TEXT,
  ended_at    TEXT, cache_key TEXT, because TEXT NOT NULL DEFAULT '[]', source_run TEXT, source_step INTEGER,
  PRIMARY KEY (run_id, step)
) WITHOUT ROWID;

CREATE INDEX steps_by_name ON steps(name, run_id) WHERE attempts > 0 OR source_run IS NULL;

CREATE INDEX steps_by_run_and_name ON steps(run_id, name);

CREATE INDEX steps_by_source ON steps(source_run, run_id, source_step) WHERE source_run IS NOT NULL;

CREATE TABLE tags (
  run_id      TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
  key         TEXT NOT NULL,
  value       TEXT NOT NULL DEFAULT '',  -- empty: the key says it all
  created_at  TEXT NOT NULL,
  PRIMARY KEY (run_id, key)
) WITHOUT ROWID;

CREATE INDEX tags_by_key ON tags(key, value);

CREATE TABLE triggers (
  id          INTEGER PRIMARY KEY,
  file        TEXT NOT NULL,             -- the pipeline file, relative to the workspace if inside it
  name        TEXT NOT NULL,             -- of the entry
  pipeline    TEXT NOT NULL,
  kind        TEXT NOT NULL,             -- files, succeeded, webhook, http, sql, metric
  definition  TEXT NOT NULL,             -- JSON of the entry as it was read
  priority    INTEGER NOT NULL DEFAULT 0,-- of the runs that it starts
  concurrency INTEGER NOT NULL DEFAULT 0,
  state       TEXT NOT NULL DEFAULT '',  -- JSON: what was seen last; empty: it has not looked yet
  version     INTEGER NOT NULL DEFAULT 0,-- grows whenever the state changes: who writes an older one has lost
  looked_at   TEXT,
  problem     TEXT NOT NULL DEFAULT '',  -- why it cannot look just now
  served      INTEGER NOT NULL DEFAULT 0,-- 1: the daemon looks
  created_at  TEXT NOT NULL,
  removed_at  TEXT,                      -- when it was seen that the file does not have it any more
  paused_at   TEXT,
  pause_note  TEXT NOT NULL DEFAULT '',
  UNIQUE (file, name)
);

CREATE TABLE troubles (
  pipeline     TEXT PRIMARY KEY,
  since        TEXT NOT NULL,
  failures     INTEGER NOT NULL,
  refusals     INTEGER NOT NULL
) WITHOUT ROWID;

CREATE VIEW v_artifacts AS
  SELECT s.run_id, r.pipeline, s.name AS step, a.direction, a.path, a.kind, a.form, a.size, a.files, a.sha256, a.kept
  FROM steps s JOIN runs r ON r.id = s.run_id
  JOIN artifacts a ON a.run_id = coalesce(s.source_run, s.run_id) AND a.step = coalesce(s.source_step, s.step);

CREATE VIEW v_attempts AS
  SELECT a.run_id, s.name AS step, a.attempt, a.cause, a.exit_code, a.signal, a.started_at, a.ended_at,
         a.cpu_user_ms / 1000.0 AS cpu_user_seconds, a.cpu_system_ms / 1000.0 AS cpu_system_seconds,
         a.max_rss_bytes, a.read_bytes, a.written_bytes, a.log_bytes, a.note
  FROM attempts a JOIN steps s ON s.run_id = a.run_id AND s.step = a.step;

CREATE VIEW v_backfills AS
  SELECT b.id, c.pipeline, c.name AS schedule, c.file, b.state, datetime(b.from_at, 'unixepoch') AS from_at,
         datetime(b.to_at, 'unixepoch') AS to_at, b.jobs, count(*) AS slots,
         coalesce(sum(q.state IN ('waiting', 'claimed')), 0) AS waiting,
         coalesce(sum(q.state = 'started' AND r.state = 'running'), 0) AS running,
         coalesce(sum(q.state = 'started' AND r.state = 'succeeded'), 0) AS succeeded,
         coalesce(sum(q.state = 'started' AND r.state NOT IN ('running', 'succeeded')), 0) AS failed,
         coalesce(sum(q.state = 'started' AND r.id IS NULL), 0) AS deleted,
         coalesce(sum(q.state IN ('cancelled', 'rejected')), 0) AS not_run, b.created_at, b.created_by
  FROM backfills b JOIN schedules c ON c.id = b.schedule JOIN backfill_slots s ON s.backfill = b.id
  LEFT JOIN requests q ON q.id = s.request LEFT JOIN runs r ON r.id = q.run_id
  GROUP BY b.id;

CREATE VIEW v_dataset_versions AS
  SELECT v.dataset, v.version, v.path, v.form, v.size, v.files, v.added, v.removed, v.changed, v.sha256, v.note,
         v.user, v.created_at, p.dataset IS NOT NULL AS pinned
  FROM dataset_versions v LEFT JOIN pinned_versions p ON p.dataset = v.dataset AND p.version = v.version;

CREATE VIEW v_datasets AS
  SELECT d.name, count(*) AS versions, max(v.version) AS latest, v.path, v.form, v.size, v.files, v.sha256,
         d.created_at, v.created_at AS updated_at
  FROM datasets d JOIN dataset_versions v ON v.dataset = d.name
  GROUP BY d.name;

CREATE VIEW v_events AS
  SELECT e.id, t.pipeline, t.name AS trigger_name, t.kind, t.file, e.at, e.what, e.outcome,
         CASE WHEN e.reason <> '' THEN e.reason ELSE coalesce(q.reason, '') END AS reason, e.dedupe AS key, e.request,
         q.state AS request_state, r.id AS run_id, r.state AS run_state
  FROM events e JOIN triggers t ON t.id = e.trigger_id LEFT JOIN requests q ON q.id = e.request
       LEFT JOIN runs r ON r.id = q.run_id AND q.state = 'started';

CREATE VIEW v_hidden_files AS
  SELECT s.run_id, r.pipeline, s.name AS step, h.access, h.path, h.form, h.size, h.sha256
  FROM steps s JOIN runs r ON r.id = s.run_id
  JOIN hidden_files h ON h.run_id = coalesce(s.source_run, s.run_id) AND h.step = coalesce(s.source_step, s.step);

CREATE VIEW v_messages AS
  SELECT id, pipeline, notification, occasion, run_id, subject, state, attempts, error, created_at, ended_at,
         CASE state WHEN 'waiting' THEN next_at END AS next_at
  FROM outbox;

CREATE VIEW v_metric_history AS
  SELECT s.run_id, s.name AS step, m.name, m.at, m.value, m.time
  FROM steps s
  JOIN metrics m ON m.run_id = coalesce(s.source_run, s.run_id) AND m.step = coalesce(s.source_step, s.step);

CREATE VIEW v_metrics AS
  SELECT s.run_id, r.pipeline, s.name AS step, m.name, m.value, m.points
  FROM steps s JOIN runs r ON r.id = s.run_id
  JOIN metric_latest m ON m.run_id = coalesce(s.source_run, s.run_id) AND m.step = coalesce(s.source_step, s.step);

CREATE VIEW v_params AS
  SELECT p.run_id, r.pipeline, p.name, p.value FROM run_params p JOIN runs r ON r.id = p.run_id;

CREATE VIEW v_pins AS
  SELECT 'run' AS kind, p.run_id AS name, r.pipeline AS of, p.note, p.created_at
  FROM pinned_runs p JOIN runs r ON r.id = p.run_id
  UNION ALL
  SELECT 'dataset', dataset || '@' || version, dataset, note, created_at FROM pinned_versions;

CREATE VIEW v_promises AS
  SELECT c.pipeline, c.name AS schedule, c.file, p.kind, strftime('%Y-%m-%d %H:%M:%f', p.due_at, 'unixepoch') AS due,
         p.state, p.words, p.told_at
  FROM promises p JOIN schedules c ON c.id = p.schedule;

CREATE VIEW v_requests AS
  SELECT q.id, q.queue, q.pipeline, q.file, q.state, q.reason, q.priority, q.source, q.cause, q.dedupe AS key, q.not_before,
         q.submitted_at, q.submitted_by, q.claimed_at, q.decided_at, q.run_id, r.state AS run_state, q.fence
  FROM requests q LEFT JOIN runs r ON r.id = q.run_id AND q.state = 'started';

CREATE VIEW v_runs AS
  SELECT id, pipeline, state, reason, created_at, ended_at, duration_ms / 1000.0 AS seconds, steps,
         host, user, git_commit, git_dirty, file, command_line
  FROM runs;

CREATE VIEW v_slots AS
  SELECT c.pipeline, c.name AS schedule, c.file, s.local AS slot, s.outcome, s.reason, s.slots, s.run_id, r.state AS run_state,
         s.late_ms / 1000.0 AS late_seconds, s.decided_at, s.fence,
         strftime('%Y-%m-%d %H:%M:%f', s.unseen_from, 'unixepoch') AS unseen_from
  FROM slots s JOIN schedules c ON c.id = s.schedule LEFT JOIN runs r ON r.id = s.run_id;

CREATE VIEW v_steps AS
  SELECT s.run_id, r.pipeline, s.step, s.name, s.kind, s.state, s.reason, s.attempts, s.started_at, s.ended_at,
         ROUND((julianday(s.ended_at) - julianday(s.started_at)) * 86400, 3) AS seconds, s.source_run, s.because
  FROM steps s JOIN runs r ON r.id = s.run_id;
