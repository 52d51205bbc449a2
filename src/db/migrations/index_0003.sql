-- Objects are added far more often than packs are taken away, and an index by pack doubles the cost of it.
DROP INDEX packed_by_pack;
