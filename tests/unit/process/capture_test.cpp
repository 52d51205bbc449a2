#include "process/capture.hpp"

#include "catch.hpp"
#include "process/process_tree.hpp"
#include "util/time.hpp"

#include <unistd.h>

#include <cstdlib>

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

TEST_CASE("a command gets its input, and what it leaves running is not waited for") {
  const std::string input(200'000, 'x');  // more than a pipe holds
  ::setenv("MLOPS_CAPTURE_TEST", "outer", 1);
  const std::int64_t start = util::monotonic_ms();
  const Captured good =
      capture_with_input({"sh", "-c", "wc -c; echo no >&2; echo $MLOPS_CAPTURE_TEST; sleep 1000 & exit 3"},
                         "/", 10'000, {mark, "MLOPS_CAPTURE_TEST=inner"}, input);
  REQUIRE(good.code == 3);
  REQUIRE(good.out == "200000\nno\ninner\n");
  REQUIRE(util::monotonic_ms() - start < 5'000);
  REQUIRE(kill_by_environment({mark}) == 1);
  const Captured late = capture_with_input({"sh", "-c", "sleep 1000"}, "/", 300, {mark}, "");
  REQUIRE(late.code == -1);
  REQUIRE_THAT(late.error, ContainsSubstring("did not end"));
}
