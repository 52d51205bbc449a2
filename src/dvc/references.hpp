// The stages of a DVC project with `${params.…}` where their dvc.yaml names values.
#pragma once

#include <mlops/pipeline.hpp>

#include "pipeline/dvc/stage_reader.hpp"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace mlops::dvc {

class References {
 public:
  /// Reads the files of `pipeline` (which has `dvc`) again, as they were when it was loaded.
  explicit References(const Pipeline& pipeline);

  /// The values that references in texts so far name, as `params:` of a pipeline file.
  OrderedJson params() const;

  /// The stage behind a step; null if it cannot be told with references.
  const pipeline::dvc::ReadStage* find(const Step& step, const DvcStage& stage) const;

  /// Metrics (absolute) and plots of the tops of the files.
  const std::vector<std::string>& metrics() const { return metrics_; }
  const std::vector<std::string>& plots() const { return plots_; }

  /// A text of find() as a path or another text of a pipeline file.
  std::string in_text(const std::string& marked);

  /// A text of find() as a line of a script.
  std::string in_script(const std::string& marked);

  /// Names of values that are filled in, as no reference can stand for them where they are named.
  const std::set<std::string>& fixed() const { return fixed_; }

 private:
  struct Part {
    std::string text;
    bool reference = false;  ///< `text` is the name of a value
  };
  std::vector<Part> parts_of(const std::string& marked) const;
  std::optional<std::string> refer(const std::vector<std::string>& parts, const OrderedJson& whole,
                                   const OrderedJson& value);
  std::optional<std::string> reference_to(const std::vector<std::string>& parts, const std::string& name,
                                          const OrderedJson& whole, const OrderedJson& value);
  void fix_options(const std::string& name, const OrderedJson& map);
  std::string plain(const std::string& marked) const;
  std::string written(const std::string& name);

  OrderedJson params_ = OrderedJson::object();
  std::set<std::string> used_;                // of params_
  std::map<std::string, std::string> texts_;  // of params by dotted name
  std::map<std::string, pipeline::dvc::ReadStage> stages_;
  std::set<std::string> fixed_;
  std::vector<std::string> metrics_, plots_;
};

}  // namespace mlops::dvc
