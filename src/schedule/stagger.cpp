#include "schedule/stagger.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <map>
#include <optional>
#include <tuple>

namespace mlops::schedule {

using std::chrono::floor;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

namespace {

// A grid of minutes, as long as this at most.
constexpr std::chrono::days longest{14};
constexpr int most_rounds = 3;

/// What is tried out: by how many minutes an entry moves, and which minutes its runs take up.
struct Mover {
  std::size_t subject = 0;
  int shifts = 0;  // 0 … shifts - 1 are different
  int shift = 0;   // that was chosen
  std::vector<sys_seconds> fires;
  seconds length{60};
};

constexpr std::uint64_t hour_mask = (std::uint64_t{1} << 60) - 1;

std::uint64_t turned(std::uint64_t minutes_of_hour, int by) {
  return ((minutes_of_hour << by) | (minutes_of_hour >> (60 - by))) & hour_mask;
}

// The five fields of a cron line, where its minutes can be written anew.
std::optional<std::string> other_fields(const std::string& cron) {
  static const std::map<std::string, std::string> macros = {
      {"@hourly", "0 * * * *"},  {"@daily", "0 0 * * *"},   {"@midnight", "0 0 * * *"},
      {"@weekly", "0 0 * * 0"},  {"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"},
      {"@annually", "0 0 1 1 *"}};
  const auto macro = macros.find(cron);
  const std::string& text = macro == macros.end() ? cron : macro->second;
  const std::vector<std::string_view> fields = calendar::fields_of(text);
  if (fields.size() != 5 || fields[0].find_first_of("H~") != fields[0].npos) return std::nullopt;
  return text.substr(static_cast<std::size_t>(fields[1].data() - text.data()));
}

std::string minutes_text(std::uint64_t bits) {
  const int count = std::popcount(bits), first = std::countr_zero(bits);
  const int step = count > 0 ? 60 / count : 60;
  if (count > 2 && 60 % count == 0 && turned(bits, step % 60) == bits)
    return (first == 0 ? "*" : std::to_string(first) + "-59") + "/" + std::to_string(step);
  std::string text;
  for (int minute = first; minute < 60; ++minute) {
    if ((bits >> minute & 1) != 0) text += (text.empty() ? "" : ",") + std::to_string(minute);
  }
  return text;
}

// How many different shifts an entry has; 1: it stays.
int shifts_of(const Timetable& timetable) {
  if (!timetable.entry.deadline.empty()) return 1;
  if (const auto* every = std::get_if<calendar::Every>(&timetable.rule.what))
    return static_cast<int>(std::clamp<std::int64_t>(every->period / minutes(1), 1, 60));
  const auto* cron = std::get_if<calendar::Cron>(&timetable.rule.what);
  if (!cron || !other_fields(timetable.entry.cron)) return 1;
  // Written otherwise it would be a fixed time of day, which changes of clocks treat otherwise.
  if (cron->minute_star && !cron->hour_star) return 1;
  for (int by = 1; by < 60; ++by) {
    if (turned(cron->minutes, by) == cron->minutes) return by;
  }
  return 60;
}

sys_seconds shifted(const Timetable& timetable, sys_seconds fire, int by) {
  if (!std::holds_alternative<calendar::Cron>(timetable.rule.what)) return fire + minutes(by);
  const calendar::local_seconds local = timetable.rule.zone->to_local(fire);
  const int minute = static_cast<int>((local - floor<hours>(local)) / minutes(1));
  return fire + minutes((minute + by) % 60 - minute);
}

/// How many runs take up each minute of the window.
class Grid {
 public:
  explicit Grid(const Window& window) : from_(floor<minutes>(window.from)) {
    const sys_seconds to = std::min(window.to, window.from + longest);
    load_.assign(static_cast<std::size_t>((to - from_) / minutes(1)) + 1, 0);
  }

  void add(const Mover& mover, const Timetable& timetable, int sign) {
    each(mover, timetable, mover.shift, [&](std::size_t minute) { load_[minute] += sign; });
  }
  /// The most that the entry would meet, and all of it, without its own runs.
  std::pair<int, std::int64_t> meets(const Mover& mover, const Timetable& timetable, int shift) const {
    std::pair<int, std::int64_t> met{0, 0};
    each(mover, timetable, shift, [&](std::size_t minute) {
      met.first = std::max(met.first, load_[minute]);
      met.second += load_[minute];
    });
    return met;
  }
  int peak() const { return load_.empty() ? 0 : *std::ranges::max_element(load_); }

 private:
  template <typename Visit>
  void each(const Mover& mover, const Timetable& timetable, int shift, const Visit& visit) const {
    for (const sys_seconds fire : mover.fires) {
      const sys_seconds begin = shifted(timetable, fire, shift) + timetable.delay;
      const auto first = (begin - from_) / minutes(1),
                 last = (begin + mover.length - seconds(1) - from_) / minutes(1);
      for (auto minute = std::max<std::int64_t>(first, 0);
           minute <= last && minute < static_cast<std::int64_t>(load_.size()); ++minute)
        visit(static_cast<std::size_t>(minute));
    }
  }

