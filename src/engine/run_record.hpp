// A run as a file on a remote, runs/ID.json:
//
//   {"mlops_run": 1, "sha256": of the record as it is written here, "record": {…}}
//
// It says what happened: steps, attempts, params, metrics, values, artifacts by digest, what steps depended
// on, and the keys under which their results can be had. Logs and contents are not in it, and no values of
// environment variables.
#pragma once

#include "db/bundles.hpp"

#include <string>
#include <string_view>

namespace mlops::engine {

std::string write_run_record(const db::RunBundle& bundle);

/// Reads what somebody else wrote. Throws Error(io) that says what is wrong with it; `run_id` is the run that
/// the record has to be of.
db::RunBundle read_run_record(std::string_view text, const std::string& run_id);

/// Whether a path in a record stays in the work tree that it is put into.
bool is_inside(const std::string& path);

}  // namespace mlops::engine
