#include "daemon/pinger.hpp"

#include <mlops/error.hpp>

#include "notify/masking.hpp"
#include "process/spawn.hpp"
#include "util/http_client.hpp"
#include "util/quantity.hpp"
#include "util/strings.hpp"
#include "util/web_url.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

extern char** environ;

namespace mlops::daemon {

using schedule::sys_seconds;
using std::chrono::ceil;
using std::chrono::seconds;

namespace {

constexpr unsigned ping_limit_s = 45;

// The scheme and the host: anything else may be a secret.
std::string place_of(const std::string& url) {
  const std::string authority = util::authority_of(url);
  return url.substr(0, url.find("://") + 3) + authority.substr(authority.rfind('@') + 1);
}

}  // namespace

void Pinger::set_up(sys_seconds now) {
  workspace::PingConfig config;
  try {
    config = workspace::read_config(workspace_).ping;
  } catch (const std::exception& error) {
    const std::string why = error.what();
    say_("nobody is pinged, as .mlops/config.yaml cannot be read: " + why.substr(0, why.find('\n')));
  }
  if (config == config_) return;
  config_ = config;
  failing_ = false;
  next_.reset();
  if (config_.url.empty()) return say_("nobody is pinged any more");
  next_ = now;
  say_("pinging " + place_of(config_.url) + " every " + util::format_duration(config_.every));
}

void Pinger::begin_anew(sys_seconds now) {
  if (next_) next_ = now;
}

void Pinger::work(sys_seconds now) {
  if (answer_) collect();
  if (!next_ || *next_ > now) return;
  next_ = now + ceil<seconds>(config_.every);
  if (!answer_) start();  // one at a time
}

void Pinger::start() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return tell(std::strerror(errno));
  answer_.reset(ends[0]);
  const util::Fd writer(ends[1]), null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  ::fcntl(answer_.get(), F_SETFL, O_NONBLOCK);
  std::vector<const char*> environment;
  for (char** variable = environ; *variable; ++variable) environment.push_back(*variable);
  environment.push_back(nullptr);
  const pid_t pid = process::spawn("/proc/self/exe", {"mlops", ping_argument, workspace_.root()}, environment,
                                   "/", writer.get(), null.get(), null.get());
  if (pid > 0) return;  // its end is a signal, after which collect() is called
  answer_.reset();
  tell(std::strerror(static_cast<int>(-pid)));
}

void Pinger::collect() {
  char buffer[2'000];
  const ssize_t n = ::read(answer_.get(), buffer, sizeof buffer);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  answer_.reset();
  const std::string text = n > 0 ? std::string(buffer, static_cast<std::size_t>(n)) : std::string();
  tell(text == "ok\n" ? ""
       : text.empty() ? "no answer within " + std::to_string(ping_limit_s) + "s"
                      : util::escape_controls(util::to_utf8(std::string(util::trim(text)))));
}

// A failure once, until a ping gets through again; an empty one is none.
void Pinger::tell(const std::string& failure) {
  const bool told = std::exchange(failing_, !failure.empty());
  if (told == failing_) return;
  const std::string place = place_of(config_.url);
  say_(failing_ ? "cannot ping " + place + ": " + failure + "; trying on" : place + " gets pings again");
}

int run_ping(const std::string& workspace_root) {
  ::alarm(ping_limit_s);  // however slowly it answers
  std::string words = "ok";
  try {
    const auto workspace = Workspace::find("/", workspace_root);
    util::HttpRequest request;
    if (workspace) request.url = workspace::read_config(*workspace).ping.url;
    if (request.url.empty()) throw Error(ExitCode::usage, "there is no ping in .mlops/config.yaml");
    const util::HttpAnswer answer = util::HttpClient().perform(request);
    if (!answer.ok())
      words = answer.status == 0 ? notify::masked(answer.error, notify::telling_parts(request.url))
                                 : "it answers with status " + std::to_string(answer.status);
  } catch (const std::exception& error) {
    words = error.what();
  }
  std::printf("%s\n", words.c_str());
  std::fflush(stdout);
  return words == "ok" ? 0 : static_cast<int>(ExitCode::unreachable);
}

}  // namespace mlops::daemon
