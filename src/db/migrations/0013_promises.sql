-- Promises of schedules (deadline, fresh_within) of which it was told that they would not be kept, or were not: told once.

CREATE TABLE promises (
  schedule  INTEGER NOT NULL REFERENCES schedules(id) ON DELETE CASCADE,
  kind      TEXT NOT NULL,               -- deadline, fresh_within
  due_at    INTEGER NOT NULL,            -- seconds since 1970: by when it was to be kept
  state     TEXT NOT NULL,               -- at_risk, missed
  words     TEXT NOT NULL,               -- what was told
  told_at   TEXT NOT NULL,
  PRIMARY KEY (schedule, kind, due_at, state)
) WITHOUT ROWID;

CREATE VIEW v_promises AS
  SELECT c.pipeline, c.name AS schedule, c.file, p.kind, strftime('%Y-%m-%d %H:%M:%f', p.due_at, 'unixepoch') AS due,
         p.state, p.words, p.told_at
  FROM promises p JOIN schedules c ON c.id = p.schedule;
