#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace mlops::util {

/// A SHA-256, the name of a content.
struct Digest {
  std::array<unsigned char, 32> bytes{};

  std::string hex() const;  ///< 64 lower-case digits
  void append_hex(std::string& text) const;
  static std::optional<Digest> from_hex(std::string_view text);
  static std::optional<Digest> from_bytes(std::string_view bytes);
  auto operator<=>(const Digest&) const = default;
};

struct DigestHash {
  std::size_t operator()(const Digest& digest) const {
    std::size_t hash = 0;
    std::memcpy(&hash, digest.bytes.data(), sizeof hash);
    return hash;
  }
};

/// Streaming SHA-256 (FIPS 180-4).
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void update(std::string_view bytes);
  /// The object is spent afterwards.
  Digest digest();
  std::string hex() { return digest().hex(); }

 private:
  struct State;
  State* state_;
};

/// Streaming MD5: only to speak with DVC, which names contents by it.
class Md5 {
 public:
  Md5();
  ~Md5();
  Md5(const Md5&) = delete;
  Md5& operator=(const Md5&) = delete;

  void update(std::string_view bytes);
  /// 32 lower-case digits. The object is spent afterwards.
  std::string hex();

 private:
  struct State;
  State* state_;
};

std::string md5(std::string_view bytes);  ///< as hex

Digest digest_of(std::string_view bytes);
std::string sha256(std::string_view bytes);                          ///< as hex
Digest hmac_sha256(std::string_view key, std::string_view message);  ///< RFC 2104

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
