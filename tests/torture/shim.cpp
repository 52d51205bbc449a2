// Preloaded into mlops and its children: records what changes files below one directory, for power_loss.py,
// and makes one call fail, for faults.py. Read by environment variables:
//
//   TORTURE_ROOT     the directory; calls on files elsewhere are neither recorded nor made to fail ("/": all
//   are) TORTURE_LOG      where records go; tape.py tells their form TORTURE_STATE    a page that all
//   processes share: the lock under which a call and its record are one, counters TORTURE_WEAKEN fsync_file,
//   fsync_dir, sqlite or wal: these syncs happen and are not recorded TORTURE_FAULT CALL:ERRNO:N[:persist]:
//   the N-th call fails, and all after it; SHORT writes half TORTURE_BOOT_ID  stands for
//   /proc/sys/kernel/random/boot_id, for the looks after a power loss
//
// Nothing here allocates memory, and no descriptor is held: the keeper closes all that it does not know.
#include <climits>

#include <dlfcn.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <spawn.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

extern "C" void* __libc_malloc(size_t size);
extern "C" void* __libc_realloc(void* memory, size_t size);
extern "C" void* __libc_memalign(size_t alignment, size_t size);
extern char** environ;

namespace {

// --- What all processes share
// -----------------------------------------------------------------------------------------

struct Shared {
  std::atomic<std::uint32_t> ready;
  pthread_mutex_t lock;
  std::atomic<std::uint64_t> records;
  std::atomic<std::uint64_t> calls;   // of the kind that is to fail
  std::atomic<std::uint64_t> faults;  // how many failed
  char victim[256];                   // what the first of them was about
};
constexpr std::size_t shared_size = 4096;

struct Fault {
  char call[16] = "";
  int error = 0;
  bool shortened = false, persist = false;
  std::uint64_t n = 0;
};

Shared* shared = nullptr;
Fault fault_to_make;
const char *root = nullptr, *log_path = nullptr, *weaken = "";
std::size_t root_length = 0;

constexpr struct {
  const char* name;
  int number;
} errors[] = {{"ENOSPC", ENOSPC}, {"EIO", EIO},     {"EDQUOT", EDQUOT}, {"EROFS", EROFS},
              {"EMFILE", EMFILE}, {"EINTR", EINTR}, {"ENOMEM", ENOMEM}, {"EACCES", EACCES}};

void read_fault(const char* text) {
  const char* first = std::strchr(text, ':');
  const char* second = first ? std::strchr(first + 1, ':') : nullptr;
  if (!second || static_cast<std::size_t>(first - text) >= sizeof fault_to_make.call) return;
  std::memcpy(fault_to_make.call, text, static_cast<std::size_t>(first - text));
  const auto length = static_cast<std::size_t>(second - first - 1);
  for (const auto& known : errors) {
    if (std::strlen(known.name) == length && std::memcmp(known.name, first + 1, length) == 0)
      fault_to_make.error = known.number;
  }
  fault_to_make.shortened = std::memcmp(first + 1, "SHORT", 5) == 0;
  fault_to_make.n = std::strtoull(second + 1, nullptr, 10);
  fault_to_make.persist = std::strstr(second, ":persist") != nullptr;
}

__attribute__((constructor)) void start() {
  root = std::getenv("TORTURE_ROOT");
  log_path = std::getenv("TORTURE_LOG");
  const char* state = std::getenv("TORTURE_STATE");
  if (!root || !state) return;
  root_length = std::strlen(root);
  if (const char* text = std::getenv("TORTURE_WEAKEN")) weaken = text;
  const int fd = static_cast<int>(::syscall(SYS_openat, AT_FDCWD, state, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (fd < 0 || ::syscall(SYS_ftruncate, fd, shared_size) != 0) return;
  const long memory = ::syscall(SYS_mmap, nullptr, shared_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ::syscall(SYS_close, fd);
  if (memory == -1) return;
  auto* page = reinterpret_cast<Shared*>(memory);
  std::uint32_t fresh = 0;
  if (page->ready.compare_exchange_strong(fresh, 1)) {
    pthread_mutexattr_t kind;
    ::pthread_mutexattr_init(&kind);
    ::pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
    ::pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
    ::pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_RECURSIVE);
    ::pthread_mutex_init(&page->lock, &kind);
    page->ready = 2;
  }
  while (page->ready != 2) ::usleep(100);
  if (const char* text = std::getenv("TORTURE_FAULT")) read_fault(text);
  shared = page;
}

// A call and its record are one: no other call of any process comes between.
class Turn {
 public:
  Turn() {
    if (shared && ::pthread_mutex_lock(&shared->lock) == EOWNERDEAD)
      ::pthread_mutex_consistent(&shared->lock);
  }
  ~Turn() {
    if (shared) ::pthread_mutex_unlock(&shared->lock);
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
};

// --- Names
// ------------------------------------------------------------------------------------------------------------

struct Path {
  char text[PATH_MAX * 2] = "";
  bool below_root() const {
    if (!root || !text[0]) return false;
    if (root_length == 1) return true;
    return std::strncmp(text, root, root_length) == 0 && (text[root_length] == '/' || !text[root_length]);
  }
};

void name_of_fd(int fd, Path& path) {
  char link[64];
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const long n = ::syscall(SYS_readlinkat, AT_FDCWD, link, path.text, PATH_MAX);
  path.text[n > 0 ? n : 0] = '\0';
}

// By the letters: "." and ".." go away, links stay.
void name_of(int directory, const char* name, Path& path) {
  std::size_t length = 0;
  if (name[0] != '/') {
    if (directory == AT_FDCWD) {
      const long n = ::syscall(SYS_readlinkat, AT_FDCWD, "/proc/self/cwd", path.text, PATH_MAX);
      path.text[n > 0 ? n : 0] = '\0';
    } else {
      name_of_fd(directory, path);
    }
    length = std::strlen(path.text);
    if (length == 1) length = 0;
  }
  while (*name) {
    while (*name == '/') ++name;
    const std::size_t part = std::strcspn(name, "/");
    if (part == 2 && name[0] == '.' && name[1] == '.') {
      while (length > 0 && path.text[length - 1] != '/') --length;
      if (length > 0) --length;
    } else if (part > 0 && !(part == 1 && name[0] == '.') && length + part + 2 < sizeof path.text) {
      path.text[length++] = '/';
      std::memcpy(path.text + length, name, part);
      length += part;
    }
    name += part;
  }
  if (length == 0) path.text[length++] = '/';
  path.text[length] = '\0';
}

std::uint64_t inode_of(int fd) {
  struct stat st {};
  return ::fstat(fd, &st) == 0 ? st.st_ino : 0;
}

std::uint64_t inode_of(int directory, const char* name) {
  struct stat st {};
  return ::fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_ino : 0;
}

bool is_database(const char* path) {
  const char* name = std::strrchr(path, '/');
  return name && std::strstr(name, ".db") != nullptr;
}

// --- Records
// ----------------------------------------------------------------------------------------------------------

struct Head {
  char magic[4] = {'T', 'R', 'E', 'C'};
  char what[4] = {};
  std::uint64_t number = 0, inode = 0, at = 0;
  std::uint32_t pid = 0, path = 0, other = 0, data = 0;
};
static_assert(sizeof(Head) == 48);

void record(const char* what, std::uint64_t inode, std::uint64_t at, const char* path, const char* other,
            const void* data, std::size_t size) {
  if (!shared || !log_path) return;
  const int kept = errno;
  Head head;
  std::strncpy(head.what, what, sizeof head.what);
  head.number = shared->records++;
  head.inode = inode;
  head.at = at;
  head.pid = static_cast<std::uint32_t>(::getpid());
  head.path = static_cast<std::uint32_t>(std::strlen(path));
  head.other = static_cast<std::uint32_t>(std::strlen(other));
  head.data = static_cast<std::uint32_t>(size);
  const iovec parts[] = {{&head, sizeof head},
                         {const_cast<char*>(path), head.path},
                         {const_cast<char*>(other), head.other},
                         {const_cast<void*>(data), size}};
  const long fd = ::syscall(SYS_openat, AT_FDCWD, log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0 || ::syscall(SYS_writev, fd, parts, 4) < 0)
    ::syscall(SYS_exit_group, 99);  // worthless without it
  ::syscall(SYS_close, fd);
  errno = kept;
}

// What was put into a file without passing through this process is read from it.
void record_range(int fd, const Path& path, off_t at, std::size_t size) {
  char link[64];
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const long in = ::syscall(SYS_openat, AT_FDCWD, link, O_RDONLY | O_CLOEXEC, 0);
  if (in < 0) return;
  static thread_local char buffer[1 << 16];
  while (size > 0) {
    const long n = ::syscall(SYS_pread64, in, buffer, size < sizeof buffer ? size : sizeof buffer, at);
    if (n <= 0) break;
    record("W", inode_of(fd), static_cast<std::uint64_t>(at), path.text, "", buffer,
           static_cast<std::size_t>(n));
    at += n;
    size -= static_cast<std::size_t>(n);
  }
  ::syscall(SYS_close, in);
}

// --- Faults
// -----------------------------------------------------------------------------------------------------------

bool counts(const char* call) {
  return shared && fault_to_make.call[0] && std::strcmp(fault_to_make.call, call) == 0;
}

bool due(const char* about) {
  const std::uint64_t call = ++shared->calls;
  if (fault_to_make.n == 0 || (fault_to_make.persist ? call < fault_to_make.n : call != fault_to_make.n))
    return false;
  if (shared->faults++ == 0) std::snprintf(shared->victim, sizeof shared->victim, "%d %s", ::getpid(), about);
  errno = fault_to_make.error;
  return true;
}

bool fails(const char* call, const Path& path) { return counts(call) && path.below_root() && due(path.text); }

template <typename Function>
Function next(Function, const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}
#define NEXT(name) static const auto real = next(&::name, #name)

bool standard(int fd) { return fd == 1 || fd == 2; }

// --- Opening
// ----------------------------------------------------------------------------------------------------------

template <typename Open>
int open_recorded(int directory, const char* name, int flags, const Open& open) {
  if (!shared) return open(name);
  if (const char* id = std::getenv("TORTURE_BOOT_ID");
      id && std::strcmp(name, "/proc/sys/kernel/random/boot_id") == 0)
    return open(id);
  Path path;
  name_of(directory, name, path);
  if (fails("open", path)) return -1;
  if (!log_path || !path.below_root() || !(flags & (O_CREAT | O_TRUNC))) return open(name);
  const Turn turn;
  const std::uint64_t before = inode_of(directory, name);
  const int fd = open(name);
  if (fd < 0) return fd;
  if (!before) {
    record("C", inode_of(fd), 0, path.text, "", "", 0);
  } else if (flags & O_TRUNC) {
    record("T", inode_of(fd), 0, path.text, "", "", 0);
  }
  return fd;
}

mode_t mode_in(int flags, va_list list) { return flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0; }

}  // namespace

extern "C" {

int open(const char* name, int flags, ...) {
  va_list list;
  va_start(list, flags);
  const mode_t mode = mode_in(flags, list);
  va_end(list);
  return open_recorded(AT_FDCWD, name, flags, [&](const char* it) {
    return static_cast<int>(::syscall(SYS_openat, AT_FDCWD, it, flags, mode));
  });
}

int open64(const char* name, int flags, ...) {
  va_list list;
  va_start(list, flags);
  const mode_t mode = mode_in(flags, list);
  va_end(list);
  return ::open(name, flags | O_LARGEFILE, mode);
}

int openat(int directory, const char* name, int flags, ...) {
  va_list list;
  va_start(list, flags);
  const mode_t mode = mode_in(flags, list);
  va_end(list);
  return open_recorded(directory, name, flags, [&](const char* it) {
    return static_cast<int>(::syscall(SYS_openat, directory, it, flags, mode));
  });
}

// --- Writing
// ----------------------------------------------------------------------------------------------------------

ssize_t write(int fd, const void* bytes, size_t size) {
  if (!shared) return ::syscall(SYS_write, fd, bytes, size);
  Path path;
  name_of_fd(fd, path);
  if (fails("write", path)) {
    if (!fault_to_make.shortened) return -1;
    size = (size + 1) / 2;
  }
  if (!log_path) return ::syscall(SYS_write, fd, bytes, size);
  if (standard(fd) && !path.below_root()) {
    const Turn turn;
    const ssize_t n = ::syscall(SYS_write, fd, bytes, size);
    if (n > 0) record("ACK", 0, 0, "", "", bytes, static_cast<std::size_t>(n < 400 ? n : 400));
    return n;
  }
  if (!path.below_root()) return ::syscall(SYS_write, fd, bytes, size);
  const Turn turn;
  const ssize_t n = ::syscall(SYS_write, fd, bytes, size);
  if (n > 0) {
    const auto at = static_cast<std::uint64_t>(::lseek(fd, 0, SEEK_CUR) - n);
    record("W", inode_of(fd), at, path.text, "", bytes, static_cast<std::size_t>(n));
  }
  return n;
}

ssize_t writev(int fd, const iovec* parts, int count) {
  Path path;
  if (shared) name_of_fd(fd, path);
  if (fails("write", path) && !fault_to_make.shortened) return -1;
  if (!log_path || !path.below_root()) return ::syscall(SYS_writev, fd, parts, count);
  const Turn turn;
  const ssize_t n = ::syscall(SYS_writev, fd, parts, count);
  if (n > 0) record_range(fd, path, ::lseek(fd, 0, SEEK_CUR) - n, static_cast<std::size_t>(n));
  return n;
}

ssize_t pwrite64(int fd, const void* bytes, size_t size, off64_t at) {
  Path path;
  if (shared) name_of_fd(fd, path);
  if (fails("pwrite", path)) {
    if (!fault_to_make.shortened) return -1;
    size = (size + 1) / 2;
  }
  if (!log_path || !path.below_root()) return ::syscall(SYS_pwrite64, fd, bytes, size, at);
  const Turn turn;
  const ssize_t n = ::syscall(SYS_pwrite64, fd, bytes, size, at);
  if (n > 0)
    record("W", inode_of(fd), static_cast<std::uint64_t>(at), path.text, "", bytes,
           static_cast<std::size_t>(n));
  return n;
}

ssize_t pwrite(int fd, const void* bytes, size_t size, off_t at) { return ::pwrite64(fd, bytes, size, at); }

ssize_t sendfile(int out, int in, off_t* at, size_t size) {
  Path path;
  if (shared) name_of_fd(out, path);
  if (fails("write", path) && !fault_to_make.shortened) return -1;
  if (!log_path || !path.below_root()) return ::syscall(SYS_sendfile, out, in, at, size);
  const Turn turn;
  const ssize_t n = ::syscall(SYS_sendfile, out, in, at, size);
  if (n > 0) record_range(out, path, ::lseek(out, 0, SEEK_CUR) - n, static_cast<std::size_t>(n));
  return n;
}

ssize_t copy_file_range(int in, off64_t* in_at, int out, off64_t* out_at, size_t size, unsigned flags) {
  Path path;
  if (shared) name_of_fd(out, path);
  if (!log_path || !path.below_root())
    return ::syscall(SYS_copy_file_range, in, in_at, out, out_at, size, flags);
  const Turn turn;
  const ssize_t n = ::syscall(SYS_copy_file_range, in, in_at, out, out_at, size, flags);
  if (n > 0)
    record_range(out, path, (out_at ? *out_at : ::lseek(out, 0, SEEK_CUR)) - n, static_cast<std::size_t>(n));
  return n;
}

int ioctl(int fd, unsigned long request, ...) {
  va_list list;
  va_start(list, request);
  void* const argument = va_arg(list, void*);
  va_end(list);
  const auto call = [&] { return static_cast<int>(::syscall(SYS_ioctl, fd, request, argument)); };
  Path path;
  if (request != FICLONE || !shared) return call();
  name_of_fd(fd, path);
  if (!log_path || !path.below_root()) return call();
  const Turn turn;
  const int result = call();
  if (result == 0) record_range(fd, path, 0, SIZE_MAX);
  return result;
}

int ftruncate64(int fd, off64_t size) {
  Path path;
  if (shared) name_of_fd(fd, path);
  if (fails("ftruncate", path)) return -1;
  const Turn turn;
  const int result = static_cast<int>(::syscall(SYS_ftruncate, fd, size));
  if (result == 0 && path.below_root())
    record("T", inode_of(fd), static_cast<std::uint64_t>(size), path.text, "", "", 0);
  return result;
}

int ftruncate(int fd, off_t size) { return ::ftruncate64(fd, size); }

int truncate(const char* name, off_t size) {
  Path path;
  if (shared) name_of(AT_FDCWD, name, path);
  const Turn turn;
  const int result = static_cast<int>(::syscall(SYS_truncate, name, size));
  if (result == 0 && path.below_root())
    record("T", inode_of(AT_FDCWD, name), static_cast<std::uint64_t>(size), path.text, "", "", 0);
  return result;
}

int fallocate64(int fd, int mode, off64_t at, off64_t size) {
  Path path;
  if (shared) name_of_fd(fd, path);
  if (fails("ftruncate", path)) return -1;
  const Turn turn;
  struct stat st {};
  const int result = static_cast<int>(::syscall(SYS_fallocate, fd, mode, at, size));
  if (result == 0 && path.below_root() && ::fstat(fd, &st) == 0)
    record("T", st.st_ino, static_cast<std::uint64_t>(st.st_size), path.text, "", "", 0);
  return result;
}

int fallocate(int fd, int mode, off_t at, off_t size) { return ::fallocate64(fd, mode, at, size); }

// --- Syncing
// ----------------------------------------------------------------------------------------------------------

static int sync_recorded(int fd, const char* call, long number, const char* what) {
  Path path;
  if (shared) name_of_fd(fd, path);
  const Turn turn;
  if (fails(call, path)) {
    record("SX", inode_of(fd), 0, path.text, "", "",
           0);  // what was to be synced is lost, and no later sync tells
    return -1;
  }
  const int result = static_cast<int>(::syscall(number, fd));
  if (result != 0 || !path.below_root()) return result;
  struct stat st {};
  ::fstat(fd, &st);
  const bool directory = S_ISDIR(st.st_mode), database = is_database(path.text);
  const bool all = number == SYS_syncfs;
  const bool log = std::strstr(path.text, "-wal") != nullptr;
  const bool swallowed = (!std::strcmp(weaken, "fsync_dir") && directory && !all) ||
                         (!std::strcmp(weaken, "fsync_file") && (all || (!directory && !database))) ||
                         (!std::strcmp(weaken, "sqlite") && !directory && database) ||
                         (!std::strcmp(weaken, "wal") && !directory && log);
  if (!swallowed) record(what, st.st_ino, 0, path.text, "", "", 0);
  return result;
}

int fsync(int fd) { return sync_recorded(fd, "fsync", SYS_fsync, "S"); }
int fdatasync(int fd) { return sync_recorded(fd, "fdatasync", SYS_fdatasync, "S"); }
int syncfs(int fd) noexcept { return sync_recorded(fd, "fsync", SYS_syncfs, "SFS"); }

// --- Names that change
// ------------------------------------------------------------------------------------------------

int renameat2(int from_at, const char* from, int to_at, const char* to, unsigned flags) noexcept {
  Path source, target;
  if (shared) {
    name_of(from_at, from, source);
    name_of(to_at, to, target);
  }
  if (fails("rename", target)) return -1;
  const Turn turn;
  const int result = static_cast<int>(::syscall(SYS_renameat2, from_at, from, to_at, to, flags));
  if (result == 0 && (source.below_root() || target.below_root()))
    record("MV", inode_of(to_at, to), flags, source.text, target.text, "", 0);
  return result;
}

int rename(const char* from, const char* to) noexcept { return ::renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int from_at, const char* from, int to_at, const char* to) noexcept {
  return ::renameat2(from_at, from, to_at, to, 0);
}

int linkat(int from_at, const char* from, int to_at, const char* to, int flags) noexcept {
  Path source, target;
  if (shared) {
    name_of(from_at, from, source);
    name_of(to_at, to, target);
  }
  if (fails("link", target)) return -1;
  const Turn turn;
  const int result = static_cast<int>(::syscall(SYS_linkat, from_at, from, to_at, to, flags));
  if (result == 0 && target.below_root())
    record("L", inode_of(to_at, to), 0, source.text, target.text, "", 0);
  return result;
}

int link(const char* from, const char* to) noexcept { return ::linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

int symlinkat(const char* text, int directory, const char* name) noexcept {
  Path path;
  if (shared) name_of(directory, name, path);
  if (fails("link", path)) return -1;
  const Turn turn;
  const int result = static_cast<int>(::syscall(SYS_symlinkat, text, directory, name));
  if (result == 0 && path.below_root()) record("SL", inode_of(directory, name), 0, path.text, text, "", 0);
  return result;
}

int symlink(const char* text, const char* name) noexcept { return ::symlinkat(text, AT_FDCWD, name); }

int unlinkat(int directory, const char* name, int flags) noexcept {
  Path path;
  if (shared) name_of(directory, name, path);
  if (fails("unlink", path)) return -1;
  const Turn turn;
  const int result = static_cast<int>(::syscall(SYS_unlinkat, directory, name, flags));
  if (result == 0 && path.below_root()) record(flags & AT_REMOVEDIR ? "RD" : "U", 0, 0, path.text, "", "", 0);
  return result;
}

int unlink(const char* name) noexcept { return ::unlinkat(AT_FDCWD, name, 0); }
int rmdir(const char* name) noexcept { return ::unlinkat(AT_FDCWD, name, AT_REMOVEDIR); }
int remove(const char* name) noexcept {
  if (::unlink(name) == 0) return 0;
  return errno == EISDIR ? ::rmdir(name) : -1;
}

int mkdirat(int directory, const char* name, mode_t mode) noexcept {
  Path path;
  if (shared) name_of(directory, name, path);
  if (fails("mkdir", path)) return -1;
  const Turn turn;
  const int result = static_cast<int>(::syscall(SYS_mkdirat, directory, name, mode));
  if (result == 0 && path.below_root()) record("MK", inode_of(directory, name), 0, path.text, "", "", 0);
  return result;
}

int mkdir(const char* name, mode_t mode) noexcept { return ::mkdirat(AT_FDCWD, name, mode); }

char* mkdtemp(char* pattern) noexcept {
  NEXT(mkdtemp);
  const Turn turn;
  char* const name = real(pattern);
  Path path;
  if (name && shared) name_of(AT_FDCWD, name, path);
  if (path.below_root()) record("MK", inode_of(AT_FDCWD, name), 0, path.text, "", "", 0);
  return name;
}

// --- What was said, and who goes on
// -----------------------------------------------------------------------------------

// What stdio writes does not pass through write(); how long the file has become tells how much was said.
int fflush(FILE* stream) {
  NEXT(fflush);
  const Turn turn;
  const int result = real(stream);
  struct stat st {};
  if (result == 0 && shared && log_path && stream == stdout && ::fstat(1, &st) == 0 && S_ISREG(st.st_mode))
    record("OUT", st.st_ino, static_cast<std::uint64_t>(st.st_size), "", "", "", 0);
  return result;
}

// Steps get an environment of their own, which does not name this library.
int posix_spawn(pid_t* pid, const char* path, const posix_spawn_file_actions_t* actions,
                const posix_spawnattr_t* attributes, char* const arguments[], char* const environment[]) {
  NEXT(posix_spawn);
  if (!log_path || !shared) return real(pid, path, actions, attributes, arguments, environment);
  constexpr const char* names[] = {
      "LD_PRELOAD=", "TORTURE_ROOT=", "TORTURE_LOG=", "TORTURE_STATE=", "TORTURE_WEAKEN="};
  char* list[4096];
  std::size_t n = 0;
  for (char* const* one = environment; *one && n < 4000; ++one) list[n++] = *one;
  for (const char* name : names) {
    const std::size_t length = std::strlen(name);
    bool there = false;
    for (std::size_t i = 0; i < n; ++i) there = there || std::strncmp(list[i], name, length) == 0;
    for (char** mine = environ; *mine && !there; ++mine) {
      if (std::strncmp(*mine, name, length) == 0) list[n++] = *mine;
    }
  }
  list[n] = nullptr;
  return real(pid, path, actions, attributes, arguments, list);
}

// --- Memory
// -----------------------------------------------------------------------------------------------------------

void* malloc(size_t size) { return counts("malloc") && due("") ? nullptr : __libc_malloc(size); }
void* realloc(void* memory, size_t size) {
  return counts("malloc") && due("") ? nullptr : __libc_realloc(memory, size);
}
void* aligned_alloc(size_t alignment, size_t size) {
  return counts("malloc") && due("") ? nullptr : __libc_memalign(alignment, size);
}

void* mmap64(void* where, size_t size, int protection, int flags, int fd, off64_t at) noexcept {
  if (counts("mmap") && due("")) return MAP_FAILED;
  return reinterpret_cast<void*>(::syscall(SYS_mmap, where, size, protection, flags, fd, at));
}

}  // extern "C"
