#include "pipeline/problems.hpp"

#include "util/strings.hpp"

#include <algorithm>
#include <tuple>

namespace mlops::pipeline {

namespace {
constexpr std::size_t kMostKept = 10'000;
constexpr std::size_t kMostShown = 500;
}  // namespace

void Problems::add(Location at, std::string message, std::string hint) {
  if (list_.size() < kMostKept) list_.push_back({file_, at, std::move(message), std::move(hint)});
}

std::string Problems::suggest(std::string_view word, const std::vector<std::string>& candidates) const {
  return many() ? std::string() : util::did_you_mean(word, candidates);
}

Location Problems::locate(Location begin, std::string_view snippet, int occurrence) const {
  if (begin.line <= 0 || snippet.empty() || many()) return begin;
  std::size_t at = 0;
  for (int line = 1; line < begin.line; ++line) {
    at = source_.find('\n', at);
    if (at == source_.npos) return begin;
    ++at;
  }
  at = std::min(at + static_cast<std::size_t>(begin.column - 1), source_.size());
  at = source_.find(snippet, at);
  for (; occurrence > 0 && at != source_.npos; --occurrence) at = source_.find(snippet, at + 1);
  if (at == source_.npos) return begin;
  const std::string_view before = source_.substr(0, at);
  const std::size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
  return {static_cast<int>(std::ranges::count(before, '\n')) + 1, static_cast<int>(at - line_start) + 1};
}

void Problems::throw_if_any() {
  if (list_.empty()) return;
  const auto key = [](const Diagnostic& d) { return std::tie(d.at.line, d.at.column, d.message); };
  std::ranges::stable_sort(list_, [&](const Diagnostic& a, const Diagnostic& b) { return key(a) < key(b); });
  list_.erase(std::unique(list_.begin(), list_.end(),
                          [&](const Diagnostic& a, const Diagnostic& b) { return key(a) == key(b); }),
              list_.end());
  if (list_.size() > kMostShown) {
    const std::size_t more = list_.size() - kMostShown;
    list_.resize(kMostShown);
    list_.push_back({file_, {}, "and " + std::to_string(more) + " more problems", ""});
  }
  throw BadFile(std::move(list_));
}

}  // namespace mlops::pipeline
