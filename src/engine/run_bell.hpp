// A file that is written when a run has ended and its end is on record: who waits for runs watches it. It
// holds the run's id, which a database that was put back, or has lost its log, does not know.
#pragma once

#include <mlops/workspace.hpp>

#include <optional>
#include <string>

namespace mlops::db {
class Connection;
}

namespace mlops::engine {

/// Rings for a run that has ended. A run that is forgotten stays in the bell until it is back. Does not
/// throw.
void ring_end(const Workspace& workspace, db::Connection& db, const std::string& run_id);

/// The run in the bell, if the database does not know it, though its record is in its directory and nobody
/// has deleted it: an older database was put in place, or its log is gone. Throws SqliteError.
std::optional<std::string> forgotten_run(const Workspace& workspace, db::Connection& db);

/// Warns of it, with what to do.
void warn_of_forgotten_run(const Workspace& workspace, db::Connection& db);

}  // namespace mlops::engine
