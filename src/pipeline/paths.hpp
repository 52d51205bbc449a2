// Paths of a pipeline file, compared without looking at the disk.
#pragma once

#include <mlops/pipeline.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace mlops::pipeline {

/// `path` of a step in `workdir` in one spelling: relative to `directory` ("data/raw.csv", "../x", ".") where
/// it lies there or was written relative, else absolute. No "./", no "x/..", no slash at the end.
std::string normal_path(std::string_view directory, std::string_view workdir, std::string_view path);

/// `path`, relative to `directory` unless it is absolute, as an absolute path without "..".
std::string absolute_path(const std::string& directory, const std::string& path);

/// normal_path() as a path that can be opened.
std::string path_on_disk(std::string_view directory, std::string_view normal);

/// The files that steps make, by path.
class Products {
 public:
  struct Product {
    std::string path;  ///< normal
    int step = 0;
    int place = 0;  ///< in step.outputs, or after these in step.metrics
  };

  explicit Products(const Pipeline& pipeline);

  /// In order of path, a folder directly before what lies in it.
  const std::vector<Product>& all() const { return products_; }

  /// Those that are `path`, contain it, or lie in it.
  std::vector<const Product*> touching(std::string_view path) const;

 private:
  std::vector<Product> products_;
};

/// True if `path` lies in the folder `folder`; both normal.
bool lies_in(std::string_view path, std::string_view folder);

}  // namespace mlops::pipeline
