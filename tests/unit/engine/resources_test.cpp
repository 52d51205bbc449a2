#include "engine/resources.hpp"

#include "catch.hpp"

using namespace mlops;
using namespace mlops::engine;

namespace {

Capacity machine() {
  Capacity c;
  c.jobs = 3;
  c.cpus = 2;
  c.memory = 1'000;
  c.gpus = {"0", "1", "2"};
  c.pools = {{"db", 2}};
  return c;
}

Resources wish(double cpus, std::uint64_t memory = 0, int gpus = 0, std::map<std::string, int> pools = {}) {
  return {cpus, memory, gpus, std::move(pools)};
}

}  // namespace

TEST_CASE("what is taken is not there for others until it is given back") {
  ResourceLedger ledger(machine());
  const auto gpus = ledger.take(wish(1.5, 600, 2, {{"db", 1}}));
  REQUIRE(gpus == std::vector<std::string>{"0", "1"});
  REQUIRE(ledger.fits(wish(0.5, 400, 1, {{"db", 1}})));
  REQUIRE_FALSE(ledger.fits(wish(0.6)));
  REQUIRE_FALSE(ledger.fits(wish(0, 401)));
  REQUIRE_FALSE(ledger.fits(wish(0, 0, 2)));
  REQUIRE_FALSE(ledger.fits(wish(0, 0, 0, {{"db", 2}})));
  ledger.give_back(wish(1.5, 600, 2, {{"db", 1}}), gpus);
  REQUIRE(ledger.fits(wish(2, 1'000, 3, {{"db", 2}})));
}

TEST_CASE("fractions of cores add up, and job slots are counted apart") {
  ResourceLedger ledger(machine());
  for (const double part : {0.1, 0.2, 0.7}) ledger.take(wish(part));
  REQUIRE_FALSE(ledger.has_slot());
  for (const double part : {0.1, 0.2, 0.7}) ledger.give_back(wish(part), {});
  REQUIRE(ledger.has_slot());
  REQUIRE(ledger.fits(wish(2)));
}

TEST_CASE("what can never be granted is told in words") {
  REQUIRE(impossible(wish(2, 1'000, 3, {{"db", 2}}), machine()).empty());
  REQUIRE_THAT(impossible(wish(2.5), machine()), ContainsSubstring("asks for 2.5 cpus, this machine has 2"));
  REQUIRE_THAT(impossible(wish(0, 5'000), machine()), ContainsSubstring("of memory"));
  REQUIRE_THAT(impossible(wish(0, 0, 4), machine()),
               ContainsSubstring("asks for 4 gpus, this machine has 3"));
  REQUIRE_THAT(impossible(wish(0, 0, 0, {{"db", 3}}), machine()),
               ContainsSubstring("pool 'db', which has 2"));
  REQUIRE_THAT(impossible(wish(0, 0, 0, {{"tape", 1}}), machine()),
               ContainsSubstring("pool 'tape', which has 0"));
}
