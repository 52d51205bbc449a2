// The files that a DVC project is read from, kept so that a run can be read from them again.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace mlops::pipeline::dvc {

class Sources {
 public:
  /// With `frozen`, everything comes from there and nothing from the disk.
  explicit Sources(const std::map<std::string, std::string>* frozen) : frozen_(frozen) {}

  /// The bytes of a file, by absolute path; nullopt if there is none.
  std::optional<std::string> read(const std::string& path);

  /// The dvc.yaml and *.dvc files below `root`, a directory's own before those further down, without what
  /// .gitignore or .dvcignore leave out: the outputs of stages are among that.
  std::vector<std::string> find(const std::string& root);

  const std::map<std::string, std::string>& taken() const { return taken_; }
  bool frozen() const { return frozen_ != nullptr; }

 private:
  const std::map<std::string, std::string>* frozen_;
  std::map<std::string, std::string> taken_;
};

}  // namespace mlops::pipeline::dvc
