#include "workspace/config.hpp"

#include <mlops/error.hpp>

#include "catch.hpp"
#include "temp_dir.hpp"
#include "util/files.hpp"

using namespace mlops;
using namespace mlops::workspace;

TEST_CASE("a configuration is read as it was written") {
  const TempDir dir;
  const Workspace workspace = Workspace::create(dir.path());
  REQUIRE(read_config(workspace).remotes.empty());
  REQUIRE(util::read_file(workspace.state_directory() + "/.gitignore") == "*\n");
  Config config;
  config.remotes = {{"a", "/mnt/with \"quotes\" # and ü", "", ""},
                    {"b", "s3://bucket/x", "http://h:1", "eu"}};
  config.default_remote = "b";
  config.ping = {"https://h/a?b=\"c\"", std::chrono::milliseconds(90'500)};
  write_config(workspace, config);
  const Config read = read_config(workspace);
  REQUIRE(read.remotes.size() == 2);
  REQUIRE(read.find("a")->url == "/mnt/with \"quotes\" # and ü");
  REQUIRE(read.find("b")->endpoint == "http://h:1");
  REQUIRE(read.find("b")->region == "eu");
  REQUIRE(read.default_remote == "b");
  REQUIRE(read.ping == config.ping);
  // Git may take it from now on; what somebody wrote there stays.
  const std::string ignore = workspace.state_directory() + "/.gitignore";
  REQUIRE_THAT(util::read_file(ignore), ContainsSubstring("!config.yaml"));
  util::write_file(ignore, "mine\n");
  write_config(workspace, {});
  REQUIRE(util::read_file(ignore) == "mine\n");
  REQUIRE(read_config(workspace).remotes.empty());
}

TEST_CASE("limits of queues are read, and stay when remotes are written") {
  const TempDir dir;
  const Workspace workspace = Workspace::create(dir.path());
  util::write_file(config_path(workspace),
                   "runs: 4\nqueues: {gpu: {concurrency: 2, rate: 10/m}, api: {rate: 5/30s}, none: {}}\n");
  Config config = read_config(workspace);
  config.remotes = {{"a", "/mnt/a", "", ""}};
  write_config(workspace, config);
  const Config read = read_config(workspace);
  REQUIRE(read.runs == 4);
  REQUIRE(read.queues.size() == 3);
  REQUIRE(read.find_queue("gpu")->concurrency == 2);
  REQUIRE(read.find_queue("gpu")->rate->times == 10);
  REQUIRE(read.find_queue("gpu")->rate->period == std::chrono::minutes(1));
  REQUIRE(read.find_queue("api")->rate->period == std::chrono::seconds(30));
  REQUIRE(read.find_queue("api")->concurrency == 0);
  REQUIRE_FALSE(read.find_queue("none")->rate);
  REQUIRE_FALSE(read.find_queue("other"));
  for (const char* rate :
       {"", "10", "10/", "/m", "0/m", "-1/m", "10/x", "1.5/m", "10/0s", "10/m/m", "10 /m"}) {
    INFO(rate);
    REQUIRE_FALSE(parse_rate(rate));
  }
}

TEST_CASE("a configuration that was edited badly says where") {
  const TempDir dir;
  const Workspace workspace = Workspace::create(dir.path());
  for (const char* text : {"remote: {}",
                           "remotes: []",
                           "remotes: {a: /x}",
                           "remotes: {a: {}}",
                           "remotes: {a: {url: [x]}}",
                           "remotes: {a: {url: /x, key: secret}}",
                           "default_remote: b",
                           "runs: 0",
                           "runs: many",
                           "runs: [1]",
                           "queues: []",
                           "queues: {a: 3}",
                           "queues: {a: {rate: fast}}",
                           "queues: {a: {rate: [1]}}",
                           "queues: {a: {concurrency: -1}}",
                           "queues: {a: {limit: 3}}",
                           "[",
                           "- x",
                           "smtp: x",
                           "smtp: {url: 'smtp://h'}",
                           "smtp: {from: a@b}",
                           "smtp: {url: 'http://h', from: a@b}",
                           "smtp: {url: 'smtp://u:p@h', from: a@b}",
                           "smtp: {url: 'smtp://h', from: a}",
                           "smtp: {url: 'smtp://h', from: a@b, user: u, password: geheim}",
                           "smtp: {url: 'smtp://h', from: a@b, user: u, password: {env: A, file: b}}",
                           "smtp: {url: 'smtp://h', from: a@b, password: {env: A}}",
                           "smtp: {url: 'smtp://h', from: a@b, usr: u}",
                           "notify: {allow: true}",
                           "notify: x",
                           "notify: {allow_private: some}",
                           "notify: {allow_private: [10.0.0.0/99]}",
                           "ping: https://h",
                           "ping: {every: 5m}",
                           "ping: {url: h}",
                           "ping: {url: 'file:///x'}",
                           "ping: {url: 'https:///x'}",
                           "ping: {url: 'https://h /x'}",
                           "ping: {url: 'https://h', every: 0s}",
                           "ping: {url: 'https://h', often: 5m}"}) {
    INFO(text);
    util::write_file(config_path(workspace), text);
    REQUIRE_THROWS_AS(read_config(workspace), BadFile);
  }
  for (const char* text : {"", "# nothing\n", "remotes:\n", "remotes: {}\n"}) {
    util::write_file(config_path(workspace), text);
    REQUIRE(read_config(workspace).remotes.empty());
  }
}

TEST_CASE("what notifications need is read, and stays when remotes are written") {
  const TempDir dir;
  const Workspace workspace = Workspace::create(dir.path());
  util::write_file(
      config_path(workspace),
      "smtp: {url: 'smtps://mail:465', from: 'ML <ml@b>', user: u, password: {command: [pass, x]}}\n"
      "notify: {allow_private: [10.0.0.0/8, 127.0.0.1], proxy: 'http://p:3128'}\n");
  Config config = read_config(workspace);
  for (int i = 0; i < 2; ++i) {
    REQUIRE(config.mail.url == "smtps://mail:465");
    REQUIRE(config.mail.from == "ML <ml@b>");
    REQUIRE(config.mail.user == "u");
    REQUIRE(config.mail.password->source == Secret::Source::command);
    REQUIRE(config.mail.password->from == std::vector<std::string>{"pass", "x"});
    REQUIRE(config.notify.allow_private == std::vector<std::string>{"10.0.0.0/8", "127.0.0.1"});
    REQUIRE(config.notify.proxy == "http://p:3128");
    write_config(workspace, config);
    config = read_config(workspace);
  }
  config.notify.allow_private = {"all"};
  config.mail.password = Secret{"smtp password", Secret::Source::env, {"P"}};
  write_config(workspace, config);
  REQUIRE(read_config(workspace).notify.allow_private == std::vector<std::string>{"all"});
  REQUIRE(read_config(workspace).mail.password->from[0] == "P");
}
