#include "schedule/seal.hpp"

#include "util/digest.hpp"
#include "util/strings.hpp"

#include <algorithm>

namespace mlops::schedule {

namespace {
constexpr std::string_view seal_words = "# written by `mlops schedule install`, which also takes it away: ";
}

std::string seal(const std::vector<std::string>& lines) {
  return std::string(seal_words) + util::sha256(util::join(lines, "\n")).substr(0, 16);
}

Sealed unseal(std::vector<std::string>& lines) {
  const auto found =
      std::ranges::find_if(lines, [](const std::string& line) { return line.starts_with(seal_words); });
  if (found == lines.end()) return Sealed::no;
  const std::string line = *found;
  lines.erase(found);
  return line == seal(lines) ? Sealed::intact : Sealed::changed;
}

}  // namespace mlops::schedule
