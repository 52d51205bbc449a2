#include "schedule/ledger.hpp"

#include "schedule/ledger_place.hpp"
#include "util/files.hpp"
#include "util/time.hpp"

using namespace mlops;
using namespace mlops::schedule;
using ledger_test::Place;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

TEST_CASE("a slot is claimed once, and run once") {
  Place place;
  const Answer first = place.claim("2026-01-01 10:00:05");
  REQUIRE(first.claimed);
  REQUIRE(first.local == "2026-01-01T10:00:00+00:00");
  const Answer second = place.claim("2026-01-01 10:00:06");
  REQUIRE_FALSE(second.claimed);
  REQUIRE(second.refusal == "run " + first.claimed->claim.run_id + " has it and is about to begin");
  place.run(*first.claimed);
  REQUIRE(place.claim("2026-01-01 10:30:00").refusal.find("had it; it was deleted") != std::string::npos);
  REQUIRE(place.slots() == "01-01T10:00 ran; ");
  const Answer next = place.claim("2026-01-01 11:00:00");
  REQUIRE(next.claimed);
  REQUIRE(next.claimed->claim.fence > first.claimed->claim.fence);
}

TEST_CASE("the claim of a dead process is taken over, and worth nothing to it any more") {
  Place place;
  const Answer first = place.claim("2026-01-01 10:00:05");
  place.kill_claimers();
  const Answer second = place.claim("2026-01-01 10:00:06");
  REQUIRE(second.claimed);
  REQUIRE(second.claimed->claim.fence > first.claimed->claim.fence);
  {
    db::Transaction transaction(place.database);
    REQUIRE_FALSE(db::start_slot(place.database.connection(), first.claimed->claim.fence,
                                 first.claimed->claim.run_id, Instant(at("2026-01-01 10:00"))));
  }
  place.run(*second.claimed);
  REQUIRE(place.slots() == "01-01T10:00 ran; ");
}

TEST_CASE("slots before the one that is run get an outcome, by the catch-up") {
  Place place;
  place.run(*place.claim("2026-01-01 10:00:05").claimed);
  place.run(*place.claim("2026-01-01 13:20:00").claimed);
  REQUIRE(place.slots() ==
          "01-01T10:00 ran; 01-01T11:00 coalesced; 01-01T12:00 coalesced; 01-01T13:00 ran; ");
  place.set("{cron: '0 * * * *', timezone: UTC, catchup: none}");
  place.run(*place.claim("2026-01-01 15:00:01").claimed);
  REQUIRE(place.slots().ends_with("01-01T14:00 missed; 01-01T15:00 ran; "));
  // By its time it can still be asked for.
  REQUIRE(place.ledger.claim(place.pipeline, "2026-01-01T14:00:00Z", at("2026-01-01 15:01")).claimed);
  REQUIRE_THROWS_AS(place.ledger.claim(place.pipeline, "2026-01-01T14:30:00Z", at("2026-01-01 15:01")),
                    Error);
  REQUIRE_THROWS_AS(place.ledger.claim(place.pipeline, "2026-01-01T16:00:00Z", at("2026-01-01 15:01")),
                    Error);
}

TEST_CASE("an edit makes no slots of the past") {
  Place place;
  const Entry before = place.entry(at("2026-01-01 10:30"));
  REQUIRE(place.ledger.settle({before}, at("2026-01-01 10:31")).empty());
  place.set("{cron: '*/10 * * * *', timezone: UTC}");
  const Entry after = place.entry(at("2026-01-01 12:15"));
  REQUIRE(place.slots() == "01-01T11:00 superseded; 01-01T12:00 superseded; ");
  REQUIRE(place.ledger.settle({after}, at("2026-01-01 12:19")).empty());
  REQUIRE(place.ledger.settle({after}, at("2026-01-01 12:20")).size() == 1);
  // A policy is no time.
  place.set("{cron: '*/10 * * * *', timezone: UTC, overlap: allow}");
  REQUIRE(place.ledger.settle({place.entry(at("2026-01-01 12:30:10"))}, at("2026-01-01 12:30:10")).size() ==
          1);
  place.set("{cron: '0 * * * *', timezone: UTC, name: other}");
  place.entry(at("2026-01-01 12:55"));
  const auto records = db::schedules(place.database.connection());
  REQUIRE(records.size() == 2);
  REQUIRE(records[0].removed_at.has_value());
}

