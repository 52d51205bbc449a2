// Cron expressions: the five fields, names, steps, macros and the rule of two day fields as cronie has them
// (crontab(5), src/entry.c of cronie 1.6), and beyond them L, W, #, ? and H. They speak of local time;
// fires.hpp makes instants of them.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mlops::calendar {

using std::chrono::local_days;
using std::chrono::local_seconds;

/// How the two fields of days go together.
enum class Days { as_cron, both, either };

struct Cron {
  std::uint64_t minutes = 0;     ///< bit m
  std::uint32_t hours = 0;       ///< bit h
  std::uint32_t month_days = 0;  ///< bits 1..31
  std::uint32_t near_days = 0;   ///< 15W: the weekday nearest to the 15th, in the same month
  bool last_day = false;         ///< L
  bool last_weekday = false;     ///< LW
  std::uint16_t months = 0;      ///< bits 1..12
  std::uint8_t weekdays = 0;     ///< bits 0..6, 0 is Sunday
  /// FRI#2: bit 2 of [5]; FRI#L or 5L, the last of the month: bit 0 of it.
  std::array<std::uint8_t, 7> nth_weekdays{};
  /// The field begins with `*`: cronie's rule for days, and for what a change of clocks does, asks for that.
  bool minute_star = false, hour_star = false, day_star = false, weekday_star = false;
  Days days = Days::as_cron;
  bool at_boot = false;  ///< @reboot: no time at all

  /// Runs whenever clocks show its time, and not at a fixed time of the day: its minute or hour begins with
  /// `*`.
  bool is_wildcard() const { return minute_star || hour_star; }
  bool matches(local_days day) const;
  /// The first minute after `local` that matches; none until the end of calendar::last_year.
  std::optional<local_seconds> next(local_seconds local) const;
  bool operator==(const Cron&) const = default;
};

/// What is wrong with an expression, and where in it.
struct CronProblem {
  std::size_t at = 0;
  std::string message;
  std::string hint;
};

/// `seed` settles H and ~: the same seed always gives the same times. On failure `problem` says why.
std::optional<Cron> parse_cron(std::string_view text, std::string_view seed, CronProblem& problem);

/// Expressions that are valid and seldom meant: two day fields, steps that do not divide, days that never
/// come.
std::vector<CronProblem> doubts_about(std::string_view text, const Cron& cron);

/// "at 03:00, on Monday to Friday".
std::string in_words(const Cron& cron);

/// The words of an expression, as parts of `text`.
std::vector<std::string_view> fields_of(std::string_view text);

}  // namespace mlops::calendar
