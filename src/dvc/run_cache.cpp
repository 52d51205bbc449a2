#include "dvc/run_cache.hpp"

#include "dvc/lock_writer.hpp"
#include "dvc/yaml_writer.hpp"
#include "pipeline/dvc/value.hpp"
#include "util/digest.hpp"
#include "util/files.hpp"
#include "util/yaml.hpp"

#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <vector>

namespace mlops::dvc {

namespace {

namespace fs = std::filesystem;

std::string hash(const OrderedJson& entry) {
  return util::sha256(pipeline::dvc::python_json(entry, {"size", "nfiles"}));
}

OrderedJson with_paths_only(OrderedJson entry) {
  OrderedJson paths = OrderedJson::array();
  if (entry.contains("outs")) {
    for (const OrderedJson& out : entry["outs"]) paths.push_back(out["path"]);
  }
  entry["outs"] = std::move(paths);
  return entry;
}

}  // namespace

std::pair<std::string, std::string> run_keys(const OrderedJson& entry) {
  return {hash(with_paths_only(entry)), hash(entry)};
}

std::optional<OrderedJson> RunCache::find(const OrderedJson& entry) const {
  const std::string key = hash(with_paths_only(entry));
  const std::string folder = directory_ + "/" + key.substr(0, 2) + "/" + key;
  std::string newest;
  std::int64_t time = -1;
  std::error_code error;
  for (const auto& file : fs::directory_iterator(folder, error)) {
    struct stat st {};
    if (file.path().filename().string().size() != 64 || ::stat(file.path().c_str(), &st) != 0) continue;
    const std::int64_t now = st.st_mtim.tv_sec * 1'000'000'000LL + st.st_mtim.tv_nsec;
    if (now > time) time = now, newest = file.path().string();
  }
  if (newest.empty()) return std::nullopt;
  const auto text = util::read_file_if_exists(newest);
  if (!text) return std::nullopt;
  std::vector<Diagnostic> problems;
  OrderedJson value = pipeline::dvc::to_value(util::parse_yaml(*text, newest, problems));
  // Its name vouches for it: a damaged one is as good as none.
  const bool good = problems.empty() && value.is_object() && value.contains("outs") &&
                    value["outs"].is_array() && hash(value) == fs::path(newest).filename().string();
  if (!good) return std::nullopt;
  for (const OrderedJson& out : value["outs"]) {
    if (!out.is_object() || !out.contains("path") || !out.contains("md5") || !out["md5"].is_string())
      return std::nullopt;
  }
  return value;
}

void RunCache::save(const OrderedJson& entry) const {
  const auto [key, value] = run_keys(entry);
  const std::string folder = directory_ + "/" + key.substr(0, 2) + "/" + key;
  const std::string path = folder + "/" + value;
  if (util::exists(path)) return;
  util::make_directories(folder, 0777);
  write_project_file(path, write_yaml(entry));
}

}  // namespace mlops::dvc
