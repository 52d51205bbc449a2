// What mlops says about its own workings, on stderr; off unless `-v` or MLOPS_LOG=debug asks for it.
#pragma once

#include <string>

namespace mlops::util {

enum class LogLevel { debug, warning };

/// Reads MLOPS_LOG (debug|warning|off); `verbose` wins.
void set_up_log(bool verbose);

bool log_enabled(LogLevel level);
void log_debug(const std::string& message);
void log_warning(const std::string& message);

std::string log_library_version();

}  // namespace mlops::util
