-- Runs that were asked for and wait: by hand, by an event, by a backfill.

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
-- All that a choice needs to know, in the order of choice.
CREATE INDEX requests_waiting ON requests(priority DESC, not_before, id, queue, pipeline, concurrency, backfill) WHERE state = 'waiting';
-- Its first id tells that not many can wait, without counting them.
CREATE INDEX requests_open ON requests(id) WHERE state = 'waiting';
CREATE INDEX requests_claimed ON requests(fence) WHERE state = 'claimed';
CREATE INDEX requests_by_claim ON requests(queue, claimed_at) WHERE claimed_at IS NOT NULL;
CREATE INDEX requests_by_run ON requests(run_id) WHERE run_id IS NOT NULL;
CREATE INDEX requests_by_backfill ON requests(backfill, state) WHERE backfill IS NOT NULL;

-- 1: it may begin, and counts among the runs that go on.
ALTER TABLE slots ADD COLUMN going INTEGER NOT NULL DEFAULT 0;

CREATE VIEW v_requests AS
  SELECT q.id, q.queue, q.pipeline, q.file, q.state, q.reason, q.priority, q.source, q.cause, q.dedupe AS key, q.not_before,
         q.submitted_at, q.submitted_by, q.claimed_at, q.decided_at, q.run_id, r.state AS run_state, q.fence
  FROM requests q LEFT JOIN runs r ON r.id = q.run_id AND q.state = 'started';
