// The keeper's side of tracing: what the processes of one attempt open, told by the kernel (seccomp user
// notification). Every call goes on as if nobody had looked.
#pragma once

#include "util/fd.hpp"

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

struct seccomp_notif;

namespace mlops::process {

/// What became of one file.
struct FileAccess {
  std::string path;   ///< absolute, as the step named it
  bool read = false;  ///< what was there before the step
  bool executed = false;
  bool written = false;
  bool kept = false;  ///< written after what was there: added to, or changed in place
};

/// The trace of an attempt, as written beside its other files.
struct FileTraceReport {
  std::string problem;  ///< why nothing, or not all, is known; empty: all is
  std::vector<std::string> notes;
  std::vector<FileAccess> files;
};
std::string format_trace(const FileTraceReport& report);
FileTraceReport parse_trace(std::string_view text);

/// Follows the processes that start in one traced attempt.
class FileTrace {
 public:
  /// Waits until the process `pid` on the other end of `socket` (see trace_filter.hpp) has become its
  /// command. 0, or the errno value with which that failed; then the process is gone.
  int begin(int socket, pid_t pid);

  /// Readable when serve() has something to do; -1: nothing is traced (any more).
  int fd() const { return listener_.get(); }

  /// Answers what is waiting. False once no process is left, or none can be followed any more.
  bool serve();

  /// What was seen so far. From now on calls are only answered.
  FileTraceReport report();

 private:
  struct Seen {
    bool read = false, executed = false, written = false, kept = false;
    bool created = false;  // by the step: reading it is not reading an input
  };
  bool serve_one();
  void note_call(const seccomp_notif& call);
  std::string path_of(const seccomp_notif& call, int directory, int path);
  void note_lost_rights(const std::string& program);
  Seen* see(const std::string& path);
  void see_open(const std::string& path, std::uint64_t flags);
  void see_rename(const std::string& from, const std::string& to);
  void move(const std::string& from, const std::string& to);

  util::Fd listener_;
  bool recording_ = true;
  bool no_new_privileges_ = false;
  std::uint64_t unreadable_ = 0;
  std::string problem_;
  std::vector<std::string> notes_;
  std::unordered_map<std::string, Seen> files_;
};

}  // namespace mlops::process
