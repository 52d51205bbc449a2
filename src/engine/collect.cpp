#include "engine/collect.hpp"

#include "engine/dvclive.hpp"
#include "engine/hidden.hpp"
#include "engine/kept_inputs.hpp"
#include "engine/metric_files.hpp"
#include "engine/results.hpp"
#include "util/files.hpp"
#include "util/log.hpp"

#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

namespace mlops::engine {

std::string step_directory(const Pipeline& pipeline, const Step& step) {
  return step.workdir.empty() ? pipeline.directory : step_path(pipeline.directory, step.workdir);
}

std::string step_path(const std::string& directory, const std::string& path) {
  // Normalising costs more than looking at the file does; most paths are normal.
  const bool plain = !path.empty() && path[0] != '/' && path[0] != '.' && path.back() != '/' &&
                     path.find("//") == path.npos && path.find("/.") == path.npos;
  if (plain && directory.size() > 1 && directory.back() != '/') return directory + "/" + path;
  std::string text = (std::filesystem::path(directory) / path).lexically_normal().string();
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  return text;
}

namespace {

constexpr std::size_t metrics_limit = 256u << 20;
constexpr std::size_t outputs_limit = 16u << 20;

void collect_small_files(const CollectJob& job, Collection& result) {
  if (auto text = util::read_regular_file(job.metrics_path, metrics_limit)) {
    ParsedMetrics parsed = parse_metric_lines(*text);
    result.metrics = std::move(parsed.points);
    for (std::string& problem : parsed.problems) result.notes.push_back(std::move(problem));
  }
  if (!job.succeeded) return;
  if (auto text = util::read_regular_file(job.output_path, outputs_limit)) {
    ParsedOutputs parsed = parse_outputs(*text);
    result.outputs = std::move(parsed.values);
    if (!parsed.problems.empty()) result.problem = parsed.problems[0];
  }
}

// Digests outputs and, if `publisher` is given, hands them to the store.
class OutputTaker {
 public:
  OutputTaker(Collection& result, const Workspace& workspace, store::Snapshots& snapshots,
              store::Publisher* publisher)
      : result_(result), workspace_(workspace), snapshots_(snapshots), publisher_(publisher) {}

  void take(const std::string& path, const std::string& as_written, const std::string& kind) {
    // What lies elsewhere is not ours to keep, nor to put a copy of in the place of the link.
    if (const std::string target = outside(path); !target.empty()) {
      all_ = false;
      result_.notes.push_back("its output '" + as_written + "' is a symbolic link to '" + target +
                              "', outside of the workspace: it is not kept, and the step runs each time");
      return;
    }
    const auto content = publisher_ ? snapshots_.keep(path, *publisher_) : snapshots_.look(path);
    if (!content) {
      if (result_.problem.empty())
        result_.problem = "ended well but did not make its output '" + as_written + "'";
      return;
    }
    ArtifactRecord a;
    a.step = result_.step;
    a.path = workspace_.relative(path);
    a.kind = kind;
    a.form = form_of(*content);
    a.sha256 = content->digest.hex();
    a.size = content->size;
    a.files = content->files;
    result_.artifacts.push_back(std::move(a));
  }

  /// Everything could be looked at.
  bool all() const { return all_; }

 private:
  // Where a link leads, if that is no part of the workspace.
  std::string outside(const std::string& path) const {
    std::error_code error;
    if (!std::filesystem::is_symlink(path, error) || error) return {};
    const std::string target = std::filesystem::weakly_canonical(path, error).string();
    const std::string root = std::filesystem::weakly_canonical(workspace_.root(), error).string();
    return error || target == root || target.starts_with(root == "/" ? root : root + "/") ? "" : target;
  }

