// The ledger when the clock is set back: because it was ahead, or to be set right again later.
#include "schedule/ledger.hpp"
#include "schedule/ledger_place.hpp"

using namespace mlops;
using namespace mlops::schedule;
using ledger_test::Place;
using std::chrono::minutes;

TEST_CASE("a clock that is set back by much begins anew, and runs nothing twice") {
  Place place;
  const Entry entry = place.entry(at("2026-01-01 09:30"));
  auto claims = place.ledger.settle({entry}, at("2026-01-01 10:00"));
  place.run(claims.at(0));
  // A year ahead by mistake, and back.
  claims = place.ledger.settle({entry}, at("2027-01-01 10:00:30"));
  REQUIRE(claims.size() == 1);
  place.run(claims[0]);
  REQUIRE(place.ledger.settle({entry}, at("2026-01-01 10:00:40")).empty());
  REQUIRE(place.slots("2026-01-01 11:00") == "01-01T10:00 ran; 01-01T11:00 coalesced; ");
  REQUIRE(place.ledger.settle({entry}, at("2026-01-01 10:59:59")).empty());
  claims = place.ledger.settle({entry}, at("2026-01-01 11:00:00"));
  REQUIRE(claims.size() == 1);
  place.run(claims[0]);
  // By little: it waits, and repeats nothing.
  REQUIRE(place.ledger.settle({entry}, at("2026-01-01 10:57:00")).empty());
  REQUIRE(place.ledger.settle({entry}, at("2026-01-01 11:00:00")).empty());
  REQUIRE(place.ledger.settle({entry}, at("2026-01-01 12:00:00")).size() == 1);
}

TEST_CASE("a clock that is set back by much begins anew, for a slot that is asked for as well") {
  Place place;
  place.run(*place.claim("2026-01-01 10:00:05").claimed);
  place.run(*place.claim("2027-01-01 10:00:05").claimed);
  // The year between was decided about; what of it is yet to come is decided again.
  REQUIRE(place.claim("2026-01-01 12:00:05").refusal.find("it was coalesced") == 0);
  place.run(*place.claim("2026-01-01 13:00:05").claimed);
  place.run(*place.claim("2026-01-01 14:00:05").claimed);
  REQUIRE(place.slots("2026-01-01 15:00") ==
          "01-01T10:00 ran; 01-01T11:00 coalesced; 01-01T12:00 coalesced; 01-01T13:00 ran; 01-01T14:00 ran; "
          "01-01T15:00 coalesced; ");
}

TEST_CASE("a clock that is set back by much begins anew, also when the file cannot be read or is edited") {
  Place place;
  const Entry entry = place.entry(at("2026-01-01 09:30"));
  place.run(place.ledger.settle({entry}, at("2027-01-01 10:00:05")).at(0));
  place.ledger.refuse({entry}, at("2026-01-01 12:30"), "unreadable");
  place.run(place.ledger.settle({entry}, at("2026-01-01 13:00:05")).at(0));
  place.run(place.ledger.settle({entry}, at("2027-06-01 10:00:05")).at(0));
  place.set("{cron: '30 * * * *', timezone: UTC}");
  const Entry edited = place.entry(at("2026-01-01 15:10"));
  REQUIRE(place.ledger.settle({edited}, at("2026-01-01 15:30:05")).size() == 1);
}

TEST_CASE("a fence is given once, also after the clock was set back and claims were refused") {
  Place place;
  const Entry entry = place.entry(at("2026-01-01 09:30"));
  const auto first = place.ledger.settle({entry}, at("2026-01-02 10:00"));
  place.kill_claimers();
  place.ledger.pause(entry.record, entry.timetable, "", at("2026-01-02 10:01"));
  REQUIRE(place.ledger.recover({entry}, at("2026-01-02 10:02")).empty());
  place.ledger.resume(entry.record, entry.timetable, at("2026-01-02 10:03"));
  REQUIRE(place.ledger.settle({entry}, at("2026-01-01 09:31")).empty());
  const auto second = place.ledger.settle({entry}, at("2026-01-01 10:00"));
  REQUIRE(second.at(0).claim.fence > first.at(0).claim.fence);
  place.kill_claimers();
  place.ledger.pause(entry.record, entry.timetable, "", at("2026-01-01 10:01"));
  REQUIRE_FALSE(place.claim("2026-01-01 10:02").claimed);
  place.ledger.resume(entry.record, entry.timetable, at("2026-01-01 10:03"));
  REQUIRE(place.ledger.settle({entry}, at("2026-01-01 11:00")).at(0).claim.fence > second[0].claim.fence);
}

TEST_CASE("a row for many goes around what ran when the clock was ahead, and ends where it was set back to") {
  Place place;
  place.set("{every: 1m, timezone: UTC}");
  const Entry entry = place.entry(at("2026-01-01 10:00"));
  const auto settle = [&](const char* now) {
    place.kill_claimers();
    place.database.connection().execute("UPDATE slots SET outcome = 'ran' WHERE outcome = 'claimed'");
    return place.ledger.settle({entry}, at(now)).size();
  };
  const auto count = [&] {
    std::int64_t slots = 0;
    for (const SlotRecord& slot : db::list_slots(place.database.connection(), {})) slots += slot.slots;
    return slots;
  };
  REQUIRE(settle("2026-03-01 00:00") == 1);
  REQUIRE(count() == 58 * 1440 + 840);
  REQUIRE(settle("2026-02-01 00:00") == 0);
  REQUIRE(settle("2026-02-01 00:01") == 1);
  REQUIRE(count() == 58 * 1440 + 840);
  REQUIRE(settle("2026-04-01 00:00") == 1);
  REQUIRE(count() == 89 * 1440 + 840);
  std::optional<sys_seconds> last;
  for (const SlotRecord& slot : db::list_slots(place.database.connection(), {})) {
    REQUIRE((!last || slot.at == *last + minutes(1)));
    last = slot.until;
  }
}

