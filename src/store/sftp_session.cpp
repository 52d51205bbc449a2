#include "store/sftp_session.hpp"

#include "process/spawn.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

extern char** environ;

namespace mlops::store {

namespace {

enum Type : std::uint8_t {
  init = 1,
  version = 2,
  open_file = 3,
  close_file = 4,
  read_file = 5,
  write_file = 6,
  open_dir = 11,
  read_dir = 12,
  remove_file = 13,
  make_dir = 14,
  stat_file = 17,
  rename_file = 18,
  status = 101,
  handle = 102,
  data = 103,
  name = 104,
  attributes = 105,
  extended = 200
};
constexpr std::uint32_t packet_limit = 1 << 20;

void put32(std::string& out, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift & 0xff);
}
void put64(std::string& out, std::uint64_t value) {
  put32(out, static_cast<std::uint32_t>(value >> 32));
  put32(out, static_cast<std::uint32_t>(value));
}
void put(std::string& out, std::string_view text) {
  put32(out, static_cast<std::uint32_t>(text.size()));
  out += text;
}

// Reads a packet from front to back; what is not there is 0 or empty, and good() says so.
class Reader {
 public:
  explicit Reader(std::string_view rest) : rest_(rest) {}
  std::uint8_t u8() { return static_cast<std::uint8_t>(number(1)); }
  std::uint32_t u32() { return static_cast<std::uint32_t>(number(4)); }
  std::uint64_t u64() { return number(8); }
  std::string_view text() {
    const std::uint32_t size = u32();
    if (size > rest_.size()) good_ = false;
    const std::string_view text = rest_.substr(0, good_ ? size : 0);
    rest_.remove_prefix(text.size());
    return text;
  }
  bool good() const { return good_; }
  bool done() const { return rest_.empty(); }

 private:
  std::uint64_t number(std::size_t bytes) {
    if (rest_.size() < bytes) good_ = false;
    if (!good_) return 0;
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < bytes; ++i) value = value << 8 | static_cast<unsigned char>(rest_[i]);
    rest_.remove_prefix(bytes);
    return value;
  }
  std::string_view rest_;
  bool good_ = true;
};

struct Attributes {
  std::uint64_t size = 0;
  bool directory = false;
};

Attributes read_attributes(Reader& reader) {
  Attributes attributes;
  const std::uint32_t flags = reader.u32();
  if (flags & 1) attributes.size = reader.u64();
  if (flags & 2) reader.u32(), reader.u32();
  if (flags & 4) attributes.directory = S_ISDIR(reader.u32());
  if (flags & 8) reader.u32(), reader.u32();
  if (flags & 0x80000000u) {
    for (std::uint32_t count = reader.u32(); count > 0 && reader.good(); --count)
      reader.text(), reader.text();
  }
  return attributes;
}

SftpReply parse_reply(std::uint8_t type, Reader& reader) {
  SftpReply reply;
  reply.type = type;
  switch (type) {
    case status:
      reply.status = reader.u32();
      reply.text = std::string(reader.text());
      break;
    case handle:
    case data: reply.text = std::string(reader.text()); break;
    case name:
      for (std::uint32_t count = reader.u32(); count > 0 && reader.good(); --count) {
        SftpReply::Name entry;
        entry.name = std::string(reader.text());
        reader.text();  // as `ls -l` shows it
        const Attributes attributes = read_attributes(reader);
        entry.size = attributes.size;
        entry.directory = attributes.directory;
        reply.names.push_back(std::move(entry));
      }
      break;
    case attributes: reply.size = read_attributes(reader).size; break;
    default: break;
  }
  return reply;
}

}  // namespace

SftpSession::SftpSession(const std::vector<std::string>& command) {
  const char* path = std::getenv("PATH");
  const std::string program =
      process::find_program(command[0], path ? path : "/usr/local/bin:/usr/bin:/bin", ".");
  if (program.empty()) {
    throw SftpLost(
        "there is no program '" + command[0] + "' on PATH; install it: apt-get install openssh-client", true);
  }
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    throw SftpLost(std::strerror(errno), true);
  socket_.reset(ends[0]);
  util::Fd theirs(ends[1]);
  words_.reset(::memfd_create("ssh", MFD_CLOEXEC));
  std::vector<const char*> environment;
  for (char** entry = environ; *entry; ++entry) environment.push_back(*entry);
  environment.push_back(nullptr);
  pid_ = process::spawn(program, command, environment, ".", theirs.get(), words_.get(), theirs.get());
  theirs.reset();
  if (pid_ < 0)
    throw SftpLost("cannot start '" + program + "': " + std::strerror(static_cast<int>(-pid_)), true);

  std::string hello;
  put32(hello, 5);
  hello += static_cast<char>(init);
  put32(hello, 3);
  write_bytes(hello);
  const std::string packet = read_packet();
  Reader reader(packet);
  if (reader.u8() != version) lost("the far side does not speak SFTP");
  reader.u32();
  while (reader.good() && !reader.done()) {
    extensions_.insert(std::string(reader.text()));
    reader.text();
  }
}

