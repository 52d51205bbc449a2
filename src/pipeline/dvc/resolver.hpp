// The values that a dvc.yaml names and where they come from; texts of the file with them filled in.
#pragma once

#include "pipeline/dvc/context.hpp"
#include "pipeline/dvc/sources.hpp"
#include "pipeline/problems.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace mlops::pipeline::dvc {

struct StageFile {
  std::string path;       ///< absolute
  std::string shown;      ///< as messages show it
  std::string directory;  ///< absolute
  std::string prefix;     ///< of the names of its steps: "" or "sub/dvc.yaml:"
  std::string workdir;    ///< its directory, relative to that of the pipeline; may be empty
};

/// Reports what is wrong to `problems`.
class Resolver {
 public:
  Resolver(const StageFile& file, const UnpackStyle& style, Sources& sources, Problems& problems)
      : file_(file), style_(style), sources_(sources), problems_(problems) {}

  /// Adds the values of `vars`: files, whole or in part, relative to `directory`, and maps.
  void load_vars(Context& context, const util::YamlNode& vars, const std::string& directory);

  /// Adds a file, or only `keys` of it. `path` is relative to the directory of the dvc.yaml, or absolute.
  void load_file(Context& context, const std::string& path, const std::vector<std::string>& keys,
                 Location at);

  /// A node with everything filled in, keys too; null after a problem. `key` is what it stands under.
  OrderedJson resolve(const util::YamlNode& node, const Context& context, std::string_view key);

 private:
  std::string shown(const std::string& full) const;

  const StageFile& file_;
  const UnpackStyle& style_;
  Sources& sources_;
  Problems& problems_;
};

}  // namespace mlops::pipeline::dvc
