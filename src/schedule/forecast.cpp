#include "schedule/forecast.hpp"

#include <algorithm>
#include <cstdio>
#include <functional>
#include <map>
#include <queue>

namespace mlops::schedule {

using std::chrono::ceil;
using std::chrono::days;
using std::chrono::floor;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

namespace {

constexpr seconds shortest{1};  // a run that takes no time is one all the same

struct Lengths {
  seconds usual = shortest, slow = shortest;
};

Lengths lengths_of(const Subject& subject) {
  if (!subject.usual) return {};
  return {std::max(shortest, ceil<seconds>(subject.usual->median)),
          std::max(shortest, ceil<seconds>(subject.usual->slow))};
}

// All fires in the order of their slots, as far as there is room.
void collect(const std::vector<Subject>& subjects, const Window& window, Forecast& forecast) {
  using Next = std::pair<sys_seconds, std::size_t>;
  std::priority_queue<Next, std::vector<Next>, std::greater<>> queue;
  const auto push = [&](std::size_t subject, sys_seconds after) {
    const auto next = calendar::next_fire(subjects[subject].timetable.rule, after);
    if (next && *next <= window.to) queue.emplace(*next, subject);
  };
  for (std::size_t i = 0; i < subjects.size(); ++i) push(i, window.from - seconds(1));
  while (!queue.empty()) {
    const auto [at, subject] = queue.top();
    if (forecast.fires.size() == most_fires) {
      forecast.cut = forecast.fires.back().at;
      break;
    }
    queue.pop();
    Fire fire;
    fire.subject = subject;
    fire.at = at;
    fire.begins = fire.ends = at + subjects[subject].timetable.delay;
    fire.note = calendar::note_on(subjects[subject].timetable.rule, at);
    forecast.fires.push_back(std::move(fire));
    push(subject, at);
  }
}

// Times of the window that no clock shows and for which nothing runs.
void add_gaps(const std::vector<Subject>& subjects, const Window& window, Forecast& forecast) {
  const sys_seconds end = forecast.cut.value_or(window.to);
  for (std::size_t i = 0; i < subjects.size(); ++i) {
    const calendar::Rule& rule = subjects[i].timetable.rule;
    const auto* cron = std::get_if<calendar::Cron>(&rule.what);
    if (!cron || (rule.run_in_gap && !cron->is_wildcard())) continue;
    for (const calendar::Gap& gap : calendar::gaps_between(rule, window.from - seconds(1), end)) {
      if (forecast.fires.size() >= most_fires + 1'000) break;
      if ((rule.start && gap.instant < *rule.start) || (rule.end && gap.instant >= *rule.end) ||
          rule.except.contains(floor<days>(gap.local)))
        continue;
      Fire fire;
      fire.subject = i;
      fire.at = fire.begins = fire.ends = gap.instant;
      fire.outcome = Fire::Outcome::gap;
      fire.note = calendar::to_text(gap.local).substr(11) + " is skipped by clocks, and does not run";
      forecast.fires.push_back(std::move(fire));
    }
  }
}

// What each fire meets of its own pipeline, and what comes of it.
void follow(const std::vector<Subject>& subjects, std::vector<Fire>& fires) {
  struct Line {
    std::size_t fire = 0;  // the run that ends last
    seconds more{0};       // if it takes long
  };
  std::map<std::string, Line> lines;
  std::vector<std::size_t> order(fires.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return fires[i].begins; });
  for (const std::size_t i : order) {
    Fire& fire = fires[i];
    if (fire.outcome == Fire::Outcome::gap) continue;
    const Subject& subject = subjects[fire.subject];
    const Lengths lengths = lengths_of(subject);
    const auto known = lines.find(subject.pipeline);
    if (known != lines.end()) {
      Fire& before = fires[known->second.fire];
      fire.certain = before.ends > fire.begins;
      if (fire.certain || before.ends + known->second.more > fire.begins) fire.meets = before.at;
      if (fire.certain) {
        switch (subject.timetable.entry.overlap) {
          case Overlap::skip: fire.outcome = Fire::Outcome::skipped; continue;
          case Overlap::queue:
            fire.outcome = Fire::Outcome::waits;
            fire.begins = before.ends;
            break;
          case Overlap::replace:
            fire.outcome = Fire::Outcome::replaces;
            before.ends = fire.begins;
            break;
          case Overlap::allow: break;
        }
      }
      fire.certain = fire.certain || !fire.meets;
    }
    fire.ends = fire.begins + lengths.usual;
    if (known == lines.end()) {
      lines[subject.pipeline] = {i, lengths.slow - lengths.usual};
    } else if (fire.ends >= fires[known->second.fire].ends) {
      known->second = {i, lengths.slow - lengths.usual};
    }
    const Timetable& timetable = subject.timetable;
    const auto times = pipeline::deadlines_of(timetable.entry, timetable.rule.zone);
    if (!times || !subject.usual) continue;
    const auto by = calendar::next_fire(*times, fire.at);
    const auto next = calendar::next_fire(timetable.rule, fire.at);
    if (by && (!next || *next >= *by)) fire.late = std::max(seconds(0), fire.begins + lengths.slow - *by);
  }
}

void measure(Forecast& forecast, std::size_t limit) {
  struct Event {
    sys_seconds at;
    bool begins;
    std::size_t fire;
  };
  std::vector<Event> events;
  for (std::size_t i = 0; i < forecast.fires.size(); ++i) {
    const Fire& fire = forecast.fires[i];
    if (fire.ends <= fire.begins) continue;
    events.push_back({fire.begins, true, i});
    events.push_back({fire.ends, false, i});
  }
  // What ends at a time makes room for what begins then.
  std::ranges::stable_sort(events, [](const Event& a, const Event& b) {
    return std::pair(a.at, a.begins) < std::pair(b.at, b.begins);
  });
  std::size_t now = 0;
  for (std::size_t i = 0; i < events.size(); ++i) {
    const Event& event = events[i];
    now = event.begins ? now + 1 : now - 1;
    if (event.begins) forecast.fires[event.fire].at_once = now;
    if (i + 1 < events.size() && events[i + 1].at == event.at) continue;
    forecast.load.emplace_back(event.at, now);
    if (now > forecast.peak) {
      forecast.peak = now;
      forecast.peak_at = event.at;
    }
    if (now > limit) forecast.over += events[i + 1].at - event.at;  // something ends later
  }
}

}  // namespace

const char* to_string(Fire::Outcome outcome) {
  constexpr const char* words[] = {"runs", "skipped", "waits", "replaces", "gap"};
  return words[static_cast<int>(outcome)];
}

Forecast look_ahead(const std::vector<Subject>& subjects, const Window& window, std::size_t limit) {
  Forecast forecast;
  collect(subjects, window, forecast);
  add_gaps(subjects, window, forecast);
  std::ranges::stable_sort(forecast.fires, {}, &Fire::at);
  follow(subjects, forecast.fires);
  measure(forecast, limit);
  return forecast;
}

HeatMap heat_of(const Forecast& forecast, const Window& window, const calendar::TimeZone& zone) {
  const bool by_weekday = window.to - window.from > hours(48);
  const seconds bucket = by_weekday ? seconds(hours(1)) : seconds(minutes(5));
  const auto two = [](std::size_t number) {
    char text[8];
    std::snprintf(text, sizeof text, "%02d", static_cast<int>(number % 100));
    return std::string(text);
  };
  HeatMap map;
  if (by_weekday) {
    map.rows = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
    for (std::size_t hour = 0; hour < 24; ++hour) map.columns.push_back(two(hour));
  } else {
    for (std::size_t hour = 0; hour < 24; ++hour) map.rows.push_back(two(hour) + ":");
    for (std::size_t minute = 0; minute < 60; minute += 5) map.columns.push_back(two(minute));
  }
  map.runs.assign(map.rows.size(), std::vector<std::size_t>(map.columns.size(), 0));
  for (std::size_t i = 0; i + 1 < forecast.load.size(); ++i) {
    const auto& [begin, runs] = forecast.load[i];
    const sys_seconds end = std::min(forecast.load[i + 1].first, window.to + seconds(1));
    for (sys_seconds at = begin; runs > 0 && at < end;) {
      const calendar::local_seconds local = zone.to_local(at);
      const auto day = floor<days>(local);
      const auto place = static_cast<std::size_t>((local - day) / bucket);
      const std::size_t row =
          by_weekday ? std::chrono::weekday(day).iso_encoding() - 1 : place / map.columns.size();
      std::size_t& cell = map.runs[row][place % map.columns.size()];
      cell = std::max(cell, runs);
      at += bucket - (local - day) % bucket;
    }
  }
  return map;
}

}  // namespace mlops::schedule
