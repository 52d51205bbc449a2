#include "cli/progress.hpp"

#include "util/log.hpp"
#include "util/quantity.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace mlops::cli {

namespace {

constexpr std::size_t tail_lines = 20;
constexpr std::size_t longest_line = 64 * 1024;  // a step may never write a newline

std::string duration(std::int64_t ms) { return util::format_duration(std::chrono::milliseconds(ms)); }

// Control characters of a step must not move our cursor or recolour what follows; tabs and its own colours
// stay.
std::string printable(std::string_view line, bool colours) {
  std::string text;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const unsigned char c = static_cast<unsigned char>(line[i]);
    if (c == 0x1b && i + 1 < line.size() && line[i + 1] == '[') {
      std::size_t end = i + 2;
      while (end < line.size() && (line[end] < '@' || line[end] > '~')) ++end;
      if (colours && end < line.size() && line[end] == 'm') text.append(line.substr(i, end - i + 1));
      i = std::min(end, line.size() - 1);
    } else if (c == '\t' || c >= 0x20) {
      if (c != 0x7f) text += static_cast<char>(c);
    }
  }
  return util::to_utf8(text);
}

std::string cut(const std::string& text, int width) {
  if (util::display_width(text) <= width) return text;
  std::string kept;
  for (const char c : text) {
    if (util::display_width(kept) >= width - 1 && (static_cast<unsigned char>(c) & 0xC0) != 0x80) break;
    kept += c;
  }
  return kept + "…";
}

}  // namespace

Progress::Progress(std::FILE* stream, OutputMode mode, bool live)
    : stream_(stream), mode_(mode), live_(live), style_(style_of(stream)), held_(mode == OutputMode::quiet) {}

Progress::~Progress() { erase_status(), flush(); }

bool Progress::is_tolerated(int step) const {
  return pipeline_->steps[static_cast<std::size_t>(step)].continue_on_failure;
}

std::string Progress::name(int step) const { return pipeline_->steps[static_cast<std::size_t>(step)].name; }

void Progress::run_began(const RunView& view) {
  pipeline_ = &view.pipeline;
  usual_ms_ = view.usual_ms;
  id_ = view.id;
  run_directory_ = view.run_directory;
  began_ms_ = util::monotonic_ms();
  for (const PlannedStep& planned : view.plan.steps) {
    if (!planned.selected) {
      left_out_.insert(planned.step);
      continue;
    }
    name_width_ = std::max(name_width_, util::display_width(name(planned.step)));
  }
  selected_ = view.steps_left;
  name_width_ = std::min(name_width_, 24);
  say(style_.bold(shown(pipeline_->name)) + " " +
      style_.dim((view.resumed ? "resuming run " : "run ") + id_ + (slot_.empty() ? "" : " for " + slot_) +
                 ", " + std::to_string(selected_) + " step" + (selected_ == 1 ? "" : "s") +
                 (view.resumed ? " left" : "") + ", " + std::to_string(view.jobs) + " at a time"));
  flush();
}

void Progress::say(const std::string& text) {
  erase_status();
  buffer_ += text;
  buffer_ += '\n';
  if (buffer_.size() > 32 * 1024 || live_) flush();
}

void Progress::flush() {
  if (held_) return;
  std::string_view rest = buffer_;
  while (!rest.empty()) {
    const ssize_t n = ::write(::fileno(stream_), rest.data(), rest.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      // The run goes on, its log is on disk. Nobody reads any more: no news; but a full disk is.
      if (n < 0 && errno != EPIPE && !std::exchange(told_, true)) {
        util::log_warning(std::string("cannot write to the standard output: ") + std::strerror(errno) +
                          "; the run goes on, see mlops logs " + id_);
      }
      break;
    }
    rest.remove_prefix(static_cast<std::size_t>(n));
  }
  buffer_.clear();
}

void Progress::step_began(int step, int attempt) {
  Running& r = running_[step];
  r = Running();
  r.since_ms = util::monotonic_ms();
  r.attempt = attempt;
  if (!live_ && mode_ == OutputMode::live) {
    say(style_.accent("▶ ") + name(step) +
        (attempt > 1 ? style_.dim(" attempt " + std::to_string(attempt)) : ""));
  }
}

void Progress::print_line(int step, std::string_view line) {
  const std::string text = printable(line, style_.on());
  Running& r = running_[step];
  if (mode_ == OutputMode::live) {
    const std::string label = cut(name(step), name_width_);
    const std::string padding(static_cast<std::size_t>(name_width_ - util::display_width(label)), ' ');
    say("  " + style_.dim(label + padding + " │ ") + text + (style_.on() ? "\033[0m" : ""));
  } else {
    r.tail.push_back(text);
    if (r.tail.size() > tail_lines) r.tail.erase(r.tail.begin());
  }
}

void Progress::step_output(int step, std::string_view bytes) {
  Running& r = running_[step];
  while (!bytes.empty()) {
    const std::size_t newline = bytes.find('\n');
    r.partial += bytes.substr(0, newline);
    if (newline == bytes.npos && r.partial.size() < longest_line) break;
    // Of a line that a progress bar rewrote with carriage returns, the last state counts.
    std::string_view line = r.partial;
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (const std::size_t cr = line.rfind('\r'); cr != line.npos) line.remove_prefix(cr + 1);
    print_line(step, line);
    r.partial.clear();
    if (newline == bytes.npos) break;
    bytes.remove_prefix(newline + 1);
  }
  if (!live_) flush();
}

void Progress::step_waits(int step, const std::string& why, std::int64_t delay_ms) {
  Running& r = running_[step];
  if (!r.partial.empty()) print_line(step, r.partial);
  r.partial.clear();
  r.waiting = why;
  say(style_.warn("↻ ") + name(step) + " " + style_.warn(why) +
      style_.dim(", trying again in " + duration(delay_ms)));
  flush();
}