  std::chrono::sys_time<minutes> from_;
  std::vector<int> load_;
};

std::vector<Mover> movers_of(const std::vector<Subject>& subjects, const Forecast& forecast) {
  std::vector<Mover> movers(subjects.size());
  for (std::size_t i = 0; i < subjects.size(); ++i) {
    movers[i].subject = i;
    movers[i].shifts = shifts_of(subjects[i].timetable);
    if (subjects[i].usual)
      movers[i].length = std::max(seconds(1), std::chrono::ceil<seconds>(subjects[i].usual->median));
  }
  for (const Fire& fire : forecast.fires) {
    if (fire.outcome != Fire::Outcome::gap) movers[fire.subject].fires.push_back(fire.at);
  }
  return movers;
}

// Each entry, those with most to do first, goes where it meets least; then back, if that costs nothing.
void choose(const std::vector<Subject>& subjects, std::vector<Mover>& movers, Grid& grid) {
  const auto timetable = [&](const Mover& mover) -> const Timetable& {
    return subjects[mover.subject].timetable;
  };
  std::vector<Mover*> order;
  for (Mover& mover : movers) order.push_back(&mover);
  std::ranges::stable_sort(order, std::ranges::greater{}, [](const Mover* mover) {
    return static_cast<std::int64_t>(mover->fires.size()) * mover->length.count();
  });
  bool moved = true;
  for (int round = 0; round < most_rounds && moved; ++round) {
    moved = false;
    for (Mover* mover : order) {
      if (mover->shifts < 2 || mover->fires.empty()) continue;
      grid.add(*mover, timetable(*mover), -1);
      const auto now = grid.meets(*mover, timetable(*mover), mover->shift);
      auto best = std::tuple(now.first, now.second, mover->shift);
      for (int shift = 0; shift < mover->shifts; ++shift) {
        const auto met = grid.meets(*mover, timetable(*mover), shift);
        if (met.first < now.first) best = std::min(best, std::tuple(met.first, met.second, shift));
      }
      moved = moved || std::get<2>(best) != mover->shift;
      mover->shift = std::get<2>(best);
      grid.add(*mover, timetable(*mover), 1);
    }
  }
  const int reached = grid.peak();
  for (auto it = order.rbegin(); it != order.rend(); ++it) {
    Mover& mover = **it;
    if (mover.shift == 0) continue;
    grid.add(mover, timetable(mover), -1);
    if (grid.meets(mover, timetable(mover), 0).first + 1 <= reached) mover.shift = 0;
    grid.add(mover, timetable(mover), 1);
  }
}

// Changes the timetable, and says what to write for that.
Move moved(Subject& subject, std::size_t index, int shift) {
  Timetable& timetable = subject.timetable;
  Move move{index, "cron", timetable.entry.cron, ""};
  if (auto* every = std::get_if<calendar::Every>(&timetable.rule.what)) {
    move.key = "start";
    move.from = timetable.entry.start;
    // Counted from 1970, a start of long ago says the same.
    const sys_seconds anchor =
        move.from.empty() ? sys_seconds(floor<std::chrono::days>(every->anchor)) : every->anchor;
    every->anchor = anchor + minutes(shift);
    move.to = timetable.text(every->anchor);
    if (timetable.rule.start) timetable.rule.start = every->anchor;
    return move;
  }
  auto& cron = std::get<calendar::Cron>(timetable.rule.what);
  cron.minutes = turned(cron.minutes, shift);
  move.to = minutes_text(cron.minutes) + " " + other_fields(timetable.entry.cron).value_or("");
  return move;
}

}  // namespace

Staggering stagger(const std::vector<Subject>& subjects, const Forecast& forecast, const Window& window) {
  Staggering result;
  result.before = result.after = forecast.peak;
  if (forecast.peak < 2 || forecast.cut) return result;
  std::vector<Mover> movers = movers_of(subjects, forecast);
  Grid grid(window);
  for (const Mover& mover : movers) grid.add(mover, subjects[mover.subject].timetable, 1);
  choose(subjects, movers, grid);
  std::vector<Subject> after = subjects;
  std::vector<Move> moves;
  for (const Mover& mover : movers) {
    if (mover.shift != 0) moves.push_back(moved(after[mover.subject], mover.subject, mover.shift));
  }
  if (moves.empty()) return result;
  const std::size_t peak = look_ahead(after, window, forecast.peak).peak;
  if (peak >= forecast.peak) return result;
  result.after = peak;
  result.moves = std::move(moves);
  return result;
}

}  // namespace mlops::schedule
