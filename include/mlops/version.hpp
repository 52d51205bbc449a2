// Door to src/util: the version of this build.
#pragma once

namespace mlops {

/// "MAJOR.MINOR.PATCH".
const char* version();

}  // namespace mlops