SftpSession::~SftpSession() {
  socket_.reset();
  if (pid_ <= 0) return;
  // It ends by itself when its input ends; one that does not is ended.
  for (int i = 0; i < 100; ++i) {
    if (::waitpid(pid_, nullptr, WNOHANG) != 0) return;
    ::usleep(10'000);
  }
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

// What ssh said of the end; without a word of it, `what`.
void SftpSession::lost(const std::string& what) {
  socket_.reset();
  int exit_status = 0;
  if (pid_ > 0) {
    const std::int64_t end = util::monotonic_ms() + 2'000;
    pid_t got = 0;
    while ((got = ::waitpid(pid_, &exit_status, WNOHANG)) == 0 && util::monotonic_ms() < end) ::usleep(5'000);
    if (got == 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, &exit_status, 0);
    }
    pid_ = -1;
  }
  std::string said(4096, '\0');
  const ssize_t n = ::pread(words_.get(), said.data(), said.size(), 0);
  said.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  std::vector<std::string> lines;
  for (const std::string& line : util::split(said, '\n')) {
    const std::string_view text = util::trim(line);
    if (!text.empty() && !text.starts_with("Warning: Permanently added")) lines.emplace_back(text);
  }
  const std::string why =
      lines.empty() ? what : util::escape_controls(util::to_utf8(util::join(lines, "; ")));
  const bool refused = [&] {
    for (const char* words :
         {"Permission denied", "Host key verification failed", "Could not resolve", "Bad configuration",
          "subsystem request failed", "Too many authentication failures", "No such file"}) {
      if (why.find(words) != std::string::npos) return true;
    }
    return false;
  }();
  throw SftpLost(why, refused);
}

void SftpSession::write_bytes(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) lost("the connection was closed");
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

std::string SftpSession::read_packet() {
  const auto fill = [this](std::size_t want) {
    while (buffer_.size() < want) {
      char part[64 * 1024];
      const ssize_t n = ::recv(socket_.get(), part, sizeof part, 0);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) lost("the connection was closed");
      buffer_.append(part, static_cast<std::size_t>(n));
    }
  };
  fill(4);
  const std::uint32_t size = Reader(buffer_).u32();
  // A login script that prints something comes before the first packet, and looks like a length.
  if (size == 0 || size > packet_limit)
    lost("the far side does not speak SFTP; does a start-up file of its shell print something?");
  fill(4 + size);
  std::string packet = buffer_.substr(4, size);
  buffer_.erase(0, 4 + size);
  return packet;
}

SftpSession::Id SftpSession::send(std::uint8_t type, std::string_view payload) {
  std::string packet;
  packet.reserve(payload.size() + 9);
  put32(packet, static_cast<std::uint32_t>(payload.size() + 5));
  packet += static_cast<char>(type);
  put32(packet, next_);
  packet += payload;
  write_bytes(packet);
  return next_++;
}

SftpReply SftpSession::await(Id id) {
  while (!arrived_.contains(id)) {
    const std::string packet = read_packet();
    Reader reader(packet);
    const std::uint8_t type = reader.u8();
    const Id number = reader.u32();
    SftpReply reply = parse_reply(type, reader);
    if (!reader.good()) lost("the far side sent a broken answer");
    arrived_[number] = std::move(reply);
  }
  SftpReply reply = std::move(arrived_[id]);
  arrived_.erase(id);
  return reply;
}

SftpSession::Id SftpSession::open_to_read(std::string_view path) {
  std::string payload;
  put(payload, path);
  put32(payload, 1);
  put32(payload, 0);
  return send(open_file, payload);
}

SftpSession::Id SftpSession::open_to_write(std::string_view path) {
  std::string payload;
  put(payload, path);
  put32(payload, 2 | 8 | 0x20);  // write, create, exclusively
  put32(payload, 0);
  return send(open_file, payload);
}

SftpSession::Id SftpSession::close(std::string_view file) {
  std::string payload;
  put(payload, file);
  return send(close_file, payload);
}

SftpSession::Id SftpSession::read(std::string_view file, std::uint64_t offset, std::uint32_t size) {
  std::string payload;
  put(payload, file);
  put64(payload, offset);
  put32(payload, size);
  return send(read_file, payload);
}

SftpSession::Id SftpSession::write(std::string_view file, std::uint64_t offset, std::string_view bytes) {
  std::string payload;
  payload.reserve(bytes.size() + file.size() + 16);
  put(payload, file);
  put64(payload, offset);
  put(payload, bytes);
  return send(write_file, payload);
}

SftpSession::Id SftpSession::stat(std::string_view path) {
  std::string payload;
  put(payload, path);
  return send(stat_file, payload);
}

SftpSession::Id SftpSession::open_directory(std::string_view path) {
  std::string payload;
  put(payload, path);
  return send(open_dir, payload);
}

SftpSession::Id SftpSession::read_directory(std::string_view file) {
  std::string payload;
  put(payload, file);
  return send(read_dir, payload);
}

SftpSession::Id SftpSession::make_directory(std::string_view path) {
  std::string payload;
  put(payload, path);
  put32(payload, 0);
  return send(make_dir, payload);
}

SftpSession::Id SftpSession::remove(std::string_view path) {
  std::string payload;
  put(payload, path);
  return send(remove_file, payload);
}

SftpSession::Id SftpSession::rename(std::string_view from, std::string_view to) {
  std::string payload;
  const bool posix = extensions_.contains("posix-rename@openssh.com");
  if (posix) put(payload, "posix-rename@openssh.com");
  put(payload, from);
  put(payload, to);
  return send(posix ? extended : rename_file, payload);
}

SftpSession::Id SftpSession::sync(std::string_view file) {
  std::string payload;
  put(payload, "fsync@openssh.com");
  put(payload, file);
  return send(extended, payload);
}

}  // namespace mlops::store
