// Door to src/pipeline: when a pipeline runs by itself, as its file says.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace mlops {

/// What becomes of slots that were missed while nobody looked.
enum class Catchup { none, last, all };

/// What becomes of a slot while the run before is not over.
enum class Overlap { skip, queue, replace, allow };

const char* to_string(Catchup catchup);
const char* to_string(Overlap overlap);

/// One entry of `schedule:`. Checked when the file is read; pipeline/schedule_rule.hpp makes times of it.
struct Schedule {
  std::string name;  ///< unique in the file: `name:`, or "main" for the first, else what it says of its times
  std::string cron;  ///< exactly one of these three is given
  std::chrono::seconds every{0};
  std::string at;

  std::string timezone;                 ///< empty: that of the machine
  std::string start, end;               ///< a date, or a time, in that zone; empty: no limit
  std::vector<std::string> except;      ///< dates, or files of dates, on which nothing runs
  std::string days = "cron";            ///< how two day fields go together: cron, and, or
  bool run_in_gap = true;               ///< a time of day that clocks skip runs when they have jumped
  bool run_in_both = false;             ///< one that comes twice runs twice
  std::chrono::milliseconds jitter{0};  ///< runs start up to so much later, always by the same time

  Catchup catchup = Catchup::last;
  int catchup_most = 100;                       ///< of `all`: the newest so many
  std::chrono::milliseconds catchup_window{0};  ///< none older than this; 0: no limit
  std::chrono::milliseconds start_within{0};    ///< what cannot start so soon is missed; 0: no limit
  Overlap overlap = Overlap::skip;

  std::string deadline;  ///< a time of day in that zone by which a slot's run is to be done
  std::chrono::milliseconds fresh_within{0};  ///< the last success is never to be older; 0: no matter
};

/// What the entry says of its times: "0 3 * * *", "every 15s", "at 2026-12-24 18:00".
std::string times_of(const Schedule& schedule);

}  // namespace mlops
