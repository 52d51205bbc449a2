// Evaluating conditions; parsing them: condition_parser.cpp.
#include "params/condition.hpp"

#include <mlops/error.hpp>

#include "params/overrides.hpp"
#include "util/strings.hpp"

#include <charconv>
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
    if (n.op == Op::negation) {
      Verdict inner = truth(n.left);
      inner.holds = !inner.holds;
      return inner;
    }
    if (is_logical(n.op)) return compare(i);
    const Json v = value(i);
    const auto truth_value = as_bool(v);
    if (!truth_value) fail(text(i) + " is " + shown(v) + ", which is neither true nor false");
    return {*truth_value, text(i) + " is " + (v.is_null() ? "not set" : *truth_value ? "true" : "false")};
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
    seen_ += (seen_.empty() ? "" : ", ") + shown(v);
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
  std::string seen_;  // values of the names in the comparison at hand
};

Verdict explain(const Condition& condition, const ConditionLookup& lookup) {
  return ConditionEvaluation(condition, lookup).run();
}

bool evaluate(const Condition& condition, const ConditionLookup& lookup) {
  return explain(condition, lookup).holds;
}

Json static_value(const ConditionName& name, const Json& params, const Json& vars) {
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
