-- What else than time makes pipelines run, and what became of each event.

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
CREATE INDEX events_by_trigger ON events(trigger_id, id);
CREATE INDEX events_by_request ON events(request) WHERE request IS NOT NULL;

-- Ends of runs in the order in which they were recorded, so that nobody misses one.
CREATE TABLE run_ends (
  seq         INTEGER PRIMARY KEY,
  run_id      TEXT UNIQUE REFERENCES runs(id) ON DELETE SET NULL -- null: deleted; the last number is not given again
);
CREATE INDEX run_ends_deleted ON run_ends(seq) WHERE run_id IS NULL;

CREATE VIEW v_events AS
  SELECT e.id, t.pipeline, t.name AS trigger_name, t.kind, t.file, e.at, e.what, e.outcome,
         CASE WHEN e.reason <> '' THEN e.reason ELSE coalesce(q.reason, '') END AS reason, e.dedupe AS key, e.request,
         q.state AS request_state, r.id AS run_id, r.state AS run_state
  FROM events e JOIN triggers t ON t.id = e.trigger_id LEFT JOIN requests q ON q.id = e.request
       LEFT JOIN runs r ON r.id = q.run_id AND q.state = 'started';
