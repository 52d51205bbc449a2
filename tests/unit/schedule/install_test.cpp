// What a block in a crontab becomes, and which other lines of it run the same.
#include "schedule/install.hpp"

#include "catch.hpp"
#include "schedule/cron_import.hpp"
#include "schedule/cutover.hpp"
#include "schedule/times.hpp"
#include "temp_dir.hpp"
#include "util/files.hpp"
#include "util/strings.hpp"

#include <filesystem>

using namespace mlops;
using namespace mlops::schedule;

namespace {

const Call call{"/usr/bin/mlops", "/srv/it's 100%", {{"PATH", "/bin"}}};

Served served(const std::string& name, const std::string& times = "0 3 * * *") {
  Pipeline pipeline = parse_pipeline(
      "name: " + name + "\nschedule: {cron: '" + times + "', timezone: UTC}\nsteps: {a: {run: 'true'}}\n",
      "/srv/it's 100%/" + name + ".yaml", {.overrides = {}, .check_files = false});
  pipeline::Zones zones;
  std::vector<Timetable> all = timetables(pipeline, zones);
  return {pipeline.file, std::move(pipeline), std::move(all)};
}

CrontabLines plan(CrontabStyle style, const std::vector<Served>& files) {
  const auto clock = calendar::TimeZone::load("UTC");
  return crontab_lines(call, style, files, &clock, at("2026-01-01 12:00"));
}

// The files that have lines of their own, and "*" for a line that serves all.
std::string what(const std::vector<std::string>& lines) {
  std::string out = serves_all(lines) ? "*" : "";
  for (const std::string& file : files_of_block(lines)) out += " " + file.substr(file.rfind('/') + 1);
  return out;
}

ActiveLine active(int line) { return {line, "", ""}; }

}  // namespace

TEST_CASE("what is installed joins what is there") {
  const std::vector<Served> p = {served("p")}, q = {served("q")};
  const auto of_p = with_added({}, plan(CrontabStyle::lines, p), p, false);
  REQUIRE(what(of_p.lines) == " p.yaml");
  REQUIRE(of_p.gone.empty());
  const auto both = with_added(of_p.lines, plan(CrontabStyle::lines, q), q, false);
  REQUIRE(what(both.lines) == " p.yaml q.yaml");
  REQUIRE(both.gone.empty());

  // The same file again: by other times, or by a line for all.
  const std::vector<Served> later = {served("p", "0 4 * * *")};
  const auto edited = with_added(both.lines, plan(CrontabStyle::lines, later), later, false);
  REQUIRE(what(edited.lines) == " p.yaml q.yaml");
  REQUIRE(edited.gone == of_p.lines);
  const auto once = with_added(both.lines, plan(CrontabStyle::once, p), p, false);
  REQUIRE(what(once.lines) == "* q.yaml");
  REQUIRE(what(once.gone) == " p.yaml");

  // A line for all stays as long as it serves others.
  REQUIRE(what(with_added(once.lines, plan(CrontabStyle::lines, p), p, true).lines) == "* p.yaml q.yaml");
  REQUIRE(what(with_added(once.lines, plan(CrontabStyle::lines, p), p, false).lines) == " p.yaml q.yaml");
  const auto boot = with_added(once.lines, plan(CrontabStyle::reboot, q), q, true);
  REQUIRE(boot.lines.size() == 1);
  REQUIRE(boot.lines[0].starts_with("@reboot "));
  REQUIRE(what(boot.gone) == "* q.yaml");

  REQUIRE(what(without_files(once.lines, {q[0].file}, true).lines) == "*");
  REQUIRE(what(without_files(both.lines, {q[0].file}, false).lines) == " p.yaml");
  REQUIRE(without_files(boot.lines, {q[0].file}, false).lines.empty());
  REQUIRE(with_added({"@daily edited"}, plan(CrontabStyle::lines, p), p, true).gone ==
          std::vector<std::string>{"@daily edited"});
}

