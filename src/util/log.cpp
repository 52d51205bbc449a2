#include "util/log.hpp"

#include "util/strings.hpp"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string_view>

namespace mlops::util {

namespace {

// Made on first use: most commands never log and should not pay for it.
spdlog::logger& logger() {
  static spdlog::logger instance = [] {
    spdlog::logger made("mlops", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made.set_pattern("%H:%M:%S.%e mlops[%P] %l: %v");
    made.set_level(spdlog::level::trace);
    return made;
  }();
  return instance;
}

LogLevel threshold = LogLevel::warning;
bool silent = false;

}  // namespace

void set_up_log(bool verbose) {
  const char* wish = std::getenv("MLOPS_LOG");
  const std::string_view text = wish ? wish : "";
  silent = text == "off";
  threshold = verbose || text == "debug" ? LogLevel::debug : LogLevel::warning;
}

bool log_enabled(LogLevel level) { return !silent && level >= threshold; }

void log_debug(const std::string& message) {
  if (log_enabled(LogLevel::debug)) logger().debug(escape_controls(to_utf8(message)));
}

void log_warning(const std::string& message) {
  if (log_enabled(LogLevel::warning)) logger().warn(escape_controls(to_utf8(message)));
}

std::string log_library_version() {
  return std::to_string(SPDLOG_VER_MAJOR) + "." + std::to_string(SPDLOG_VER_MINOR) + "." +
         std::to_string(SPDLOG_VER_PATCH);
}

}  // namespace mlops::util
