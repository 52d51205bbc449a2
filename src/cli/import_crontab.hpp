// `mlops import crontab`.
#pragma once

#include "cli/context.hpp"

namespace mlops::cli {

void add_crontab_import(CLI::App& import, Context& context);

}  // namespace mlops::cli
