#include "pipeline/dvc/sources.hpp"

#include "util/files.hpp"
#include "util/ignore_rules.hpp"

#include <algorithm>
#include <filesystem>

namespace mlops::pipeline::dvc {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t most_bytes = 16u << 20;

bool is_definition(const std::string& name) {
  return name == "dvc.yaml" || (name.ends_with(".dvc") && name != ".dvc");
}

class Finder {
 public:
  explicit Finder(const std::string& root) : root_(root) {}

  std::vector<std::string> find() {
    walk("");
    return std::move(found_);
  }

 private:
  void walk(const std::string& directory) {
    const std::string full = directory.empty() ? root_ : root_ + "/" + directory;
    for (const char* name : {".gitignore", ".dvcignore"}) {
      if (const auto text = util::read_regular_file(full + "/" + name, most_bytes))
        rules_.add(*text, directory);
    }
    std::vector<std::string> directories;
    std::vector<std::string> files;
    std::error_code error;
    for (fs::directory_iterator it(full, error), end; !error && it != end; it.increment(error)) {
      const std::string name = it->path().filename().string();
      std::error_code unreadable;
      if (it->is_symlink(unreadable) || name == ".git" || name == ".hg" || name == ".dvc" || name == ".mlops")
        continue;
      const std::string path = directory.empty() ? name : directory + "/" + name;
      if (it->is_directory(unreadable)) {
        if (!rules_.ignores(path, true)) directories.push_back(path);
      } else if (is_definition(name) && !rules_.ignores(path, false)) {
        files.push_back(root_ + "/" + path);
      }
    }
    std::ranges::sort(files);
    std::ranges::sort(directories);
    found_.insert(found_.end(), files.begin(), files.end());
    for (const std::string& path : directories) {
      // A directory with a project of its own is none of ours.
      if (!util::is_directory(root_ + "/" + path + "/.dvc")) walk(path);
    }
  }

  const std::string& root_;
  util::IgnoreRules rules_;
  std::vector<std::string> found_;
};

}  // namespace

std::optional<std::string> Sources::read(const std::string& path) {
  std::optional<std::string> text;
  if (frozen_) {
    const auto found = frozen_->find(path);
    if (found != frozen_->end()) text = found->second;
  } else {
    text = util::read_regular_file(path, most_bytes);
  }
  if (text) taken_.insert_or_assign(path, *text);
  return text;
}

std::vector<std::string> Sources::find(const std::string& root) {
  if (!frozen_) return Finder(root).find();
  std::vector<std::string> found;
  for (const auto& [path, text] : *frozen_) {
    if (is_definition(fs::path(path).filename().string())) found.push_back(path);
  }
  std::ranges::sort(found, {},
                    [](const std::string& path) { return std::pair(std::ranges::count(path, '/'), path); });
  return found;
}

}  // namespace mlops::pipeline::dvc
