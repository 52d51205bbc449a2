// `mlops schedule install`.
#pragma once

#include "cli/context.hpp"

namespace mlops::cli {

void add_install_command(CLI::App& schedule, Context& context);

}  // namespace mlops::cli
