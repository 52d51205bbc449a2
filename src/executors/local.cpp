#include "executors/local.hpp"

#include <mlops/error.hpp>

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cerrno>

namespace mlops::executors {

using process::MessageType;
using process::Reader;
using process::Writer;

// Of a keeper that was killed before it was of any use receive() tells, as of one that dies later.
Local::Local(process::KeeperProcess keeper, const process::KeeperPlace& place) : keeper_(std::move(keeper)) {
  dead_ = !process::send_place(keeper_.socket.get(), place);
}

Local::~Local() {
  keeper_.socket.reset();
  if (running_ == 0) ::waitpid(keeper_.pid, nullptr, 0);
}

void Local::send(Writer message) {
  const std::string& bytes = message.finish();
  std::string_view rest = bytes;
  while (!rest.empty() && !dead_) {
    const ssize_t n = ::send(keeper_.socket.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      dead_ = true;  // receive() tells
      return;
    }
    rest.remove_prefix(static_cast<std::size_t>(n));
  }
}

// Before the keeper holds its lock nobody can see that it is about to start something: if we were killed now,
// a resume would not wait for it, and run the step a second time.
void Local::wait_until_ready() {
  while (!ready_ && !dead_) {
    pollfd socket{fd(), POLLIN, 0};
    if (::poll(&socket, 1, -1) < 0 && errno != EINTR) throw_errno("cannot wait for the keeper", errno);
    receive();  // it has nothing else to say yet; of its death receive() tells again
  }
}

void Local::start(const process::StartRequest& request) {
  wait_until_ready();
  Writer message(MessageType::start);
  process::put_request(message, request);
  ++running_;
  send(std::move(message));
}

void Local::stop(process::AttemptKey key, bool at_once) {
  Writer message(MessageType::stop);
  message.put(key);
  message.put(at_once);
  send(std::move(message));
}

void Local::pause() { send(Writer(MessageType::pause)); }
void Local::resume() { send(Writer(MessageType::resume)); }
void Local::output_read() { send(Writer(MessageType::output_read)); }

bool Local::wake_keeper() {
  siginfo_t info{};
  if (::waitid(P_PID, static_cast<id_t>(keeper_.pid), &info, WSTOPPED | WNOHANG) != 0 || info.si_pid == 0)
    return false;
  return ::kill(keeper_.pid, SIGCONT) == 0;  // its number is its own: only we wait for it
}

// False if it is no message of a keeper.
bool Local::take(std::string_view message, std::vector<LocalEvent>& events) {
  Reader reader(message);
  switch (reader.get<MessageType>()) {
    case MessageType::started: {
      Started started;
      started.key = reader.get<process::AttemptKey>();
      started.pid = static_cast<pid_t>(reader.get<std::int64_t>());
      started.started_ms = reader.get<std::int64_t>();
      if (reader.ok()) events.emplace_back(started);
      return reader.ok();
    }
    case MessageType::ready: ready_ = true; return true;
    case MessageType::output: events.emplace_back(OutputGrew{}); return true;
    case MessageType::ended: {
      const auto record = reader.get<process::ExitRecord>();
      if (!reader.ok()) return false;
      events.emplace_back(Ended{record});
      --running_;
      return true;
    }
    case MessageType::start:
    case MessageType::stop:
    case MessageType::pause:
    case MessageType::resume:
    case MessageType::output_read: break;
  }
  return false;
}

std::vector<LocalEvent> Local::receive() {
  std::vector<LocalEvent> events;
  char buffer[65536];
  bool closed = dead_;
  while (!closed) {
    const ssize_t n = ::recv(keeper_.socket.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) break;
    if (n <= 0) {
      closed = true;
      break;
    }
    inbox_.append({buffer, static_cast<std::size_t>(n)});
    while (!closed) {
      const auto message = inbox_.next();
      if (!message) break;
      closed = !take(*message, events);
    }
    // What talks nonsense is as good as dead.
    closed = closed || inbox_.broken();
    if (static_cast<std::size_t>(n) < sizeof buffer) break;
  }
  if (closed) {
    dead_ = true;
    events.emplace_back(KeeperDied{});
  }
  return events;
}

}  // namespace mlops::executors
