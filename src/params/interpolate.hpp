// `${params.x}` and its kin: filled in once, when the file is loaded. A value that was put in is never read
// again for references.
#pragma once

#include <nlohmann/json.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mlops::params {

using Json = nlohmann::json;
class StepNames;

/// What a reference may name.
struct Scope {
  const Json* params = nullptr;
  const Json* vars = nullptr;  ///< {"item":…, "key":…} or {"matrix":{…}} of an expansion; may be null
  std::string_view pipeline;   ///< for ${pipeline.name}
  const StepNames* steps = nullptr;  ///< null: references to steps are not allowed here
  bool hints = true;                 ///< false saves the search for the nearest param
  bool open = false;           ///< the expansion could not be read: what refers to its values is not judged
  const Json* slot = nullptr;  ///< {"id", "start", "end"}; null: references to a slot are not allowed here
  bool* uses_slot = nullptr;   ///< set by a reference to the slot; may be null
};

/// A stretch of text, or a value that a step makes while running.
struct Piece {
  std::string literal;  ///< when `step` is empty
  std::string step;
  std::string key;
  bool operator==(const Piece&) const = default;
};

/// A reference that does not work. `reference` is its text, the `occurrence`th (from 0) in the whole text.
/// Without a message it stands for a value of an open scope.
struct ReferenceProblem {
  std::string reference;
  int occurrence = 0;
  std::string message;
  std::string hint;
};

struct Interpolated {
  std::vector<Piece> pieces;
  std::vector<ReferenceProblem> problems;
};

enum class Target {
  text,   ///< every ${…} is ours
  shell,  ///< a /bin/sh script: a value becomes one quoted word; ${NAME} is the shell's
};

Interpolated interpolate(std::string_view text, const Scope& scope, Target target);

/// The value itself when `text` is exactly one reference that is known at load, such as "${params.models}";
/// nullopt otherwise.
std::optional<Json> referenced_value(std::string_view text, const Scope& scope);

/// `text` for a place where references are filled in: `$${` stands there for `${`.
std::string escape_references(const std::string& text);

/// A value as the text that a reference becomes: true, 0.1, compact JSON for lists and maps.
std::string value_text(const Json& value);

}  // namespace mlops::params
