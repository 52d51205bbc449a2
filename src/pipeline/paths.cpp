#include "pipeline/paths.hpp"

#include <algorithm>
#include <filesystem>

namespace mlops::pipeline {

namespace {

// The folder "." comes before all that lies in it, and after all else.
int rank(std::string_view path) { return path == "." ? 1 : lies_in(path, ".") ? 2 : 0; }

// '/' sorts before every other character, so that a folder comes directly before its contents.
bool path_less(std::string_view a, std::string_view b) {
  if (rank(a) != rank(b)) return rank(a) < rank(b);
  return std::ranges::lexicographical_compare(a, b, [](char x, char y) {
    const auto weight = [](char c) {
      return c == '/' ? 0 : static_cast<int>(static_cast<unsigned char>(c)) + 1;
    };
    return weight(x) < weight(y);
  });
}

void push_parts(std::vector<std::string_view>& parts, std::string_view path, bool absolute) {
  while (!path.empty()) {
    const std::size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    path.remove_prefix(slash == path.npos ? path.size() : slash + 1);
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      parts.push_back(part);
    } else if (!parts.empty() && parts.back() != "..") {
      parts.pop_back();
    } else if (!absolute) {
      parts.push_back(part);
    }
  }
}

}  // namespace

std::string normal_path(std::string_view directory, std::string_view workdir, std::string_view path) {
  const bool from_root = path.starts_with('/');
  const bool absolute = from_root || workdir.starts_with('/');
  std::vector<std::string_view> parts;
  if (!from_root) push_parts(parts, workdir, absolute);
  push_parts(parts, path, absolute);
  std::string result;
  for (const std::string_view part : parts) {
    if (absolute || !result.empty()) result += '/';
    result += part;
  }
  if (!absolute) return result.empty() ? "." : result;
  if (result.empty()) return "/";
  if (result == directory) return ".";
  if (lies_in(result, directory)) return result.substr(directory.size() + (directory.ends_with('/') ? 0 : 1));
  return result;
}

std::string absolute_path(const std::string& directory, const std::string& path) {
  std::string result = (std::filesystem::path(directory) / path).lexically_normal().string();
  while (result.size() > 1 && result.back() == '/') result.pop_back();
  return result;
}

std::string path_on_disk(std::string_view directory, std::string_view normal) {
  if (normal.starts_with('/')) return std::string(normal);
  if (normal == ".") return std::string(directory);
  return std::string(directory) + (directory.ends_with('/') ? "" : "/") + std::string(normal);
}

bool lies_in(std::string_view path, std::string_view folder) {
  if (folder == ".") return path != "." && !path.starts_with('/') && path != ".." && !path.starts_with("../");
  if (!path.starts_with(folder) || path.size() == folder.size()) return false;
  return folder.ends_with('/') || path[folder.size()] == '/';
}

Products::Products(const Pipeline& pipeline) {
  for (std::size_t i = 0; i < pipeline.steps.size(); ++i) {
    const Step& step = pipeline.steps[i];
    int place = 0;
    const auto add = [&](const std::string& path) {
      products_.push_back(
          {normal_path(pipeline.directory, step.workdir, path), static_cast<int>(i), place++});
    };
    for (const Output& output : step.outputs) add(output.path);
    for (const std::string& metrics : step.metrics) add(metrics);
  }
  std::ranges::stable_sort(products_,
                           [](const Product& a, const Product& b) { return path_less(a.path, b.path); });
}

std::vector<const Products::Product*> Products::touching(std::string_view path) const {
  std::vector<const Product*> found;
  const auto begin_of = [&](std::string_view p) {
    return std::ranges::lower_bound(products_, p, path_less,
                                    [](const Product& x) { return std::string_view(x.path); });
  };
  const auto take_equal = [&](std::string_view p) {
    for (auto at = begin_of(p); at != products_.end() && at->path == p; ++at) found.push_back(&*at);
  };
  // The folders around it, from the outermost.
  if (path != "." && lies_in(path, ".")) take_equal(".");
  for (std::size_t slash = path.find('/', 1); slash != path.npos; slash = path.find('/', slash + 1)) {
    take_equal(path.substr(0, slash));
  }
  take_equal(path);
  if (path == ".") {
    for (const Product& product : products_) {
      if (lies_in(product.path, path)) found.push_back(&product);
    }
  } else {
    for (auto at = begin_of(std::string(path) + "/"); at != products_.end() && lies_in(at->path, path);
         ++at) {
      found.push_back(&*at);
    }
  }
  return found;
}

}  // namespace mlops::pipeline
