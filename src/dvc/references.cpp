#include "dvc/references.hpp"

#include "params/interpolate.hpp"
#include "params/shell_context.hpp"
#include "pipeline/dvc/config.hpp"
#include "util/strings.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <utility>

namespace mlops::dvc {

namespace {

using pipeline::dvc::key_text;

// What stands for a reference while a file is read: its dotted name between these.
constexpr char mark_begin = '\x1c', mark_end = '\x1d';

// A value as it can stand under `params:`; nothing if it cannot.
std::optional<OrderedJson> as_params(const OrderedJson& value) {
  if (value.is_object()) {
    OrderedJson map = OrderedJson::object();
    for (const auto& [key, child] : value.items()) {
      const std::string name = key_text(key);
      auto inner = as_params(child);
      if (!inner || name.empty() || name.find('.') != name.npos) return std::nullopt;
      map[name] = std::move(*inner);
    }
    return map;
  }
  if (value.is_array()) {
    OrderedJson list = OrderedJson::array();
    for (const OrderedJson& child : value) {
      auto inner = as_params(child);
      if (!inner) return std::nullopt;
      list.push_back(std::move(*inner));
    }
    return list;
  }
  if (value.is_string()) return params::escape_references(key_text(value.get_ref<const std::string&>()));
  if (value.is_number_float() && !std::isfinite(value.get<double>())) return std::nullopt;
  return value;
}

bool is_name(const std::string& part) {
  return !part.empty() && std::ranges::all_of(part, [](unsigned char c) {
    return (c < 0x80 && std::isalnum(c)) || c == '_' || c == '-';
  });
}

}  // namespace

References::References(const Pipeline& pipeline) {
  pipeline::dvc::Sources sources(&pipeline.dvc->sources);
  const pipeline::dvc::Config config = pipeline::dvc::read_config(pipeline.dvc->root, sources);
  std::map<std::string, bool> files;  // whether it is that of the pipeline itself
  for (std::size_t i = 0; i < pipeline.steps.size(); ++i) {
    const DvcStage& stage = pipeline.dvc->stages[i];
    files[stage.file] = pipeline.steps[i].name == stage.name;
  }
  for (const auto& [path, main] : files) {
    const auto text = main ? pipeline.source : sources.read(path).value_or("");
    pipeline::Problems problems(path, text);
    const auto file = pipeline::dvc::stage_file(path, path, pipeline.directory, main);
    auto read = pipeline::dvc::read_stages(file, text, pipeline.dvc->root, config.unpack, sources, problems,
                                           [this](const auto& parts, const auto& whole, const auto& value) {
                                             return refer(parts, whole, value);
                                           });
    for (pipeline::dvc::ReadStage& stage : read.stages) {
      std::string name = stage.step.name;
      stages_.insert_or_assign(std::move(name), std::move(stage));
    }
    for (const std::string& metric : read.metrics) metrics_.push_back(plain(metric));
    for (const std::string& plot : read.plots) plots_.push_back(plain(plot));
  }
}

std::optional<std::string> References::refer(const std::vector<std::string>& parts, const OrderedJson& whole,
                                             const OrderedJson& value) {
  const std::string name = util::join(parts, ".");
  // Of a map that becomes options, single values are asked for one by one; what is more than that or needs
  // quotes, or whether an option is there at all, is fixed.
  if (value.is_object()) {
    fix_options(name, value);
    return std::nullopt;
  }
  auto reference = reference_to(parts, name, whole, value);
  if (!reference) fixed_.insert(name);
  return reference;
}

void References::fix_options(const std::string& name, const OrderedJson& map) {
  for (const auto& [key, value] : map.items()) {
    const std::string inner = name + "." + key;
    const bool quoted = value.is_string() && pipeline::dvc::quoted_word(pipeline::dvc::to_text(value)) !=
                                                 value.get_ref<const std::string&>();
    if (value.is_object()) {
      fix_options(inner, value);
    } else if (value.is_boolean() || value.is_array() || quoted) {
      fixed_.insert(inner);
    }
  }
}

// A name is a param if the value is one text for both programs, and no other file means something else by it.
std::optional<std::string> References::reference_to(const std::vector<std::string>& parts,
                                                    const std::string& name, const OrderedJson& whole,
                                                    const OrderedJson& value) {
  if (value.is_null() || value.is_array() || !std::ranges::all_of(parts, is_name)) return std::nullopt;
  const std::string text = pipeline::dvc::to_text(value);
  const auto param = as_params(value);
  if (!param || text.find_first_of("\n${}") != text.npos || params::value_text(Json(*param)) != text)
    return std::nullopt;
  // A key with a dot in it looks like two.
  const OrderedJson* found =
      parts.size() == 1 ? &whole : pipeline::dvc::find_value(whole, name.substr(parts[0].size() + 1));
  if (!found || *found != value) return std::nullopt;
  const auto known = params_.find(parts[0]);
  auto all = as_params(whole);
  if (!all || (known != params_.end() && *known != *all)) return std::nullopt;
  if (known == params_.end()) params_[parts[0]] = std::move(*all);
  texts_[name] = text;
  return mark_begin + name + mark_end;
}

const pipeline::dvc::ReadStage* References::find(const Step& step, const DvcStage& stage) const {
  const auto found = stages_.find(step.name);
  if (found == stages_.end()) return nullptr;
  const pipeline::dvc::ReadStage& read = found->second;
  // Two names of one file are one output only once they are filled in.
  const bool same = read.stage.deps.size() == stage.deps.size() &&
                    read.stage.outs.size() == stage.outs.size() &&
                    read.step.command.argv.size() == step.command.argv.size();
  return same ? &read : nullptr;
}

std::vector<References::Part> References::parts_of(const std::string& marked) const {
  std::vector<Part> parts;
  std::size_t done = 0;
  for (std::size_t at = 0; (at = marked.find(mark_begin, at)) != marked.npos;) {
    const std::size_t end = marked.find(mark_end, at);
    if (end == marked.npos) break;
    std::string name = marked.substr(at + 1, end - at - 1);
    if (!texts_.contains(name)) {
      ++at;
      continue;
    }
    if (at > done) parts.push_back({marked.substr(done, at - done)});
    parts.push_back({std::move(name), true});
    at = done = end + 1;
  }
  if (done < marked.size()) parts.push_back({marked.substr(done)});
  return parts;
}

std::string References::plain(const std::string& marked) const {
  std::string out;
  for (const Part& part : parts_of(marked)) out += part.reference ? texts_.at(part.text) : part.text;
  return out;
}

// A reference to a value.
std::string References::written(const std::string& name) {
  used_.insert(name.substr(0, name.find('.')));
  return "${params." + name + "}";
}

OrderedJson References::params() const {
  OrderedJson params = OrderedJson::object();
  for (const auto& [name, value] : params_.items()) {
    if (used_.contains(name)) params[name] = value;
  }
  return params;
}

std::string References::in_text(const std::string& marked) {
  std::string out;
  for (const Part& part : parts_of(marked)) {
    // After a dollar sign it would be taken for an escape.
    const bool refers = part.reference && !out.ends_with('$');
    out += refers           ? written(part.text)
           : part.reference ? texts_.at(part.text)
                            : params::escape_references(part.text);
  }
  return out;
}

std::string References::in_script(const std::string& marked) {
  params::ShellScanner scanner(marked);
  std::string out;
  std::size_t at = 0;
  for (const Part& part : parts_of(marked)) {
    if (!part.reference) {
      out += params::escape_references(part.text);
      at += part.text.size();
      continue;
    }
    const std::string& value = texts_.at(part.text);
    const params::ShellContext context = scanner.at(at);
    at += part.text.size() + 2;
    scanner.skip_to(at);
    const bool is_word = !value.empty() && params::shell_word(value) == value;
    // Inside of quotes the value is a quoted word between two quoted texts.
    const char* quote = context == params::ShellContext::double_quotes   ? "\""
                        : context == params::ShellContext::single_quotes ? "'"
                                                                         : "";
    if (is_word && !out.ends_with('$') && !out.ends_with('\\') &&
        (*quote || context == params::ShellContext::word)) {
      out += quote + written(part.text) + quote;
    } else {
      out += value;
      fixed_.insert(part.text);
    }
  }
  return out;
}

}  // namespace mlops::dvc
