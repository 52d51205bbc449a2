#include "pipeline/dvc/resolver.hpp"

#include "pipeline/dvc/params_file.hpp"
#include "pipeline/paths.hpp"
#include "util/strings.hpp"

#include <algorithm>
#include <filesystem>

namespace mlops::pipeline::dvc {

using util::YamlEntry;
using util::YamlNode;

namespace {

bool contains_expression(const YamlNode& node) {
  if (node.is_scalar()) return has_expression(node.text);
  return std::ranges::any_of(node.items, contains_expression) ||
         std::ranges::any_of(node.entries, [](const YamlEntry& entry) {
           return has_expression(entry.key) || contains_expression(entry.value);
         });
}

}  // namespace

void Resolver::load_vars(Context& context, const YamlNode& vars, const std::string& directory) {
  if (!vars.is_list()) return problems_.add(vars.at, "vars: expected a list of files and maps");
  for (const YamlNode& item : vars.items) {
    if (contains_expression(item)) {
      problems_.add(item.at, "vars: nothing is filled in here", "write the value itself");
    } else if (item.is_map()) {
      if (const auto clash = context.merge(to_value(item), "vars")) problems_.add(item.at, "vars: " + *clash);
    } else if (item.is_scalar()) {
      const std::size_t colon = item.text.find(':');
      std::vector<std::string> keys;
      if (colon != item.text.npos) {
        for (std::string& key : util::split(item.text.substr(colon + 1), ',')) {
          if (!key.empty()) keys.push_back(std::move(key));
        }
      }
      const std::string path = item.text.substr(0, colon);
      load_file(context, normal_path(file_.directory, directory, path), keys, item.at);
    } else {
      problems_.add(item.at, "vars: expected the name of a file or a map");
    }
  }
}

void Resolver::load_file(Context& context, const std::string& path, const std::vector<std::string>& keys,
                         Location at) {
  const std::string full = absolute_path(file_.directory, path);
  const bool whole = keys.empty();
  if (const auto before = context.loaded.find(full); before != context.loaded.end()) {
    if (before->second && whole) return;
    if (before->second != whole)
      return problems_.add(at, "vars: '" + path + "' is loaded wholly and in part",
                           "params.yaml is always loaded wholly; keep one of the two");
  }
  context.loaded[full] = whole;
  const auto text = sources_.read(full);
  if (!text) return problems_.add(at, "vars: there is no file '" + path + "'", "looked for " + full);
  try {
    OrderedJson values = parse_params(*text, shown(full));
    if (!whole) {
      OrderedJson some = OrderedJson::object();
      for (const std::string& key : keys) {
        if (!values.contains(key)) {
          problems_.add(at, "vars: '" + path + "' has no '" + key + "'");
        } else {
          some[key] = values[key];
        }
      }
      values = std::move(some);
    }
    if (const auto clash = context.merge(values, "'" + path + "'")) problems_.add(at, "vars: " + *clash);
  } catch (const BadFile& bad) {
    for (const Diagnostic& problem : bad.problems()) problems_.add(problem);
  }
}

std::string Resolver::shown(const std::string& full) const {
  return full.starts_with(file_.directory + "/") &&
                 file_.shown.ends_with(std::filesystem::path(file_.path).filename().string())
             ? file_.shown.substr(0, file_.shown.size() - 8) + full.substr(file_.directory.size() + 1)
             : full;
}

OrderedJson Resolver::resolve(const YamlNode& node, const Context& context, std::string_view key) {
  const auto fill = [&](const std::string& text, Location at) {
    return fill_in(text, context, key, style_, [&](const std::string& expression, std::string problem) {
      problems_.add(problems_.locate(at, "${" + expression + "}", 0),
                    std::string(key) + ": " + std::move(problem));
    });
  };
  if (node.is_list()) {
    OrderedJson list = OrderedJson::array();
    for (const YamlNode& item : node.items) list.push_back(resolve(item, context, key));
    return list;
  }
  if (node.is_map()) {
    OrderedJson map = OrderedJson::object();
    const bool iterates = key == "foreach" || key == "matrix";
    for (const YamlEntry& entry : node.entries) {
      if (iterates && !entry.quoted && !plain_value(entry.key).is_string()) {
        map[plain_mark + entry.key] = resolve(entry.value, context, key);
        continue;
      }
      const OrderedJson name = fill(entry.key, entry.at);
      map[name.is_structured() ? entry.key : to_text(name)] = resolve(entry.value, context, key);
    }
    return map;
  }
  const OrderedJson value = to_value(node);
  return value.is_string() && !is_plain(value) ? fill(node.text, node.at) : value;
}

}  // namespace mlops::pipeline::dvc
