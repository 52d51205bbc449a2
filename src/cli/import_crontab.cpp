#include "cli/import_crontab.hpp"

#include "cli/install.hpp"
#include "cli/output.hpp"
#include "cli/shadow.hpp"
#include "schedule/cron_import.hpp"
#include "schedule/cutover.hpp"
#include "schedule/install.hpp"
#include "schedule/shadow.hpp"
#include "schedule/user_crontab.hpp"
#include "util/files.hpp"
#include "util/log.hpp"
#include "util/strings.hpp"

#include <cstdio>
#include <filesystem>

namespace mlops::cli {

namespace {

constexpr std::size_t most_bytes = 1 << 20;

struct ImportCrontabOptions {
  std::string file;
  bool of_user = false, system = false;
  std::string kind = "auto";
  std::string directory = ".";
  bool force = false, dry_run = false, json = false;
  bool shadow = false, report = false, remove = false;
};

struct Source {
  std::string text;
  std::string name;     ///< for comments
  bool here = true;     ///< cron of this machine reads it
  bool is_own = false;  ///< it is that of the user
};

Source read_source(const ImportCrontabOptions& options) {
  if (options.file == "-") {
    return {util::read_file("/dev/stdin", most_bytes), "a crontab", false};
  }
  const std::string file = options.file.empty() && options.system ? "/etc/crontab" : options.file;
  if (!file.empty()) {
    auto text = util::read_regular_file(file, most_bytes);
    if (!text)
      throw Error(ExitCode::usage, "there is no file '" + file + "'", "without one, your crontab is read");
    return {std::move(*text), file, options.file.empty()};
  }
  std::string text = schedule::read_user_crontab();
  if (text.empty()) throw Error(ExitCode::usage, "you have no crontab", "FILE names another one");
  return {std::move(text), "the crontab of " + schedule::this_user().name, true, true};
}

schedule::CrontabForm form_of(const ImportCrontabOptions& options) {
  const auto kind = options.kind == "auto"     ? schedule::installed_cron()
                    : options.kind == "cronie" ? schedule::CronKind::cronie
                                               : schedule::CronKind::debian;
  return {kind, options.system};
}

schedule::ImportSettings settings_for(const Source& source, const schedule::CrontabForm& form) {
  schedule::ImportSettings settings;
  settings.kind = form.kind;
  settings.source = source.name;
  settings.user = schedule::this_user();
  settings.find_user = schedule::find_user;
  if (!source.here) return settings;
  for (const char* file : {"/etc/default/locale", "/etc/environment"}) {
    if (const auto text = util::read_regular_file(file, most_bytes))
      settings.variables.merge(schedule::read_environment_file(*text));
  }
  return settings;
}

std::string path_of(const ImportCrontabOptions& options, const schedule::ImportedJob& job) {
  return (std::filesystem::path(options.directory) / (job.name + ".yaml")).lexically_normal().string();
}

// All of them or none.
void write_files(const ImportCrontabOptions& options, const schedule::CronImport& import) {
  for (const schedule::ImportedJob& job : import.jobs) {
    const std::string path = path_of(options, job);
    if (!options.force && util::exists(path))
      throw Error(ExitCode::usage, "cannot write '" + path + "': it exists",
                  "--force replaces it, --out names another folder; nothing was written");
  }
  util::make_directories(options.directory, 0777);
  for (const schedule::ImportedJob& job : import.jobs)
    util::write_file_atomically(path_of(options, job), job.text);
}

nlohmann::json remarks_json(const std::vector<schedule::CronRemark>& remarks) {
  nlohmann::json list = nlohmann::json::array();
  for (const schedule::CronRemark& each : remarks)
    list.push_back({{"line", each.line}, {"text", each.text}, {"left_out", each.left_out}});
  return list;
}

// Cron goes on with what was imported, until somebody takes it out.
std::string way_out(const ImportCrontabOptions& options, const Source& source,
                    const schedule::CronImport& import) {
  if (!source.is_own && !options.system) return {};
  std::vector<schedule::ActiveLine> lines;
  for (const schedule::ImportedJob& job : import.jobs) {
    if (!job.times.empty())
      lines.push_back({job.line, "", job.name, source.is_own ? std::string() : source.name});
  }
  return options.file == "-" ? "" : schedule::way_out(lines);
}

void print_next(const ImportCrontabOptions& options, const Source& source,
                const schedule::CronImport& import) {
  // Those that only a boot starts have no schedule to be installed.
  const bool some = std::ranges::any_of(import.jobs, &std::string::empty, &schedule::ImportedJob::times);
  const std::string all = (std::filesystem::path(options.directory) / "*.yaml").lexically_normal().string();
  const std::string out = way_out(options, source, import);
  std::printf("next: look at them\n");
  std::printf("then: take these lines out of the crontab, or cron goes on with them beside mlops%s%s\n",
              out.empty() ? "" : ": ", out.c_str());
  std::printf("then: mlops schedule install --crontab %s\n",
              some ? ("$(grep -l ^schedule: " + all + ")").c_str() : all.c_str());
}

void print_import(const ImportCrontabOptions& options, const Source& source,
                  const schedule::CronImport& import, std::size_t watched,
                  const std::string& program = "mlops") {
  if (options.json) {
    nlohmann::json jobs = nlohmann::json::array();
    for (const schedule::ImportedJob& job : import.jobs)
      jobs.push_back({{"line", job.line},
                      {"name", job.name},
                      {"file", path_of(options, job)},
                      {"times", job.times},
                      {"command", job.command},
                      {"text", job.text}});
    return print_json({{"written", !options.dry_run},
                       {"jobs", std::move(jobs)},
                       {"remarks", remarks_json(import.remarks)},
                       {"watched", watched},
                       {"way_out", options.shadow ? "" : way_out(options, source, import)}});
  }
  Table table({"LINE", "FILE", "TIMES", "COMMAND"});
  table.right_align(0);
  for (const schedule::ImportedJob& job : import.jobs)
    table.add({std::to_string(job.line), path_of(options, job), job.times.empty() ? "@reboot" : job.times,
               util::escape_controls(job.command)});
  if (table.rows() > 0) table.print(stdout);
  for (const schedule::CronRemark& each : import.remarks)
    std::printf("line %d: %s%s\n", each.line, each.left_out ? "left out: " : "", each.text.c_str());
  const std::size_t jobs = import.jobs.size();
  std::printf("%s %zu pipeline file%s\n", options.dry_run ? "would write" : "wrote", jobs,
              jobs == 1 ? "" : "s");
  if (options.shadow) {
    std::printf("cron goes on; the start of %zu job%s is noted from now on\n", watched,
                watched == 1 ? "" : "s");
    std::printf("next: %s import crontab --shadow --report; to end it: the same with --remove\n",
                program.c_str());
  } else if (!options.dry_run && jobs > 0) {
    print_next(options, source, import);
  }
}

// Whoever imports a crontab wants all of it.
int code_for(const schedule::CronImport& import) {
  return std::ranges::any_of(import.remarks, &schedule::CronRemark::left_out)
             ? static_cast<int>(ExitCode::gate_refused)
             : 0;
}

// Whether each command begins with the name of a user, as lines of the system's crontabs do.
bool looks_like_system(const schedule::Crontab& crontab) {
  return !crontab.jobs.empty() && std::ranges::all_of(crontab.jobs, [](const schedule::CronJob& job) {
    const std::size_t end = job.command.find_first_of(" \t");
    return end != job.command.npos && schedule::find_user(job.command.substr(0, end));
  });
}

int import_crontab(const ImportCrontabOptions& options) {
  const Source source = read_source(options);
  const schedule::CrontabForm form = form_of(options);
  const auto crontab = schedule::read_crontab(source.text, form);
  const auto import = schedule::import_jobs(crontab, settings_for(source, form));
  if (!options.dry_run) write_files(options, import);
  print_import(options, source, import, 0);
  std::fflush(stdout);
  if (!options.system && looks_like_system(crontab))
    std::fprintf(stderr,
                 "mlops: warning: each command begins with the name of a user, which is run as a command\n"
                 "  of a crontab of the system, import it with --system\n");
  return code_for(import);
}

int begin_shadow(const ImportCrontabOptions& options, const Context& context) {
  if (!options.dry_run) util::make_directories(options.directory, 0777);
  bool created = false;
  const Workspace workspace = Workspace::find_or_create(options.directory, context.workspace, created);
  workspace.check_owner();
  if (const auto old = schedule::read_shadow(workspace); old && !old->until)
    throw Error(ExitCode::busy, "the crontab is watched already",
                "--shadow --report shows what was seen, --shadow --remove ends it");
  const schedule::CrontabForm form = form_of(options);
  const std::string program = schedule::call_of_this_program(workspace, {}, false).program;
  const Source source = read_source(options);
  const std::string starts = schedule::starts_path(workspace);
  // A crontab that was put back by hand, or whose shadow is not on record any more, notes starts already.
  const std::string text = schedule::without_notes(source.text, starts);
  const auto crontab = schedule::read_crontab(text, form);
  schedule::CronImport import = schedule::import_jobs(crontab, settings_for(source, form));
  schedule::Shadow shadow;
  shadow.lines = schedule::shadow_lines(text, import.jobs, crontab, program, starts, import.remarks);
  for (schedule::ShadowLine& line : shadow.lines)
    line.file = util::absolute_path(options.directory + "/" + line.pipeline + ".yaml");
  if (options.dry_run) {
    print_import(options, source, import, shadow.lines.size(), program_here(workspace, context));
    return code_for(import);
  }
  write_files(options, import);
  schedule::edit_user_crontab([&](const std::string& now) {
    if (now != source.text)
      throw Error(ExitCode::busy, "the crontab was changed meanwhile",
                  "nothing of it was touched: try again");
    // On record before the crontab knows of it: it can be put back from then on.
    shadow.since = util::now();
    schedule::write_shadow(workspace, shadow);
    return schedule::with_shadow(text, shadow.lines);
  });
  print_import(options, source, import, shadow.lines.size(), program_here(workspace, context));
  return code_for(import);
}

int run(const ImportCrontabOptions& options, const Context& context) {
  util::set_up_log(context.verbose);
  if ((options.report || options.remove) && !options.shadow)
    throw Error(ExitCode::usage, "--report and --remove go with --shadow");
  if (!options.shadow) return import_crontab(options);
  if (!options.file.empty() || options.system)
    throw Error(ExitCode::usage, "--shadow is for your own crontab only", "leave FILE and --system out");
  if (!options.report && !options.remove) return begin_shadow(options, context);
  const Workspace workspace = Workspace::require(options.directory, context.workspace);
  workspace.check_owner();
  return options.report ? report_shadow(workspace, options.json) : end_shadow(workspace, options.json);
}

}  // namespace

void add_crontab_import(CLI::App& import, Context& context) {
  auto options = std::make_shared<ImportCrontabOptions>();
  auto* app = import.add_subcommand("crontab", "make pipeline files from the jobs of a crontab");
  auto* file = app->add_option("FILE", options->file, "a crontab, - is stdin (default: yours)");
  app->add_flag("--user-crontab", options->of_user, "yours, as without FILE")->excludes(file);
  app->add_flag("--system", options->system,
                "lines name a user, as in /etc/crontab, which is the default then")
      ->excludes("--user-crontab");
  app->add_option("--out", options->directory, "folder for the pipeline files (default: here)")
      ->type_name("DIR");
  app->add_option("--cron", options->kind, "whose rules: auto, debian or cronie (default: the one installed)")
      ->type_name("KIND")
      ->check(CLI::IsMember({"auto", "debian", "cronie"}));
  app->add_flag("--force", options->force, "replace existing files");
  app->add_flag("--dry-run", options->dry_run, "write nothing");
  app->add_flag("--shadow", options->shadow, "leave cron in charge, and note when it starts jobs");
  auto* report =
      app->add_flag("--report", options->report, "with --shadow: how that differs from the pipeline files");
  app->add_flag("--remove", options->remove, "with --shadow: put the crontab back")->excludes(report);
  app->add_flag("--json", options->json, "print JSON");
  app->footer(
      "Examples:\n"
      "  mlops import crontab --out pipelines\n"
      "  mlops import crontab /etc/crontab --system --dry-run\n"
      "  mlops import crontab --shadow --out pipelines     # cron goes on, and is watched\n"
      "  mlops import crontab --shadow --report");
  app->callback([options, &context] { context.exit_code = run(*options, context); });
}

}  // namespace mlops::cli