void Progress::step_ended(const StepRecord& record) {
  const auto it = running_.find(record.step);
  std::string took;
  if (it != running_.end()) {
    if (!it->second.partial.empty()) print_line(record.step, it->second.partial);
    took = " " + style_.dim(duration(util::monotonic_ms() - it->second.since_ms));
  }
  ++ended_[record.state];
  const bool left_out = left_out_.contains(record.step);
  if (!left_out) ++done_;
  const std::string step_name = shown(name(record.step));
  switch (record.state) {
    case StepState::succeeded:
      if (mode_ != OutputMode::quiet) say(style_.good("✔ ") + step_name + took);
      break;
    case StepState::cached:
      if (mode_ == OutputMode::live) say(style_.dim("= " + step_name + " cached"));
      break;
    case StepState::failed:
    case StepState::lost:
      if (mode_ != OutputMode::live && it != running_.end()) {
        for (const std::string& line : it->second.tail) say("  " + style_.dim("│ ") + line);
      }
      say(style_.error("✘ ") + step_name + took + " " + style_.error(shown(record.reason)));
      // No success can come of it any more; one that is tolerated is none's business if all ends well.
      if (record.state == StepState::lost || !is_tolerated(record.step)) held_ = false;
      break;
    case StepState::skipped:
      // What the user left out is no news, what a condition left out is.
      if (!left_out && mode_ != OutputMode::quiet)
        say(style_.dim("○ " + step_name + " skipped: " + shown(record.reason)));
      break;
    case StepState::not_run: say(style_.dim("○ " + step_name + " not run: " + shown(record.reason))); break;
    case StepState::cancelled:
      say(style_.warn("◼ ") + step_name + took + " " + style_.warn("cancelled"));
      break;
    case StepState::interrupted:
    case StepState::pending:
    case StepState::running:
    case StepState::retrying: break;
  }
  running_.erase(record.step);
  if (!live_ && running_.empty()) flush();
}

void Progress::note(const std::string& text) {
  say(style_.warn("! ") + shown(text));
  flush();
}

void Progress::paused(bool now) {
  if (now) {
    note("paused: running steps are frozen, their clocks stand still (continue with `fg`)");
  } else {
    note("continued");
  }
}

void Progress::tick() {
  erase_status();
  print_status();
  flush();
}

// A line for each running step, as many as a third of the screen holds, and a line for the whole.
void Progress::print_status() {
  const int width = terminal_width();
  const std::int64_t now = util::monotonic_ms();
  constexpr const char* frames[] = {"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"};
  const char* frame = frames[(now / 100) % 10];
  int shown = 0;
  std::int64_t remaining = 0;
  bool estimate = true;
  for (const auto& [step, r] : running_) {
    const auto usual = usual_ms_.find(name(step));
    const std::int64_t elapsed = now - r.since_ms;
    if (usual == usual_ms_.end()) {
      estimate = false;
    } else {
      remaining = std::max(remaining, usual->second - elapsed);
    }
    if (++shown > 8) continue;
    std::string line = name(step) + " " + duration(elapsed);
    if (!r.waiting.empty())
      line += " waiting for attempt " + std::to_string(r.attempt + 1);
    else if (usual != usual_ms_.end())
      line += " of about " + duration(usual->second);
    if (r.attempt > 1) line += " (attempt " + std::to_string(r.attempt) + ")";
    buffer_ += style_.accent(std::string(frame) + " ") + cut(line, width - 3) + "\n";
    ++status_lines_;
  }
  std::string line =
      std::to_string(done_) + "/" + std::to_string(selected_) + " steps, " + duration(now - began_ms_);
  if (shown > 8) line += ", " + std::to_string(shown) + " running";
  if (estimate && remaining > 0 && done_ + static_cast<int>(running_.size()) == selected_) {
    line += ", about " + duration(remaining) + " left";
  }
  buffer_ += style_.dim(cut(line, width - 1)) + "\n";
  ++status_lines_;
}

void Progress::erase_status() {
  if (status_lines_ == 0) return;
  // The terminal may have echoed ^C or ^Z: back to the first column before going up.
  buffer_ += "\r\033[" + std::to_string(status_lines_) + "A\033[J";
  status_lines_ = 0;
}

void Progress::run_ended(const RunResult& result) {
  erase_status();
  if (mode_ == OutputMode::quiet && result.state == RunState::succeeded) return buffer_.clear();
  held_ = false;
  std::string counts;
  for (const auto& [state, count] : ended_) {
    counts += (counts.empty() ? "" : ", ") + std::to_string(count) + " " +
              (state == StepState::not_run ? "not run" : to_string(state));
  }
  const std::string verdict = style_.of(result.state, std::string(to_string(result.state)));
  say((result.state == RunState::succeeded ? style_.good("✔ ") : style_.error("✘ ")) +
      style_.bold(shown(pipeline_->name)) + " " + verdict + " in " + duration(result.duration_ms) +
      style_.dim(" (" + counts + ")"));
  if (result.state != RunState::succeeded) {
    if (!result.reason.empty()) say("  " + shown(result.reason));
    // What a gate refused, it would refuse again.
    const bool may_continue = result.exit_code != ExitCode::gate_refused;
    if (hints_)
      say(style_.dim(
          "  see: mlops show " + workspace_option_ + id_ +
          (may_continue ? "   continue: mlops run " + workspace_option_ + "--resume " + id_ : "")));
  } else if (hints_) {
    say(style_.dim("  see: mlops show " + workspace_option_ + id_));
  }
  flush();
}

}  // namespace mlops::cli