  Collection& result_;
  const Workspace& workspace_;
  store::Snapshots& snapshots_;
  store::Publisher* publisher_;
  bool all_ = true;
};

void find_outputs(const CollectJob& job, const Step& step, Collection& result) {
  for (const Output& output : step.outputs) {
    if (!util::exists(step_path(job.directory, output.path)) && result.problem.empty())
      result.problem = "ended well but did not make its output '" + output.path + "'";
  }
}

// False if an output could not be taken.
bool take_outputs(const CollectJob& job, const Step& step, OutputTaker taker) {
  for (const Output& output : step.outputs)
    taker.take(step_path(job.directory, output.path), output.path, output.kind);
  for (const std::string& file : step.metrics) {
    const std::string path = step_path(job.directory, file);
    const bool declared = std::ranges::any_of(
        step.outputs, [&](const Output& output) { return step_path(job.directory, output.path) == path; });
    if (!declared && util::exists(path)) taker.take(path, file, "metrics");
  }
  return taker.all();
}

// Publishes the outputs if they are to be kept. A store that cannot be written to does not undo what the step
// did: its outputs are there, and are made again next time.
void collect_outputs(const CollectJob& job, const Step& step, const Workspace& workspace, Depot& depot,
                     Collection& result) {
  if (job.keep) {
    try {
      store::Publisher publisher(depot.objects);
      const bool all = take_outputs(job, step, {result, workspace, depot.snapshots, &publisher});
      publisher.commit();
      if (all && result.problem.empty()) result.key = job.key;
      return;
    } catch (const Error& error) {
      result.notes.push_back(std::string("its outputs are not kept for later runs: ") + error.what());
      result.artifacts.clear();
    }
  }
  take_outputs(job, step, {result, workspace, depot.snapshots, nullptr});
}

void collect_metric_file(Collection& result, const std::string& path, const std::string& as_written) {
  if (const auto live = dvclive_directory(path)) {
    ParsedMetrics parsed = read_dvclive(*live);
    result.metrics.insert(result.metrics.end(), parsed.points.begin(), parsed.points.end());
    for (std::string& problem : parsed.problems) result.notes.push_back(std::move(problem));
    return;
  }
  const auto text = util::read_regular_file(path, metrics_limit);
  if (!text) {
    if (result.problem.empty())
      result.problem = "ended well but did not write its metrics '" + as_written + "'";
    return;
  }
  ParsedMetrics parsed = parse_metrics_file(path, *text);
  if (parsed.broken && result.problem.empty()) result.problem = parsed.problems[0];
  result.metrics.insert(result.metrics.end(), parsed.points.begin(), parsed.points.end());
  for (std::string& problem : parsed.problems) result.notes.push_back(std::move(problem));
}

// What is digested of hidden files says which they were. Looking at larger ones is not worth the time.
constexpr std::uint64_t hidden_digest_limit = 256u << 20;

}  // namespace

void collect_trace(const CollectJob& job, const Step& step, const Workspace& workspace, Depot* depot,
                   Collection& result) {
  const auto trace = process::parse_trace(util::read_file_if_exists(job.trace_path).value_or(""));
  const auto of_project = std::ranges::count_if(trace.files, [&](const process::FileAccess& file) {
    return !workspace.relative(file.path).starts_with('/');
  });
  result.trace = TraceRecord{job.step, job.attempt, static_cast<std::uint64_t>(of_project), trace.problem};
  result.hidden = hidden_files(trace, step, job.directory, workspace);
  for (HiddenFile& file : result.hidden) {
    file.step = job.step;
    const std::string path = path_of_record(workspace, file.path);
    struct stat st {};
    if (::stat(path.c_str(), &st) != 0 || !S_ISREG(st.st_mode)) continue;
    file.form = st.st_mode & S_IXUSR ? "executable" : "file";
    file.size = static_cast<std::uint64_t>(st.st_size);
    if (!depot || file.size > hidden_digest_limit) continue;
    try {
      if (const auto content = depot->snapshots.look(path)) file.sha256 = content->digest.hex();
    } catch (const Error& error) {
      result.notes.push_back(error.what());
    }
  }
  for (const std::string& note : trace.notes) result.notes.push_back(note);
  if (!trace.problem.empty()) result.notes.push_back("its reads are not traced: " + trace.problem);
  if (std::string words = hidden_words(result.hidden, 3); !words.empty())
    result.notes.push_back("it " + words + " (mlops lint)");
}

namespace {

// An input that cannot be kept takes nothing from what the step did.
void collect_inputs(const CollectJob& job, const Workspace& workspace, Depot& depot, Collection& result) {
  if (job.inputs.empty()) return;
  try {
    for (ArtifactRecord& input :
         keep_inputs(job.inputs, job.keep_large, workspace, depot.objects, depot.snapshots))
      result.artifacts.push_back(std::move(input));
  } catch (const Error& error) {
    result.notes.push_back(std::string("its inputs are not kept: ") + error.what());
  }
}

}  // namespace

Collection collect(const CollectJob& job, const Step& step, const Workspace& workspace, Depot* depot) {
  Collection result;
  result.step = job.step;
  result.attempt = job.attempt;
  result.succeeded = job.succeeded;
  try {
    collect_small_files(job, result);
    if (!job.trace_path.empty()) collect_trace(job, step, workspace, depot, result);
    if (!job.succeeded) {
      if (depot) collect_inputs(job, workspace, *depot, result);
      return result;
    }
    for (const std::string& file : step.metrics)
      collect_metric_file(result, step_path(job.directory, file), file);
    if (depot) {
      collect_outputs(job, step, workspace, *depot, result);
      collect_inputs(job, workspace, *depot, result);
    } else {
      find_outputs(job, step, result);
    }
  } catch (const std::exception& error) {
    if (result.problem.empty()) result.problem = error.what();
  }
  return result;
}

Collector::Collector(const Pipeline& pipeline, const Workspace& workspace, CacheSettings settings)
    : pipeline_(pipeline),
      workspace_(workspace),
      settings_(std::move(settings)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!wake_) throw_errno("cannot make an eventfd", errno);
}

