#include "schedule/cron_import.hpp"

#include <mlops/error.hpp>
#include <mlops/pipeline.hpp>

#include "params/interpolate.hpp"
#include "pipeline/keys.hpp"
#include "util/strings.hpp"
#include "workspace/environment.hpp"

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <set>

namespace mlops::schedule {

namespace {

using Variables = std::map<std::string, std::string>;

constexpr int key_indent = 4;

// JSON is YAML, in quotes that leave nothing to guess.
std::string in_quotes(const std::string& text) {
  return nlohmann::json(params::escape_references(text))
      .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string value_or(const Variables& variables, const char* name, const std::string& otherwise) {
  const auto found = variables.find(name);
  return found == variables.end() ? otherwise : found->second;
}

CronUser user_of(const passwd& entry) { return {entry.pw_name, entry.pw_dir, entry.pw_uid, entry.pw_gid}; }

class Importer {
 public:
  explicit Importer(const ImportSettings& settings) : settings_(settings) {}

  CronImport import(const Crontab& crontab) {
    result_.remarks = crontab.remarks;
    for (const CronJob& job : crontab.jobs) import(job);
    std::ranges::stable_sort(result_.remarks, {}, &CronRemark::line);
    return std::move(result_);
  }

 private:
  void remark(const CronJob& job, std::string text, bool left_out = false) {
    result_.remarks.push_back({job.line, std::move(text), left_out});
  }

  void import(const CronJob& job) {
    const std::string name = name_of_command(job.command);
    if (name == "mlops") return remark(job, "it runs mlops already, and is not imported");
    if (job.watched)
      remark(job,
             "a shadow notes its start (`mlops internal-shadow`), which is no part of the job and not "
             "imported");
    CronUser user = settings_.user;
    if (!job.user.empty() && job.user != user.name) {
      const auto other = settings_.find_user(job.user);
      if (!other) return remark(job, "there is no user '" + job.user + "' here", true);
      if (user.uid != 0)
        return remark(job, "it runs as " + job.user + ": import it as that user, or as root", true);
      user = *other;
    }
    ImportedJob imported;
    imported.line = job.line;
    imported.name = unique(name);
    imported.command = job.command;
    if (job.times == "@reboot") {
      remark(job,
             "@reboot is no time, so that its file has no schedule: keep a line for it in the crontab, "
             "such as `@reboot mlops run FILE --quiet`");
    } else {
      imported.times = job.times;
    }
    if (job.times.find('~') != job.times.npos)
      remark(job, "'~': cron chooses a time anew whenever it reads the crontab, mlops the same one always");
    imported.text = text_of(job, imported, user);
    try {
      parse_pipeline(imported.text, imported.name + ".yaml", {.overrides = {}, .check_files = false});
    } catch (const Error& error) {
      std::string why = error.what();
      why.resize(std::min(why.find('\n'), why.size()));
      return remark(job, "a pipeline file cannot say it: " + why, true);
    }
    result_.jobs.push_back(std::move(imported));
  }

  std::string unique(const std::string& name) {
    std::string result = name;
    for (int i = 2; !taken_.insert(util::to_lower(result)).second; ++i)
      result = name + "-" + std::to_string(i);
    return result;
  }

  // What is not the job's own, then what cron sets, then what the crontab says.
  Variables variables_of(const CronJob& job, const CronUser& user) const {
    Variables variables = settings_.variables;
    variables["PATH"] = "/usr/bin:/bin";
    variables["SHELL"] = "/bin/sh";
    variables["HOME"] = user.home;
    for (const auto& [name, value] : job.variables) variables[name] = value;
    variables["LOGNAME"] = user.name;
    if (settings_.kind == CronKind::cronie) variables["USER"] = user.name;
    return variables;
  }

  std::string schedule_of(const CronJob& job) {
    std::string out = "schedule: {cron: " + in_quotes(job.times);
    if (settings_.kind == CronKind::cronie) {
      const std::string zone = value_or(job.variables, "CRON_TZ", ""),
                        delay = value_or(job.variables, "RANDOM_DELAY", "0");
      if (!zone.empty()) out += ", timezone: " + in_quotes(zone);
      if (const int minutes = std::atoi(delay.c_str()); minutes > 0)
        out += ", jitter: " + std::to_string(minutes) + "m";
    }
    return out +
           ", catchup: none, overlap: allow}  # as cron does it; without these, mlops makes up for what "
           "was missed, and does not overlap\n";
  }

  std::string run_of(const CronJob& job, const CronUser& user, const std::string& shell) const {
    std::vector<std::string> words;
    if (user.uid != settings_.user.uid)
      words = {"/usr/bin/setpriv", "--reuid=" + std::to_string(user.uid),
               "--regid=" + std::to_string(user.gid), "--init-groups", "--"};
    const auto add = [&](std::initializer_list<std::string> more) { words.insert(words.end(), more); };
    if (job.input) {
      add({"/bin/sh", "-c", R"(printf %s "$3" | "$1" -c "$2")", "sh", shell, job.command, *job.input});
    } else {
      add({shell, "-c", job.command});
    }
    for (std::string& word : words) word = in_quotes(word);
    return "[" + util::join(words, ", ") + "]";
  }

  std::string text_of(const CronJob& job, const ImportedJob& imported, const CronUser& user) {
    const std::string indent(key_indent, ' ');
    const Variables variables = variables_of(job, user);
    std::string out = "# Line " + std::to_string(job.line) + " of " + settings_.source +
                      ", by `mlops import crontab`:\n#   " + util::escape_controls(job.written) +
                      "\nname: " + in_quotes(imported.name) + "\n";
    if (!job.comment.empty()) out += "description: " + in_quotes(job.comment) + "\n";
    if (!imported.times.empty()) out += schedule_of(job);
    out += "env: {inherit: false}\nsteps:\n  " + imported.name + ":\n";
    out += indent + "run: " + run_of(job, user, value_or(variables, "SHELL", "/bin/sh")) + "\n";
    out += indent + "workdir: " + in_quotes(value_or(variables, "HOME", user.home)) + "\n";
    out += indent + "leave_running: true  # cron leaves alone what a job leaves behind\n";
    out += indent + "env:\n";
    for (const auto& [name, value] : variables) {
      if (pipeline::is_variable(name) && !name.starts_with("MLOPS_")) {
        out += indent + "  " + name + ": " + in_quotes(value) + "\n";
      } else if (job.variables.contains(name)) {
        remark(job, "the variable '" + name + "' cannot be set in a pipeline file");
      }
    }
    return out;
  }

  const ImportSettings& settings_;
  std::set<std::string> taken_;
  CronImport result_;
};

}  // namespace

std::optional<CronUser> find_user(const std::string& name) {
  const passwd* entry = ::getpwnam(name.c_str());
  return entry ? std::optional(user_of(*entry)) : std::nullopt;
}

CronUser this_user() {
  if (const passwd* entry = ::getpwuid(::geteuid())) return user_of(*entry);
  const char* home = std::getenv("HOME");
  return {workspace::user_name(), home ? home : "/", ::geteuid(), ::getegid()};
}

CronImport import_jobs(const Crontab& crontab, const ImportSettings& settings) {
  return Importer(settings).import(crontab);
}

std::map<std::string, std::string> read_environment_file(std::string_view text) {
  Variables variables;
  for (const std::string& line : lines_of(text)) {
    std::string_view rest = util::trim(line);
    if (rest.starts_with("export ")) rest = util::trim(rest.substr(7));
    const std::size_t equals = rest.find('=');
    if (rest.starts_with('#') || equals == rest.npos) continue;
    std::string_view value = rest.substr(equals + 1);
    if (value.size() > 1 && (value[0] == '"' || value[0] == '\'') && value.back() == value[0])
      value = value.substr(1, value.size() - 2);
    const std::string name(rest.substr(0, equals));
    if (pipeline::is_variable(name) && util::is_utf8(value)) variables[name] = value;
  }
  return variables;
}

}  // namespace mlops::schedule
