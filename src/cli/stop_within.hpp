// `--stop-within`, of commands that may be process 1 of a container.
#pragma once

#include <mlops/error.hpp>

#include "cli/context.hpp"
#include "util/quantity.hpp"

#include <chrono>
#include <string>

namespace mlops::cli {

/// `time` has to live as long as `app`. `what` is killed when it takes longer.
inline void add_stop_within(CLI::App& app, std::chrono::milliseconds& time, const std::string& what) {
  app.add_option_function<std::string>(
         "--stop-within",
         [&time](const std::string& text) {
           const auto read = util::parse_duration(text);
           if (!read || read->count() <= 0)
             throw Error(ExitCode::usage, "cannot read --stop-within '" + text + "'", "such as 8s or 2m");
           time = *read;
         },
         "as process 1, kill " + what + " that take longer to end when it is stopped (default 8s)")
      ->type_name("DURATION");
}

}  // namespace mlops::cli
