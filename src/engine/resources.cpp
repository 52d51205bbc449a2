#include "engine/resources.hpp"

#include "util/files.hpp"
#include "util/quantity.hpp"
#include "util/strings.hpp"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <thread>

namespace mlops::engine {

namespace {
constexpr double epsilon = 1e-6;  // 0.1 + 0.2 + 0.7 cores fill one core

std::string number(double value) {
  std::string text = std::to_string(value);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text;
}
}  // namespace

Capacity machine_capacity() {
  Capacity capacity;
  capacity.cpus = std::max(1u, std::thread::hardware_concurrency());
  capacity.jobs = static_cast<int>(capacity.cpus);
  const long pages = ::sysconf(_SC_PHYS_PAGES), page = ::sysconf(_SC_PAGESIZE);
  if (pages > 0 && page > 0)
    capacity.memory = static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(page);
  if (const char* visible = std::getenv("CUDA_VISIBLE_DEVICES")) {
    for (const std::string& id : util::split(visible, ',')) {
      if (!util::trim(id).empty() && id != "-1") capacity.gpus.emplace_back(util::trim(id));
    }
  } else {
    for (int i = 0; util::exists("/dev/nvidia" + std::to_string(i)); ++i)
      capacity.gpus.push_back(std::to_string(i));
  }
  return capacity;
}

std::string impossible(const Resources& wanted, const Capacity& capacity) {
  std::vector<std::string> problems;
  if (wanted.cpus > capacity.cpus + epsilon)
    problems.push_back("asks for " + number(wanted.cpus) + " cpus, this machine has " +
                       number(capacity.cpus));
  if (wanted.memory > capacity.memory) {
    problems.push_back("asks for " + util::format_size(wanted.memory) + " of memory, this machine has " +
                       util::format_size(capacity.memory));
  }
  if (wanted.gpus > static_cast<int>(capacity.gpus.size())) {
    problems.push_back("asks for " + std::to_string(wanted.gpus) + " gpus, this machine has " +
                       std::to_string(capacity.gpus.size()) + " (CUDA_VISIBLE_DEVICES or /dev/nvidia*)");
  }
  for (const auto& [pool, count] : wanted.pools) {
    const auto it = capacity.pools.find(pool);
    const int size = it == capacity.pools.end() ? 0 : it->second;
    if (count > size) {
      problems.push_back("asks for " + std::to_string(count) + " of pool '" + pool + "', which has " +
                         std::to_string(size));
    }
  }
  return util::join(problems, ", and ");
}

void require_possible(const Pipeline& pipeline, const Plan& plan) {
  Capacity capacity = machine_capacity();
  capacity.pools = pipeline.pools;
  std::vector<std::string> problems, names;
  for (const PlannedStep& planned : plan.steps) {
    const Step& step = pipeline.steps[static_cast<std::size_t>(planned.step)];
    const std::string why = planned.selected ? impossible(step.resources, capacity) : "";
    if (why.empty()) continue;
    problems.push_back("step '" + step.name + "' can never start here: it " + why);
    names.push_back(step.name);
  }
  if (problems.empty()) return;
  throw Error(ExitCode::usage, util::join(problems, "\n  "),
              "lower `resources:`, or leave out with --skip " + util::join(names, ","));
}

std::uint64_t memory_kills() {
  const std::string text = util::read_file_if_exists("/proc/vmstat").value_or("");
  const std::size_t at = text.find("oom_kill ");
  return at == text.npos ? 0 : std::strtoull(text.c_str() + at + 9, nullptr, 10);
}

bool ResourceLedger::fits(const Resources& wanted) const {
  if (free_.jobs < 1 || wanted.cpus > free_.cpus + epsilon || wanted.memory > free_.memory ||
      wanted.gpus > static_cast<int>(free_.gpus.size())) {
    return false;
  }
  return std::all_of(wanted.pools.begin(), wanted.pools.end(), [&](const auto& pool) {
    const auto it = free_.pools.find(pool.first);
    return it != free_.pools.end() && it->second >= pool.second;
  });
}

std::vector<std::string> ResourceLedger::take(const Resources& wanted) {
  --free_.jobs;
  free_.cpus -= wanted.cpus;
  free_.memory -= wanted.memory;
  for (const auto& [pool, count] : wanted.pools) free_.pools[pool] -= count;
  const auto end = free_.gpus.begin() + wanted.gpus;
  std::vector<std::string> gpus(free_.gpus.begin(), end);
  free_.gpus.erase(free_.gpus.begin(), end);
  return gpus;
}

void ResourceLedger::give_back(const Resources& taken, const std::vector<std::string>& gpus) {
  ++free_.jobs;
  free_.cpus += taken.cpus;
  free_.memory += taken.memory;
  for (const auto& [pool, count] : taken.pools) free_.pools[pool] += count;
  free_.gpus.insert(free_.gpus.end(), gpus.begin(), gpus.end());
  std::sort(free_.gpus.begin(), free_.gpus.end());
}

}  // namespace mlops::engine
