// `mlops schedule list|audit|pause|resume`: the ledger on the screen.
#pragma once

#include "cli/context.hpp"
#include "cli/output.hpp"
#include "schedule/standings.hpp"

namespace mlops::cli {

nlohmann::json to_json(const schedule::Standing& standing);
/// "! churn main: will be late by about …".
void print_promise(const schedule::Promise& promise);

void add_ledger_commands(CLI::App& schedule, Context& context);

}  // namespace mlops::cli
