#include "daemon/vigil.hpp"

#include <mlops/error.hpp>
#include <mlops/pipeline.hpp>

#include "db/slots.hpp"
#include "notify/outbox.hpp"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <utility>

namespace mlops::daemon {

using schedule::Promise;
using schedule::Standing;
using schedule::sys_seconds;

void Vigil::watch(const ScheduleRecord& record, const schedule::Timetable& timetable) {
  watched_.erase(record.id);
  if (schedule::makes_promises(timetable.entry))
    watched_.emplace(record.id, Watched{record.pipeline, timetable, sys_seconds{}});
}

void Vigil::news_of(std::int64_t schedule) {
  if (const auto found = watched_.find(schedule); found != watched_.end()) found->second.look = sys_seconds{};
}

void Vigil::news_of(const std::string& pipeline) {
  for (auto& [id, watched] : watched_) {
    if (watched.pipeline == pipeline) watched.look = sys_seconds{};
  }
}

void Vigil::news_of_all() {
  for (auto& [id, watched] : watched_) watched.look = sys_seconds{};
}

std::optional<sys_seconds> Vigil::next() const {
  std::optional<sys_seconds> next;
  for (const auto& [id, watched] : watched_) {
    if (watched.look) next = std::min(next.value_or(*watched.look), *watched.look);
  }
  return next;
}

// Whom the pipeline's file names for lateness; nobody if it cannot be read just now. In the transaction in
// which the promise counts as told.
void Vigil::tell(const Promise& promise, const schedule::Timetable& timetable) {
  std::optional<Pipeline> pipeline;
  try {
    pipeline = load_pipeline((std::filesystem::path(workspace_.root()) / promise.record.file).string(),
                             {.overrides = {}, .check_files = false});
  } catch (const std::exception&) {
    return;
  }
  pipeline->file = promise.record.file;  // as runs are told with it
  const Standing& standing = promise.standing;
  const std::string due = timetable.text(standing.due);
  notify::tell_late(
      database_.connection(), *pipeline,
      {promise.record.name + " " + to_string(standing.kind) + " " + due + " " + to_string(standing.state),
       due, standing.words, "", standing.state == Standing::State::at_risk});
}

std::vector<Promise> Vigil::look(sys_seconds now, std::size_t most) {
  std::vector<Promise> all;
  for (auto& [id, watched] : watched_) {
    if (!watched.look || *watched.look > now) continue;
    if (most-- == 0) break;
    const auto record = db::find_schedule(database_.connection(), id);
    std::vector<Standing> standings;
    if (record)
      standings = schedule::standings_of(workspace_, database_.connection(), *record, watched.timetable, now);
    std::vector<Promise> news;
    const auto tell_too = [&, &timetable = watched.timetable](const Promise& promise) {
      tell(promise, timetable);
    };
    if (record) news = schedule::news_of_promises(database_, *record, standings, tell_too);
    all.insert(all.end(), std::move_iterator(news.begin()), std::move_iterator(news.end()));
    watched.look.reset();
    for (const Standing& standing : standings) {
      if (standing.turns) watched.look = std::min(watched.look.value_or(*standing.turns), *standing.turns);
    }
  }
  return all;
}

}  // namespace mlops::daemon
