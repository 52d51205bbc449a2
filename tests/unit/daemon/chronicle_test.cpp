// What the daemon's log says of slots that did not run.
#include "daemon/chronicle.hpp"

#include "schedule/ledger_place.hpp"
#include "util/strings.hpp"

using namespace ledger_test;

namespace {

struct Log {
  explicit Log(Place& in) : place(in) {}

  // What is said when the ledger has decided about all that is due.
  std::vector<std::string> settle(const char* time, const char* pause = nullptr) {
    Entry entry = place.entry(at("2026-01-01 09:30"));
    if (pause) place.ledger.pause(entry.record, nullptr, pause, at(time));
    entry.record = *db::find_schedule(place.database.connection(), entry.record.id);
    place.ledger.settle({entry}, at(time));
    chronicle.tell(entry.record, at(time));
    return std::exchange(said, {});
  }

  Place& place;
  std::vector<std::string> said;
  daemon::Chronicle chronicle{place.database, [this](const std::string& text) { said.push_back(text); }};
};

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("a slot that did not run is told with its reason, one that runs is not") {
  Place place;
  Log log(place);
  REQUIRE(log.settle("2026-01-01 10:00") == Lines{});
  const Lines skipped = log.settle("2026-01-01 11:00");
  REQUIRE(skipped.size() == 1);
  REQUIRE_THAT(skipped[0], Catch::Matchers::StartsWith("p main 2026-01-01T11:00:00+00:00: skipped, run "));
  REQUIRE(log.settle("2026-01-01 11:10") == Lines{});
}

TEST_CASE("slots that were missed together are one line") {
  Place place;
  place.set("{cron: '* * * * *', timezone: UTC}");
  Log log(place);
  const Lines lines = log.settle("2026-01-03 10:00");
  REQUIRE(lines ==
          Lines{"p main 2026-01-01T09:31:00+00:00 to 2026-01-03T09:59:00+00:00: 2909 slots coalesced, "
                "one run for all that were missed: 2026-01-03T10:00:00+00:00"});
}

TEST_CASE("of many that come to the same one after the other the first is told, and how many came then") {
  Place place;
  place.set("{every: 10m, overlap: allow}");
  Log log(place);
  REQUIRE(log.settle("2026-01-01 09:40", "the source moves") ==
          Lines{"p main 2026-01-01T09:40:00+00:00: paused: the source moves"});
  for (const char* time :
       {"2026-01-01 09:50", "2026-01-01 10:00", "2026-01-01 10:10", "2026-01-01 10:20", "2026-01-01 10:30"})
    REQUIRE(log.settle(time) == Lines{});
  REQUIRE(log.settle("2026-01-01 10:40") ==
          Lines{"p main 2026-01-01T09:50:00+00:00 to 2026-01-01T10:40:00+00:00: "
                "6 more slots paused: the source moves"});
  REQUIRE(log.settle("2026-01-01 10:50") == Lines{});
  place.ledger.resume(place.entry(at("2026-01-01 10:51")).record, nullptr, at("2026-01-01 10:51"));
  REQUIRE(log.settle("2026-01-01 11:00") ==
          Lines{"p main 2026-01-01T10:50:00+00:00: also paused: the source moves"});
  log.chronicle.close();
  REQUIRE(log.said.empty());
}

TEST_CASE("a claim that is made up for by no run is told") {
  Place place;
  place.set("{cron: '0 * * * *', timezone: UTC, catchup: none}");
  Log log(place);
  REQUIRE(log.settle("2026-01-01 10:00") == Lines{});
  place.kill_claimers();
  const auto claims = db::list_slots(place.database.connection(),
                                     {.schedule = {}, .since = {}, .outcome = SlotOutcome::claimed});
  place.ledger.recover({place.entry(at("2026-01-01 10:30"))}, at("2026-01-01 10:30"));
  log.chronicle.tell_of(claims);
  REQUIRE(log.said.size() == 1);
  REQUIRE_THAT(log.said[0], Catch::Matchers::StartsWith(
                                "p main 2026-01-01T10:00:00+00:00: missed, the process that had claimed"));
}
