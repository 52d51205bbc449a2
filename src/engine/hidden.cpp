#include "engine/hidden.hpp"

#include "engine/collect.hpp"
#include "util/files.hpp"
#include "util/strings.hpp"

#include <climits>

#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <string_view>

namespace mlops::engine {

namespace {

bool lies_in(std::string_view path, std::string_view folder) {
  return path == folder ||
         (path.starts_with(folder) && (folder.ends_with('/') || path[folder.size()] == '/'));
}

// Installed software, settings of the machine, what comes and goes. Only for what lies outside the project.
constexpr std::string_view foreign_folders[] = {
    "/usr", "/lib",  "/lib64", "/bin", "/sbin", "/etc", "/opt",     "/proc",      "/dev",     "/sys",
    "/run", "/boot", "/snap",  "/nix", "/gnu",  "/tmp", "/var/tmp", "/var/cache", "/var/lib", "/var/run"};

// Folders with these names hold what tools made or installed, wherever they lie.
constexpr std::string_view tool_folders[] = {
    ".mlops", ".git", "__pycache__",        "site-packages", "dist-packages", "node_modules", ".venv",
    ".tox",   ".nox", ".ipynb_checkpoints", ".pytest_cache", ".mypy_cache",   ".ruff_cache",  ".dvc",
    ".hg",    ".svn"};

bool made_by_tools(std::string_view path) {
  for (std::size_t begin = 1; begin < path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part = path.substr(begin, end - begin);
    if (end < path.size() && std::ranges::find(tool_folders, part) != std::end(tool_folders)) return true;
    begin = end + 1;
  }
  return path.ends_with(".pyc") || path.ends_with("/pyvenv.cfg");
}

// A Python, R or conda that somebody installed in a place of their own.
bool installed_elsewhere(std::string_view path) {
  if (path.find("/lib/R/") != path.npos || path.find("/go/pkg/") != path.npos) return true;
  for (const std::string_view prefix :
       {"/lib/python", "/miniconda", "/anaconda", "/miniforge", "/mambaforge"}) {
    if (path.find(prefix) != path.npos) return true;
  }
  return false;
}

bool is_foreign(std::string_view path) {
  if (std::ranges::any_of(foreign_folders, [&](auto folder) { return lies_in(path, folder); })) return true;
  const char* temporary = std::getenv("TMPDIR");
  if (temporary && temporary[0] == '/' && lies_in(path, util::absolute_path(temporary))) return true;
  // ~/.cache, ~/.config, ~/.pyenv and their like.
  const char* home = std::getenv("HOME");
  const std::string hidden = home && home[0] == '/' ? util::absolute_path(home) + "/." : std::string();
  return (!hidden.empty() && path.starts_with(hidden)) || installed_elsewhere(path);
}

std::string real_path(const std::string& path) {
  char real[PATH_MAX];
  return ::realpath(path.c_str(), real) ? real : path;
}

// All that the step says it reads and makes, by both of their names where links lead to them.
class Declared {
 public:
  Declared(const Step& step, const std::string& directory) : directory_(directory) {
    for (const std::string& path : step.inputs) add(path);
    for (const std::string& path : step.code) add(path);
    for (const Output& output : step.outputs) add(output.path);
    for (const std::string& path : step.metrics) add(path);
  }
  bool covers(const std::string& path) const {
    return std::ranges::any_of(paths_, [&](const std::string& folder) { return lies_in(path, folder); });
  }

 private:
  void add(const std::string& path) {
    const std::string full = step_path(directory_, path);
    paths_.push_back(full);
    if (std::string real = real_path(full); real != full) paths_.push_back(std::move(real));
  }
  const std::string& directory_;
  std::vector<std::string> paths_;
};

}  // namespace

std::vector<HiddenFile> hidden_files(const process::FileTraceReport& trace, const Step& step,
                                     const std::string& directory, const Workspace& workspace) {
  const Declared declared(step, directory);
  const std::string real_root = real_path(workspace.root());
  std::vector<HiddenFile> hidden;
  for (const process::FileAccess& access : trace.files) {
    if (made_by_tools(access.path) || declared.covers(access.path)) continue;
    const std::string real = real_path(access.path);
    if (real != access.path && (made_by_tools(real) || declared.covers(real))) continue;
    const bool inside = lies_in(access.path, workspace.root()) || lies_in(real, real_root);
    if (!inside && (is_foreign(access.path) || is_foreign(real))) continue;
    if (lies_in(real, real_path(workspace.state_directory()))) continue;
    HiddenFile file;
    // One name for what is reached by several.
    file.path = lies_in(real, real_root) && real != real_root
                    ? workspace.relative(workspace.root() + real.substr(real_root.size()))
                    : workspace.relative(access.path);
    const bool read = access.read || access.executed;
    file.access = access.written && (read || access.kept) ? "updated"
                  : access.written                        ? "written"
                  : access.executed                       ? "executed"
                                                          : "read";
    const auto known = std::ranges::find(hidden, file.path, &HiddenFile::path);
    if (known == hidden.end()) {
      hidden.push_back(std::move(file));
    } else if (known->access != file.access && (file.access == "written" || known->access == "written")) {
      known->access = "updated";
    }
  }
  std::ranges::sort(hidden, {}, &HiddenFile::path);
  return hidden;
}

std::string hidden_words(const std::vector<HiddenFile>& files, std::size_t names) {
  std::vector<std::string> parts;
  for (const bool written : {false, true}) {
    std::vector<std::string> paths;
    for (const HiddenFile& file : files) {
      if (file.access == "updated" || (file.access == "written") == written)
        paths.push_back(util::escape_controls(util::to_utf8(file.path)));
    }
    if (paths.empty()) continue;
    const std::size_t count = paths.size();
    if (count > names) paths.resize(names);
    std::string text = std::string(written ? "wrote " : "read ") + std::to_string(count) +
                       (count == 1 ? " file" : " files") + " that it does not declare";
    if (names > 0) text += ": " + util::join(paths, ", ") + (count > names ? ", …" : "");
    parts.push_back(std::move(text));
  }
  return util::join(parts, "; ");
}

}  // namespace mlops::engine