TEST_CASE("an entry that is renamed is the same one, and runs nothing again") {
  Place place;
  place.entry(at("2026-01-01 09:30"));
  const auto claimed = place.claim("2026-01-01 10:00:01").claimed;
  REQUIRE(claimed);
  REQUIRE(claimed->entry == "main");
  place.run(*claimed);
  const std::int64_t id = place.entry(at("2026-01-01 10:10")).record.id;
  place.set("{cron: '0 * * * *', timezone: UTC, name: hourly}");
  const Answer answer = place.claim("2026-01-01 10:20");
  REQUIRE(!answer.claimed);
  REQUIRE(answer.entry == "hourly");
  REQUIRE(answer.run_id == claimed->claim.run_id);
  REQUIRE(place.entry(at("2026-01-01 10:20")).record.id == id);
  REQUIRE(db::schedules(place.database.connection()).size() == 1);
  // With other times, and beside the one that it was, it is another one.
  place.set(
      "[{cron: '0 * * * *', timezone: UTC, name: hourly}, {cron: '0 * * * *', timezone: UTC, name: b}]");
  REQUIRE(place.entry(at("2026-01-01 10:20"), 1).record.id != id);
  place.set("{cron: '30 * * * *', timezone: UTC, name: half}");
  REQUIRE(place.entry(at("2026-01-01 10:20")).record.id > id + 1);
}

TEST_CASE("what a paused pipeline has anew is paused, and nothing else") {
  Place place;
  const auto paused = [&](const char* schedule, std::size_t number = 0) {
    place.set(schedule);
    return place.entry(at("2026-01-01 09:30"), number).record.paused_at.has_value();
  };
  constexpr const char* main = "{cron: '0 * * * *', timezone: UTC}";
  Entry entry = place.entry(at("2026-01-01 09:30"));
  place.ledger.pause(entry.record, entry.timetable, "a note", at("2026-01-01 09:40"));
  REQUIRE(paused("[{cron: '0 * * * *', timezone: UTC}, {every: 5m, name: b}]", 1));
  REQUIRE(db::schedules(place.database.connection()).back().pause_note == "a note");
  // One that is gone and comes again is as the others are.
  REQUIRE(paused("{every: 5m, name: b}"));
  entry = place.entry(at("2026-01-01 09:50"));
  place.ledger.resume(entry.record, entry.timetable, at("2026-01-01 09:50"));
  REQUIRE(!paused("[{cron: '0 * * * *', timezone: UTC}, {every: 5m, name: b}]"));
  // Where there is no other, as it was.
  entry = place.entry(at("2026-01-01 09:50"));
  place.ledger.pause(entry.record, entry.timetable, "", at("2026-01-01 09:55"));
  REQUIRE(!paused("{every: 7m, name: c}"));  // b was not
  REQUIRE(!paused(main));
}

TEST_CASE("a pause says so of what is due meanwhile") {
  Place place;
  const Entry entry = place.entry(at("2026-01-01 10:30"));
  place.ledger.pause(entry.record, entry.timetable, "the source moves", at("2026-01-01 11:30"));
  REQUIRE(place.ledger.settle({entry}, at("2026-01-01 12:00")).empty());
  const Answer answer = place.claim("2026-01-01 13:00:00");
  REQUIRE(answer.refusal == "paused: the source moves");
  place.ledger.resume(db::schedules(place.database.connection()).at(0), entry.timetable,
                      at("2026-01-01 14:30"));
  REQUIRE(place.slots() ==
          "01-01T11:00 missed; 01-01T12:00 paused; 01-01T13:00 paused; 01-01T14:00 paused; ");
  REQUIRE(place.ledger.settle({entry}, at("2026-01-01 15:00")).size() == 1);
}

