-- The index of the store, .mlops/store/index.db. All of it can be rebuilt: packs name their own objects, and what is
-- known of files is learnt again by reading them.

-- Where small objects lie.
CREATE TABLE packs (
  id       INTEGER PRIMARY KEY,
  name     TEXT NOT NULL UNIQUE,         -- of the file below packs/, without its ending
  objects  INTEGER NOT NULL,
  bytes    INTEGER NOT NULL
);
CREATE TABLE packed (
  digest   BLOB PRIMARY KEY,             -- SHA-256, 32 bytes
  pack     INTEGER NOT NULL REFERENCES packs(id),
  offset   INTEGER NOT NULL,
  size     INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX packed_by_pack ON packed(pack);

-- Size, times, inode and digest of each file of a directory as it was when it was read, one row a directory; the form
-- of `entries` is told in store/file_index.cpp.
CREATE TABLE directories (
  path     TEXT PRIMARY KEY,             -- absolute
  entries  BLOB NOT NULL
) WITHOUT ROWID;
