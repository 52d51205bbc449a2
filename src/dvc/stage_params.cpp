#include "dvc/stage_params.hpp"

#include "pipeline/dvc/params_file.hpp"
#include "pipeline/paths.hpp"
#include "store/file_reader.hpp"
#include "util/files.hpp"
#include "util/strings.hpp"

#include <sys/stat.h>

#include <algorithm>

namespace mlops::dvc {

namespace {

constexpr std::size_t most_bytes = 16u << 20;

using pipeline::absolute_path;
using pipeline::dvc::equal;
using pipeline::dvc::python_json;
using Kind = Change::Kind;

}  // namespace

const OrderedJson& StageParams::values_in(const std::string& path, const store::FileStamp& stamp) {
  auto known = files_.find(path);
  if (known == files_.end() || !(known->second.first == stamp)) {
    const auto text = util::read_regular_file(path, most_bytes);
    OrderedJson values = pipeline::dvc::parse_params(text.value_or(""), path);
    known = files_.insert_or_assign(path, std::pair(stamp, std::move(values))).first;
  }
  return known->second.second;
}

ParamsState StageParams::look(const DvcStage& stage, const std::string& directory) {
  ParamsState state;
  std::vector<const DvcParams*> files;
  for (const DvcParams& params : stage.params) files.push_back(&params);
  std::ranges::stable_sort(files, {}, [](const DvcParams* params) {
    return std::pair(params->path != "params.yaml", params->path);
  });
  const OrderedJson* locked =
      stage.locked && stage.locked->contains("params") ? &(*stage.locked)["params"] : nullptr;
  const auto label = [](const std::string& file, const std::string& key) {
    return file == "params.yaml" ? key : file + ":" + key;
  };
  OrderedJson& now = state.values;
  for (const DvcParams* params : files) {
    const std::string path = absolute_path(directory, params->path);
    struct stat st {};
    if (::stat(path.c_str(), &st) != 0) {
      state.changes.push_back({Kind::input, params->path, "", "missing"});
      continue;
    }
    const store::FileStamp stamp = store::stamp_of(st);
    const OrderedJson& values = values_in(path, stamp);
    std::vector<std::pair<std::string, const OrderedJson*>> wanted;
    if (params->keys.empty()) {
      for (const auto& [key, value] : values.items()) wanted.emplace_back(key, &value);
    }
    std::vector<std::string> absent;
    for (const std::string& key : params->keys) {
      const OrderedJson* value = pipeline::dvc::find_value(values, key);
      if (value) {
        wanted.emplace_back(key, value);
      } else {
        absent.push_back(key);
      }
    }
    if (!absent.empty() && !stage.frozen)
      state.problem = "its params " + util::join(absent, ", ") + " are missing from '" + params->path + "'";
    std::ranges::sort(wanted, {}, [](const auto& entry) { return entry.first; });
    OrderedJson& file = now[params->path] = OrderedJson::object();
    const OrderedJson* before = locked && locked->contains(params->path) ? &(*locked)[params->path] : nullptr;
    for (const auto& [key, value] : wanted) {
      file[key] = *value;
      const std::string name = label(params->path, pipeline::dvc::key_text(key));
      state.texts[name] = python_json(*value);
      const bool known_before = before && before->is_object() && before->contains(key);
      if (!known_before) {
        state.changes.push_back({Kind::param, name, "", python_json(*value)});
      } else if (!equal((*before)[key], *value)) {
        state.changes.push_back({Kind::param, name, python_json((*before)[key]), python_json(*value)});
      }
    }
  }
  // What is no longer a param of the stage: DVC does not notice.
  if (locked) {
    for (const auto& [path, keys] : locked->items()) {
      const OrderedJson* file = now.contains(path) ? &now[path] : nullptr;
      if (!keys.is_object()) continue;
      for (const auto& [key, value] : keys.items()) {
        if (!file || !file->contains(key))
          state.changes.push_back(
              {Kind::param, label(path, pipeline::dvc::key_text(key)), python_json(value), ""});
      }
    }
  }
  return state;
}

}  // namespace mlops::dvc
