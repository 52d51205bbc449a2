#include "daemon/wakeup.hpp"

#include <mlops/error.hpp>

#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <utility>

namespace mlops::daemon {

Wakeup::Wakeup() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) ::sigaddset(&set, signal);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  signals_.reset(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  timer_.reset(::timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK));
  poll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!signals_ || !timer_ || !poll_) throw_errno("cannot set up a loop", errno);
  for (const int fd : {signals_.get(), timer_.get(), files_.fd()}) add(fd);
}

void Wakeup::add(int fd) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  if (::epoll_ctl(poll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) throw_errno("epoll_ctl", errno);
}

void Wakeup::watch(const std::vector<process::Identity>& processes) {
  std::map<std::string, util::Fd> watched;
  for (const process::Identity& each : processes) {
    const std::string name = process::to_string(each);
    if (watched.contains(name)) continue;
    if (const auto known = processes_.find(name); known != processes_.end()) {
      watched.emplace(name, std::move(known->second));
    } else if (util::Fd fd = process::open_process(each)) {
      add(fd.get());
      watched.emplace(name, std::move(fd));
    } else {
      one_has_ended_ = true;
    }
  }
  processes_ = std::move(watched);  // a descriptor that is closed is not polled any more
}

// False: the clock was set.
bool Wakeup::set_timer(std::optional<Instant> until) {
  itimerspec spec{};
  // Where nothing is due: for the news that the clock was set, which needs a timer that is armed.
  spec.it_value.tv_sec = std::numeric_limits<std::int32_t>::max();
  if (until) {
    const std::int64_t ms = std::max<std::int64_t>(until->time_since_epoch().count(), 1);
    spec.it_value.tv_sec = ms / 1'000;
    spec.it_value.tv_nsec = ms % 1'000 * 1'000'000;
  }
  return ::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &spec, nullptr) == 0 ||
         errno != ECANCELED;
}

void Wakeup::read_signals(News& news) {
  signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    const int signal = static_cast<int>(info.ssi_signo);
    if (signal == SIGHUP) {
      news.reload = true;
    } else if (signal != SIGCHLD) {
      news.stop = true;
    }
  }
}

News Wakeup::wait(std::optional<Instant> until) {
  News news;
  news.clock_was_set = !set_timer(until);
  const bool at_once = news.clock_was_set || std::exchange(one_has_ended_, false);
  news.any = at_once;
  epoll_event events[8];
  const int n = ::epoll_wait(poll_.get(), events, 8, at_once ? 0 : -1);
  if (n < 0 && errno != EINTR) throw_errno("epoll_wait", errno);
  for (int i = 0; i < n; ++i) {
    const int fd = events[i].data.fd;
    if (fd != files_.fd()) news.any = true;
    if (fd == timer_.get()) {
      std::uint64_t expirations = 0;
      if (::read(timer_.get(), &expirations, sizeof expirations) < 0 && errno == ECANCELED)
        news.clock_was_set = true;
    } else if (fd == files_.fd()) {
      news.changed = files_.changed();
      news.any = news.any || !news.changed.empty();
    } else if (fd == signals_.get()) {
      read_signals(news);
    } else {
      std::erase_if(processes_, [&](const auto& process) { return process.second.get() == fd; });
    }
  }
  return news;
}

}  // namespace mlops::daemon
