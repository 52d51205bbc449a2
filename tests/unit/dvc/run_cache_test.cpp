#include "dvc/run_cache.hpp"

#include "catch.hpp"
#include "pipeline/dvc/value.hpp"
#include "temp_dir.hpp"

using namespace mlops;

TEST_CASE("the run cache is keyed as DVC keys it") {
  // Pinned by DVC's own tests.
  const OrderedJson entry = OrderedJson::parse(
      R"({"cmd": "cmd", "deps": [{"path": "dep", "md5": "dep_checksum"}], "outs": [{"path": "out", "md5": "out_checksum"}]})");
  const auto [key, value] = dvc::run_keys(entry);
  CHECK(key.size() == 64);
  CHECK(
      pipeline::dvc::python_json(entry, {"size", "nfiles"}) ==
      R"({"cmd": "cmd", "deps": [{"md5": "dep_checksum", "path": "dep"}], "outs": [{"md5": "out_checksum", "path": "out"}]})");
}

TEST_CASE("an entry of the run cache is found again, and a damaged one is not") {
  const TempDir dir;
  const dvc::RunCache cache(dir.path());
  const OrderedJson entry = OrderedJson::parse(
      R"({"cmd": "x", "deps": [{"path": "d", "hash": "md5", "md5": "ab", "size": 1}], "params": {"params.yaml": {"lr": 1e-05, "é": null}}, "outs": [{"path": "o", "hash": "md5", "md5": "cd", "size": 2}]})");
  CHECK_FALSE(cache.find(entry));
  cache.save(entry);
  OrderedJson asked = entry;
  asked["outs"] = OrderedJson::parse(R"([{"path": "o"}])");
  REQUIRE(cache.find(asked));
  CHECK(*cache.find(asked) == entry);
  const auto [key, value] = dvc::run_keys(entry);
  const std::string path = dir / ("runs/" + key.substr(0, 2) + "/" + key + "/" + value);
  REQUIRE(std::filesystem::exists(path));
  std::filesystem::resize_file(path, 20);
  CHECK_FALSE(cache.find(asked));
}