TEST_CASE("while a claim of the pipeline lives, a slot is skipped or waits") {
  Place place;
  place.set(
      "[{cron: '0 * * * *', timezone: UTC}, {cron: '1 * * * *', timezone: UTC, name: second}, {cron: '2 * * "
      "* *', timezone: UTC, name: third, overlap: queue}]");
  const auto timetables = schedule::timetables(place.pipeline, place.zones);
  const auto records = place.ledger.adopt(place.pipeline, timetables, at("2026-01-01 09:30"));
  REQUIRE(place.ledger.settle({{records[0], &timetables[0]}}, at("2026-01-01 10:00")).size() == 1);
  REQUIRE(place.ledger.settle({{records[1], &timetables[1]}}, at("2026-01-01 10:01")).empty());
  const auto third = place.ledger.settle({{records[2], &timetables[2]}}, at("2026-01-01 10:02"));
  REQUIRE(third.size() == 1);
  REQUIRE(third[0].overlap == Overlap::queue);
  REQUIRE(place.slots() == "01-01T10:00 claimed; 01-01T10:01 skipped; 01-01T10:02 claimed; ");
}

TEST_CASE("what was missed is skipped with the slot that was to make up for it") {
  Place place;
  place.set("[{cron: '5 * * * *', timezone: UTC}, {cron: '*/10 * * * *', timezone: UTC, name: second}]");
  const auto timetables = schedule::timetables(place.pipeline, place.zones);
  const auto records = place.ledger.adopt(place.pipeline, timetables, at("2026-01-01 10:00"));
  const bool by_hand = GENERATE(false, true);
  REQUIRE(place.ledger.settle({{records[0], &timetables[0]}}, at("2026-01-01 10:05")).size() == 1);
  if (by_hand) {
    REQUIRE_FALSE(place.ledger.claim(place.pipeline, "2026-01-01 10:30", at("2026-01-01 10:30")).claimed);
  } else {
    REQUIRE(place.ledger.settle({{records[1], &timetables[1]}}, at("2026-01-01 10:30")).empty());
  }
  const auto slots =
      db::list_slots(place.database.connection(), {.schedule = records[1].id, .since = {}, .outcome = {}});
  REQUIRE(slots.size() == 3);
  for (const SlotRecord& slot : slots) {
    REQUIRE(slot.outcome == SlotOutcome::skipped);
    REQUIRE(slot.reason.find("is about to begin") != std::string::npos);
    REQUIRE_FALSE(slot.run_id.empty());
  }
}

TEST_CASE("a newer slot takes the place of those that wait and that it would end") {
  Place place;
  place.set("{cron: '0 * * * *', timezone: UTC, overlap: replace}");
  const Entry entry = place.entry(at("2026-01-01 09:30"));
  const auto older = place.ledger.settle({entry}, at("2026-01-01 10:00"));
  const auto newer = place.ledger.settle({entry}, at("2026-01-01 11:00"));
  REQUIRE(newer.size() == 1);
  REQUIRE(place.slots() == "01-01T10:00 skipped; 01-01T11:00 claimed; ");
  REQUIRE_FALSE(place.ledger.take_over(older.at(0).claim.fence, at("2026-01-01 11:00")));
}

TEST_CASE("what the dead have claimed leaves room, and what is made up for needs none") {
  Place place;
  place.set(
      "[{every: 1s, timezone: UTC, overlap: allow}, {every: 1s, timezone: UTC, name: second, catchup: all, "
      "overlap: queue}]");
  const auto timetables = schedule::timetables(place.pipeline, place.zones);
  const auto records = place.ledger.adopt(place.pipeline, timetables, at("2026-01-01 10:00:00"));
  for (int i = 1; i <= 100; ++i)
    place.ledger.settle({{records[0], &timetables[0]}}, at("2026-01-01 10:00:00") + seconds(i));
  REQUIRE(place.ledger.settle({{records[1], &timetables[1]}}, at("2026-01-01 10:05:00")).size() == 100);
  place.kill_claimers();
  REQUIRE(place.ledger.settle({{records[0], &timetables[0]}}, at("2026-01-01 10:05:00")).size() == 1);
}

