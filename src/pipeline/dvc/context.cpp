#include "pipeline/dvc/context.hpp"

#include "util/strings.hpp"

#include <charconv>
#include <stdexcept>
#include <vector>

namespace mlops::pipeline::dvc {

namespace {

struct Expression {
  std::size_t begin = 0, end = 0;  // of ${…} in the text
  std::string inner;
};

std::vector<Expression> expressions_of(std::string_view text) {
  std::vector<Expression> found;
  for (std::size_t at = text.find("${"); at != text.npos; at = text.find("${", at)) {
    const std::size_t close = text.find('}', at);
    if (close == text.npos) break;
    if ((at > 0 && text[at - 1] == '\\') || text.substr(at, close - at).find('\n') != text.npos) {
      at += 2;
      continue;
    }
    found.push_back({at, close + 1, std::string(text.substr(at + 2, close - at - 2))});
    at = close + 1;
  }
  return found;
}

// What can be named of a value: DVC passes over keys that are no text, and so over what they stand for.
OrderedJson nameable(const OrderedJson& value) {
  if (!value.is_structured()) return value;
  OrderedJson result = value.is_object() ? OrderedJson::object() : OrderedJson::array();
  if (value.is_array()) {
    for (const OrderedJson& item : value) result.push_back(nameable(item));
  } else {
    for (const auto& [key, child] : value.items()) {
      if (!key.starts_with(plain_mark)) result[key] = nameable(child);
    }
  }
  return result;
}

std::string known_names(const OrderedJson& map, const std::string& wanted) {
  std::vector<std::string> names;
  for (const auto& [key, value] : map.items()) names.push_back(key);
  const std::string hint = util::did_you_mean(wanted, names);
  return hint.empty() ? "" : " (" + hint + ")";
}

void flatten(const OrderedJson& map, const std::string& prefix,
             std::vector<std::pair<std::string, const OrderedJson*>>& out) {
  for (const auto& [key, value] : map.items()) {
    const std::string name = prefix.empty() ? key : prefix + "." + key;
    if (value.is_object() && !value.empty()) {
      flatten(value, name, out);
    } else {
      out.emplace_back(name, &value);
    }
  }
}

}  // namespace

// word ( '.' word | '[' word ']' )*.
std::vector<std::string> parts_of(std::string_view expression) {
  std::vector<std::string> parts;
  std::size_t at = 0;
  const auto word = [&] {
    const std::size_t end = std::min(expression.find_first_of(".[]", at), expression.size());
    const std::string_view text = util::trim(expression.substr(at, end - at));
    at = end;
    if (!text.empty()) parts.emplace_back(text);
    return !text.empty();
  };
  if (!word()) return {};
  while (at < expression.size()) {
    const char c = expression[at++];
    if (c == ' ') continue;
    if ((c != '.' && c != '[') || !word()) return {};
    if (c != '[') continue;
    if (at == expression.size() || expression[at] != ']') return {};
    ++at;
  }
  return parts;
}

bool has_expression(std::string_view text) { return !expressions_of(text).empty(); }

std::string quoted_word(std::string_view word) {
  if (word.empty()) return "''";
  bool plain = true;
  for (const char c : word) {
    plain = plain && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      std::string_view("@%+=:,./-_").find(c) != std::string_view::npos);
  }
  if (plain) return std::string(word);
  std::string out = "'";
  for (const char c : word) out += c == '\'' ? std::string("'\"'\"'") : std::string(1, c);
  return out + "'";
}

std::string unpack(
    const OrderedJson& map, const UnpackStyle& style,
    const std::function<std::optional<std::string>(const std::string&, const OrderedJson&)>& refer) {
  std::vector<std::pair<std::string, const OrderedJson*>> flat;
  flatten(map, "", flat);
  std::vector<std::string> words;
  for (const auto& [name, value] : flat) {
    const auto word = [](const OrderedJson& v) {
      if (v.is_boolean()) return std::string(v.get<bool>() ? "True" : "False");
      return v.is_string() && !is_plain(v) ? quoted_word(v.get_ref<const std::string&>()) : to_text(v);
    };
    if (value->is_boolean()) {
      if (value->get<bool>()) {
        words.push_back("--" + name);
      } else if (style.no_flags) {
        words.push_back("--no-" + name);
      }
    } else if (value->is_array()) {
      bool first = true;
      for (const OrderedJson& item : *value) {
        if (item.is_structured()) throw std::invalid_argument("a list in the list '" + name + "'");
        if (first || style.append_lists) words.push_back("--" + name);
        words.push_back(word(item));
        first = false;
      }
    } else if (!value->is_object()) {
      words.push_back("--" + name);
      // A reference has no room for quotes.
      const std::string text = word(*value);
      const auto reference = refer && text == to_text(*value) ? refer(name, *value) : std::nullopt;
      words.push_back(reference ? *reference : text);
    }
  }
  return util::join(words, " ");
}

bool Context::merge_into(OrderedJson& into, const OrderedJson& values, const std::string& path,
                         std::string& clash) const {
  for (const auto& [key, value] : values.items()) {
    const std::string name = path.empty() ? key : path + "." + key;
    const auto there = into.find(key);
    if (there == into.end()) {
      into[key] = value;
    } else if (there->is_object() && value.is_object()) {
      if (!merge_into(*there, value, name, clash)) return false;
    } else {
      clash = name;
      return false;
    }
  }
  return true;
}

