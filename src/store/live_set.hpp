// The digests that gc keeps, and why, in few bytes: a million objects take about 36 MiB.
#pragma once

#include "util/digest.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

namespace mlops::store {

/// A digest is known by half of its bits: should two ever share them, an object too many is kept.
class LiveSet {
 public:
  /// False if it is there already; the first reason stays. One that is excused is never called unseen.
  bool insert(const util::Digest& digest, int reason, bool excused = false) {
    if ((size_ + 1) * 10 > keys_.size() * 7) grow();
    const std::size_t at = place(key_of(digest));
    if (states_[at] != 0) return false;
    keys_[at] = key_of(digest);
    states_[at] = static_cast<std::uint8_t>(reason + 1) | (excused ? excuse : 0);
    ++size_;
    return true;
  }

  std::optional<int> reason(const util::Digest& digest) const {
    const std::uint8_t state = keys_.empty() ? 0 : states_[place(key_of(digest))];
    if (state == 0) return std::nullopt;
    return (state & ~(seen | excuse)) - 1;
  }
  bool contains(const util::Digest& digest) const { return reason(digest).has_value(); }

  /// Takes note that the store has it; false if that was known.
  bool see(const util::Digest& digest) {
    std::uint8_t& state = states_[place(key_of(digest))];
    if ((state & seen) != 0) return false;
    state |= seen;
    return true;
  }
  /// How many with this reason were not seen.
  std::uint64_t unseen(int reason) const {
    std::uint64_t count = 0;
    for (const std::uint8_t state : states_) count += state == reason + 1 ? 1 : 0;
    return count;
  }
  bool all_seen() const {
    return std::ranges::all_of(states_, [](std::uint8_t state) { return state == 0 || (state & seen) != 0; });
  }
  std::size_t size() const { return size_; }

 private:
  using Key = std::pair<std::uint64_t, std::uint64_t>;
  static constexpr std::uint8_t seen = 0x80, excuse = 0x40;

  static Key key_of(const util::Digest& digest) {
    Key key;
    std::memcpy(&key.first, digest.bytes.data(), 8);
    std::memcpy(&key.second, digest.bytes.data() + 8, 8);
    return key;
  }
  // Where a key is, or would be.
  std::size_t place(const Key& key) const {
    const std::size_t mask = keys_.size() - 1;
    std::size_t at = key.first & mask;
    while (states_[at] != 0 && keys_[at] != key) at = (at + 1) & mask;
    return at;
  }
  void grow() {
    LiveSet larger;
    larger.keys_.resize(keys_.empty() ? 1024 : keys_.size() * 2);
    larger.states_.resize(larger.keys_.size());
    for (std::size_t i = 0; i < keys_.size(); ++i) {
      if (states_[i] == 0) continue;
      const std::size_t at = larger.place(keys_[i]);
      larger.keys_[at] = keys_[i];
      larger.states_[at] = states_[i];
    }
    keys_ = std::move(larger.keys_);
    states_ = std::move(larger.states_);
  }

  std::vector<Key> keys_;  // a power of two
  std::vector<std::uint8_t> states_;
  std::size_t size_ = 0;
};

}  // namespace mlops::store
