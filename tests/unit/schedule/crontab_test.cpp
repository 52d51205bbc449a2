#include "schedule/crontab.hpp"

#include <mlops/error.hpp>

#include "catch.hpp"
#include "schedule/cron_import.hpp"
#include "util/strings.hpp"

using namespace mlops;
using namespace mlops::schedule;

namespace {

Crontab read(std::string_view text, CronKind kind = CronKind::debian, bool system = false) {
  return read_crontab(text, {kind, system});
}

CronJob only(std::string_view line, CronKind kind = CronKind::debian) {
  const Crontab crontab = read(std::string(line) + "\n", kind);
  REQUIRE(crontab.jobs.size() == 1);
  return crontab.jobs[0];
}

std::string remarks(const Crontab& crontab) {
  std::string out;
  for (const CronRemark& each : crontab.remarks)
    out += std::to_string(each.line) + (each.left_out ? "!" : "") + " " + each.text.substr(0, 30) + "; ";
  return out;
}

}  // namespace

TEST_CASE("a crontab has variables, jobs and comments") {
  const Crontab crontab = read(
      "# nightly\n"
      "0 3 * * *\tcd /srv && ./train.sh # all\n"
      "PATH = \"/opt/bin:/bin\" \n"
      " NAME=a b # c  \n"
      "\"QUOTED\" = ' x '\n"
      "\n"
      "  @daily  echo $NAME\n"
      "EMPTY=\n"
      "* * * * mon-fri true\n");
  REQUIRE(remarks(crontab) == "");
  REQUIRE(crontab.jobs.size() == 3);
  REQUIRE(crontab.jobs[0].line == 2);
  REQUIRE(crontab.jobs[0].times == "0 3 * * *");
  REQUIRE(crontab.jobs[0].command == "cd /srv && ./train.sh # all");
  REQUIRE(crontab.jobs[0].comment == "nightly");
  REQUIRE(crontab.jobs[0].variables.empty());
  REQUIRE(crontab.jobs[1].times == "@daily");
  REQUIRE(crontab.jobs[1].comment == "");
  REQUIRE(crontab.jobs[1].variables == std::map<std::string, std::string>{{"PATH", "/opt/bin:/bin"},
                                                                          {"NAME", "a b # c"},
                                                                          {"QUOTED", " x "}});
  REQUIRE(crontab.jobs[2].variables.at("EMPTY") == "");
  REQUIRE(crontab.jobs[2].written.substr(crontab.jobs[2].command_at) == "true");
}

TEST_CASE("percent signs and backslashes are what cron makes of them") {
  // Tried with Debian's cron.
  REQUIRE(only("@daily date +\\%T").command == "date +%T");
  REQUIRE(only("@daily cat%line 1%%li\\%ne 3\\\\x\\\\%y").command == "cat");
  REQUIRE(only("@daily cat%line 1%%li\\%ne 3\\\\x\\\\%y").input == "line 1\n\nli%ne 3\\\\x\\%y\n");
  REQUIRE(only("@daily cat%").input == "");
  REQUIRE(!only("@daily cat").input);
  REQUIRE(only("@daily echo 'a\\\\b' 'c\\d'").command == "echo 'a\\b' 'c\\d'");
  REQUIRE(only("@daily echo 'a\\\\b' 'c\\d'", CronKind::cronie).command == "echo 'a\\\\b' 'c\\d'");
  REQUIRE(only("@daily echo a\\\\%b").command == "echo a\\");
  REQUIRE(only("@daily echo a\\").command == "echo a\\");
}

