#include "params/condition.hpp"
#include "params/names.hpp"
#include "params/overrides.hpp"
#include "util/strings.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <optional>

namespace mlops::params {

namespace {

constexpr int kMaxDepth = 64;
constexpr std::size_t kMaxLength = 4096;
using Root = ConditionName::Root;

std::string quoted(std::string_view text) {
  std::string result = "'";
  result += text;
  return result += "'";
}

bool is_word_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}

// Thrown inside this file to leave the recursive parser.
struct SyntaxError {
  ConditionProblem problem;
};

}  // namespace

class ConditionParser {
  using Op = Condition::Op;
  using Node = Condition::Node;

 public:
  ConditionParser(std::string_view text, const ConditionScope& scope, std::vector<ConditionProblem>& problems)
      : text_(text), scope_(scope), problems_(problems) {
    result_.text_ = text;
  }

  Condition parse() {
    try {
      if (text_.size() > kMaxLength) fail(0, "the condition is longer than 4096 characters");
      result_.root_ = disjunction();
      skip_space();
      if (pos_ < text_.size()) unexpected("'and', 'or' or the end");
    } catch (const SyntaxError& error) {
      problems_.push_back(error.problem);
    }
    return std::move(result_);
  }

 private:
  struct Depth {
    explicit Depth(ConditionParser& p) : parser(p) {
      if (++parser.depth_ > kMaxDepth) parser.fail(parser.pos_, "nested deeper than 64 levels");
    }
    ~Depth() { --parser.depth_; }
    ConditionParser& parser;
  };

  [[noreturn]] void fail(std::size_t at, std::string message, std::string hint = {}) {
    throw SyntaxError{{static_cast<int>(at) + 1, std::move(message), std::move(hint)}};
  }
  void report(std::size_t at, std::string message, std::string hint = {}) {
    problems_.push_back({static_cast<int>(at) + 1, std::move(message), std::move(hint)});
  }
  [[noreturn]] void unexpected(const std::string& wanted) {
    skip_space();
    if (pos_ >= text_.size()) fail(pos_, "expected " + wanted + ", but the condition ends here");
    std::size_t end = pos_;
    while (end < text_.size() && is_word_char(text_[end])) ++end;
    const std::string got(text_.substr(pos_, std::max<std::size_t>(end - pos_, 1)));
    if (got == "=") fail(pos_, "expected " + wanted + ", got '='", "equality is written ==");
    if (text_.substr(pos_).starts_with("${")) {
      fail(pos_, "expected " + wanted + ", got '${'",
           "in a condition names stand alone: params.x, not ${params.x}");
    }
    fail(pos_, "expected " + wanted + ", got '" + got + "'",
         got == "&"   ? "write 'and'"
         : got == "|" ? "write 'or'"
                      : "operators: == != < <= > >= in and or not");
  }

  void skip_space() {
    while (pos_ < text_.size() && std::string_view(" \t\r\n").find(text_[pos_]) != std::string_view::npos)
      ++pos_;
  }
  bool take(std::string_view symbol) {
    skip_space();
    if (!text_.substr(pos_).starts_with(symbol)) return false;
    const std::size_t end = pos_ + symbol.size();
    if (is_word_char(symbol[0]) && end < text_.size() && (is_word_char(text_[end]) || text_[end] == '.'))
      return false;
    pos_ = end;
    return true;
  }
  int add(Node node) {
    result_.nodes_.push_back(std::move(node));
    return static_cast<int>(result_.nodes_.size()) - 1;
  }
  Node& node(int i) { return result_.nodes_[static_cast<std::size_t>(i)]; }
  int binary(Op op, int left, int right) {
    const std::size_t begin = node(left).begin;
    const std::size_t end = node(right).end;
    return add({op, left, right, -1, nullptr, begin, end});
  }

