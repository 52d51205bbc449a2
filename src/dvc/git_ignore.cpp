#include "dvc/git_ignore.hpp"

#include <mlops/error.hpp>

#include "util/files.hpp"
#include "util/ignore_rules.hpp"

#include <fcntl.h>

#include <filesystem>
#include <vector>

namespace mlops::dvc {

namespace {

namespace fs = std::filesystem;

std::string escaped(const std::string& name) {
  std::string out;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    const bool special = std::string_view("[]!*#?\\").find(c) != std::string_view::npos;
    if (special) out += '\\';
    out += c;
  }
  return out;
}

}  // namespace

void ignore_in_git(const std::string& path) {
  fs::path root = fs::path(path).parent_path();
  while (!util::exists((root / ".git").string())) {
    if (root == root.parent_path()) return;
    root = root.parent_path();
  }
  const std::string relative = fs::path(path).lexically_relative(root).string();
  util::IgnoreRules rules;
  if (const auto text = util::read_file_if_exists((root / ".git/info/exclude").string()))
    rules.add(*text, "");
  std::vector<fs::path> folders;
  for (fs::path folder = fs::path(path).parent_path();; folder = folder.parent_path()) {
    folders.push_back(folder);
    if (folder == root) break;
  }
  for (auto folder = folders.rbegin(); folder != folders.rend(); ++folder) {
    const std::string below = *folder == root ? "" : folder->lexically_relative(root).string();
    if (const auto text = util::read_file_if_exists((*folder / ".gitignore").string()))
      rules.add(*text, below);
  }
  if (rules.ignores(relative, util::is_directory(path))) return;
  const std::string file = (fs::path(path).parent_path() / ".gitignore").string();
  const std::string before = util::read_file_if_exists(file).value_or("");
  const std::string line = (before.empty() || before.ends_with('\n') ? "" : "\n") +
                           ("/" + escaped(fs::path(path).filename().string())) + "\n";
  const util::Fd fd = util::open_file(file, O_WRONLY | O_CREAT | O_APPEND, 0666);
  if (const int error = util::write_all(fd.get(), line)) throw_errno("cannot write '" + file + "'", error);
}

}  // namespace mlops::dvc
