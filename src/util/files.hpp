// The one layer through which mlops writes files that matter; failpoints sit here.
#pragma once

#include "util/fd.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mlops::util {

/// Whole file. Throws Error(io) naming the path; `limit` bytes at most (0: no limit), more is an
/// Error(usage).
std::string read_file(const std::string& path, std::size_t limit = 0);

/// As read_file, but nullopt when the file does not exist.
std::optional<std::string> read_file_if_exists(const std::string& path);

/// A file that a stranger wrote: nullopt when it does not exist; Error(usage) when it is no regular file or
/// has more than `limit` bytes. Never blocks.
std::optional<std::string> read_regular_file(const std::string& path, std::size_t limit);

/// Opens with O_CLOEXEC and mode 0600; throws Error(io) with `path`.
Fd open_file(const std::string& path, int flags, unsigned mode = 0600);

/// Writes all of `bytes`, through short writes and EINTR. Returns 0 or an errno value.
int write_all(int fd, std::string_view bytes);

/// Writes a temporary file beside `path`, syncs it, renames it over `path` and syncs the directory: after a
/// crash there is the old file or the new one. Throws Error(io).
void write_file_atomically(const std::string& path, std::string_view bytes);

/// Creates or truncates; not durable. Throws Error(io).
void write_file(const std::string& path, std::string_view bytes);

/// mkdir -p with `mode` for what it creates. Throws Error(io).
void make_directories(const std::string& path, unsigned mode = 0700);

/// After a crash, too, what was given a name in the directory has it. Throws Error(io).
void sync_directory(const std::string& directory);

bool exists(const std::string& path);
/// In bytes; 0 where there is no such file.
std::uint64_t file_size(const std::string& path);
bool is_directory(const std::string& path);

/// Lexically normalised, absolute (relative to the working directory).
std::string absolute_path(const std::string& path);

}  // namespace mlops::util
