#include "process/attempt.hpp"

#include <charconv>
#include <cstdio>
#include <map>

namespace mlops::process {

// The file `attempts`, version 1. It is append-only; every line ends in a newline and was written by one
// write(2). Words and their order must not be changed:
//   start STEP ATTEMPT STARTED_MS BOOT_ID        written before the process exists
//   end STEP ATTEMPT CAUSE CODE SIGNAL CORE ERRNO PID STARTED_MS ENDED_MS USER_US SYSTEM_US MAX_RSS_KB
//       READ_BYTES WRITTEN_BYTES LOG_BYTES LOG_DROPPED LOG_ERRNO LEFT_OVER OUTPUT_HELD [NOT_ENDED] .
// The final dot tells a whole line from a torn one; NOT_ENDED is there if it is not 0.

namespace {

constexpr const char* cause_words[] = {"exited", "timeout", "no_output", "stopped", "not_started", "lost"};

class Words {
 public:
  explicit Words(std::string_view line) : rest_(line) {}

  std::string_view next() {
    const std::size_t space = rest_.find(' ');
    const std::string_view word = rest_.substr(0, space);
    rest_ = space == rest_.npos ? std::string_view() : rest_.substr(space + 1);
    return word;
  }
  template <typename T>
  bool number(T& value) {
    const std::string_view word = next();
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    return error == std::errc() && end == word.data() + word.size() && !word.empty();
  }
  bool flag(bool& value) {
    int number_value = 0;
    if (!number(number_value) || number_value < 0 || number_value > 1) return false;
    value = number_value == 1;
    return true;
  }
  bool at(std::string_view word) const { return rest_.substr(0, rest_.find(' ')) == word; }
  bool done() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

bool parse_cause(std::string_view word, Cause& cause) {
  for (int i = 0; i < 6; ++i) {
    if (word == cause_words[i]) {
      cause = static_cast<Cause>(i);
      return true;
    }
  }
  return false;
}

}  // namespace

const char* to_string(Cause cause) { return cause_words[static_cast<int>(cause)]; }

std::string format_start(const AttemptKey& key, std::int64_t started_ms, const std::string& boot) {
  return "start " + std::to_string(key.step) + " " + std::to_string(key.attempt) + " " +
         std::to_string(started_ms) + " " + boot;
}

std::string format_end(const ExitRecord& r) {
  char line[512];
  std::snprintf(
      line, sizeof line, "end %d %d %s %d %d %d %d %d %lld %lld %lld %lld %lld %lld %lld %llu %llu %d %d %d",
      r.key.step, r.key.attempt, to_string(r.cause), r.code, r.signal, r.core_dumped, r.error,
      static_cast<int>(r.pid), static_cast<long long>(r.started_ms), static_cast<long long>(r.ended_ms),
      static_cast<long long>(r.user_us), static_cast<long long>(r.system_us),
      static_cast<long long>(r.max_rss_kb), static_cast<long long>(r.read_bytes),
      static_cast<long long>(r.written_bytes), static_cast<unsigned long long>(r.log_bytes),
      static_cast<unsigned long long>(r.log_dropped), r.log_error, r.left_over, r.output_held);
  return line + (r.not_ended != 0 ? " " + std::to_string(r.not_ended) : std::string()) + " .";
}

std::vector<JournalEntry> parse_journal(std::string_view text) {
  std::map<AttemptKey, JournalEntry> entries;
  while (true) {
    const std::size_t newline = text.find('\n');
    if (newline == text.npos) break;  // the last line is torn
    Words words(text.substr(0, newline));
    text.remove_prefix(newline + 1);
    const std::string_view verb = words.next();
    JournalEntry entry;
    if (!words.number(entry.key.step) || !words.number(entry.key.attempt) || entry.key.step < 0 ||
        entry.key.attempt < 1) {
      continue;
    }
    if (verb == "start") {
      if (!words.number(entry.started_ms)) continue;
      entry.boot_id = words.next();
      if (entry.boot_id.empty() || !words.done()) continue;
      entries.try_emplace(entry.key, entry);
    } else if (verb == "end") {
      ExitRecord r;
      r.key = entry.key;
      if (!parse_cause(words.next(), r.cause) || !words.number(r.code) || !words.number(r.signal) ||
          !words.flag(r.core_dumped) || !words.number(r.error) || !words.number(r.pid) ||
          !words.number(r.started_ms) || !words.number(r.ended_ms) || !words.number(r.user_us) ||
          !words.number(r.system_us) || !words.number(r.max_rss_kb) || !words.number(r.read_bytes) ||
          !words.number(r.written_bytes) || !words.number(r.log_bytes) || !words.number(r.log_dropped) ||
          !words.number(r.log_error) || !words.number(r.left_over) || !words.flag(r.output_held) ||
          (!words.at(".") && !words.number(r.not_ended)) || words.next() != "." || !words.done()) {
        continue;
      }
      entry.started_ms = r.started_ms;
      JournalEntry& known = entries.try_emplace(entry.key, entry).first->second;
      if (!known.end) known.end = r;
    }
  }
  std::vector<JournalEntry> list;
  list.reserve(entries.size());
  for (auto& [key, entry] : entries) list.push_back(std::move(entry));
  return list;
}

}  // namespace mlops::process
