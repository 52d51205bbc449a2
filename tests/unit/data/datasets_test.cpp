#include "db/datasets.hpp"

#include <mlops/data.hpp>
#include <mlops/error.hpp>

#include "catch.hpp"
#include "temp_dir.hpp"
#include "util/files.hpp"

#include <sys/stat.h>

#include <filesystem>
#include <map>

using namespace mlops;
namespace fs = std::filesystem;

namespace {

struct Project {
  TempDir dir;
  Workspace workspace = Workspace::create(dir / "project");
  db::Database database = db::Database::open(workspace.database_path());

  std::string path(const std::string& name) const { return dir / ("project/" + name); }
  void write(const std::string& name, const std::string& text) {
    util::make_directories(fs::path(path(name)).parent_path().string(), 0755);
    util::write_file(path(name), text);
  }
  data::Added add(const std::string& name, const std::string& dataset = "") {
    return data::add(workspace, database, {path(name), dataset, ""});
  }
  DatasetVersion find(const std::string& reference) { return data::find(database, reference); }
  std::map<std::string, char> diff(const std::string& before, const std::string& after) {
    std::map<std::string, char> changes;
    data::diff(
        workspace, find(before), after.empty() ? std::nullopt : std::optional(find(after)),
        [&](const DataChange& change) { changes[change.path] = "+-~"[static_cast<int>(change.kind)]; });
    return changes;
  }
  bool check_out(const std::string& reference, const std::string& to = "", bool force = false) {
    return data::check_out(workspace, database, find(reference), {to.empty() ? "" : path(to), force});
  }
};

ExitCode code_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.code();
  }
  return ExitCode::done;
}

}  // namespace

TEST_CASE("versions are numbered, equal contents make none, and each tells what has changed") {
  Project project;
  for (int i = 0; i < 700; ++i) project.write("data/f" + std::to_string(i), std::to_string(i));
  REQUIRE(project.add("data").version.version == 1);
  REQUIRE(project.add("data").unchanged);
  project.write("data/f5", "five");
  project.write("data/new", "new");
  fs::remove(project.path("data/f6"));
  const DatasetVersion second = project.add("data").version;
  REQUIRE(second.version == 2);
  REQUIRE((second.added == 1 && second.removed == 1 && second.changed == 1));
  REQUIRE(second.files == 700);
  const std::map<std::string, char> expected = {{"f5", '~'}, {"f6", '-'}, {"new", '+'}};
  REQUIRE(project.diff("data@1", "data@2") == expected);
  REQUIRE(project.diff("data@1", "") == expected);
  REQUIRE(project.diff("data", "").empty());
  // A number is never given twice.
  data::remove(project.workspace, project.database, "data@2", false, false);
  REQUIRE(project.add("data").version.version == 3);
  REQUIRE(project.find("data@latest").version == 3);
  REQUIRE(project.find("data@" + second.sha256.substr(0, 8)).version == 3);
}

TEST_CASE("what a reference cannot mean is refused") {
  Project project;
  project.write("data", "x");
  project.add("data");
  for (const char* reference :
       {"dat", "data@2", "data@", "data@abc", "data@ffffff", "@1", "", "data@1@1", "data@99999999999"})
    REQUIRE(code_of([&] { project.find(reference); }) == ExitCode::usage);
  for (const char* name : {"a b", ".hidden", "-x", "a/b", "a@b", "a\nb", "\xff"})
    REQUIRE(code_of([&] { project.add("data", name); }) == ExitCode::usage);
  REQUIRE(code_of([&] { project.add("missing"); }) == ExitCode::usage);
  REQUIRE(code_of([&] { project.add(""); }) == ExitCode::usage);
  REQUIRE(code_of([&] { project.add(".mlops/runs", "runs"); }) == ExitCode::usage);
}

