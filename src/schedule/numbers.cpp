#include "schedule/numbers.hpp"

namespace mlops::schedule {

std::string numbers_text(std::uint64_t bits, int low, int high, const char* to, int width) {
  const auto has = [&](int n) { return n <= high && (bits >> n & 1) != 0; };
  const auto digits = [&](int n) {
    const std::string text = std::to_string(n);
    return std::string(static_cast<int>(text.size()) < width ? 1 : 0, '0') + text;
  };
  std::string out;
  for (int n = low; n <= high; ++n) {
    if (!has(n)) continue;
    int last = n;
    while (has(last + 1)) ++last;
    if (n == low && last == high) return "*";
    if (!out.empty()) out += ',';
    out += digits(n);
    if (last > n) out += (last == n + 1 ? "," : to) + digits(last);
    n = last;
  }
  return out;
}

}  // namespace mlops::schedule
