// Jobs of a crontab as pipeline files that run the same command, under the same shell, in the same place and
// with the variables that cron sets.
#pragma once

#include "schedule/crontab.hpp"

#include <sys/types.h>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace mlops::schedule {

/// A user as the system knows it.
struct CronUser {
  std::string name, home;
  uid_t uid = 0;
  gid_t gid = 0;
};

std::optional<CronUser> find_user(const std::string& name);
CronUser this_user();

struct ImportSettings {
  CronKind kind = CronKind::debian;
  std::string source;  ///< where the lines stand, for comments: "the crontab of root"
  CronUser user;       ///< who imports, and will run them
  std::map<std::string, std::string> variables;  ///< that every job gets besides, as from PAM
  std::function<std::optional<CronUser>(const std::string&)> find_user;
};

struct ImportedJob {
  int line = 0;
  std::string name;     ///< of the pipeline: unique among these
  std::string times;    ///< empty: only the boot starts it
  std::string command;  ///< as cron runs it
  std::string text;     ///< of the file
};

struct CronImport {
  std::vector<ImportedJob> jobs;
  std::vector<CronRemark> remarks;  ///< by line
};

CronImport import_jobs(const Crontab& crontab, const ImportSettings& settings);

/// What a command is about, as a name: of `cd /srv && nice ./train.sh -v` it is "train".
std::string name_of_command(const std::string& command);

/// NAME=value lines, as of /etc/environment: what PAM hands to jobs of cron.
std::map<std::string, std::string> read_environment_file(std::string_view text);

}  // namespace mlops::schedule