TEST_CASE("a checkout destroys nothing that no version holds") {
  Project project;
  project.write("data/a", "one");
  project.add("data");
  project.write("data/a", "two");
  project.add("data");
  REQUIRE(project.check_out("data@1"));
  REQUIRE_FALSE(project.check_out("data@1"));
  project.write("data/a", "three");
  REQUIRE(code_of([&] { project.check_out("data@2"); }) == ExitCode::gate_refused);
  REQUIRE(util::read_file(project.path("data/a")) == "three");
  REQUIRE(project.check_out("data@2", "", true));
  REQUIRE(util::read_file(project.path("data/a")) == "two");
  project.write("other/precious", "mine");
  REQUIRE(code_of([&] { project.check_out("data@2", "other"); }) == ExitCode::gate_refused);
  REQUIRE(code_of([&] { project.check_out("data@2", "."); }) == ExitCode::usage);
  REQUIRE(code_of([&] { project.check_out("data@2", ".", true); }) == ExitCode::usage);
  // Where a link leads.
  fs::create_directory(project.path("elsewhere"));
  fs::create_directory_symlink(project.path("elsewhere"), project.path("link"));
  REQUIRE(project.check_out("data@1", "link"));
  REQUIRE(fs::is_symlink(project.path("link")));
  REQUIRE(util::read_file(project.path("elsewhere/a")) == "one");
}

TEST_CASE("what can be added can be put back, however long its path is") {
  Project project;
  // Down to folders in which a name of two letters makes a path of 4,090 bytes.
  std::string deep;
  while (project.path(deep).size() < 4'090 - 200) deep += std::string(99, 'd') + "/";
  deep += std::string(4'090 - 3 - project.path(deep).size(), 'e');
  project.write(deep + "/f1", "one");
  REQUIRE(project.path(deep + "/f1").size() == 4'090);
  REQUIRE(project.add(deep + "/f1", "near").version.version == 1);
  REQUIRE(project.check_out("near@1", deep + "/n2"));
  REQUIRE(util::read_file(project.path(deep + "/n2")) == "one");
  fs::remove(project.path(deep + "/f1"));
  REQUIRE(project.check_out("near@1"));
  REQUIRE(util::read_file(project.path(deep + "/f1")) == "one");
  const std::string top = deep.substr(0, deep.find('/'));
  REQUIRE(project.add(top, "all").version.files == 2);
  fs::remove(project.path(deep + "/f1"));
  REQUIRE(project.check_out("all@1", "", true));
  REQUIRE(util::read_file(project.path(deep + "/f1")) == "one");
  for (const auto& entry : fs::directory_iterator(project.path(deep)))
    REQUIRE(entry.path().filename().string().size() == 2);  // nothing was left beside
}

TEST_CASE("a checkout does not take away pipes, which no version holds") {
  Project project;
  project.write("data/a", "1");
  project.add("data");
  project.write("data/a", "2");
  project.add("data");
  REQUIRE(::mkfifo(project.path("data/pipe").c_str(), 0600) == 0);
  REQUIRE(code_of([&] { project.check_out("data@1"); }) == ExitCode::gate_refused);
  REQUIRE(fs::is_fifo(project.path("data/pipe")));
  fs::create_directory(project.path("only"));
  REQUIRE(::mkfifo(project.path("only/pipe").c_str(), 0600) == 0);
  REQUIRE(code_of([&] { project.check_out("data@1", "only"); }) == ExitCode::gate_refused);
  REQUIRE(project.check_out("data@1", "", true));
  REQUIRE(util::read_file(project.path("data/a")) == "1");
}

TEST_CASE("a name of a dataset has no control characters, also not those beyond ASCII") {
  Project project;
  project.write("data/a", "1");
  for (const char* name : {"a\x1b[31m", "a\nb",
                           "a\xc2\x9b"
                           "31m",
                           "a\xff"})
    REQUIRE(code_of([&] { project.add("data", name); }) == ExitCode::usage);
  REQUIRE(project.add("data", "daten-für-köln").version.version == 1);
}

TEST_CASE("a version between two others can go, and the one after it is told against the one before") {
  Project project;
  project.write("data/a", "1");
  project.add("data");
  project.write("data/b", "2");
  project.add("data");
  project.write("data/c", "3");
  project.add("data");
  {
    db::Transaction transaction(project.database);
    db::pin_version(project.database.connection(), "data", 2, "", Instant{});
    transaction.commit();
  }
  const auto remove = [&](const char* what, bool force) {
    return data::remove(project.workspace, project.database, what, force, false).size();
  };
  REQUIRE(code_of([&] { remove("data@2", false); }) == ExitCode::gate_refused);
  REQUIRE(code_of([&] { remove("data", false); }) == ExitCode::gate_refused);
  REQUIRE(remove("data@2", true) == 1);
  REQUIRE(project.find("data@3").added == 2);
  REQUIRE(remove("data@1", false) == 1);
  REQUIRE(project.find("data@3").added == 3);
  REQUIRE(remove("data", false) == 1);
  REQUIRE(db::dataset_names(project.database.connection()).empty());
}
