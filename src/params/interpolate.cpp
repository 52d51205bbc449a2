#include "params/interpolate.hpp"

#include "params/names.hpp"
#include "params/overrides.hpp"
#include "params/shell_context.hpp"
#include "util/strings.hpp"

#include <array>
#include <cctype>
#include <cstdlib>

namespace mlops::params {

namespace {

constexpr std::size_t kMostProblems = 50;  // of one text
constexpr std::array<std::string_view, 6> kRoots = {"params", "env", "matrix", "pipeline", "slot", "steps"};

std::string in_quotes(std::string_view text) {
  std::string result = "'";
  result += text;
  return result += "'";
}

bool is_name(std::string_view text) {
  constexpr std::string_view digits = "0123456789";
  constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
  if (text.empty() || digits.find(text[0]) != digits.npos) return false;
  for (const char c : text) {
    if (letters.find(c) == letters.npos && digits.find(c) == digits.npos) return false;
  }
  return true;
}

// A reference looked up: a value, a step's output, or a problem.
struct Resolved {
  std::optional<Json> value;
  std::string step, key;
  std::string message, hint;
  bool open = false;  // as in Scope

  bool ready() const { return message.empty() && !open; }
};

Resolved wrong(std::string message, std::string hint = {}) {
  return {std::nullopt, {}, {}, std::move(message), std::move(hint)};
}

Resolved found(const Json* value, std::string_view body, std::string hint) {
  if (!value) return wrong(in_quotes(body) + " is not set", std::move(hint));
  if (value->is_null()) return wrong(in_quotes(body) + " is null", "give it a value, or use another param");
  return {*value, {}, {}, {}, {}};
}

Resolved resolve_env(std::string_view body) {
  std::string_view name = body.substr(4);
  std::optional<std::string_view> fallback;
  if (const std::size_t at = name.find(":-"); at != name.npos) {
    fallback = name.substr(at + 2);
    name = name.substr(0, at);
  }
  if (!is_name(name)) return wrong(in_quotes(name) + " is not the name of an environment variable");
  const char* value = std::getenv(std::string(name).c_str());
  // As the shell's ":-": an empty variable counts as unset where there is a fallback.
  if (fallback && (!value || !*value)) return {std::string(*fallback), {}, {}, {}, {}};
  if (!value) {
    return wrong("the environment variable " + std::string(name) + " is not set",
                 "set it, or give a default: ${env." + std::string(name) + ":-default}");
  }
  if (!util::is_utf8(value)) return wrong("the environment variable " + std::string(name) + " is not UTF-8");
  return {std::string(value), {}, {}, {}, {}};
}

Resolved resolve_step(std::string_view body, const Scope& scope) {
  if (!scope.steps) {
    return wrong("what a step makes is not known when the file is loaded",
                 "steps.… may be used in 'run', 'env' and 'when'");
  }
  const std::string_view tail = body.substr(6);
  const auto split = scope.steps->split(tail);
  if (!split) {
    const std::string name(tail.substr(0, tail.find(".outputs")));
    return wrong("no step '" + name + "'", scope.steps->suggest(name));
  }
  constexpr std::string_view outputs = ".outputs.";
  if (!split->rest.starts_with(outputs) || split->rest.size() == outputs.size()) {
    return wrong("expected steps." + std::string(split->name) + ".outputs.KEY",
                 "KEY is a name that the step writes to the file $MLOPS_OUTPUT");
  }
  if (!scope.steps->contains(split->name)) {
    const auto names = scope.steps->resolve(split->name);
    return wrong(in_quotes(split->name) + " stands for " + std::to_string(names.size()) +
                     " steps, so it has no single output",
                 scope.steps->suggest(split->name));
  }
  const std::string_view key = split->rest.substr(outputs.size());
  for (const char c : key) {
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '_' && c != '.' && c != '-') {
      return wrong(in_quotes(key) + " is not the name of an output");
    }
  }
  return {std::nullopt, std::string(split->name), std::string(key), {}, {}};
}

Resolved resolve_slot(std::string_view body, const Scope& scope) {
  if (!scope.slot) {
    return wrong(in_quotes(body) + " has no value here",
                 "slot.… may be used in 'env' and in steps: it is the slot that a run is for");
  }
  const std::string_view name = body.substr(5);
  const auto value = scope.slot->find(name);
  if (value == scope.slot->end())
    return wrong(in_quotes(body) + " is not set", "known: slot.id, slot.start, slot.end");
  if (scope.uses_slot) *scope.uses_slot = true;
  return {*value, {}, {}, {}, {}};
}

std::string suggest_root(std::string_view body, const Scope& scope) {
  const std::string_view root = body.substr(0, body.find('.'));
  std::vector<std::string> roots(kRoots.begin(), kRoots.end());
  roots.insert(roots.end(), {"item", "key"});
  if (scope.params && find_param(*scope.params, body))
    return "did you mean '${params." + std::string(body) + "}'?";
  const std::string near = util::closest(root, roots);
  if (near.empty() || near == body)
    return "known: params.…, env.NAME, matrix.…, item, key, pipeline.name, slot.…, steps.NAME.outputs.KEY";
  return "did you mean '${" + near + std::string(body.substr(root.size())) + "}'?";
}

bool is_var(std::string_view body) {
  return body == "key" || body == "item" || body.starts_with("item.") || body.starts_with("matrix.");
}

Resolved resolve(std::string_view body, const Scope& scope) {
  const auto var = [&](const char* name) -> const Json* {
    if (!scope.vars || !scope.vars->is_object()) return nullptr;
    const auto at = scope.vars->find(name);
    return at == scope.vars->end() ? nullptr : &*at;
  };
  const auto below = [&](std::string_view root, const Json* values) {
    const std::string_view path = body.substr(root.size() + 1);
    const Json* value = find_param(*values, path);
    return found(value, body,
                 value || !scope.hints ? "" : suggest_param(*values, path, std::string(root) + "."));
  };
  if (scope.open && is_var(body)) return {{}, {}, {}, {}, {}, true};
  if (body.starts_with("params.") && scope.params) return below("params", scope.params);
  if (body.starts_with("env.")) return resolve_env(body);
  if (body.starts_with("steps.")) return resolve_step(body, scope);
  if (body.starts_with("slot.")) return resolve_slot(body, scope);
  if (body == "pipeline.name") return {std::string(scope.pipeline), {}, {}, {}, {}};
  if (body.starts_with("pipeline."))
    return wrong(in_quotes(body) + " is not set", "did you mean 'pipeline.name'?");
  if (body.starts_with("matrix.")) {
    if (const Json* values = var("matrix")) return below("matrix", values);
    return wrong(in_quotes(body) + " has a value only in a step with 'matrix'");
  }
  if (body == "item" || body.starts_with("item.")) {
    const Json* item = var("item");
    if (!item) return wrong(in_quotes(body) + " has a value only in a step with 'foreach'");
    return body == "item" ? found(item, body, "") : below("item", item);
  }
  if (body == "key") {
    if (const Json* key = var("key")) return {*key, {}, {}, {}, {}};
    return wrong("'key' has a value only in a step whose 'foreach' is a map");
  }
  return wrong("unknown reference '${" + std::string(body) + "}'", suggest_root(body, scope));
}

// In a script, ${NAME} and ${NAME:-…} are the shell's. Ours have a dot right after the name, which the shell
// would refuse, or are ${item} and ${key} of an expansion.
enum class Owner { ours, shell, nobody };

Owner owner_of(std::string_view body, const Scope& scope) {
  const bool expanded = scope.vars && scope.vars->is_object();
  if (expanded && body == "item" && scope.vars->contains("item")) return Owner::ours;
  if (expanded && body == "key" && scope.vars->contains("key")) return Owner::ours;
  const std::size_t dot = body.find('.');
  if (dot == body.npos || !is_name(body.substr(0, dot))) return Owner::shell;
  const std::string_view root = body.substr(0, dot);
  for (const std::string_view known : kRoots) {
    if (root == known) return Owner::ours;
  }
  return root == "item" ? Owner::ours : Owner::nobody;
}

std::string env_name(std::string_view body) {
  std::string name;
  for (const char c : body.substr(body.rfind('.') == body.npos ? 0 : body.rfind('.') + 1)) {
    const auto u = static_cast<unsigned char>(c);
    name += std::isalnum(u) ? static_cast<char>(std::toupper(u)) : '_';
  }
  if (name.empty() || std::isdigit(static_cast<unsigned char>(name[0]))) name.insert(0, "X");
  return name;
}

// Message and hint for a reference that stands where no quoted word can.
Resolved misplaced(ShellContext context, std::string_view body) {
  const std::string reference = "${" + std::string(body) + "}";
  const std::string name = env_name(body);
  const std::string by_env = "env: {" + name + ": \"" + reference + "\"}";
  switch (context) {
    case ShellContext::single_quotes:
    case ShellContext::double_quotes: {
      const char quote = context == ShellContext::single_quotes ? '\'' : '"';
      return wrong(reference + " stands inside quotes; it becomes a quoted word by itself",
                   "take it out of the quotes, as in  python x.py " + reference + "  or  " + quote + "text " +
                       quote + reference + quote + " text" + quote + ", or pass it with  " + by_env +
                       "  and use \"$" + name + "\"");
    }
    case ShellContext::comment:
      return wrong(reference + " stands in a comment",
                   "remove it, or write $" + reference + " for the text itself");
    case ShellContext::heredoc:
    case ShellContext::quoted_heredoc:
      return wrong(reference + " stands in a here-document",
                   "pass it with  " + by_env + "  and use $" + name +
                       (context == ShellContext::heredoc ? "" : " with an unquoted end word"));
    case ShellContext::backticks:
      return wrong(reference + " stands in backticks", "write $(…) in place of `…`");
    case ShellContext::arithmetic:
    case ShellContext::braces:
      return wrong(reference + " stands inside an expansion of the shell",
                   "pass it with  " + by_env + "  and use $" + name);
    case ShellContext::unclear:
      return wrong("cannot tell how the shell quotes the place of " + reference,
                   "pass it with  " + by_env + "  and use \"$" + name + "\"");
    case ShellContext::word:
    case ShellContext::escaped: break;
  }
  return {};
}

// One pass over a text.
class Interpolation {
 public:
  Interpolation(std::string_view text, const Scope& scope, Target target)
      : text_(text), scope_(scope), shell_(target == Target::shell), scanner_(text) {}

