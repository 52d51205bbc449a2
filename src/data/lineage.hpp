// Where a file comes from and what was made of it: steps of runs and the contents that they read and made,
// over all that is recorded.
#pragma once

#include <mlops/records.hpp>
#include <mlops/workspace.hpp>

#include "db/database.hpp"
#include "db/lineage.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace mlops::data {

/// A content in a place.
struct LineageFile {
  ArtifactRecord file;
  bool code = false;
  bool hidden = false;            ///< a step reads it without declaring it
  int made_by = -1;               ///< step, or -1: none that is recorded, or not looked for
  std::string made_as;            ///< its path there, if it was another
  std::vector<int> read_by;       ///< steps, newest first
  std::int64_t more_readers = 0;  ///< that are not among them
  bool open = false;              ///< not followed: the depth or the size of the answer was reached
};

/// A step of a run that was really executed.
struct LineageStep {
  db::Execution execution;
  db::ExecutionFacts facts;
  std::vector<std::pair<std::string, std::string>> params;  ///< those it names, else those of the run
  std::vector<int> reads, makes;                            ///< files
};

struct Lineage {
  std::vector<LineageFile> files;
  std::vector<LineageStep> steps;
  std::vector<int> targets;       ///< files that were asked for
  std::vector<int> target_steps;  ///< or steps
  std::string note;               ///< what is to be known of the answer
  bool up = false, down = false;
  bool cut = false;  ///< there is more
};

struct LineageOptions {
  bool up = true, down = true;
  int depth = 20;    ///< steps one behind the other
  int readers = 10;  ///< of each file
  int most = 2'000;  ///< steps in all
};

/// What a user may ask for: a file or folder (its present content, else what was made there last), a run, or
/// the beginning of a digest (8 characters or more). Throws Error(usage) when nothing is known of it.
/// `run` is the id of the run that the text means if it means one.
Lineage find_lineage(const Workspace& workspace, db::Connection& db, const std::string& what,
                     const std::optional<std::string>& run, const LineageOptions& options);

}  // namespace mlops::data