Collector::~Collector() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
    jobs_.clear();
  }
  changed_.notify_one();
  thread_.join();
}

void Collector::submit(Job job) {
  if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
  ++open_;
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  changed_.notify_one();
}

void Collector::stop_waiting() {
  const std::lock_guard lock(mutex_);
  stopping_ = true;
  if (depot_) depot_->stopping = true;
}

void Collector::abort() {
  stop_waiting();
  const std::lock_guard lock(mutex_);
  open_ = 0;
  closing_ = true;
  jobs_.clear();
  if (depot_) depot_->objects.stop_reading();
}

std::vector<Collector::Result> Collector::take() {
  std::uint64_t count = 0;
  (void)!::read(wake_.get(), &count, sizeof count);
  const std::lock_guard lock(mutex_);
  open_ -= static_cast<int>(done_.size());
  return std::exchange(done_, {});
}

Collector::Result Collector::do_job(Job job) {
  std::string problem;
  if (!depot_) {
    try {
      auto depot = std::make_unique<Depot>(workspace_);
      const std::lock_guard lock(mutex_);  // abort() may look at it
      depot_ = std::move(depot);
      depot_->stopping = stopping_;
    } catch (const Error& error) {
      // A store that cannot be opened does not undo what a step did.
      if (std::holds_alternative<OpenFacts>(job)) throw;
      problem = error.what();
    }
  }
  if (depot_ && !results_) results_ = make_results(pipeline_, workspace_, *depot_, settings_);
  if (const auto* collection = std::get_if<CollectJob>(&job)) {
    if (results_) return results_->collect(*collection);
    Collection result = collect(*collection, pipeline_.steps[static_cast<std::size_t>(collection->step)],
                                workspace_, nullptr);
    result.notes.push_back("its outputs are not kept for later runs: " + problem);
    return result;
  }
  return results_->check(std::move(std::get<OpenFacts>(job)), true);
}

void Collector::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return closing_ || !jobs_.empty(); });
    if (closing_) break;
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    // A step that cannot be checked runs; one that cannot be collected has failed.
    CheckResult unknown;
    Collection failed;
    const bool checks = std::holds_alternative<OpenFacts>(job);
    if (checks) {
      unknown.step = std::get<OpenFacts>(job).step;
    } else {
      const CollectJob& asked = std::get<CollectJob>(job);
      failed.step = asked.step;
      failed.attempt = asked.attempt;
      failed.succeeded = asked.succeeded;
    }
    Result result;
    try {
      result = do_job(std::move(job));
    } catch (const std::exception& error) {
      unknown.note = failed.problem = error.what();
      if (checks) {
        result = std::move(unknown);
      } else {
        result = std::move(failed);
      }
    }
    lock.lock();
    done_.push_back(std::move(result));
    const std::uint64_t one = 1;
    if (done_.size() == 1) (void)!::write(wake_.get(), &one, sizeof one);  // else it was written already
  }
  lock.unlock();
  try {
    results_.reset();
    if (depot_) depot_->snapshots.save();
  } catch (const std::exception& error) {
    util::log_debug(std::string("what was learnt of files is lost: ") + error.what());
  }
}

}  // namespace mlops::engine
