// What can only be seen when every step is known.
#pragma once

#include "pipeline/step_reader.hpp"

namespace mlops::pipeline {

/// Why no step may make `path` (absolute), as "holds …" or "is …"; empty if one may. Outputs are set aside
/// before their step runs, given to the store, and put in place as a whole: none may be or hold the
/// pipeline's own file, the records of a workspace, or a directory of the system.
std::string refusal_of_output(const Pipeline& pipeline, const std::string& path, bool look_at_disk);
constexpr const char* hint_for_refused_output =
    "an output is replaced as a whole: name a file or a folder that holds nothing else";

/// Reports files made twice, outputs that hold or lie in what is not a step's to replace, inputs that nobody
/// makes (if `files`) and cycles. `places[i]` belongs to `pipeline.steps[i]`, whose copy in it is empty.
void check(const Pipeline& pipeline, const std::vector<ReadStep>& places, bool files, Problems& problems);

}  // namespace mlops::pipeline