  // Chains lean to the left, so they are flattened by the evaluation, not by recursion.
  int disjunction() {
    const Depth depth(*this);
    int left = conjunction();
    while (take("or") || take("||")) left = binary(Op::disjunction, left, conjunction());
    return left;
  }
  int conjunction() {
    int left = negation();
    while (take("and") || take("&&")) left = binary(Op::conjunction, left, negation());
    return left;
  }
  int negation() {
    skip_space();
    const std::size_t begin = pos_;
    const bool mark = text_.substr(pos_).starts_with("!") && !text_.substr(pos_).starts_with("!=");
    if (!take("not") && !(mark && take("!"))) return comparison();
    const Depth depth(*this);
    const int inner = negation();
    return add({Op::negation, inner, -1, -1, nullptr, begin, node(inner).end});
  }
  int comparison() {
    const int left = operand();
    constexpr std::array<std::pair<std::string_view, Op>, 6> operators = {{{"==", Op::equal},
                                                                           {"!=", Op::differ},
                                                                           {"<=", Op::less_equal},
                                                                           {">=", Op::greater_equal},
                                                                           {"<", Op::less},
                                                                           {">", Op::greater}}};
    for (const auto& [symbol, op] : operators) {
      if (!take(symbol)) continue;
      const int result = binary(op, left, operand());
      refuse_chain();
      return result;
    }
    const std::size_t before = pos_;
    const bool negated = take("not");
    if (take("in")) {
      const int result = binary(negated ? Op::not_in : Op::in, left, list());
      refuse_chain();
      return result;
    }
    pos_ = before;
    return left;
  }
  void refuse_chain() {
    skip_space();
    const std::size_t at = pos_;
    for (const char* symbol : {"==", "!=", "<", ">"}) {
      if (take(symbol)) fail(at, "a comparison cannot be compared again", "join two comparisons with 'and'");
    }
  }

  int list() {
    skip_space();
    const std::size_t begin = pos_;
    if (!take("[")) {  // or a name whose value is a list
      if (pos_ < text_.size() && is_word_char(text_[pos_])) {
        const int values = operand();
        if (node(values).op == Op::name) return values;
        pos_ = begin;
      }
      unexpected("a list such as [a, b] after 'in'");
    }
    std::vector<int> items;
    if (!take("]")) {
      do {
        items.push_back(operand());
      } while (take(","));
      if (!take("]")) unexpected("',' or ']'");
    }
    int head = -1;
    for (std::size_t i = items.size(); i-- > 0;)
      head = add({Op::list, items[i], head, -1, nullptr, begin, pos_});
    return head >= 0 ? head : add({Op::list, -1, -1, -1, nullptr, begin, pos_});
  }

