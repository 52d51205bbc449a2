#include <mlops/pipeline.hpp>

#include "cli/context.hpp"
#include "cli/import_crontab.hpp"
#include "cli/output.hpp"
#include "dvc/convert.hpp"
#include "util/files.hpp"

#include <cstdio>
#include <filesystem>

namespace mlops::cli {

namespace {

struct ImportOptions {
  std::string directory = ".";
  std::string output;
  bool force = false;
  bool json = false;
};

void import_dvc(const ImportOptions& options) {
  namespace fs = std::filesystem;
  const std::string source =
      util::is_directory(options.directory) ? options.directory + "/dvc.yaml" : options.directory;
  const Pipeline pipeline =
      load_pipeline(fs::path(source).lexically_normal().string(), {.overrides = {}, .check_files = false});
  if (!pipeline.dvc)
    throw Error(ExitCode::usage, "'" + source + "' is not a dvc.yaml", "name the folder of a DVC project");
  if (pipeline.steps.empty())
    throw Error(ExitCode::usage, "'" + source + "' has no stages to make steps of",
                "name the folder whose dvc.yaml has them");
  const bool to_stdout = options.output == "-";
  const std::string target =
      !options.output.empty() && !to_stdout
          ? options.output
          : (fs::path(source).parent_path() / "pipeline.yaml").lexically_normal().string();
  const std::string directory =
      to_stdout ? pipeline.directory : fs::path(util::absolute_path(target)).parent_path().string();
  const dvc::Converted converted = dvc::to_own_file(pipeline, directory);
  if (to_stdout) {
    if (!options.json) {
      std::fputs(converted.text.c_str(), stdout);
      return;
    }
  } else {
    if (util::exists(target) && !options.force) {
      throw Error(ExitCode::usage, "cannot write '" + target + "': it exists",
                  "--force replaces it, -o names another file");
    }
    util::write_file_atomically(target, converted.text);
  }
  if (options.json) {
    return print_json({{"file", to_stdout ? "" : target},
                       {"pipeline", pipeline.name},
                       {"steps", pipeline.steps.size()},
                       {"notes", converted.notes},
                       {"text", converted.text}});
  }
  std::printf("%s: %zu step%s\n", target.c_str(), pipeline.steps.size(),
              pipeline.steps.size() == 1 ? "" : "s");
  for (const std::string& note : converted.notes) std::printf("  note: %s\n", note.c_str());
  std::printf("next: mlops validate %s\n", target.c_str());
}

}  // namespace

void set_up_import(CLI::App& app, Context& context) {
  app.require_subcommand(1);
  auto options = std::make_shared<ImportOptions>();
  auto* dvc = app.add_subcommand("dvc", "make a pipeline file from a project of DVC");
  dvc->add_option("DIR", options->directory, "its folder (default: here)");
  dvc->add_option("-o,--output", options->output, "file to write (default: DIR/pipeline.yaml; - is stdout)")
      ->type_name("FILE");
  dvc->add_flag("--force", options->force, "replace an existing file");
  dvc->add_flag("--json", options->json, "print JSON");
  dvc->footer(
      "A dvc.yaml runs as it is, too: mlops run dvc.yaml.\n"
      "Examples:\n  mlops import dvc\n  mlops import dvc churn -o churn/pipeline.yaml\n"
      "  mlops import dvc -o - | less");
  dvc->callback([options] { import_dvc(*options); });
  add_crontab_import(app, context);
  app.footer(
      "A dvc.yaml runs as it is, too: mlops run dvc.yaml.\n"
      "Examples:\n"
      "  mlops import dvc churn -o churn/pipeline.yaml\n"
      "  mlops import crontab --out pipelines\n"
      "  mlops import crontab --shadow --out pipelines     # cron goes on, and is watched\n"
      "  mlops import crontab --shadow --report");
}

}  // namespace mlops::cli
