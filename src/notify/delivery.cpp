#include "notify/delivery.hpp"

#include <mlops/error.hpp>

#include "db/outbox.hpp"
#include "notify/policy.hpp"
#include "notify/transport.hpp"
#include "process/identity.hpp"
#include "process/lock_file.hpp"
#include "process/spawn.hpp"
#include "util/failpoint.hpp"
#include "util/files.hpp"
#include "util/log.hpp"
#include "util/time.hpp"
#include "workspace/layout.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <thread>

extern char** environ;

namespace mlops::notify {

using process::LockFile;

namespace {

constexpr int most_at_once = 200;        // messages of a pass
constexpr std::size_t most_threads = 8;  // places that are asked at the same time
constexpr std::int64_t longest_stay_ms = 3'600'000;
constexpr int look_again_ms = 10'000;  // for what other processes have put there
constexpr std::chrono::days kept{90};  // after that nobody asks what became of a message

// One pass over what is due. Places are asked in parallel, and each one message after the other: one that
// hangs holds up no other.
class Pass {
 public:
  Pass(db::Database& database, const Transport& transport,
       const std::function<void(const MessageRecord&)>& said)
      : database_(database), transport_(transport), said_(said), self_(process::to_string(process::self())) {}

  void run(std::vector<MessageRecord> due) {
    std::map<std::string, std::size_t> place_of_target;
    for (MessageRecord& message : due) {
      const auto [known, fresh] = place_of_target.try_emplace(message.target, places_.size());
      if (fresh) places_.emplace_back();
      places_[known->second].push_back(std::move(message));
    }
    std::vector<std::thread> threads;
    for (std::size_t i = 1; i < std::min(places_.size(), most_threads); ++i)
      threads.emplace_back([this] { work(); });
    work();
    for (std::thread& thread : threads) thread.join();
    if (problem_) std::rethrow_exception(problem_);
  }

 private:
  void work() {
    try {
      for (std::size_t i; (i = next_++) < places_.size();) deliver(places_[i]);
    } catch (...) {
      const std::lock_guard guard(mutex_);
      problem_ = std::current_exception();
    }
  }

  void deliver(std::vector<MessageRecord>& messages) {
    std::optional<Outcome> silent;
    for (MessageRecord& message : messages) {
      if (silent) {
        postpone(message, *silent);
        continue;
      }
      if (!claim(message)) continue;
      Outcome outcome;
      try {
        outcome = transport_.send(read_addressee(Json::parse(message.target, nullptr, false)), message);
      } catch (const Error& error) {
        outcome = {Outcome::Kind::refused, error.what(), {}};
      }
      util::failpoint("delivered");
      settle(message, outcome, util::now());
      write(message, self_);
      if (outcome.silent) silent = outcome;
    }
  }

  bool claim(MessageRecord& message) {
    const std::lock_guard guard(mutex_);
    db::Transaction transaction(database_);
    if (!db::claim_message(database_.connection(), message.id, self_)) return false;
    transaction.commit();
    ++message.attempts;
    return true;
  }

  // What goes to a place that has just not answered was not tried, and does not count as such.
  void postpone(MessageRecord& message, const Outcome& outcome) {
    message.next_at = next_try(message, outcome, util::now());
    message.error = "not tried, as one before it got no answer: " + outcome.words;
    write(message, {});
  }

  void write(const MessageRecord& message, const std::string& claimer) {
    const std::lock_guard guard(mutex_);
    db::Transaction transaction(database_);
    if (!db::settle_message(database_.connection(), message, claimer)) return;
    transaction.commit();
    said_(message);
  }

