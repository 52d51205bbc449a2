-- Where contents are elsewhere: what pushes and fetches have learnt of remotes. Losing it costs a listing.

CREATE TABLE remotes (
  id        INTEGER PRIMARY KEY,
  name      TEXT NOT NULL,               -- as it was called last
  identity  TEXT NOT NULL UNIQUE         -- what the remote says of itself, so that another one at its place is noticed
);
CREATE TABLE remote_packs (
  id      INTEGER PRIMARY KEY,
  remote  INTEGER NOT NULL REFERENCES remotes(id) ON DELETE CASCADE,
  name    TEXT NOT NULL,
  UNIQUE (remote, name)
);
CREATE TABLE locations (
  digest  BLOB NOT NULL,                 -- SHA-256, 32 bytes
  remote  INTEGER NOT NULL REFERENCES remotes(id) ON DELETE CASCADE,
  pack    INTEGER REFERENCES remote_packs(id) ON DELETE CASCADE,  -- null: a file of its own
  offset  INTEGER NOT NULL,
  size    INTEGER NOT NULL,
  seen    INTEGER NOT NULL,              -- seconds since 1970, when it was last known to be there
  PRIMARY KEY (digest, remote)
) WITHOUT ROWID;
CREATE INDEX locations_by_pack ON locations(pack);
CREATE INDEX locations_by_remote ON locations(remote);
CREATE TABLE remote_runs (
  remote  INTEGER NOT NULL REFERENCES remotes(id) ON DELETE CASCADE,
  run_id  TEXT NOT NULL,
  size    INTEGER NOT NULL,              -- of its record there: another size is another record
  PRIMARY KEY (remote, run_id)
) WITHOUT ROWID;
