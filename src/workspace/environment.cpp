#include "workspace/environment.hpp"

#include "process/capture.hpp"
#include "util/strings.hpp"

#include <pwd.h>
#include <unistd.h>

#include <algorithm>

extern char** environ;

namespace mlops::workspace {

std::string host_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "unknown";
}

std::string user_name() {
  const passwd* entry = ::getpwuid(::geteuid());
  return entry ? entry->pw_name : std::to_string(::geteuid());
}

std::vector<std::string> environment_names() {
  std::vector<std::string> names;
  for (char** entry = environ; *entry; ++entry) {
    const std::string_view text = *entry;
    names.push_back(util::to_utf8(text.substr(0, text.find('='))));
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

std::optional<GitState> git_state(const std::string& directory) {
  constexpr int limit_ms = 30'000;
  // Without optional locks a look at the tree never disturbs a git command of the user.
  const std::vector<std::string> env = {"GIT_OPTIONAL_LOCKS=0", "LC_ALL=C"};
  const auto head = process::capture({"git", "rev-parse", "--verify", "HEAD"}, directory, limit_ms, env);
  if (head.code != 0) return std::nullopt;
  GitState state;
  state.commit = std::string(util::trim(head.out));
  const auto status =
      process::capture({"git", "status", "--porcelain", "--untracked-files=no"}, directory, limit_ms, env);
  if (status.code == 0) state.dirty = !util::trim(status.out).empty();
  return state;
}

}  // namespace mlops::workspace
