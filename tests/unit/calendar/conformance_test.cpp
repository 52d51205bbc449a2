// What other tools say, as tables in tests/conformance, and where mlops is meant to differ.
#include "calendar/fires.hpp"
#include "catch.hpp"
#include "util/files.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"

#include <map>

using namespace mlops;
using namespace mlops::calendar;

namespace {

std::vector<std::vector<std::string>> read_table(const std::string& name, std::size_t columns) {
  std::vector<std::vector<std::string>> rows;
  for (const std::string& line :
       util::split(util::read_file(MLOPS_SOURCE_DIR "/tests/conformance/" + name), '\n')) {
    if (line.empty() || line[0] == '#') continue;
    rows.push_back(util::split(line, '\t'));
    INFO(name << ": " << line);
    REQUIRE(rows.back().size() == columns);
  }
  REQUIRE_FALSE(rows.empty());
  return rows;
}

// What a row of a table has in its last column, by us.
std::string answer(const std::vector<std::string>& row) {
  static std::map<std::string, std::shared_ptr<const TimeZone>> zones;
  auto& zone = zones[row[2]];
  if (!zone) zone = std::make_shared<const TimeZone>(TimeZone::load(row[2]));
  CronProblem problem;
  const auto cron = parse_cron(row[1], "", problem);
  if (!cron) return "refused";
  Rule rule;
  rule.what = *cron;
  rule.zone = zone;
  const auto from = util::parse_utc(row[3]);
  REQUIRE(from);
  std::string text;
  for (const sys_seconds at :
       fires_between(rule, std::chrono::floor<std::chrono::seconds>(*from), sys_seconds::max(),
                     static_cast<std::size_t>(std::stoi(row[4])))) {
    std::string time = util::format_utc(at).substr(0, 19);
    time[10] = 'T';
    text += (text.empty() ? "" : " ") + time + "Z";
  }
  return text.empty() ? "never" : text;
}

}  // namespace

TEST_CASE("croniter, robfig/cron and croner say the same, but where we mean to differ", "[calendar]") {
  const auto deviations = read_table("deviations.tsv", 4);
  std::map<std::size_t, int> used;
  for (const char* producer : {"croniter", "robfig", "croner"}) {
    std::size_t compared = 0;
    for (const auto& row : read_table(std::string(producer) + ".tsv", 6)) {
      if (row[5] == "no answer") continue;  // it looked for ever
      ++compared;
      const std::string ours = answer(row);
      bool meant = false;
      for (std::size_t i = 0; i < deviations.size(); ++i) {
        const auto& d = deviations[i];
        if (d[0] != producer || d[1] != row[0] || (d[2] != "any" && d[2] != row[1])) continue;
        meant = true;
        ++used[i];
      }
      INFO(producer << ", " << row[0] << ": '" << row[1] << "' in " << row[2] << " from " << row[3]
                    << ": ours " << ours << ", theirs " << row[5]);
      if (meant) {
        CHECK(ours != row[5]);  // listed, and no deviation any more
      } else {
        CHECK(ours == row[5]);
      }
    }
    CHECK(compared > 200);
  }
  for (std::size_t i = 0; i < deviations.size(); ++i) {
    INFO(deviations[i][0] << ", " << deviations[i][1] << ", " << deviations[i][2] << ": no row is meant");
    CHECK(used[i] > 0);
  }
}
