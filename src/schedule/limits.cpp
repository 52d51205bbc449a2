#include "schedule/limits.hpp"

#include "db/requests.hpp"
#include "engine/recovery.hpp"
#include "process/lock_file.hpp"
#include "util/quantity.hpp"
#include "util/time.hpp"
#include "workspace/layout.hpp"

#include <algorithm>

namespace mlops::schedule {

namespace {

// What goes on, and what has its turn before it and has not begun.
std::string go_on(int runs, int before, const std::string& of = {}) {
  const auto say = [&](int n, const char* one, const char* many) {
    return std::to_string(n) + (n == 1 ? " run" : " runs") + of + (n == 1 ? one : many);
  };
  if (before == 0) return say(runs, " goes on", " go on");
  if (runs == 0) return say(before, " comes first", " come first");
  return say(runs, " goes on", " go on") + " and " + std::to_string(before) +
         (before == 1 ? " comes first" : " come first");
}

void add(Load& load, const std::string& pipeline, const std::string& queue, std::int64_t backfill) {
  ++load.runs;
  ++load.pipelines[pipeline];
  if (!queue.empty()) ++load.queues[queue];
  if (backfill != 0) ++load.backfills[backfill];
}

}  // namespace

Load load_of(const Workspace& workspace, db::Connection& connection) {
  Load load;
  for (const db::Ongoing& work : db::ongoing_work(connection)) {
    std::optional<process::Identity> holder;
    if (!work.claimer.empty()) {
      if (!process::is_alive(work.claimer)) continue;
      holder = process::parse_identity(work.claimer);
      load.in_motion = true;
    } else {
      const auto liveness = engine::liveness(workspace, work.run_id);
      if (liveness == engine::Liveness::dead) continue;
      holder = engine::holder_of(workspace, work.run_id, liveness);
    }
    add(load, work.pipeline, work.queue, work.backfill.value_or(0));
    if (holder) load.holders.push_back(std::move(*holder));
  }
  return load;
}

void Admission::look_at(Instant time) { next_ = std::min(next_.value_or(time), time); }

Load& Admission::load() {
  if (!load_) load_ = ask_load_();
  return *load_;
}

std::string Admission::hold(const Wish& wish) {
  std::string why = held_by_load(wish);
  if (!why.empty()) {
    holders_ = load().holders;
    if (load().in_motion) look_at(now_ + look_again);
    return why;
  }
  why = held_by_rate(wish);
  if (!why.empty()) return why;
  add(begun_, wish.pipeline, wish.queue, wish.backfill);
  return {};
}

std::string Admission::held_by_load(const Wish& wish) {
  const workspace::QueueConfig* queue = config_.find_queue(wish.queue);
  const int at_once = queue ? queue->concurrency : 0;
  if (config_.runs == 0 && at_once == 0 && wish.concurrency == 0 && wish.jobs == 0) return {};
  // Those that it would replace make room for it.
  const int others = wish.replaces ? 0 : load().pipelines[wish.pipeline];
  const int others_begun = wish.replaces ? 0 : begun_.pipelines[wish.pipeline];
  const int runs = load().runs - (wish.replaces ? load().pipelines[wish.pipeline] : 0);
  const int begun = begun_.runs - (wish.replaces ? begun_.pipelines[wish.pipeline] : 0);
  if (config_.runs > 0 && runs + begun >= config_.runs) {
    full_ = !wish.replaces;
    return go_on(runs, begun) + ", as many as the workspace has at a time";
  }
  if (const int of = load().queues[wish.queue], first = begun_.queues[wish.queue];
      at_once > 0 && of + first >= at_once)
    return go_on(of, first, " of the queue '" + wish.queue + "'") + ", its concurrency";
  if (wish.concurrency > 0 && others + others_begun >= wish.concurrency)
    return go_on(others, others_begun, " of " + wish.pipeline) + ", its concurrency";
  if (const int of = load().backfills[wish.backfill], first = begun_.backfills[wish.backfill];
      wish.jobs > 0 && of + first >= wish.jobs)
    return go_on(of, first, " of backfill " + std::to_string(wish.backfill)) +
           ", as many as it has at a time";
  return {};
}

std::string Admission::held_by_rate(const Wish& wish) {
  const workspace::QueueConfig* queue = config_.find_queue(wish.queue);
  if (!queue || !queue->rate) return {};
  if (const auto known = slow_queues_.find(wish.queue); known != slow_queues_.end()) return known->second;
  const auto& [times, period, text] = *queue->rate;
  const int left = times - begun_.queues[wish.queue];
  // The one that has to be a period ago: of those begun just now, or of those on record.
  const std::optional<Instant> nth = left > 0 ? nth_claim_(wish.queue, left) : std::optional(now_);
  if (!nth || *nth + period <= now_) return {};
  look_at(*nth + period);
  return slow_queues_[wish.queue] = "the queue '" + wish.queue + "' begins " + text + " and goes on at " +
                                    util::format_local(*nth + period);
}

}  // namespace mlops::schedule