  Interpolated run() {
    for (std::size_t at = text_.find("${"); at != text_.npos; at = text_.find("${", at)) {
      at = take(at);
      if (result_.problems.size() == kMostProblems) break;
    }
    add_literal(text_.substr(done_));
    if (!literal_.empty() || result_.pieces.empty()) result_.pieces.push_back({literal_, {}, {}});
    return std::move(result_);
  }

 private:
  // Handles the "${" at `at`; returns where to search on.
  std::size_t take(std::size_t at) {
    const bool escaped = at > done_ && text_[at - 1] == '$';  // "$${"
    if (escaped) {
      add_literal(text_.substr(done_, at - 1 - done_));
      done_ = at;
      if (shell_) {
        // Of "\$${" and "$$${" the shell gets a '$' that begins nothing.
        const bool taken = scanner_.at(at - 1) == ShellContext::escaped;
        scanner_.skip_to(taken ? at + 1 : at);
      }
      return at + 2;
    }
    const std::size_t end = text_.find('}', at);
    if (end == text_.npos) {
      const std::string_view rest = text_.substr(at + 2);
      if (!shell_ || owner_of(rest.substr(0, rest.find_first_of(" \t\n\"'")), scope_) == Owner::ours)
        problem(at, "${", wrong("'${' without its '}'", "write $${ for the text itself"));
      return text_.size();
    }
    const std::string_view body = text_.substr(at + 2, end - at - 2);
    if (!shell_) return put(at, end, body, resolve(body, scope_));
    if (const std::size_t skipped = take_slip(at, body)) return skipped;

    const Owner owner = owner_of(body, scope_);
    if (owner == Owner::shell) return at + 2;
    const ShellContext context = scanner_.at(at);
    if (context == ShellContext::escaped) return at + 2;
    if (owner == Owner::nobody) {
      const bool expands = context == ShellContext::word || context == ShellContext::double_quotes ||
                           context == ShellContext::heredoc || context == ShellContext::braces;
      if (!expands) return at + 2;
      problem(at, text_.substr(at, end + 1 - at), resolve(body, scope_));
    } else if (context != ShellContext::word) {
      problem(at, text_.substr(at, end + 1 - at), misplaced(context, body));
    } else {
      put(at, end, body, resolve(body, scope_));
      scanner_.skip_to(end + 1);
      // A value of digits before '<' or '>' would name a file descriptor.
      const char after = end + 1 < text_.size() ? text_[end + 1] : '\0';
      if (after == '<' || after == '>' || std::isdigit(static_cast<unsigned char>(after))) literal_ += "''";
    }
    return end + 1;
  }

