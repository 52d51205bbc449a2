// What the runner asks of the keeper, what the keeper answers, and the record that outlives both.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mlops::process {

/// One attempt of one step, by the step's index in the frozen plan.
struct AttemptKey {
  int step = 0;
  int attempt = 0;  ///< from 1
  bool operator==(const AttemptKey&) const = default;
  auto operator<=>(const AttemptKey&) const = default;
};

struct StartRequest {
  AttemptKey key;
  std::string name;               ///< of the step; part of the log's name
  std::vector<std::string> argv;  ///< argv[0] is looked up on the step's PATH
  std::string directory;          ///< working directory, absolute
  bool inherit_env = true;
  std::vector<std::string> env;  ///< "NAME=value", over what is inherited
  std::vector<std::string> unset_env;
  std::vector<std::string>
      secrets;                    ///< values that its log and `small_files` do not show, see secret_forms.hpp
  std::int64_t timeout_ms = 0;    ///< 0: none
  std::int64_t no_output_ms = 0;  ///< 0: none
  std::int64_t grace_ms = 10'000;
  bool leave_running = false;
  std::uint64_t log_head = 64u << 20;    ///< bytes kept of the beginning of the output
  std::uint64_t log_tail = 16u << 20;    ///< bytes kept of its end
  std::vector<std::string> small_files;  ///< that it may write and that are recorded
  std::string trace_file;  ///< gets what files it opened, see file_trace.hpp; empty: nobody looks
};

/// Why an attempt ended.
enum class Cause { exited, timeout, no_output, stopped, not_started, lost };
const char* to_string(Cause cause);

/// The outcome of one attempt: one line of the run's `attempts` file.
struct ExitRecord {
  AttemptKey key;
  Cause cause = Cause::lost;
  int code = -1;   ///< exit code; -1 when a signal ended it or it never ran
  int signal = 0;  ///< signal that ended it, or 0
  bool core_dumped = false;
  int error = 0;  ///< errno of a failed start
  pid_t pid = 0;
  std::int64_t started_ms = 0;  ///< UTC, since the epoch
  std::int64_t ended_ms = 0;
  std::int64_t user_us = 0;  ///< CPU time, children that were waited for included
  std::int64_t system_us = 0;
  std::int64_t max_rss_kb = 0;  ///< peak resident set of the largest process
  std::int64_t read_bytes = 0;  ///< from and to storage, in the kernel's count
  std::int64_t written_bytes = 0;
  std::uint64_t log_bytes = 0;    ///< what the step wrote
  std::uint64_t log_dropped = 0;  ///< of these, not kept
  int log_error = 0;              ///< errno that ended the keeping of the log, or 0
  int left_over = 0;              ///< processes it left behind, which were ended
  bool output_held = false;       ///< a process left behind still held its output
  int not_ended = 0;              ///< processes it left behind that SIGKILL did not end in time

  bool succeeded() const { return cause == Cause::exited && code == 0; }
};

/// One line, without the newline.
std::string format_start(const AttemptKey& key, std::int64_t started_ms, const std::string& boot_id);
std::string format_end(const ExitRecord& record);

/// What the `attempts` file of a run says of one attempt.
struct JournalEntry {
  AttemptKey key;
  std::int64_t started_ms = 0;
  std::string boot_id;
  std::optional<ExitRecord> end;
};

/// Reads an `attempts` file. A torn or foreign line is left out: it is no record of anything.
std::vector<JournalEntry> parse_journal(std::string_view text);

}  // namespace mlops::process
