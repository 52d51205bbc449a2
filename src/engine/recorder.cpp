#include "engine/recorder.hpp"

#include "db/hidden_files.hpp"
#include "db/runs.hpp"
#include "db/steps.hpp"
#include "util/time.hpp"

#include <algorithm>

namespace mlops::engine {

namespace {
constexpr std::int64_t batch_ms = 50;
constexpr std::int64_t retry_ms = 1'000;
}  // namespace

void Recorder::put(const StepRecord& step) {
  steps_.insert_or_assign(step.step, step);
  if (due_ms_ < 0) due_ms_ = util::monotonic_ms() + batch_ms;
}

void Recorder::put(const AttemptRecord& attempt) {
  attempts_.insert_or_assign({attempt.step, attempt.attempt}, attempt);
  if (due_ms_ < 0) due_ms_ = util::monotonic_ms() + batch_ms;
}

void Recorder::put(Collection collection) {
  // A later attempt without metrics takes those of the one before back.
  const bool first = collection.attempt <= 1;
  if (first && collection.outputs.empty() && collection.metrics.empty() && collection.artifacts.empty() &&
      collection.key.empty() && !collection.trace)
    return;
  collections_.push_back(std::move(collection));
  if (due_ms_ < 0) due_ms_ = util::monotonic_ms() + batch_ms;
}

void Recorder::put_facts(int step, std::string facts, std::vector<ArtifactRecord> inputs) {
  facts_.push_back({step, std::move(facts), std::move(inputs)});
  if (due_ms_ < 0) due_ms_ = util::monotonic_ms() + batch_ms;
}

void Recorder::put_hit(int step, std::string key, db::CachedResults results) {
  hits_.push_back({step, std::move(key), std::move(results)});
  if (due_ms_ < 0) due_ms_ = util::monotonic_ms() + batch_ms;
}

void Recorder::put_git(const std::string& commit, std::optional<bool> dirty) {
  git_ = {commit, dirty};
  if (due_ms_ < 0) due_ms_ = util::monotonic_ms() + batch_ms;
}

int Recorder::due_in_ms() const {
  if (due_ms_ < 0) return -1;
  return static_cast<int>(std::clamp<std::int64_t>(due_ms_ - util::monotonic_ms(), 0, batch_ms + retry_ms));
}

void Recorder::flush_if_due() {
  if (due_ms_ < 0 || util::monotonic_ms() < due_ms_) return;
  try {
    flush();
  } catch (const std::exception& error) {
    problem_ = error.what();
    due_ms_ = util::monotonic_ms() + retry_ms;
  }
}

void Recorder::flush() {
  if (due_ms_ < 0) return;
  db::Transaction transaction(database_);
  write();
  transaction.commit();
  steps_.clear();
  attempts_.clear();
  collections_.clear();
  facts_.clear();
  hits_.clear();
  git_.reset();
  due_ms_ = -1;
  problem_.clear();
}

// `mlops rm` may have come between a hit and its record.
void Recorder::adopt_orphans() {
  std::map<std::string, bool> there;
  for (Hit& hit : hits_) {
    const auto [known, fresh] = there.try_emplace(hit.results.maker.run, true);
    if (fresh) known->second = db::run_exists(database_.connection(), known->first);
    const auto record = steps_.find(hit.step);
    if (known->second && hit.results.relabelled) db::relabel(database_.connection(), hit.results);
    if (known->second || record == steps_.end()) continue;
    record->second.source_run.reset();
    record->second.source_step.reset();
    Collection own;
    own.step = hit.step;
    own.key = hit.key;
    own.outputs = hit.results.values;
    own.metrics = hit.results.metrics;
    own.artifacts = hit.results.artifacts;
    for (ArtifactRecord& artifact : own.artifacts) artifact.step = hit.step;
    collections_.push_back(std::move(own));
  }
  hits_.clear();
}

void Recorder::write() {
  db::Connection& connection = database_.connection();
  adopt_orphans();
  if (git_) db::set_git_state(connection, run_id_, git_->first, git_->second);
  for (const auto& [key, attempt] : attempts_) db::put_attempt(connection, run_id_, attempt);
  for (const Facts& facts : facts_) {
    db::put_facts(connection, run_id_, facts.step, facts.json);
    for (const ArtifactRecord& input : facts.inputs) db::put_artifact(connection, run_id_, input);
  }
  for (const Collection& c : collections_) {
    if (!c.key.empty()) db::put_cached(connection, c.key, run_id_, c.step, util::now());
    for (const auto& [name, value] : c.outputs) db::put_step_output(connection, run_id_, c.step, name, value);
    for (const ArtifactRecord& artifact : c.artifacts) db::put_artifact(connection, run_id_, artifact);
    if (c.trace) db::put_trace(connection, run_id_, *c.trace, c.hidden);
    if (!c.metrics.empty() || c.attempt > 1) db::put_metrics(connection, run_id_, c.step, c.metrics);
  }
  for (const auto& [index, step] : steps_) db::update_step(connection, run_id_, step);
}

}  // namespace mlops::engine
