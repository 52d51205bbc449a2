#include "cli/output.hpp"

#include "util/strings.hpp"
#include "util/time.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>

namespace mlops::cli {

namespace {
bool plain = false;

bool set(const char* variable) {
  const char* value = std::getenv(variable);
  return value && *value;
}
}  // namespace

void force_plain() { plain = true; }

bool is_terminal(std::FILE* stream) { return ::isatty(::fileno(stream)) != 0; }

Style style_of(std::FILE* stream) {
  if (plain || set("NO_COLOR")) return Style(false);
  if (const char* force = std::getenv("CLICOLOR_FORCE"); force && *force)
    return Style(std::strcmp(force, "0") != 0);
  const char* term = std::getenv("TERM");
  return Style(is_terminal(stream) && (!term || std::strcmp(term, "dumb") != 0));
}

bool can_redraw(std::FILE* stream) {
  const char* term = std::getenv("TERM");
  return is_terminal(stream) && (!term || std::strcmp(term, "dumb") != 0);
}

int terminal_width() {
  winsize size{};
  for (const int fd : {1, 2, 0}) {
    if (::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  }
  return 80;
}

std::string counted(std::uint64_t count, const char* what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

std::string shown(const std::string& text) { return util::escape_controls(util::to_utf8(text)); }

std::string not_empty(const std::string& value) {
  return value.empty()
             ? "the value is empty (a variable that is not set?); leave the option out, or give it one"
             : "";
}

std::string shown_lines(const std::string& text) {
  std::string lines;
  for (const std::string& line : util::split(text, '\n')) lines += (lines.empty() ? "" : "\n") + shown(line);
  return lines;
}

std::string in_one_line(const std::string& text) {
  std::vector<std::string> parts;
  for (const std::string& line : util::split(text, '\n'))
    if (const auto part = util::trim(line); !part.empty()) parts.push_back(shown(std::string(part)));
  return util::join(parts, "; ");
}

std::string Style::of(RunState state, const std::string& text) const {
  switch (state) {
    case RunState::running: return accent(text);
    case RunState::succeeded: return good(text);
    case RunState::failed: return error(text);
    case RunState::cancelled:
    case RunState::interrupted: return warn(text);
  }
  return text;
}

std::string Style::of(StepState state, const std::string& text) const {
  switch (state) {
    case StepState::running:
    case StepState::retrying: return accent(text);
    case StepState::succeeded:
    case StepState::cached: return good(text);
    case StepState::failed:
    case StepState::lost: return error(text);
    case StepState::interrupted:
    case StepState::cancelled: return warn(text);
    case StepState::pending:
    case StepState::skipped:
    case StepState::not_run: return dim(text);
  }
  return text;
}

void Table::add(std::vector<std::string> row) {
  for (std::string& cell : row) cell = shown(cell);
  rows_.push_back(std::move(row));
}

void Table::print(
    std::FILE* stream,
    const std::function<std::string(std::size_t, std::size_t, const std::string&)>& paint) const {
  std::vector<int> widths;
  for (const auto& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], util::display_width(row[c]));
  }
  const Style style = style_of(stream);
  for (std::size_t r = 0; r < rows_.size(); ++r) {
    std::string line;
    for (std::size_t c = 0; c < rows_[r].size(); ++c) {
      const std::string& cell = rows_[r][c];
      const bool last = c + 1 == rows_[r].size();
      const bool right = std::find(right_.begin(), right_.end(), c) != right_.end();
      const std::string padding(static_cast<std::size_t>(widths[c] - util::display_width(cell)), ' ');
      const std::string painted = r == 0 ? style.dim(cell) : paint ? paint(r - 1, c, cell) : cell;
      line += right ? padding + painted : last ? painted : painted + padding;
      if (!last) line += "  ";
    }
    while (!line.empty() && line.back() == ' ') line.pop_back();
    std::fprintf(stream, "%s\n", line.c_str());
  }
}

void print_json(const nlohmann::json& value) {
  const std::string text = value.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
  std::printf("%s\n", text.c_str());
}

nlohmann::json time_json(const std::optional<Instant>& instant) {
  if (!instant) return nullptr;
  std::string text = util::format_utc(*instant);
  text[10] = 'T';
  return text + "Z";
}

nlohmann::json to_json(const RunRecord& run) {
  nlohmann::json json = {{"id", run.id},
                         {"pipeline", run.pipeline},
                         {"file", run.file},
                         {"definition_sha256", run.definition},
                         {"state", to_string(run.state)},
                         {"reason", run.reason},
                         {"exit_code", nullptr},
                         {"created_at", time_json(run.created_at)},
                         {"ended_at", time_json(run.ended_at)},
                         {"duration_ms", nullptr},
                         {"steps", run.steps},
                         {"jobs", run.jobs},
                         {"resumes", run.resumes},
                         {"host", run.host},
                         {"user", run.user},
                         {"command_line", run.command_line},
                         {"git_commit", nullptr},
                         {"git_dirty", nullptr},
                         {"mlops_version", run.mlops_version}};
  if (run.exit_code) json["exit_code"] = *run.exit_code;
  if (run.duration_ms) json["duration_ms"] = *run.duration_ms;
  if (run.git_commit) json["git_commit"] = *run.git_commit;
  if (run.git_dirty) json["git_dirty"] = *run.git_dirty;
  return json;
}

nlohmann::json to_json(const StepRecord& step) {
  return {{"name", step.name},
          {"kind", step.kind},
          {"command", step.command},
          {"state", to_string(step.state)},
          {"reason", step.reason},
          {"attempts", step.attempts},
          {"started_at", time_json(step.started_at)},
          {"ended_at", time_json(step.ended_at)},
          {"source_run", step.source_run ? nlohmann::json(*step.source_run) : nlohmann::json(nullptr)}};
}

nlohmann::json to_json(const std::vector<Diagnostic>& problems) {
  nlohmann::json list = nlohmann::json::array();
  for (const Diagnostic& d : problems) {
    list.push_back({{"file", d.file},
                    {"line", d.at.line},
                    {"column", d.at.column},
                    {"message", d.message},
                    {"hint", d.hint}});
  }
  return list;
}

namespace {

// `word` tells what each of them is.
void print_each(const std::vector<Diagnostic>& list, const Style& style, const std::string& word) {
  for (const Diagnostic& d : list) {
    std::string place = shown(d.file);
    if (d.at.line) place += ":" + std::to_string(d.at.line) + ":" + std::to_string(d.at.column);
    std::fprintf(stderr, "%s %s %s\n", style.bold(place + ":").c_str(), word.c_str(),
                 shown_lines(d.message).c_str());
    if (!d.hint.empty()) std::fprintf(stderr, "    %s\n", shown_lines(d.hint).c_str());
  }
}

}  // namespace

void print_diagnostics(const std::vector<Diagnostic>& problems, const char* consequence) {
  const Style style = style_of(stderr);
  print_each(problems, style, style.error("error:"));
  std::fprintf(stderr, "%zu problem%s found%s\n", problems.size(), problems.size() == 1 ? "" : "s",
               consequence);
}

void print_warnings(const std::vector<Diagnostic>& warnings) {
  const Style style = style_of(stderr);
  print_each(warnings, style, style.warn("warning:"));
}

std::string format_number(double value) {
  char buffer[32];
  if (value == std::floor(value) && std::abs(value) < 1e15) {
    std::snprintf(buffer, sizeof buffer, "%.0f", value);
  } else {
    std::snprintf(buffer, sizeof buffer, "%.6g", value);
  }
  return buffer;
}

void enter_directory(const std::string& directory) {
  if (::chdir(directory.c_str()) != 0) {
    throw Error(ExitCode::usage, "cannot work in '" + directory + "': " + std::strerror(errno));
  }
}

namespace {

// CLI11's layout with our head words and without its noise.
class Formatter : public CLI::Formatter {
 public:
  std::string make_option_name(const CLI::Option* option, bool positional) const override {
    std::string name = CLI::Formatter::make_option_name(option, positional);
    // Of a flag that turns something off.
    if (const std::size_t at = name.find("{false}"); at != name.npos) name.erase(at, 7);
    return name;
  }
  std::string make_option_opts(const CLI::Option* option) const override {
    if (option->get_type_size() == 0 || option->get_positional()) return "";
    std::string text = " " + option->get_type_name();
    text.resize(std::min(text.size(), text.find(':')));  // what a check would add
    if (option->get_expected_max() > 1) text += " ...";
    return text;
  }
};

}  // namespace

std::shared_ptr<CLI::Formatter> make_formatter() {
  auto formatter = std::make_shared<Formatter>();
  formatter->column_width(30);
  return formatter;
}

}  // namespace mlops::cli
