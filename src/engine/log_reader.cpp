#include "engine/log_reader.hpp"

#include "process/run_files.hpp"
#include "util/fd.hpp"
#include "util/files.hpp"
#include "util/strings.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

namespace mlops::engine {

namespace {

constexpr std::size_t longest_line = 1 << 20;  // a step may never write a newline

// Hands the bytes [from, to) of a file to `sink` in pieces, fewer if the file ends before.
void read_range(const std::string& path, std::uint64_t from, std::uint64_t to,
                const std::function<void(std::string_view)>& sink) {
  const util::Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return;
  char buffer[65536];
  while (from < to) {
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(sizeof buffer, to - from));
    const ssize_t n = ::pread(fd.get(), buffer, count, static_cast<off_t>(from));
    if (n <= 0) return;
    sink({buffer, static_cast<std::size_t>(n)});
    from += static_cast<std::uint64_t>(n);
  }
}

template <typename Number>
bool parse(std::string_view word, Number& value) {
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  return error == std::errc() && end == word.data() + word.size();
}

}  // namespace

void LogIndex::refresh() {
  std::string text;
  read_range(path_, read_, util::file_size(path_), [&](std::string_view bytes) { text += bytes; });
  const std::size_t whole = text.rfind('\n');
  if (whole == text.npos) return;
  read_ += whole + 1;
  text.resize(whole);
  for (const std::string& line : util::split(text, '\n')) take_line(line);
}

void LogIndex::take_line(std::string_view line) {
  const auto words = util::split(line, ' ');
  const std::size_t dot = words[0].find('.');
  if (words.size() != 4 || dot == std::string::npos) return;
  int step = 0, attempt = 0;
  Burst burst;
  burst.error = words[2] == "e";
  if (parse(std::string_view(words[0]).substr(0, dot), step) &&
      parse(std::string_view(words[0]).substr(dot + 1), attempt) && parse(words[1], burst.offset) &&
      parse(words[3], burst.time_ms)) {
    bursts_[{step, attempt}].push_back(burst);
  }
}

const LogIndex::Burst* LogIndex::find(int step, int attempt, std::uint64_t offset) const {
  const auto it = bursts_.find({step, attempt});
  if (it == bursts_.end()) return nullptr;
  const auto after = std::upper_bound(it->second.begin(), it->second.end(), offset,
                                      [](std::uint64_t at, const Burst& burst) { return at < burst.offset; });
  return after == it->second.begin() ? nullptr : &*std::prev(after);
}

std::uint64_t LogIndex::written(int step, int attempt) const {
  const auto it = bursts_.find({step, attempt});
  return it == bursts_.end() || it->second.empty() ? 0 : it->second.back().offset;
}

LogReader::Extent LogReader::measure(const AttemptLog& log, bool over) const {
  Extent extent;
  extent.ring = util::file_size(process::run_files::log_tail(path_));
  extent.head = util::file_size(path_);
  // While it runs, the index tells how far a tail got that has begun again at its beginning.
  extent.end =
      log.ended ? log.total : std::max(extent.head + extent.ring, index_.written(log.index, log.attempt));
  extent.end = std::max(extent.end, extent.head);
  if (extent.ring == 0) {
    extent.begin = extent.end;
    if (!over) extent.end = extent.begin = extent.head;
    return extent;
  }
  extent.begin = std::max(extent.head, extent.end - std::min(extent.ring, extent.end));
  // What is overwritten next is left alone.
  if (!over && extent.wrapped()) extent.begin = std::max(extent.begin, extent.end - extent.ring / 2);
  return extent;
}

void LogReader::advance(const AttemptLog& log, bool over) {
  index_.refresh();
  const Extent extent = measure(log, over);
  read_head(log, extent);
  if (offset_ >= extent.head) {
    if (offset_ < extent.begin) skip(log, extent.begin);
    if (extent.ring > 0) read_tail(log, extent, over);
  }
  if (over) print_partial(log);
}

void LogReader::read_head(const AttemptLog& log, const Extent& extent) {
  if (offset_ >= extent.head) return;
  read_range(path_, offset_, extent.head, [&](std::string_view bytes) { take(log, bytes); });
}

void LogReader::read_tail(const AttemptLog& log, const Extent& extent, bool over) {
  std::string bytes;
  const auto keep = [&](std::string_view part) { bytes += part; };
  const std::string path = process::run_files::log_tail(path_);
  for (std::uint64_t at = offset_; at < extent.end;) {
    const std::uint64_t place = (at - extent.head) % extent.ring;
    const std::uint64_t count = std::min(extent.end - at, extent.ring - place);
    read_range(path, place, place + count, keep);
    at += count;
  }
  index_.refresh();
  // Written over while it was read: the next look finds what there is then.
  const std::uint64_t written = index_.written(log.index, log.attempt);
  if (!over && extent.wrapped() && written > extent.end + extent.ring / 2) return;
  take(log, bytes);
}

void LogReader::take(const AttemptLog& log, std::string_view bytes) {
  if (lines_ == Lines::as_they_come && !printer_.line) {
    offset_ += bytes.size();
    return print(log, bytes, false);
  }
  while (!bytes.empty()) {
    const std::size_t newline = bytes.find('\n');
    if (partial_.empty()) partial_at_ = offset_;
    const std::size_t count = newline == bytes.npos ? bytes.size() : newline + 1;
    partial_ += bytes.substr(0, count);
    offset_ += count;
    bytes.remove_prefix(count);
    if (newline != std::string_view::npos || (lines_ == Lines::whole && partial_.size() > longest_line))
      print_partial(log);
  }
}

void LogReader::skip(const AttemptLog& log, std::uint64_t to) {
  print_partial(log);
  const std::string words = "[… " + std::to_string(to - offset_) + " bytes were not kept …]";
  before_();
  if (printer_.line) {
    printer_.line({std::nullopt, false, words});
  } else {
    printer_.bytes("\n" + words + "\n");
  }
  offset_ = to;
}

void LogReader::print_partial(const AttemptLog& log) {
  if (partial_.empty()) return;
  const std::string line = std::exchange(partial_, {});
  if (!printer_.line) return print(log, line, false);
  print(log, std::string_view(line).substr(0, line.size() - (line.back() == '\n' ? 1 : 0)), true);
}

void LogReader::print(const AttemptLog& log, std::string_view text, bool ends_line) {
  if (text.empty() && !ends_line) return;
  before_();
  if (!printer_.line) return printer_.bytes(text);
  LogLine line;
  if (const LogIndex::Burst* burst = index_.find(log.index, log.attempt, partial_at_)) {
    line.time = Instant(std::chrono::milliseconds(burst->time_ms));
    line.error = burst->error;
  }
  line.text = text;
  printer_.line(line);
}

}  // namespace mlops::engine
