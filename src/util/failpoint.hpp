// Named places where a test build can make the world fail: MLOPS_FAILPOINT="NAME[:N][=kill|ERRNO]" acts on
// the N-th pass (1 if left out). Compiled to nothing in release builds.
#pragma once

namespace mlops::util {

#ifdef MLOPS_FAILPOINTS
/// Returns the errno to pretend, or 0 to go on; "kill" ends the process by SIGKILL here.
int failpoint(const char* name);
#else
inline int failpoint(const char*) { return 0; }
#endif

}  // namespace mlops::util
