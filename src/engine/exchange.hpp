// Runs and their results between a workspace and a remote.
#pragma once

#include <mlops/workspace.hpp>

#include "db/bundles.hpp"
#include "db/database.hpp"
#include "store/fetch.hpp"
#include "store/push.hpp"
#include "workspace/config.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace mlops::engine {

struct ExchangeRequest {
  /// Of a push, ids; of a fetch, ids, unique beginnings or ends of some, latest or latest:PIPELINE. Empty:
  /// the latest result of every step of every pipeline.
  std::vector<std::string> runs;
  bool all = false;  ///< the results of all runs
  bool dry_run = false;
  bool check = false;  ///< of a push: trust no memory of what the remote has
  int jobs = 0;        ///< transfers at a time; 0: as suits the kind of remote
};

struct PushReport {
  store::PushResult contents;
  std::uint64_t records = 0, records_there = 0;  ///< of runs: sent, not sent
  std::uint64_t of_dvc = 0;  ///< outputs of DVC's stages: they lie in DVC's cache, and `dvc push` sends them
};

struct FetchReport {
  store::FetchResult contents;
  std::uint64_t records = 0;          ///< of runs that were not known here, or not in this state
  std::uint64_t of_dvc = 0;           ///< outputs of DVC's stages, which `dvc pull` brings
  std::vector<std::string> problems;  ///< records that are damaged and were not taken, in words
};

/// The remote called `name`, or the default one if it is empty. Throws Error(usage) with what there is.
workspace::RemoteConfig choose_remote(const workspace::Config& config, const std::string& name);

/// Sends contents first and the records that refer to them last.
PushReport push(const Workspace& workspace, db::Database& database, const workspace::RemoteConfig& remote,
                const ExchangeRequest& request, const store::OnProgress& on_progress);

/// Takes over records of runs that are not here, then the contents that the results asked for need. A dry run
/// writes records as well, in a Transaction that the caller has begun and does not commit. `results`, if not
/// null, is told whose.
FetchReport fetch(const Workspace& workspace, db::Database& database, const workspace::RemoteConfig& remote,
                  const ExchangeRequest& request, const store::OnProgress& on_progress,
                  std::vector<db::StepOfRun>* results = nullptr);

struct Placement {
  enum class State {
    placed,
    there,    ///< it was in place already
    absent,   ///< neither in the store nor to be had
    outside,  ///< it does not lie in the work tree and is not touched
  } state = State::placed;
  std::string path;
  std::string run;
};

/// Puts the outputs of `results` in place; where several have one path, that of the newest run. Files whose
/// content is in no store are not overwritten without `force`: then nothing is changed, and
/// Error(gate_refused) names them.
std::vector<Placement> place_outputs(const Workspace& workspace, db::Database& database,
                                     const std::vector<db::StepOfRun>& results, bool force, bool dry_run);

}  // namespace mlops::engine
