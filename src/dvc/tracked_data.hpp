// Inputs of stages that need not be what lies there. Data that .dvc files track: absent data comes from the
// cache, changed data is taken as it is now and its .dvc file brought up to date, as `dvc repro` does. And,
// for a look ahead, outputs that would be put back.
#pragma once

#include <mlops/dvc.hpp>

#include "dvc/content_cache.hpp"
#include "dvc/hasher.hpp"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace mlops::dvc {

class TrackedData {
 public:
  TrackedData(const DvcProject& project, Hasher& hasher, ContentCache& cache)
      : project_(project), hasher_(hasher), cache_(cache) {}

  /// What lies at `path`. With `bring_in`, after the data that it is part of was put in place or kept, each
  /// once; without, what would lie there, and nothing is changed.
  std::optional<Content> look(const std::string& path, Hash hash, bool bring_in);

  /// Why nothing lies at `path` and nothing can be put there, if it has to do with tracked data; or empty.
  std::string why_absent(const std::string& path);

  /// What became of tracked data since the last call, or would become of it; for people.
  std::vector<std::string> take_remarks() { return std::exchange(remarks_, {}); }

  /// From now on `content` is what would lie at `path`: nobody puts it there, as nothing is to be changed.
  void expect(const std::string& path, Hash hash, Content content);

 private:
  struct Expected {
    Hash hash;
    Content content;
  };
  void bring_in(const std::string& path, bool really);
  std::optional<Content> look_ahead(const std::string& path, Hash hash);
  std::optional<Content> around_expected(const std::string& path, Hash hash);
  std::optional<Content> inside(const std::string& folder, const Wanted& wanted, const std::string& path);
  bool is_cached(const DvcTracked& data);
  void look_after(const DvcTracked& data, bool really);
  void commit(const DvcTracked& data, const Content& content);

  const DvcProject& project_;
  Hasher& hasher_;
  ContentCache& cache_;
  std::map<std::string, bool> obtainable_;  // for a look ahead: absent data that the cache has
  std::set<std::string> seen_;              // data that was looked after
  std::vector<std::string> remarks_;
  std::map<std::string, Expected> expected_;  // by path
};

}  // namespace mlops::dvc
