// Admission: what running steps hold of the machine, and whether another fits. Pure.
#pragma once

#include <mlops/pipeline.hpp>
#include <mlops/plan.hpp>

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace mlops::engine {

/// What there is to give.
struct Capacity {
  int jobs = 1;  ///< steps at a time
  double cpus = 0;
  std::uint64_t memory = 0;       ///< bytes
  std::vector<std::string> gpus;  ///< ids as CUDA_VISIBLE_DEVICES names them
  std::map<std::string, int> pools;
};

/// The machine's cores, memory and GPUs (CUDA_VISIBLE_DEVICES if set, else NVIDIA devices).
Capacity machine_capacity();

/// Why `wanted` can never be granted by `capacity`, in words; "" if it can.
std::string impossible(const Resources& wanted, const Capacity& capacity);

/// What the selected steps ask of this machine must be possible before any of them runs. Throws Error(usage)
/// naming all that cannot.
void require_possible(const Pipeline& pipeline, const Plan& plan);

/// How often the kernel has killed for lack of memory since boot.
std::uint64_t memory_kills();

class ResourceLedger {
 public:
  explicit ResourceLedger(Capacity capacity) : free_(std::move(capacity)) {}

  bool has_slot() const { return free_.jobs > 0; }
  bool fits(const Resources& wanted) const;
  /// The GPUs granted; fits() must hold.
  std::vector<std::string> take(const Resources& wanted);
  void give_back(const Resources& taken, const std::vector<std::string>& gpus);

 private:
  Capacity free_;
};

}  // namespace mlops::engine
