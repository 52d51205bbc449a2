// Evaluating conditions; parsing them: condition_parser.cpp.
#include "params/condition.hpp"

#include <mlops/error.hpp>

#include "params/overrides.hpp"
#include "util/strings.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <optional>

namespace mlops::params {

using Root = ConditionName::Root;

namespace {

// Outputs of steps are text: a text that is a number or a boolean compares as one with such a value.
std::optional<double> as_number(const Json& value) {
  if (value.is_number()) return value.get<double>();
  if (!value.is_string()) return std::nullopt;
  const auto& text = value.get_ref<const std::string&>();
  const std::string_view trimmed = util::trim(text);
  double number = 0;
  const auto [stop, error] = std::from_chars(trimmed.data(), trimmed.data() + trimmed.size(), number);
  if (trimmed.empty() || error != std::errc() || stop != trimmed.data() + trimmed.size()) return std::nullopt;
  return number;
}

std::optional<bool> as_bool(const Json& value) {
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_null()) return false;
  if (value == "true") return true;
  if (value == "false") return false;
  return std::nullopt;
}

bool same(const Json& a, const Json& b) {
  if (a.is_number() || b.is_number()) {
    const auto x = as_number(a);
    const auto y = as_number(b);
    return x && y && *x == *y;
  }
  if ((a.is_boolean() && b.is_string()) || (b.is_boolean() && a.is_string())) return as_bool(a) == as_bool(b);
  return a == b;
}

std::string shown(const Json& value) {
  if (value.is_null()) return "no value";
  // Numbers in conditions are all read as floating point: 1 is not to be shown as 1.0.
  if (const auto* number = value.get_ptr<const double*>();
      number && std::trunc(*number) == *number && std::abs(*number) < 1e15)
    return std::to_string(static_cast<std::int64_t>(*number));
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > 80) text = text.substr(0, 77) + "...";
  return util::to_utf8(text);
}

}  // namespace

class ConditionEvaluation {
  using Op = Condition::Op;
  using Node = Condition::Node;

 public:
  ConditionEvaluation(const Condition& condition, const ConditionLookup& lookup)
      : condition_(condition), lookup_(lookup) {}

  Verdict run() { return truth(condition_.root_); }
  /// Of one part.
  Verdict run(int i) { return truth(i); }

 private:
  const Node& node(int i) const { return condition_.nodes_[static_cast<std::size_t>(i)]; }
  std::string text(int i) const {
    return condition_.text_.substr(node(i).begin, node(i).end - node(i).begin);
  }

  [[noreturn]] static void fail(const std::string& message) { throw Error(ExitCode::usage, message); }

  static bool is_logical(Op op) { return op != Op::literal && op != Op::name && op != Op::list; }

  Verdict truth(int i) {
    const Node& n = node(i);
    if (n.op == Op::conjunction || n.op == Op::disjunction) return chain(i);
    if (n.op == Op::negation) return negate(i);
    if (is_logical(n.op)) return compare(i);
    const Json v = value(i);
    const auto truth_value = as_bool(v);
    if (!truth_value && n.op == Op::literal) fail(text(i) + " is neither true nor false");
    if (!truth_value) fail(text(i) + " is " + shown(v) + ", which is neither true nor false");
    return {*truth_value, text(i) + " is " + (v.is_null() ? "not set" : *truth_value ? "true" : "false")};
  }

  // Explained as it is written, with the values that were looked at on the way.
  Verdict negate(int i) {
    const std::string outer = std::exchange(all_seen_, {});
    const bool holds = !truth(node(i).left).holds;
    std::string why = text(i) + " is " + (holds ? "true" : "false");
    if (!all_seen_.empty()) why += " (" + all_seen_ + ")";
    if (!outer.empty()) all_seen_ = outer + (all_seen_.empty() ? "" : ", " + all_seen_);
    return {holds, why};
  }

  // a and b and c: `and` ends at the first false one, `or` at the first true one, and that one is the reason.
  Verdict chain(int i) {
    const Op op = node(i).op;
    std::vector<int> operands;
    while (node(i).op == op) {
      operands.push_back(node(i).right);
      i = node(i).left;
    }
    operands.push_back(i);
    std::string all;
    for (std::size_t k = operands.size(); k-- > 0;) {
      Verdict one = truth(operands[k]);
      if (one.holds == (op == Op::disjunction)) return one;
      all += (all.empty() ? "" : " and ") + one.why;
    }
    return {op == Op::conjunction, all};
  }

