#include "process/capture.hpp"

#include "catch.hpp"
#include "process/process_tree.hpp"
#include "util/time.hpp"

#include <unistd.h>

using namespace mlops;
using namespace mlops::process;

namespace {
const std::string mark = "MLOPS_RUN_ID=capture-" + std::to_string(::getpid());
}  // namespace

TEST_CASE("a short command gives its output and its exit code") {
  const Captured good = capture({"sh", "-c", "echo $X; echo no >&2; exit 3"}, "/", 10'000, {"X=yes"});
  REQUIRE(good.code == 3);
  REQUIRE(good.out == "yes\n");
  REQUIRE(good.error.empty());
  REQUIRE_THAT(capture({"no-such-program-xyz"}, "/", 1'000).error, ContainsSubstring("no program"));
}

TEST_CASE("a command that takes too long is ended, whether it holds its output or not") {
  for (const char* script :
       {"sleep 1000", "exec >&-; sleep 1000", "trap '' TERM; exec >&-; sleep 1000 & wait"}) {
    INFO(script);
    const std::int64_t start = util::monotonic_ms();
    const Captured late = capture({"sh", "-c", script}, "/", 300, {mark});
    REQUIRE(late.code == -1);
    REQUIRE_THAT(late.error, ContainsSubstring("did not end"));
    REQUIRE(util::monotonic_ms() - start >= 300);
    REQUIRE(util::monotonic_ms() - start < 5'000);
    ::usleep(100'000);  // SIGKILL takes a moment
    REQUIRE(kill_by_environment({mark}) == 0);
  }
}

TEST_CASE("a command may close its output before it ends") {
  const Captured good = capture({"sh", "-c", "echo x; exec >&-; sleep 0.2; exit 4"}, "/", 10'000);
  REQUIRE(good.code == 4);
  REQUIRE(good.out == "x\n");
}
