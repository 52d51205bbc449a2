// `mlops schedule list|audit|pause|resume`: the ledger on the screen.
#pragma once

#include "cli/context.hpp"

namespace mlops::cli {

void add_ledger_commands(CLI::App& schedule, Context& context);

}  // namespace mlops::cli
