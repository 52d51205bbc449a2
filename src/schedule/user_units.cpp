// Units of the user's systemd: written, enabled and started, and taken away again.
#include <mlops/error.hpp>

#include "process/capture.hpp"
#include "process/lock_file.hpp"
#include "schedule/install.hpp"
#include "schedule/seal.hpp"
#include "util/files.hpp"
#include "util/strings.hpp"
#include "workspace/layout.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <set>

namespace mlops::schedule {

namespace {

constexpr int limit_ms = 60'000;
constexpr std::size_t most_bytes = 1 << 20;

// What it said where it did not do it; empty where it did.
std::string systemctl(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"systemctl", "--user"});
  const process::Captured result = process::capture_with_input(arguments, "/", limit_ms, {}, "");
  if (result.code == 0) return {};
  std::string said = util::escape_controls(std::string(util::trim(result.out)));
  if (!result.error.empty()) said = result.error;
  if (said.empty()) said = "it ended with exit code " + std::to_string(result.code);
  return "`" + util::join(arguments, " ") + "`: " + said;
}

// The first that goes wrong ends it.
std::string systemctl_all(const std::vector<std::vector<std::string>>& calls) {
  for (const auto& call : calls) {
    if (std::string why = systemctl(call); !why.empty()) return why;
  }
  return {};
}

std::string owner_line(const Workspace& workspace) {
  return "# workspace: " + util::escape_controls(workspace.root());
}

// Throws for a file that is not ours to replace or remove.
void check_owner(const Workspace& workspace, const std::string& path, const std::string& text, bool force) {
  std::vector<std::string> lines = util::split(text, '\n');
  const Sealed sealed = unseal(lines);
  if (sealed == Sealed::no)
    throw Error(ExitCode::busy, "'" + path + "' was not written by mlops", "--name chooses another name");
  if (lines.empty() || lines[0] != owner_line(workspace)) {
    throw Error(ExitCode::busy, "'" + path + "' belongs to another workspace",
                (lines.empty() ? std::string() : lines[0].substr(2) + "; ") + "--name chooses another name");
  }
  if (sealed == Sealed::changed && !force)
    throw Error(ExitCode::busy, "somebody has edited '" + path + "', which mlops had written",
                "it is left as it is; `systemctl --user edit` keeps changes beside it, --force replaces it");
}

// The process of a daemon of the workspace that is not the unit's; 0: there is none.
int rival_of(const Workspace& workspace, const std::string& unit) {
  const std::string path = layout::in(workspace.state_directory(), layout::daemon_lock);
  const auto holder = process::LockFile::holder(path);
  if (!holder || !process::LockFile::is_locked(path)) return 0;
  const auto main =
      process::capture({"systemctl", "--user", "show", "--property=MainPID", "--value", unit}, "/", limit_ms);
  const bool own = util::trim(main.out) == std::to_string(holder->pid);
  return own || !process::open_process(*holder) ? 0 : holder->pid;
}

}  // namespace

std::string user_unit_path(const std::string& name) {
  const char* config = std::getenv("XDG_CONFIG_HOME");
  const char* home = std::getenv("HOME");
  if (config && *config == '/') return std::string(config) + "/systemd/user/" + name;
  if (!home || *home != '/')
    throw Error(ExitCode::usage, "cannot tell where units of the user belong: HOME is not set");
  return std::string(home) + "/.config/systemd/user/" + name;
}

std::vector<std::string> units_of(const Workspace& workspace) {
  std::set<std::string> names;
  std::error_code error;
  const auto directory = std::filesystem::path(user_unit_path("x")).parent_path();
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    if (entry.path().extension() != ".service" || !entry.is_regular_file(error)) continue;
    try {
      const auto text = util::read_regular_file(entry.path().string(), most_bytes);
      std::vector<std::string> lines = util::split(text.value_or(""), '\n');
      if (unseal(lines) != Sealed::no && !lines.empty() && lines[0] == owner_line(workspace))
        names.insert(entry.path().filename().string());
    } catch (const Error&) {  // it is not ours, if we cannot even read it
    }
  }
  return {names.begin(), names.end()};
}

InstalledUnit install_unit(const Workspace& workspace, const Unit& unit, bool force) {
  InstalledUnit result;
  result.path = user_unit_path(unit.name);
  std::vector<std::string> lines = util::split(owner_line(workspace) + "\n" + unit.text, '\n');
  const auto compare = [&](const std::string& path) {
    const auto old = util::read_regular_file(path, most_bytes);
    if (!old) return;
    check_owner(workspace, path, *old, force);
    std::vector<std::string> before = util::split(*old, '\n');
    unseal(before);
    std::ranges::copy_if(before, std::back_inserter(result.gone), [&](const std::string& line) {
      return !line.empty() && std::ranges::find(lines, line) == lines.end();
    });
  };
  compare(result.path);
  std::vector<std::string> others = units_of(workspace);
  std::erase(others, unit.name);
  for (const std::string& name : others) compare(user_unit_path(name));
  // Before the new one starts: it would find that the workspace has a daemon.
  for (const std::string& name : others) {
    const InstalledUnit removed = remove_unit(workspace, name, force);
    result.replaced.push_back(removed.path);
    if (!removed.started) result.to_type.push_back("systemctl --user stop " + name);
  }
  const std::string vouching = seal(lines);
  lines.insert(lines.begin(), vouching);
  util::make_directories(std::filesystem::path(result.path).parent_path().string(), 0755);
  util::write_file_atomically(result.path, util::join(lines, "\n"));
  result.why = systemctl_all({{"daemon-reload"}, {"enable", unit.name}, {"restart", unit.name}});
  result.started = result.why.empty();
  if (result.started) {
    result.to_type.clear();
    result.rival = rival_of(workspace, unit.name);
  } else {
    result.to_type.insert(result.to_type.end(),
                          {"systemctl --user daemon-reload", "systemctl --user enable --now " + unit.name});
  }
  return result;
}

InstalledUnit remove_unit(const Workspace& workspace, const std::string& name, bool force) {
  InstalledUnit result;
  result.path = user_unit_path(name);
  const auto old = util::read_regular_file(result.path, most_bytes);
  if (!old)
    throw Error(ExitCode::usage, "there is no '" + result.path + "'", "--name says which unit is meant");
  check_owner(workspace, result.path, *old, force);
  result.why = systemctl({"disable", "--now", name});
  const bool stopped = result.why.empty();
  if (::unlink(result.path.c_str()) != 0) throw_errno("cannot remove '" + result.path + "'", errno);
  if (!stopped) {  // what `enable` has made
    const std::filesystem::path path(result.path);
    ::unlink((path.parent_path() / "default.target.wants" / path.filename()).c_str());
  }
  if (stopped) result.why = systemctl({"daemon-reload"});
  result.started = result.why.empty();
  if (!result.started) result.to_type = {"systemctl --user stop " + name, "systemctl --user daemon-reload"};
  return result;
}

}  // namespace mlops::schedule
