#include <mlops/error.hpp>
#include <mlops/workspace.hpp>

#include "util/files.hpp"
#include "util/id.hpp"
#include "util/strings.hpp"
#include "workspace/layout.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <vector>

namespace mlops {

namespace {

// The nearest directory upwards that has an entry called `name`.
std::optional<std::string> nearest(const std::string& directory, const char* name) {
  std::filesystem::path path = util::absolute_path(directory);
  while (true) {
    if (util::exists((path / name).string())) return path.string();
    if (path == path.root_path()) return std::nullopt;
    path = path.parent_path();
  }
}

// Directories right below that are workspaces, in words for -w: whoever imported into one of them stands
// above it. A few are enough to be told.
std::string workspaces_below(const std::string& directory) {
  constexpr int most_entries = 10'000;
  std::vector<std::string> found;
  std::error_code error;
  int entries = 0;
  for (std::filesystem::directory_iterator it(directory, error), end;
       !error && it != end && ++entries <= most_entries; it.increment(error)) {
    if (util::exists((it->path() / layout::state_directory).string()))
      found.push_back((std::filesystem::path(directory) / it->path().filename()).lexically_normal().string());
  }
  if (found.empty()) return {};
  std::sort(found.begin(), found.end());
  const std::string choice = "-w " + util::shell_quote(found.front());
  if (found.size() == 1) return "there is one in '" + found.front() + "': say " + choice;
  const std::string more = found.size() > 3 ? ", …" : "";
  found.resize(std::min<std::size_t>(found.size(), 3));
  return "there are some in '" + util::join(found, "', '") + "'" + more + ": name one, as " + choice;
}

}  // namespace

std::optional<Workspace> Workspace::find(const std::string& directory, const std::string& explicit_root) {
  const char* variable = std::getenv("MLOPS_WORKSPACE");
  const std::string root = !explicit_root.empty() ? explicit_root : variable ? variable : "";
  if (!root.empty()) {
    if (!util::exists(root + "/" + layout::state_directory)) return std::nullopt;
    return Workspace(util::absolute_path(root));
  }
  const auto found = nearest(directory, layout::state_directory);
  return found ? std::optional(Workspace(*found)) : std::nullopt;
}

Workspace Workspace::require(const std::string& directory, const std::string& explicit_root) {
  if (auto workspace = find(directory, explicit_root)) return *workspace;
  const char* variable = std::getenv("MLOPS_WORKSPACE");
  if (explicit_root.empty() && variable && *variable) {
    throw Error(
        ExitCode::usage,
        "MLOPS_WORKSPACE names '" + std::string(variable) + "', in which there is no .mlops directory",
        "correct the variable, or make a workspace there: mlops init " + std::string(variable));
  }
  const std::string where = explicit_root.empty() ? util::absolute_path(directory) : explicit_root;
  const std::string below = explicit_root.empty() ? workspaces_below(directory) : "";
  throw Error(
      ExitCode::usage, "no workspace in '" + where + "' or above it: there is no .mlops directory",
      !below.empty()
          ? below
          : "run a pipeline (`mlops run FILE`) or make one with `mlops init`; or name one with --workspace");
}

Workspace Workspace::find_or_create(const std::string& directory, const std::string& explicit_root,
                                    bool& created) {
  created = false;
  if (auto workspace = find(directory, explicit_root)) return *workspace;
  created = true;
  const char* variable = std::getenv("MLOPS_WORKSPACE");
  if (!explicit_root.empty()) return create(explicit_root);
  if (variable && *variable) {
    // A slip in a variable must not make directories all over the disk.
    if (!util::exists(variable)) {
      throw Error(ExitCode::usage,
                  "MLOPS_WORKSPACE names '" + std::string(variable) + "', which does not exist",
                  "correct the variable, or make the directory first");
    }
    return create(variable);
  }
  return create(nearest(directory, ".git").value_or(directory));
}

Workspace Workspace::create(const std::string& root) {
  Workspace workspace(util::absolute_path(root));
  util::make_directories(workspace.state_directory() + "/" + layout::runs);
  util::sync_directory(workspace.root());  // the database syncs what is below it
  const std::string ignore = workspace.state_directory() + "/.gitignore";
  if (!util::exists(ignore)) util::write_file(ignore, layout::all_ignored);
  return workspace;
}

std::string Workspace::database_path() const { return state_directory() + "/" + layout::database; }

std::string Workspace::run_directory(const std::string& run_id) const {
  if (!util::is_id(run_id)) {
    throw Error(ExitCode::usage, "'" + run_id + "' is no id of a run: an id is 16 characters of a-z and 0-9",
                "`mlops runs --ids` lists them");
  }
  return state_directory() + "/" + layout::runs + "/" + run_id;
}

std::string Workspace::relative(const std::string& path) const {
  const std::string full = util::absolute_path(path);
  if (full == root_) return ".";
  const std::string prefix = root_ == "/" ? "/" : root_ + "/";
  return full.starts_with(prefix) ? full.substr(prefix.size()) : full;
}

bool Workspace::trusted() const {
  try {
    check_owner();
    return true;
  } catch (const Error&) {
    return false;
  }
}

void Workspace::require_access() const {
  if (::access(state_directory().c_str(), X_OK) == 0) return;
  throw_errno("cannot look into '" + state_directory() + "'", errno);
}

void Workspace::check_owner() const {
  struct stat st {};
  if (::stat(state_directory().c_str(), &st) != 0)
    throw_errno("cannot read '" + state_directory() + "'", errno);
  if (st.st_uid != ::geteuid() && ::geteuid() != 0) {
    throw Error(ExitCode::io, "will not use '" + state_directory() + "': it belongs to another user",
                "use a workspace of your own: --workspace DIR");
  }
  if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    throw Error(ExitCode::io, "will not use '" + state_directory() + "': others may write to it",
                "chmod go-w " + state_directory());
  }
}

}  // namespace mlops
