// What the parts of `mlops data` share.
#pragma once

#include <mlops/data.hpp>

#include "cli/context.hpp"
#include "cli/output.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace mlops::cli {

struct DataOptions {
  std::vector<std::string> names;  ///< a path, a dataset or versions
  std::string name;
  std::string note;
  std::string to;
  int limit = 100;
  bool all = false;
  bool files = false;
  bool stat = false;
  bool force = false;
  bool dry_run = false;
  bool json = false;

  int shown_limit() const { return all ? 0 : limit; }  ///< 0: no limit
};

/// NAME@NUMBER.
std::string full_name(const DatasetVersion& version);
nlohmann::json to_json(const DatasetVersion& version);

/// --limit N and --all.
void add_limit(CLI::App& app, DataOptions& options);
void set_up_data_diff(CLI::App& app, const std::shared_ptr<DataOptions>& options, Context& context);

}  // namespace mlops::cli
