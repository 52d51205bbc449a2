// Data that .dvc files track, as inputs of stages: absent data comes from the cache, changed data is taken as
// it is now and its .dvc file brought up to date, as `dvc repro` does.
#pragma once

#include <mlops/dvc.hpp>

#include "dvc/content_cache.hpp"
#include "dvc/hasher.hpp"

#include <map>
#include <optional>
#include <string>

namespace mlops::dvc {

class TrackedData {
 public:
  TrackedData(const DvcProject& project, Hasher& hasher, ContentCache& cache)
      : project_(project), hasher_(hasher), cache_(cache) {}

  /// What lies at `path`. With `bring_in`, after the data that it is part of was put in place or kept, each
  /// once; without, what would lie there, and nothing is changed.
  std::optional<Content> look(const std::string& path, Hash hash, bool bring_in);

 private:
  void bring_in(const std::string& path);
  void commit(const DvcTracked& data, const Content& content);

  const DvcProject& project_;
  Hasher& hasher_;
  ContentCache& cache_;
  std::map<std::string, bool> brought_in_;
};

}  // namespace mlops::dvc
