// What an entry promises, and whether that will be kept: `deadline`, a time of day by which the run of the
// slot before it has ended well, and `fresh_within`, the age that the last success never passes. Functions of
// what is known and of the time, so that a warning can come before the miss.
#pragma once

#include "schedule/timetable.hpp"
#include "schedule/usual.hpp"

#include <optional>
#include <string>
#include <vector>

namespace mlops::schedule {

/// A deadline, and the slot that it is for.
struct Due {
  sys_seconds slot{}, by{};
};
/// The last deadline that has passed and the next one, those that have a slot after `since`.
std::vector<Due> deadlines_around(const Timetable& timetable, sys_seconds since, sys_seconds now);

/// What there is that may keep a promise.
struct Progress {
  std::optional<sys_seconds> done;   ///< when a run ended well that keeps it
  std::optional<sys_seconds> begun;  ///< a run that may keep it goes on since then
  std::string run_id;                ///< that run
  std::optional<Rest> rest;          ///< of that run, if it can be told
  bool open = false;                 ///< the slot is still to come, or its run about to begin
  std::string trouble;               ///< what became of the slot instead: "run 01… failed"
};

struct Standing {
  enum class Kind { deadline, fresh_within };
  enum class State { kept, at_risk, missed };  ///< `kept`: or nothing says that it will not be
  Kind kind = Kind::deadline;
  State state = State::kept;
  sys_seconds due{};                 ///< by when: names it, among those of its kind
  std::chrono::seconds by{0};        ///< how late it is, or will be; 0: nobody can tell
  bool made_up = false;              ///< missed, and done since
  std::string words;                 ///< "will be late by about 40m00s: …"
  std::optional<sys_seconds> turns;  ///< when this may be another without any news
};
const char* to_string(Standing::Kind kind);
const char* to_string(Standing::State state);

Standing judge_deadline(const Timetable& timetable, const Due& due, const Progress& progress,
                        const std::optional<Usual>& usual, sys_seconds now);

/// `base` is when the last success ended, or, if there was none (`ever` false), when the entry was taken up.
/// `progress` is that of the last slot.
Standing judge_freshness(const Timetable& timetable, sys_seconds base, bool ever, const Progress& progress,
                         const std::optional<Usual>& usual, sys_seconds now);

bool makes_promises(const Schedule& schedule);

}  // namespace mlops::schedule
