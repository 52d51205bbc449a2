// `mlops export`.
#pragma once

#include "cli/context.hpp"

namespace mlops::cli {

void set_up_export(CLI::App& app, Context& context);

}  // namespace mlops::cli
