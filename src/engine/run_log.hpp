// Reading back what steps wrote.
#pragma once

#include <mlops/records.hpp>
#include <mlops/workspace.hpp>

#include "db/database.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mlops::engine {

struct LogRequest {
  std::string step;  ///< name, or base of expanded steps; empty: all
  int attempt = 0;   ///< 0: the last
};

/// The log of one attempt.
struct AttemptLog {
  std::string step;
  int index = 0;  ///< of the step
  int attempt = 0;
  std::uint64_t total = 0;  ///< bytes written; while it runs, those that are kept so far
  bool ended = false;
};

struct LogLine {
  std::optional<Instant> time;  ///< of the burst that holds its first byte
  bool error = false;           ///< from stderr
  std::string text;             ///< without the newline
};

struct LogPrinter {
  std::function<void(const AttemptLog&)> heading;
  std::function<void(const LogLine&)> line;     ///< if set, lines; else
  std::function<void(std::string_view)> bytes;  ///< the bytes as they were written
};

/// The logs that fit, in the order of the steps; those without a byte are left out. Throws Error(usage) for
/// an unknown step or attempt.
std::vector<AttemptLog> find_logs(const Workspace& workspace, db::Database& database,
                                  const std::string& run_id, const LogRequest& request);

void read_lines(const Workspace& workspace, const std::string& run_id, const AttemptLog& log,
                const std::function<void(const LogLine&)>& on_line);

/// Prints a log; where a flood's middle was not kept, a line says so.
void print_log(const Workspace& workspace, const std::string& run_id, const AttemptLog& log,
               const LogPrinter& printer);

/// Prints what fits, and what comes, until the run has ended; lines of different steps are not mixed, and of
/// steps that are tried again all further attempts are shown. `flush` is called after each burst.
void follow_logs(const Workspace& workspace, db::Database& database, const std::string& run_id,
                 const LogRequest& request, const LogPrinter& printer, const std::function<void()>& flush);

}  // namespace mlops::engine
