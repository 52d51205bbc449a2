// Door to src/util: what can go wrong, and the exit code it ends in.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

namespace mlops {

/// The exit codes of every command; docs/exit-codes.md explains each to users.
enum class ExitCode : int {
  done = 0,
  step_failed = 1,
  usage = 2,         ///< bad usage or a bad file
  gate_refused = 3,  ///< a gate, validation or check said no
  rolled_back = 4,
  busy = 5,  ///< refused: someone else is at it
  erased = 6,
  unreachable = 69,
  io = 74,  ///< disk, I/O or database
  overlap = 75,
  timed_out = 124,
  interrupted = 130,
  terminated = 143,
};

/// The world broke (disk, lock, database, system call) or the user asked for what cannot be: ends the
/// command. `what()` says what was attempted, on what and why it failed; `hint()` what to do next.
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message, std::string hint = {})
      : std::runtime_error(message), code_(code), hint_(std::move(hint)) {}
  ExitCode code() const { return code_; }
  const std::string& hint() const { return hint_; }

 private:
  ExitCode code_;
  std::string hint_;
};

/// Throws Error(io) with "`attempt`: <text of errno>". `error` is an errno value.
[[noreturn]] void throw_errno(const std::string& attempt, int error);

/// A place in a text file; lines and columns count from 1, 0 means unknown.
struct Location {
  int line = 0;
  int column = 0;
};

/// One problem of a file, in the words that the user reads.
struct Diagnostic {
  std::string file;
  Location at;
  std::string message;
  std::string hint;  ///< what to do, or a "did you mean"; may be empty
};

/// "file:line:column: message", with the hint on a line of its own.
std::string to_string(const Diagnostic& diagnostic);

/// A file had problems; carries all of them. Ends the command with ExitCode::usage.
class BadFile : public Error {
 public:
  explicit BadFile(std::vector<Diagnostic> problems);
  const std::vector<Diagnostic>& problems() const { return problems_; }

 private:
  std::vector<Diagnostic> problems_;
};

}  // namespace mlops
