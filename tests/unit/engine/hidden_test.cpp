#include "engine/hidden.hpp"

#include "catch.hpp"
#include "temp_dir.hpp"
#include "util/files.hpp"

#include <unistd.h>

using namespace mlops;
using namespace mlops::engine;

namespace {

std::vector<std::string> hidden_of(const Step& step, const Workspace& workspace,
                                   const std::vector<process::FileAccess>& files) {
  process::FileTraceReport trace;
  trace.files = files;
  std::vector<std::string> found;
  for (const HiddenFile& file : hidden_files(trace, step, workspace.root(), workspace))
    found.push_back(file.access + " " + file.path);
  return found;
}

}  // namespace

TEST_CASE("what a step declares, and what belongs to the system, is not hidden") {
  TempDir dir;
  const Workspace workspace = Workspace::create(dir.path());
  const std::string root = workspace.root() + "/";
  util::make_directories(root + "data/deep");
  for (const char* name :
       {"data/deep/x", "train.py", "other.csv", "model.bin", "scores.json", "log", "history"})
    util::write_file(root + name, "");
  Step step;
  step.inputs = {"./data/"};
  step.code = {"train.py"};
  step.outputs = {{"model.bin", "", false}};
  step.metrics = {"scores.json"};
  const std::vector<process::FileAccess> files = {
      {root + "data/deep/x", true, false, false},
      {root + "train.py", true, false, false},
      {root + "model.bin", false, false, true},
      {root + "scores.json", true, false, true},
      {root + "other.csv", true, false, false},
      {root + "log", false, false, true},
      {root + "history", false, false, true, true},
      {root + ".mlops/mlops.db", true, false, true},
      {root + ".git/config", true, false, false},
      {root + "lib/__pycache__/a.cpython-311.pyc", true, false, true},
      {root + "venv/lib/python3.11/site-packages/numpy/__init__.py", true, false, false},
      {"/usr/share/x", true, false, false},
      {"/etc/hosts", true, false, false},
      {"/home/u/.pyenv/versions/3.11/lib/python3.11/os.py", true, false, false},
      {"/opt/conda/bin/python", false, true, false},
      {"/data/raw.csv", true, false, false},
      {"/srv/bin/tool", false, true, false},
  };
  REQUIRE(hidden_of(step, workspace, files) ==
          std::vector<std::string>{"read /data/raw.csv", "executed /srv/bin/tool", "updated history",
                                   "written log", "read other.csv"});
}

TEST_CASE("a file is declared by any of its names") {
  TempDir dir;
  const Workspace workspace = Workspace::create(dir.path());
  const std::string root = workspace.root() + "/";
  util::make_directories(root + "real");
  util::write_file(root + "real/x", "");
  REQUIRE(::symlink("real", (root + "link").c_str()) == 0);
  Step step;
  step.inputs = {"link"};
  REQUIRE(hidden_of(step, workspace,
                    {{root + "real/x", true, false, false}, {root + "link/x", true, false, false}})
              .empty());
  step.inputs = {"real"};
  REQUIRE(hidden_of(step, workspace, {{root + "link/x", true, false, false}}).empty());
  step.inputs = {};
  REQUIRE(hidden_of(step, workspace,
                    {{root + "link/x", true, false, false}, {root + "real/x", true, false, false}}) ==
          std::vector<std::string>{"read real/x"});
}

TEST_CASE("hidden files in words") {
  HiddenFile a, b, c;
  a.path = "a", a.access = "read";
  b.path = "b", b.access = "updated";
  c.path = "c", c.access = "written";
  REQUIRE(hidden_words({}, 3).empty());
  REQUIRE(hidden_words({a}, 3) == "read 1 file that it does not declare: a");
  REQUIRE(hidden_words({a, b, c}, 1) ==
          "read 2 files that it does not declare: a, …; wrote 2 files that it does not declare: b, …");
  REQUIRE(hidden_words({c}, 0) == "wrote 1 file that it does not declare");
}
