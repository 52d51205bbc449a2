// A workspace's database as a whole: copies of it, made while others write, checked, and put in its place.
#pragma once

#include "db/database.hpp"

#include <string>
#include <vector>

namespace mlops::db {

/// Writes the database, as it is at one moment, to a new file at `path`: whole and on disk when this returns,
/// or not there. Others may read and write meanwhile. Throws Error(usage) if there is something at `path`.
void copy_database(Connection& from, const std::string& path);

/// As above, of the database at `from`, which is only read: it may be of an earlier version, and lie where
/// nothing can be written.
void copy_database(const std::string& from, const std::string& path);

/// What is wrong with the database at `path`, in SQLite's words, a few lines at most; empty if nothing is.
/// Throws Error(io) if it cannot be opened, Error(usage) if it is none of mlops.
std::vector<std::string> find_damage(const std::string& path, Schema schema = Schema::workspace);

/// The file beside the database at `path` that SQLite has to make there and cannot, as something else has its
/// name; or empty.
std::string in_the_way(const std::string& path);

/// Whether lines of find_damage() tell of indexes alone, which REINDEX makes again from the rows.
bool only_indexes(const std::vector<std::string>& damage);

/// Of rows that refer to what is not there: what a program leaves behind that deletes rows without a care.
bool only_references(const std::vector<std::string>& damage);

/// The tables, views and indexes that are not as this version makes them; empty if all are.
std::vector<std::string> foreign_schema(Connection& connection);

/// Whether its tables, views and indexes are those of this version, and nothing else is there.
bool has_this_schema(Connection& connection);

/// Now, as a part of the name of a file: 2026-03-01T030000.123Z.
std::string time_in_name();

/// Puts the file `copy` in the place of the database at `path`, at once, and what was there to `aside`.
/// Throws Error(busy), and changes nothing, if another process has the database open.
void replace_database(const std::string& path, const std::string& copy, const std::string& aside);

}  // namespace mlops::db
