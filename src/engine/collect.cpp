#include "engine/collect.hpp"

#include "engine/metric_files.hpp"
#include "util/files.hpp"

#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

namespace mlops::engine {

std::string step_directory(const Pipeline& pipeline, const Step& step) {
  return step.workdir.empty() ? pipeline.directory : step_path(pipeline.directory, step.workdir);
}

std::string step_path(const std::string& directory, const std::string& path) {
  std::string text = (std::filesystem::path(directory) / path).lexically_normal().string();
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  return text;
}

std::optional<util::Content> DigestMemo::hash(const std::string& path) {
  struct stat st {};
  const bool file = ::stat(path.c_str(), &st) == 0 && S_ISREG(st.st_mode);
  const Key key{st.st_dev, st.st_ino, st.st_size, st.st_mtim.tv_sec * 1'000'000'000LL + st.st_mtim.tv_nsec,
                st.st_ctim.tv_sec * 1'000'000'000LL + st.st_ctim.tv_nsec};
  if (file) {
    const std::lock_guard lock(mutex_);
    if (const auto it = known_.find(key); it != known_.end()) return it->second;
  }
  auto content = util::hash_path(path);
  struct stat after {};
  // Remembered only if it did not change while it was read.
  if (file && content && ::stat(path.c_str(), &after) == 0 && after.st_mtim.tv_nsec == st.st_mtim.tv_nsec &&
      after.st_mtim.tv_sec == st.st_mtim.tv_sec && after.st_size == st.st_size) {
    const std::lock_guard lock(mutex_);
    known_[key] = *content;
  }
  return content;
}

namespace {

void collect_small_files(const CollectJob& job, Collection& result) {
  if (auto text = util::read_file_if_exists(job.metrics_path)) {
    ParsedMetrics parsed = parse_metric_lines(*text);
    result.metrics = std::move(parsed.points);
    for (std::string& problem : parsed.problems) result.notes.push_back(std::move(problem));
  }
  if (!job.succeeded) return;
  if (auto text = util::read_file_if_exists(job.output_path)) {
    ParsedOutputs parsed = parse_outputs(*text);
    result.outputs = std::move(parsed.values);
    if (!parsed.problems.empty()) result.problem = parsed.problems[0];
  }
}

void collect_artifact(Collection& result, const std::string& path, const std::string& as_written, bool output,
                      const std::string& kind, const Workspace& workspace, DigestMemo& memo) {
  const auto content = memo.hash(path);
  if (!content) {
    if (output && result.problem.empty())
      result.problem = "ended well but did not make its output '" + as_written + "'";
    return;
  }
  ArtifactRecord a;
  a.step = result.step;
  a.output = output;
  a.path = workspace.relative(path);
  a.kind = kind;
  a.sha256 = content->sha256;
  a.size = content->size;
  a.files = content->files;
  result.artifacts.push_back(std::move(a));
}

void collect_metric_file(Collection& result, const std::string& path, const std::string& as_written) {
  constexpr std::size_t limit = 256u << 20;
  if (!util::exists(path)) {
    if (result.problem.empty())
      result.problem = "ended well but did not write its metrics '" + as_written + "'";
    return;
  }
  ParsedMetrics parsed = parse_metrics_file(path, util::read_file(path, limit));
  result.metrics.insert(result.metrics.end(), parsed.points.begin(), parsed.points.end());
  for (std::string& problem : parsed.problems) result.notes.push_back(std::move(problem));
}

}  // namespace

Collection collect(const CollectJob& job, const Step& step, const Workspace& workspace, DigestMemo& memo) {
  Collection result;
  result.step = job.step;
  result.attempt = job.attempt;
  try {
    collect_small_files(job, result);
    if (!job.succeeded) return result;
    for (const std::string& input : step.inputs) {
      collect_artifact(result, step_path(job.directory, input), input, false, "", workspace, memo);
    }
    for (const Output& output : step.outputs) {
      collect_artifact(result, step_path(job.directory, output.path), output.path, true, output.kind,
                       workspace, memo);
    }
    for (const std::string& file : step.metrics) {
      const std::string path = step_path(job.directory, file);
      collect_metric_file(result, path, file);
      bool declared = false;
      for (const Output& output : step.outputs)
        declared = declared || step_path(job.directory, output.path) == path;
      if (!declared && util::exists(path))
        collect_artifact(result, path, file, true, "metrics", workspace, memo);
    }
  } catch (const std::exception& error) {
    if (result.problem.empty()) result.problem = error.what();
  }
  return result;
}

Collector::Collector(const Pipeline& pipeline, const Workspace& workspace)
    : pipeline_(pipeline), workspace_(workspace), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
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

void Collector::submit(CollectJob job) {
  if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  changed_.notify_one();
}

std::vector<Collection> Collector::take() {
  std::uint64_t count = 0;
  (void)!::read(wake_.get(), &count, sizeof count);
  const std::lock_guard lock(mutex_);
  return std::exchange(done_, {});
}

void Collector::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return closing_ || !jobs_.empty(); });
    if (closing_) return;
    const CollectJob job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    Collection result = collect(job, pipeline_.steps[static_cast<std::size_t>(job.step)], workspace_, memo_);
    lock.lock();
    done_.push_back(std::move(result));
    const std::uint64_t one = 1;
    (void)!::write(wake_.get(), &one, sizeof one);
  }
}

}  // namespace mlops::engine
