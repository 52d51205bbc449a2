// The keeper's end of the socket to its runner.
#pragma once

#include "process/wire.hpp"
#include "util/fd.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace mlops::process {

/// Never waits for the runner. Once it is gone, or has talked nonsense, the link is closed and stays so.
class RunnerLink {
 public:
  /// `poll_fd`, an epoll, is borrowed; it tells of the socket by `event_id`.
  RunnerLink(util::Fd socket, int poll_fd, std::uint64_t event_id);

  explicit operator bool() const { return static_cast<bool>(socket_); }

  void send(Writer message);

  /// Does what the epoll's `events` ask for. `handle` is called for each message; false means that it is
  /// none.
  void serve(std::uint32_t events, const std::function<bool(std::string_view)>& handle);

 private:
  void flush();
  void receive(const std::function<bool(std::string_view)>& handle);
  void watch(bool for_sending);
  void close();

  util::Fd socket_;
  int poll_fd_;
  std::uint64_t event_id_;
  MessageBuffer inbox_;
  std::string outbox_;
  bool waiting_to_send_ = false;
};

}  // namespace mlops::process