TEST_CASE("a slot whose process died is not in its own way") {
  Place place;
  place.set("{cron: '0 * * * *', timezone: UTC}");
  const Entry entry = place.entry(at("2026-01-01 09:30"));
  const auto claims = place.ledger.settle({entry}, at("2026-01-01 10:00"));
  const Wish wish{"", "p", 1, false};
  REQUIRE(place.ledger.let_go(claims.at(0).claim.fence, wish, {}).granted);
  REQUIRE(place.ledger.take_over(claims[0].claim.fence, at("2026-01-01 10:00:02")));
  REQUIRE(place.ledger.let_go(claims[0].claim.fence, wish, {}).granted);
}

TEST_CASE("what waits is superseded when its pipeline is not served any more") {
  Place place;
  place.set("{cron: '0 * * * *', timezone: UTC, overlap: queue}");
  const Entry entry = place.entry(at("2026-01-01 09:30"));
  const auto claims = place.ledger.settle({entry}, at("2026-01-01 10:00"));
  place.ledger.serve(entry.record, false);
  REQUIRE(place.slots() == "01-01T10:00 superseded; ");
  REQUIRE_FALSE(place.ledger.take_over(claims.at(0).claim.fence, at("2026-01-01 10:00:02")));
}

TEST_CASE("what a dead process has claimed is missed when its pipeline is not served any more") {
  Place place;
  place.set("[{cron: '0 * * * *', timezone: UTC}, {cron: '30 * * * *', timezone: UTC, name: half, overlap: allow}]");
  const auto timetables = schedule::timetables(place.pipeline, place.zones);
  const auto records = place.ledger.adopt(place.pipeline, timetables, at("2026-01-01 09:15"));
  REQUIRE(place.ledger.settle({{records[0], &timetables[0]}}, at("2026-01-01 10:00")).size() == 1);
  REQUIRE(place.ledger.settle({{records[1], &timetables[1]}}, at("2026-01-01 09:30")).size() == 1);
  place.kill_claimers();
  place.ledger.serve(records[0], false);
  REQUIRE(place.slots().find("01-01T10:00 missed; ") != std::string::npos);
  place.set("{cron: '0 * * * *', timezone: UTC}");
  place.entry(at("2026-01-01 10:01"));
  REQUIRE(place.slots().find("01-01T09:30 missed; ") != std::string::npos);
  REQUIRE(place.slots().find("claimed") == std::string::npos);
}

TEST_CASE("a pause holds what waits, and keeps its note") {
  Place place;
  place.set("{cron: '0 * * * *', timezone: UTC, overlap: queue}");
  const Entry entry = place.entry(at("2026-01-01 09:30"));
  const auto claims = place.ledger.settle({entry}, at("2026-01-01 10:00"));
  place.ledger.pause(entry.record, entry.timetable, "the source moves", at("2026-01-01 10:01"));
  place.ledger.pause(entry.record, entry.timetable, "", at("2026-01-01 10:02"));
  REQUIRE(place.slots() == "01-01T10:00 paused; ");
  REQUIRE(place.ledger.find_claim(claims.at(0).claim.fence)->reason.starts_with("paused: the source moves"));
  REQUIRE_FALSE(place.ledger.take_over(claims[0].claim.fence, at("2026-01-01 10:02")));
  REQUIRE(db::find_schedule(place.database.connection(), entry.record.id)->pause_note == "the source moves");
}

TEST_CASE("of an entry that overlaps a hundred slots may wait") {
  Place place;
  place.set("{every: 1s, timezone: UTC, overlap: allow}");
  const Entry entry = place.entry(at("2026-01-01 10:00:00"));
  for (int i = 1; i <= 100; ++i)
    REQUIRE(place.ledger.settle({entry}, at("2026-01-01 10:00:00") + seconds(i)).size() == 1);
  REQUIRE(place.ledger.settle({entry}, at("2026-01-01 10:01:41")).empty());
  const auto skipped = db::list_slots(place.database.connection(),
                                      {.schedule = {}, .since = {}, .outcome = SlotOutcome::skipped});
  REQUIRE(skipped.size() == 1);
  REQUIRE(skipped[0].reason == "the queue is full: 100 slots wait");
}

