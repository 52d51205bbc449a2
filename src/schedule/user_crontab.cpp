#include "schedule/user_crontab.hpp"

#include <mlops/error.hpp>

#include "process/capture.hpp"
#include "process/lock_file.hpp"
#include "util/files.hpp"
#include "util/strings.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <vector>

namespace mlops::schedule {

namespace {

constexpr int usual_limit_ms = 30'000;
constexpr std::size_t most = 1 << 20;

// Debian's can be asked to show a header that is no part of the crontab. `together`: with what it says on its
// standard error.
process::Captured crontab(const std::vector<std::string>& arguments, bool together = false,
                          int limit_ms = usual_limit_ms) {
  std::vector<std::string> argv = {"/bin/sh", "-c",
                                   together ? R"(CRONTAB_NOHEADER=Y LC_ALL=C exec crontab "$@" 2>&1)"
                                            : R"(CRONTAB_NOHEADER=Y LC_ALL=C exec crontab "$@")",
                                   "crontab"};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  process::Captured result = process::capture(argv, "/", limit_ms);
  if (result.code < 0 || result.code == 127)
    throw Error(
        ExitCode::unreachable,
        "the program `crontab` cannot be run" + (result.error.empty() ? "" : ": " + result.error),
        "install cron (Debian's package `cron`, or `cronie`), or let `mlops daemon` do the scheduling");
  return result;
}

// Beside other things of the user that can be made again.
std::string cache_directory() {
  const char* own = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  if (own && *own == '/') return std::string(own) + "/mlops";
  return home && *home == '/' ? std::string(home) + "/.cache/mlops" : std::string();
}

/// A file of this name that is gone at the end.
class Draft {
 public:
  Draft(const std::string& directory, const std::string& text) : path_(directory + "/crontab.XXXXXX") {
    const util::Fd fd(::mkostemp(path_.data(), O_CLOEXEC));
    if (!fd) throw_errno("cannot write '" + path_ + "'", errno);
    if (const int error = util::write_all(fd.get(), text); error != 0) {
      ::unlink(path_.c_str());
      throw_errno("cannot write '" + path_ + "'", error);
    }
  }
  ~Draft() { ::unlink(path_.c_str()); }
  Draft(const Draft&) = delete;
  Draft& operator=(const Draft&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace

std::string read_user_crontab(int limit_ms) {
  process::Captured result = crontab({"-l"}, false, limit_ms);
  if (result.code != 0) {
    const std::string why = crontab({"-l"}, true, limit_ms).out;
    if (why.find("no crontab") != why.npos || why.find("can't open") != why.npos) return {};
    throw Error(ExitCode::unreachable, "cannot read the crontab: " + std::string(util::trim(why)),
                "`crontab -l` tells the same");
  }
  if (result.out.size() >= most)
    throw Error(ExitCode::usage, "the crontab has more than a MiB", "such a one is not touched");
  return std::move(result.out);
}

bool edit_user_crontab(const std::function<std::string(const std::string&)>& edit) {
  const std::string directory = cache_directory();
  if (directory.empty())
    throw Error(ExitCode::usage, "cannot write the crontab: HOME is not set", "a draft of it is kept there");
  util::make_directories(directory);
  const auto lock = process::LockFile::lock(directory + "/crontab.lock", "the crontab", usual_limit_ms);
  bool wrote = false;
  for (int attempt = 0; attempt < 5; ++attempt) {
    const std::string before = read_user_crontab();
    const std::string after = edit(before);
    if (after == before) return wrote;
    const Draft draft(directory, after);
    if (read_user_crontab() != before) continue;  // somebody was faster
    const std::vector<std::string> write =
        after.empty() ? std::vector<std::string>{"-r"} : std::vector<std::string>{draft.path()};
    const process::Captured written = crontab(write, true);
    if (written.code != 0)
      throw Error(ExitCode::unreachable,
                  "`crontab` did not take the new crontab: " +
                      util::escape_controls(std::string(util::trim(written.out))),
                  "the old one is as it was");
    wrote = true;
    if (read_user_crontab() == after) return true;
  }
  throw Error(ExitCode::busy, "the crontab was changed by somebody else again and again",
              "try again when they are done; `crontab -l` shows it");
}

}  // namespace mlops::schedule
