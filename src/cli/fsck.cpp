#include "engine/fsck.hpp"

#include "cli/context.hpp"
#include "cli/output.hpp"
#include "engine/rebuild.hpp"
#include "util/log.hpp"

#include <algorithm>
#include <cstdio>

namespace mlops::cli {

namespace {

struct FsckOptions {
  bool repair = false;
  bool rebuild = false;
  bool full = false;
  bool json = false;
};

using Weight = engine::Fault::Weight;

int exit_code_of(const engine::FsckReport& report) {
  Weight worst = Weight::note;
  for (const engine::Fault& fault : report.faults) worst = std::max(worst, fault.weight);
  return worst == Weight::broken    ? static_cast<int>(ExitCode::io)
         : worst == Weight::problem ? static_cast<int>(ExitCode::gate_refused)
                                    : 0;
}

nlohmann::json report_json(const engine::FsckReport& report) {
  nlohmann::json findings = nlohmann::json::array();
  for (const engine::Fault& f : report.faults)
    findings.push_back({{"what", f.what},
                        {"weight", to_string(f.weight)},
                        {"where", f.where},
                        {"words", f.words},
                        {"cure", f.cure}});
  return {{"sound", exit_code_of(report) == 0},
          {"findings", std::move(findings)},
          {"runs", report.runs},
          {"compared", report.compared},
          {"objects", report.objects}};
}

void print(const engine::FsckReport& report) {
  const Style style = style_of(stdout);
  std::uint64_t problems = 0, notes = 0;
  for (const engine::Fault& f : report.faults) {
    const bool note = f.weight == Weight::note;
    ++(note ? notes : problems);
    std::printf("%s %s %s: %s\n", note ? style.warn("!").c_str() : style.error("✘").c_str(), f.what.c_str(),
                shown(f.where).c_str(), shown(f.words).c_str());
    if (!f.cure.empty()) std::printf("  → %s\n", shown(f.cure).c_str());
  }
  std::printf("%s %s, %s with their directories, %s in the store: %s%s\n",
              problems == 0 ? style.good("✔").c_str() : style.error("✘").c_str(),
              counted(report.runs, "run").c_str(), (std::to_string(report.compared) + " compared").c_str(),
              counted(report.objects, "object").c_str(),
              problems == 0 ? "nothing is wrong" : counted(problems, "problem").c_str(),
              notes == 0 ? "" : (", " + counted(notes, "note")).c_str());
}

void print(const engine::RepairReport& report) {
  for (const std::string& line : report.done) std::printf("mended: %s\n", shown(line).c_str());
  if (report.records_written > 0)
    std::printf("wrote the records of %s into their directories\n",
                counted(report.records_written, "run").c_str());
}

void print(const engine::RebuildReport& report, const Workspace& workspace) {
  if (!report.aside.empty())
    std::printf("the damaged database is now %s\n", shown(workspace.relative(report.aside)).c_str());
  std::printf(
      "%s and %s are on record: %llu read from what was there, %llu set right by the records in their "
      "directories, %llu put together from exit records\n",
      counted(report.runs, "run").c_str(), counted(report.artifacts, "output").c_str(),
      static_cast<unsigned long long>(report.read), static_cast<unsigned long long>(report.from_records),
      static_cast<unsigned long long>(report.from_journals));
  for (const std::string& line : report.lost) std::printf("not back: %s\n", shown(line).c_str());
}

void fsck(const FsckOptions& options, Context& context) {
  util::set_up_log(context.verbose);
  const Workspace workspace = Workspace::require(".", context.workspace);
  workspace.require_access();
  nlohmann::json json = nlohmann::json::object();
  if (options.rebuild) {
    const engine::RebuildReport report = engine::rebuild(workspace);
    json["rebuilt"] = {{"aside", report.aside.empty() ? nlohmann::json() : nlohmann::json(report.aside)},
                       {"runs", report.runs},
                       {"outputs", report.artifacts},
                       {"read", report.read},
                       {"from_records", report.from_records},
                       {"from_exit_records", report.from_journals},
                       {"lost", report.lost}};
    if (!options.json) print(report, workspace);
  }
  if (options.repair || options.rebuild) {
    const engine::RepairReport report = engine::repair(workspace);
    json["repaired"] = {{"done", report.done}, {"records_written", report.records_written}};
    if (!options.json) print(report);
  }
  const engine::FsckReport report = engine::check(workspace, options.full);
  context.exit_code = exit_code_of(report);
  if (!options.json) return print(report);
  json.update(report_json(report));
  print_json(json);
}

}  // namespace

void set_up_fsck(CLI::App& app, Context& context) {
  auto options = std::make_shared<FsckOptions>();
  auto* repair = app.add_flag("--repair", options->repair, "mend what can be mended without losing anything");
  app.add_flag("--rebuild", options->rebuild,
               "make a damaged or lost database anew, from what can be read and the directories of runs")
      ->excludes(repair);
  app.add_flag("--full", options->full, "read all contents of the store, and compare them with their names");
  app.add_flag("--json", options->json, "print JSON");
  app.footer(
      "Compares the database with itself, with the record in each run's directory, and with the store.\n"
      "Exits with 0 when nothing is wrong, 3 when something is, 74 when the database cannot be relied on.\n"
      "A database that is made anew leaves the damaged one beside it, as mlops.db.damaged-TIME.\n"
      "Examples:\n  mlops fsck\n  mlops fsck --repair\n  mlops fsck --rebuild\n  mlops fsck --full --json");
  app.callback([options, &context] { fsck(*options, context); });
}

}  // namespace mlops::cli
