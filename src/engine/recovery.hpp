// Telling the truth about runs whose runner died: the keeper's journal knows how their attempts ended.
#pragma once

#include <mlops/pipeline.hpp>
#include <mlops/run.hpp>
#include <mlops/workspace.hpp>

#include "db/database.hpp"
#include "notify/addressee.hpp"
#include "process/identity.hpp"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace mlops::engine {

/// Who works on a run, by the kernel's word.
enum class Liveness {
  running,   ///< its runner lives
  orphaned,  ///< the runner is gone, the keeper still has steps
  dead,      ///< neither
};
Liveness liveness(const Workspace& workspace, const std::string& run_id);

/// Whose end may end a run of this liveness, as far as its locks tell.
std::optional<process::Identity> holder_of(const Workspace& workspace, const std::string& run_id,
                                           Liveness liveness);

/// True when run directories are there but no database: it was lost, or never copied along.
bool database_is_lost(const Workspace& workspace);

/// A run's definition as frozen when it started.
struct FrozenRun {
  Pipeline pipeline;
  RunSettings settings;
  Json environment = {};  ///< see referenced_environment()
};
FrozenRun load_frozen(const Workspace& workspace, db::Connection& db, const std::string& run_id);

/// Who is told how a run ends, as frozen in its settings; nobody where these cannot be read.
std::vector<notify::Addressee> frozen_addressees(const Json& settings);

/// The values of the environment variables that a pipeline file refers to, null for those that are not set:
/// they are part of its frozen definition.
Json referenced_environment(const std::string& source);

/// Waits until the keeper of a run has ended, without a limit; `say` hears what is waited for. A signal asks
/// the keeper to stop its steps and is returned at the end, 0 if there was none; a second one throws
/// Error(interrupted).
int wait_for_keeper(const std::string& run_directory, const std::function<void(const std::string&)>& say);

/// If the run counts as running but nobody works on it: brings its attempts and steps up to what really
/// happened, and ends it as succeeded, failed or interrupted. The caller holds its runner lock or does not
/// care for a race with a resume. Idempotent. `tell`: whoever is told how runs end is told of this one.
void recover_run(const Workspace& workspace, db::Database& database, const std::string& run_id,
                 bool tell = true);

/// recover_run() for every run that needs it. Cheap when there is none; returns the ids. Warns of those for
/// which it cannot be done now. Does nothing in a read-only workspace.
std::vector<std::string> recover_all(const Workspace& workspace, db::Database& database);

}  // namespace mlops::engine
