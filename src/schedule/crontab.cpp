#include "schedule/crontab.hpp"

#include "calendar/cron.hpp"
#include "util/files.hpp"
#include "util/strings.hpp"

#include <algorithm>
#include <cctype>

namespace mlops::schedule {

namespace {

bool is_blank(char c) { return c == ' ' || c == '\t'; }

std::size_t skip_blanks(std::string_view line, std::size_t at) {
  while (at < line.size() && is_blank(line[at])) ++at;
  return at;
}

std::size_t skip_word(std::string_view line, std::size_t at) {
  while (at < line.size() && !is_blank(line[at])) ++at;
  return at;
}

struct Variable {
  std::string name, value;
};

// NAME = value, either in quotes or not; anything else is no variable. A '#' after it begins no comment.
std::optional<Variable> read_variable(std::string_view line) {
  Variable variable;
  std::size_t at = skip_blanks(line, 0);
  const auto quoted = [&](std::string& out) {
    const std::size_t end = line.find(line[at], at + 1);
    if (end == line.npos) return false;
    out = line.substr(at + 1, end - at - 1);
    at = end + 1;
    return true;
  };
  const auto at_quote = [&] { return at < line.size() && (line[at] == '"' || line[at] == '\''); };
  if (at_quote()) {
    if (!quoted(variable.name)) return std::nullopt;
  } else {
    const std::size_t begin = at;
    while (at < line.size() && line[at] != '=' && !is_blank(line[at])) ++at;
    variable.name = line.substr(begin, at - begin);
  }
  at = skip_blanks(line, at);
  if (variable.name.empty() || at == line.size() || line[at] != '=') return std::nullopt;
  at = skip_blanks(line, at + 1);
  if (at_quote()) {
    if (!quoted(variable.value) || skip_blanks(line, at) != line.size()) return std::nullopt;
  } else {
    std::size_t end = line.size();
    while (end > at && is_blank(line[end - 1])) --end;
    variable.value = line.substr(at, end - at);
  }
  return variable;
}

// Past a word of the shell, as cron_command() writes it.
std::size_t skip_shell_word(std::string_view text, std::size_t at) {
  char quote = 0;
  for (; at < text.size() && (quote != 0 || !is_blank(text[at])); ++at) {
    const char c = text[at];
    if (c == '\\' && quote == 0) {
      if (at + 1 < text.size()) ++at;
    } else if (quote == 0 ? c == '\'' || c == '"' : c == quote) {
      quote = quote == 0 ? c : '\0';
    }
  }
  return at;
}

// What the shell gets, and where in `text` the first `%` for cron stands.
std::string unescaped(std::string_view text, CronKind kind, std::size_t& end) {
  std::string out;
  for (end = 0; end < text.size() && text[end] != '%'; ++end) {
    if (text[end] != '\\' || end + 1 == text.size()) {
      out += text[end];
      continue;
    }
    const char next = text[++end];
    if (next != '%' && (next != '\\' || kind == CronKind::cronie)) out += '\\';
    out += next;
  }
  return out;
}

// `%` is a line break and `\%` a `%`; there is always a line break at the end.
std::string input_of(std::string_view text) {
  std::string out;
  bool escaped = false;
  for (const char c : text) {
    if (escaped && c != '%') out += '\\';
    const bool breaks = c == '%' && !escaped;
    escaped = c == '\\';
    if (!escaped) out += breaks ? '\n' : c;
  }
  if (escaped) out += '\\';
  if (!out.empty() && out.back() != '\n') out += '\n';
  return out;
}

class Reader {
 public:
  explicit Reader(const CrontabForm& form) : form_(form) {}

  Crontab read(std::string_view text) {
    const std::vector<std::string> lines = lines_of(text);
    std::size_t ours_until = 0;
    for (const std::string& line : lines) {
      const std::size_t end = end_of_block(lines, static_cast<std::size_t>(number_++));
      if (end > 0) {
        remark("what `mlops schedule install` has written, down to line " + std::to_string(end) +
               ", is not imported");
        ours_until = end;
      }
      const std::string comment = std::exchange(comment_, "");
      if (static_cast<std::size_t>(number_) > ours_until) read_line(line, comment);
    }
    if (!text.empty() && text.back() != '\n')
      remark("the last line does not end, so that cron does not read it: add a line break");
    return std::move(crontab_);
  }

 private:
  // The number of the line that ends the block of mlops which begins at this one; 0: none does.
  static std::size_t end_of_block(const std::vector<std::string>& lines, std::size_t first) {
    if (!lines[first].starts_with(block_begin)) return 0;
    const std::string end = std::string(block_end) + lines[first].substr(block_begin.size());
    const auto found = std::find(lines.begin() + static_cast<std::ptrdiff_t>(first), lines.end(), end);
    return found == lines.end() ? 0 : static_cast<std::size_t>(found - lines.begin()) + 1;
  }

  void remark(std::string text, bool left_out = false) {
    CronRemark& added = crontab_.remarks.emplace_back();
    added.line = number_;
    added.text = std::move(text);
    added.left_out = left_out;
  }

