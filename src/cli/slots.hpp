// `mlops schedule list|audit|add|remove|pause|resume`: the ledger on the screen.
#pragma once

#include "cli/context.hpp"
#include "cli/output.hpp"
#include "schedule/known.hpp"
#include "schedule/standings.hpp"

#include <string>
#include <vector>

namespace mlops::cli {

nlohmann::json to_json(const schedule::Standing& standing);
/// "! churn main: will be late by about …".
void print_promise(const schedule::Promise& promise);

/// Those of a file or of a pipeline; all if `what` is empty. Throws Error(usage) if there are none of it.
std::vector<schedule::Known> known_schedules(OpenWorkspace& open, const std::string& what,
                                             bool may_be_none = false);

/// How the run of a slot that ran has ended, or goes on; empty for other slots.
std::string run_state_of(OpenWorkspace& open, const SlotRecord& slot);
nlohmann::json slot_json(const SlotRecord& slot, const ScheduleRecord& record, const std::string& run_state);

/// The daemon looks at no schedule and no trigger of the file any more.
void stop_serving(const Workspace& workspace, db::Database& database, const std::string& file);

void add_audit_command(CLI::App& schedule, Context& context);
void add_ledger_commands(CLI::App& schedule, Context& context);

}  // namespace mlops::cli
