// Who is told what, and when it is tried again.
#include "notify/policy.hpp"

#include "catch.hpp"

using namespace mlops;
using namespace mlops::notify;
using namespace std::chrono_literals;

namespace {

const Instant t0{std::chrono::milliseconds(1'800'000'000'000)};

RunRecord ended(RunState state, std::optional<int> code) {
  RunRecord run;
  run.state = state;
  run.exit_code = code;
  return run;
}

Notification on(std::vector<Occasion> occasions) {
  Notification entry;
  entry.on = std::move(occasions);
  return entry;
}

}  // namespace

TEST_CASE("ends of runs are failures, refusals and successes") {
  REQUIRE(end_of(ended(RunState::failed, 1)) == Occasion::failure);
  REQUIRE(end_of(ended(RunState::failed, 124)) == Occasion::failure);
  REQUIRE(end_of(ended(RunState::failed, 3)) == Occasion::refused);
  REQUIRE(end_of(ended(RunState::interrupted, std::nullopt)) == Occasion::failure);
  REQUIRE(end_of(ended(RunState::succeeded, 0)) == Occasion::success);
  REQUIRE_FALSE(end_of(ended(RunState::cancelled, 130)));
}

TEST_CASE("a recovery is the first success after what an entry tells of") {
  const auto usual = on({Occasion::failure, Occasion::recovery});
  const auto all = on({Occasion::failure, Occasion::recovery, Occasion::refused, Occasion::success});
  std::optional<TroubleRecord> trouble;
  REQUIRE_FALSE(told_of(usual, Occasion::success, trouble));
  REQUIRE(told_of(all, Occasion::success, trouble) == Occasion::success);
  trouble = trouble_after(Occasion::refused, trouble, t0);
  REQUIRE_FALSE(told_of(usual, Occasion::refused, std::nullopt));
  REQUIRE(told_of(all, Occasion::refused, std::nullopt) == Occasion::refused);
  REQUIRE_FALSE(told_of(usual, Occasion::success, trouble));  // it never heard of the refusal
  REQUIRE(told_of(all, Occasion::success, trouble) == Occasion::recovery);
  trouble = trouble_after(Occasion::failure, trouble, t0 + 1h);
  REQUIRE(trouble->failures == 1);
  REQUIRE(trouble->refusals == 1);
  REQUIRE(trouble->since == t0);
  REQUIRE(told_of(usual, Occasion::success, trouble) == Occasion::recovery);
  REQUIRE(told_of(on({Occasion::success}), Occasion::success, trouble) == Occasion::success);
  REQUIRE_FALSE(trouble_after(Occasion::success, trouble, t0));
}

TEST_CASE("one message for each occasion in so long a time") {
  REQUIRE_FALSE(too_soon({}, 1h, t0));
  REQUIRE(too_soon({t0, 0}, 1h, t0 + 59min));
  REQUIRE_FALSE(too_soon({t0, 0}, 1h, t0 + 1h));
  REQUIRE_FALSE(too_soon({t0, 0}, 0ms, t0));
  REQUIRE_FALSE(too_soon({t0, 0}, 1h, t0 - 1min));  // the clock was set back
}

TEST_CASE("what an answer means") {
  using Kind = Outcome::Kind;
  for (const int status : {200, 202, 204}) REQUIRE(outcome_of_status(status, "", t0).kind == Kind::sent);
  for (const int status : {301, 302, 400, 401, 403, 404, 410, 422})
    REQUIRE(outcome_of_status(status, "", t0).kind == Kind::refused);
  for (const int status : {408, 425, 429, 500, 502, 503, 504})
    REQUIRE(outcome_of_status(status, "", t0).kind == Kind::again);
  REQUIRE(outcome_of_status(429, "120", t0).after == 120s);
  REQUIRE(outcome_of_status(503, " 0 ", t0).after == 1s);
  REQUIRE(outcome_of_status(503, "999999999", t0).after == 6h);
  REQUIRE(outcome_of_status(503, "Fri, 15 Jan 2027 08:01:00 GMT", t0).after == 60s);
  REQUIRE_FALSE(outcome_of_status(503, "soon", t0).after);
  REQUIRE_FALSE(outcome_of_status(503, "", t0).after);
}

TEST_CASE("attempts are farther and farther apart, and end after a day") {
  MessageRecord message;
  message.id = "01m8n0jmyaf2zjqh";
  message.created_at = t0;
  const Outcome again{Outcome::Kind::again, "HTTP 503", {}};
  Instant now = t0;
  std::vector<std::int64_t> gaps;
  while (message.state == MessageState::waiting && gaps.size() < 100) {
    ++message.attempts;
    settle(message, again, now);
    if (message.state != MessageState::waiting) break;
    gaps.push_back((message.next_at - now).count());
    now = message.next_at;
  }
  REQUIRE(gaps.front() >= 30'000);
  REQUIRE(gaps.front() <= 36'000);
  for (std::size_t i = 1; i < gaps.size(); ++i) {
    REQUIRE(gaps[i] <= 3'600'000 * 12 / 10);
    if (i < 6) REQUIRE(gaps[i] > gaps[i - 1]);
  }
  REQUIRE(message.state == MessageState::failed);
  REQUIRE(now - t0 >= 24h);
  REQUIRE(now - t0 < 26h);
  REQUIRE(message.error.starts_with("given up after a day, in which it was tried"));
  REQUIRE(message.ended_at == now);

  MessageRecord other;
  other.created_at = t0;
  other.attempts = 1;
  settle(other, {Outcome::Kind::again, "HTTP 429", 7s}, t0);
  REQUIRE(other.next_at == t0 + 7s);
  settle(other, {Outcome::Kind::refused, "HTTP 404", {}}, t0 + 7s);
  REQUIRE(other.state == MessageState::failed);
  settle(other, {}, t0 + 8s);
  REQUIRE(other.state == MessageState::sent);
  REQUIRE(other.error.empty());
  other.state = MessageState::waiting;
  other.error = sender_died;
  settle(other, {Outcome::Kind::again, "HTTP 503", {}}, t0 + 9s);
  settle(other, {}, t0 + 10s);
  REQUIRE(other.error == sender_died);
}
