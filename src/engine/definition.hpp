// What a pipeline's steps do, as a digest: whether a run of before did what the file says now.
#pragma once

#include <mlops/pipeline.hpp>

#include <string>
#include <vector>

namespace mlops::engine {

/// Changes with whatever steps are made of and depend on by the file: commands, params, variables, paths,
/// conditions, order. Not with when and how patiently they run: schedules, retries, limits, resources; nor
/// with comments.
std::string steps_digest(const Pipeline& pipeline);

/// The names of the steps that declare `path` (absolute) as an output or metrics, or a folder that it lies
/// in.
std::vector<std::string> makers_of(const Pipeline& pipeline, const std::string& path);

}  // namespace mlops::engine
