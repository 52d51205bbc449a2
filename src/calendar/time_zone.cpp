#include "calendar/time_zone.hpp"

#include <mlops/error.hpp>

#include "calendar/posix_rule.hpp"
#include "util/files.hpp"
#include "util/strings.hpp"

#include <climits>

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <optional>
#include <string_view>

namespace mlops::calendar {

namespace {

constexpr sys_seconds least{seconds(std::numeric_limits<std::int64_t>::min())};
constexpr sys_seconds most{seconds(std::numeric_limits<std::int64_t>::max())};
constexpr std::size_t largest_file = 1 << 20;

std::vector<std::string> directories() {
  std::vector<std::string> list;
  if (const char* own = std::getenv("TZDIR"); own && *own) list.push_back(own);
  for (const char* usual : {"/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/etc/zoneinfo"})
    list.push_back(usual);
  return list;
}

bool is_safe(const std::string& name) {
  if (name.empty() || name.size() > 100 || name[0] == '/' || name.find("..") != name.npos) return false;
  return std::ranges::all_of(
      name, [](unsigned char c) { return std::isalnum(c) || c == '/' || c == '_' || c == '-' || c == '+'; });
}

struct ZoneFile {
  std::string path, bytes;
};

std::optional<ZoneFile> read_zone(const std::string& name) {
  for (const std::string& directory : directories()) {
    const std::string path = directory + "/" + name;
    if (auto bytes = util::read_regular_file(path, largest_file)) return ZoneFile{path, std::move(*bytes)};
  }
  return std::nullopt;
}

// The zones of the region that `name` names, or of all regions' first level.
std::vector<std::string> known_names(const std::string& name) {
  std::vector<std::string> names;
  const std::size_t slash = name.rfind('/');
  const std::string region = slash == name.npos ? "" : name.substr(0, slash);
  for (const std::string& directory : directories()) {
    std::vector<std::string> regions = {region};
    if (region.empty()) regions = {"", "Africa", "America", "Asia", "Australia", "Europe", "Pacific"};
    for (const std::string& part : regions) {
      DIR* const open = ::opendir((directory + "/" + part).c_str());
      if (!open) continue;
      while (const dirent* entry = ::readdir(open)) {
        if (std::isupper(static_cast<unsigned char>(entry->d_name[0])))
          names.push_back(part.empty() ? entry->d_name : part + "/" + entry->d_name);
      }
      ::closedir(open);
    }
  }
  return names;
}

std::string hint_for(const std::string& name) {
  // What leads out of the data of zones is compared with none of them.
  if (name.starts_with('/') || name.find("..") != name.npos)
    return "names are those of the IANA database, such as Europe/Berlin";
  std::vector<std::string> names = known_names(name);
  if (names.empty()) names = known_names("");  // no such region
  if (names.empty()) return "this system has no time zone data: apt-get install tzdata";
  const std::string near = util::did_you_mean(name, names);
  if (!near.empty()) return near;
  // "Berlin" for "Europe/Berlin".
  for (const std::string& known : names) {
    const std::size_t slash = known.rfind('/');
    if (slash != known.npos && util::to_lower(known.substr(slash + 1)) == util::to_lower(name))
      return "did you mean '" + known + "'?";
  }
  return "names are those of the IANA database, such as Europe/Berlin; `timedatectl list-timezones` lists "
         "them";
}

/// Big-endian numbers of a TZif file, one after another.
class Reader {
 public:
  Reader(const std::string& name, const std::string& bytes) : name_(name), bytes_(bytes) {}

  std::int64_t number(int size) {
    need(static_cast<std::size_t>(size));
    std::uint64_t value = static_cast<signed char>(bytes_[at_]) < 0 ? ~std::uint64_t{0} : 0;
    for (int i = 0; i < size; ++i) value = value << 8 | static_cast<unsigned char>(bytes_[at_++]);
    return static_cast<std::int64_t>(value);
  }
  std::size_t count() {
    const std::int64_t value = number(4);
    if (value < 0 || value > static_cast<std::int64_t>(bytes_.size())) broken();
    return static_cast<std::size_t>(value);
  }
  std::string text(std::size_t size) {
    need(size);
    at_ += size;
    return bytes_.substr(at_ - size, size);
  }
  std::string rest() const { return bytes_.substr(at_); }
  [[noreturn]] void broken() const {
    throw Error(ExitCode::io, "the data of the time zone '" + name_ + "' are damaged: not a TZif file",
                "install them again: apt-get install --reinstall tzdata");
  }

