#include "schedule/export.hpp"

#include <mlops/error.hpp>

#include "calendar/instants.hpp"
#include "cli/export.hpp"
#include "cli/output.hpp"
#include "util/files.hpp"
#include "util/log.hpp"
#include "util/strings.hpp"

#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>

namespace mlops::cli {

namespace {

struct ExportOptions {
  std::vector<std::string> files;
  std::string output;
  std::vector<std::string> variables;
  bool no_path = false, force = false, json = false;
};

struct Loaded {
  Workspace workspace;
  schedule::Call call;
  std::vector<schedule::Served> files;
  std::vector<schedule::Loss> losses;  ///< files that cannot be exported at all
};

// In a few words, without the name of the file.
std::string why_of(const Error& error, const std::string& file) {
  if (const auto* bad = dynamic_cast<const BadFile*>(&error)) {
    const Diagnostic& first = bad->problems().at(0);
    const std::size_t more = bad->problems().size() - 1;
    return "line " + std::to_string(first.at.line) + ": " + first.message +
           (first.hint.empty() ? "" : " (" + first.hint + ")") +
           (more > 0 ? ", and " + counted(more, "more problem") : "");
  }
  const std::string name = "'" + file + "' ", what = error.what();
  return what.starts_with(name) ? "it " + what.substr(name.size()) : what;
}

// A file that is there but cannot be exported hides nothing of the others, if there are some that can.
Loaded load(const ExportOptions& options, const Context& context) {
  util::set_up_log(context.verbose);
  const std::string directory = std::filesystem::path(options.files[0]).parent_path().string();
  Workspace workspace = Workspace::require(directory.empty() ? "." : directory, context.workspace);
  schedule::Call call = schedule::call_of_this_program(workspace, options.variables, !options.no_path);
  Loaded loaded{std::move(workspace), std::move(call), {}, {}};
  std::exception_ptr first;
  for (const std::string& file : options.files) {
    try {
      loaded.files.push_back(schedule::load_served(file));
    } catch (const Error& error) {
      if (error.code() != ExitCode::usage || !util::exists(file)) throw;
      if (!first) first = std::current_exception();
      loaded.losses.push_back({file, "", why_of(error, file), true});
    }
  }
  if (loaded.files.empty()) std::rethrow_exception(first);
  return loaded;
}

nlohmann::json losses_json(const std::vector<schedule::Loss>& losses) {
  nlohmann::json list = nlohmann::json::array();
  for (const schedule::Loss& loss : losses)
    list.push_back(
        {{"pipeline", loss.pipeline}, {"schedule", loss.entry}, {"text", loss.text}, {"whole", loss.whole}});
  return list;
}

// What has no words over there is said; what is missing altogether is no success.
int tell(const std::vector<schedule::Loss>& losses) {
  std::fflush(stdout);
  for (const schedule::Loss& loss : losses)
    std::fprintf(stderr, "%s: %s%s: %s\n", loss.whole ? "not exported" : "lost", shown(loss.pipeline).c_str(),
                 shown(loss.entry.empty() ? "" : " " + loss.entry).c_str(), shown(loss.text).c_str());
  return std::ranges::any_of(losses, &schedule::Loss::whole) ? static_cast<int>(ExitCode::gate_refused) : 0;
}

void require_free(const ExportOptions& options, const std::string& path) {
  if (util::exists(path) && !options.force)
    throw Error(ExitCode::usage, "cannot write '" + path + "': it exists",
                "--force replaces it; nothing was written");
}

int to_crontab(const ExportOptions& options, const Context& context) {
  const Loaded loaded = load(options, context);
  const auto clock = calendar::TimeZone::load(calendar::TimeZone::machine_name());
  auto exported = schedule::export_crontab(loaded.call, loaded.files, clock, calendar::now_seconds());
  for (const schedule::Loss& loss : loaded.losses)
    exported.lines.push_back("# not here: " + util::escape_controls(loss.pipeline + ": " + loss.text));
  exported.losses.insert(exported.losses.end(), loaded.losses.begin(), loaded.losses.end());
  std::string text;
  for (const std::string& line : exported.lines) text += line + "\n";
  if (!options.output.empty()) {
    require_free(options, options.output);
    util::write_file_atomically(options.output, text);
  }
  if (options.json) {
    print_json({{"lines", exported.lines}, {"losses", losses_json(exported.losses)}});
  } else if (options.output.empty()) {
    std::fputs(text.c_str(), stdout);
  }
  return tell(exported.losses);
}

int to_systemd(const ExportOptions& options, const Context& context) {
  const Loaded loaded = load(options, context);
  auto exported = schedule::export_units(loaded.call, loaded.files, calendar::now_seconds());
  exported.losses.insert(exported.losses.end(), loaded.losses.begin(), loaded.losses.end());
  nlohmann::json units = nlohmann::json::array();
  if (!options.output.empty()) {
    for (const schedule::Unit& unit : exported.units) require_free(options, options.output + "/" + unit.name);
    util::make_directories(options.output, 0777);
  }
  for (const schedule::Unit& unit : exported.units) {
    const std::string path = options.output + "/" + unit.name;
    if (!options.output.empty()) util::write_file_atomically(path, unit.text);
    units.push_back({{"name", unit.name}, {"text", unit.text}});
    if (options.json) continue;
    if (options.output.empty()) {
      std::printf("# %s\n%s\n", unit.name.c_str(), unit.text.c_str());
    } else {
      std::printf("wrote %s\n", path.c_str());
    }
  }
  if (options.json) print_json({{"units", std::move(units)}, {"losses", losses_json(exported.losses)}});
  return tell(exported.losses);
}

void add_options(CLI::App& app, ExportOptions& options, const char* output, const char* kind) {
  app.add_option("FILE", options.files, "pipeline files")->required();
  app.add_option("-o,--output", options.output, output)->type_name(kind);
  app.add_option("--env", options.variables, "hand on this variable, with the value that it has here")
      ->type_name("NAME")
      ->take_all()
      ->expected(1);
  app.add_flag("--no-path", options.no_path, "do not hand on PATH");
  app.add_flag("--force", options.force, "replace existing files");
  app.add_flag("--json", options.json, "print JSON");
}

}  // namespace

void set_up_export(CLI::App& app, Context& context) {
  app.require_subcommand(1);
  auto options = std::make_shared<ExportOptions>();
  auto* crontab = app.add_subcommand("crontab", "lines for a crontab");
  add_options(*crontab, *options, "file to write (default: stdout)", "FILE");
  crontab->footer(
      "Examples:\n  mlops export crontab pipeline.yaml\n  mlops export crontab pipeline.yaml -o "
      "jobs.crontab");
  crontab->callback([options, &context] { context.exit_code = to_crontab(*options, context); });
  auto* systemd = app.add_subcommand("systemd", "a service for each pipeline, with timers");
  add_options(*systemd, *options, "folder to write to (default: stdout)", "DIR");
  systemd->footer(
      "Examples:\n  mlops export systemd pipeline.yaml\n"
      "  mlops export systemd pipeline.yaml -o ~/.config/systemd/user");
  systemd->callback([options, &context] { context.exit_code = to_systemd(*options, context); });
  app.footer(
      "What the other scheduler has no words for is said on stderr; where an entry or a file is not there "
      "at\n"
      "all, the exit code is 3.\n"
      "Examples:\n"
      "  mlops export crontab pipeline.yaml\n"
      "  mlops export systemd pipeline.yaml -o ~/.config/systemd/user");
}

}  // namespace mlops::cli
