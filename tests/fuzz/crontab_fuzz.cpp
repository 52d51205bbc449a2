// Crontabs of strangers: what is read of them, the pipeline files that are made of them, and blocks put into
// them.
#include <mlops/error.hpp>
#include <mlops/pipeline.hpp>

#include "schedule/cron_import.hpp"
#include "schedule/crontab.hpp"
#include "util/strings.hpp"

#include <cstdint>
#include <cstdlib>
#include <string>

using namespace mlops;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void import(const std::string& text, const schedule::CrontabForm& form) {
  const schedule::Crontab crontab = schedule::read_crontab(text, form);
  const auto lines = schedule::lines_of(text);
  for (const schedule::CronJob& job : crontab.jobs) {
    require(job.line >= 1 && static_cast<std::size_t>(job.line) <= lines.size());
    require(job.written == lines[static_cast<std::size_t>(job.line) - 1]);
    require(job.command_at < job.written.size());
  }
  schedule::ImportSettings settings;
  settings.kind = form.kind;
  settings.source = "a crontab";
  settings.user = {"me", "/home/me", 1000, 1000};
  settings.find_user = [](const std::string&) { return std::nullopt; };
  for (const schedule::ImportedJob& job : schedule::import_jobs(crontab, settings).jobs) {
    const Pipeline pipeline =
        parse_pipeline(job.text, job.name + ".yaml", {.overrides = {}, .check_files = false});
    // What is run is what cron would have run.
    require(pipeline.name == job.name && pipeline.steps.size() == 1);
    bool found = false;
    for (const Text& word : pipeline.steps[0].command.argv)
      found = found || (word.is_literal() && word.literal() == job.command);
    require(found);
  }
}

void put_block(const std::string& text) {
  const auto lines = schedule::lines_of(text);
  try {
    const std::string with = schedule::with_block(lines, "/srv/x", {"* * * * * a"});
    const auto block = schedule::find_block(schedule::lines_of(with), "/srv/x");
    require(block && !block->changed && block->lines.size() == 1);
    if (schedule::find_block(lines, "/srv/x")) return;
    const std::string without = schedule::with_block(schedule::lines_of(with), "/srv/x", {});
    require(schedule::lines_of(without) == lines);
  } catch (const Error& error) {
    require(error.code() == ExitCode::busy);  // marks that do not go together
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  for (const auto kind : {schedule::CronKind::debian, schedule::CronKind::cronie}) {
    for (const bool system : {false, true}) import(text, {kind, system});
  }
  put_block(text);
  require(!schedule::name_of_command(text).empty());
  schedule::read_environment_file(text);
  return 0;
}
