#include "util/id.hpp"

#include "util/time.hpp"

#include <sys/random.h>

#include <algorithm>
#include <cstdint>

namespace mlops::util {

namespace {

constexpr char id_digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
constexpr std::size_t time_length = 10, id_length = 16;

}  // namespace

std::string id_prefix(Instant moment) {
  std::int64_t ms = std::max<std::int64_t>(0, moment.time_since_epoch().count());
  std::string prefix(time_length, '0');
  for (std::size_t i = time_length; i-- > 0; ms >>= 5) prefix[i] = id_digits[ms & 31];
  return prefix;
}

Instant time_of_id(std::string_view id) {
  std::int64_t ms = 0;
  for (const char c : id.substr(0, time_length)) {
    const std::size_t digit = std::string_view(id_digits).find(c);
    ms = ms << 5 | static_cast<std::int64_t>(digit == std::string_view::npos ? 0 : digit);
  }
  return Instant(std::chrono::milliseconds(ms));
}

bool is_id(std::string_view text) {
  if (text.size() != id_length) return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z'); });
}

std::string new_id() {
  static std::int64_t last = 0;
  std::int64_t ms = now().time_since_epoch().count();
  if (ms <= last) ms = last + 1;
  last = ms;
  std::uint32_t random = 0;
  if (::getrandom(&random, sizeof random, 0) != sizeof random)
    random = static_cast<std::uint32_t>(ms * 2654435761);
  std::string id = id_prefix(Instant(std::chrono::milliseconds(ms)));
  id.resize(id_length);
  for (std::size_t i = id_length; i-- > time_length; random >>= 5) id[i] = id_digits[random & 31];
  return id;
}

}  // namespace mlops::util
