#include "pipeline/dvc/ignore.hpp"

#include "util/files.hpp"

namespace mlops::pipeline::dvc {

util::IgnoreRules ignore_rules(const std::string& root, const std::string& path) {
  util::IgnoreRules rules;
  rules.add(".git/\n.hg/\n.dvc/\n", "");
  if (path != root && !path.starts_with(root + "/")) return rules;
  std::string below;
  for (std::size_t at = root.size();;) {
    const std::string here = root + (below.empty() ? "" : "/" + below);
    if (here == path) break;
    if (const auto text = util::read_regular_file(here + "/.dvcignore", 16u << 20)) rules.add(*text, below);
    const std::size_t slash = path.find('/', at + 1);
    below = path.substr(root.size() + 1, slash == path.npos ? slash : slash - root.size() - 1);
    at = slash;
    if (slash == path.npos) break;
  }
  return rules;
}

}  // namespace mlops::pipeline::dvc
