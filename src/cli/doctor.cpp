#include "cli/context.hpp"
#include "cli/output.hpp"
#include "engine/health.hpp"
#include "util/log.hpp"

#include <algorithm>
#include <cstdio>

namespace mlops::cli {

namespace {

void doctor(bool json, Context& context) {
  using State = engine::Finding::State;
  util::set_up_log(context.verbose);
  const auto findings = engine::examine(Workspace::find(".", context.workspace));
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

}  // namespace

void set_up_doctor(CLI::App& app, Context& context) {
  auto json = std::make_shared<bool>(false);
  app.add_flag("--json", *json, "print JSON");
  app.footer(
      "Exits with 0 when all is well, 3 when something needs doing, 74 when the database cannot be used.\n"
      "Examples:\n  mlops doctor\n  mlops doctor --json");
  app.callback([json, &context] { doctor(*json, context); });
}

}  // namespace mlops::cli
