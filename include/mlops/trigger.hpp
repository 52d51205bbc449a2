// Door to src/pipeline: what else than time makes a pipeline run by itself, as its file says.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace mlops {

/// One entry of `triggers:`. Checked when the file is read.
struct Trigger {
  enum class Kind { files, succeeded, webhook, http, sql, metric };

  Kind kind = Kind::files;
  std::string name;  ///< unique in the file: `name:`, or made of what it looks at

  std::vector<std::string> files;      ///< files: paths and patterns, relative to the file's directory
  std::vector<std::string> pipelines;  ///< succeeded, metric: whose runs
  bool any = false;                    ///< succeeded: one of them is enough
  std::string secret;           ///< webhook: the declared secret that signs requests; http: that is the URL
  std::string url;              ///< http, unless it is a secret
  std::string database, query;  ///< sql: a file of SQLite, and what gives one row for each event
  std::string condition;        ///< metric: such as "drift.psi > 0.2"

  std::chrono::milliseconds every{0};     ///< between looks, where there is nothing to wait for
  std::chrono::milliseconds debounce{0};  ///< files: after so long without another change
};

}  // namespace mlops
