#include "pipeline/dvc/value.hpp"

#include "util/strings.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <optional>

namespace mlops::pipeline::dvc {

namespace {

constexpr std::string_view digits10 = "0123456789_";

bool only(std::string_view text, std::string_view of) {
  return !text.empty() && text.find_first_not_of(of) == text.npos;
}

std::string without_underscores(std::string_view text) {
  std::string plain(text);
  std::erase(plain, '_');
  return plain;
}

std::optional<OrderedJson> integer(std::string_view text) {
  std::string_view body = text;
  const bool minus = body[0] == '-';
  if (minus || body[0] == '+') body.remove_prefix(1);
  int base = 10;
  if (body.starts_with("0b") && only(body.substr(2), "01_")) {
    base = 2;
  } else if (body.starts_with("0o") && only(body.substr(2), "01234567_")) {
    base = 8;
  } else if (body.starts_with("0x") && only(body.substr(2), "0123456789abcdefABCDEF_")) {
    base = 16;
  } else if (!only(body, digits10)) {
    return std::nullopt;
  }
  const std::string digits = without_underscores(base == 10 ? body : body.substr(2));
  if (digits.empty()) return std::nullopt;
  std::uint64_t value = 0;
  const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  constexpr std::uint64_t most = std::numeric_limits<std::int64_t>::max();
  if (error != std::errc() || (minus && value > most)) return plain_mark + std::string(text);
  if (minus) return -static_cast<std::int64_t>(value);
  if (value <= most) return static_cast<std::int64_t>(value);
  return value;
}

// [0-9][0-9_]*\.[0-9_]*(e±n)?, [0-9][0-9_]*e±n, \.[0-9_]+(e±n)?
std::optional<OrderedJson> real(std::string_view text) {
  std::string_view body = text;
  const bool minus = body[0] == '-';
  if (minus || body[0] == '+') body.remove_prefix(1);
  if (body == ".inf" || body == ".Inf" || body == ".INF") {
    const double inf = std::numeric_limits<double>::infinity();
    return minus ? -inf : inf;
  }
  if (text == ".nan" || text == ".NaN" || text == ".NAN") return std::numeric_limits<double>::quiet_NaN();
  const std::size_t e = body.find_first_of("eE");
  const std::string_view mantissa = body.substr(0, e);
  const std::size_t dot = mantissa.find('.');
  if (e == body.npos && dot == body.npos) return std::nullopt;
  const std::string_view before = mantissa.substr(0, dot);
  const std::string_view after = dot == mantissa.npos ? "" : mantissa.substr(dot + 1);
  if (!before.empty() && (!only(before, digits10) || before[0] == '_')) return std::nullopt;
  if (!after.empty() && !only(after, digits10)) return std::nullopt;
  if (before.empty() && after.empty()) return std::nullopt;
  if (e != body.npos) {
    std::string_view exponent = body.substr(e + 1);
    const bool sign = exponent.starts_with('-') || exponent.starts_with('+');
    if (sign) exponent.remove_prefix(1);
    if (!only(exponent, "0123456789") || (before.empty() && !sign)) return std::nullopt;
  }
  const std::string digits = without_underscores(body);
  const char* begin = digits.data();
  std::string padded;
  if (digits[0] == '.') padded = "0" + digits, begin = padded.data();
  const double value = std::strtod(begin, nullptr);
  return minus ? -value : value;
}

bool is_date(std::string_view text) {
  if (text.size() < 8 || !only(text.substr(0, 4), "0123456789") || text[4] != '-') return false;
  if (text.size() == 10)
    return text[7] == '-' && only(text.substr(5, 2), "0123456789") && only(text.substr(8), "0123456789");
  // A date with a time has its parts after one of these.
  const std::size_t gap = text.find_first_of("Tt \t", 8);
  return gap != text.npos && text.find(':', gap) != text.npos && only(text.substr(5), "0123456789-:.TtZ+ \t");
}

void write_text(std::string& out, const std::string& text) {
  out += OrderedJson(text).dump(-1, ' ', true, OrderedJson::error_handler_t::replace);
}

void write_json(std::string& out, const OrderedJson& value, const std::vector<std::string>& without) {
  if (value.is_object()) {
    struct Entry {
      std::string name;
      const OrderedJson* value;
      bool is_number;
    };
    std::vector<Entry> entries;
    for (const auto& [key, child] : value.items()) {
      std::string name = key_text(key);
      if (std::ranges::find(without, name) != without.end()) continue;
      const bool is_number = key.starts_with(plain_mark) && plain_value(name).is_number();
      entries.push_back({std::move(name), &child, is_number});
    }
    // As Python compares: texts by character, numbers by value.
    std::ranges::stable_sort(entries, [](const Entry& x, const Entry& y) {
      if (x.is_number && y.is_number) return plain_value(x.name) < plain_value(y.name);
      return x.name < y.name;
    });
    out += '{';
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if (i > 0) out += ", ";
      write_text(out, entries[i].name);
      out += ": ";
      write_json(out, *entries[i].value, without);
    }
    out += '}';
  } else if (value.is_array()) {
    out += '[';
    for (std::size_t i = 0; i < value.size(); ++i) {
      if (i > 0) out += ", ";
      write_json(out, value[i], without);
    }
    out += ']';
  } else if (value.is_number_float()) {
    const double number = value.get<double>();
    out += std::isnan(number)   ? "NaN"
           : std::isinf(number) ? (number < 0 ? "-Infinity" : "Infinity")
                                : float_text(number);
  } else if (is_plain(value)) {
    out += key_text(value.get_ref<const std::string&>());
  } else if (value.is_string()) {
    write_text(out, value.get_ref<const std::string&>());
  } else {
    out += value.dump();
  }
}

}  // namespace

