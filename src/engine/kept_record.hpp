// The record that a run's directory keeps of its run, record.json: the form in which runs are pushed to
// remotes. It is written whenever a run has ended, so that a database that is lost can be made again, and one
// that is damaged can be compared. It is sealed by its digest, but not synced: what matters is in the
// database, and this is the second copy.
#pragma once

#include <mlops/workspace.hpp>

#include "db/bundles.hpp"
#include "db/database.hpp"

#include <optional>
#include <set>
#include <string>
#include <vector>

namespace mlops::engine {

/// Writes the record of a run that has ended, as the database has it now; nothing for a run without a
/// directory. Never throws: a run has not failed because of its second copy.
void keep_record(const Workspace& workspace, db::Connection& db, const std::string& run_id);

/// As keep_record() for a run that was recorded as `basis` was: it refers to the record of that one, which it
/// links into its own directory, so that it may outlive it.
void keep_repeat(const Workspace& workspace, db::Connection& db, const std::string& run_id,
                 const std::string& basis);

/// What a run's directory has kept.
struct KeptRecord {
  bool there = false;
  std::optional<db::RunBundle> bundle;
  std::string problem;  ///< why there is no bundle
};
KeptRecord read_kept(const Workspace& workspace, const std::string& run_id);

constexpr std::int64_t most_points_kept = 20'000;  ///< of metrics, about 2 MB: of more, the last ones

/// As db::read_bundle(), with as much as records keep.
std::optional<db::RunBundle> bundle_to_keep(db::Connection& db, const std::string& run_id);

/// In what the rows of a run are not what its record says, in words; empty: in nothing. Left out is what may
/// change when a run has ended: tags, kinds of outputs, who has the results of cached steps, keys of the
/// cache.
std::string difference(const db::RunBundle& rows, const db::RunBundle& kept);

/// Before runs are deleted: takes note of them, on disk when this returns, so that a directory which is left
/// over is never taken for a run that was lost.
void note_removal(const Workspace& workspace, const std::vector<std::string>& run_ids);
std::set<std::string> removed_runs(const Workspace& workspace);

}  // namespace mlops::engine