TEST_CASE("a command for a crontab comes back as it was, from either cron") {
  for (const std::string word : {"/opt/my tools/mlops", "100%", "it's", "a\\b", "a\\\\b", "a\\%b",
                                 "%\\%'\\'%", "\\", "\\'", "tail\\", "%%", "", "$HOME `x`"}) {
    for (const CronKind kind : {CronKind::debian, CronKind::cronie}) {
      const CronJob job = only("@daily " + cron_command({"printf", "%s", word, "-"}), kind);
      INFO(job.written);
      REQUIRE(!job.input);
      FILE* shell = ::popen(job.command.c_str(), "r");
      REQUIRE(shell);
      char buffer[256] = {};
      const std::size_t n = ::fread(buffer, 1, sizeof buffer - 1, shell);
      REQUIRE(::pclose(shell) == 0);
      REQUIRE(std::string(buffer, n) == word + "-");
    }
  }
  REQUIRE_THROWS_AS(cron_command({"a\nb"}), Error);
}

TEST_CASE("what is no job is told with its line") {
  REQUIRE(
      remarks(read("0 3 * * *\nfoo bar\n61 * * * * x\n0 22-2 * * * x\n5/15 * * * * x\n@every 5m x\n")) ==
      "1! it is no job: after its times,; 2! it is neither a job nor a vari; 3! its times cannot be read: "
      "minu; "
      "4! its times cannot be read: hour; 5! its times cannot be read: minu; 6! its times cannot be read: "
      "'@ev; ");
  REQUIRE(remarks(read("0 3 * * * true")) == "1 the last line does not end, so; ");
  REQUIRE(remarks(read("MAILTO=ops@example.org\nMAILTO=\nLOGNAME=x\nCRON_TZ=UTC\n")) ==
          "1 MAILTO: what jobs print is not; 3 LOGNAME cannot be set: cron do; 4 CRON_TZ: Debian's cron does "
          "no; ");
  REQUIRE(remarks(read("@daily echo \xff\n")) == "1! it is no text in UTF-8, which ; ");
  REQUIRE(remarks(read("-\n- \n-@\n")) ==
          "1! it is neither a job nor a vari; 2! it is neither a job nor a vari; "
          "3! it is no job: after its times,; ");
}

TEST_CASE("a crontab of the system names users") {
  const Crontab crontab =
      read("17 * * * * root  cd / && run-parts /etc/cron.hourly\n0 0 * * * root\n", CronKind::debian, true);
  REQUIRE(crontab.jobs.size() == 1);
  REQUIRE(crontab.jobs[0].user == "root");
  REQUIRE(crontab.jobs[0].command == "cd / && run-parts /etc/cron.hourly");
  REQUIRE(remarks(crontab) == "2! after the user 'root' a comman; ");
}

TEST_CASE("a block is put into a crontab, replaced and taken out, and nothing else is touched") {
  const std::string text = "# mine\n0 3 * * * a\n\n@daily b\n";
  const std::string with = with_block(lines_of(text), "/srv/x y", {"* * * * * one"});
  REQUIRE(with.starts_with(text + "# BEGIN mlops /srv/x y\n# written by"));
  REQUIRE(with.ends_with("\n* * * * * one\n# END mlops /srv/x y\n"));
  const auto block = find_block(lines_of(with), "/srv/x y");
  REQUIRE(block);
  REQUIRE(block->lines == std::vector<std::string>{"* * * * * one"});
  REQUIRE(!block->changed);
  REQUIRE(with_block(lines_of(with), "/srv/x y", {}) == text);
  const std::string two = with_block(lines_of(with + "@hourly c\n"), "/srv/x", {"* * * * * two"});
  REQUIRE(with_block(lines_of(two), "/srv/x y", {"* * * * * other"}).find("one") == std::string::npos);
  REQUIRE(with_block(lines_of(with_block(lines_of(two), "/srv/x y", {})), "/srv/x", {}) ==
          text + "@hourly c\n");
  REQUIRE(read(two).jobs.size() == 3);  // those between the marks are not counted
  REQUIRE(with_block({}, "/srv/x", {}) == "");

  std::vector<std::string> edited = lines_of(with);
  edited[edited.size() - 2] = "*/5 * * * * one";
  REQUIRE(find_block(edited, "/srv/x y")->changed);
  edited.pop_back();
  REQUIRE_THROWS_AS(find_block(edited, "/srv/x y"), Error);
}