  Json value(int i) {
    const Node& n = node(i);
    if (n.op == Op::literal) return n.value;
    if (n.op != Op::name) return truth(i).holds;
    Json v = lookup_(condition_.names_[static_cast<std::size_t>(n.name)]);
    for (std::string* seen : {&seen_, &all_seen_}) *seen += (seen->empty() ? "" : ", ") + shown(v);
    return v;
  }

  bool contains(int list, const Json& wanted) {
    if (node(list).op != Op::list) {
      const Json values = value(list);
      if (!values.is_array()) fail(text(list) + " is " + shown(values) + ", not a list");
      for (const Json& one : values) {
        if (same(one, wanted)) return true;
      }
      return false;
    }
    for (; list >= 0; list = node(list).right) {
      if (node(list).left >= 0 && same(value(node(list).left), wanted)) return true;
    }
    return false;
  }

  Verdict compare(int i) {
    const Node& n = node(i);
    const std::string outer = std::exchange(seen_, {});
    const Json left = value(n.left);
    const bool membership = n.op == Op::in || n.op == Op::not_in;
    const Json right = membership ? Json() : value(n.right);
    bool holds = false;
    if (membership) {
      holds = contains(n.right, left) == (n.op == Op::in);
    } else if (n.op == Op::equal || n.op == Op::differ) {
      holds = same(left, right) == (n.op == Op::equal);
    } else {
      const int order = compare_order(i, left, right);
      const bool equal = order == 0 && (n.op == Op::less_equal || n.op == Op::greater_equal);
      const int wanted = n.op == Op::less || n.op == Op::less_equal ? -1 : 1;
      holds = equal || order == wanted;
    }
    std::string why = text(i) + " is " + (holds ? "true" : "false");
    if (!seen_.empty()) why += " (" + seen_ + ")";
    seen_ = outer;
    return {holds, why};
  }

  // -1, 0, 1, or 2 when one of them is not a number (NaN).
  int compare_order(int i, const Json& left, const Json& right) {
    const auto x = as_number(left);
    const auto y = as_number(right);
    if (x && y && (left.is_number() || right.is_number())) {
      return *x < *y ? -1 : *x > *y ? 1 : *x == *y ? 0 : 2;
    }
    if (left.is_string() && right.is_string()) {
      const int order = left.get_ref<const std::string&>().compare(right.get_ref<const std::string&>());
      return order < 0 ? -1 : order > 0 ? 1 : 0;
    }
    fail(text(i) + ": " + shown(left) + " and " + shown(right) + " have no order");
  }

  const Condition& condition_;
  const ConditionLookup& lookup_;
  std::string seen_;      // values of the names in the comparison at hand
  std::string all_seen_;  // those in the negation at hand
};

Verdict explain(const Condition& condition, const ConditionLookup& lookup) {
  return ConditionEvaluation(condition, lookup).run();
}

bool evaluate(const Condition& condition, const ConditionLookup& lookup) {
  return explain(condition, lookup).holds;
}

// What can be told of a condition when a file is loaded. Environment variables are not looked at: those of
// the scheduled run are others than those of whoever checks the file.
class ConditionCheck {
  using Op = Condition::Op;
  using Node = Condition::Node;

 public:
  ConditionCheck(const Condition& condition, const ConditionScope& scope,
                 std::vector<ConditionProblem>& problems)
      : condition_(condition), scope_(scope), problems_(problems) {}

  void run() {
    for (const Node& n : condition_.nodes_) check_states(n);
    if (problems_.empty()) outcome(condition_.root_);
  }

 private:
  const Node& node(int i) const { return condition_.nodes_[static_cast<std::size_t>(i)]; }
  const ConditionName* name(int i) const {
    return node(i).op == Op::name ? &condition_.names_[static_cast<std::size_t>(node(i).name)] : nullptr;
  }
  bool is_state(int i) const {
    const ConditionName* n = i >= 0 ? name(i) : nullptr;
    return n && n->root == Root::state;
  }

  void check_states(const Node& n) {
    if (n.op == Op::equal || n.op == Op::differ) {
      if (is_state(n.left)) check_word(n.right);
      if (is_state(n.right)) check_word(n.left);
    } else if ((n.op == Op::in || n.op == Op::not_in) && is_state(n.left) && node(n.right).op == Op::list) {
      for (int item = n.right; item >= 0; item = node(item).right) {
        if (node(item).left >= 0) check_word(node(item).left);
      }
    }
  }

