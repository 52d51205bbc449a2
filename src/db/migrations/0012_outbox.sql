-- What is told about runs, to whom, and what became of it.

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
CREATE INDEX outbox_waiting ON outbox(next_at) WHERE state = 'waiting';
CREATE INDEX outbox_by_time ON outbox(created_at);
CREATE INDEX outbox_by_run ON outbox(run_id) WHERE run_id IS NOT NULL;

-- Pipelines that have not succeeded since; a success takes the row away.
CREATE TABLE troubles (
  pipeline     TEXT PRIMARY KEY,
  since        TEXT NOT NULL,
  failures     INTEGER NOT NULL,
  refusals     INTEGER NOT NULL
) WITHOUT ROWID;

CREATE VIEW v_messages AS
  SELECT id, pipeline, notification, occasion, run_id, subject, state, attempts, error, created_at, ended_at,
         CASE state WHEN 'waiting' THEN next_at END AS next_at
  FROM outbox;
