#include "params/names.hpp"

#include "util/strings.hpp"

#include <algorithm>

namespace mlops::params {

void StepNames::add(const std::string& name, const std::string& base) {
  names_.insert(name);
  if (bases_.empty() || bases_.back() != base) bases_.push_back(base);
  if (name != base) expansions_[base].push_back(name);
}

void StepNames::add_open(const std::string& base) {
  add(base, base);
  open_.insert(base);
}

bool StepNames::is_open(std::string_view name) const {
  return !open_.empty() && open_.contains(std::string(name.substr(0, name.find('@'))));
}

bool StepNames::contains(std::string_view name) const {
  return names_.contains(std::string(name)) || is_open(name);
}

std::vector<std::string> StepNames::resolve(std::string_view name) const {
  std::string key(name);
  if (names_.contains(key)) return {std::move(key)};
  if (is_open(name)) return {key.substr(0, key.find('@'))};
  const auto found = expansions_.find(key);
  return found == expansions_.end() ? std::vector<std::string>() : found->second;
}

std::optional<StepNames::Split> StepNames::split(std::string_view text) const {
  std::optional<Split> best;
  for (std::size_t end = text.find('.', 1);; end = text.find('.', end + 1)) {
    const std::string_view name = text.substr(0, end);
    if (name.size() > 256) break;
    const std::string key(name);
    if (names_.contains(key) || expansions_.contains(key)) best = Split{name, text.substr(name.size())};
    if (end == text.npos) break;
  }
  if (!best && is_open(text.substr(0, text.find('.')))) {
    // Its name may hold dots, too.
    std::size_t end = text.size();
    for (const char* field : {".outputs.", ".metrics.", ".state", ".exit_code"})
      end = std::min(end, text.find(field));
    best = Split{text.substr(0, end), text.substr(end)};
  }
  return best;
}

std::string StepNames::suggest(std::string_view name) const {
  if (++suggestions_ > 50) return {};
  const auto expansion = expansions_.find(std::string(name.substr(0, name.find('@'))));
  if (expansion != expansions_.end()) {
    std::string near = util::closest(name, expansion->second);
    if (near.empty() && expansion->second.size() > 20) near = expansion->second.front();
    if (near.empty()) return "known: " + util::join(expansion->second, ", ");
    return "did you mean '" + near + "'?";
  }
  return util::did_you_mean(name, bases_);
}

}  // namespace mlops::params
