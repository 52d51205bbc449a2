#include "pipeline/dvc/params_file.hpp"

#include "pipeline/dvc/python_params.hpp"
#include "pipeline/source.hpp"
#include "util/toml.hpp"

#include <algorithm>
#include <cctype>
#include <filesystem>

namespace mlops::pipeline::dvc {

namespace {

// Makes the value of a text as OrderedJson::parse() does, but for integers of more than 64 bits, which would
// become floats.
class JsonValues : public nlohmann::detail::json_sax_dom_parser<OrderedJson> {
 public:
  using json_sax_dom_parser::json_sax_dom_parser;

  bool number_float(double value, const std::string& text) {
    if (text.find_first_of(".eE") != text.npos) return json_sax_dom_parser::number_float(value, text);
    std::string plain = plain_mark + text;
    return string(plain);
  }
};

OrderedJson parse_json(std::string_view text, const std::string& shown) {
  OrderedJson value;
  JsonValues values(value);
  try {
    OrderedJson::sax_parse(text, &values);
    return value;
  } catch (const OrderedJson::parse_error& error) {
    const std::string_view before = text.substr(0, std::min(error.byte, text.size()));
    const std::size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
    throw BadFile({{shown,
                    {static_cast<int>(std::ranges::count(before, '\n')) + 1,
                     static_cast<int>(before.size() - std::min(line_start, before.size())) + 1},
                    "this is not JSON",
                    "correct it"}});
  } catch (const OrderedJson::out_of_range& error) {
    const std::string words = error.what();
    throw BadFile(
        {{shown, {}, words.substr(words.find("] ") + 2), "no float is as large: write a smaller one"}});
  }
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
