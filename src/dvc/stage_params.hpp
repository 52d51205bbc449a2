// The params of stages: read from their files, and compared with what dvc.lock has.
#pragma once

#include <mlops/dvc.hpp>

#include "dvc/change.hpp"
#include "store/snapshot.hpp"

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace mlops::dvc {

/// The params of one stage as they are now.
struct ParamsState {
  OrderedJson values = OrderedJson::object();  ///< by file and key, as in dvc.lock
  std::map<std::string, std::string> texts;    ///< by name, as JSON
  std::vector<Change> changes;
  std::string problem;  ///< names that a file does not have
};

class StageParams {
 public:
  /// `directory` is the stage's. Throws BadFile for a file that cannot be read as its name says.
  ParamsState look(const DvcStage& stage, const std::string& directory);

 private:
  const OrderedJson& values_in(const std::string& path, const store::FileStamp& stamp);

  std::map<std::string, std::pair<store::FileStamp, OrderedJson>> files_;  // by path
};

}  // namespace mlops::dvc
