// A run in which every step was found done. As long as its definition, what that refers to, and all files of
// its steps are as they were, another one comes to the same: it is recorded by copying, without a look at the
// steps one by one.
//
// What is remembered lies in .mlops/repeats, a file for each pipeline file. It may be lost at any time, and
// is not believed when its end is missing:
//   "mlops repeat 1\n" KEY "\n" RUN "\n" COUNT "\n", then COUNT × (stamp, 32 bytes; PATH "\0"), then the
//   SHA-256 of all
#pragma once

#include <mlops/plan.hpp>
#include <mlops/run.hpp>

#include "engine/cache.hpp"

#include <optional>
#include <string>
#include <vector>

namespace mlops::engine {

struct Repeat {
  std::string key;
  std::string run;
  std::vector<SeenFile> files;
};

/// Fewer steps are quickly looked at.
constexpr std::size_t steps_worth_repeating = 50;

/// What the outcome of a run of all steps depends on besides their files: the definition `source` of `file`,
/// and what comes from outside of it.
std::string repeat_key(const std::string& source, const std::string& file, const LoadOptions& options);

/// Whether a run may be spared the look at its steps, as far as it is asked for so.
bool may_repeat(const RunSettings& settings);

/// Whether another run can be known in advance: nothing in the file wants to be done each time.
bool can_repeat(const Pipeline& pipeline, const Plan& plan, const RunSettings& settings);

/// Never throws: without it the next run takes longer.
void remember_repeat(const Workspace& workspace, const std::string& file, Repeat repeat);

/// What is remembered under `key`, if all its files are as they were.
std::optional<Repeat> find_repeat(const Workspace& workspace, const std::string& file,
                                  const std::string& key);

}  // namespace mlops::engine
