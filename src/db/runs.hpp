#pragma once

#include <mlops/records.hpp>

#include "db/database.hpp"
#include "db/tags.hpp"

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace mlops::db {

// Writing: within a Transaction of the caller.
void insert_run(Connection& db, const RunRecord& run, const std::string& definition_source,
                const std::vector<std::pair<std::string, std::string>>& params,
                const std::vector<std::string>& environment_names);
void set_git_state(Connection& db, const std::string& id, const std::string& commit,
                   std::optional<bool> dirty);
/// Marks a run as running again under a new runner.
void reopen_run(Connection& db, const std::string& id, int runner_pid, const std::string& boot_id, int jobs);
/// `duration_ms` is added to what earlier parts of the run took.
void finish_run(Connection& db, const std::string& id, RunState state, const std::string& reason,
                std::optional<int> exit_code, Instant ended_at, std::int64_t duration_ms);
/// Returns the runs that have got results of it.
std::set<std::string> delete_run(Connection& db, const std::string& id);

// Reading.
std::optional<RunRecord> find_run(Connection& db, const std::string& id);

/// The bytes of a pipeline file by their digest, see RunRecord::definition.
std::optional<std::string> definition_source(Connection& db, const std::string& sha256);
std::optional<RunState> state_of_run(Connection& db, const std::string& id);
bool run_exists(Connection& db, const std::string& id);

/// Ids that begin with `text`, or end with it when it has 4 characters or more; at most `limit`, newest
/// first.
std::vector<std::string> match_ids(Connection& db, const std::string& text, int limit);

/// The newest run, of one pipeline if `pipeline` is not empty, in one state if given.
std::optional<std::string> latest_run(Connection& db, const std::string& pipeline,
                                      std::optional<RunState> state);

struct RunFilter {
  std::string pipeline;  ///< empty: all
  std::optional<RunState> state;
  std::optional<Instant> since;
  std::optional<Tag> tag = {};  ///< without a value: with any
  int limit = 20;               ///< 0: all
};
/// Newest first.
std::vector<RunRecord> list_runs(Connection& db, const RunFilter& filter);
/// The same without reading whole rows into memory. `on_run` must not write.
void for_each_id(Connection& db, const RunFilter& filter,
                 const std::function<void(const std::string& id, RunState state)>& on_run);

/// Which runs are old enough to go.
struct Pruning {
  std::string pipeline;           ///< empty: all
  int keep = 0;                   ///< not the newest so many
  std::optional<Instant> before;  ///< only those started before
};
/// Newest first, at most `limit`, none that counts as running or is pinned; of all if `below` is empty, else
/// only ids before it.
std::vector<std::string> ids_to_prune(Connection& db, const Pruning& pruning, const std::string& below,
                                      int limit);

std::vector<std::pair<std::string, std::string>> params_of(Connection& db, const std::string& id);
std::vector<std::string> environment_of(Connection& db, const std::string& id);
std::vector<std::string> pipeline_names(Connection& db);

/// Median duration of the step over the last few runs of the pipeline in which it succeeded, by step name.
std::map<std::string, std::int64_t> usual_durations_ms(Connection& db, const std::string& pipeline);

}  // namespace mlops::db
