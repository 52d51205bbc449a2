// The cut-over from cron: lines of the user's crontab, and of those of the system, that go on running what
// mlops runs by a schedule, so that it would run twice.
#pragma once

#include <mlops/pipeline.hpp>

#include "schedule/crontab.hpp"

#include <string>
#include <vector>

namespace mlops::schedule {

/// A line of the crontab whose job a pipeline file with a schedule runs as well.
struct ActiveLine {
  int line = 0;
  std::string written;
  std::string pipeline;
  std::string file = {};  ///< where it stands; empty: in the user's crontab
  std::string user = {};  ///< that it names
};

/// The jobs of the user's crontab and of the system's but for those of @reboot. Those of the user are none
/// where they cannot be read, as there is no cron then, or as it does not answer within `limit_ms`.
std::vector<CronJob> jobs_of_cron(int limit_ms = 30'000);

/// Those of ETC/crontab and of the files in ETC/cron.d that such a cron reads, as far as they can be read
/// here.
std::vector<CronJob> jobs_of_system(const std::string& etc, CronKind kind);

/// Those of `jobs` that run the command of a step in the directory of that step, whatever they do with what
/// it prints, or the file itself, with `mlops run` or `submit` without a slot.
std::vector<ActiveLine> active_lines(const std::vector<CronJob>& jobs,
                                     const std::vector<const Pipeline*>& pipelines);

/// What takes lines out of their crontabs, for the shell: they become comments.
std::string way_out(const std::vector<ActiveLine>& lines);

/// "line 3 of the crontab runs train as well, so that it runs twice: 30 3 * * 1-5 ./train.sh"
std::string words_for(const ActiveLine& line);

}  // namespace mlops::schedule
