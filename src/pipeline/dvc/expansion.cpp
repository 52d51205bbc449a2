#include "pipeline/dvc/expansion.hpp"

#include "pipeline/dvc/context.hpp"
#include "util/strings.hpp"

#include <algorithm>
#include <unordered_map>
#include <utility>

namespace mlops::pipeline::dvc {

namespace {

using util::YamlNode;

class Expansions {
 public:
  void add(std::string key, OrderedJson item) {
    const auto [place, is_new] = places_.try_emplace(key, list_.size());
    if (is_new) {
      list_.push_back({std::move(key), std::move(item)});
    } else {
      list_[place->second].item = std::move(item);
    }
  }
  std::vector<Expansion> take() { return std::move(list_); }

 private:
  std::vector<Expansion> list_;
  std::unordered_map<std::string, std::size_t> places_;
};

// Where a value of a list or map is written: at its own place, or in a reference to all of them.
const YamlNode& written_at(const YamlNode& node, std::size_t index) {
  if (node.is_list() && index < node.items.size()) return node.items[index];
  if (node.is_map() && index < node.entries.size()) return node.entries[index].value;
  return node;
}

// A value as part of a stage's name. DVC wraps what a reference brings, and Python writes that out.
std::string name_part(const OrderedJson& value, const YamlNode& written) {
  if (value.is_boolean() && has_expression(written.text)) return value.get<bool>() ? "True" : "False";
  return to_text(value);
}

}  // namespace

std::vector<Expansion> expand_foreach(const OrderedJson& values, const YamlNode& written) {
  const bool composite =
      values.is_array() && std::ranges::any_of(values, [](const auto& v) { return v.is_structured(); });
  Expansions expansions;
  std::size_t index = 0;
  for (const auto& [key, item] : values.items()) {
    expansions.add(values.is_object() ? key_text(key)
                   : composite        ? std::to_string(index)
                                      : name_part(item, written_at(written, index)),
                   item);
    ++index;
  }
  return expansions.take();
}

std::vector<Expansion> expand_matrix(const OrderedJson& axes, const YamlNode& written) {
  Expansions expansions;
  std::vector<std::size_t> at(axes.size(), 0);
  if (std::ranges::any_of(axes, [](const OrderedJson& values) { return values.empty(); })) return {};
  while (true) {
    OrderedJson item = OrderedJson::object();
    std::vector<std::string> fragments;
    std::size_t axis = 0;
    for (const auto& [name, values] : axes.items()) {
      const std::size_t index = at[axis];
      const OrderedJson& value = values[index];
      item[name] = value;
      fragments.push_back(value.is_structured()
                              ? key_text(name) + std::to_string(index)
                              : name_part(value, written_at(written_at(written, axis), index)));
      ++axis;
    }
    expansions.add(util::join(fragments, "-"), std::move(item));
    auto values = axes.end();
    std::size_t i = axes.size();
    while (i > 0) {
      --i, --values;
      if (++at[i] < values->size()) break;
      at[i] = 0;
      if (i == 0) return expansions.take();
    }
  }
}

}  // namespace mlops::pipeline::dvc