 private:
  void need(std::size_t size) const {
    if (size > bytes_.size() - at_) broken();
  }

  const std::string& name_;
  const std::string& bytes_;
  std::size_t at_ = 0;
};

struct Counts {
  char version = 0;
  std::size_t utc = 0, standard = 0, leaps = 0, times = 0, kinds = 0, letters = 0;

  explicit Counts(Reader& reader) {
    if (reader.text(4) != "TZif") reader.broken();
    version = reader.text(16)[0];
    for (std::size_t* count : {&utc, &standard, &leaps, &times, &kinds, &letters}) *count = reader.count();
    if (kinds == 0 || kinds > 255) reader.broken();
  }
  std::size_t size(std::size_t number) const {
    return times * (number + 1) + kinds * 6 + letters + leaps * (number + 4) + standard + utc;
  }
};

}  // namespace

TimeZone TimeZone::load(const std::string& name) {
  if (name == "UTC" || name == "Etc/UTC") {
    TimeZone zone;
    zone.name_ = name;
    zone.add(least, {seconds(0), false, "UTC"});
    return zone;
  }
  if (is_safe(name)) {
    if (const auto file = read_zone(name)) return parse(name, file->bytes);
  }
  throw Error(ExitCode::usage, "there is no time zone '" + util::escape_controls(name) + "' on this system",
              hint_for(name));
}

TimeZone TimeZone::parse(const std::string& name, const std::string& bytes) {
  Reader reader(name, bytes);
  Counts counts(reader);
  int width = 4;
  if (counts.version >= '2') {
    reader.text(counts.size(4));
    counts = Counts(reader);
    width = 8;
  }
  std::vector<sys_seconds> times;
  for (std::size_t i = 0; i < counts.times; ++i) times.emplace_back(seconds(reader.number(width)));
  const std::string indexes = reader.text(counts.times);
  struct Raw {
    std::int64_t offset, summer;
    std::size_t letters;
  };
  std::vector<Raw> raw;
  for (std::size_t i = 0; i < counts.kinds; ++i) {
    const std::int64_t offset = reader.number(4), summer = reader.number(1), at = reader.number(1);
    raw.push_back({offset, summer, static_cast<std::size_t>(at & 0xff)});
  }
  const std::string letters = reader.text(counts.letters);
  reader.text(counts.leaps * static_cast<std::size_t>(width + 4) + counts.standard + counts.utc);

  TimeZone zone;
  zone.name_ = name;
  const auto kind = [&](std::size_t index) {
    if (index >= raw.size() || raw[index].letters >= letters.size() + 1) reader.broken();
    const Raw& it = raw[index];
    return Kind{seconds(it.offset), it.summer != 0, letters.substr(it.letters).c_str()};
  };
  zone.add(least, kind(0));
  for (std::size_t i = 0; i < times.size(); ++i) {
    if (i > 0 && times[i] <= times[i - 1]) reader.broken();
    zone.add(times[i], kind(static_cast<unsigned char>(indexes[i])));
  }
  if (width == 8) {
    const std::string footer = reader.rest();
    const std::size_t end = footer.find('\n', 1);
    if (footer.empty() || footer[0] != '\n' || end == footer.npos) reader.broken();
    if (end > 1) zone.continue_by_rule(footer.substr(1, end - 1));
  }
  return zone;
}

void TimeZone::add(sys_seconds begin, const Kind& kind) {
  // What begins as what was before, an entry that only bounds the table for one, is no change.
  if (!kind_of_.empty()) {
    const Kind& before = kinds_[kind_of_.back()];
    if (before.offset == kind.offset && before.summer == kind.summer && before.short_name == kind.short_name)
      return;
  }
  const auto known = std::ranges::find_if(kinds_, [&](const Kind& k) {
    return k.offset == kind.offset && k.summer == kind.summer && k.short_name == kind.short_name;
  });
  kind_of_.push_back(static_cast<std::uint8_t>(known - kinds_.begin()));
  if (known == kinds_.end()) kinds_.push_back(kind);
  begins_.push_back(begin);
}

void TimeZone::continue_by_rule(const std::string& text) {
  const std::optional<PosixRule> rule = parse_posix_rule(text);
  if (!rule)
    throw Error(
        ExitCode::io,
        "the data of the time zone '" + name_ + "' end with a rule that cannot be read: '" + text + "'",
        "install them again: apt-get install --reinstall tzdata");
  const sys_seconds from = begins_.size() > 1
                               ? begins_.back()
                               : sys_seconds(std::chrono::sys_days(std::chrono::year(1970) / 1 / 1));
  const Kind standard{rule->standard.offset, false, rule->standard.short_name};
  if (!rule->summer) {
    if (begins_.size() == 1) return add(from, standard);
    return;
  }
  const Kind summer{rule->summer->offset, true, rule->summer->short_name};
  const std::chrono::year_month_day first(std::chrono::floor<std::chrono::days>(from));
  for (std::chrono::year year = first.year(); year <= last_year; ++year) {
    const sys_seconds to_summer{(rule->begin.at(year) - standard.offset).time_since_epoch()};
    const sys_seconds to_standard{(rule->end.at(year) - summer.offset).time_since_epoch()};
    const bool north = to_summer < to_standard;
    for (const bool second : {false, true}) {
      const bool into_summer = north != second;
      const sys_seconds at = into_summer ? to_summer : to_standard;
      if (at > from) add(at, into_summer ? summer : standard);
    }
  }
}

std::string TimeZone::file_of(const std::string& name) {
  const auto file = is_safe(name) ? read_zone(name) : std::nullopt;
  return file ? file->path : "";
}

std::string TimeZone::local_name() {
  if (const char* own = std::getenv("TZ"); own && *own) return *own == ':' ? own + 1 : own;
  return machine_name();
}

std::string TimeZone::machine_name() {
  char target[PATH_MAX];
  const ssize_t size = ::readlink(local_time_file, target, sizeof target);
  if (size > 0) {
    const std::string_view path(target, static_cast<std::size_t>(size));
    const std::size_t at = path.find("zoneinfo/");
    if (at != path.npos) return std::string(path.substr(at + 9));
  }
  if (const auto text = util::read_regular_file("/etc/timezone", 200); text && !util::trim(*text).empty())
    return std::string(util::trim(*text));
  return "UTC";
}

std::size_t TimeZone::index_at(sys_seconds instant) const {
  return static_cast<std::size_t>(std::ranges::upper_bound(begins_, instant) - begins_.begin()) - 1;
}

sys_seconds TimeZone::end(std::size_t index) const {
  return index + 1 < begins_.size() ? begins_[index + 1] : most;
}

Period TimeZone::period(std::size_t index) const {
  const Kind& kind = kinds_[kind_of_[index]];
  return {begins_[index], end(index), kind.offset, kind.summer, kind.short_name};
}

local_seconds TimeZone::to_local(sys_seconds instant) const {
  return local_seconds((instant + offset(index_at(instant))).time_since_epoch());
}

std::vector<sys_seconds> TimeZone::instants_of(local_seconds local) const {
  // No offset is a day or more, so the period is one of those around the same number taken for UTC.
  const sys_seconds near(local.time_since_epoch());
  std::size_t index = index_at(near - std::chrono::days(1));
  std::vector<sys_seconds> instants;
  for (; index < size() && begin(index) <= near + std::chrono::days(1); ++index) {
    const sys_seconds instant = near - offset(index);
    if (instant >= begin(index) && instant < end(index)) instants.push_back(instant);
  }
  return instants;
}

std::string to_text(local_seconds local) {
  const auto day = std::chrono::floor<std::chrono::days>(local);
  const std::chrono::year_month_day date(day);
  const long long second = (local - day).count();
  char buffer[64];
  const int size =
      std::snprintf(buffer, sizeof buffer, "%04d-%02u-%02u %02lld:%02lld:%02lld",
                    static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                    static_cast<unsigned>(date.day()), second / 3600, second / 60 % 60, second % 60);
  std::string text(buffer, static_cast<std::size_t>(size));
  if (second % 60 == 0) text.resize(text.size() - 3);
  return text;
}

std::string to_text(sys_seconds instant, const TimeZone& zone) {
  const seconds offset = zone.offset(zone.index_at(instant));
  const local_seconds local((instant + offset).time_since_epoch());
  std::string text = to_text(local);
  if (text.size() == 16) text += ":00";
  text[10] = 'T';
  const long long minutes = std::chrono::duration_cast<std::chrono::minutes>(offset).count();
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%c%02lld:%02lld", minutes < 0 ? '-' : '+', std::abs(minutes) / 60,
                std::abs(minutes) % 60);
  return text + buffer;
}

}  // namespace mlops::calendar
