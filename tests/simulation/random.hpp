// What all simulations share: chance by seed, a trace of what happened, and the way to say what is wrong.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace simulation {

/// splitmix64: its sequence is the same with each compiler and library.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t bits() {
    std::uint64_t x = state_ += 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
  }
  std::int64_t pick(std::int64_t least, std::int64_t most) {
    return least + static_cast<std::int64_t>(bits() % static_cast<std::uint64_t>(most - least + 1));
  }
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(bits() % n); }
  /// True in `n` of a hundred.
  bool percent(int n) { return static_cast<int>(bits() % 100) < n; }
  template <class T, std::size_t N>
  const T& of(const T (&list)[N]) {
    return list[below(N)];
  }

 private:
  std::uint64_t state_;
};

/// A rule that does not hold.
struct Violation : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// What happened, in words; off, it costs nothing.
class Trace {
 public:
  explicit Trace(bool on) : on_(on) {}
  template <class Words>
  void note(const Words& words) {
    if (on_) lines_.push_back(words());
  }
  const std::vector<std::string>& lines() const { return lines_; }

 private:
  bool on_;
  std::vector<std::string> lines_;
};

/// What is made wrong on purpose, so that the rules have something to find.
enum class Break { nothing, retries, order, limit, twice, end, lost, slot, catchup, claim };

/// Counts of what was simulated.
struct Tally {
  std::uint64_t events = 0, starts = 0, crashes = 0, parts = 0, slots = 0, runs = 0;
};

}  // namespace simulation
