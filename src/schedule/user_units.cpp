// Units of the user's systemd: written, enabled and started, and taken away again.
#include <mlops/error.hpp>

#include "process/capture.hpp"
#include "schedule/install.hpp"
#include "schedule/seal.hpp"
#include "util/files.hpp"
#include "util/strings.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <iterator>

namespace mlops::schedule {

namespace {

constexpr int limit_ms = 60'000;

bool systemctl(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"systemctl", "--user"});
  return process::capture(arguments, "/", limit_ms).code == 0;
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

}  // namespace

std::string user_unit_path(const std::string& name) {
  const char* config = std::getenv("XDG_CONFIG_HOME");
  const char* home = std::getenv("HOME");
  if (config && *config == '/') return std::string(config) + "/systemd/user/" + name;
  if (!home || *home != '/')
    throw Error(ExitCode::usage, "cannot tell where units of the user belong: HOME is not set");
  return std::string(home) + "/.config/systemd/user/" + name;
}

InstalledUnit install_unit(const Workspace& workspace, const Unit& unit, bool force) {
  InstalledUnit result{user_unit_path(unit.name), false, {}, {}};
  std::vector<std::string> lines = util::split(owner_line(workspace) + "\n" + unit.text, '\n');
  if (const auto old = util::read_regular_file(result.path, 1 << 20)) {
    check_owner(workspace, result.path, *old, force);
    std::vector<std::string> before = util::split(*old, '\n');
    unseal(before);
    std::ranges::copy_if(before, std::back_inserter(result.gone), [&](const std::string& line) {
      return !line.empty() && std::ranges::find(lines, line) == lines.end();
    });
  }
  const std::string vouching = seal(lines);
  lines.insert(lines.begin(), vouching);
  util::make_directories(std::filesystem::path(result.path).parent_path().string(), 0755);
  util::write_file_atomically(result.path, util::join(lines, "\n"));
  result.started =
      systemctl({"daemon-reload"}) && systemctl({"enable", unit.name}) && systemctl({"restart", unit.name});
  if (!result.started)
    result.to_type = {"systemctl --user daemon-reload", "systemctl --user enable --now " + unit.name};
  return result;
}

InstalledUnit remove_unit(const Workspace& workspace, const std::string& name, bool force) {
  InstalledUnit result{user_unit_path(name), false, {}, {}};
  const auto old = util::read_regular_file(result.path, 1 << 20);
  if (!old)
    throw Error(ExitCode::usage, "there is no '" + result.path + "'", "--name says which unit is meant");
  check_owner(workspace, result.path, *old, force);
  const bool stopped = systemctl({"disable", "--now", name});
  if (::unlink(result.path.c_str()) != 0) throw_errno("cannot remove '" + result.path + "'", errno);
  if (!stopped) {  // what `enable` has made
    const std::filesystem::path path(result.path);
    ::unlink((path.parent_path() / "default.target.wants" / path.filename()).c_str());
  }
  result.started = stopped && systemctl({"daemon-reload"});
  if (!result.started) result.to_type = {"systemctl --user stop " + name, "systemctl --user daemon-reload"};
  return result;
}

}  // namespace mlops::schedule
