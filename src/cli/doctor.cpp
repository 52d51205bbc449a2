#include "calendar/instants.hpp"
#include "cli/context.hpp"
#include "cli/output.hpp"
#include "engine/health.hpp"
#include "schedule/staleness.hpp"
#include "util/log.hpp"
#include "util/quantity.hpp"

#include <algorithm>
#include <cstdio>

namespace mlops::cli {

namespace {

struct DoctorOptions {
  bool if_stale = false;
  std::string grace = "5m";
  bool json = false;
};

void doctor(bool json, Context& context) {
  using State = engine::Finding::State;
  util::set_up_log(context.verbose);
  const auto workspace = Workspace::find(".", context.workspace);
  auto findings = engine::examine(workspace);
  for (engine::Finding& finding : schedule::examine(workspace)) findings.push_back(std::move(finding));
  State worst = State::good;
  for (const engine::Finding& finding : findings) worst = std::max(worst, finding.state);
  if (worst == State::problem) context.exit_code = static_cast<int>(ExitCode::gate_refused);
  if (worst == State::broken) context.exit_code = static_cast<int>(ExitCode::io);
  if (json) {
    nlohmann::json list = nlohmann::json::array();
    for (const engine::Finding& f : findings) {
      list.push_back(
          {{"name", f.what}, {"state", to_string(f.state)}, {"what", f.words}, {"advice", f.advice}});
    }
    return print_json({{"state", to_string(worst)}, {"findings", std::move(list)}});
  }
  const Style style = style_of(stdout);
  for (const engine::Finding& f : findings) {
    const std::string mark = f.state == State::good   ? style.good("✔")
                             : f.state == State::note ? style.warn("!")
                                                      : style.error("✘");
    std::printf("%s %-12s %s\n", mark.c_str(), f.what.c_str(), f.words.c_str());
    if (!f.advice.empty()) std::printf("  %-12s → %s\n", "", f.advice.c_str());
  }
}

// For a line of a crontab: silent as long as all is well.
void tell_if_stale(const DoctorOptions& options, Context& context) {
  const auto grace = util::parse_duration(options.grace);
  if (!grace) throw Error(ExitCode::usage, "cannot read --grace '" + options.grace + "'", "such as 5m or 1h");
  OpenWorkspace open = open_to_read(context);
  const auto stale =
      schedule::stale_schedules(open.workspace, open.database.connection(), calendar::now_seconds(),
                                std::chrono::ceil<std::chrono::seconds>(*grace));
  if (!stale.empty()) context.exit_code = static_cast<int>(ExitCode::gate_refused);
  nlohmann::json list = nlohmann::json::array();
  for (const schedule::Stale& each : stale) {
    list.push_back({{"kind", to_string(each.kind)},
                    {"file", each.record.file},
                    {"pipeline", each.record.pipeline},
                    {"schedule", each.record.name},
                    {"ahead", each.ahead},
                    {"words", each.words},
                    {"advice", each.advice}});
    if (!options.json)
      std::printf("%s %s: %s\n  → %s\n", each.record.pipeline.c_str(), each.record.name.c_str(),
                  each.words.c_str(), each.advice.c_str());
  }
  if (options.json) print_json({{"stale", !stale.empty()}, {"findings", std::move(list)}});
}

}  // namespace

void set_up_doctor(CLI::App& app, Context& context) {
  auto options = std::make_shared<DoctorOptions>();
  auto* if_stale =
      app.add_flag("--if-stale", options->if_stale,
                   "say something only if schedules are not looked at, or promise what is not kept");
  app.add_option("--grace", options->grace, "for how long a slot may wait to be looked at (default 5m)")
      ->type_name("DURATION")
      ->needs(if_stale);
  app.add_flag("--json", options->json, "print JSON");
  app.footer(
      "Exits with 0 when all is well, 3 when something needs doing, 74 when the database cannot be used.\n"
      "Examples:\n  mlops doctor\n  mlops doctor --json\n"
      "In a crontab, as the scheduler cannot tell that it has stopped:\n"
      "  */10 * * * *  cd /srv/churn && mlops doctor --if-stale");
  app.callback([options, &context] {
    options->if_stale ? tell_if_stale(*options, context) : doctor(options->json, context);
  });
}

}  // namespace mlops::cli
