// Whether the records of a workspace are whole and true: the database against itself, its rows against the
// directories of runs, the store against both. And the mending of what is not.
#pragma once

#include <mlops/workspace.hpp>

#include "db/database.hpp"
#include "engine/kept_record.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace mlops::engine {

/// What is wrong with one thing.
struct Fault {
  enum class Weight {
    note,     ///< worth knowing; nothing recorded is wrong
    problem,  ///< something is wrong, and said so
    broken,   ///< the database cannot be relied on
  };
  std::string what;  ///< database, run, slot, store, file
  Weight weight = Weight::problem;
  std::string where;
  std::string words;
  std::string cure;  ///< what mends it; empty: nothing needs to be done
};
const char* to_string(Fault::Weight weight);

struct FsckReport {
  std::vector<Fault> faults;
  std::uint64_t runs = 0;      ///< rows
  std::uint64_t compared = 0;  ///< with the record in their directory
  std::uint64_t objects = 0;   ///< in the store
};

/// Looks, and changes nothing. `thorough` reads all contents of the store; those that are damaged are set
/// aside.
FsckReport check(const Workspace& workspace, bool thorough);

/// How a run and its directory stand.
enum class Standing {
  good,
  going_on,
  no_directory,  ///< as of one that came from elsewhere
  no_record,     ///< in its directory
  old_record,    ///< it was resumed since
  bad_record,
  differs,        ///< the rows are not what the record says
  old_row,        ///< it was resumed, and the row does not know
  dead,           ///< it counts as running, and nobody runs it
  contradicted,   ///< by exit records, and there is no record that decides
  no_row,         ///< and a record
  no_row_record,  ///< neither a row nor a record
  hollow,         ///< neither a directory nor all of its rows
  removed,        ///< what an interrupted `mlops rm` has left
};
struct RunStanding {
  std::string id;
  Standing standing = Standing::good;
  std::string words;
  std::optional<db::RunBundle> kept;
};
RunStanding look_at_run(const Workspace& workspace, db::Connection& db, const std::string& run_id);

/// All runs with a row or a directory, in order of their ids.
std::vector<std::string> known_runs(const Workspace& workspace, db::Connection& db);

struct RepairReport {
  std::vector<std::string> done;  ///< in words, a line each
  std::uint64_t records_written = 0;
};
/// Mends what can be mended without losing anything. The same again does nothing. Throws Error(busy) while a
/// daemon serves the workspace or a run goes on, Error(io) when the database cannot be used.
RepairReport repair(const Workspace& workspace);

/// Mends one run as repair() does; empty words: nothing was to be done.
std::string mend_run(const Workspace& workspace, db::Database& database, const RunStanding& run);

}  // namespace mlops::engine