  void read_line(std::string_view line, const std::string& comment) {
    const std::size_t at = skip_blanks(line, 0);
    if (at == line.size()) return;
    if (line[at] == '#') {
      comment_ = util::trim(line.substr(at + 1));
      return;
    }
    if (line.find('\0') != line.npos || !util::is_utf8(line))
      return remark("it is no text in UTF-8, which a pipeline file has to be", true);
    if (const auto variable = read_variable(line)) {
      set(*variable);
    } else {
      read_job(line, at, comment);
    }
  }

  void set(const Variable& variable) {
    const std::string& name = variable.name;
    if (name == "MAILTO" && !variable.value.empty())
      remark("MAILTO: what jobs print is not mailed to " + variable.value +
             ", but kept for `mlops logs`; whom to tell of failures is for `notify:` in the pipeline file");
    if (name == "CRON_TZ" && form_.kind == CronKind::debian)
      remark("CRON_TZ: Debian's cron does not know it, and runs jobs by the machine's clock; `timezone: " +
             variable.value + "` in the pipeline file has it meant");
    if (name == "LOGNAME" || (name == "USER" && form_.kind == CronKind::cronie))
      return remark(name + " cannot be set: cron does not heed that");
    variables_[name] = variable.value;
  }

  void read_job(std::string_view line, std::size_t at, const std::string& comment) {
    CronJob job;
    job.line = number_;
    job.written = line;
    job.comment = comment;
    job.variables = variables_;
    if (line[at] == '-') ++at;  // to keep it out of the system's log
    const std::size_t begin = at;
    const int words = line.substr(at).starts_with('@') ? 1 : 5;
    std::vector<std::string> fields;
    for (int i = 0; i < words; ++i) {
      const std::size_t end = skip_word(line, at);
      if (end > at) fields.emplace_back(line.substr(at, end - at));
      at = skip_blanks(line, end);
    }
    job.times = util::join(fields, " ");
    calendar::CronProblem problem;
    if (fields.size() < static_cast<std::size_t>(words) || at == line.size()) {
      const char first = begin < line.size() ? line[begin] : '\0';  // a lone '-' has none
      const bool looks = std::isdigit(static_cast<unsigned char>(first)) != 0 || first == '*' || first == '@';
      return remark(looks ? "it is no job: after its times, a command is missing"
                          : "it is neither a job nor a variable",
                    true);
    }
    if (!calendar::parse_cron(job.times, "crontab", problem))
      return remark("its times cannot be read: " + problem.message +
                        (problem.hint.empty() ? "" : " (" + problem.hint + ")"),
                    true);
    if (form_.system) {
      const std::size_t end = skip_word(line, at);
      job.user = line.substr(at, end - at);
      at = skip_blanks(line, end);
      if (at == line.size()) return remark("after the user '" + job.user + "' a command is missing", true);
    }
    job.command_at = at;
    for (const std::string_view note : notes_before(line.substr(at))) {
      job.written.erase(job.command_at, note.size());
      job.watched = true;
      at += note.size();
    }
    if (at == line.size()) return remark("it is no job: it only notes that one starts", true);
    const std::string_view rest = line.substr(at);
    std::size_t end = 0;
    job.command = unescaped(rest, form_.kind, end);
    if (end < rest.size()) job.input = input_of(rest.substr(end + 1));
    if (rest.substr(0, end).find("\\\\") != rest.npos)
      remark(form_.kind == CronKind::debian
                 ? "'\\\\': Debian's cron takes one of the backslashes away, and so does this"
                 : "'\\\\': both backslashes are kept, as cronie has it");
    crontab_.jobs.push_back(std::move(job));
  }

  const CrontabForm& form_;
  int number_ = 0;
  std::string comment_;
  std::map<std::string, std::string> variables_;
  Crontab crontab_;
};

}  // namespace

CronKind installed_cron() {
  const bool cronie =
      !util::exists("/usr/sbin/cron") && (util::exists("/usr/sbin/crond") || util::exists("/usr/bin/crond"));
  return cronie ? CronKind::cronie : CronKind::debian;
}

Crontab read_crontab(std::string_view text, const CrontabForm& form) { return Reader(form).read(text); }

std::vector<std::string_view> notes_before(std::string_view command) {
  std::vector<std::string_view> notes;
  const std::string word = std::string(shadow_argument) + " ";
  std::size_t begin = 0;
  while (true) {
    // The program is written as its whole path.
    const std::string_view rest = command.substr(begin);
    if (!rest.starts_with('/') && !rest.starts_with("'/")) return notes;
    std::size_t at = skip_blanks(command, skip_shell_word(command, begin));
    if (!command.substr(at).starts_with(word)) return notes;
    at = skip_blanks(command, at + word.size());
    at = skip_blanks(command, skip_shell_word(command, at));  // the file; what it is called there comes next
    at = skip_shell_word(command, at);
    if (command[at - 1] != ';') return notes;
    at = skip_blanks(command, at);
    notes.push_back(command.substr(begin, at - begin));
    begin = at;
  }
}

std::vector<std::string> lines_of(std::string_view text) {
  if (text.empty()) return {};
  if (text.ends_with('\n')) text.remove_suffix(1);
  return util::split(text, '\n');
}

}  // namespace mlops::schedule
