#include "util/id.hpp"

#include "util/time.hpp"

#include <sys/random.h>

#include <cstdint>

namespace mlops::util {

std::string new_id() {
  static std::int64_t last = 0;
  std::int64_t ms = now().time_since_epoch().count();
  if (ms <= last) ms = last + 1;
  last = ms;
  std::uint32_t random = 0;
  if (::getrandom(&random, sizeof random, 0) != sizeof random)
    random = static_cast<std::uint32_t>(ms * 2654435761);
  constexpr char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
  std::string id(16, '0');
  for (std::size_t i = 10; i-- > 0; ms >>= 5) id[i] = digits[ms & 31];
  for (std::size_t i = 16; i-- > 10; random >>= 5) id[i] = digits[random & 31];
  return id;
}

}  // namespace mlops::util
