#include "calendar/cron.hpp"
#include "util/digest.hpp"
#include "util/strings.hpp"

#include <algorithm>
#include <cctype>
#include <span>

namespace mlops::calendar {

namespace {

using Names = std::span<const std::string_view>;
constexpr std::string_view month_names[] = {"jan", "feb", "mar", "apr", "may", "jun",
                                            "jul", "aug", "sep", "oct", "nov", "dec"};
constexpr std::string_view weekday_names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

struct FieldKind {
  std::string_view name;
  int least, most;
  Names names;
  int first_name;  // the value of names[0]
};
enum { minute_field, hour_field, day_field, month_field, weekday_field };
constexpr FieldKind field_kinds[] = {{"minute", 0, 59, {}, 0},
                                     {"hour", 0, 23, {}, 0},
                                     {"day of the month", 1, 31, {}, 0},
                                     {"month", 1, 12, month_names, 1},
                                     {"weekday", 0, 7, weekday_names, 0}};

struct Macro {
  std::string_view name, fields;
};
// cronie sets the flag of the hour's `*` for @hourly, which its fields have as well.
constexpr Macro macros[] = {{"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"},
                            {"@weekly", "0 0 * * 0"}, {"@daily", "0 0 * * *"},    {"@midnight", "0 0 * * *"},
                            {"@hourly", "0 * * * *"}};

struct Failure {
  CronProblem problem;
};

std::string range_of(const FieldKind& kind) {
  return std::to_string(kind.least) + "-" + std::to_string(kind.most);
}

/// One field. What it finds it adds to the bits and to the extensions of the expression.
class FieldParser {
 public:
  FieldParser(std::string_view text, std::size_t offset, int field, std::string_view seed, Cron& cron)
      : text_(text), offset_(offset), field_(field), kind_(field_kinds[field]), seed_(seed), cron_(cron) {}

  std::uint64_t parse() {
    if (text_.starts_with('+')) {
      if (field_ != weekday_field) fail("'+' stands before the weekday only");
      cron_.days = Days::both;
      ++at_;
    }
    star_ = peek() == '*' || peek() == '?';
    while (true) {
      item();
      if (at_ == text_.size()) break;
      if (!take(',')) unexpected();
    }
    return bits_;
  }
  bool star() const { return star_; }

