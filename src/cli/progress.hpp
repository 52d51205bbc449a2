// What `mlops run` shows while it runs: plain lines in a pipe, a live status on a terminal.
#pragma once

#include <mlops/run.hpp>

#include "cli/output.hpp"

#include <map>
#include <set>
#include <string>
#include <vector>

namespace mlops::cli {

enum class OutputMode {
  live,    ///< steps' output as it comes, each line led by the step's name
  failed,  ///< the last lines of steps that fail
  quiet,   ///< nothing at all, unless the run fails: then what did
  none,
};

class Progress : public RunObserver {
 public:
  /// `live`: keep a status of running steps at the bottom of the terminal.
  Progress(std::FILE* stream, OutputMode mode, bool live);
  ~Progress() override;

  /// What other commands need to find the workspace from here: "-w DIR ", or nothing.
  void set_workspace_option(const std::string& option) { workspace_option_ = option; }
  /// What a run for a slot says first: "the slot 2026-01-05T03:00:00+00:00 of main".
  void set_slot(const std::string& words) { slot_ = words; }
  /// Says no next commands at the end: the run is not kept.
  void leave_out_hints() { hints_ = false; }

  void run_began(const RunView& view) override;
  void step_began(int step, int attempt) override;
  void step_output(int step, std::string_view bytes) override;
  void step_waits(int step, const std::string& why, std::int64_t delay_ms) override;
  void step_ended(const StepRecord& record) override;
  void note(const std::string& text) override;
  void paused(bool now) override;
  void run_ended(const RunResult& result) override;
  bool wants_output() const override { return mode_ != OutputMode::none; }
  int tick_interval_ms() const override { return live_ ? 100 : 0; }
  void tick() override;

 private:
  struct Running {
    std::int64_t since_ms = 0;
    int attempt = 1;
    std::string partial;            // a line without its end
    std::vector<std::string> tail;  // last lines, for a failure
    std::string waiting;            // why it waits for its next attempt
  };

  void print_line(int step, std::string_view line);
  void say(const std::string& text);  // a whole line above the status
  void print_status();
  void erase_status();
  void flush();
  std::string name(int step) const;
  bool is_tolerated(int step) const;

  std::FILE* stream_;
  OutputMode mode_;
  bool live_;
  Style style_;
  const Pipeline* pipeline_ = nullptr;
  std::map<std::string, std::int64_t> usual_ms_;
  std::string id_, run_directory_, workspace_option_, slot_;
  std::map<int, Running> running_;
  std::set<int> left_out_;  // by the user's selection
  int selected_ = 0, done_ = 0;
  std::map<StepState, int> ended_;
  int name_width_ = 0;
  int status_lines_ = 0;
  std::int64_t began_ms_ = 0;
  std::string buffer_;
  bool hints_ = true;
  bool held_ = false;  // what is to be said, until it is known that the run fails
  bool told_ = false;  // that what it prints is lost
};

}  // namespace mlops::cli
