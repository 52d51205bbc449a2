// The text of a message, with places for what is known when there is something to tell: `${run.reason}`.
#pragma once

#include "params/interpolate.hpp"

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mlops::pipeline {

/// Names of fields; besides these there is metrics.NAME.
std::span<const std::string_view> message_fields();

/// Reads a template: references to params and the environment are looked up, fields stay. In the result a
/// field's name stands between the characters 1 and 2, and likewise, after a '=', the value of a reference:
/// both are no text of the file. Nothing can bring in these characters: what a value holds is never read as a
/// field.
std::string read_template(std::string_view text, const params::Scope& scope,
                          std::vector<params::ReferenceProblem>& problems);

/// Puts `value(name)` in the place of each field of what read_template() made; what is not of the file's own
/// text goes through `shown`.
std::string fill_template(std::string_view text, const std::function<std::string(std::string_view)>& value,
                          const std::function<std::string(std::string_view)>& shown);

}  // namespace mlops::pipeline
