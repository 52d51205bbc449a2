// What a pipeline file does not say of its steps: found by traces of earlier runs, and by what can be seen
// without running anything.
#pragma once

#include <mlops/pipeline.hpp>
#include <mlops/workspace.hpp>

#include "db/sqlite.hpp"

#include <string>
#include <utility>
#include <vector>

namespace mlops::engine {

struct LintFinding {
  std::string rule;  ///< undeclared-read, undeclared-write, script, needed-output, cached-deploy, reused-now
  std::string message;
  std::vector<std::string> paths;  ///< as they stand in the file
};

/// What there is to say of a step, or of all steps that one of the file expands to.
struct LintStep {
  std::string name;  ///< as in the file
  Location at;
  std::string traced_run;  ///< the newest in which it was traced; empty: never
  std::vector<LintFinding> findings;
  /// Lines to paste: a key and its whole list, with what is there already. Of expanded steps only what is to
  /// be added.
  std::vector<std::pair<std::string, std::vector<std::string>>> lines;
  bool expanded = false;
};

/// In the order of the file; also steps of which there is nothing to say. Without a database only what needs
/// no run.
std::vector<LintStep> lint(const Pipeline& pipeline, const Graph& graph, const Workspace* workspace,
                           db::Connection* db);

/// Scripts and programs of the project that the command of a step names, relative to its directory.
std::vector<std::string> scripts_named(const Pipeline& pipeline, const Step& step);

/// A word of a list in brackets: in double quotes if YAML would take it for something else.
std::string yaml_word(const std::string& text);

}  // namespace mlops::engine
