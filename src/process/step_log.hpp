// The log of one attempt: NAME.log holds the output byte for byte up to a cap, NAME.log.tail the last
// bytes of a flood, and one line per burst in the run's `output.idx` tells which stream wrote when.
#pragma once

#include "process/attempt.hpp"
#include "util/fd.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace mlops::process {

enum class Stream : char { out = 'o', err = 'e' };

class StepLog {
 public:
  /// `index_fd` is borrowed: the run's index, open for appending. No file is made before the first byte.
  StepLog(std::string path, AttemptKey key, int index_fd, std::uint64_t head, std::uint64_t tail)
      : path_(std::move(path)), key_(key), index_fd_(index_fd), head_(head), tail_(tail) {}

  /// Never blocks the step: when the disk refuses, bytes are counted as dropped and error() says why.
  void append(Stream stream, std::string_view bytes, std::int64_t now_ms);

  /// Gives its descriptors back; the next byte opens the files again.
  void close_files();

  std::uint64_t written() const { return written_; }
  std::uint64_t dropped() const;
  int error() const { return error_; }

 private:
  // So that two streams in turn, byte by byte, do not make an index larger than the log.
  static constexpr int close_marks = 20'000;
  static constexpr std::uint64_t later_mark_distance = 1u << 20;

  bool wants_mark(Stream stream, std::int64_t now_ms) const;
  void mark(Stream stream, std::int64_t now_ms);
  void keep(std::string_view bytes);
  std::size_t write_at(util::Fd& file, const std::string& path, std::string_view bytes, std::uint64_t at);

  std::string path_;
  AttemptKey key_;
  int index_fd_;
  std::uint64_t head_;
  std::uint64_t tail_;
  util::Fd head_file_;
  util::Fd tail_file_;
  std::uint64_t written_ = 0;
  std::uint64_t lost_ = 0;  // to a full disk
  int error_ = 0;
  Stream last_stream_ = Stream::out;
  std::int64_t last_mark_ms_ = -1;
  std::uint64_t last_mark_at_ = 0;
  int marks_ = 0;
  bool head_made_ = false;
  bool tail_made_ = false;
};

/// The name of a step as part of the name of a file: names from a dvc.yaml may hold slashes, and be long.
std::string file_stem(const std::string& step);

/// The name of an attempt's log below the run's `logs/`.
std::string log_name(const std::string& step, int attempt);

/// Appends what was kept of the end of a flood to `out`, the ring unrolled. `total` is what the attempt
/// wrote, `head` and `tail_cap` are the caps it ran under. Returns the number of bytes appended.
std::uint64_t read_log_tail(const std::string& log_path, std::uint64_t total, std::uint64_t head,
                            std::uint64_t tail_cap, std::string& out);

}  // namespace mlops::process
