#include "db/retention.hpp"

#include "schedule/ledger_place.hpp"

using namespace mlops;
using namespace mlops::schedule;
using ledger_test::Place;

TEST_CASE("old slots go, and nothing is done again because of that") {
  Place place;
  const Entry entry = place.entry(at("2026-01-01 09:30"));
  std::int64_t fence = 0;
  for (const char* time : {"2026-01-01 10:00", "2026-01-01 11:00", "2026-01-01 12:00"}) {
    const auto claims = place.ledger.settle({entry}, at(time));
    REQUIRE(claims.size() == 1);
    place.run(claims[0]);
    fence = claims[0].claim.fence;
  }
  place.database.connection().execute("UPDATE slots SET decided_at = '2026-01-01 12:00:00.000'");
  const auto remove = [&](const char* before, const char* pipeline = "") {
    db::Transaction transaction(place.database);
    const db::Retention retention{Instant(at(before)), pipeline, Instant(at(before))};
    const db::OldRows counted = db::count_old(place.database.connection(), retention);
    const db::OldRows deleted = db::delete_old(place.database.connection(), retention, 100);
    transaction.commit();
    REQUIRE(counted.slots == deleted.slots);
    return deleted.slots;
  };
  REQUIRE(remove("2026-01-01 11:30") == 0);  // decided about later
  REQUIRE(remove("2026-02-01 00:00", "another") == 0);
  place.database.connection().execute("UPDATE slots SET decided_at = '2026-01-01 10:00:00.000'");
  REQUIRE(remove("2026-01-01 11:30") == 2);
  REQUIRE(place.slots() == "01-01T12:00 ran; ");
  // Of the last one neither the fence nor the time is forgotten, however old it is.
  REQUIRE(remove("2026-02-01 00:00") == 0);
  const auto record = db::schedules(place.database.connection()).at(0);
  REQUIRE(record.since == at("2026-01-01 11:30"));
  REQUIRE(record.cursor == at("2026-01-01 12:00"));
  // A clock that is set back does not make them run again.
  REQUIRE(place.ledger.settle({entry}, at("2026-01-01 11:00:05")).empty());
  const auto next = place.ledger.settle({entry}, at("2026-01-01 13:00"));
  REQUIRE(next.size() == 1);
  REQUIRE(next[0].claim.fence > fence);
}

TEST_CASE("slots that are still to be decided about, or to run, are not of before") {
  Place place;
  place.set("{cron: '0 * * * *', timezone: UTC, catchup: all, overlap: allow}");
  const Entry entry = place.entry(at("2026-01-01 09:30"));
  const auto claims = place.ledger.settle({entry}, at("2026-01-01 11:00"));
  REQUIRE(claims.size() == 2);
  place.run(claims[0]);
  place.database.connection().execute("UPDATE slots SET decided_at = '2026-01-01 10:00:00.000'");
  db::Transaction transaction(place.database);
  const Instant before(at("2026-01-01 18:00"));
  REQUIRE(db::delete_old(place.database.connection(), {before, "", before}, 100).slots == 1);
  transaction.commit();
  REQUIRE(db::schedules(place.database.connection()).at(0).since ==
          at("2026-01-01 11:00") - std::chrono::seconds(1));
  REQUIRE(place.ledger.settle({entry}, at("2026-01-01 18:30")).size() == 7);
}
