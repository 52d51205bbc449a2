#include "dvc/git_ignore.hpp"

#include <mlops/error.hpp>

#include "util/files.hpp"
#include "util/ignore_rules.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
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

void GitIgnore::add(const std::string& path, int rank) {
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
  Lines& added = added_[file];
  const auto place = std::ranges::upper_bound(added, rank, {}, &Lines::value_type::first);
  std::string later;
  for (auto line = place; line != added.end(); ++line) later += line->second;
  // Before those of stages that come later, if they are the end of the file still.
  const bool moves = !later.empty() && (before == later || before.ends_with("\n" + later));
  const std::string line = "/" + escaped(fs::path(path).filename().string()) + "\n";
  const std::string text =
      (before.empty() || before.ends_with('\n') ? "" : "\n") + line + (moves ? later : "");
  const util::Fd fd = util::open_file(file, O_WRONLY | O_CREAT | (moves ? 0 : O_APPEND), 0666);
  if (moves) ::lseek(fd.get(), static_cast<off_t>(before.size() - later.size()), SEEK_SET);
  if (const int error = util::write_all(fd.get(), text)) throw_errno("cannot write '" + file + "'", error);
  added.insert(place, {rank, line});
}

}  // namespace mlops::dvc
