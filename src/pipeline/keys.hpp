// The keys of a pipeline file: one table an object, read by the loader (unknown keys), the JSON Schema and
// the test that looks for every key in docs/pipeline-file.md.
//
// How to add a key: add it to its table in keys.cpp, read it in load.cpp or step_reader.cpp, document it in
// docs/pipeline-file.md.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mlops::pipeline {

struct Key {
  std::string_view name;
  std::string_view schema;  ///< JSON Schema of the value, as JSON text
  std::string_view description;
  std::span<const std::string_view> values = {};  ///< the words allowed, if only these are
  bool in_defaults = false;                       ///< of a step: may stand in `defaults:`
};
using Keys = std::span<const Key>;

Keys pipeline_keys();
Keys step_keys();
Keys output_keys();
Keys retry_keys();
Keys resources_keys();
Keys schedule_keys();
Keys dst_keys();
Keys catchup_keys();
Keys trigger_keys();
Keys succeeded_keys();
Keys webhook_keys();
Keys sql_keys();
Keys metric_keys();
Keys secret_keys();
Keys notification_keys();
Keys secret_url_keys();

/// The table behind a "$ref" of the schema ("#/$defs/retry") and its title there.
struct KeyTable {
  std::string_view name, description;
  Keys keys;
};
std::span<const KeyTable> key_tables();

std::span<const std::string_view> catchup_values();
std::span<const std::string_view> overlap_values();
std::span<const std::string_view> days_values();
std::span<const std::string_view> gap_values();
std::span<const std::string_view> repeated_values();
std::span<const std::string_view> keep_inputs_values();
std::span<const std::string_view> on_failure_values();
std::span<const std::string_view> occasion_values();  ///< in the order of Occasion
std::span<const std::string_view> preset_values();
std::span<const std::string_view> retry_causes();  ///< words in `retry: {on: …}`, besides exit codes

/// Names of steps and kinds: [A-Za-z0-9_][A-Za-z0-9_.-]{0,99}.
constexpr std::string_view kNamePattern = "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$";
bool is_name(std::string_view text);

/// Names of environment variables, secrets and matrix axes: [A-Za-z_][A-Za-z0-9_]*.
constexpr std::string_view kVariablePattern = "^[A-Za-z_][A-Za-z0-9_]*$";
bool is_variable(std::string_view text);

std::vector<std::string> names_of(Keys keys);

/// Our name for a key as other tools call it ("cmd", "deps", "depends_on"); empty if there is none in `keys`.
std::string_view name_for_foreign(std::string_view name, Keys keys);

}  // namespace mlops::pipeline
