#include "pipeline/dvc/params_file.hpp"

#include "pipeline/dvc/python_params.hpp"
#include "pipeline/source.hpp"
#include "util/toml.hpp"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

namespace mlops::pipeline::dvc {

namespace {

// Makes the value of a text as OrderedJson::parse() does, but for integers of more than 64 bits, which would
// become floats.
class JsonValues : public nlohmann::json_sax<OrderedJson> {
 public:
  explicit JsonValues(OrderedJson& root) : root_(root) {}

  bool null() override { return put(nullptr); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(number_integer_t value) override { return put(value); }
  bool number_unsigned(number_unsigned_t value) override { return put(value); }
  bool number_float(number_float_t value, const string_t& text) override {
    if (text.find_first_of(".eE") == text.npos) return put(plain_mark + text);
    return put(value);
  }
  bool string(string_t& value) override { return put(std::move(value)); }
  bool binary(binary_t&) override { return false; }  // there is none in a text
  bool start_object(std::size_t) override { return open(OrderedJson::object()); }
  bool key(string_t& value) override { return key_ = std::move(value), true; }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open(OrderedJson::array()); }
  bool end_array() override { return close(); }
  bool parse_error(std::size_t position, const std::string& token,
                   const nlohmann::detail::exception& error) override {
    constexpr int number_overflow = 406;
    if (error.id == number_overflow) {
      too_large_ = token;
    } else {
      error_at_ = position;
    }
    return false;
  }

  std::optional<std::size_t> error_at() const { return error_at_; }
  const std::string& too_large() const { return too_large_; }

 private:
  OrderedJson& add(OrderedJson value) {
    if (open_.empty()) return root_ = std::move(value);
    OrderedJson& in = *open_.back();
    if (in.is_object()) return in[key_] = std::move(value);
    in.push_back(std::move(value));
    return in.back();
  }
  bool put(OrderedJson value) { return add(std::move(value)), true; }
  // What is open does not move: its parent gets nothing until it is closed.
  bool open(OrderedJson value) { return open_.push_back(&add(std::move(value))), true; }
  bool close() { return open_.pop_back(), true; }

  OrderedJson& root_;
  std::vector<OrderedJson*> open_;
  std::string key_, too_large_;
  std::optional<std::size_t> error_at_;
};

OrderedJson parse_json(std::string_view text, const std::string& shown) {
  OrderedJson value;
  JsonValues values(value);
  OrderedJson::sax_parse(text, &values);
  if (const auto at = values.error_at()) {
    const std::string_view before = text.substr(0, std::min(*at, text.size()));
    const std::size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
    throw BadFile({{shown,
                    {static_cast<int>(std::ranges::count(before, '\n')) + 1,
                     static_cast<int>(before.size() - std::min(line_start, before.size())) + 1},
                    "this is not JSON",
                    "correct it"}});
  }
  if (!values.too_large().empty())
    throw BadFile({{shown,
                    {},
                    "number overflow parsing '" + values.too_large() + "'",
                    "no float is as large: write a smaller one"}});
  return value;
}

OrderedJson parse_yaml(std::string_view text, const std::string& shown) {
  std::vector<Diagnostic> problems;
  const util::YamlNode root = util::parse_yaml(text, shown, problems);
  if (!problems.empty()) throw BadFile(std::move(problems));
  return to_value(root);
}

}  // namespace

OrderedJson parse_params(std::string_view text, const std::string& name) {
  std::string extension = std::filesystem::path(name).extension().string();
  std::ranges::transform(extension, extension.begin(), [](unsigned char c) { return std::tolower(c); });
  const std::string shown = shown_name(name);
  OrderedJson values = extension == ".json"   ? parse_json(text, shown)
                       : extension == ".toml" ? util::parse_toml(text, shown)
                       : extension == ".py"   ? parse_python_params(text)
                                              : parse_yaml(text, shown);
  if (values.is_null()) return OrderedJson::object();
  if (!values.is_object())
    throw BadFile({{shown, {1, 1}, std::string("expected a map of params, got ") + kind_of(values), ""}});
  return values;
}

}  // namespace mlops::pipeline::dvc
