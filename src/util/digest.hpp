#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mlops::util {

/// Streaming SHA-256 (FIPS 180-4).
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void update(std::string_view bytes);
  /// 64 lower-case hexadecimal digits; the object is spent afterwards.
  std::string hex();

 private:
  struct State;
  State* state_;
};

std::string sha256(std::string_view bytes);

/// What a path holds: a file's bytes, or a directory's names, modes and bytes in sorted order.
struct Content {
  std::string sha256;
  std::uint64_t size = 0;   ///< bytes, summed over a directory
  std::uint64_t files = 0;  ///< 1 for a file
  bool directory = false;
};

/// Hashes the file or directory at `path`; nullopt if it does not exist. Symbolic links inside a directory
/// count by their target text and are not followed. Throws Error(io).
std::optional<Content> hash_path(const std::string& path);

std::string digest_library_version();

}  // namespace mlops::util
