// Door to src/db: the stored nouns, one struct a table.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace mlops {

using Instant = std::chrono::sys_time<std::chrono::milliseconds>;  ///< UTC

enum class RunState { running, succeeded, failed, cancelled, interrupted };
enum class StepState {
  pending,
  running,
  retrying,  ///< between two attempts
  succeeded,
  cached,  ///< not run: its results of an earlier run are still right
  failed,
  lost,         ///< the keeper died: nobody knows how the last attempt ended
  interrupted,  ///< the machine went down while it ran
  skipped,      ///< its condition was false, or it was not selected
  not_run,      ///< something it needs did not succeed, or the run stopped before
  cancelled,
};
const char* to_string(RunState state);
const char* to_string(StepState state);
std::optional<RunState> parse_run_state(std::string_view text);
std::optional<StepState> parse_step_state(std::string_view text);

struct RunRecord {
  std::string id;
  std::string pipeline;
  std::string file;
  std::string definition;  ///< sha256 of the pipeline file's bytes
  RunState state = RunState::running;
  std::string reason;
  std::optional<int> exit_code;
  Instant created_at{};
  Instant part_started_at{};  ///< when a runner last took it up
  std::optional<Instant> ended_at;
  std::optional<std::int64_t> duration_ms;
  int steps = 0;
  int jobs = 0;
  int resumes = 0;
  std::string host;
  std::string user;
  std::string command_line;
  std::optional<std::string> git_commit;
  std::optional<bool> git_dirty;
  std::string mlops_version;
  int runner_pid = 0;
  std::string boot_id;
};

struct StepRecord {
  int step = 0;  ///< place in the pipeline
  std::string name;
  std::string kind;
  std::string command;
  StepState state = StepState::pending;
  std::string reason;
  int attempts = 0;
  std::optional<Instant> started_at;
  std::optional<Instant> ended_at;
  std::optional<std::string> cache_key;   ///< none: its results are not reused
  std::string because = "[]";             ///< JSON: why it ran or did not, see engine/step_facts.hpp
  std::optional<std::string> source_run;  ///< of a cached step: who made its results
  std::optional<int> source_step;
};

struct AttemptRecord {
  int step = 0;
  int attempt = 0;
  std::string cause;  ///< running, exited, timeout, no_output, stopped, not_started, lost, interrupted
  std::optional<int> exit_code;
  std::optional<int> signal;
  std::optional<int> pid;
  Instant started_at{};
  std::optional<Instant> ended_at;
  std::optional<std::int64_t> cpu_user_ms, cpu_system_ms, max_rss_bytes, read_bytes, written_bytes;
  std::uint64_t log_bytes = 0;
  std::uint64_t log_dropped = 0;
  std::string note;
};

struct ArtifactRecord {
  int step = 0;
  bool output = true;  ///< false: the step read it
  std::string path;
  std::string kind;
  std::string form = "file";  ///< file, executable, tree (a directory) or listing (one of version 1)
  std::string sha256;
  std::uint64_t size = 0;
  std::uint64_t files = 1;
  bool kept = true;  ///< the store was given it
  std::string list;  ///< of a folder that was not kept: the list of its files in the store, if that was
};

/// A file that a step opened without declaring it.
struct HiddenFile {
  int step = 0;
  std::string path;    ///< relative to the workspace if inside it
  std::string access;  ///< read, executed, written or updated (read and written)
  std::string form;    ///< as of an artifact; empty: gone when the step had ended
  std::string sha256;  ///< empty: not digested
  std::uint64_t size = 0;
};

/// What came of tracing a step.
struct TraceRecord {
  int step = 0;
  int attempt = 0;
  std::uint64_t files = 0;  ///< how many of the project it opened, declared ones too
  std::string problem;      ///< why not all is known; empty: all is
};

struct MetricPoint {
  std::string name;
  std::int64_t at = 0;          ///< training step or epoch; 0 for a final figure
  std::optional<double> value;  ///< none: not a number
  std::optional<Instant> time;
};

/// The last point of a metric in a run.
struct MetricRecord {
  int step = 0;  ///< of the pipeline
  std::string name;
  std::optional<double> value;
  std::int64_t points = 0;
};

}  // namespace mlops
