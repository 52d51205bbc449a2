// Time zones as this system knows them: its TZif files (RFC 8536), continued by the rule at their end.
// Instants are seconds since 1970 UTC, local times are those of a clock on the wall, counted the same way.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace mlops::calendar {

using std::chrono::local_seconds;
using std::chrono::seconds;
using std::chrono::sys_seconds;

/// A stretch of time in which the clocks of a zone do not jump.
struct Period {
  sys_seconds begin;  ///< the first instant; of the first period: the least there is
  sys_seconds end;    ///< the first instant after it
  seconds offset{0};  ///< local time is UTC plus this
  bool summer = false;
  std::string short_name;  ///< "CET", "-03"
};

/// Immutable: may be used by several threads.
class TimeZone {
 public:
  /// The zone of that name; "UTC" needs no file. Throws Error, with likely names, when the system has no such
  /// zone or no zone data: it is never taken for UTC.
  static TimeZone load(const std::string& name);
  /// The file that load() reads; empty if there is none.
  static std::string file_of(const std::string& name);
  /// The bytes of a TZif file. Throws Error when they are not one.
  static TimeZone parse(const std::string& name, const std::string& bytes);
  /// The zone of this machine's clock: $TZ, or what /etc/localtime links to, or UTC where neither is there.
  static std::string local_name();
  /// As local_name(), whatever $TZ says here: what services of the system go by.
  static std::string machine_name();

  const std::string& name() const { return name_; }
  /// The index of the period that has `instant`, for period().
  std::size_t index_at(sys_seconds instant) const;
  std::size_t size() const { return begins_.size(); }
  Period period(std::size_t index) const;
  seconds offset(std::size_t index) const { return kinds_[kind_of_[index]].offset; }
  sys_seconds begin(std::size_t index) const { return begins_[index]; }
  sys_seconds end(std::size_t index) const;
  local_seconds to_local(sys_seconds instant) const;
  /// The instants at which clocks show `local`: none in a gap, two when it is repeated.
  std::vector<sys_seconds> instants_of(local_seconds local) const;

 private:
  struct Kind {
    seconds offset{0};
    bool summer = false;
    std::string short_name;
  };

  void continue_by_rule(const std::string& rule);
  void add(sys_seconds begin, const Kind& kind);

  std::string name_;
  std::vector<Kind> kinds_;
  std::vector<sys_seconds> begins_;
  std::vector<std::uint8_t> kind_of_;
};

/// What links to the zone of this machine.
constexpr const char* local_time_file = "/etc/localtime";

/// What lies after it is never scheduled; rules of zones are continued until then.
constexpr std::chrono::year last_year{2199};

/// "2026-03-29 02:30" with seconds only where there are some.
std::string to_text(local_seconds local);
/// ISO 8601 with the offset in force: "2026-03-29T03:30:00+02:00".
std::string to_text(sys_seconds instant, const TimeZone& zone);

}  // namespace mlops::calendar
