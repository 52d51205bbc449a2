// Who made and who read a content: the edges of lineage, joined by digest over all runs.
#pragma once

#include <mlops/records.hpp>

#include "db/database.hpp"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace mlops::db {

/// A step that ran in a run.
struct Execution {
  std::string run;
  int step = 0;
  auto operator<=>(const Execution&) const = default;
};

/// A content in a place, as a step made or read it.
struct Trace {
  Execution by;
  ArtifactRecord file;
  bool hidden = false;  ///< the step does not declare it
};

/// What is told of a step in lineage.
struct ExecutionFacts {
  std::string pipeline, name, kind, command;
  StepState state = StepState::succeeded;
  Instant at{};  ///< start of the run
  std::optional<std::string> git_commit;
  std::optional<bool> git_dirty;
  std::vector<std::pair<std::string, std::string>> params;  ///< of the run
  std::string facts;                                        ///< step_facts, may be empty
  std::int64_t taken_over = 0;                              ///< how many later runs took its results
};
/// But for `taken_over`.
std::optional<ExecutionFacts> facts_of_execution(Connection& db, const Execution& execution);

/// Of each step of `run` whose results later runs took: how many did.
std::map<int, std::int64_t> times_taken_over(Connection& db, const std::string& run);

/// The step that made the content which `reader` read at `path`: of its own run if there is one, else the
/// newest before it, of the same path if there is one. `by_path`: only of that path. None: no step made it.
std::optional<Trace> maker_for(Connection& db, const Execution& reader, const std::string& sha256,
                               const std::string& path, bool by_path);

/// The newest makers and readers of a content. `path`, if not empty, is the only one that counts.
std::vector<Trace> makers_of(Connection& db, const std::string& sha256, const std::string& path, int limit);
std::vector<Trace> readers_of(Connection& db, const std::string& sha256, const std::string& path, int limit);
std::int64_t count_readers(Connection& db, const std::string& sha256, const std::string& path);

/// The newest maker, else the newest reader, of whatever lay at `path`.
std::optional<Trace> newest_at(Connection& db, const std::string& path);

/// All that a step read or made, hidden files too.
std::vector<Trace> files_of_execution(Connection& db, const Execution& execution);

/// Recorded digests that begin with `prefix`, at most `limit`.
std::vector<std::string> match_digests(Connection& db, const std::string& prefix, int limit);

}  // namespace mlops::db
