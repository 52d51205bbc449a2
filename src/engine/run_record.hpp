// A run as a file on a remote, runs/ID.json:
//
//   {"mlops_run": 1, "sha256": of the record as it is written here, "record": {…}}
//
// It says what happened: steps, attempts, params, metrics, values, artifacts by digest, what steps depended
// on, and the keys under which their results can be had. Logs and contents are not in it, and no values of
// environment variables.
#pragma once

#include "db/bundles.hpp"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace mlops::engine {

std::string write_run_record(const db::RunBundle& bundle);

/// The record of a run that found nothing to do and was recorded as `basis` was: it has what is its own, and
/// refers to the record of that one for its steps. Never sent elsewhere.
std::string write_repeat_record(const RunRecord& run, const std::vector<std::string>& environment,
                                const std::string& basis);

/// The text of the record that a record refers to.
using BasisReader = std::function<std::string()>;

/// Reads what somebody else wrote. Throws Error(io) that says what is wrong with it; `run_id` is the run that
/// the record has to be of. Without a `basis`, a record that refers to another one is refused.
db::RunBundle read_run_record(std::string_view text, const std::string& run_id,
                              const BasisReader& basis = nullptr);

/// Whether a path in a record stays in the work tree that it is put into.
bool is_inside(const std::string& path);

}  // namespace mlops::engine
