// `mlops schedule install`.
#pragma once

#include <mlops/workspace.hpp>

#include "cli/context.hpp"

#include <string>

namespace mlops::cli {

void add_install_command(CLI::App& schedule, Context& context);

/// How mlops is called from here so that it finds that workspace: `mlops`, or `mlops -w DIR`.
std::string program_here(const Workspace& workspace, const Context& context);

}  // namespace mlops::cli
