#include "engine/definition.hpp"

#include "catch.hpp"

using namespace mlops;

TEST_CASE("the makers of a file are told by what steps declare") {
  const Pipeline pipeline = parse_pipeline(
      "steps:\n  a: {run: x, outputs: [a.txt, /q/far]}\n  b: {run: x, workdir: sub, outputs: out, metrics: "
      "m.json}\n",
      "/p/p.yaml", {{}, false});
  using Names = std::vector<std::string>;
  REQUIRE(engine::makers_of(pipeline, "/p/a.txt") == Names{"a"});
  REQUIRE(engine::makers_of(pipeline, "/q/far") == Names{"a"});
  for (const char* path : {"/p/sub/out", "/p/sub/out/x/y", "/p/sub/m.json"})
    REQUIRE(engine::makers_of(pipeline, path) == Names{"b"});
  for (const char* path : {"/p/a.txt2", "/p/sub", "/p/out", "/"})
    REQUIRE(engine::makers_of(pipeline, path).empty());
}