TEST_CASE("an edit that nobody saw counts from when the file was written") {
  Place place;
  const sys_seconds written = std::chrono::floor<std::chrono::seconds>(util::now());
  const sys_seconds hour = std::chrono::floor<std::chrono::hours>(written);
  const auto begun = [&] { return place.entry(hour - std::chrono::minutes(30)); };
  REQUIRE(place.ledger.settle({begun()}, hour - std::chrono::minutes(20)).empty());
  // Since then nobody looked, for five hours.
  util::write_file(place.pipeline.file, "");
  place.set("{cron: '0 */2 * * *', timezone: UTC}");
  const sys_seconds now = hour + std::chrono::hours(5);
  const Entry after = place.entry(now);
  REQUIRE(after.record.since >= written);
  REQUIRE(after.record.since < written + std::chrono::minutes(5));
  auto slots = db::list_slots(place.database.connection(), {.schedule = {}, .since = {}, .outcome = {}});
  REQUIRE(slots.size() == 1);  // none of the old times after it
  REQUIRE(slots[0].at == hour);
  REQUIRE(slots[0].outcome == SlotOutcome::superseded);
  REQUIRE(place.ledger.settle({after}, now).size() == 1);  // and those of the new ones are made up for
  // Who knows that it was as before until now makes no slots of the past.
  place.set("{cron: '1 */2 * * *', timezone: UTC}");
  const auto timetables = schedule::timetables(place.pipeline, place.zones);
  REQUIRE(place.ledger.adopt(place.pipeline, timetables, now, {}, now).at(0).since == now);
}

TEST_CASE("claims that this process made and does not know of are claimed again") {
  Place place;
  const Entry entry = place.entry(at("2026-01-01 09:30"));
  const auto claims = place.ledger.settle({entry}, at("2026-01-01 10:00"));
  REQUIRE_FALSE(place.ledger.has_dead_claims(Fences{claims[0].claim.fence}));
  REQUIRE(place.ledger.recover({entry}, at("2026-01-01 10:00:10"), Fences{claims[0].claim.fence}).empty());
  REQUIRE(place.ledger.has_dead_claims(Fences{}));
  const auto again = place.ledger.recover({entry}, at("2026-01-01 10:00:10"), Fences{});
  REQUIRE(again.size() == 1);
  REQUIRE(again[0].claim.fence > claims[0].claim.fence);
}

TEST_CASE("claims of a daemon that died are claimed again by the next") {
  Place place;
  const Entry entry = place.entry(at("2026-01-01 09:30"));
  const auto claims = place.ledger.settle({entry}, at("2026-01-01 10:00"));
  REQUIRE(place.ledger.recover({entry}, at("2026-01-01 10:00:10")).empty());  // it lives
  place.kill_claimers();
  const auto again = place.ledger.recover({entry}, at("2026-01-01 10:00:10"));
  REQUIRE(again.size() == 1);
  REQUIRE(again[0].claim.fence > claims[0].claim.fence);
  REQUIRE_FALSE(place.ledger.take_over(claims[0].claim.fence, at("2026-01-01 10:00:11")));
  REQUIRE(place.ledger.take_over(again[0].claim.fence, at("2026-01-01 10:00:11")));
  place.ledger.reject(again[0].claim.fence, "exit code 2");
  REQUIRE(place.slots() == "01-01T10:00 rejected; ");
}

TEST_CASE("of claims that died the last one runs, and no slot after a later one") {
  Place place;
  place.set("{every: 10s, timezone: UTC, overlap: replace}");
  const Entry entry = place.entry(at("2026-01-01 10:00"));
  for (const char* time : {"2026-01-01 10:00:10", "2026-01-01 10:00:20", "2026-01-01 10:00:30"})
    REQUIRE(place.ledger.settle({entry}, at(time)).size() == 1);
  place.kill_claimers();
  const auto again = place.ledger.recover({entry}, at("2026-01-01 10:00:31"));
  REQUIRE(again.size() == 1);
  REQUIRE(again[0].local == "2026-01-01T10:00:30+00:00");
  place.kill_claimers();
  place.run(place.ledger.settle({entry}, at("2026-01-01 10:00:40")).at(0));
  REQUIRE(place.ledger.recover({entry}, at("2026-01-01 10:00:41")).empty());
}

