// SFTP, version 3, spoken with the far side's subsystem over the system's ssh: it needs no mlops there, not
// even a shell, and many requests may be under way at once, so that the way there and back is paid once and
// not for each. draft-ietf-secsh-filexfer-02; extensions of OpenSSH.
#pragma once

#include "util/fd.hpp"

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace mlops::store {

/// The connection ended; what() says why, as ssh told it.
class SftpLost : public std::runtime_error {
 public:
  SftpLost(const std::string& why, bool refused) : std::runtime_error(why), refused_(refused) {}
  /// Trying again would end in the same way: no such host, no right to log in.
  bool refused() const { return refused_; }

 private:
  bool refused_;
};

struct SftpReply {
  std::uint8_t type = 0;
  std::uint32_t status = 0;  ///< of a status: 0 is success
  std::string text;          ///< of a status: in words; of a handle or data: the bytes
  std::uint64_t size = 0;    ///< of attributes
  struct Name {
    std::string name;
    std::uint64_t size = 0;
    bool directory = false;
  };
  std::vector<Name> names;

  bool ok() const { return type != 101 || status == 0; }
  bool end() const { return type == 101 && status == 1; }
  bool no_file() const { return type == 101 && status == 2; }
  bool denied() const { return type == 101 && status == 3; }
};

/// One connection. Requests are numbered; answers may be awaited in any order.
class SftpSession {
 public:
  /// Starts `command` (ssh with its arguments). Throws SftpLost.
  explicit SftpSession(const std::vector<std::string>& command);
  ~SftpSession();
  SftpSession(const SftpSession&) = delete;
  SftpSession& operator=(const SftpSession&) = delete;

  using Id = std::uint32_t;
  Id open_to_read(std::string_view path);
  Id open_to_write(std::string_view path);  ///< a new file; fails if it is there
  Id close(std::string_view handle);
  Id read(std::string_view handle, std::uint64_t offset, std::uint32_t size);
  Id write(std::string_view handle, std::uint64_t offset, std::string_view bytes);
  Id stat(std::string_view path);
  Id open_directory(std::string_view path);
  Id read_directory(std::string_view handle);
  Id make_directory(std::string_view path);
  Id remove(std::string_view path);
  /// Replaces what is at `to` where the far side can do that in one step.
  Id rename(std::string_view from, std::string_view to);
  /// Asks the far side to write the file to its disk; nothing where it cannot.
  Id sync(std::string_view handle);
  bool can_sync() const { return extensions_.contains("fsync@openssh.com"); }

  SftpReply await(Id id);

  /// The most bytes to ask for or send at a time.
  static constexpr std::uint32_t chunk = 32 * 1024;
  /// The most requests to have under way: their answers, and for reads what they bring, must find room.
  static constexpr std::size_t window = 64;

 private:
  Id send(std::uint8_t type, std::string_view payload);
  void write_bytes(std::string_view bytes);
  std::string read_packet();
  [[noreturn]] void lost(const std::string& what);

  util::Fd socket_;
  util::Fd words_;  // what ssh writes to its standard error
  pid_t pid_ = -1;
  Id next_ = 1;
  std::map<Id, SftpReply> arrived_;
  std::set<std::string, std::less<>> extensions_;
  std::string buffer_;
};

}  // namespace mlops::store
