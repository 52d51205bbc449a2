#include "engine/runner.hpp"

#include "db/runs.hpp"
#include "dvc/project_cache.hpp"
#include "engine/aside.hpp"
#include "engine/kept_inputs.hpp"
#include "engine/outcome.hpp"
#include "engine/results.hpp"
#include "process/process_tree.hpp"
#include "process/signals.hpp"
#include "process/step_log.hpp"
#include "store/restore.hpp"
#include "util/file_system.hpp"
#include "util/files.hpp"
#include "util/log.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"
#include "workspace/ballast.hpp"
#include "workspace/layout.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace mlops::engine {

namespace {

std::uint64_t seed_of(const std::string& id) {
  std::uint64_t seed = 1469598103934665603u;  // FNV-1a
  for (const char c : id) seed = (seed ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return seed;
}

Capacity capacity_for(const Pipeline& pipeline, int jobs) {
  Capacity capacity = machine_capacity();
  capacity.jobs = jobs;
  capacity.pools = pipeline.pools;
  return capacity;
}

// Those that read or make files; of the others there is nothing to know.
std::vector<char> steps_to_check(const Pipeline& pipeline) {
  std::vector<char> checks;
  for (const Step& step : pipeline.steps) {
    checks.push_back(checks_every_step(pipeline) || !(step.inputs.empty() && step.code.empty() &&
                                                      step.outputs.empty() && step.metrics.empty()));
  }
  return checks;
}

std::string causes_text(const std::vector<Cause>& causes) {
  return causes_json(causes).dump(-1, ' ', false, Json::error_handler_t::replace);
}

// Why a step that is not checked runs.
std::string why_unchecked(const Step& step) {
  return step.always ? why_never_reused(step) : "it declares no files";
}

CacheSettings with_run(CacheSettings settings, const std::string& id, const process::KeeperProcess& keeper) {
  settings.run = id;
  settings.keeper = keeper.pid;
  return settings;
}

}  // namespace

Runner::Runner(RunParts parts, process::KeeperProcess keeper, std::vector<RunObserver*> observers)
    : parts_(std::move(parts)),
      observers_(std::move(observers)),
      jobs_{parts_.id,          parts_.run_directory, parts_.workspace.root(),       parts_.secrets,
            parts_.trace_reads, parts_.fence,         event_of(parts_.run_directory)},
      machine_(parts_.pipeline, parts_.graph, parts_.entries,
               {capacity_for(parts_.pipeline, parts_.jobs), parts_.keep_going, seed_of(parts_.id),
                steps_to_check(parts_.pipeline)}),
      recorder_(parts_.database, parts_.id),
      collector_(parts_.pipeline, parts_.workspace, with_run(parts_.cache, parts_.id, keeper)),
      conditions_(parts_.pipeline, parts_.environment) {
  for (std::size_t i = 0; i < parts_.pipeline.steps.size(); ++i)
    index_of_[parts_.pipeline.steps[i].name] = static_cast<int>(i);
  // Before any thread, so that all inherit the mask.
  sigset_t set = process::heeded({SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP});
  ::sigaddset(&set, SIGCHLD);  // a keeper that is stopped
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  signals_.reset(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  poll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!signals_ || !poll_) throw_errno("cannot set up the run", errno);
  executor_.emplace(std::move(keeper), process::KeeperPlace{parts_.run_directory, parts_.id});
  int number = 0;
  git_known_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  for (const int fd : {executor_->fd(), signals_.get(), collector_.fd(), git_known_.get()}) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u32 = static_cast<std::uint32_t>(number++);
    if (::epoll_ctl(poll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) throw_errno("epoll_ctl", errno);
  }
}

Runner::~Runner() {
  if (git_.joinable()) git_.join();
}

RunResult Runner::run() {
  started_ms_ = util::monotonic_ms();
  if (!parts_.resumed)
    git_ = std::thread([this] {
      git_state_ = workspace::git_state(parts_.pipeline.directory);
      ::eventfd_write(git_known_.get(), 1);
    });
  const auto left = std::count_if(parts_.entries.begin(), parts_.entries.end(),
                                  [](const Entry& entry) { return entry.kind == Entry::Kind::run; });
  const RunView view{parts_.pipeline,      parts_.plan,    parts_.id,
                     parts_.run_directory, parts_.jobs,    static_cast<int>(left),
                     parts_.resumed,       parts_.usual_ms};
  for (RunObserver* observer : observers_) {
    observer->run_began(view);
    wants_output_ = wants_output_ || observer->wants_output();
    if (observer->tick_interval_ms() > 0) next_tick_ms_ = started_ms_;
  }
  if (const std::string network = util::network_file_system(parts_.run_directory); !network.empty()) {
    note("the workspace lies on " + network +
         ", where locks cannot be relied on: use it from one machine only, or keep it "
         "on a local disk (--workspace)");
  }
  workspace::lay_ballast(parts_.workspace);
  metrics_ = std::move(parts_.metrics);
  machine_.begin();
  perform_actions();
  while (!machine_.finished() || (collector_.busy() && !machine_.killed())) {
    wait();
    perform_actions();
    recorder_.flush_if_due();
    if (!recorder_.problem().empty() && !told_of_problem_) {
      told_of_problem_ = true;
      note("cannot record the run for now: " + recorder_.problem() + "; trying again every second");
    }
  }
  return conclude();
}

void Runner::wait() {
  const std::int64_t now = util::monotonic_ms();
  std::int64_t until = std::min(machine_.next_tick_ms(), next_tick_ms_);
  if (const int due = recorder_.due_in_ms(); due >= 0) until = std::min(until, now + due);
  int timeout =
      until == INT64_MAX ? -1 : static_cast<int>(std::clamp<std::int64_t>(until - now, 0, 1'000'000));
  if (more_output_) timeout = 0;
  epoll_event events[8];
  const int n = ::epoll_wait(poll_.get(), events, 8, timeout);
  if (n < 0 && errno != EINTR) throw_errno("epoll_wait", errno);
  for (int i = 0; i < n; ++i) {
    switch (events[i].data.u32) {
      case 0: take_keeper_events(); break;
      case 1: take_signals(); break;
      case 2: take_collections(); break;
      default: take_git_state(); break;
    }
  }
  if (more_output_) read_outputs();
  machine_.tick(util::monotonic_ms());
  tick_observers();
}

void Runner::tick_observers() {
  const std::int64_t now = util::monotonic_ms();
  if (now < next_tick_ms_) return;
  next_tick_ms_ = INT64_MAX;
  for (RunObserver* observer : observers_) {
    if (observer->tick_interval_ms() <= 0) continue;
    observer->tick();
    next_tick_ms_ = std::min(next_tick_ms_, now + observer->tick_interval_ms());
  }
}

// --- Actions ----------------------------------------------------------------------------------------

void Runner::perform_actions() {
  // Performing one may bring forth others.
  for (auto actions = machine_.take_actions(); !actions.empty(); actions = machine_.take_actions()) {
    for (const Action& action : actions) {
      std::visit([this](const auto& a) { perform(a); }, action);
    }
  }
}

Json Runner::value_of(const std::string& name, const std::string& field, const std::string& key) const {
  const auto it = index_of_.find(name);
  if (it == index_of_.end()) return nullptr;
  const int index = it->second;
  if (field == "state") {
    // Whoever asks for success does not care which run it was in.
    const StepState state = machine_.state(index);
    return to_string(state == StepState::cached ? StepState::succeeded : state);
  }
  if (field == "exit_code") {
    const AttemptOutcome& outcome = machine_.last_outcome(index);
    const bool exited = outcome.kind == AttemptOutcome::Kind::exited ||
                        outcome.kind == AttemptOutcome::Kind::succeeded ||
                        machine_.state(index) == StepState::cached;
    return exited ? Json(outcome.code) : Json(nullptr);
  }
  if (field == "outputs") {
    const auto values = parts_.outputs.find(name);
    if (values == parts_.outputs.end()) return nullptr;
    const auto value = values->second.find(key);
    return value == values->second.end() ? Json(nullptr) : Json(value->second);
  }
  Json latest = nullptr;
  if (const auto points = metrics_.find(index); points != metrics_.end()) {
    for (const MetricPoint& point : points->second) {
      if (point.name == key && point.value) latest = *point.value;
    }
  }
  return latest;
}

void Runner::perform(const Evaluate& action) {
  try {
    const params::Verdict verdict = conditions_.evaluate(
        step(action.step), [this](const std::string& name, const std::string& field, const std::string& key) {
          return value_of(name, field, key);
        });
    machine_.condition_known(action.step, verdict.holds, verdict.why);
  } catch (const Error& error) {
    machine_.condition_failed(action.step, std::string("cannot decide `when`: ") + error.what());
  }
}

void Runner::perform(const Check& action) {
  try {
    OpenFacts open = open_facts(parts_.pipeline, action.step, parts_.outputs);
    add_event(step(action.step), jobs_.event, open.facts);
    collector_.submit(std::move(open));
  } catch (const Error&) {
    machine_.checked(action.step, false, "");  // its start will tell what is missing
  }
}

void Runner::finish_check(CheckResult result) {
  const int index = result.step;
  const Step& s = step(index);
  StepRecord& r = record(index);
  for (const std::string& text : result.remarks) note(text);
  if (!result.note.empty()) {
    note(s.name + ": cannot tell whether it has to run: " + result.note);
    result.causes = {{"unknown", "whether it has to run could not be told: " + result.note, "", ""}};
  }
  r.because = causes_text(result.causes);
  if (!result.key.empty()) r.cache_key = result.key;
  if (result.hit) {
    if (result.all_seen && !parts_.repeat_key.empty()) {
      ++found_done_;
      std::ranges::move(result.seen, std::back_inserter(seen_));
    }
    if (!result.source.values.empty()) {
      auto& values = parts_.outputs[s.name];
      for (const auto& [name, value] : result.source.values) values[name] = value;
    }
    if (!result.source.metrics.empty()) metrics_[index] = result.source.metrics;
    if (!result.source.maker.run.empty()) {
      r.source_run = result.source.maker.run;
      r.source_step = result.source.maker.step;
      recorder_.put_hit(index, result.key, std::move(result.source));
    } else {
      // Another tool made them: from now on they are those of this run.
      Collection own;
      own.step = index;
      own.key = result.key;
      own.metrics = std::move(result.source.metrics);
      own.artifacts = std::move(result.source.artifacts);
      recorder_.put(std::move(own));
    }
    return machine_.checked(index, true, words(result.causes[0]));
  }
  std::vector<ArtifactRecord> inputs;
  const auto add = [&](const FileFact& file, const char* kind) {
    // What is named twice is one input.
    if (file.form.empty() || std::ranges::find(inputs, file.path, &ArtifactRecord::path) != inputs.end())
      return;
    ArtifactRecord input;
    input.step = index;
    input.output = false;
    input.path = file.path;
    input.kind = kind;
    input.form = file.form;
    input.sha256 = file.sha256;
    input.size = file.size;
    input.files = file.files;
    input.kept = false;
    inputs.push_back(std::move(input));
  };
  for (const FileFact& file : result.facts.inputs) add(file, "");
  for (const FileFact& file : result.facts.code) add(file, "code");
  if (parts_.keep_inputs != KeepInputs::none) {
    std::vector<ArtifactRecord>& raw = inputs_[index];
    std::ranges::copy_if(inputs, std::back_inserter(raw),
                         [&](const ArtifactRecord& input) { return !is_made(input.path); });
  }
  recorder_.put_facts(index, facts_json(result.facts).dump(-1, ' ', false, Json::error_handler_t::replace),
                      std::move(inputs));
  keys_[index] = result.key;
  if (!result.refused.empty()) refused_[index] = result.refused;
  machine_.checked(index, false, "");
}

// Whether the file of a record is, or has to do with, what a step of this run makes: that is kept as an
// output.
bool Runner::is_made(const std::string& record_path) {
  if (!products_) products_.emplace(parts_.pipeline);
  const std::string normal =
      pipeline::normal_path(parts_.pipeline.directory, "", path_of_record(parts_.workspace, record_path));
  return std::ranges::any_of(products_->touching(normal), [&](const pipeline::Products::Product* product) {
    return parts_.entries[static_cast<std::size_t>(product->step)].kind != Entry::Kind::leave_out;
  });
}

void Runner::set_old_outputs_aside(int index) {
  const Step& s = step(index);
  if (s.outputs.empty() && s.metrics.empty()) return;
  const std::string records = parts_.workspace.state_directory();
  set_aside(aside_directory(parts_.run_directory, s.name), paths_to_set_aside(parts_.pipeline, s, records),
            makes_folders(parts_.pipeline));
  const std::vector<std::string> left = paths_left_in_place(parts_.pipeline, s, records);
  for (const std::string& path : left) store::make_writable(parts_.workspace.store_directory(), path);
  if (!parts_.pipeline.dvc) dvc::unprotect_in_project(parts_.pipeline.directory, left);
}

void Runner::settle_old_outputs(int index, StepState state) {
  const Step& s = step(index);
  if (s.outputs.empty() && s.metrics.empty()) return;
  const std::string directory = aside_directory(parts_.run_directory, s.name);
  try {
    if (state == StepState::succeeded) return drop_aside(directory);
    bring_back(directory, paths_to_set_aside(parts_.pipeline, s, parts_.workspace.state_directory()));
  } catch (const Error& error) {
    note(s.name + ": " + error.what());
  }
}

// Asked of the kernel once a second at most: it takes as long as starting a process.
std::uint64_t Runner::recent_memory_kills() {
  const std::int64_t now = util::monotonic_ms();
  if (now >= memory_kills_asked_ms_ + 1'000) {
    memory_kills_ = memory_kills();
    memory_kills_asked_ms_ = now;
  }
  return memory_kills_;
}

void Runner::perform(const StartAttempt& action) {
  const Step& s = step(action.step);
  StepRecord& r = record(action.step);
  const Instant now = util::now();
  r.state = StepState::running;
  r.attempts = action.attempt;
  if (r.because == "[]") r.because = causes_text({{"no_cache", why_unchecked(s), "", ""}});
  if (!r.started_at) r.started_at = now;
  r.reason.clear();
  Attempt attempt;
  attempt.key = {action.step, action.attempt};
  attempt.record.step = action.step;
  attempt.record.attempt = action.attempt;
  attempt.record.cause = "running";
  attempt.record.started_at = now;
  attempt.memory_kills = recent_memory_kills();
  std::string problem;
  process::StartRequest request;
  try {
    const std::string directory = step_directory(parts_.pipeline, s);
    if (const auto refused = refused_.find(action.step); refused != refused_.end()) problem = refused->second;
    for (const std::string& input : s.inputs) {
      if (!problem.empty()) break;  // it knows better why
      if (!util::exists(step_path(directory, input))) {
        problem = "its input '" + input + "' does not exist (looked for " + step_path(directory, input) + ")";
        break;
      }
    }
    request = make_request(parts_.pipeline, action.step, action.attempt, action.gpus, jobs_, parts_.outputs);
    attempt.path = path_of(parts_.pipeline, request);
    if (problem.empty()) set_old_outputs_aside(action.step);
  } catch (const Error& error) {
    problem = error.what();
  }
  recorder_.put(r);
  for (RunObserver* observer : observers_) observer->step_began(action.step, action.attempt);
  if (!problem.empty()) {
    attempt.record.cause = "not_started";
    attempt.record.ended_at = now;
    attempt.record.note = problem;
    recorder_.put(attempt.record);
    machine_.attempt_ended(action.step, {AttemptOutcome::Kind::not_started, 0, problem, true},
                           util::monotonic_ms());
    return;
  }
  util::log_debug("start " + s.name + " attempt " + std::to_string(action.attempt));
  running_.emplace(attempt.key, std::move(attempt));
  executor_->start(request);
}

void Runner::perform(const StopAttempt& action) {
  executor_->stop({action.step, action.attempt}, action.at_once);
}

CollectJob Runner::collect_job(int index, int attempt, bool succeeded) const {
  const Step& s = step(index);
  const auto key = keys_.find(index);
  const auto inputs = inputs_.find(index);
  return {
      index, attempt, succeeded, step_directory(parts_.pipeline, s),
      layout::metrics_file(parts_.run_directory, s.name, attempt),
      layout::output_file(parts_.run_directory, s.name, attempt), parts_.cache.keep && s.cache != false,
      key == keys_.end() ? "" : key->second,
      // What goes on after its step cannot be traced: see process/keeper_loop.cpp.
      parts_.trace_reads && !s.leave_running ? layout::trace_file(parts_.run_directory, s.name, attempt) : "",
      inputs == inputs_.end() ? std::vector<ArtifactRecord>() : inputs->second,
      parts_.keep_inputs == KeepInputs::all};
}

void Runner::perform(const Collect& action) {
  const Step& s = step(action.step);
  CollectJob job = collect_job(action.step, action.attempt, true);
  if (s.outputs.empty() && s.metrics.empty() && job.inputs.empty() && job.trace_path.empty() &&
      !checks_every_step(parts_.pipeline)) {
    finish_collection(collect(job, s, parts_.workspace, nullptr));
  } else {
    collector_.submit(std::move(job));
  }
}

void Runner::finish_collection(Collection collection) {
  if (!collection.succeeded) {
    // Metrics are those of the last attempt: a later one may have been quicker to read.
    if (collection.attempt < record(collection.step).attempts) return;
    collection.problem.clear();  // the attempt has failed already
    return recorder_.put(std::move(collection));
  }
  for (const std::string& text : collection.notes) note(step(collection.step).name + ": " + text);
  auto& values = parts_.outputs[step(collection.step).name];
  for (const auto& [name, value] : collection.outputs) values[name] = value;
  metrics_[collection.step] = collection.metrics;
  const std::string problem = collection.problem;
  const int index = collection.step;
  recorder_.put(std::move(collection));
  machine_.collected(index, problem);
}

void Runner::perform(const WaitForRetry& action) {
  StepRecord& r = record(action.step);
  r.state = StepState::retrying;
  r.reason = action.why;
  recorder_.put(r);
  const std::int64_t delay = std::max<std::int64_t>(0, action.until_ms - util::monotonic_ms());
  for (RunObserver* observer : observers_) observer->step_waits(action.step, action.why, delay);
}

void Runner::perform(const Settle& action) {
  StepRecord& r = record(action.step);
  r.state = action.state;
  r.reason = action.reason;
  if (r.because == "[]" && (action.state == StepState::skipped || action.state == StepState::not_run))
    r.because = causes_text({{to_string(action.state), r.reason, "", ""}});
  if (r.started_at) r.ended_at = util::now();
  if (r.started_at) settle_old_outputs(action.step, action.state);
  recorder_.put(r);
  for (RunObserver* observer : observers_) observer->step_ended(r);
}

}  // namespace mlops::engine