TEST_CASE(
    "what waits in a queue waits on when its daemon has died, and has its turn before what is due now") {
  for (const char* catchup : {"last", "none", "all"}) {
    INFO(catchup);
    Place place;
    place.set("{every: 10s, timezone: UTC, overlap: queue, catchup: " + std::string(catchup) + "}");
    const Entry entry = place.entry(at("2026-01-01 10:00"));
    for (const char* time : {"2026-01-01 10:00:10", "2026-01-01 10:00:20", "2026-01-01 10:00:30"})
      REQUIRE(place.ledger.settle({entry}, at(time)).size() == 1);
    for (const char* time : {"2026-01-01 10:00:41", "2026-01-01 12:00:01"}) {  // also a second time, and late
      place.kill_claimers();
      const auto again = place.ledger.recover({entry}, at(time));
      REQUIRE(again.size() == 3);
      for (std::size_t i = 0; i < 3; ++i) {
        REQUIRE(again[i].local == "2026-01-01T10:00:" + std::to_string(i + 1) + "0+00:00");
        REQUIRE(again[i].overlap == Overlap::queue);
        REQUIRE((i == 0 || again[i].claim.fence > again[i - 1].claim.fence));
      }
    }
    place.run(place.ledger.settle({entry}, at("2026-01-01 12:00:01")).back());
    place.kill_claimers();
    REQUIRE(place.ledger.recover({entry}, at("2026-01-01 12:00:02")).size() >= 3);  // though a later one ran
  }
}

TEST_CASE("what waits in a queue is missed when it could not start in time, or its times were edited") {
  Place place;
  place.set("{every: 10s, timezone: UTC, overlap: queue, start_within: 15s}");
  Entry entry = place.entry(at("2026-01-01 10:00"));
  for (const char* time : {"2026-01-01 10:00:10", "2026-01-01 10:00:20"})
    REQUIRE(place.ledger.settle({entry}, at(time)).size() == 1);
  place.kill_claimers();
  REQUIRE(place.ledger.recover({entry}, at("2026-01-01 10:00:30")).size() == 1);
  REQUIRE(place.slots() == "01-01T10:00 missed; 01-01T10:00 claimed; ");
  place.set("{every: 17s, timezone: UTC, overlap: queue}");
  entry = place.entry(at("2026-01-01 10:30"));
  place.kill_claimers();
  REQUIRE(place.ledger.recover({entry}, at("2026-01-01 10:30")).empty());
}

TEST_CASE("of several entries each has its turn") {
  Place place;
  place.set(
      "[{cron: '0 * * * *', timezone: UTC}, {cron: '0 * * * *', timezone: UTC, name: second, overlap: "
      "allow}, {cron: '30 9 * * *', timezone: UTC, name: third, overlap: allow}]");
  const Answer first = place.claim("2026-01-01 10:00:05");
  place.run(*first.claimed);
  const Answer second = place.claim("2026-01-01 10:00:06");
  REQUIRE(second.claimed);
  REQUIRE(second.claimed->schedule != first.claimed->schedule);
  REQUIRE(second.local == first.local);
  place.run(*second.claimed);
  // The third was due before anybody knew of it.
  REQUIRE(place.claim("2026-01-01 10:00:08").refusal.find("had it; it was deleted") != std::string::npos);
  place.run(*place.claim("2026-01-02 10:00:05").claimed);
  place.run(*place.claim("2026-01-02 10:00:06").claimed);
  const Answer third = place.claim("2026-01-02 10:00:07");
  REQUIRE(third.claimed);
  REQUIRE(third.local == "2026-01-02T09:30:00+00:00");
  place.run(*third.claimed);
  REQUIRE(place.claim("2026-01-02 10:00:08").refusal.find("had it; it was deleted") != std::string::npos);
}

