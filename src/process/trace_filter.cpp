#include "process/trace_filter.hpp"

#include "process/traced_calls.hpp"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <vector>

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

namespace mlops::process {

namespace {

constexpr int keeper_fd = 3;

constexpr sock_filter statement(std::uint16_t code, std::uint32_t k) { return {code, 0, 0, k}; }

// For each kind of program: load the call's number, compare it with each that names a file. Jumps are short:
// they are counted from the instruction after.
std::vector<sock_filter> make_filter() {
  std::vector<sock_filter> filter;
  filter.push_back(statement(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)));
  for (const TracedAbi& abi : traced::abis) {
    const auto n = static_cast<std::uint8_t>(abi.calls.size());
    // On another kind of program: over the load, the comparisons, and the two answers.
    filter.push_back({BPF_JMP | BPF_JEQ | BPF_K, 0, static_cast<std::uint8_t>(n + 3), abi.audit});
    filter.push_back(statement(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
    for (std::uint8_t i = 0; i < n; ++i) {
      const auto to_notify =
          static_cast<std::uint8_t>(n - i);  // over those that are left and the first answer
      filter.push_back({BPF_JMP | BPF_JEQ | BPF_K, to_notify, 0, abi.calls[i].number});
    }
    filter.push_back(statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    filter.push_back(statement(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF));
  }
  filter.push_back(statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  return filter;
}

int install(unsigned long flags) {
  std::vector<sock_filter> filter = make_filter();
  const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  return static_cast<int>(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program));
}

// The listening descriptor, or a negative errno value.
int listen(TraceHello& hello) {
  if (traced::native == 0) return -ENOSYS;
  int fd = -1;
  for (const bool privileged : {true, false}) {
    // Only who may administer the system can filter calls and let programs gain rights all the same.
    if (!privileged) {
      if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -errno;
      hello.no_new_privileges = 1;
    }
    // A signal then interrupts no call that the keeper is looking at. Kernels before 5.19 cannot do that.
    fd = install(SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
    if (fd < 0 && errno == EINVAL) fd = install(SECCOMP_FILTER_FLAG_NEW_LISTENER);
    if (fd >= 0 || errno != EACCES) break;
  }
  return fd >= 0 ? fd : -errno;
}

void tell(const TraceHello& hello, int fd) {
  iovec bytes{const_cast<TraceHello*>(&hello), sizeof hello};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  if (fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(head), &fd, sizeof fd);
  }
  while (::sendmsg(keeper_fd, &message, MSG_NOSIGNAL) < 0 && errno == EINTR) continue;
}

}  // namespace

int run_traced(int argc, char** argv) {
  if (argc < 4) return 127;
  ::fcntl(keeper_fd, F_SETFD, FD_CLOEXEC);  // its closing tells the keeper that the command runs
  TraceHello hello;
  const int fd = listen(hello);
  hello.error = fd < 0 ? -fd : 0;
  tell(hello, fd);
  if (fd >= 0) ::close(fd);
  ::execve(argv[2], argv + 3, environ);
  hello.error = errno;
  tell(hello, -1);
  return 127;
}

}  // namespace mlops::process
