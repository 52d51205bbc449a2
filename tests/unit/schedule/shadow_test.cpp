#include "schedule/shadow.hpp"

#include "catch.hpp"
#include "schedule/times.hpp"

using namespace mlops;
using namespace mlops::schedule;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using util::Instant;

namespace {

const sys_seconds noon = at("2026-03-01 12:00");

std::vector<sys_seconds> each_minute(int n) {
  std::vector<sys_seconds> slots;
  for (int i = 0; i < n; ++i) slots.push_back(noon + minutes(i));
  return slots;
}

std::vector<Instant> starts(std::initializer_list<int> seconds_after_noon) {
  std::vector<Instant> list;
  for (const int s : seconds_after_noon) list.push_back(Instant(noon) + seconds(s) + milliseconds(300));
  return list;
}

std::string words(const Comparison& comparison) {
  std::string out = std::to_string(comparison.same) + " same";
  for (const Difference& each : comparison.differences)
    out += "; " + std::to_string((each.at - noon).count()) + " " + to_string(each.kind);
  return out;
}

}  // namespace

TEST_CASE("starts of cron are compared with slots") {
  REQUIRE(words(compare({}, {})) == "0 same");
  REQUIRE(words(compare(each_minute(3), starts({0, 61, 121}))) == "3 same");
  REQUIRE(words(compare(each_minute(3), starts({0, 121}))) == "2 same; 60 only mlops");
  REQUIRE(words(compare(each_minute(3), starts({0, 1, 61, 121}))) == "3 same; 1 twice by cron");
  REQUIRE(words(compare({noon}, starts({-30, 0}))) == "1 same; -30 only cron");
  REQUIRE(words(compare({noon}, starts({400}))) == "0 same; 0 only mlops; 400 only cron");
}

TEST_CASE("cron that was held up makes up for minutes at once") {
  REQUIRE(words(compare(each_minute(4), starts({180, 181, 181, 182}))) == "4 same");
  REQUIRE(words(compare({noon, noon + minutes(60)}, starts({200, 3600}))) == "2 same");
}

TEST_CASE("a line is watched, and put back as it was") {
  const std::string text =
      "A=1\n0 3 * * *  echo '100\\%' # x\n@daily echo b\n@reboot echo c\n0 3 * * *  echo '100\\%' # x\n";
  const Crontab crontab = read_crontab(text, {});
  ImportSettings settings;
  settings.user = {"me", "/home/me", 1000, 1000};
  const auto jobs = import_jobs(crontab, settings).jobs;
  std::vector<CronRemark> remarks;
  const auto lines = shadow_lines(text, jobs, crontab, "/opt/my tools/mlops", "/srv/100%/starts", remarks);
  REQUIRE(remarks.empty());
  REQUIRE(lines.size() == 3);
  const std::string watched = with_shadow(text, lines);
  REQUIRE(
      watched ==
      "A=1\n0 3 * * *  '/opt/my tools/mlops' internal-shadow /srv/100\\%/starts 2-echo; echo '100\\%' # x\n"
      "@daily '/opt/my tools/mlops' internal-shadow /srv/100\\%/starts 3-echo-2; echo b\n@reboot echo c\n"
      "0 3 * * *  '/opt/my tools/mlops' internal-shadow /srv/100\\%/starts 5-echo-4; echo '100\\%' # x\n");
  REQUIRE(without_shadow(watched, lines) == text);
  REQUIRE(without_shadow(text, lines) == text);
  std::string edited = watched;
  edited.replace(edited.find("0 3"), 3, "5 4");
  std::string expected = text;
  expected.replace(expected.find("0 3"), 3, "5 4");
  REQUIRE(without_shadow(edited, lines) == expected);
  REQUIRE(without_notes(watched, "/srv/100%/starts") == text);
  REQUIRE(without_notes(watched, "/srv/other/starts") == watched);
  // Watched by another workspace as well: each takes its own notes away.
  const Crontab again = read_crontab(watched, {});
  const auto same = import_jobs(again, settings).jobs;
  REQUIRE(same.size() == jobs.size());
  REQUIRE(same[0].text.find("internal-shadow") == std::string::npos);
  const auto others = shadow_lines(watched, same, again, "/usr/bin/mlops", "/srv/other/starts", remarks);
  const std::string twice = with_shadow(watched, others);
  REQUIRE(without_shadow(twice, others) == watched);
  REQUIRE(without_shadow(without_shadow(twice, lines), others) == text);
}