  // "${ params.x }" and "${{ params.x }}": no shell can read them, so a reference of ours is meant. Returns
  // where to search on, or 0.
  std::size_t take_slip(std::size_t at, std::string_view body) {
    const bool doubled = body.starts_with('{');
    const std::string_view meant = util::trim(body.substr(doubled ? 1 : 0));
    if (meant == body || owner_of(meant, scope_) != Owner::ours) return 0;
    const ShellContext context = scanner_.at(at);
    if (context != ShellContext::word && context != ShellContext::double_quotes) return 0;
    const std::string_view written = text_.substr(at, body.size() + 3);
    problem(at, written,
            wrong("cannot read '" + std::string(written) + (doubled ? "}" : "") + "'",
                  "write ${" + std::string(meant) + "}"));
    return at + written.size();
  }

  std::size_t put(std::size_t at, std::size_t end, std::string_view body, const Resolved& resolved) {
    if (!resolved.ready()) {
      problem(at, text_.substr(at, body.size() + 3), resolved);
      return end + 1;
    }
    add_literal(text_.substr(done_, at - done_));
    done_ = end + 1;
    if (resolved.value) {
      const std::string value = value_text(*resolved.value);
      literal_ += shell_ ? shell_word(value) : value;
      return end + 1;
    }
    if (!literal_.empty()) result_.pieces.push_back({std::exchange(literal_, {}), {}, {}});
    result_.pieces.push_back({{}, resolved.step, resolved.key});
    return end + 1;
  }

