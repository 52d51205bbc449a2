// The time before the cut-over from cron: cron stays in charge, each of its jobs notes when it is started,
// and that is compared with what the schedules of pipeline files would have done.
#pragma once

#include <mlops/workspace.hpp>

#include "schedule/cron_import.hpp"
#include "schedule/timetable.hpp"
#include "util/time.hpp"

#include <optional>
#include <string>
#include <vector>

namespace mlops::schedule {

/// A line of the crontab that is watched.
struct ShadowLine {
  std::string id;
  std::string before, after;  ///< as it was, and with the note
  std::size_t note_at = 0;
  std::string times, pipeline;
  std::string file;  ///< of the pipeline, absolute
};

struct Shadow {
  util::Instant since{};
  std::optional<util::Instant> until;  ///< when the crontab was put back
  std::vector<ShadowLine> lines;
};

/// Lines of `crontab` that the imported jobs stand in, each with a note before its command: `program` writes
/// to `starts`. Those that would be too long are left as they are, with a remark.
std::vector<ShadowLine> shadow_lines(const std::string& crontab, const std::vector<ImportedJob>& jobs,
                                     const Crontab& read, const std::string& program,
                                     const std::string& starts, std::vector<CronRemark>& remarks);

/// The crontab with its lines watched, or as they were before.
std::string with_shadow(const std::string& crontab, const std::vector<ShadowLine>& lines);
std::string without_shadow(const std::string& crontab, const std::vector<ShadowLine>& lines);

/// The crontab without any note that is written to `starts`, as of a shadow that is not on record any more.
std::string without_notes(const std::string& crontab, const std::string& starts);

std::optional<Shadow> read_shadow(const Workspace& workspace);
void write_shadow(const Workspace& workspace, const Shadow& shadow);
std::string starts_path(const Workspace& workspace);

/// `mlops internal-shadow FILE ID`, which cron runs before a job. Fast, and nothing that a job would notice.
int note_start(const char* path, const char* id);

/// What cron and mlops differ in.
struct Difference {
  enum class Kind { only_cron, only_mlops, twice };
  Kind kind = Kind::only_cron;
  sys_seconds at{};
};
const char* to_string(Difference::Kind kind);

struct Comparison {
  std::size_t same = 0;
  std::vector<Difference> differences;  ///< by time
};

/// `slots` and `starts` are sorted. A start is for the last slot before it within a minute; else, as when
/// cron was held up, for one within five.
Comparison compare(const std::vector<sys_seconds>& slots, const std::vector<util::Instant>& starts);

struct ShadowReport {
  struct Line {
    ShadowLine line;
    std::size_t starts = 0, slots = 0;
    Comparison comparison;
    std::string zone;
    std::string remark;
  };
  sys_seconds from{}, to{};
  std::vector<Line> lines;
  std::vector<std::string> remarks;
};

/// From two minutes after the shadow began, as cron may not have seen it before, until `now`. `crontab` is
/// that of now.
ShadowReport report_on(const Shadow& shadow, const std::string& starts, const std::string& crontab,
                       sys_seconds now);

}  // namespace mlops::schedule
