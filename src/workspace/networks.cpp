#include "workspace/networks.hpp"

namespace mlops::workspace {

util::Networks networks_of(const Config& config) {
  util::Networks networks;
  for (const std::string& network : config.notify.allow_private) {
    if (network == "all") {
      networks.add_all();
    } else {
      networks.add(network);
    }
  }
  return networks;
}

}  // namespace mlops::workspace
