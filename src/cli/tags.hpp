// `mlops runs tag` and `untag`, and tags as options of other commands.
#pragma once

#include "cli/context.hpp"
#include "db/tags.hpp"

#include <string>

namespace mlops::cli {

void add_tag_commands(CLI::App& runs, Context& context);

/// Reads KEY or KEY=VALUE as the user typed it. Throws Error(usage).
db::Tag read_tag(const std::string& text);

/// "KEY, KEY=VALUE", fit for a terminal.
std::string tags_text(const std::vector<db::Tag>& tags);
/// {"KEY": "VALUE", …}
nlohmann::json tags_json(const std::vector<db::Tag>& tags);

}  // namespace mlops::cli