TEST_CASE("jitter neither opens slots of the past nor forgets what was decided") {
  Place place;
  place.set("{cron: '*/5 * * * *', timezone: UTC, jitter: 1h, catchup: all}");
  const Entry entry = place.entry(at("2026-01-01 10:31"));
  REQUIRE(place.ledger.settle({entry}, at("2026-01-01 10:31:10")).empty());
  REQUIRE(place.slots().empty());
  const sys_seconds first = at("2026-01-01 10:35") + entry.timetable->delay;
  REQUIRE(place.ledger.settle({entry}, first - seconds(1)).empty());
  REQUIRE(place.ledger.settle({entry}, first).size() == 1);
  REQUIRE(place.slots() == "01-01T10:35 claimed; ");
  // A policy of before keeps what was decided.
  place.set("{cron: '*/5 * * * *', timezone: UTC}");
  place.kill_claimers();
  REQUIRE(place.ledger.settle({place.entry(first)}, first).empty() == (entry.timetable->delay < minutes(5)));
}

TEST_CASE("what is made up for has its turn, oldest first over all entries") {
  Place place;
  place.set(
      "[{cron: '0 * * * *', timezone: UTC, catchup: all, overlap: replace}, {cron: '30 * * * *', timezone: "
      "UTC, name: half, catchup: all}]");
  const auto timetables = schedule::timetables(place.pipeline, place.zones);
  const auto records = place.ledger.adopt(place.pipeline, timetables, at("2026-01-01 09:45"));
  const auto claims = place.ledger.settle({{records[0], &timetables[0]}, {records[1], &timetables[1]}},
                                          at("2026-01-01 12:00"));
  REQUIRE(claims.size() == 5);
  std::string order;
  for (const Claimed& claimed : claims) {
    REQUIRE(claimed.overlap == Overlap::queue);
    order += claimed.local.substr(11, 5) + " ";
  }
  REQUIRE(order == "10:00 10:30 11:00 11:30 12:00 ");
  REQUIRE(place.ledger.take_over(claims[0].claim.fence, at("2026-01-01 12:00:01"))->overlap ==
          Overlap::queue);
}

TEST_CASE("a slot of a row that stands for many can be asked for alone") {
  Place place;
  place.set("{every: 1s, timezone: UTC, catchup: none}");
  const Entry entry = place.entry(at("2026-01-01 10:00:00"));
  REQUIRE(place.ledger.settle({entry}, at("2026-01-01 11:00:00")).size() == 1);
  const auto count = [&] {
    std::int64_t slots = 0;
    for (const SlotRecord& slot : db::list_slots(place.database.connection(), {})) slots += slot.slots;
    return slots;
  };
  REQUIRE(count() == 3600);
  for (const char* time : {"2026-01-01T10:10:00Z", "2026-01-01T10:00:01Z", "2026-01-01T10:10:01Z"}) {
    place.kill_claimers();
    place.database.connection().execute("UPDATE slots SET outcome = 'ran' WHERE outcome = 'claimed'");
    REQUIRE(place.ledger.claim(place.pipeline, time, at("2026-01-01 11:00:01")).claimed);
    REQUIRE(count() == 3600);
  }
}

TEST_CASE("a dead claim is not recovered during a pause, nor when it is too late") {
  Place place;
  place.set("{cron: '0 * * * *', timezone: UTC, start_within: 5m}");
  const Entry entry = place.entry(at("2026-01-01 09:30"));
  REQUIRE(place.ledger.settle({entry}, at("2026-01-01 10:00")).size() == 1);
  place.kill_claimers();
  REQUIRE(place.ledger.recover({entry}, at("2026-01-01 10:06")).empty());
  REQUIRE(place.slots() == "01-01T10:00 missed; ");
  REQUIRE(place.ledger.settle({entry}, at("2026-01-01 11:00")).size() == 1);
  place.kill_claimers();
  place.ledger.pause(entry.record, entry.timetable, "", at("2026-01-01 11:01"));
  REQUIRE(place.ledger.recover({entry}, at("2026-01-01 11:02")).empty());
  REQUIRE(place.slots() == "01-01T10:00 missed; 01-01T11:00 paused; ");
}

