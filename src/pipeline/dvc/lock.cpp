#include "pipeline/dvc/lock.hpp"

#include "pipeline/paths.hpp"

#include <filesystem>

namespace mlops::pipeline::dvc {

namespace {

constexpr util::YamlLimits lock_limits{256u << 20, 50'000'000};

// The first line that `git merge` left behind, from 1; 0 if there is none.
int conflict_line(std::string_view text) {
  int line = 1;
  for (std::size_t at = 0; at < text.size(); ++line) {
    if (text.substr(at).starts_with("<<<<<<< ") || text.substr(at).starts_with(">>>>>>> ")) return line;
    const std::size_t end = text.find('\n', at);
    if (end == text.npos) break;
    at = end + 1;
  }
  return 0;
}

util::YamlNode parse(std::string_view text, const std::string& shown, const char* remedy,
                     std::vector<Diagnostic>& problems) {
  if (const int line = conflict_line(text)) {
    problems.push_back({shown, {line, 1}, "a merge left both versions in this file", remedy});
    return {};
  }
  std::vector<Diagnostic> found;
  util::YamlNode root = util::parse_yaml(text, shown, found, lock_limits);
  for (Diagnostic& problem : found) {
    if (problem.hint.empty()) problem.hint = remedy;
    problems.push_back(std::move(problem));
  }
  return found.empty() ? std::move(root) : util::YamlNode{};
}

std::string text_of(const OrderedJson& map, const char* key) {
  const auto found = map.find(key);
  return found != map.end() && found->is_string() ? key_text(found->get_ref<const std::string&>()) : "";
}

}  // namespace

LockFile read_lock(std::string_view text, const std::string& shown, std::vector<Diagnostic>& problems) {
  constexpr const char* remedy =
      "take one version with `git checkout --ours` or `--theirs`, or delete the file: results that are in "
      "the run cache come back without running anything";
  LockFile lock;
  const util::YamlNode root = parse(text, shown, remedy, problems);
  if (root.is_null()) return lock;
  const auto refuse = [&](Location at, std::string message) {
    problems.push_back({shown, at, std::move(message), remedy});
  };
  if (!root.is_map()) {
    refuse(root.at, "a dvc.lock is a map with 'stages'");
    return lock;
  }
  // The first version of the format had the stages at the top.
  const util::YamlNode* schema = root.find("schema");
  const bool first_version = !schema;
  if (schema && !(schema->is_scalar() && schema->text == "2.0")) {
    problems.push_back({shown, schema->at,
                        "the schema of this dvc.lock is " +
                            (schema->is_scalar() ? "'" + schema->text + "'" : std::string("no text")) +
                            ", and only '2.0' is known",
                        "if a newer DVC wrote it, run the project with that one; or delete the file: results "
                        "that are in the run cache come back without running anything"});
    return lock;
  }
  const util::YamlNode* stages = first_version ? &root : root.find("stages");
  if (!first_version) {
    for (const util::YamlEntry& entry : root.entries) {
      if (entry.key != "stages") lock.rest[entry.key] = to_value(entry.value);
    }
  }
  if (!stages || stages->is_null()) return lock;
  if (!stages->is_map()) {
    refuse(stages->at, "stages: expected a map");
    return lock;
  }
  for (const util::YamlEntry& entry : stages->entries) {
    OrderedJson value = to_value(entry.value);
    bool good = value.is_object() && value.contains("cmd");
    for (const char* key : {"deps", "outs"}) {
      if (!good || !value.contains(key)) continue;
      const OrderedJson& list = value[key];
      good = list.is_array();
      for (const OrderedJson& item : list)
        good = good && item.is_object() && item.contains("path") && item["path"].is_string();
    }
    if (good && value.contains("params")) good = value["params"].is_object();
    if (!good) {
      refuse(entry.at, "the entry of stage '" + entry.key + "' is no entry of a dvc.lock");
      continue;
    }
    lock.stages[entry.key] = std::move(value);
  }
  return lock;
}

std::vector<DvcTracked> read_tracked(std::string_view text, const std::string& path, const std::string& shown,
                                     std::vector<Diagnostic>& problems) {
  std::vector<DvcTracked> tracked;
  const util::YamlNode root = parse(text, shown, "correct it, or make it anew with `dvc add`", problems);
  if (root.is_null()) return tracked;
  const OrderedJson file = to_value(root);
  const auto outs = file.is_object() ? file.find("outs") : file.end();
  if (!file.is_object() || outs == file.end() || !outs->is_array()) {
    problems.push_back({shown, root.at, "a .dvc file is a map with a list 'outs'", ""});
    return tracked;
  }
  const std::string directory = std::filesystem::path(path).parent_path().string();
  const std::string wdir = text_of(file, "wdir");
  for (const OrderedJson& out : *outs) {
    if (!out.is_object() || text_of(out, "path").empty()) {
      problems.push_back({shown, root.at, "outs: an entry without 'path'", ""});
      continue;
    }
    DvcTracked data;
    data.file = path;
    data.path = absolute_path(absolute_path(directory, wdir), text_of(out, "path"));
    data.md5 = text_of(out, "md5");
    data.legacy = !out.contains("hash");
    data.executable = out.contains("isexec") && out["isexec"].is_boolean() && out["isexec"].get<bool>();
    data.cache = !(out.contains("cache") && out["cache"].is_boolean() && !out["cache"].get<bool>());
    const bool frozen = file.contains("frozen") && file["frozen"] == true;
    data.import = (file.contains("deps") && !frozen) || file.contains("cmd") || out.contains("files") ||
                  outs->size() > 1;
    tracked.push_back(std::move(data));
  }
  return tracked;
}

}  // namespace mlops::pipeline::dvc
