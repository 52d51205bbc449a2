#include "daemon/dispatcher.hpp"

#include <mlops/error.hpp>
#include <mlops/pipeline.hpp>

#include "notify/outbox.hpp"
#include "schedule/waits.hpp"
#include "util/quantity.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"

#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <thread>
#include <utility>

namespace mlops::daemon {

namespace {

constexpr std::chrono::seconds retry_after{2};
constexpr int most_deaths = 3;
Talk talk_now = Talk::all;

std::string status_words(int status) {
  if (WIFSIGNALED(status)) return std::string("it was ended by ") + ::strsignal(WTERMSIG(status));
  return "it ended with exit code " + std::to_string(WEXITSTATUS(status));
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

}  // namespace

void set_talk(Talk talk) { talk_now = talk; }

void say(const std::string& text) {
  if (talk_now == Talk::all) complain(text);
}

void complain(const std::string& text) {
  if (talk_now == Talk::nothing) return;
  std::printf("%s %s\n", util::format_local(util::now()).c_str(),
              util::escape_controls(util::to_utf8(text)).c_str());
  std::fflush(stdout);
}

void say_stopping(const Children& children) {
  const std::size_t runs = children.running();
  say("stopping" + (runs > 0 ? ": " + std::to_string(runs) + " runs go on by themselves" : std::string()));
}

std::size_t usual_runs() { return std::max<std::size_t>(2, std::thread::hardware_concurrency()); }

Dispatcher::Dispatcher(const Workspace& workspace, db::Database& database, const std::string& directory,
                       std::size_t most, Service service)
    : workspace_(workspace),
      database_(database),
      ledger_(workspace, database),
      requests_(workspace, database),
      children_(workspace.root(), directory, most > 0 ? most : usual_runs()),
      service_(std::move(service)),
      limits_(workspace::read_config(workspace)) {}

void Dispatcher::read_limits() {
  try {
    limits_ = workspace::read_config(workspace_);
  } catch (const std::exception& error) {
    complain("what was configured before still counts: " + first_line(error.what()));
  }
}

bool Dispatcher::is_void(const Job& job) {
  if (job.request) return false;
  const auto slot = ledger_.find_claim(job.fence);
  return !slot || slot->outcome != SlotOutcome::claimed;
}

void Dispatcher::add(Job job) {
  // Those that it replaces and that wait are not claimed any more. It begins when the first of them would.
  const auto is_replaced = [&](const Job& other) {
    return job.replaces && other.pipeline == job.pipeline && is_void(other);
  };
  for (const Job& other : children_.add(job, is_replaced)) tell_of_slot(other, "");
}

void Dispatcher::drop_void() {
  for (const Job& job : children_.take([this](const Job& job) { return is_void(job); }))
    tell_of_slot(job, "");
}

void Dispatcher::look_again(std::optional<Instant> at, const std::vector<process::Identity>& holders) {
  if (at) next_ = std::min(next_.value_or(*at), *at);
  holders_.insert(holders_.end(), holders.begin(), holders.end());
}

void Dispatcher::start() {
  next_.reset();
  holders_.clear();
  full_.clear();
  for (; !failed_.empty(); failed_.pop_back()) give_up(failed_.back());
  miss_late();
  if (not_before_ && *not_before_ > util::now()) return look_again(not_before_, {});
  not_before_.reset();
  // Requests that are more urgent than the slots that wait come before them, the others after.
  if (const auto slots = children_.first_waiting()) take_requests(slots);
  for (const Job& job : children_.start([this](const Job& slot) { return hold(slot); }, failed_))
    say("run " + job.run_id + " for " + job.what);
  take_requests(std::nullopt);
  for (; !failed_.empty(); failed_.pop_back()) give_up(failed_.back());
  schedule::note_waits(database_, children_.untold_waits());
  children_.told_waits();
}

schedule::Fences Dispatcher::fences() const {
  schedule::Fences fences = children_.fences();
  for (const NotStarted& failed : failed_) fences.insert(failed.job.fence);
  for (const Job& job : late_) fences.insert(job.fence);
  for (const Ended& ended : ended_) fences.insert(ended.job.fence);
  return fences;
}

// Slots that wait for room do not wait for longer than they may.
void Dispatcher::miss_late() {
  const Instant now = util::now();
  const auto is_late = [&](const Job& job) { return job.start_by && now > *job.start_by; };
  for (Job& job : children_.take(is_late)) late_.push_back(std::move(job));
  for (; !late_.empty(); late_.pop_back()) {
    ledger_.miss(late_.back().fence, std::chrono::floor<std::chrono::seconds>(now));
    complain(late_.back().what + ": missed, as it had to wait and `start_within` has passed");
  }
  look_again(children_.first_late(), {});
}

void Dispatcher::take_requests(std::optional<int> above) {
  if (!service_.requests || children_.room() == 0 || not_before_) return;
  if (in_doubt_) requests_.put_back_unknown(children_.fences());
  in_doubt_ = true;
  const schedule::Claims claims =
      requests_.claim(limits_, {service_.queues, children_.room(), above, service_.backfill}, util::now);
  look_again(claims.next, claims.holders);
  for (const auto& [claim, request] : claims.claimed) {
    Job job;
    job.fence = claim.fence;
    job.run_id = claim.run_id;
    job.file = (std::filesystem::path(workspace_.root()) / request.file).string();
    job.what = request.pipeline + ", " +
               (request.backfill ? request.cause : "request " + std::to_string(request.id));
    // Slots that take turns do not wait for a backfill.
    if (!request.backfill) job.pipeline = request.pipeline;
    job.request = true;
    if (auto failed = children_.start(job)) {
      failed_.push_back(std::move(*failed));
    } else {
      if (tell_ && request.source == "trigger") tell_(request);
      say("run " + job.run_id + " for " + job.what);
    }
  }
  in_doubt_ = false;
}

// Empty: it may begin.
std::string Dispatcher::hold(const Job& job) {
  if (!full_.empty() && !job.replaces) return full_;
  // Not one that was started here: children_ knows of those.
  if (job.in_turn && !job.request) {
    const schedule::Permission turn = schedule::turn_of(workspace_, database_.connection(), job.pipeline);
    if (!turn.granted) {
      look_again(turn.next, turn.holders);
      return turn.why;
    }
  }
  if (limits_.runs == 0 && job.concurrency == 0) return {};
  const schedule::Permission permission =
      ledger_.let_go(job.fence, {"", job.pipeline, job.concurrency, job.replaces}, limits_);
  look_again(permission.next, permission.holders);
  if (permission.granted) return {};
  const std::string why = "waits for room: " + permission.why;
  if (permission.full) full_ = why;
  return why;
}

void Dispatcher::give_up(const NotStarted& failed) {
  failed.for_now ? try_again(failed.job, failed.why) : reject(failed.job, failed.why);
  complain(failed.job.what + ": " + failed.why);
}

// A request goes back to the queue; a slot stays claimed, by us again, unless it has become too late for it.
void Dispatcher::try_again(Job job, const std::string& why) {
  if (job.request) {
    requests_.put_back(job.fence, false, why);
  } else if (ledger_.take_over(job.fence, std::chrono::floor<std::chrono::seconds>(util::now()))) {
    children_.add_again(std::move(job));
  }
  not_before_ = util::now() + retry_after;
  look_again(not_before_, {});
}

void Dispatcher::reject(const Job& job, const std::string& why) {
  job.request ? requests_.reject(job.fence, why) : ledger_.reject(job.fence, why);
  try {
    const Pipeline pipeline = load_pipeline(job.file, {.overrides = {}, .check_files = false});
    notify::tell_not_begun(database_, pipeline, job.run_id, why);
  } catch (const std::exception& error) {
    complain(job.what + ": nobody is told of that: " + first_line(error.what()));
  }
}

std::set<std::string> Dispatcher::end() {
  for (Ended& ended : children_.reap()) {
    over_.insert(ended.job.pipeline);
    ended_.push_back(std::move(ended));
  }
  for (; !ended_.empty(); ended_.pop_back()) record(ended_.back());
  return std::exchange(over_, {});
}

// Of a slot of which no run came: what became of it.
bool Dispatcher::tell_of_slot(const Job& job, const std::string& words) {
  const auto slot = ledger_.find_claim(job.fence);
  if (slot && slot->outcome == SlotOutcome::ran) return false;
  std::string fate = "another process has taken the slot over";
  if (slot && slot->outcome == SlotOutcome::claimed) {
    fate = words + "; it is tried again";
  } else if (slot) {
    const std::string outcome = to_string(slot->outcome);
    fate = (slot->reason.starts_with(outcome) ? "" : outcome + ", ") + first_line(slot->reason);
  }
  complain(job.what + ": " + fate);
  return true;
}

// Of a run that did not say itself what became of what it was for.
void Dispatcher::close_claim(const Ended& ended, const std::string& why, bool may_work_later) {
  const Job& job = ended.job;
  if (job.request) {
    may_work_later ? requests_.put_back(job.fence, true, why) : requests_.reject(job.fence, why);
    return;
  }
  const auto slot = ledger_.find_claim(job.fence);
  if (!slot || slot->outcome != SlotOutcome::claimed) return;
  if (!may_work_later || job.deaths + 1 >= most_deaths) return reject(job, why);
  Job again = job;
  ++again.deaths;
  try_again(std::move(again), why);
}

void Dispatcher::record(const Ended& ended) {
  const bool killed = WIFSIGNALED(ended.status);
  const int code = killed ? -1 : WEXITSTATUS(ended.status);
  const std::string words = status_words(ended.status);
  if (code != 0) {
    // One that has begun is on record; of one that has not, this is all that will be known.
    const std::string why = words + (killed || ended.output.empty() ? "" : ": " + first_line(ended.output));
    const bool may_work_later =
        killed || code == static_cast<int>(ExitCode::io) || code == static_cast<int>(ExitCode::busy);
    close_claim(ended, why, may_work_later);
    if (!ended.job.request && tell_of_slot(ended.job, words)) return;
  }
  const std::string what = "run " + ended.job.run_id + " of " + ended.job.what;
  code == 0 ? say(what + " is done") : complain(what + ": " + words);
}

void end_as_process_1(Dispatcher& dispatcher, std::chrono::milliseconds within,
                      const std::function<void(Instant)>& wait) {
  say("stopping, as process 1: " + std::to_string(dispatcher.children().running()) + " runs are ended first");
  dispatcher.end_all(SIGTERM);
  const std::int64_t kill_ms = util::monotonic_ms() + within.count();
  bool killed = false;
  while (dispatcher.children().running() > 0) {
    const std::chrono::milliseconds left(kill_ms - util::monotonic_ms());
    if (!killed && left.count() <= 0) {
      killed = true;
      say("runs that have not ended within " + util::format_duration(within) + " are killed");
      dispatcher.end_all(SIGQUIT);
    }
    wait(util::now() + (killed ? std::chrono::hours(1) : left));
    try {
      dispatcher.end();
    } catch (const std::exception& error) {
      complain(error.what());
    }
  }
}

}  // namespace mlops::daemon
