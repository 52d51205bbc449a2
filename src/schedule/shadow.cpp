#include "schedule/shadow.hpp"

#include <mlops/error.hpp>

#include "util/fd.hpp"
#include "util/files.hpp"
#include "util/strings.hpp"
#include "workspace/layout.hpp"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

namespace mlops::schedule {

namespace {

std::string state_path(const Workspace& workspace) {
  return layout::in(layout::in(workspace.state_directory(), layout::shadow), layout::shadow_lines);
}

Json to_json(const ShadowLine& line) {
  return {{"id", line.id},           {"before", line.before}, {"after", line.after},
          {"note_at", line.note_at}, {"times", line.times},   {"pipeline", line.pipeline},
          {"file", line.file}};
}

ShadowLine line_of(const Json& json) {
  return {json.at("id").get<std::string>(),    json.at("before").get<std::string>(),
          json.at("after").get<std::string>(), json.at("note_at").get<std::size_t>(),
          json.at("times").get<std::string>(), json.at("pipeline").get<std::string>(),
          json.at("file").get<std::string>()};
}

}  // namespace

std::string starts_path(const Workspace& workspace) {
  return layout::in(layout::in(workspace.state_directory(), layout::shadow), layout::shadow_starts);
}

std::vector<ShadowLine> shadow_lines(const std::string& crontab, const std::vector<ImportedJob>& jobs,
                                     const Crontab& read, const std::string& program,
                                     const std::string& starts, std::vector<CronRemark>& remarks) {
  const std::vector<std::string> lines = lines_of(crontab);
  std::vector<ShadowLine> result;
  for (const ImportedJob& job : jobs) {
    const auto found = std::ranges::find(read.jobs, job.line, &CronJob::line);
    if (found == read.jobs.end() || job.times.empty()) continue;
    const std::string& before = lines.at(static_cast<std::size_t>(job.line - 1));
    const std::string id = std::to_string(job.line) + "-" + job.name;
    const std::string note = cron_command({program, shadow_argument, starts, id}) + "; ";
    const std::string after = before.substr(0, found->command_at) + note + before.substr(found->command_at);
    if (after.size() - found->command_at > longest_command) {
      remarks.push_back({job.line, "it cannot be watched: its line would be too long for cron"});
      continue;
    }
    result.push_back({id, before, after, found->command_at, job.times, job.name, ""});
  }
  return result;
}

std::string with_shadow(const std::string& crontab, const std::vector<ShadowLine>& lines) {
  std::vector<std::string> all = lines_of(crontab);
  std::size_t from = 0;
  for (const ShadowLine& line : lines) {
    const auto found = std::find(all.begin() + static_cast<std::ptrdiff_t>(from), all.end(), line.before);
    if (found == all.end()) continue;
    *found = line.after;
    from = static_cast<std::size_t>(found - all.begin()) + 1;
  }
  return all.empty() ? "" : util::join(all, "\n") + "\n";
}

std::string without_shadow(const std::string& crontab, const std::vector<ShadowLine>& lines) {
  std::vector<std::string> all = lines_of(crontab);
  for (const ShadowLine& line : lines) {
    // The note alone, as the rest of the line may have been edited.
    const std::size_t begin = line.note_at, size = line.after.size() - line.before.size();
    const std::string note = line.after.substr(begin, size);
    for (std::string& each : all) {
      if (each == line.after) {
        each = line.before;
      } else if (const std::size_t at = each.find(note); at != each.npos) {
        each.erase(at, note.size());
      }
    }
  }
  return all.empty() ? "" : util::join(all, "\n") + "\n";
}

std::string without_notes(const std::string& crontab, const std::string& starts) {
  std::vector<std::string> all = lines_of(crontab);
  bool changed = false;
  const std::string file = " " + cron_command({starts}) + " ";
  for (const CronJob& job : read_crontab(crontab, {}).jobs) {
    std::string& line = all[static_cast<std::size_t>(job.line - 1)];
    const std::string before = line;
    std::size_t at = job.command_at;
    for (const std::string_view note : notes_before(std::string_view(before).substr(job.command_at))) {
      if (note.find(file) == note.npos) {
        at += note.size();
      } else {
        line.erase(at, note.size());
        changed = true;
      }
    }
  }
  return !changed ? crontab : all.empty() ? "" : util::join(all, "\n") + "\n";
}

std::optional<Shadow> read_shadow(const Workspace& workspace) {
  const std::string path = state_path(workspace);
  const auto text = util::read_file_if_exists(path);
  if (!text) return std::nullopt;
  try {
    const Json json = Json::parse(*text);
    Shadow shadow;
    shadow.since = util::parse_utc(json.at("since").get<std::string>()).value();
    if (json.contains("until")) shadow.until = util::parse_utc(json.at("until").get<std::string>());
    for (const Json& line : json.at("lines")) {
      const ShadowLine& each = shadow.lines.emplace_back(line_of(line));
      if (each.after.size() < each.before.size() || each.note_at > each.before.size())
        throw std::runtime_error("its lines do not go together");
    }
    return shadow;
  } catch (const std::exception& error) {
    throw Error(ExitCode::io, "cannot read '" + path + "': " + error.what(),
                "it tells how the crontab was before; its lines stand in there");
  }
}

void write_shadow(const Workspace& workspace, const Shadow& shadow) {
  Json lines = Json::array();
  for (const ShadowLine& line : shadow.lines) lines.push_back(to_json(line));
  Json json = {{"since", util::format_utc(shadow.since)}, {"lines", std::move(lines)}};
  if (shadow.until) json["until"] = util::format_utc(*shadow.until);
  util::make_directories(layout::in(workspace.state_directory(), layout::shadow));
  util::write_file_atomically(state_path(workspace), json.dump(2) + "\n");
}

int note_start(const char* path, const char* id) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  const std::string line =
      std::string(id) + " " + std::to_string(now.tv_sec * 1000 + now.tv_nsec / 1'000'000) + "\n";
  const util::Fd fd(::open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
  const int error = fd ? util::write_all(fd.get(), line) : errno;
  // Cron mails it; the job itself goes on.
  if (error != 0)
    std::fprintf(stderr, "mlops: cannot note in '%s' that a job starts: %s\n", path, std::strerror(error));
  return error == 0 ? 0 : static_cast<int>(ExitCode::io);
}

}  // namespace mlops::schedule
