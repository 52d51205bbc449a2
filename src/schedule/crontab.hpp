// A crontab as cron reads it, crontab(5): its jobs, each with the variables in force for it; and its lines as
// texts, for those who write some.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mlops::schedule {

/// The two kinds differ in what they make of `\\` in a command (Debian's takes one of them away), of CRON_TZ
/// and RANDOM_DELAY (Debian's knows neither), and of USER (Debian's does not set it).
enum class CronKind { debian, cronie };

/// That of this machine, by the daemon that is installed.
CronKind installed_cron();

struct CronJob {
  int line = 0;
  std::string written;         ///< the line, without the notes of a shadow
  std::string times;           ///< five fields or a macro
  std::string user;            ///< in a crontab of the system
  std::size_t command_at = 0;  ///< where in its line the command begins
  std::string command;  ///< for the shell, after what cron does with `%` and without the notes of a shadow
  std::optional<std::string> input;              ///< what stands after a `%`
  std::map<std::string, std::string> variables;  ///< as set above it
  std::string comment;                           ///< the line above it, if that is one
  bool watched = false;                          ///< by a shadow, which notes its start
  std::string file;                              ///< of the system, where it stands; empty: elsewhere
  std::string directory;                         ///< where its command begins; empty: nobody has looked
};

/// Something to say about a line.
struct CronRemark {
  int line = 0;
  std::string text;
  bool left_out = false;  ///< a job that is not carried over
};

struct Crontab {
  std::vector<CronJob> jobs;
  std::vector<CronRemark> remarks;
};

struct CrontabForm {
  CronKind kind = CronKind::debian;
  bool system = false;  ///< with a user in each line, as in /etc/crontab
};

/// What is no line of a crontab, or a time that cannot be, is a remark. Jobs between the markers of mlops are
/// not counted; that they are there is a remark, too.
Crontab read_crontab(std::string_view text, const CrontabForm& form);

/// `mlops internal-shadow FILE ID; ` before a command notes that it starts, see shadow.hpp.
inline constexpr const char* shadow_argument = "internal-shadow";

/// The notes that a command in a crontab begins with, each with the blanks after it.
std::vector<std::string_view> notes_before(std::string_view command);

/// The lines of a text, without their ends.
std::vector<std::string> lines_of(std::string_view text);

/// The words of each simple command in a script, quotes taken away: no more than is needed to guess what it
/// is about.
std::vector<std::vector<std::string>> simple_commands(const std::string& script);

/// A command of `words` for a crontab: quoted for the shell, with `%` and backslashes as either cron wants
/// them. Throws Error(usage) for a word with a line break, which no crontab can say.
std::string cron_command(const std::vector<std::string>& words);

/// Some crons take no longer command.
constexpr std::size_t longest_command = 998;

constexpr std::string_view block_begin = "# BEGIN mlops ", block_end = "# END mlops ";

/// What stands between the markers of a workspace.
struct CrontabBlock {
  std::size_t first = 0, last = 0;  ///< lines of the markers, from 0
  std::vector<std::string> lines;   ///< between them, without the line that vouches for them
  bool changed = false;             ///< by somebody else
};

/// None if there is no such block. Throws Error(busy) for markers that do not go together.
std::optional<CrontabBlock> find_block(const std::vector<std::string>& crontab, const std::string& workspace);

/// `crontab` with a block of these lines in place of that of the workspace, or at its end; without one if
/// there are none.
std::string with_block(const std::vector<std::string>& crontab, const std::string& workspace,
                       const std::vector<std::string>& lines);

}  // namespace mlops::schedule