TEST_CASE("what mlops has written into a crontab is no job") {
  const std::string note =
      cron_command({"/opt/my tools/mlops", shadow_argument, "/srv/it's a \\ %/starts", "3-a"}) + "; ";
  const Crontab crontab = read("@daily " + note + note + "echo 'a; b'\n@daily " + note +
                               "\n@daily echo internal-shadow x y; z\n@daily mlops internal-shadow x y z\n");
  REQUIRE(crontab.jobs.size() == 3);
  REQUIRE(crontab.jobs[0].watched);
  REQUIRE(crontab.jobs[0].command == "echo 'a; b'");
  REQUIRE(crontab.jobs[0].written == "@daily echo 'a; b'");
  REQUIRE(crontab.jobs[0].command_at == 7);
  REQUIRE(!crontab.jobs[1].watched);
  REQUIRE(crontab.jobs[1].command == "echo internal-shadow x y; z");
  REQUIRE(remarks(crontab) == "2! it is no job: it only notes th; ");
  const std::string block = with_block({"@daily a"}, "/srv", {"* * * * * one"}) + "@daily b\n";
  REQUIRE(remarks(read(block)) == "2 what `mlops schedule install` ; ");
  REQUIRE(read(block).jobs.size() == 2);
  // Without its end, nobody knows where it ends.
  REQUIRE(read("# BEGIN mlops /srv\n@daily a\n# END mlops /other\n").jobs.size() == 1);
}

TEST_CASE("scripts have simple commands") {
  using Commands = std::vector<std::vector<std::string>>;
  REQUIRE(simple_commands("cd '/a b'\\''c' && x \"d\\\"e\" > log; y") ==
          Commands{{"cd", "/a b'c"}, {"x", "d\"e"}, {"y"}});
}

TEST_CASE("a command gives its job a name") {
  const auto name = [](const char* command) { return name_of_command(command); };
  REQUIRE(name("cd /srv/churn && ./train.sh --all >> log 2>&1") == "train");
  REQUIRE(name("/usr/bin/python3 -u /opt/etl/load_data.py --day today") == "load_data");
  REQUIRE(name("python -m app.report") == "app.report");
  REQUIRE(name("A=1 B='x y' nice -n 10 ionice -c2 -n7 /opt/bin/backup") == "backup");
  REQUIRE(name("flock -n /tmp/x.lock timeout 10m ./sync.sh") == "sync");
  REQUIRE(name("sudo -u www-data php /var/www/artisan schedule:run") == "artisan");
  REQUIRE(name("bash -c 'cd /x; ./nightly.sh'") == "nightly");
  REQUIRE(name("test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }") ==
          "cron.daily");
  REQUIRE(name("[ -d /x ] && rm -rf /x/*") == "rm");
  REQUIRE(name("echo hi") == "echo");
  REQUIRE(name("cd /srv/app && echo hi") == "echo");
  REQUIRE(name("cd /srv/app && A=1 date > now") == "date");
  REQUIRE(name("cd X && ./train.sh") == "train");
  REQUIRE(name("cd /srv/app") == "cd");
  REQUIRE(name("cd /srv/app && $PYTHON -u etl/load.py") == "load");
  REQUIRE(name("cd /srv/app && poetry run --quiet python train.py") == "train");
  REQUIRE(name("uv run app/report.py --all") == "report");
  REQUIRE(name("uv run") == "uv");
  REQUIRE(name("env > /tmp/env.txt 2>&1; pwd >>/tmp/x") == "env");
  REQUIRE(name("cd /x >/dev/null; sort < in > out") == "sort");
  REQUIRE(name("$HOME/bin/x.py") == "job");
  REQUIRE(name("") == "job");
}
