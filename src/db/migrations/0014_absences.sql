-- Of slots that were missed: since when nobody had looked at the time, until their outcome was decided.

ALTER TABLE slots ADD COLUMN unseen_from INTEGER;  -- seconds since 1970

DROP VIEW v_slots;
CREATE VIEW v_slots AS
  SELECT c.pipeline, c.name AS schedule, c.file, s.local AS slot, s.outcome, s.reason, s.slots, s.run_id, r.state AS run_state,
         s.late_ms / 1000.0 AS late_seconds, s.decided_at, s.fence,
         strftime('%Y-%m-%d %H:%M:%f', s.unseen_from, 'unixepoch') AS unseen_from
  FROM slots s JOIN schedules c ON c.id = s.schedule LEFT JOIN runs r ON r.id = s.run_id;
