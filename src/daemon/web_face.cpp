#include "daemon/web_face.hpp"

#include <mlops/error.hpp>

#include "util/strings.hpp"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace mlops::daemon {

namespace {

constexpr long start_again_after_s = 1;

void listen(int poll, int fd) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  if (::epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event) != 0) throw_errno("epoll_ctl", errno);
}

}  // namespace

WebFace::WebFace(const Workspace& workspace, const WebSettings& settings,
                 std::function<void(const std::string&)> say)
    : workspace_(workspace),
      names_(settings.names),
      say_(std::move(say)),
      listening_(server::listen_on(settings.address, settings.insecure_behind_proxy)),
      poll_(::epoll_create1(EPOLL_CLOEXEC)),
      timer_(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)) {
  if (!poll_ || !timer_) throw_errno("cannot set up HTTP", errno);
  listen(poll_.get(), timer_.get());
  start();
}

WebFace::~WebFace() {
  if (helper_) helper_->signal(SIGTERM);
}

void WebFace::start() {
  std::vector<std::string> arguments = {"trigger", "serve", std::to_string(::getpid())};
  for (const std::string& name : names_) arguments.push_back("--http-name=" + name);
  helper_.emplace(workspace_.root(), arguments, listening_.fd.get());
  listen(poll_.get(), helper_->fd());
}

void WebFace::wake() {
  std::uint64_t expirations = 0;
  if (::read(timer_.get(), &expirations, sizeof expirations) > 0 && !helper_) start_again();
  if (!helper_) return;
  const auto lines = helper_->lines();
  if (lines) {
    for (const std::string& line : *lines) say_(line);
    return;
  }
  helper_.reset();
  say_("the process that answers HTTP has ended, and is started again");
  set_timer();
}

// As descriptors may be scarce just now, it is tried until it works.
void WebFace::start_again() {
  try {
    start();
    failing_ = false;
  } catch (const std::exception& error) {
    helper_.reset();
    if (!std::exchange(failing_, true))
      say_(std::string("the process that answers HTTP cannot be started, trying on: ") + error.what());
    set_timer();
  }
}

void WebFace::set_timer() {
  itimerspec spec{};
  spec.it_value.tv_sec = start_again_after_s;
  ::timerfd_settime(timer_.get(), 0, &spec, nullptr);
}

void WebFace::reload() {
  // Before it listens to it, this signal does nothing; it reads what there is when it does.
  if (helper_) helper_->signal(SIGURG);
}

}  // namespace mlops::daemon
