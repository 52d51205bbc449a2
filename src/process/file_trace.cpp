#include "process/file_trace.hpp"

#include "process/trace_filter.hpp"
#include "process/traced_calls.hpp"
#include "util/time.hpp"

#include <climits>

#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif

namespace mlops::process {

namespace {

constexpr std::int64_t begin_limit_ms = 20'000;
constexpr std::size_t most_files = 200'000;

// Where programs, not data lie, on every system. What else is of no interest the engine decides.
constexpr std::string_view system_folders[] = {"/proc/",  "/dev/", "/sys/",  "/usr/",  "/lib/",
                                               "/lib64/", "/bin/", "/sbin/", "/lib32/"};

bool is_system(std::string_view path) {
  return std::ranges::any_of(system_folders, [&](std::string_view f) { return path.starts_with(f); });
}

// Bytes of another process; none if it has gone or may not be read.
bool read_memory(pid_t pid, std::uint64_t address, void* to, std::size_t size) {
  iovec local{to, size};
  iovec remote{reinterpret_cast<void*>(address), size};
  return ::process_vm_readv(pid, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(size);
}

// A text up to its NUL. A read must not reach into the next page, which need not be there.
std::optional<std::string> read_text(pid_t pid, std::uint64_t address) {
  std::string text;
  char buffer[256];
  while (text.size() < PATH_MAX) {
    const std::size_t part = std::min<std::uint64_t>(sizeof buffer, 4096 - address % 4096);
    if (!read_memory(pid, address, buffer, part)) return std::nullopt;
    const char* end = static_cast<const char*>(std::memchr(buffer, 0, part));
    text.append(buffer, end ? static_cast<std::size_t>(end - buffer) : part);
    if (end) return text;
    address += part;
  }
  return std::nullopt;
}

std::string link_of(pid_t pid, const std::string& name) {
  char target[PATH_MAX];
  const ssize_t n = ::readlink(("/proc/" + std::to_string(pid) + "/" + name).c_str(), target, sizeof target);
  return n > 0 ? std::string(target, static_cast<std::size_t>(n)) : std::string();
}

// One spelling: no "//", no "./"; where there is "..", links are followed first, as the kernel does.
std::string clean(std::string path) {
  const auto ends_in = [&](std::string_view end) { return path.ends_with(end); };
  if (path.find("/..") != path.npos) {
    const std::filesystem::path whole(path);
    char real[PATH_MAX];
    if (!ends_in("/..") && ::realpath(whole.parent_path().c_str(), real))
      return (std::filesystem::path(real) / whole.filename()).string();
    return whole.lexically_normal().string();
  }
  if (path.find("//") != path.npos || path.find("/./") != path.npos || ends_in("/."))
    path = std::filesystem::path(path).lexically_normal().string();
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

const TracedCall* find_call(const seccomp_data& data) {
  for (const TracedAbi& abi : traced::abis) {
    if (abi.audit != data.arch) continue;
    for (const TracedCall& call : abi.calls) {
      if (call.number == static_cast<std::uint32_t>(data.nr)) return &call;
    }
  }
  return nullptr;
}

// The message on `socket` with the descriptor that came with it; false at its end.
bool receive(int socket, TraceHello& hello, util::Fd& fd) {
  iovec bytes{&hello, sizeof hello};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t n = 0;
  while ((n = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR) continue;
  if (n != static_cast<ssize_t>(sizeof hello)) return false;
  const cmsghdr* head = CMSG_FIRSTHDR(&message);
  if (head && head->cmsg_type == SCM_RIGHTS) {
    int got = -1;
    std::memcpy(&got, CMSG_DATA(head), sizeof got);
    fd.reset(got);
  }
  return true;
}

std::string unavailable(int error) {
  if (error == EBUSY) return "the run itself is traced already, by a run around it or a sandbox";
  if (error == ENOSYS || error == EINVAL || error == EOPNOTSUPP)
    return "this kernel cannot do it (it takes Linux 5.5 or newer with seccomp)";
  return std::string("the kernel does not allow it: ") + std::strerror(error);
}

}  // namespace

int FileTrace::begin(int socket, pid_t pid) {
  bool told = false;
  for (const std::int64_t end = util::monotonic_ms() + begin_limit_ms;;) {
    pollfd waiting[2] = {{socket, POLLIN, 0}, {listener_.get(), POLLIN, 0}};
    const std::int64_t left = std::max<std::int64_t>(0, end - util::monotonic_ms());
    const int ready = ::poll(waiting, 2, static_cast<int>(left));
    if (ready < 0 && errno == EINTR) continue;
    int error = ready > 0 ? 0 : ETIMEDOUT;
    if (waiting[1].revents & POLLIN) serve_one();
    if (waiting[0].revents != 0) {
      TraceHello hello;
      if (!receive(socket, hello, listener_)) {
        if (told) return 0;  // closed by its execve
        error = EPROTO;
      } else if (told) {
        error = hello.error;
      } else {
        told = true;
        if (hello.error != 0) problem_ = unavailable(hello.error);
        no_new_privileges_ = hello.no_new_privileges != 0;
        if (listener_) {
          // Hand the processor over to whom we answer: half the cost, where the kernel (6.6) can.
          ::ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
        }
      }
    }
    if (error == 0) continue;
    ::kill(pid, SIGKILL);
    listener_.reset();
    ::waitpid(pid, nullptr, 0);
    return error;
  }
}

bool FileTrace::serve() {
  // Not for ever: the others have something to say too.
  for (int i = 0; i < 64; ++i) {
    pollfd waiting{listener_.get(), POLLIN, 0};
    if (::poll(&waiting, 1, 0) <= 0) return true;
    if (!(waiting.revents & POLLIN) || !serve_one()) {
      listener_.reset();
      return false;
    }
  }
  return true;
}

// False when the listener is of no more use.
bool FileTrace::serve_one() {
  seccomp_notif call{};
  while (::ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_RECV, &call) != 0) {
    if (errno == EINTR) continue;
    return errno == ENOENT;  // whoever asked has been killed meanwhile
  }
  if (recording_) {
    try {
      note_call(call);
    } catch (const std::exception& error) {
      if (problem_.empty()) problem_ = error.what();
    }
  }
  seccomp_notif_resp answer{};
  answer.id = call.id;
  answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
  return ::ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_SEND, &answer) == 0 || errno == ENOENT;
}

std::string FileTrace::path_of(const seccomp_notif& call, int directory, int path) {
  const auto pid = static_cast<pid_t>(call.pid);
  const auto text = read_text(pid, call.data.args[path]);
  if (!text && errno == EPERM) ++unreadable_;
  // What was read was of that process only if it still waits for the answer.
  std::uint64_t id = call.id;
  if (::ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_ID_VALID, &id) != 0) return {};
  if (!text) return {};
  if (text->starts_with('/')) return clean(*text);
  const int fd = directory < 0 ? AT_FDCWD : static_cast<int>(call.data.args[directory]);
  const std::string base = link_of(pid, fd == AT_FDCWD ? "cwd" : "fd/" + std::to_string(fd));
  if (!base.starts_with('/')) return {};
  return text->empty() ? base : clean(base + "/" + *text);
}

void FileTrace::note_call(const seccomp_notif& call) {
  const TracedCall* c = find_call(call.data);
  if (!c) return;
  std::uint64_t flags = 0;
  if (c->kind == CallKind::open) flags = call.data.args[c->flags];
  if (c->kind == CallKind::create) flags = O_CREAT | O_WRONLY | O_TRUNC;
  if (c->kind == CallKind::open_how) {
    open_how how{};
    if (!read_memory(static_cast<pid_t>(call.pid), call.data.args[c->flags], &how, sizeof how.flags)) return;
    flags = how.flags;
  }
  if (flags & O_DIRECTORY) return;
  const std::string path = path_of(call, c->directory, c->path);
  if (c->kind == CallKind::execute && no_new_privileges_) note_lost_rights(path);
  if (path.empty() || is_system(path)) return;
  switch (c->kind) {
    case CallKind::open:
    case CallKind::create:
    case CallKind::open_how: return see_open(path, flags);
    case CallKind::execute: {
      struct stat st {};
      if (::stat(path.c_str(), &st) != 0 || !S_ISREG(st.st_mode)) return;
      if (Seen* seen = see(path); seen && !seen->created) seen->executed = true;
      return;
    }
    case CallKind::rename:
    case CallKind::link: {
      const std::string to = path_of(call, c->to_directory, c->to_path);
      if (to.empty() || is_system(to)) return;
      return c->kind == CallKind::rename ? see_rename(path, to) : see_open(to, O_CREAT | O_EXCL | O_WRONLY);
    }
    case CallKind::symlink: return see_open(path, O_CREAT | O_EXCL | O_WRONLY);
    case CallKind::truncate: return see_open(path, O_WRONLY);
    case CallKind::remove: {
      const auto it = files_.find(path);
      if (it != files_.end() && it->second.created) files_.erase(it);  // it was only passing
      return;
    }
  }
}

// The kernel lets us look only at programs that cannot gain rights.
void FileTrace::note_lost_rights(const std::string& program) {
  struct stat st {};
  if (::stat(program.c_str(), &st) != 0 || !(st.st_mode & (S_ISUID | S_ISGID))) return;
  std::string note = program + " gets no rights of its own while reads are traced";
  if (std::ranges::find(notes_, note) == notes_.end()) notes_.push_back(std::move(note));
}

FileTrace::Seen* FileTrace::see(const std::string& path) {
  if (files_.size() >= most_files && !files_.contains(path)) {
    problem_ = "more than " + std::to_string(most_files) + " files were opened: the rest is not known";
    return nullptr;
  }
  return &files_[path];
}

void FileTrace::see_open(const std::string& path, std::uint64_t flags) {
  if (flags & O_PATH) return;
  const bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
  struct stat st {};
  const bool there = ::stat(path.c_str(), &st) == 0;
  // An open that fails is no access, and a folder or a pipe is no file.
  if (there ? !S_ISREG(st.st_mode) || (flags & O_CREAT && flags & O_EXCL) : !(flags & O_CREAT)) return;
  Seen* seen = see(path);
  if (!seen) return;
  if (!there && !seen->read && !seen->executed) seen->created = true;
  const bool reads = (flags & O_ACCMODE) != O_WRONLY && !(flags & O_TRUNC);
  if (reads && there && !seen->created && !(seen->written && !seen->read)) seen->read = true;
  // What is added to may not have been there yet: the next time it will.
  if (writes && !(flags & O_TRUNC) && !seen->written) seen->kept = there || (flags & O_APPEND);
  if (writes || !there) seen->written = true;
}

void FileTrace::move(const std::string& from, const std::string& to) {
  const auto it = files_.find(from);
  Seen& target = files_[to];
  target.written = true;
  if (it == files_.end()) return;
  const bool made_here = it->second.created;
  if (made_here) files_.erase(from);
}

void FileTrace::see_rename(const std::string& from, const std::string& to) {
  struct stat st {};
  if (::lstat(from.c_str(), &st) != 0) return;
  if (!S_ISDIR(st.st_mode)) {
    struct stat old {};
    const bool there = ::lstat(to.c_str(), &old) == 0;
    move(from, to);
    if (Seen& seen = files_[to]; !there && !seen.read) seen.created = true;
    return;
  }
  std::vector<std::string> inside;
  for (const auto& [path, seen] : files_) {
    if (path.size() > from.size() && path.starts_with(from) && path[from.size()] == '/' && seen.written)
      inside.push_back(path);
  }
  for (const std::string& path : inside) {
    move(path, to + path.substr(from.size()));
    files_[to + path.substr(from.size())].created = true;
  }
}

FileTraceReport FileTrace::report() {
  recording_ = false;
  FileTraceReport report{problem_, notes_, {}};
  for (const auto& [path, seen] : files_) {
    struct stat st {};
    const bool there = ::stat(path.c_str(), &st) == 0 && S_ISREG(st.st_mode);
    const bool written = seen.written && there;
    if (seen.read || seen.executed || written)
      report.files.push_back({path, seen.read, seen.executed, written, written && seen.kept});
  }
  std::ranges::sort(report.files, {}, &FileAccess::path);
  if (unreadable_ > 0 && report.problem.empty())
    report.problem = std::to_string(unreadable_) +
                     " calls could not be read: the kernel does not let a "
                     "parent look at its children here";
  files_.clear();
  return report;
}

// Records that end in NUL: "mlops trace 1", then "! PROBLEM", "# NOTE" and "rxw PATH" with - for what it was
// not, and a for w if what was there was kept.
std::string format_trace(const FileTraceReport& report) {
  std::string text("mlops trace 1\0", 14);
  if (!report.problem.empty()) text += "! " + report.problem + '\0';
  for (const std::string& note : report.notes) text += "# " + note + '\0';
  for (const FileAccess& f : report.files) {
    text += f.read ? 'r' : '-';
    text += f.executed ? 'x' : '-';
    text += f.kept ? 'a' : f.written ? 'w' : '-';
    text += ' ' + f.path + '\0';
  }
  return text;
}

FileTraceReport parse_trace(std::string_view text) {
  FileTraceReport report;
  constexpr std::string_view head("mlops trace 1\0", 14);
  if (!text.starts_with(head)) {
    report.problem = "the keeper left no trace of it";
    return report;
  }
  text.remove_prefix(head.size());
  for (std::size_t end; (end = text.find('\0')) != text.npos; text.remove_prefix(end + 1)) {
    const std::string_view line = text.substr(0, end);
    if (line.starts_with("! ")) {
      report.problem = line.substr(2);
    } else if (line.starts_with("# ")) {
      report.notes.emplace_back(line.substr(2));
    } else if (line.size() > 4 && line[3] == ' ') {
      const bool kept = line[2] == 'a';
      report.files.push_back(
          {std::string(line.substr(4)), line[0] == 'r', line[1] == 'x', kept || line[2] == 'w', kept});
    }
  }
  return report;
}

}  // namespace mlops::process
