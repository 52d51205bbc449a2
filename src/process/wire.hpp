// Messages between runner and keeper: a 4-byte length, a type byte, then fields. Both ends are the same
// binary on the same machine, so numbers are in native order.
#pragma once

#include "process/attempt.hpp"

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace mlops::process {

enum class MessageType : std::uint8_t {
  // runner to keeper
  start = 1,  ///< StartRequest
  stop,       ///< AttemptKey, bool kill at once
  pause,      ///< stop the clocks and freeze all steps
  resume,
  output_read,  ///< the runner has read all logs: tell me again when there is more
  // keeper to runner
  started = 64,  ///< AttemptKey, pid, started_ms
  output,        ///< some log has grown
  ended,         ///< ExitRecord
  ready,         ///< the first one: the keeper holds its lock, so that everybody can see that it is there
};

class Writer {
 public:
  explicit Writer(MessageType type) : bytes_(4, '\0') { put(type); }

  template <typename T>
  void put(const T& value) requires(std::is_trivially_copyable_v<T>) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void put(const std::string& text) {
    put(static_cast<std::uint32_t>(text.size()));
    bytes_ += text;
  }
  void put(const std::vector<std::string>& list) {
    put(static_cast<std::uint32_t>(list.size()));
    for (const std::string& text : list) put(text);
  }
  /// The whole message, ready to send.
  const std::string& finish() {
    const auto length = static_cast<std::uint32_t>(bytes_.size() - 4);
    std::memcpy(bytes_.data(), &length, 4);
    return bytes_;
  }

 private:
  std::string bytes_;
};

/// More than the kernel takes of arguments and environment, and no reason to run out of memory.
inline constexpr std::uint32_t longest_message = 64u << 20;

/// Reads the fields of one message; a short message yields zeroes and `ok()` is false.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  template <typename T>
  T get() requires(std::is_trivially_copyable_v<T>) {
    T value{};
    if (rest_.size() < sizeof value) {
      ok_ = false;
      return value;
    }
    std::memcpy(&value, rest_.data(), sizeof value);
    rest_.remove_prefix(sizeof value);
    return value;
  }
  /// A byte that is neither 0 nor 1 is no bool, and reading it as one is undefined.
  bool flag() {
    const auto byte = get<std::uint8_t>();
    ok_ = ok_ && byte <= 1;
    return byte == 1;
  }
  std::string text() {
    const auto size = get<std::uint32_t>();
    if (size > rest_.size()) {
      ok_ = false;
      return {};
    }
    std::string value(rest_.substr(0, size));
    rest_.remove_prefix(size);
    return value;
  }
  std::vector<std::string> list() {
    std::vector<std::string> values;
    for (auto n = get<std::uint32_t>(); n > 0 && ok_; --n) values.push_back(text());
    return values;
  }
  bool ok() const { return ok_; }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

void put_request(Writer& message, const StartRequest& request);
StartRequest get_request(Reader& message);

/// Collects bytes of a stream socket and hands out whole messages.
class MessageBuffer {
 public:
  void append(std::string_view bytes) { bytes_ += bytes; }

  /// The next message without its length; valid until the next call of append().
  std::optional<std::string_view> next() {
    if (bytes_.size() - begin_ < 4) return compact();
    std::uint32_t length = 0;
    std::memcpy(&length, bytes_.data() + begin_, 4);
    if (length > longest_message) broken_ = true;
    if (broken_) return std::nullopt;
    if (bytes_.size() - begin_ - 4 < length) return compact();
    const std::string_view message(bytes_.data() + begin_ + 4, length);
    begin_ += 4 + length;
    return message;
  }

  /// What came is no message of ours; nothing more will come of it.
  bool broken() const { return broken_; }

 private:
  std::optional<std::string_view> compact() {
    bytes_.erase(0, begin_);
    begin_ = 0;
    return std::nullopt;
  }

  std::string bytes_;
  std::size_t begin_ = 0;
  bool broken_ = false;
};

}  // namespace mlops::process
