#include "util/digest.hpp"

#include <mlops/error.hpp>

#include "util/files.hpp"

#include <openssl/md5.h>
#include <openssl/opensslv.h>
#include <openssl/sha.h>

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <vector>

namespace mlops::util {

// The plain functions instead of EVP: linked statically they are all that libcrypto adds to the binary.
struct Sha256::State {
  SHA256_CTX context;
};

Sha256::Sha256() : state_(new State) { SHA256_Init(&state_->context); }
Sha256::~Sha256() { delete state_; }

void Sha256::update(std::string_view bytes) { SHA256_Update(&state_->context, bytes.data(), bytes.size()); }

Digest Sha256::digest() {
  Digest digest;
  SHA256_Final(digest.bytes.data(), &state_->context);
  return digest;
}

struct Md5::State {
  MD5_CTX context;
};

Md5::Md5() : state_(new State) { MD5_Init(&state_->context); }
Md5::~Md5() { delete state_; }

void Md5::update(std::string_view bytes) { MD5_Update(&state_->context, bytes.data(), bytes.size()); }

namespace {

void append_hex_of(std::string& text, const unsigned char* bytes, std::size_t size) {
  constexpr char digits[] = "0123456789abcdef";
  const std::size_t begin = text.size();
  text.resize(begin + size * 2);
  for (std::size_t i = 0; i < size; ++i) {
    text[begin + 2 * i] = digits[bytes[i] >> 4];
    text[begin + 2 * i + 1] = digits[bytes[i] & 15];
  }
}

}  // namespace

std::string Md5::hex() {
  unsigned char bytes[MD5_DIGEST_LENGTH];
  MD5_Final(bytes, &state_->context);
  std::string text;
  append_hex_of(text, bytes, sizeof bytes);
  return text;
}

std::string md5(std::string_view bytes) {
  Md5 hash;
  hash.update(bytes);
  return hash.hex();
}

std::string Digest::hex() const {
  std::string text;
  append_hex(text);
  return text;
}

void Digest::append_hex(std::string& text) const { append_hex_of(text, bytes.data(), bytes.size()); }

std::optional<Digest> Digest::from_hex(std::string_view text) {
  Digest digest;
  if (text.size() != digest.bytes.size() * 2) return std::nullopt;
  const auto value = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  };
  for (std::size_t i = 0; i < digest.bytes.size(); ++i) {
    const int high = value(text[2 * i]), low = value(text[2 * i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    digest.bytes[i] = static_cast<unsigned char>(high << 4 | low);
  }
  return digest;
}

std::optional<Digest> Digest::from_bytes(std::string_view bytes) {
  Digest digest;
  if (bytes.size() != digest.bytes.size()) return std::nullopt;
  std::memcpy(digest.bytes.data(), bytes.data(), bytes.size());
  return digest;
}

Digest digest_of(std::string_view bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.digest();
}

std::string sha256(std::string_view bytes) { return digest_of(bytes).hex(); }

Digest hmac_sha256(std::string_view key, std::string_view message) {
  constexpr std::size_t block = 64;
  std::string padded(key);
  if (padded.size() > block) {
    const Digest short_key = digest_of(key);
    padded.assign(reinterpret_cast<const char*>(short_key.bytes.data()), short_key.bytes.size());
  }
  padded.resize(block, '\0');
  const auto keyed = [&](char with, std::string_view text) {
    std::string mask = padded;
    for (char& c : mask) c = static_cast<char>(c ^ with);
    Sha256 hash;
    hash.update(mask);
    hash.update(text);
    return hash.digest();
  };
  const Digest inner = keyed(0x36, message);
  return keyed(0x5c, {reinterpret_cast<const char*>(inner.bytes.data()), inner.bytes.size()});
}

namespace {

Content hash_file(const std::string& path) {
  const Fd fd = open_file(path, O_RDONLY);
  ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  Sha256 hash;
  Content content;
  content.files = 1;
  std::vector<char> buffer(1 << 18);
  while (true) {
    const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      throw_errno("cannot read '" + path + "'", errno);
    }
    if (n == 0) break;
    hash.update({buffer.data(), static_cast<std::size_t>(n)});
    content.size += static_cast<std::uint64_t>(n);
  }
  content.sha256 = hash.hex();
  return content;
}

// One line a file: mode, relative path, digest; NUL ends a name, which may hold a newline.
Content hash_directory(const std::string& root) {
  namespace fs = std::filesystem;
  std::vector<fs::path> paths;
  std::error_code error;
  for (fs::recursive_directory_iterator it(root, error), end; !error && it != end; it.increment(error)) {
    if (!it->is_directory() || it->is_symlink()) paths.push_back(it->path());
  }
  if (error) throw Error(ExitCode::io, "cannot list '" + root + "': " + error.message());
  std::sort(paths.begin(), paths.end());
  Sha256 hash;
  Content content;
  content.directory = true;
  for (const fs::path& path : paths) {
    struct stat st {};
    if (::lstat(path.c_str(), &st) != 0) throw_errno("cannot read '" + path.string() + "'", errno);
    std::string mode, digest;
    if (S_ISLNK(st.st_mode)) {
      mode = "link", digest = sha256(fs::read_symlink(path).string());
    } else if (S_ISREG(st.st_mode)) {
      const Content file = hash_file(path.string());
      mode = (st.st_mode & S_IXUSR) ? "exec" : "file";
      digest = file.sha256;
      content.size += file.size;
    } else {
      continue;  // sockets, pipes and devices have no content to remember
    }
    ++content.files;
    hash.update(mode + " " + path.lexically_relative(root).string() + std::string(1, '\0') + digest + "\n");
  }
  content.sha256 = hash.hex();
  return content;
}

}  // namespace

std::optional<Content> hash_path(const std::string& path) {
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
    throw_errno("cannot read '" + path + "'", errno);
  }
  if (S_ISDIR(st.st_mode)) return hash_directory(path);
  if (!S_ISREG(st.st_mode))
    throw Error(ExitCode::io, "cannot hash '" + path + "': it is neither a file nor a directory");
  return hash_file(path);
}

std::string digest_library_version() { return OPENSSL_VERSION_STR; }

}  // namespace mlops::util