  int operand() {
    skip_space();
    const std::size_t begin = pos_;
    if (take("(")) {
      const int inner = disjunction();
      if (!take(")")) unexpected("')'");
      // Its own node, so that the text of a comparison around it includes the parentheses.
      node(inner).begin = begin;
      node(inner).end = pos_;
      return inner;
    }
    if (pos_ >= text_.size()) unexpected("a value or a name");
    const char c = text_[pos_];
    if (c == '\'' || c == '"') return text_literal(c);
    if ((c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.') return number();
    if (take("true")) return add({Op::literal, -1, -1, -1, true, begin, pos_});
    if (take("false")) return add({Op::literal, -1, -1, -1, false, begin, pos_});
    if (take("null")) return add({Op::literal, -1, -1, -1, nullptr, begin, pos_});
    for (const char* keyword : {"and", "or", "not", "in"}) {
      if (take(keyword)) {
        pos_ = begin;
        unexpected("a value or a name");
      }
    }
    if (is_word_char(c)) return name();
    unexpected("a value or a name");
  }
  int text_literal(char quote) {
    const std::size_t begin = pos_;
    const std::size_t end = text_.find(quote, pos_ + 1);
    if (end == text_.npos) fail(begin, std::string("the text that begins with ") + quote + " does not end");
    pos_ = end + 1;
    return add({Op::literal, -1, -1, -1, std::string(text_.substr(begin + 1, end - begin - 1)), begin, pos_});
  }
  int number() {
    const std::size_t begin = pos_;
    if (text_[pos_] == '+') ++pos_;
    if (pos_ > begin && text_.substr(pos_).starts_with('-')) fail(begin, "not a number");
    double value = 0;
    const auto [stop, error] = std::from_chars(text_.data() + pos_, text_.data() + text_.size(), value);
    if (error != std::errc() || !std::isfinite(value)) fail(begin, "not a number");
    pos_ = static_cast<std::size_t>(stop - text_.data());
    if (pos_ < text_.size() && (is_word_char(text_[pos_]) || text_[pos_] == '.')) {
      fail(begin, "not a number", "put text in quotes: 'like this'");
    }
    return add({Op::literal, -1, -1, -1, value, begin, pos_});
  }

  // Step names, params and metrics may hold '-', '@' and '/' besides '.'.
  int name() {
    const std::size_t begin = pos_;
    while (pos_ < text_.size() && (is_word_char(text_[pos_]) ||
                                   std::string_view(".-@=/").find(text_[pos_]) != std::string_view::npos)) {
      if (text_[pos_] == '=' && pos_ + 1 < text_.size() && text_[pos_ + 1] == '=') break;
      ++pos_;
    }
    const std::string_view text = text_.substr(begin, pos_ - begin);
    result_.names_.push_back(resolve(text, begin));
    return add({Op::name, -1, -1, static_cast<int>(result_.names_.size()) - 1, nullptr, begin, pos_});
  }

  ConditionName resolve(std::string_view text, std::size_t at) {
    if (scope_.metrics) return {Root::metric, {}, std::string(text)};
    const auto var = [&](const char* key) -> const Json* {
      return scope_.vars && scope_.vars->is_object() && scope_.vars->contains(key) ? &(*scope_.vars)[key]
                                                                                   : nullptr;
    };
    const auto below = [&](Root root, std::string_view prefix, const Json* values, const char* needed) {
      const std::string_view path =
          text.size() > prefix.size() ? text.substr(prefix.size() + 1) : std::string_view();
      if (!values && scope_.open) {
        // Nothing is known of it.
      } else if (!values) {
        report(at, quoted(text) + " has a value only in a step with '" + needed + "'");
      } else if (!path.empty() && !find_param(*values, path)) {
        report(at, quoted(text) + " is not set",
               scope_.hints ? suggest_param(*values, path, std::string(prefix) + ".") : "");
      }
      return ConditionName{root, {}, std::string(path)};
    };
    if (text.starts_with("params.") && scope_.params) return below(Root::params, "params", scope_.params, "");
    if (text.starts_with("matrix.")) return below(Root::matrix, "matrix", var("matrix"), "matrix");
    if (text == "item" || text.starts_with("item.")) return below(Root::item, "item", var("item"), "foreach");
    if (text == "key") return below(Root::key, "key", var("key"), "foreach' over a map, not '");
    if (text.starts_with("env.") && text.size() > 4) return {Root::env, {}, std::string(text.substr(4))};
    if (text.starts_with("steps.")) return step(text.substr(6), at);
    if (text.starts_with("slot.")) {
      const std::string_view part = text.substr(5);
      if (part != "id" && part != "start" && part != "end")
        report(at, quoted(text) + " is not set", "known: slot.id, slot.start, slot.end");
      return {Root::slot, {}, std::string(part)};
    }
    const std::vector<std::string> roots = {"params", "matrix", "item", "key",   "env",
                                            "slot",   "steps",  "true", "false", "null"};
    const std::string near = util::closest(text.substr(0, text.find('.')), roots);
    std::string hint = "put text in quotes: '" + std::string(text) + "'";
    if (scope_.params && find_param(*scope_.params, text)) {
      hint = "did you mean 'params." + std::string(text) + "'?";
    } else if (near == text) {
      hint = "write " + near + ".NAME";
    } else if (!near.empty()) {
      // A word alone is more often a text without its quotes than a slip.
      const bool dotted = text.find('.') != text.npos;
      hint = dotted ? "did you mean '" + near + "'?" : hint + ", unless you mean '" + near + "'";
    }
    report(at, "unknown name '" + std::string(text) + "'", hint);
    return {};
  }

  ConditionName step(std::string_view text, std::size_t at) {
    ConditionName name;
    const auto split = scope_.steps ? scope_.steps->split(text) : std::nullopt;
    if (!split) {
      const std::string unknown(text.substr(0, text.find('.')));
      report(at, "no step '" + unknown + "'", scope_.steps ? scope_.steps->suggest(unknown) : "");
      return name;
    }
    name.step = split->name;
    if (!scope_.steps->contains(split->name)) {
      const auto all = scope_.steps->resolve(split->name);
      report(at, "'" + name.step + "' stands for " + std::to_string(all.size()) + " steps",
             scope_.steps->suggest(split->name));
    }
    const std::string_view rest = split->rest;
    const auto keyed = [&](std::string_view field, Root root) {
      if (!rest.starts_with(field) || rest.size() == field.size()) return false;
      name.root = root;
      name.path = rest.substr(field.size());
      return true;
    };
    if (rest == ".state") {
      name.root = Root::state;
    } else if (rest == ".exit_code") {
      name.root = Root::exit_code;
    } else if (!keyed(".outputs.", Root::output) && !keyed(".metrics.", Root::metric)) {
      const std::vector<std::string> fields = {"state", "exit_code", "outputs.KEY", "metrics.KEY"};
      report(at, "'steps." + std::string(text) + "' names no value of a step",
             util::did_you_mean(rest.empty() ? rest : rest.substr(1), fields));
    }
    return name;
  }

  std::string_view text_;
  const ConditionScope& scope_;
  std::vector<ConditionProblem>& problems_;
  Condition result_;
  std::size_t pos_ = 0;
  int depth_ = 0;
};

Condition parse_condition(std::string_view text, const ConditionScope& scope,
                          std::vector<ConditionProblem>& problems) {
  const std::size_t before = problems.size();
  Condition condition = ConditionParser(text, scope, problems).parse();
  if (problems.size() == before && !scope.open) check_condition(condition, scope, problems);
  return condition;
}

}  // namespace mlops::params