  db::Database& database_;
  const Transport& transport_;
  const std::function<void(const MessageRecord&)>& said_;
  std::string self_;
  std::vector<std::vector<MessageRecord>> places_;
  std::atomic<std::size_t> next_{0};
  std::mutex mutex_;
  std::exception_ptr problem_;
};

// Nobody knows whether a message has arrived whose sender died: it is sent again, under the same id.
void take_over(db::Database& database) {
  for (MessageRecord message : db::claimed_messages(database.connection())) {
    if (process::is_alive(message.claimer)) continue;
    message.error = sender_died;
    message.next_at = util::now();
    db::Transaction transaction(database);
    if (db::settle_message(database.connection(), message, message.claimer)) transaction.commit();
  }
}

void say_nothing(const MessageRecord&) {}

// What waits, for the process that stays and for the daemon; false: nothing, or there is no workspace any
// more.
bool something_waits(const Workspace& workspace) {
  if (!util::exists(workspace.database_path())) return false;
  db::Database database = db::Database::open_to_read(workspace.database_path());
  return db::next_message_at(database.connection()).has_value();
}

int ms_until_due(const Workspace& workspace) {
  db::Database database = db::Database::open_to_read(workspace.database_path());
  const auto next = db::next_message_at(database.connection());
  if (!next) return 0;
  return static_cast<int>(std::clamp<std::int64_t>((*next - util::now()).count(), 100, look_again_ms));
}

}  // namespace

void deliver_due(const Workspace& workspace, const std::string& run_id,
                 const std::function<void(const MessageRecord&)>& said) {
  db::Database database = db::Database::open_existing(workspace.database_path());
  const Transport transport(workspace);
  take_over(database);
  const Instant began = util::now();  // what is due later waits for the next time
  while (true) {
    auto due = db::due_messages(database.connection(), began, run_id, most_at_once);
    if (due.empty()) return;
    Pass(database, transport, said).run(std::move(due));
  }
}

void deliver_and_stay(const Workspace& workspace, const std::string& run_id) {
  const std::int64_t end = util::monotonic_ms() + longest_stay_ms;
  try {
    deliver_due(workspace, run_id, say_nothing);
  } catch (const Error& error) {
    util::log_debug(error.what());
  }
  // Whoever has started this process waits for no more than that.
  const util::Fd null = util::open_file("/dev/null", O_RDWR);
  for (const int fd : {0, 1, 2}) ::dup2(null.get(), fd);
  std::optional<LockFile> stays;
  while (something_waits(workspace) && util::monotonic_ms() < end) {
    if (!stays) stays = LockFile::try_lock(layout::in(workspace.state_directory(), layout::outbox_lock));
    if (!stays) return;
    ::usleep(static_cast<useconds_t>(ms_until_due(workspace)) * 1000);
    if (!util::exists(workspace.database_path())) return;
    deliver_due(workspace, {}, say_nothing);
  }
  if (!util::exists(workspace.database_path())) return;
  db::Database database = db::Database::open_existing(workspace.database_path());
  db::Transaction transaction(database);
  db::forget_messages(database.connection(), util::now() - kept);
  transaction.commit();
}

util::Fd start_delivery(const Workspace& workspace, const std::string& run_id) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw_errno("cannot deliver messages", errno);
  util::Fd ours(ends[0]);
  const util::Fd theirs(ends[1]);
  const util::Fd null = util::open_file("/dev/null", O_RDWR);
  std::vector<const char*> environment;
  for (char** entry = environ; *entry; ++entry) environment.push_back(*entry);
  environment.push_back(nullptr);
  std::vector<std::string> argv = {"mlops", "-w", workspace.root(), "notify", "deliver", "--stay"};
  if (!run_id.empty()) argv.insert(argv.end(), {"--run", run_id});
  const pid_t pid = process::spawn("/proc/self/exe", argv, environment, workspace.root(), theirs.get(),
                                   null.get(), null.get());
  if (pid < 0) throw_errno("cannot start a process that delivers messages", -pid);
  return ours;
}

std::vector<std::string> deliver_at_end(const Workspace& workspace, const std::string& run_id, int wait_ms) {
  std::vector<std::string> undelivered;
  try {
    if (!util::exists(workspace.database_path())) return {};
    {
      db::Database database = db::Database::open_to_read(workspace.database_path());
      const auto next = db::next_message_at(database.connection());
      if (!next || *next > util::now()) return {};
    }
    util::failpoint("deliver");
    const util::Fd first_try = start_delivery(workspace, run_id);
    const std::int64_t end = util::monotonic_ms() + wait_ms;
    pollfd waiting{first_try.get(), POLLIN, 0};
    for (std::int64_t left = wait_ms; left > 0; left = end - util::monotonic_ms()) {
      if (::poll(&waiting, 1, static_cast<int>(left)) != -1 || errno != EINTR) break;
    }
    if (run_id.empty() || wait_ms == 0) return {};
    db::Database database = db::Database::open_to_read(workspace.database_path());
    for (const MessageRecord& message : db::messages_of_run(database.connection(), run_id)) {
      if (message.state == MessageState::failed || message.state == MessageState::waiting)
        undelivered.push_back(words_of(message));
    }
  } catch (const std::exception& error) {
    undelivered.push_back(std::string("messages are not delivered now, but later: ") + error.what());
  }
  return undelivered;
}

std::string words_of(const MessageRecord& message) {
  const std::string what = "notification '" + message.notification + "' of " + message.occasion;
  switch (message.state) {
    case MessageState::sent: return what + ": sent";
    case MessageState::suppressed: return what + ": left out: " + message.error;
    case MessageState::failed:
      return what + " was not delivered: " + message.error + "; `mlops notify retry` tries again";
    case MessageState::waiting: break;
  }
  if (!message.claimer.empty()) return what + ": still trying; `mlops notify list` shows what comes of it";
  return what + " was not delivered yet: " + message.error + "; it is tried again at " +
         util::format_local(message.next_at);
}

}  // namespace mlops::notify