TEST_CASE("an instant is one slot, whatever zone it is told in") {
  Place place;
  const Entry entry = place.entry(at("2026-01-01 09:30"));
  place.run(place.ledger.settle({entry}, at("2026-01-01 10:00")).at(0));
  place.set("{cron: '0 * * * *', timezone: Europe/Berlin}");
  const Entry berlin = place.entry(at("2026-01-01 10:01"));
  place.database.connection().execute("UPDATE schedules SET cursor = cursor - 600");
  REQUIRE(place.ledger.settle({berlin}, at("2026-01-01 10:02")).empty());
  REQUIRE(place.slots() == "01-01T10:00 ran; ");
}

TEST_CASE("a time that clocks skip is told when its slot is asked for") {
  Place place;
  place.set("{cron: '30 2 * * *', timezone: Europe/Berlin}");
  place.run(*place.claim("2026-03-28 12:00").claimed);
  place.run(*place.claim("2026-03-29 01:00").claimed);
  REQUIRE(place.slots() == "03-28T02:30 ran; 03-29 02:30 gap; 03-29T03:00 ran; ");
}

TEST_CASE("without catch-up the newest of the slots that are due runs, also when a daemon has died") {
  Place place;
  place.set("{every: 20s, timezone: UTC, catchup: none, overlap: allow}");
  const Entry entry = place.entry(at("2026-01-01 10:00:00"));
  const auto claims = place.ledger.settle({entry}, at("2026-01-01 10:00:50"));
  REQUIRE(claims.size() == 1);
  REQUIRE(claims[0].local == "2026-01-01T10:00:40+00:00");
  REQUIRE(place.ledger.settle({entry}, at("2026-01-01 10:01:00")).size() == 1);
  place.kill_claimers();
  const auto again = place.ledger.recover({entry}, at("2026-01-01 10:01:10"));
  REQUIRE(again.size() == 1);
  REQUIRE(again[0].local == "2026-01-01T10:01:00+00:00");
}

TEST_CASE("a slot that has to wait has to begin within its time, else it is missed") {
  Place place;
  place.set("{cron: '0 * * * *', timezone: UTC, start_within: 5m, overlap: queue}");
  const Entry entry = place.entry(at("2026-01-01 09:30"));
  const auto claims = place.ledger.settle({entry}, at("2026-01-01 10:00"));
  REQUIRE(claims.at(0).start_by == Instant(at("2026-01-01 10:05")));
  REQUIRE_FALSE(place.ledger.take_over(claims[0].claim.fence, at("2026-01-01 10:05:01")));
  const auto slot = place.ledger.find_claim(claims[0].claim.fence);
  REQUIRE(slot->outcome == SlotOutcome::missed);
  REQUIRE(slot->reason == "it had to wait, and `start_within` (5m00s) has passed");
  const auto next = place.ledger.settle({entry}, at("2026-01-01 11:00"));
  place.ledger.miss(next.at(0).claim.fence, at("2026-01-01 11:05:01"));
  REQUIRE(place.slots() == "01-01T10:00 missed; 01-01T11:00 missed; ");
  // What has begun is not missed.
  const auto third = place.ledger.settle({entry}, at("2026-01-01 12:00"));
  place.run(third.at(0));
  place.ledger.miss(third[0].claim.fence, at("2026-01-01 12:06"));
  REQUIRE(place.slots().ends_with("01-01T12:00 ran; "));
}

TEST_CASE("a time that clocks skip is on record as soon as somebody looks, whatever for") {
  Place place;
  place.set("{cron: '30 2 * * *', timezone: Europe/Berlin, dst: {gap: skip}}");
  place.run(*place.claim("2026-03-28 12:00").claimed);
  REQUIRE_FALSE(place.claim("2026-03-29 01:00").claimed);
  REQUIRE(place.slots() == "03-28T02:30 ran; 03-29 02:30 gap; ");
  REQUIRE_FALSE(place.claim("2026-03-29 02:00").claimed);
  const Entry entry = place.entry(at("2026-03-29 02:00"));
  REQUIRE(place.ledger.settle({entry}, at("2026-03-30 00:30")).size() == 1);
  REQUIRE(place.slots() == "03-28T02:30 ran; 03-29 02:30 gap; 03-30T02:30 claimed; ");
}
