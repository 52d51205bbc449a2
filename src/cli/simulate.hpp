#pragma once

#include "cli/context.hpp"

namespace mlops::cli {

/// `mlops schedule simulate`.
void add_simulate_command(CLI::App& app, Context& context);

}  // namespace mlops::cli
