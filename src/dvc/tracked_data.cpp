#include "dvc/tracked_data.hpp"

#include "dvc/lock_writer.hpp"
#include "dvc/yaml_writer.hpp"
#include "pipeline/dvc/value.hpp"
#include "pipeline/paths.hpp"
#include "util/digest.hpp"
#include "util/files.hpp"
#include "util/strings.hpp"
#include "util/yaml.hpp"

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
    text = write_yaml(file);
  }
  write_project_file(data.file, *text);
}

// Data that .dvc files track and that `path` is part of: absent data comes from the cache; changed data is
// taken as it is now, as `dvc repro` does.
void TrackedData::bring_in(const std::string& path) {
  for (const DvcTracked& data : project_.tracked) {
    if (data.path != path && !lies_in(path, data.path) && !lies_in(data.path, path)) continue;
    if (brought_in_[data.path]) continue;
    brought_in_[data.path] = true;
    const Hash hash = data.legacy ? Hash::md5_dos2unix : Hash::md5;
    auto content = hasher_.look(data.path, hash, false);
    if (!content) {
      if (!data.md5.empty())
        cache_.check_out({data.md5, hash, data.executable}, data.path, std::nullopt, false);
      continue;
    }
    if (content->md5 == data.md5 || data.import || !data.cache) continue;
    content = hasher_.look(data.path, Hash::md5, true);
    if (content) commit(data, *content);
  }
}

void TrackedData::expect(const std::string& path, Hash hash, Content content) {
  expected_.insert_or_assign(path, Expected{hash, std::move(content)});
}

std::optional<Content> TrackedData::look(const std::string& path, Hash hash, bool bring_in_first) {
  if (!bring_in_first) return look_ahead(path, hash);
  bring_in(path);
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
    const Hash own = data.legacy ? Hash::md5_dos2unix : Hash::md5;
    if (own != hash || data.md5.empty()) continue;
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
