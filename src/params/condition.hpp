// The language of `when:`, parsed once when a file is loaded:
//
//   steps.evaluate.metrics.accuracy >= 0.9 and params.publish and matrix.lr in [0.1, 0.01]
#pragma once

#include <nlohmann/json.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mlops::params {

using Json = nlohmann::json;
class StepNames;

/// A name in a condition.
struct ConditionName {
  enum class Root { params, matrix, item, key, slot, env, state, exit_code, output, metric };
  Root root = Root::params;
  std::string step;  ///< for state, exit_code, output and metric
  std::string path;  ///< "train.lr", "end", the variable's name, or the key of an output or metric
};

struct ConditionProblem {
  int column = 0;  ///< in the text, from 1
  std::string message;
  std::string hint;
};

/// What the names in a condition are checked against.
struct ConditionScope {
  const Json* params = nullptr;
  const Json* vars = nullptr;  ///< as in Scope
  const StepNames* steps = nullptr;
  bool hints = true;           ///< as in Scope
  bool open = false;           ///< as in Scope
  const Json* slot = nullptr;  ///< as in Scope; null: not known yet
  bool metrics = false;        ///< every name is that of a metric, whichever step logs it
};

class Condition {
 public:
  /// The names that occur, in order.
  const std::vector<ConditionName>& names() const { return names_; }

 private:
  friend class ConditionParser;
  friend class ConditionEvaluation;
  friend class ConditionCheck;
  enum class Op : std::uint8_t {
    literal,
    name,
    list,
    equal,
    differ,
    less,
    less_equal,
    greater,
    greater_equal,
    in,
    not_in,
    conjunction,
    disjunction,
    negation
  };
  struct Node {
    Op op = Op::literal;
    int left = -1,
        right = -1;  // children; in a list, `left` is the first item and `right` the next list node
    int name = -1;   // into names_
    Json value;      // of a literal
    std::size_t begin = 0, end = 0;  // in text_
  };
  std::string text_;
  std::vector<Node> nodes_;
  std::vector<ConditionName> names_;
  int root_ = -1;
};

/// Parses and checks names, and what can be told before any step has run: states that no step can have,
/// values that are neither true nor false, comparisons that cannot be made. Problems are appended, and the
/// condition must then not be evaluated.
Condition parse_condition(std::string_view text, const ConditionScope& scope,
                          std::vector<ConditionProblem>& problems);

/// The second half of parse_condition: what the values known at load say. `condition` is one without
/// problems.
void check_condition(const Condition& condition, const ConditionScope& scope,
                     std::vector<ConditionProblem>& problems);

using ConditionLookup = std::function<Json(const ConditionName&)>;

struct Verdict {
  bool holds = false;
  std::string why;  ///< "steps.evaluate.metrics.accuracy >= 0.9 is false (0.87)"
};

/// `lookup` gives the value of a name, null if there is none yet. Throws Error(usage) when values cannot be
/// compared, or what should be true or false is neither.
Verdict explain(const Condition& condition, const ConditionLookup& lookup);
bool evaluate(const Condition& condition, const ConditionLookup& lookup);

/// The value of a name that no step makes: params, matrix, item, key, slot, env. Null if it is not set.
Json static_value(const ConditionName& name, const Json& params, const Json& vars, const Json& slot = {});

}  // namespace mlops::params
