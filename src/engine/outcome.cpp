#include "engine/outcome.hpp"

#include "process/control_group.hpp"
#include "process/process_tree.hpp"
#include "util/files.hpp"
#include "util/quantity.hpp"

#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include <cerrno>

namespace mlops::engine {

using process::ExitRecord;

std::string signal_name(int signal) {
  const char* name = ::sigabbrev_np(signal);
  return name ? std::string("SIG") + name : "signal " + std::to_string(signal);
}

int signal_in_script(const Step& step, int code) {
  return step.command.shell && code > 128 && ::sigabbrev_np(code - 128) ? code - 128 : 0;
}

void end_lost_processes(const std::string& run_id, const std::string& step, int attempt) {
  process::kill_control_groups(process::group_prefix(run_id));
  process::kill_by_environment(
      {"MLOPS_RUN_ID=" + run_id, "MLOPS_STEP=" + step, "MLOPS_ATTEMPT=" + std::to_string(attempt)});
}

namespace {

std::string why_not_started(const ExitRecord& record, const OutcomeContext& context) {
  const std::string program =
      context.step->command.shell ? "/bin/sh" : context.step->command.argv[0].literal();
  const std::string what = "could not start '" + program + "': ";
  struct stat st {};
  if (::stat(context.directory.c_str(), &st) != 0 || !S_ISDIR(st.st_mode)) {
    return what + "its working directory '" + context.directory + "' does not exist";
  }
  switch (record.error) {
    case ENOENT:
      if (program.find('/') == program.npos) return what + "no such program on PATH (" + context.path + ")";
      if (util::exists(program[0] == '/' ? program : context.directory + "/" + program)) {
        return what + "the interpreter named in its first line does not exist";
      }
      return what + "no such file";
    case EACCES:
      if (util::is_directory(program[0] == '/' ? program : context.directory + "/" + program))
        return what + "it is a directory";
      return what + "permission denied; is it executable? (chmod +x)";
    case ENOEXEC:
      return what + "not a program for this machine; a script needs a first line such as #!/bin/sh";
    case E2BIG:
      return what +
             "arguments or environment are too large for the system (one string may have 128 KiB); pass "
             "large "
             "values in a file, as MLOPS_PARAMS does";
    default: return what + ::strerror(record.error);
  }
}

std::string killed_by(int signal) {
  const char* text = ::sigdescr_np(signal);
  return "killed by " + signal_name(signal) + (text ? std::string(" (") + text + ")" : "");
}

// Who sent a SIGKILL that was not ours, as far as that can be told.
std::string sender_of_kill(const ExitRecord& record, const OutcomeContext& context) {
  if (!context.memory_kill) return ", which mlops did not send";
  return ": the kernel was out of memory and killed processes while it ran; the step's peak was " +
         util::format_size(static_cast<std::uint64_t>(record.max_rss_kb) * 1024);
}

std::string signal_words(const ExitRecord& record, const OutcomeContext& context) {
  std::string words = killed_by(record.signal);
  if (record.core_dumped) words += ", core dumped";
  if (record.signal == SIGKILL) words += sender_of_kill(record, context);
  return words;
}

std::string exit_words(const ExitRecord& record, const OutcomeContext& context) {
  std::string words = "exit code " + std::to_string(record.code);
  if (context.step->command.shell && record.code == 127)
    return words + ": as when the shell finds no such program" +
           (context.path.empty() ? "" : " (PATH is " + context.path + ")");
  if (context.step->command.shell && record.code == 126)
    return words + ": as when the shell cannot execute a file; is it executable? (chmod +x)";
  const int signal = signal_in_script(*context.step, record.code);
  if (signal == 0) return words;
  words += ": a command of its script was " + killed_by(signal);
  if (signal == SIGKILL) words += sender_of_kill(record, context);
  return words;
}

}  // namespace

AttemptOutcome outcome_of(const ExitRecord& record, const OutcomeContext& context) {
  using Kind = AttemptOutcome::Kind;
  const auto limit = [](Milliseconds ms) { return util::format_duration(ms); };
  switch (record.cause) {
    case process::Cause::exited:
      if (record.succeeded()) return {Kind::succeeded, 0, ""};
      if (record.signal != 0) return {Kind::signalled, 128 + record.signal, signal_words(record, context)};
      return {Kind::exited, record.code, exit_words(record, context)};
    case process::Cause::timeout:
      return {Kind::timeout, record.code, "timed out after " + limit(context.step->timeout)};
    case process::Cause::no_output:
      return {Kind::no_output, record.code, "wrote nothing for " + limit(context.step->no_output_timeout)};
    case process::Cause::stopped: return {Kind::stopped, record.code, "was told to stop"};
    case process::Cause::not_started: return {Kind::not_started, 0, why_not_started(record, context)};
    case process::Cause::lost: break;
  }
  return {Kind::lost, 0, "lost: the keeper process died, nobody knows how it ended"};
}

FailureVerdict verdict_of(const Step& step, const AttemptOutcome& outcome, const std::string& reason) {
  using Kind = AttemptOutcome::Kind;
  const bool asks = step.kind == "gate" || step.kind == "validate";
  const bool no = asks && outcome.kind == Kind::exited && outcome.code != 0 && outcome.code != 126 &&
                  outcome.code != 127 && signal_in_script(step, outcome.code) == 0;
  if (no) {
    const std::string who = step.kind == step.name ? step.name : step.kind + " " + step.name;
    return {ExitCode::gate_refused, who + " said no: " + reason};
  }
  const bool late = outcome.kind == Kind::timeout || outcome.kind == Kind::no_output;
  return {late ? ExitCode::timed_out : ExitCode::step_failed, "step " + step.name + " failed: " + reason};
}

AttemptRecord record_of(const ExitRecord& r) {
  const auto instant = [](std::int64_t ms) { return Instant(std::chrono::milliseconds(ms)); };
  AttemptRecord a;
  a.step = r.key.step;
  a.attempt = r.key.attempt;
  a.cause = process::to_string(r.cause);
  if (r.code >= 0) a.exit_code = r.code;
  if (r.signal != 0) a.signal = r.signal;
  if (r.pid > 0) a.pid = r.pid;
  a.started_at = instant(r.started_ms);
  if (r.ended_ms > 0) a.ended_at = instant(r.ended_ms);
  if (r.pid > 0 && r.cause != process::Cause::lost) {
    a.cpu_user_ms = r.user_us / 1000;
    a.cpu_system_ms = r.system_us / 1000;
    a.max_rss_bytes = r.max_rss_kb * 1024;
    a.read_bytes = r.read_bytes;
    a.written_bytes = r.written_bytes;
  }
  a.log_bytes = r.log_bytes;
  a.log_dropped = r.log_dropped;
  const auto add = [&](const std::string& text) { a.note += (a.note.empty() ? "" : "; ") + text; };
  if (r.output_held) add("a process it left behind held its output open, which was then closed");
  if (r.left_over > 0)
    add("ended " + std::to_string(r.left_over) + (r.left_over == 1 ? " process" : " processes") +
        " it left behind");
  if (r.not_ended > 0) add(std::to_string(r.not_ended) + " of them could not be ended");
  if (r.log_error != 0) add(std::string("log incomplete: ") + ::strerror(r.log_error));
  return a;
}

}  // namespace mlops::engine