TEST_CASE("lines of the crontab that run what a schedule runs are found") {
  const std::string text =
      "HOME=/srv\n"
      "30 3 * * 1-5 cd /srv/churn && ./train.sh --all >> /var/log/train.log 2>&1\n"
      "0 4 * * * ./sync.sh\n"
      "0 5 * * * cd /srv/churn && mlops run p.yaml --quiet\n"
      "0 6 * * * /usr/bin/mlops run /srv/churn/p.yaml --slot now\n"
      "0 7 * * * cd /elsewhere && ./train.sh --all\n"
      "0 8 * * * ./report.sh%input\n"
      "0 9 * * * flock -n lock mlops -w . submit churn/p.yaml\n";
  const auto lines = [&](const std::string& steps, const std::string& schedule = "schedule: '0 3 * * *'\n") {
    const Pipeline pipeline = parse_pipeline("name: p\n" + schedule + "steps: {" + steps + "}\n",
                                             "/srv/churn/p.yaml", {.overrides = {}, .check_files = false});
    std::string out;
    for (const ActiveLine& line : active_lines(read_crontab(text, {}).jobs, {&pipeline}))
      out += std::to_string(line.line) + " ";
    return out;
  };
  const std::string itself = "4 8 ";
  REQUIRE(lines("a: {run: 'true'}") == itself);
  REQUIRE(lines("a: {run: 'true'}", "") == "");
  REQUIRE(lines("a: {run: ./train.sh --all}") == "2 " + itself);
  REQUIRE(lines("a: {run: ./train.sh --all, workdir: /elsewhere}") == "4 6 8 ");
  REQUIRE(lines("a: {run: ./train.sh}") == itself);
  REQUIRE(lines("a: {run: [bash, -c, './sync.sh > log'], workdir: ..}") == "3 " + itself);
  REQUIRE(lines("a: {run: [./sync.sh], workdir: ..}") == itself);

  // What is imported is found again, whatever it looks like.
  ImportSettings settings;
  settings.user = {"me", "/home/me", 1000, 1000};
  for (const ImportedJob& job : import_jobs(read_crontab(text, {}), settings).jobs) {
    const Pipeline pipeline =
        parse_pipeline(job.text, "/srv/jobs/x.yaml", {.overrides = {}, .check_files = false});
    const auto found = active_lines(read_crontab(text, {}).jobs, {&pipeline});
    REQUIRE(found.size() == 1);
    REQUIRE(found[0].line == job.line);
  }
}

TEST_CASE("a line that takes lines out is for the shell") {
  REQUIRE(way_out({active(12), active(3), active(12)}) ==
          "crontab -l | sed '3s/^/# /;12s/^/# /' | crontab -");
  const ActiveLine of_system{1, "x", "p", "/etc/cron.d/my jobs", "root"};
  REQUIRE(way_out({of_system}) == "sed -i '1s/^/# /' '/etc/cron.d/my jobs'");
  REQUIRE(way_out({of_system, active(3)}) ==
          "crontab -l | sed '3s/^/# /' | crontab -; sed -i '1s/^/# /' '/etc/cron.d/my jobs'");
  REQUIRE(words_for(of_system) ==
          "line 1 of /etc/cron.d/my jobs runs p as well, as root, so that it runs twice: x");
  REQUIRE(way_out({}) == "");
}

TEST_CASE("crontabs of the system are looked at, with their users") {
  const TempDir directory;
  const std::string etc = directory.path();
  std::filesystem::create_directories(etc + "/cron.d");
  util::write_file(etc + "/crontab", "HOME=/srv/churn\n0 3 * * * root ./train.sh > log\n@reboot root x\n");
  util::write_file(etc + "/cron.d/b", "0 4 * * * root cd /srv/churn && mlops run p.yaml\n");
  util::write_file(etc + "/cron.d/a.bak", "0 5 * * * root cd /srv/churn && ./train.sh\n");
  util::write_file(etc + "/cron.d/c",
                   "0 6 * * * nobody-at-all cd /srv/churn && ./train.sh\n5 5 * * * root\n");
  util::write_file(etc + "/cron.d/d~", "0 7 * * * root cd /srv/churn && ./train.sh\n");
  std::filesystem::create_directory(etc + "/cron.d/e");
  const Pipeline pipeline = parse_pipeline("name: p\nschedule: '0 3 * * *'\nsteps: {a: {run: ./train.sh}}\n",
                                           "/srv/churn/p.yaml", {.overrides = {}, .check_files = false});
  const auto found = [&](CronKind kind) {
    std::string out;
    for (const ActiveLine& line : active_lines(jobs_of_system(etc, kind), {&pipeline}))
      out += line.file.substr(etc.size() + 1) + " " + std::to_string(line.line) + " " + line.user + ", ";
    return out;
  };
  REQUIRE(found(CronKind::debian) == "cron.d/b 1 root, crontab 2 root, ");
  REQUIRE(found(CronKind::cronie) == "cron.d/a.bak 1 root, cron.d/b 1 root, crontab 2 root, ");
  REQUIRE(jobs_of_system(etc + "/none", CronKind::debian).empty());
}
