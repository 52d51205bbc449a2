#include "dvc/tracked_data.hpp"

#include "dvc/lock_writer.hpp"
#include "dvc/yaml_writer.hpp"
#include "pipeline/dvc/value.hpp"
#include "pipeline/paths.hpp"
#include "util/digest.hpp"
#include "util/files.hpp"
#include "util/strings.hpp"
#include "util/yaml.hpp"

#include <cstdint>
#include <vector>

namespace mlops::dvc {

using pipeline::lies_in;

namespace {

// The .dvc file's lines for the new content, everything else as it was; nullopt if it has no such lines.
std::optional<std::string> with_new_content(const std::string& text, const Content& content) {
  std::string out;
  int found = 0;
  for (const std::string& line : util::split(text, '\n')) {
    std::string changed = line;
    const auto replace = [&](std::string_view key, const std::string& value) {
      const std::size_t at = line.find_first_not_of(" -");
      if (at == line.npos || !std::string_view(line).substr(at).starts_with(key)) return;
      changed = line.substr(0, at) + std::string(key) + " " + value;
      ++found;
    };
    replace("md5:", content.md5);
    replace("size:", std::to_string(content.size));
    if (content.directory) replace("nfiles:", std::to_string(content.files));
    out += changed + "\n";
  }
  out.pop_back();
  if (found != (content.directory ? 3 : 2) || text.find("hash:") == text.npos) return std::nullopt;
  if ((text.find("isexec:") != text.npos) != content.executable) return std::nullopt;
  if (!content.directory && text.find("nfiles:") != text.npos) return std::nullopt;
  return out;
}

bool touches(const DvcTracked& data, const std::string& path) {
  return data.path == path || lies_in(path, data.path) || lies_in(data.path, path);
}

Hash hash_of(const DvcTracked& data) { return data.legacy ? Hash::md5_dos2unix : Hash::md5; }

// As people call it who stand in the project.
std::string shown_below(const std::string& root, const std::string& path) {
  return lies_in(path, root) ? path.substr(root.size() + 1) : path;
}

// " (3 files → 1)", or nothing where that would not tell anything.
std::string size_change(const std::string& file, const Content& now) {
  std::vector<Diagnostic> problems;
  const OrderedJson value = pipeline::dvc::to_value(util::parse_yaml(file, "", problems));
  const OrderedJson& out = value["outs"][0];
  const char* key = now.directory ? "nfiles" : "size";
  const auto before = out.find(key);
  if (before == out.end() || !before->is_number_integer()) return {};
  const auto old = before->get<std::uint64_t>();
  const std::uint64_t is = now.directory ? now.files : now.size;
  if (old == is) return {};
  const char* unit = now.directory ? " files" : " bytes";
  return " (" + std::to_string(old) + " → " + std::to_string(is) + unit + ")";
}

// What DVC calls the md5 of a .dvc file that has deps: of the file without what may change freely.
std::string md5_of_stage(OrderedJson file) {
  for (const char* key : {"md5", "meta", "desc"}) file.erase(key);
  if (file.value("wdir", OrderedJson()) == ".") file.erase("wdir");
  return util::md5(pipeline::dvc::python_json(file, {"desc", "type", "labels", "meta", "locked", "frozen",
                                                     "metric", "persist", "isexec", "size", "nfiles"}));
}

Content folder_of(std::vector<TreeFile> files) {
  Content folder;
  folder.directory = true;
  folder.files = files.size();
  folder.md5 = util::md5(tree_text(files)) + ".dir";
  folder.tree = std::move(files);
  return folder;
}

}  // namespace

void TrackedData::commit(const DvcTracked& data, const Content& content) {
  cache_.add(data.path, content);
  const std::string before = util::read_file(data.file);
  auto text = with_new_content(before, content);
  if (!text) {
    OrderedJson out = {{"md5", content.md5}, {"size", content.size}};
    if (content.directory) out["nfiles"] = content.files;
    if (content.executable) out["isexec"] = true;
    out["hash"] = "md5";
    std::vector<Diagnostic> problems;
    OrderedJson file = pipeline::dvc::to_value(util::parse_yaml(before, data.file, problems));
    for (const auto& [key, value] : file["outs"][0].items()) {
      if (key != "md5" && key != "size" && key != "nfiles" && key != "isexec" && key != "hash")
        out[key] = value;
    }
    file["outs"][0] = std::move(out);
    if (file.contains("md5")) file["md5"] = md5_of_stage(file);
    text = write_yaml(file);
  }
  if (*text != before) write_project_file(data.file, *text);
}

bool TrackedData::is_cached(const DvcTracked& data) {
  return cache_.has({data.md5, hash_of(data), data.executable});
}

// Absent data comes from the cache; data that is changed, or was lost from the cache, is taken as it is now.
// With `really`; else it is only said what would be done.
void TrackedData::look_after(const DvcTracked& data, bool really) {
  auto content = hasher_.look(data.path, hash_of(data), false);
  if (!content) {
    if (really && !data.md5.empty())
      cache_.check_out({data.md5, hash_of(data), data.executable}, data.path, std::nullopt, false);
    return;
  }
  if (data.import || !data.cache) return;
  const bool same = content->md5 == data.md5;
  if (same && is_cached(data)) return;
  content = hasher_.look(data.path, Hash::md5, true);
  if (!content) return;
  const std::string file = shown_below(project_.root, data.file);
  if (same) {
    remarks_.push_back(shown_below(project_.root, data.path) + ", which " + file + " tracks, " +
                       (really ? "was not in DVC's cache and is kept there again"
                               : "is not in DVC's cache and would be kept there again"));
  } else {
    remarks_.push_back(file + (really ? " is brought up to date: " : " would be brought up to date: ") +
                       "its data has changed" + size_change(util::read_file(data.file), *content));
  }
  if (really) commit(data, *content);
}

// Looks after all tracked data that `path` has to do with, each once.
void TrackedData::bring_in(const std::string& path, bool really) {
  for (const DvcTracked& data : project_.tracked) {
    if (!touches(data, path) || !seen_.insert(data.path).second) continue;
    look_after(data, really);
  }
}

std::string TrackedData::why_absent(const std::string& path) {
  for (const DvcTracked& data : project_.tracked) {
    if (!touches(data, path) || util::exists(data.path)) continue;
    const std::string file = shown_below(project_.root, data.file);
    if (!data.md5.empty() && is_cached(data)) continue;
    return file + " tracks it, and it is not in DVC's cache, or not all of it; fetch it with `dvc pull " +
           file + "`";
  }
  return {};
}

void TrackedData::expect(const std::string& path, Hash hash, Content content) {
  expected_.insert_or_assign(path, Expected{hash, std::move(content)});
}

std::optional<Content> TrackedData::look(const std::string& path, Hash hash, bool bring_in_first) {
  bring_in(path, bring_in_first);
  if (!bring_in_first) return look_ahead(path, hash);
  return hasher_.look(path, hash);
}

// A file or folder in the folder that `wanted` stands for, as far as names tell.
std::optional<Content> TrackedData::inside(const std::string& folder, const Wanted& wanted,
                                           const std::string& path) {
  const auto files = cache_.tree(wanted);
  if (!files) return std::nullopt;
  const std::string below = path.substr(folder.size() + 1);
  std::vector<TreeFile> deeper;
  for (const TreeFile& file : *files) {
    if (file.path == below) {
      Content known;
      known.md5 = file.md5;
      return known;
    }
    if (lies_in(file.path, below)) deeper.push_back({file.path.substr(below.size() + 1), file.md5, "", {}});
  }
  if (deeper.empty()) return std::nullopt;
  return folder_of(std::move(deeper));
}

// The folder `path` with what is expected in it.
std::optional<Content> TrackedData::around_expected(const std::string& path, Hash hash) {
  const std::string prefix = path + "/";
  const auto first = expected_.lower_bound(prefix);
  if (first == expected_.end() || !first->first.starts_with(prefix)) return std::nullopt;
  std::map<std::string, TreeFile> files;
  const auto here = hasher_.look(path, hash, true);
  if (here) {
    for (const TreeFile& file : here->tree) files.emplace(file.path, file);
  }
  for (auto it = first; it != expected_.end() && it->first.starts_with(prefix); ++it) {
    const auto& [hash_of_it, content] = it->second;
    if (hash_of_it != hash) return std::nullopt;
    const std::string below = it->first.substr(prefix.size());
    std::erase_if(files,
                  [&](const auto& entry) { return entry.first == below || lies_in(entry.first, below); });
    if (!content.directory) {
      files.insert_or_assign(below, TreeFile{below, content.md5, "", {}});
      continue;
    }
    const auto expected = cache_.tree({content.md5, hash, false});
    if (!expected) return std::nullopt;
    for (const TreeFile& file : *expected) {
      const std::string name = below + "/" + file.path;
      files.insert_or_assign(name, TreeFile{name, file.md5, "", {}});
    }
  }
  std::vector<TreeFile> list;
  for (auto& [name, file] : files) list.push_back(std::move(file));
  return folder_of(std::move(list));
}

// What would lie at `path` once everything that can be put in place is.
std::optional<Content> TrackedData::look_ahead(const std::string& path, Hash hash) {
  if (!expected_.empty()) {
    for (std::string part = path; !part.empty(); part.resize(part.rfind('/'))) {
      const auto found = expected_.find(part);
      if (found == expected_.end()) continue;
      if (found->second.hash != hash) break;
      if (part == path) return found->second.content;
      return inside(part, {found->second.content.md5, hash, false}, path);
    }
    if (auto content = around_expected(path, hash)) return content;
  }
  if (auto content = hasher_.look(path, hash)) return content;
  for (const DvcTracked& data : project_.tracked) {
    const Hash own = hash_of(data);
    if (own != hash || data.md5.empty() || !touches(data, path)) continue;
    const auto [obtainable, is_new] = obtainable_.try_emplace(data.path);
    if (is_new) obtainable->second = is_cached(data);
    if (!obtainable->second) continue;
    Content known;
    if (data.path == path) {
      known.md5 = data.md5;
      known.directory = data.md5.ends_with(".dir");
      return known;
    }
    if (!lies_in(path, data.path)) continue;
    if (auto found = inside(data.path, {data.md5, own, false}, path)) return found;
  }
  return std::nullopt;
}

}  // namespace mlops::dvc
