// The log of one attempt, read by the offsets at which its bytes were written, also while it grows and where
// the middle of a flood was not kept.
#pragma once

#include "engine/run_log.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mlops::engine {

/// Which stream wrote when: the run's `output.idx`, see process/step_log.hpp.
class LogIndex {
 public:
  struct Burst {
    std::uint64_t offset = 0;  ///< of its first byte
    bool error = false;
    std::int64_t time_ms = 0;
  };
  explicit LogIndex(std::string path) : path_(std::move(path)) {}

  /// Takes in what was appended since the last call.
  void refresh();
  /// The burst that holds the byte at `offset`; null if unknown.
  const Burst* find(int step, int attempt, std::uint64_t offset) const;
  /// All bytes before this offset have been written.
  std::uint64_t written(int step, int attempt) const;

 private:
  void take_line(std::string_view line);

  std::string path_;
  std::uint64_t read_ = 0;
  std::map<std::pair<int, int>, std::vector<Burst>> bursts_;
};

/// Prints a log from its beginning to its end, in as many calls as it takes.
class LogReader {
 public:
  enum class Lines { as_they_come, whole };  ///< whole: nothing of a line before all of it is there
  /// `before` is called before anything is printed.
  LogReader(std::string path, LogIndex& index, const LogPrinter& printer, Lines lines,
            std::function<void()> before)
      : path_(std::move(path)), index_(index), printer_(printer), lines_(lines), before_(std::move(before)) {}

  /// Prints what is new. `over`: nothing more will come.
  void advance(const AttemptLog& log, bool over);

 private:
  struct Extent {
    std::uint64_t head = 0;   ///< bytes [0, head) lie in the log
    std::uint64_t ring = 0;   ///< size of the tail
    std::uint64_t begin = 0;  ///< bytes [begin, end) lie in the tail
    std::uint64_t end = 0;
    bool wrapped() const { return end > head + ring; }
  };
  Extent measure(const AttemptLog& log, bool over) const;
  void read_head(const AttemptLog& log, const Extent& extent);
  void read_tail(const AttemptLog& log, const Extent& extent, bool over);
  void take(const AttemptLog& log, std::string_view bytes);
  void skip(const AttemptLog& log, std::uint64_t to);
  void print(const AttemptLog& log, std::string_view text, bool ends_line);
  void print_partial(const AttemptLog& log);

  std::string path_;
  LogIndex& index_;
  const LogPrinter& printer_;
  Lines lines_;
  std::function<void()> before_;
  std::uint64_t offset_ = 0;  // of the next byte to take
  std::string partial_;       // a line without its end; its first byte is at `partial_at_`
  std::uint64_t partial_at_ = 0;
};

}  // namespace mlops::engine