std::optional<std::string> Context::merge(const OrderedJson& all, const std::string& source) {
  const OrderedJson values = nameable(all);
  for (const auto& [key, value] : values.items()) {
    if (reserved_.contains(key))
      return "'" + key + "' is the name of what each stage of foreach or matrix stands for";
  }
  std::string clash;
  if (!merge_into(values_, values, "", clash)) {
    const auto from = sources_.find(clash.substr(0, clash.find('.')));
    return "'" + clash + "' of " + source + " has a value already, from " +
           (from == sources_.end() ? "another place" : from->second);
  }
  for (const auto& [key, value] : values.items()) sources_.try_emplace(key, source);
  return std::nullopt;
}

void Context::set_reserved(const std::string& name, const OrderedJson& value) {
  values_[name] = nameable(value);
  reserved_.insert(name);
}

const OrderedJson* Context::select(std::string_view expression, std::string& problem) const {
  const std::vector<std::string> parts = parts_of(expression);
  if (parts.empty()) {
    problem = "'" + std::string(expression) + "' is not a name such as train.lr or sizes[0]";
    return nullptr;
  }
  const OrderedJson* node = &values_;
  std::string path;
  for (const std::string& part : parts) {
    const OrderedJson* next = nullptr;
    if (node->is_object()) {
      const auto found = node->find(part);
      if (found != node->end()) next = &*found;
    } else if (node->is_array()) {
      std::size_t index = 0;
      const auto [stop, error] = std::from_chars(part.data(), part.data() + part.size(), index);
      if (error == std::errc() && stop == part.data() + part.size() && index < node->size())
        next = &(*node)[index];
    }
    if (!next) {
      problem = "there is no value '" + std::string(util::trim(expression)) + "'" +
                (path.empty() ? "" : ": '" + path + "' has no '" + part + "'") +
                (node->is_object() ? known_names(*node, part) : "");
      return nullptr;
    }
    path += (path.empty() ? "" : ".") + part;
    node = next;
  }
  return node;
}

std::optional<std::string> Context::reference(const std::vector<std::string>& parts,
                                              const OrderedJson& value) const {
  if (!refer || parts.empty() || reserved_.contains(parts[0])) return std::nullopt;
  const auto whole = values_.find(parts[0]);
  return whole == values_.end() ? std::nullopt : refer(parts, *whole, value);
}

OrderedJson fill_in(const std::string& text, const Context& context, std::string_view key,
                    const UnpackStyle& style,
                    const std::function<void(const std::string&, std::string)>& report) {
  const auto expressions = expressions_of(text);
  const auto unescaped = [](std::string part) {
    for (std::size_t at = part.find("\\${"); at != part.npos; at = part.find("\\${", at + 2))
      part.erase(at, 1);
    return part;
  };
  if (expressions.empty()) return unescaped(text);
  const bool exact =
      expressions.size() == 1 && expressions[0].begin == 0 && expressions[0].end == text.size();
  const bool iterates = key == "foreach" || key == "matrix";
  const bool is_path = key == "deps" || key == "outs" || key == "metrics" || key == "plots";
  std::string out;
  std::size_t done = 0;
  for (const Expression& expression : expressions) {
    std::string problem;
    const OrderedJson* value = context.select(expression.inner, problem);
    if (!value) {
      report(expression.inner, problem);
      return nullptr;
    }
    if (is_plain(*value) && value->get_ref<const std::string&>().find('-', 2) != std::string::npos) {
      report(expression.inner, "'" + expression.inner + "' is a date, which DVC does not fill in");
      return nullptr;
    }
    const std::vector<std::string> parts = parts_of(expression.inner);
    std::optional<std::string> reference;
    if (key == "cmd" || (is_path && !(exact && value->is_boolean())))
      reference = context.reference(parts, *value);
    if (exact && reference) return *reference;
    if (exact && (!value->is_structured() || iterates)) return *value;
    if (value->is_structured() && !(value->is_object() && key == "cmd")) {
      report(expression.inner, "'" + expression.inner + "' is " + kind_of(*value) +
                                   ", which cannot be part of a text" +
                                   (value->is_object() ? "; only cmd takes a map, as options" : ""));
      return nullptr;
    }
    std::string filled;
    try {
      const auto refer = [&](const std::string& name, const OrderedJson& inner) {
        std::vector<std::string> all = parts;
        for (std::string& part : util::split(name, '.')) all.push_back(std::move(part));
        return context.reference(all, inner);
      };
      filled = reference ? *reference : value->is_object() ? unpack(*value, style, refer) : to_text(*value);
    } catch (const std::invalid_argument& error) {
      report(expression.inner, "'" + expression.inner + "' holds " + error.what() + ", which is no option");
      return nullptr;
    }
    out += text.substr(done, expression.begin - done) + filled;
    done = expression.end;
  }
  return unescaped(out + text.substr(done));
}

}  // namespace mlops::pipeline::dvc