 private:
  [[noreturn]] void fail(const std::string& message, std::string hint = {}) const {
    throw Failure{{offset_ + at_, std::string(kind_.name) + " '" + std::string(text_) + "': " + message,
                   std::move(hint)}};
  }
  [[noreturn]] void unexpected() const {
    if (at_ == text_.size()) fail("something is missing at the end");
    if (peek() == '/') fail("a step needs a range before it", "write '*/N', or A-B/N");
    if (std::isspace(static_cast<unsigned char>(peek()))) fail("there is a blank in it");
    // A whole character, also where it takes several bytes.
    std::size_t end = at_ + 1;
    while (end < text_.size() && (static_cast<unsigned char>(text_[end]) & 0xC0) == 0x80) ++end;
    const std::string character(text_.substr(at_, end - at_));
    fail("'" + util::escape_controls(util::to_utf8(character)) + "' is not expected here");
  }
  char peek(std::size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  bool take(char c) {
    if (peek() != c || at_ >= text_.size()) return false;
    ++at_;
    return true;
  }
  // A letter on its own: 'L', and not the beginning of a name.
  bool take_letter(char letter) {
    if (std::toupper(static_cast<unsigned char>(peek())) != letter ||
        std::isalpha(static_cast<unsigned char>(peek(1))))
      return false;
    ++at_;
    return true;
  }
  bool at_number() const { return std::isdigit(static_cast<unsigned char>(peek())) != 0; }

  int number() {
    if (!at_number()) unexpected();
    int value = 0;
    while (at_number() && value < 1000) value = value * 10 + (text_[at_++] - '0');
    return value;
  }

  int value() {
    const std::size_t begin = at_;
    if (at_number()) {
      const int number_ = number();
      if (number_ < kind_.least || number_ > kind_.most) {
        at_ = begin;
        fail(std::to_string(number_) + " is not in " + range_of(kind_));
      }
      return number_;
    }
    std::string word;
    while (std::isalpha(static_cast<unsigned char>(peek())))
      word += static_cast<char>(std::tolower(static_cast<unsigned char>(text_[at_++])));
    if (word.empty()) unexpected();
    // As cronie, by the first three letters: "monday" is Monday.
    for (std::size_t i = 0; i < kind_.names.size(); ++i) {
      if (word.size() >= 3 && word.substr(0, 3) == kind_.names[i])
        return static_cast<int>(i) + kind_.first_name;
    }
    at_ = begin;
    fail("'" + word + "' is no " + std::string(kind_.name),
         kind_.names.empty() ? ""
                             : "names are their first three letters, such as " + std::string(kind_.names[0]));
  }

  void add(int low, int high, int step) {
    for (int i = low; i <= high; i += step) bits_ |= std::uint64_t{1} << i;
  }

  int step() {
    if (!take('/')) return 1;
    const std::size_t begin = at_;
    const int step = number();
    if (step == 0) {
      at_ = begin;
      fail("a step of 0");
    }
    return step;
  }

  // A number in low..high that the seed settles.
  int hashed(int low, int high, std::string_view what) const {
    const util::Digest digest =
        util::digest_of(std::string(seed_) + "\n" + std::string(kind_.name) + "\n" + std::string(what));
    std::uint64_t value = 0;
    for (int i = 0; i < 8; ++i) value = value << 8 | digest.bytes[static_cast<std::size_t>(i)];
    return low + static_cast<int>(value % static_cast<std::uint64_t>(high - low + 1));
  }

  void item() {
    if (take('*') || (is_day() && take('?'))) return add(kind_.least, kind_.most, step());
    if (take_letter('H')) return hash_item();
    if (field_ == day_field && take_letter('L')) {
      take_letter('W') ? cron_.last_weekday = true : cron_.last_day = true;
      return;
    }
    if (field_ == day_field && (peek() == 'L' || peek() == 'l') && (peek(1) == 'W' || peek(1) == 'w') &&
        !std::isalpha(static_cast<unsigned char>(peek(2)))) {
      at_ += 2;
      cron_.last_weekday = true;
      return;
    }
    if (peek() == '~') return random_item(kind_.least);
    const std::size_t begin = at_;
    const int low = value();
    if (peek() == '~') return random_item(low);
    if (field_ == day_field && take_letter('W')) {
      cron_.near_days |= std::uint32_t{1} << low;
      return;
    }
    if (field_ == weekday_field && (take('#') || peek() == 'L' || peek() == 'l')) return nth_item(low);
    if (!take('-')) {
      // cronie takes a step only after a range, others read 5/15 as 5-59/15.
      if (peek() == '/')
        fail("a step needs a range before it", "write '" + std::string(text_.substr(begin, at_ - begin)) +
                                                   "-" + std::to_string(kind_.most == 7 ? 6 : kind_.most) +
                                                   std::string(text_.substr(at_)) + "'");
      return add(low, low, 1);
    }
    int high = value();
    // fri-sun
    if (field_ == weekday_field && high == 0 && low > 0) high = 7;
    if (high < low) {
      at_ = begin;
      fail("the range runs backwards and would never match",
           "write '" + std::to_string(low) + "-" + std::to_string(kind_.most) + "," +
               std::to_string(kind_.least) + "-" + std::to_string(high) + "'");
    }
    add(low, high, step());
  }

  // H, H/15, H(0-29), H(0-29)/10: each once a cycle, at a place of its own.
  void hash_item() {
    int low = kind_.least, high = field_ == weekday_field ? 6 : kind_.most;
    // The days that every month has.
    if (field_ == day_field) high = 28;
    if (take('(')) {
      low = value();
      if (!take('-')) unexpected();
      high = value();
      if (!take(')')) unexpected();
      if (high < low) fail("the range runs backwards");
    }
    const int by = step();
    if (by == 1) {
      const int chosen = hashed(low, high, "H");
      return add(chosen, chosen, 1);
    }
    add(hashed(low, std::min(high, low + by - 1), "H"), high, by);
  }

  // n~m: cronie chooses when it reads the table; here it is the same every time.
  void random_item(int low) {
    ++at_;
    int high = kind_.most == 7 ? 6 : kind_.most;
    if (at_number() || std::isalpha(static_cast<unsigned char>(peek()))) high = value();
    if (high < low) fail("the range runs backwards");
    if (peek() == '/') fail("no step can follow '~'");
    const int chosen = hashed(low, high, "~");
    add(chosen, chosen, 1);
  }

  // FRI#2, FRI#L, 5L
  void nth_item(int day) {
    std::uint8_t& which = cron_.nth_weekdays[static_cast<std::size_t>(day % 7)];
    if (take_letter('L')) {
      which |= 1;
      return;
    }
    const std::size_t begin = at_;
    const int nth = number();
    if (nth < 1 || nth > 5) {
      at_ = begin;
      fail("a month has no weekday number " + std::to_string(nth), "1 to 5, or L for the last");
    }
    which = static_cast<std::uint8_t>(which | 1 << nth);
  }

  bool is_day() const { return field_ == day_field || field_ == weekday_field; }

  std::string_view text_;
  std::size_t offset_, at_ = 0;
  int field_;
  const FieldKind& kind_;
  std::string_view seed_;
  Cron& cron_;
  std::uint64_t bits_ = 0;
  bool star_ = false;
};

Cron parse(std::string_view text, std::string_view seed) {
  const std::vector<std::string_view> fields = fields_of(text);
  const auto place = [&](std::size_t i) { return static_cast<std::size_t>(fields[i].data() - text.data()); };
  if (fields.empty())
    throw Failure{{0, "there is no expression", "such as \"0 3 * * *\": every day at 03:00"}};
  if (fields[0].starts_with('@')) {
    std::vector<std::string> names = {"@reboot"};
    Cron boot;
    boot.at_boot = true;
    const std::string word = util::to_lower(fields[0]);
    if (fields.size() == 1) {
      if (word == "@reboot") return boot;
      for (const Macro& macro : macros) {
        if (word == macro.name) return parse(macro.fields, seed);
        names.emplace_back(macro.name);
      }
    }
    std::string hint = util::did_you_mean(word, names);
    if (word == "@every") {
      const std::string period(fields.size() == 2 ? fields[1] : "5m");
      hint = "write 'every: " + period + "', in a file schedule: {every: " + period + "}";
    }
    throw Failure{{place(0), "'" + util::escape_controls(std::string(text)) + "' is no macro of cron", hint}};
  }
  if (fields.size() != 5) {
    const std::string count = std::to_string(fields.size());
    std::string hint = "minute, hour, day of the month, month, weekday: \"0 3 * * *\" is every day at 03:00";
    if (fields.size() == 6) hint = "there are no seconds and no years. " + hint;
    throw Failure{{fields.size() > 5 ? place(5) : 0,
                   "'" + util::escape_controls(std::string(text)) + "' has " + count + " fields and needs 5",
                   hint}};
  }
  Cron cron;
  std::uint64_t bits[5];
  bool stars[5];
  for (int i = 0; i < 5; ++i) {
    const auto index = static_cast<std::size_t>(i);
    FieldParser parser(fields[index], place(index), i, seed, cron);
    bits[i] = parser.parse();
    stars[i] = parser.star();
  }
  cron.minutes = bits[minute_field];
  cron.hours = static_cast<std::uint32_t>(bits[hour_field]);
  cron.month_days = static_cast<std::uint32_t>(bits[day_field]);
  cron.months = static_cast<std::uint16_t>(bits[month_field]);
  const std::uint64_t weekdays = bits[weekday_field];
  cron.weekdays = static_cast<std::uint8_t>((weekdays & 0x7f) | (weekdays >> 7 & 1));
  cron.minute_star = stars[minute_field];
  cron.hour_star = stars[hour_field];
  cron.day_star = stars[day_field];
  cron.weekday_star = stars[weekday_field];
  return cron;
}

}  // namespace

std::vector<std::string_view> fields_of(std::string_view text) {
  std::vector<std::string_view> fields;
  for (std::size_t at = text.find_first_not_of(" \t"); at != text.npos;
       at = text.find_first_not_of(" \t", at)) {
    const std::size_t end = std::min(text.find_first_of(" \t", at), text.size());
    fields.push_back(text.substr(at, end - at));
    at = end;
  }
  return fields;
}

std::optional<Cron> parse_cron(std::string_view text, std::string_view seed, CronProblem& problem) {
  try {
    return parse(text, seed);
  } catch (const Failure& failure) {
    problem = failure.problem;
    return std::nullopt;
  }
}

}  // namespace mlops::calendar
