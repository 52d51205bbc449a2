// Which private addresses URLs of pipeline files may lead to.
#pragma once

#include "util/addresses.hpp"
#include "workspace/config.hpp"

namespace mlops::workspace {

/// As `notify: {allow_private: …}` of the configuration says.
util::Networks networks_of(const Config& config);

}  // namespace mlops::workspace
