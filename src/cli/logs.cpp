#include "cli/context.hpp"
#include "cli/output.hpp"
#include "db/steps.hpp"
#include "engine/run_log.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"

#include <cstdio>
#include <memory>

namespace mlops::cli {

namespace {

struct LogsOptions {
  std::string run = "latest";
  std::string step;
  int attempt = 0;
  bool follow = false;
  bool times = false;
  bool raw = false;
  bool json = false;
};

engine::LogPrinter make_printer(const LogsOptions& options) {
  const Style style = style_of(stdout);
  engine::LogPrinter printer;
  const auto in_line = std::make_shared<bool>(false);
  // One step alone is printed as it is, so that it can be piped on.
  if (!options.raw && options.step.empty()) {
    printer.heading = [style, in_line](const engine::AttemptLog& log) {
      const std::string attempt = log.attempt > 1 ? " attempt " + std::to_string(log.attempt) : "";
      const std::string text = style.bold("── " + shown(log.step) + attempt + " ──");
      std::printf("%s%s\n", *in_line ? "\n" : "", text.c_str());
      *in_line = false;
    };
  }
  if (options.times) {
    printer.line = [style](const engine::LogLine& line) {
      const std::string time = line.time ? util::format_utc(*line.time) : std::string(23, ' ');
      std::printf("%s %s ", style.dim(time).c_str(), line.error ? style.warn("err").c_str() : "out");
      std::fwrite(line.text.data(), 1, line.text.size(), stdout);
      std::fputc('\n', stdout);
    };
  } else {
    printer.bytes = [in_line](std::string_view bytes) {
      std::fwrite(bytes.data(), 1, bytes.size(), stdout);
      *in_line = bytes.back() != '\n';
    };
  }
  return printer;
}

// Why there is nothing to print.
void explain_nothing(OpenWorkspace& open, const std::string& id, const std::string& name) {
  int cached = 0;
  for (const StepRecord& step : db::steps_of(open.database.connection(), id)) {
    const bool asked = step.name == name || step.name.starts_with(name + "@");
    cached += step.state == StepState::cached ? 1 : 0;
    if (name.empty() || !asked) continue;
    if (step.state == StepState::cached) {
      const std::string where =
          step.source_run ? "what it wrote is in `mlops logs " + *step.source_run + " " + step.name + "`"
                          : "the run that its results are from was removed, and what it wrote with it";
      std::fprintf(stderr, "%s was cached: %s\n", shown(step.name).c_str(), shown(where).c_str());
    } else if (step.attempts > 0) {
      std::fprintf(stderr, "%s wrote nothing\n", shown(step.name).c_str());
    } else {
      std::fprintf(stderr, "%s has not run: it is %s%s%s\n", shown(step.name).c_str(), to_string(step.state),
                   step.reason.empty() ? "" : ", ", shown(step.reason).c_str());
    }
  }
  if (!name.empty()) return;
  std::fprintf(stderr, "nothing was written%s\n",
               cached > 0 ? "; of cached steps see the runs that `mlops show` names" : "");
}

void logs(const LogsOptions& options, Context& context) {
  OpenWorkspace open = open_to_read(context);
  const std::string id = find_run_id(open, options.run);
  engine::LogRequest request;
  request.step = options.step;
  request.attempt = options.attempt;
  const auto attempts = engine::find_logs(open.workspace, open.database, id, request);
  if (options.json) {
    nlohmann::json list = nlohmann::json::array();
    for (const engine::AttemptLog& log : attempts) {
      nlohmann::json lines = nlohmann::json::array();
      engine::read_lines(open.workspace, id, log, [&](const engine::LogLine& line) {
        lines.push_back({{"time", time_json(line.time)},
                         {"stream", line.error ? "stderr" : "stdout"},
                         {"text", line.text}});
      });
      list.push_back(
          {{"step", log.step}, {"attempt", log.attempt}, {"bytes", log.total}, {"lines", std::move(lines)}});
    }
    return print_json({{"run", id}, {"logs", std::move(list)}});
  }
  const engine::LogPrinter printer = make_printer(options);
  for (const engine::AttemptLog& log : attempts) {
    if (!options.follow) engine::print_log(open.workspace, id, log, printer);
  }
  if (options.follow) {
    engine::follow_logs(open.workspace, open.database, id, request, printer, [] { std::fflush(stdout); });
  } else if (attempts.empty()) {
    explain_nothing(open, id, options.step);
  }
}

}  // namespace

void set_up_logs(CLI::App& app, Context& context) {
  auto options = std::make_shared<LogsOptions>();
  app.add_option("RUN", options->run,
                 "an id, a unique beginning or end of one, latest (default) or latest:PIPELINE");
  app.add_option("STEP", options->step, "only this step (the base of expanded steps means all of them)");
  app.add_option("--attempt", options->attempt, "this attempt (default: the last)")
      ->type_name("N")
      ->check(CLI::Range(1, 1'000'000));
  auto* follow = app.add_flag("-f,--follow", options->follow, "go on printing until the run has ended");
  app.add_flag("-t,--times", options->times, "lead each line by its time (UTC) and stream");
  app.add_flag("--raw", options->raw, "no headings: the bytes as the steps wrote them");
  app.add_flag("--json", options->json, "print JSON")->excludes(follow);
  app.footer(
      "Examples:\n"
      "  mlops logs latest train\n"
      "  mlops logs latest --follow\n"
      "  mlops logs 7k2m train --attempt 1 --times");
  app.callback([options, &context] { logs(*options, context); });
}

}  // namespace mlops::cli
