// The value of `schedule:`.
#pragma once

#include <mlops/pipeline.hpp>

#include "pipeline/fields.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace mlops::pipeline {

/// A text, a map, or a list of them. With `check_files` time zones and files of `except` must be there.
std::vector<Schedule> read_schedules(const util::YamlNode& node, const Fields& fields,
                                     const Pipeline& pipeline, bool check_files);

/// Whether `text`, of a command line, is written as an entry of `schedule:`: "every: 15s", "{at: …}"; or as
/// times_of() has it, "every 15s".
bool is_written_entry(std::string_view text);
/// What it says; files of `except` are not looked for. Throws Error(usage).
std::vector<Schedule> read_written_entry(const std::string& text);

}  // namespace mlops::pipeline
