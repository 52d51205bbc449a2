#include "notify/policy.hpp"

#include <mlops/error.hpp>

#include "util/strings.hpp"

#include <algorithm>
#include <charconv>
#include <ctime>
#include <functional>

namespace mlops::notify {

using std::chrono::seconds;

namespace {

constexpr seconds first_delay{30}, longest_delay{3600}, longest_wish{6 * 3600};

std::optional<seconds> wish_of(std::string_view retry_after, Instant now) {
  const std::string text(util::trim(retry_after));
  if (text.empty()) return std::nullopt;
  std::int64_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc() || end != text.data() + text.size()) {
    std::tm date{};
    const char* rest = ::strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &date);
    if (!rest || *rest) return std::nullopt;
    count = ::timegm(&date) - std::chrono::floor<seconds>(now).time_since_epoch().count();
  }
  return std::clamp(seconds(count), seconds(1), longest_wish);
}

bool tells(const Notification& entry, Occasion occasion) {
  return std::ranges::find(entry.on, occasion) != entry.on.end();
}

}  // namespace

std::optional<Occasion> end_of(const RunRecord& run) {
  switch (run.state) {
    case RunState::succeeded: return Occasion::success;
    case RunState::failed:
      return run.exit_code == static_cast<int>(ExitCode::gate_refused) ? Occasion::refused
                                                                       : Occasion::failure;
    case RunState::interrupted: return Occasion::failure;
    case RunState::running:
    case RunState::cancelled: break;
  }
  return std::nullopt;
}

std::optional<TroubleRecord> trouble_after(Occasion end, const std::optional<TroubleRecord>& before,
                                           Instant now) {
  if (end == Occasion::success) return std::nullopt;
  TroubleRecord trouble = before.value_or(TroubleRecord{now, 0, 0});
  ++(end == Occasion::refused ? trouble.refusals : trouble.failures);
  return trouble;
}

std::optional<Occasion> told_of(const Notification& entry, Occasion end,
                                const std::optional<TroubleRecord>& before) {
  if (end == Occasion::success && tells(entry, Occasion::recovery) && before) {
    const bool refused = before->refusals > 0 && tells(entry, Occasion::refused);
    if (before->failures > 0 || refused) return Occasion::recovery;
  }
  return tells(entry, end) ? std::optional(end) : std::nullopt;
}

bool too_soon(const db::Told& told, std::chrono::milliseconds every, Instant now) {
  return every.count() > 0 && told.last && *told.last <= now && now - *told.last < every;
}

Outcome outcome_of_status(int status, std::string_view retry_after, Instant now) {
  const std::string words = "HTTP " + std::to_string(status);
  if (status >= 200 && status < 300) return {Outcome::Kind::sent, {}, {}};
  if (status >= 300 && status < 400)
    return {Outcome::Kind::refused, words + ": it leads elsewhere, which is not followed", {}};
  const bool later = status >= 500 || status == 408 || status == 425 || status == 429;
  if (!later) return {Outcome::Kind::refused, words, {}};
  return {Outcome::Kind::again, words, wish_of(retry_after, now)};
}

Instant next_try(const MessageRecord& message, const Outcome& outcome, Instant now) {
  if (outcome.after) return now + *outcome.after;
  const int doublings = std::clamp(message.attempts - 1, 0, 10);
  const auto delay = std::min(first_delay * (1 << doublings), longest_delay);
  const auto spread = std::hash<std::string>()(message.id + std::to_string(message.attempts)) % 200;
  return now + delay + delay * static_cast<std::int64_t>(spread) / 1000;
}

void settle(MessageRecord& message, const Outcome& outcome, Instant now) {
  const bool twice = message.error.starts_with(sender_died);
  message.error =
      (twice ? sender_died : "") + std::string(twice && !outcome.words.empty() ? "; " : "") + outcome.words;
  message.ended_at = now;
  if (outcome.kind == Outcome::Kind::sent) {
    message.state = MessageState::sent;
  } else if (outcome.kind == Outcome::Kind::refused) {
    message.state = MessageState::failed;
  } else if (now - message.created_at >= patience) {
    message.state = MessageState::failed;
    message.error = "given up after a day, in which it was tried " + std::to_string(message.attempts) +
                    " times: " + message.error;
  } else {
    message.next_at = next_try(message, outcome, now);
    message.ended_at.reset();
  }
}

}  // namespace mlops::notify
