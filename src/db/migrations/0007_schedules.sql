-- When pipelines run by themselves, and what became of each time at which one was to run.

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
);
-- An instant is one slot, whatever clocks show; times that clocks skip are many, all at the instant of the jump.
CREATE UNIQUE INDEX slots_by_time ON slots(schedule, slot_at) WHERE outcome <> 'gap';
CREATE UNIQUE INDEX slots_gaps ON slots(schedule, slot_at, local) WHERE outcome = 'gap';
CREATE INDEX slots_by_schedule ON slots(schedule, slot_at);
CREATE INDEX slots_of_many ON slots(schedule, slot_at) WHERE slots > 1;
CREATE INDEX slots_by_run ON slots(run_id) WHERE run_id IS NOT NULL;
CREATE INDEX slots_by_outcome ON slots(outcome) WHERE outcome = 'claimed';

CREATE VIEW v_slots AS
  SELECT c.pipeline, c.name AS schedule, c.file, s.local AS slot, s.outcome, s.reason, s.slots, s.run_id, r.state AS run_state,
         s.late_ms / 1000.0 AS late_seconds, s.decided_at, s.fence
  FROM slots s JOIN schedules c ON c.id = s.schedule LEFT JOIN runs r ON r.id = s.run_id;
