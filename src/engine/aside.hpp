// Old outputs wait aside while a step makes new ones, and come back if it fails.
#pragma once

#include <mlops/pipeline.hpp>

#include <string>
#include <vector>

namespace mlops::engine {

/// The outputs and metrics files of a step that are set aside, absolute. Not those that say `persist`, nor
/// any that hold the pipeline file, the workspace or an input of a step: these cannot be meant as a whole.
std::vector<std::string> paths_to_set_aside(const Pipeline& pipeline, const Step& step,
                                            const std::string& state_directory);

/// The other outputs: the step may write to the files that are there.
std::vector<std::string> paths_left_in_place(const Pipeline& pipeline, const Step& step,
                                             const std::string& state_directory);

/// Where they wait: a directory per step below the run's.
std::string aside_directory(const std::string& run_directory, const std::string& step);

/// Moves what is there of `paths` below `directory`, and makes the directories that they lie in. What an
/// attempt before left is removed, as the old outputs wait already. Throws Error(io).
void set_aside(const std::string& directory, const std::vector<std::string>& paths, bool make_folders = true);

/// Puts the old outputs back in place of whatever the failed step made.
void bring_back(const std::string& directory, const std::vector<std::string>& paths);

/// Removes the old outputs.
void drop_aside(const std::string& directory);

}  // namespace mlops::engine