  // Of a step that has ended; the condition waits for that.
  void check_word(int i) {
    static const std::vector<std::string> words = {"succeeded", "failed", "skipped",    "not_run",
                                                   "cancelled", "lost",   "interrupted"};
    const Node& n = node(i);
    if (n.op != Op::literal || n.value.is_null()) return;
    const std::string word = n.value.is_string() ? n.value.get<std::string>() : shown(n.value);
    if (n.value.is_string() && std::ranges::find(words, word) != words.end()) return;
    std::string hint = "a step that was taken from an earlier run counts as 'succeeded'";
    if (word != "cached") hint = scope_.hints ? near(word, words) : "";
    problems_.push_back({static_cast<int>(n.begin) + 1, "'" + word + "' is no state of a step", hint});
  }

  // "success" and "fail" are no slips of the fingers, but what other tools say.
  static std::string near(const std::string& word, const std::vector<std::string>& words) {
    const std::string head = word.substr(0, 4);
    const auto found = std::ranges::find_if(words, [&](const std::string& w) { return w.starts_with(head); });
    if (head.size() == 4 && found != words.end()) return "did you mean '" + *found + "'?";
    return util::did_you_mean(word, words);
  }

  // The value if it is known already. What comes after the end of an `and` or `or` is never looked at, as in
  // a run.
  std::optional<bool> outcome(int i) {
    const Node& n = node(i);
    if (n.op == Op::negation) {
      const auto inner = outcome(n.left);
      return inner ? std::optional(!*inner) : std::nullopt;
    }
    if (n.op != Op::conjunction && n.op != Op::disjunction) return leaf(i);
    std::vector<int> operands;
    const Op op = n.op;
    for (; node(i).op == op; i = node(i).left) operands.push_back(node(i).right);
    operands.push_back(i);
    bool all_known = true;
    for (std::size_t k = operands.size(); k-- > 0;) {
      const auto one = outcome(operands[k]);
      if (one && *one == (op == Op::disjunction)) return one;
      all_known = all_known && one;
    }
    return all_known ? std::optional(op == Op::conjunction) : std::nullopt;
  }

  std::optional<bool> leaf(int i) {
    if (!is_known(i)) return std::nullopt;
    static const Json nothing;
    const ConditionLookup lookup = [&](const ConditionName& n) {
      return static_value(n, scope_.params ? *scope_.params : nothing, scope_.vars ? *scope_.vars : nothing,
                          scope_.slot ? *scope_.slot : nothing);
    };
    try {
      return ConditionEvaluation(condition_, lookup).run(i).holds;
    } catch (const Error& error) {
      problems_.push_back({static_cast<int>(node(i).begin) + 1, error.what(), ""});
      return std::nullopt;
    }
  }

  bool is_known(int i) const {
    if (i < 0) return true;
    const ConditionName* n = name(i);
    if (!n) return is_known(node(i).left) && is_known(node(i).right);
    return n->root == Root::params || n->root == Root::matrix || n->root == Root::item ||
           n->root == Root::key || (n->root == Root::slot && scope_.slot);
  }

  const Condition& condition_;
  const ConditionScope& scope_;
  std::vector<ConditionProblem>& problems_;
};

void check_condition(const Condition& condition, const ConditionScope& scope,
                     std::vector<ConditionProblem>& problems) {
  std::vector<ConditionProblem> found;
  ConditionCheck(condition, scope, found).run();
  problems.insert(problems.end(), found.begin(), found.end());
}

Json static_value(const ConditionName& name, const Json& params, const Json& vars, const Json& slot) {
  const auto at = [&](const Json& values) -> Json {
    const Json* value = name.path.empty() ? &values : find_param(values, name.path);
    return value ? *value : Json();
  };
  const auto var = [&](const char* key) -> Json {
    return vars.is_object() && vars.contains(key) ? at(vars[key]) : Json();
  };
  switch (name.root) {
    case Root::params: return at(params);
    case Root::matrix: return var("matrix");
    case Root::item: return var("item");
    case Root::key: return var("key");
    case Root::slot: return slot.is_object() ? at(slot) : Json();
    case Root::env: {
      const char* value = std::getenv(name.path.c_str());
      return value ? Json(util::to_utf8(value)) : Json();
    }
    case Root::state:
    case Root::exit_code:
    case Root::output:
    case Root::metric: break;
  }
  return {};
}

}  // namespace mlops::params