  void add_literal(std::string_view text) { literal_ += text; }

  void problem(std::size_t at, std::string_view reference, Resolved resolved) {
    int occurrence = 0;
    for (std::size_t i = text_.find(reference); i < at; i = text_.find(reference, i + 1)) ++occurrence;
    result_.problems.push_back(
        {std::string(reference), occurrence, std::move(resolved.message), std::move(resolved.hint)});
  }

  std::string_view text_;
  const Scope& scope_;
  bool shell_;
  ShellScanner scanner_;
  Interpolated result_;
  std::string literal_;
  std::size_t done_ = 0;  // text before this is in literal_ or result_
};

}  // namespace

Interpolated interpolate(std::string_view text, const Scope& scope, Target target) {
  if (text.find("${") == text.npos) return {{{std::string(text), {}, {}}}, {}};
  return Interpolation(text, scope, target).run();
}

std::optional<Json> referenced_value(std::string_view text, const Scope& scope) {
  text = util::trim(text);
  if (!text.starts_with("${") || text.find('}') != text.size() - 1) return std::nullopt;
  return resolve(text.substr(2, text.size() - 3), scope).value;
}

std::string escape_references(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '$' && i + 1 < text.size() && text[i + 1] == '{') out += '$';
    out += text[i];
  }
  return out;
}

std::string value_text(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace mlops::params
