-- Backfills: slots of the past that are run afterwards, below all live work.

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
