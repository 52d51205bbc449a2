// What mlops writes into files of others vouches for itself, so that an edit by hand is seen and not lost.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mlops::schedule {

/// A comment that goes before `lines`.
std::string seal(const std::vector<std::string>& lines);

enum class Sealed { no, changed, intact };

/// Takes the comment out of `lines`, and says whether they are still what it was made for.
Sealed unseal(std::vector<std::string>& lines);

}  // namespace mlops::schedule