bool is_plain(const OrderedJson& value) {
  return value.is_string() && value.get_ref<const std::string&>().starts_with(plain_mark);
}

OrderedJson plain_value(std::string_view text) {
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL") return nullptr;
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  if (std::string_view("-+.0123456789").find(text[0]) != std::string_view::npos) {
    if (auto value = integer(text)) return *value;
    if (auto value = real(text)) return *value;
    if (is_date(text)) return plain_mark + std::string(text);
  }
  return std::string(text);
}

OrderedJson to_value(const util::YamlNode& node) {
  using Kind = util::YamlNode::Kind;
  switch (node.kind) {
    case Kind::null: return nullptr;
    case Kind::scalar: return node.quoted ? OrderedJson(node.text) : plain_value(node.text);
    case Kind::list: {
      OrderedJson list = OrderedJson::array();
      for (const util::YamlNode& item : node.items) list.push_back(to_value(item));
      return list;
    }
    case Kind::map: {
      OrderedJson map = OrderedJson::object();
      for (const util::YamlEntry& entry : node.entries) {
        const bool text = entry.quoted || plain_value(entry.key).is_string();
        map[text ? entry.key : plain_mark + entry.key] = to_value(entry.value);
      }
      return map;
    }
  }
  return nullptr;
}

std::string key_text(std::string_view key) {
  if (!key.starts_with(plain_mark)) return std::string(key);
  key.remove_prefix(1);
  const OrderedJson value = plain_value(key);
  if (value.is_boolean()) return value.get<bool>() ? "true" : "false";
  if (value.is_number_float()) return float_text(value.get<double>());
  return value.is_number() ? value.dump() : std::string(key);
}

std::string float_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific).ptr;
  std::string_view text(buffer, static_cast<std::size_t>(end - buffer));
  std::string sign;
  if (text[0] == '-') sign = "-", text.remove_prefix(1);
  const std::size_t e = text.find('e');
  int exponent = 0;
  const char* first = text.data() + e + 1;
  std::from_chars(first + (*first == '+' ? 1 : 0), text.data() + text.size(), exponent);
  std::string digits(1, text[0]);
  if (e > 2) digits += text.substr(2, e - 2);
  const int count = static_cast<int>(digits.size());
  if (exponent < -4 || exponent >= 16) {
    std::string out = sign + digits.substr(0, 1);
    if (count > 1) out += "." + digits.substr(1);
    char tail[16];
    std::snprintf(tail, sizeof tail, "e%c%02d", exponent < 0 ? '-' : '+', std::abs(exponent));
    return out + tail;
  }
  if (exponent < 0) return sign + "0." + std::string(static_cast<std::size_t>(-exponent - 1), '0') + digits;
  const auto whole = static_cast<std::size_t>(exponent + 1);
  if (digits.size() <= whole) return sign + digits + std::string(whole - digits.size(), '0') + ".0";
  return sign + digits.substr(0, whole) + "." + digits.substr(whole);
}

std::string to_text(const OrderedJson& value) {
  if (value.is_null()) return "None";
  if (value.is_boolean()) return value.get<bool>() ? "true" : "false";
  if (value.is_number_float()) return float_text(value.get<double>());
  if (value.is_string()) return key_text(value.get_ref<const std::string&>());
  return value.dump();
}

std::string python_json(const OrderedJson& value, const std::vector<std::string>& without) {
  std::string out;
  write_json(out, value, without);
  return out;
}

bool equal(const OrderedJson& a, const OrderedJson& b) {
  const auto number = [](const OrderedJson& v) { return v.is_number() || v.is_boolean(); };
  if (number(a) && number(b)) {
    const auto of = [](const OrderedJson& v) {
      return v.is_boolean()           ? static_cast<long double>(v.get<bool>())
             : v.is_number_unsigned() ? static_cast<long double>(v.get<std::uint64_t>())
             : v.is_number_integer()  ? static_cast<long double>(v.get<std::int64_t>())
                                      : static_cast<long double>(v.get<double>());
    };
    return of(a) == of(b);
  }
  if (a.is_array() && b.is_array()) {
    return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(),
                                              [](const auto& x, const auto& y) { return equal(x, y); });
  }
  if (a.is_object() && b.is_object()) {
    if (a.size() != b.size()) return false;
    for (const auto& [key, value] : a.items()) {
      const auto other = b.find(key);
      if (other == b.end() || !equal(value, *other)) return false;
    }
    return true;
  }
  return a == b;
}

const OrderedJson* find_value(const OrderedJson& root, std::string_view path) {
  const OrderedJson* node = &root;
  for (const std::string& part : util::split(path, '.')) {
    if (node->is_object()) {
      auto found = node->find(part);
      if (found == node->end()) found = node->find(plain_mark + part);
      if (found == node->end()) return nullptr;
      node = &*found;
    } else if (node->is_array()) {
      std::size_t index = 0;
      const auto [stop, error] = std::from_chars(part.data(), part.data() + part.size(), index);
      if (error != std::errc() || stop != part.data() + part.size() || index >= node->size()) return nullptr;
      node = &(*node)[index];
    } else {
      return nullptr;
    }
  }
  return node;
}

const char* kind_of(const OrderedJson& value) {
  if (value.is_null()) return "null";
  if (value.is_object()) return "a map";
  if (value.is_array()) return "a list";
  if (value.is_boolean()) return "true or false";
  if (value.is_number()) return "a number";
  return is_plain(value) ? "a date" : "text";
}

}  // namespace mlops::pipeline::dvc
