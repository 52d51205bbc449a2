// `mlops schedule install`.
#pragma once

#include <mlops/workspace.hpp>

#include "cli/context.hpp"
#include "schedule/cutover.hpp"

#include <string>
#include <vector>

namespace mlops::cli {

void add_install_command(CLI::App& schedule, Context& context);

/// Of lines of the crontab that run what is run by a schedule, on stderr, with what takes them out.
void warn_of_twice(const std::vector<schedule::ActiveLine>& lines);

/// How mlops is called from here so that it finds that workspace: `mlops`, or `mlops -w DIR`.
std::string program_here(const Workspace& workspace, const Context& context);

}  // namespace mlops::cli
