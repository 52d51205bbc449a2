// Door to src/pipeline: a DVC project as values, as far as it is more than steps. What is done with them is
// in src/dvc.
#pragma once

#include <nlohmann/json.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace mlops {

/// A value of a params file or of dvc.lock: keys keep their order, as what DVC writes depends on it.
using OrderedJson = nlohmann::ordered_json;

struct DvcOut {
  std::string path;      ///< as written, relative to the stage's directory
  bool cache = true;     ///< its contents are kept in DVC's cache
  bool persist = false;  ///< stays in place while the stage runs
  bool metric = false;
  bool plot = false;
};

struct DvcParams {
  std::string path;               ///< of the params file, relative to the stage's directory
  std::vector<std::string> keys;  ///< dotted; empty: the whole file
};

/// One stage, beside the step of the same index in `Pipeline::steps`.
struct DvcStage {
  std::string file;  ///< the dvc.yaml, absolute
  std::string name;  ///< in it, and in the dvc.lock beside it
  OrderedJson cmd;   ///< a text or a list of texts, as dvc.lock has it
  std::vector<std::string> deps;
  std::vector<DvcParams> params;
  std::vector<DvcOut> outs;
  std::vector<std::string>
      metrics;  ///< files inside its outs that the top of the file calls metrics; absolute
  bool frozen = false;
  bool always_changed = false;
  int rank = 0;                       ///< its place in the order in which DVC would run the stages
  std::optional<OrderedJson> locked;  ///< its entry in dvc.lock when the file was read
};

/// Data that a `.dvc` file tracks.
struct DvcTracked {
  std::string file;     ///< the .dvc file, absolute
  std::string path;     ///< of the data, absolute
  std::string md5;      ///< ends in ".dir" for a directory; empty: not known
  bool legacy = false;  ///< md5 was made by DVC 2, which read texts with other line ends
  bool executable = false;
  bool cache = true;
  bool import = false;  ///< `dvc update` brings it: what is here is never written back to the .dvc file
};

struct DvcProject {
  std::string root;              ///< the directory that holds .dvc
  std::vector<DvcStage> stages;  ///< by step
  std::vector<DvcTracked> tracked;
  std::map<std::string, std::string> sources;  ///< what else the definition was read from: path → bytes
};

}  // namespace mlops
