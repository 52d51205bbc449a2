#include "util/failpoint.hpp"

#ifdef MLOPS_FAILPOINTS

#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>

namespace mlops::util {

int failpoint(const char* name) {
  static const char* const spec = std::getenv("MLOPS_FAILPOINT");
  if (!spec) return 0;
  const std::string text = spec;
  const std::size_t equals = text.find('=');
  std::string where = text.substr(0, equals);
  const std::string what = equals == text.npos ? "kill" : text.substr(equals + 1);
  int pass = 1;
  if (const std::size_t colon = where.find(':'); colon != where.npos) {
    pass = std::atoi(where.c_str() + colon + 1);
    where.resize(colon);
  }
  static int passes = 0;
  if (where != name || ++passes != pass) return 0;
  if (what == "kill") ::kill(::getpid(), SIGKILL);
  return std::atoi(what.c_str());
}

}  // namespace mlops::util

#endif
