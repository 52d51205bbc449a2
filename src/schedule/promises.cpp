#include "schedule/promises.hpp"

#include "util/quantity.hpp"

#include <algorithm>

namespace mlops::schedule {

using std::chrono::ceil;
using std::chrono::duration_cast;
using std::chrono::seconds;

namespace {

std::string span(seconds length) { return util::format_duration(duration_cast<milliseconds>(length)); }

std::string usual_words(const Usual& usual) {
  return "usual duration " + util::format_duration(usual.median) +
         (usual.slow > usual.median ? ", at times " + util::format_duration(usual.slow) : "");
}

// "06:00", with the date if it is another one.
std::string clock(const Timetable& timetable, sys_seconds at, sys_seconds now) {
  const std::string text = calendar::to_text(timetable.rule.zone->to_local(at)),
                    today = calendar::to_text(timetable.rule.zone->to_local(now));
  return text.substr(0, 10) == today.substr(0, 10) ? text.substr(11) : text;
}

// When that which is to keep it will have ended, if all goes as usual and it begins at `begins`, unless it
// goes on already; with why.
struct Guess {
  std::optional<sys_seconds> end;
  std::string why;
  seconds last_moment{0};  // so long before it is due it can still be kept
};

Guess guess(const Progress& progress, const std::optional<Usual>& usual, sys_seconds begins,
            sys_seconds now) {
  Guess result;
  if (progress.begun) {
    const std::string run = "run " + progress.run_id + " goes on for " + span(now - *progress.begun);
    if (progress.rest) {
      result.end = now + ceil<seconds>(progress.rest->left);
      result.why = run + ", its steps usually need " + util::format_duration(progress.rest->left) + " more";
      result.last_moment = ceil<seconds>(progress.rest->after);
    } else if (usual) {
      result.end = std::max(now, *progress.begun + ceil<seconds>(usual->slow));
      result.why = run + ", " + usual_words(*usual);
    }
  } else if (usual) {
    result.end = std::max(now, begins) + ceil<seconds>(usual->slow);
    result.why = usual_words(*usual) + (begins > now ? "" : ", not begun yet");
    result.last_moment = ceil<seconds>(usual->slow);
  }
  return result;
}

// The first moment at which a guess that is in time now is not any more.
sys_seconds last_moment(const Guess& guess, sys_seconds due, sys_seconds now) {
  return std::clamp(due - guess.last_moment + seconds(1), now + seconds(1), std::max(due, now + seconds(1)));
}

}  // namespace

const char* to_string(Standing::Kind kind) {
  return kind == Standing::Kind::deadline ? "deadline" : "fresh_within";
}

const char* to_string(Standing::State state) {
  constexpr const char* words[] = {"kept", "at_risk", "missed"};
  return words[static_cast<int>(state)];
}

bool makes_promises(const Schedule& schedule) {
  return !schedule.deadline.empty() || schedule.fresh_within.count() > 0;
}

std::vector<Due> deadlines_around(const Timetable& timetable, sys_seconds since, sys_seconds now) {
  std::vector<Due> list;
  const auto times = pipeline::deadlines_of(timetable.entry, timetable.rule.zone);
  if (!times) return list;
  for (const auto& time : {calendar::last_fire(*times, now), calendar::next_fire(*times, now)}) {
    if (!time) continue;
    const auto slot = calendar::last_fire(timetable.rule, *time - seconds(1));
    if (!slot || *slot <= since) continue;
    // On a day without slots nothing is to be done.
    const auto by = calendar::next_fire(*times, *slot);
    if (by && (list.empty() || list.back().by != *by)) list.push_back({*slot, *by});
  }
  return list;
}

Standing judge_deadline(const Timetable& timetable, const Due& due, const Progress& progress,
                        const std::optional<Usual>& usual, sys_seconds now) {
  Standing s;
  s.due = due.by;
  const std::string by = clock(timetable, due.by, now);
  const sys_seconds begins = due.slot + timetable.delay;
  if (progress.done) {
    s.made_up = *progress.done > due.by;
    s.state = s.made_up ? Standing::State::missed : Standing::State::kept;
    s.by = s.made_up ? *progress.done - due.by : seconds(0);
    s.words = "was done " + span(s.made_up ? s.by : due.by - *progress.done) +
              (s.made_up ? " after " : " before ") + by;
  } else if (now >= due.by) {
    s.state = Standing::State::missed;
    s.by = now - due.by;
    s.words = "was to be done by " + by + (s.by < seconds(1) ? ": " : ", late by " + span(s.by) + ": ") +
              (progress.begun  ? "run " + progress.run_id + " still goes on"
               : progress.open ? "not begun yet"
                               : progress.trouble);
  } else if (now < begins) {
    s.words = "is to be done by " + by;
    s.turns = begins;
  } else if (!progress.begun && !progress.open) {
    s.state = Standing::State::at_risk;
    s.words = "will not be done by " + by + ": " + progress.trouble + ", and nothing runs again before";
    s.turns = due.by;
  } else {
    const Guess expected = guess(progress, usual, begins, now);
    s.words = "is to be done by " + by;
    s.turns = last_moment(expected, due.by, now);
    if (expected.end && *expected.end > due.by) {
      s.state = Standing::State::at_risk;
      s.by = *expected.end - due.by;
      s.words = "will be late by about " + span(s.by) + ", after " + by + ": " + expected.why;
      s.turns = due.by;
    }
  }
  return s;
}

Standing judge_freshness(const Timetable& timetable, sys_seconds base, bool ever, const Progress& progress,
                         const std::optional<Usual>& usual, sys_seconds now) {
  Standing s;
  s.kind = Standing::Kind::fresh_within;
  s.due = base + ceil<seconds>(timetable.entry.fresh_within);
  const std::string limit = util::format_duration(timetable.entry.fresh_within);
  const std::string age =
      ever ? "the last success is " + span(now - base) + " old"
           : "nothing has succeeded since the schedule was taken up, " + span(now - base) + " ago";
  // Of what is on its way nothing more has to be said.
  const std::string trouble = progress.begun || progress.open ? "" : progress.trouble;
  if (now >= s.due) {
    s.state = Standing::State::missed;
    s.by = now - s.due;
    s.words = age + ", and was never to be older than " + limit;
    if (progress.begun) s.words += ": run " + progress.run_id + " still goes on";
    if (!trouble.empty()) s.words += ": " + trouble;
    return s;
  }
  auto begins = progress.open ? std::optional(now) : calendar::next_fire(timetable.rule, now);
  if (begins && !progress.open) *begins += timetable.delay;
  Guess expected = guess(progress, usual, begins.value_or(now), now);
  if (!expected.end && !progress.begun) expected.end = begins;  // it cannot have ended before
  const bool nothing = !progress.begun && !begins;
  s.words = age + ", good until " + clock(timetable, s.due, now);
  s.turns = last_moment(expected, s.due, now);
  if (nothing || (expected.end && *expected.end > s.due)) {
    s.state = Standing::State::at_risk;
    s.by = nothing ? seconds(0) : *expected.end - s.due;
    s.words = "will be older than " + limit +
              (nothing ? ", as nothing is due any more" : " for about " + span(s.by));
    if (!trouble.empty()) s.words += ": " + trouble;
    if (!nothing && !expected.why.empty()) s.words += (trouble.empty() ? ": " : "; ") + expected.why;
    s.turns = s.due;
  }
  return s;
}

}  // namespace mlops::schedule