TEST_CASE("a clock that goes back and returns makes up for nothing of before the schedule existed") {
  Place place;
  place.set("{cron: '0 * * * *', timezone: UTC, catchup: all}");
  const Entry entry = place.entry(at("2026-01-01 09:30"));
  place.run(place.ledger.settle({entry}, at("2026-01-01 10:00")).at(0));
  REQUIRE(place.ledger.settle({entry}, at("2025-01-01 12:00:30")).empty());
  place.run(place.ledger.settle({entry}, at("2025-01-01 13:00:00")).at(0));
  // Of what it misses by that clock nothing is due either, but what comes just now.
  REQUIRE(place.ledger.settle({entry}, at("2025-01-01 16:30")).empty());
  const auto claims = place.ledger.settle({entry}, at("2025-01-01 18:00:20"));
  REQUIRE(claims.size() == 1);
  place.kill_claimers();
  REQUIRE(place.ledger.settle({entry}, at("2026-01-01 12:00:10")).size() == 2);
  REQUIRE(place.ledger.recover({entry}, at("2026-01-01 12:00:10")).empty());
  REQUIRE(place.slots() ==
          "01-01T13:00 ran; 01-01T18:00 missed; 01-01T10:00 ran; 01-01T11:00 claimed; 01-01T12:00 claimed; ");
  REQUIRE(db::schedules(place.database.connection()).at(0).since == at("2026-01-01 09:30"));
}

TEST_CASE("nor does an edit while the clock is behind") {
  Place place;
  place.set("{cron: '0 * * * *', timezone: UTC, catchup: all}");
  const Entry entry = place.entry(at("2026-01-01 09:30"));
  place.run(place.ledger.settle({entry}, at("2026-01-01 10:00")).at(0));
  REQUIRE(place.ledger.settle({entry}, at("2025-01-01 12:00:30")).empty());
  place.set("{cron: '*/30 * * * *', timezone: UTC, catchup: all}");
  const Entry edited = place.entry(at("2025-01-01 12:10"));
  place.run(place.ledger.settle({edited}, at("2025-01-01 12:30")).at(0));
  REQUIRE(place.ledger.settle({edited}, at("2026-01-01 10:10")).empty());
  REQUIRE(place.ledger.settle({edited}, at("2026-01-01 11:10")).size() == 2);
}

TEST_CASE("nor does an edit of an entry that has had no slot yet") {
  Place place;
  place.set("{cron: '0 * * * *', timezone: UTC, catchup: all}");
  REQUIRE(place.ledger.settle({place.entry(at("2026-01-01 09:30"))}, at("2025-01-01 12:00:30")).empty());
  place.set("{cron: '*/30 * * * *', timezone: UTC, catchup: all}");
  const Entry edited = place.entry(at("2025-01-01 12:10"));
  REQUIRE(place.ledger.settle({edited}, at("2026-01-01 10:10")).size() == 1);
}

TEST_CASE("what was decided before the clock was set back stays on record, and is not decided again") {
  Place place;
  place.set("{cron: '0 * * * *', timezone: UTC, catchup: none}");
  const Entry entry = place.entry(at("2026-01-01 09:30"));
  REQUIRE(place.ledger.settle({entry}, at("2026-01-01 12:30")).empty());
  const std::string missed = "01-01T10:00 missed; 01-01T11:00 missed; 01-01T12:00 missed; ";
  const auto rows = [&] { return db::list_slots(place.database.connection(), {}); };
  const std::string reason = rows().at(0).reason;
  REQUIRE(place.ledger.settle({entry}, at("2025-06-01 00:00")).empty());
  REQUIRE(place.slots() == missed);
  place.set("{cron: '0 * * * *', timezone: UTC, catchup: all}");
  const Entry all = place.entry(at("2025-06-01 00:01"));
  REQUIRE(place.ledger.settle({all}, at("2026-01-01 13:30")).size() == 1);
  REQUIRE(place.slots() == missed + "01-01T13:00 claimed; ");
  REQUIRE(rows().at(0).reason == reason);
}

TEST_CASE("what a clock decided that was ahead is decided again when its time comes") {
  Place place;
  const Entry entry = place.entry(at("2026-01-01 09:30"));
  place.run(place.ledger.settle({entry}, at("2026-01-01 14:10")).at(0));
  REQUIRE(place.ledger.settle({entry}, at("2026-01-01 10:30")).empty());
  const std::string ahead =
      "01-01T10:00 coalesced; 01-01T11:00 coalesced; 01-01T12:00 coalesced; 01-01T13:00 coalesced; "
      "01-01T14:00 ran; ";
  REQUIRE(place.slots() == ahead);
  place.run(place.ledger.settle({entry}, at("2026-01-01 11:00")).at(0));
  // Also what is missed then.
  place.run(place.ledger.settle({entry}, at("2026-01-01 13:20")).at(0));
  REQUIRE(
      place.slots() ==
      "01-01T10:00 coalesced; 01-01T11:00 ran; 01-01T12:00 coalesced; 01-01T13:00 ran; 01-01T14:00 ran; ");
}
