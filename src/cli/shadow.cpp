#include "cli/shadow.hpp"

#include <mlops/error.hpp>

#include "calendar/instants.hpp"
#include "cli/output.hpp"
#include "schedule/shadow.hpp"
#include "schedule/user_crontab.hpp"
#include "util/files.hpp"

#include <cstdio>

namespace mlops::cli {

namespace {

schedule::Shadow require_shadow(const Workspace& workspace) {
  auto shadow = schedule::read_shadow(workspace);
  if (!shadow)
    throw Error(ExitCode::usage, "no crontab is watched in '" + workspace.root() + "'",
                "begin with  mlops import crontab --shadow --out DIR");
  return std::move(*shadow);
}

}  // namespace

int end_shadow(const Workspace& workspace, bool json) {
  auto shadow = schedule::read_shadow(workspace);
  const bool changed = schedule::edit_user_crontab([&](const std::string& text) {
    return schedule::without_notes(shadow ? schedule::without_shadow(text, shadow->lines) : text,
                                   schedule::starts_path(workspace));
  });
  if (!shadow && !changed) require_shadow(workspace);
  if (shadow) {
    if (!shadow->until) shadow->until = util::now();
    schedule::write_shadow(workspace, *shadow);
  }
  if (json) {
    print_json({{"removed", changed}});
    return 0;
  }
  std::printf("%s\n",
              changed ? "the crontab is as it was before" : "nothing in the crontab notes anything any more");
  return 0;
}

int report_shadow(const Workspace& workspace, bool json) {
  const schedule::Shadow shadow = require_shadow(workspace);
  const auto starts = util::read_file_if_exists(schedule::starts_path(workspace));
  const auto report =
      schedule::report_on(shadow, starts.value_or(""), shadow.until ? "" : schedule::read_user_crontab(),
                          calendar::now_seconds());
  std::size_t differences = 0;
  nlohmann::json lines = nlohmann::json::array();
  const auto zone = calendar::TimeZone::load(calendar::TimeZone::local_name());
  Table table({"PIPELINE", "TIMES", "CRON", "MLOPS", "SAME", "DIFFERENCES"});
  for (const std::size_t column : {2, 3, 4, 5}) table.right_align(column);
  for (const auto& line : report.lines) {
    nlohmann::json list = nlohmann::json::array();
    for (const schedule::Difference& each : line.comparison.differences)
      list.push_back({{"time", calendar::to_text(each.at, zone)}, {"what", to_string(each.kind)}});
    differences += list.size();
    table.add({line.line.pipeline, line.line.times, std::to_string(line.starts), std::to_string(line.slots),
               std::to_string(line.comparison.same), std::to_string(list.size())});
    lines.push_back({{"pipeline", line.line.pipeline},
                     {"file", line.line.file},
                     {"times", line.line.times},
                     {"cron", line.starts},
                     {"mlops", line.slots},
                     {"same", line.comparison.same},
                     {"differences", std::move(list)},
                     {"remark", line.remark}});
  }
  const int code = differences > 0 || !report.remarks.empty() ? static_cast<int>(ExitCode::gate_refused) : 0;
  if (json) {
    print_json({{"from", calendar::to_text(report.from, zone)},
                {"to", calendar::to_text(report.to, zone)},
                {"lines", std::move(lines)},
                {"differences", differences},
                {"remarks", report.remarks}});
    return code;
  }
  if (report.to <= report.from) {
    std::printf("nothing can be told yet: it is watched since %s\n",
                util::format_local(shadow.since).c_str());
    return 0;
  }
  std::printf("from %s to %s\n", calendar::to_text(report.from, zone).c_str(),
              calendar::to_text(report.to, zone).c_str());
  table.print(stdout);
  for (const auto& line : lines) {
    for (const auto& each : line["differences"])
      std::printf("%s  %s: %s\n", each["time"].get<std::string>().c_str(),
                  line["pipeline"].get<std::string>().c_str(), each["what"].get<std::string>().c_str());
    if (line["remark"] != "")
      std::printf("%s: %s\n", line["pipeline"].get<std::string>().c_str(),
                  line["remark"].get<std::string>().c_str());
  }
  for (const std::string& remark : report.remarks) std::printf("%s\n", remark.c_str());
  std::printf("%s\n", differences == 0 ? "no differences in when jobs start; how they end is not seen"
                                       : (std::to_string(differences) + " differences").c_str());
  return code;
}

}  // namespace mlops::cli
