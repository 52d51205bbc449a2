// Every name that mlops gives to a file; those the keeper needs too are in process/run_files.hpp. They are on
// users' disks and must not be changed.
#pragma once

#include "process/run_files.hpp"
#include "process/step_log.hpp"

#include <string>

namespace mlops::layout {

inline constexpr const char* state_directory = ".mlops";
inline constexpr const char* database = "mlops.db";
inline constexpr const char* runs = "runs";
inline constexpr const char* claims = "claims";            // which run makes which outputs
inline constexpr const char* daemon = "daemon";            // what runs say that the daemon starts
inline constexpr const char* daemon_lock = "daemon.lock";  // held by the daemon as long as it lives
inline constexpr const char* daemon_bell = "daemon.bell";  // touched when the ledger has news for it
inline constexpr const char* queue_bell = "queue.bell";    // touched when a request has been made
inline constexpr const char* runs_bell = "runs.bell";      // the run that has ended last
inline constexpr const char* workers = "workers";          // of each worker: what runs say that it starts
inline constexpr const char* outbox_lock = "outbox.lock";  // held by who tries messages again
inline constexpr const char* repeats = "repeats";          // runs that found nothing to do
inline constexpr const char* shadow = "shadow";    // of a crontab: what cron starts, before mlops takes over
inline constexpr const char* removed = "removed";  // ids of runs that were deleted, a line each
inline constexpr const char* snapshots = "snapshots";  // copies of the database
inline constexpr const char* reproduce = "reproduce";  // work trees of `mlops reproduce`
inline constexpr const char* config = "config.yaml";
inline constexpr const char* ballast = "ballast";  // room that is given up when the disk is full

// The text of .gitignore: records of runs are no source code, a configuration is.
inline constexpr const char* all_ignored{"*\n"};
inline constexpr const char* all_but_config_ignored{"*\n!.gitignore\n!config.yaml\n"};

// Below shadow/:
inline constexpr const char* shadow_lines = "crontab.json";  // lines of the crontab, as they were and are
inline constexpr const char* shadow_starts = "starts";       // when each was started

// Below runs/ID/:
inline constexpr const char* definition = "pipeline.yaml";  // the file as it was when the run started
inline constexpr const char* settings = "run.json";         // how the run was asked for
inline constexpr const char* params = "params.json";        // what MLOPS_PARAMS points to
inline constexpr const char* event = "event.json";          // what MLOPS_EVENT points to
inline constexpr const char* record = "record.json";        // what the database knows of it when it has ended
inline constexpr const char* basis = "basis.json";  // of a run that repeats another: that one's record
inline constexpr const char* attempts = process::run_files::attempts;
inline constexpr const char* output_index = process::run_files::output_index;
inline constexpr const char* runner_lock = "runner.lock";
inline constexpr const char* keeper_lock = process::run_files::keeper_lock;
inline constexpr const char* keeper_error = process::run_files::keeper_error;
inline constexpr const char* logs = process::run_files::logs;
inline constexpr const char* files = "files";  // what steps write to MLOPS_METRICS and MLOPS_OUTPUT

inline std::string in(const std::string& directory, const char* name) { return directory + "/" + name; }
inline std::string metrics_file(const std::string& run, const std::string& step, int attempt) {
  return in(run, files) + "/" + process::file_stem(step) + "." + std::to_string(attempt) + ".metrics";
}
inline std::string output_file(const std::string& run, const std::string& step, int attempt) {
  return in(run, files) + "/" + process::file_stem(step) + "." + std::to_string(attempt) + ".output";
}

inline std::string trace_file(const std::string& run, const std::string& step, int attempt) {
  return in(run, files) + "/" + process::file_stem(step) + "." + std::to_string(attempt) + ".trace";
}

}  // namespace mlops::layout
