#include "process/runner_link.hpp"

#include <mlops/error.hpp>

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>

namespace mlops::process {

RunnerLink::RunnerLink(util::Fd socket, int poll_fd, std::uint64_t event_id)
    : socket_(std::move(socket)), poll_fd_(poll_fd), event_id_(event_id) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = event_id_;
  if (::epoll_ctl(poll_fd_, EPOLL_CTL_ADD, socket_.get(), &event) != 0) throw_errno("epoll_ctl", errno);
}

void RunnerLink::send(Writer message) {
  if (!socket_) return;
  outbox_ += message.finish();
  flush();
}

void RunnerLink::serve(std::uint32_t events, const std::function<bool(std::string_view)>& handle) {
  if (events & EPOLLOUT) flush();
  if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) receive(handle);
}

void RunnerLink::flush() {
  while (!outbox_.empty()) {
    const ssize_t n = ::send(socket_.get(), outbox_.data(), outbox_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) {
      if (errno == EINTR) continue;
      return errno == EAGAIN ? watch(true) : close();
    }
    outbox_.erase(0, static_cast<std::size_t>(n));
  }
  watch(false);
}

void RunnerLink::receive(const std::function<bool(std::string_view)>& handle) {
  char buffer[65536];
  while (socket_) {
    const ssize_t n = ::recv(socket_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) return close();
    inbox_.append({buffer, static_cast<std::size_t>(n)});
    while (const auto message = inbox_.next()) {
      if (!handle(*message)) return close();
    }
    if (inbox_.broken()) return close();
    if (static_cast<std::size_t>(n) < sizeof buffer) return;
  }
}

void RunnerLink::watch(bool for_sending) {
  if (waiting_to_send_ == for_sending) return;
  waiting_to_send_ = for_sending;
  epoll_event event{};
  event.events = for_sending ? EPOLLIN | EPOLLOUT : EPOLLIN;
  event.data.u64 = event_id_;
  ::epoll_ctl(poll_fd_, EPOLL_CTL_MOD, socket_.get(), &event);
}

void RunnerLink::close() {
  socket_.reset();  // takes it out of the epoll set
  outbox_.clear();
}

}  // namespace mlops::process
