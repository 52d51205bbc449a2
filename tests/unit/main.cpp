#define CATCH_CONFIG_RUNNER
#include "catch.hpp"
#include "process/trace_filter.hpp"

#include <cstring>

int main(int argc, char** argv) {
  // A keeper under test starts traced steps by this program.
  if (argc > 3 && std::strcmp(argv[1], mlops::process::trace_argument) == 0)
    return mlops::process::run_traced(argc, argv);
  return Catch::Session().run(argc, argv);
}
