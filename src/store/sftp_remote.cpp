#include "store/sftp_remote.hpp"

#include <mlops/error.hpp>

#include "util/files.hpp"
#include "util/id.hpp"
#include "util/log.hpp"
#include "util/strings.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>

namespace mlops::store {

namespace {

constexpr int most_failures = 4;  // connections in a row that got nothing done

std::vector<std::string> command_for(const RemoteAddress& address) {
  std::vector<std::string> command;
  const char* own = std::getenv("MLOPS_SSH");
  for (const std::string& word : util::split(own && *own ? own : "ssh", ' ')) {
    if (!word.empty()) command.push_back(word);
  }
  // Nobody is there to answer questions, and one that is not answered must not hang.
  for (const char* option :
       {"BatchMode=yes", "ConnectTimeout=10", "ServerAliveInterval=15", "ServerAliveCountMax=3"}) {
    command.emplace_back("-o");
    command.emplace_back(option);
  }
  if (address.port > 0) command.insert(command.end(), {"-p", std::to_string(address.port)});
  if (!address.user.empty()) command.insert(command.end(), {"-l", address.user});
  command.insert(command.end(), {"-s", "--", address.host, "sftp"});
  return command;
}

}  // namespace

SftpRemote::SftpRemote(const RemoteAddress& address) : address_(address), command_(command_for(address)) {}

void SftpRemote::fail(const std::string& attempt, const SftpReply& reply) const {
  std::string why = reply.text.empty() ? "error " + std::to_string(reply.status) : reply.text;
  std::string hint = "look with: sftp " + (address_.user.empty() ? "" : address_.user + "@") + address_.host;
  if (reply.denied()) hint = "the account there needs to read and write in " + address_.path;
  // Version 3 has one word for a full disk, a quota and all else.
  if (reply.status == 4) hint = "is there room left on its disk? " + hint;
  throw Error(ExitCode::unreachable,
              "cannot " + attempt + " of the remote '" + address_.url +
                  "': " + util::escape_controls(util::to_utf8(why)),
              hint);
}

void SftpRemote::persist(const std::string& attempt, const std::function<std::size_t()>& done,
                         const std::function<void()>& work) {
  int failures = 0;
  for (std::size_t before = done();;) {
    try {
      if (!session_) session_ = std::make_unique<SftpSession>(command_);
      return work();
    } catch (const SftpLost& lost) {
      session_.reset();
      made_.clear();
      failures = done() > before ? 1 : failures + 1;
      before = done();
      if (lost.refused() || failures >= most_failures) {
        throw Error(ExitCode::unreachable,
                    "cannot " + attempt + " of the remote '" + address_.url + "': " + lost.what(),
                    lost.refused()
                        ? "it must be possible to log in without a question: try `ssh " +
                              (address_.port ? "-p " + std::to_string(address_.port) + " " : "") +
                              (address_.user.empty() ? "" : address_.user + "@") + address_.host + "`"
                        : "what was done stays done: repeat the command when it can be reached");
      }
      util::log_debug(std::string("the connection to '") + address_.url + "' broke: " + lost.what());
      ::usleep(static_cast<useconds_t>(200'000 << failures));
    }
  }
}

// Answers in the order of `names`.
std::vector<SftpReply> SftpRemote::stat_all(const std::vector<std::string>& names) {
  std::vector<SftpReply> replies;
  std::deque<SftpSession::Id> open;
  for (const std::string& name : names) {
    if (open.size() == SftpSession::window) {
      replies.push_back(session_->await(open.front()));
      open.pop_front();
    }
    open.push_back(session_->stat(full(name)));
  }
  for (const auto id : open) replies.push_back(session_->await(id));
  return replies;
}

// Level by level, with as many directories open at a time as there may be requests.
void SftpRemote::list_below(const std::string& name, std::vector<RemoteFile>& files) {
  std::deque<std::string> open = {name};
  while (!open.empty()) {
    std::vector<std::string> batch;
    while (!open.empty() && batch.size() < SftpSession::window / 2) {
      batch.push_back(std::move(open.front()));
      open.pop_front();
    }
    std::vector<SftpSession::Id> ids;
    for (const std::string& directory : batch) ids.push_back(session_->open_directory(full(directory)));
    std::vector<std::pair<std::string, std::string>> handles;  // name, handle
    for (std::size_t i = 0; i < batch.size(); ++i) {
      SftpReply reply = session_->await(ids[i]);
      if (reply.no_file()) continue;
      if (!reply.ok()) fail("list '" + batch[i] + "'", reply);
      handles.emplace_back(batch[i], std::move(reply.text));
    }
    while (!handles.empty()) {
      ids.clear();
      for (const auto& [directory, handle] : handles) ids.push_back(session_->read_directory(handle));
      std::vector<std::pair<std::string, std::string>> unfinished;
      std::vector<SftpSession::Id> closing;
      for (std::size_t i = 0; i < handles.size(); ++i) {
        const SftpReply reply = session_->await(ids[i]);
        if (!reply.ok()) {
          if (!reply.end()) fail("list '" + handles[i].first + "'", reply);
          closing.push_back(session_->close(handles[i].second));
          continue;
        }
        for (const SftpReply::Name& entry : reply.names) {
          if (entry.name == "." || entry.name == "..") continue;
          if (entry.directory) {
            open.push_back(handles[i].first + entry.name + "/");
          } else {
            files.push_back({handles[i].first + entry.name, entry.size});
          }
        }
        unfinished.push_back(std::move(handles[i]));
      }
      for (const auto id : closing) session_->await(id);
      handles = std::move(unfinished);
    }
  }
}

std::vector<RemoteFile> SftpRemote::list(const std::vector<std::string>& names) {
  std::vector<RemoteFile> files;
  persist(
      "list what is there", [] { return std::size_t{0}; },
      [&] {
        files.clear();
        std::vector<std::string> single;
        for (const std::string& name : names) {
          if (!name.ends_with('/')) single.push_back(name);
        }
        const std::vector<SftpReply> replies = stat_all(single);
        for (std::size_t i = 0; i < single.size(); ++i) {
          if (replies[i].ok()) {
            files.push_back({single[i], replies[i].size});
          } else if (!replies[i].no_file()) {
            fail("look at '" + single[i] + "'", replies[i]);
          }
        }
        for (const std::string& name : names) {
          if (name.ends_with('/')) list_below(name, files);
        }
      });
  return files;
}

void SftpRemote::make_root() {
  for (const std::string& directory : {address_.path, full("tmp")}) {
    if (made_.contains(directory)) continue;
    if (!session_->await(session_->stat(directory)).ok()) {
      const SftpReply reply = session_->await(session_->make_directory(directory));
      if (!reply.ok() && !session_->await(session_->stat(directory)).ok())
        fail("make the directory '" + directory + "'", reply);
    }
    made_.insert(directory);
  }
  // Of a connection that broke.
  if (!unfinished_.empty()) session_->await(session_->remove(std::exchange(unfinished_, {})));
}

void SftpRemote::make_parents(const std::string& name) {
  for (std::size_t slash = name.find('/'); slash != name.npos; slash = name.find('/', slash + 1)) {
    const std::string directory = full(name.substr(0, slash));
    // One that is there is refused as well; what matters is whether the file gets there in the end.
    if (made_.insert(directory).second) session_->await(session_->make_directory(directory));
  }
}

// Sends with many writes under way. `whole` turns false when the bytes do not fit the digest.
void SftpRemote::send_bytes(const std::string& name, std::string_view handle, const Upload* file,
                            std::string_view bytes, bool& whole) {
  std::deque<SftpSession::Id> open;
  const auto settle = [&](std::size_t down_to) {
    while (open.size() > down_to) {
      const SftpReply reply = session_->await(open.front());
      open.pop_front();
      if (!reply.ok()) fail("write '" + name + "'", reply);
    }
  };
  std::uint64_t at = 0;
  const auto send = [&](std::string_view part) {
    settle(SftpSession::window - 1);
    open.push_back(session_->write(handle, at, part));
    at += part.size();
  };
  if (file && !file->path.empty()) {
    const util::Fd from = util::open_file(file->path, O_RDONLY);
    std::string buffer(SftpSession::chunk, '\0');
    util::Sha256 hash;
    for (ssize_t n = 0; (n = ::read(from.get(), buffer.data(), buffer.size())) != 0;) {
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) break;
      const std::string_view part(buffer.data(), static_cast<std::size_t>(n));
      hash.update(part);
      send(part);
    }
    whole = hash.digest() == file->digest;
  } else {
    for (; !bytes.empty(); bytes.remove_prefix(std::min<std::size_t>(bytes.size(), SftpSession::chunk)))
      send(bytes.substr(0, SftpSession::chunk));
  }
  settle(0);
}

// To a temporary name first; false if the bytes do not fit.
bool SftpRemote::put(const std::string& name, const Upload* file, std::string_view bytes) {
  const std::string temporary = full("tmp/" + util::new_id() + "-" + std::to_string(::getpid()));
  const SftpReply opened = session_->await(session_->open_to_write(temporary));
  if (!opened.ok()) fail("write '" + name + "'", opened);
  unfinished_ = temporary;
  bool whole = true;
  try {
    send_bytes(name, opened.text, file, bytes, whole);
    if (whole && session_->can_sync()) {
      const SftpReply synced = session_->await(session_->sync(opened.text));
      if (!synced.ok()) fail("sync '" + name + "'", synced);
    }
    const SftpReply closed = session_->await(session_->close(opened.text));
    if (!closed.ok()) fail("write '" + name + "'", closed);
  } catch (const Error&) {
    session_->await(session_->remove(temporary));
    throw;
  }
  if (!whole) {
    session_->await(session_->remove(temporary));
    return false;
  }
  make_parents(name);
  SftpReply renamed = session_->await(session_->rename(temporary, full(name)));
  if (!renamed.ok()) {
    // Plain version 3 does not rename over what is there.
    session_->await(session_->remove(full(name)));
    renamed = session_->await(session_->rename(temporary, full(name)));
  }
  if (!renamed.ok()) fail("name '" + name + "'", renamed);
  unfinished_.clear();
  return true;
}

void SftpRemote::upload(std::vector<Upload>& files, const OnDone& on_done) {
  std::size_t next = 0;
  persist(
      "write to", [&] { return next; },
      [&] {
        make_root();
        for (; next < files.size(); ++next) {
          Upload& file = files[next];
          file.damaged = !put(file.name, &file, file.bytes);
          if (!file.damaged && !file.then_name.empty()) put(file.then_name, nullptr, file.then_bytes);
          on_done(next);
        }
      });
}

void SftpRemote::get(Download& file) {
  util::Fd to;
  std::uint64_t done = file.bytes.size();
  if (!file.path.empty()) {
    to = util::open_file(file.path, O_WRONLY | O_CREAT | O_APPEND);
    struct stat st {};
    if (::fstat(to.get(), &st) == 0) done = static_cast<std::uint64_t>(st.st_size);
  }
  const SftpReply opened = session_->await(session_->open_to_read(full(file.name)));
  file.missing = opened.no_file();
  if (file.missing) return;
  if (!opened.ok()) fail("read '" + file.name + "'", opened);
  struct Part {
    SftpSession::Id id;
    std::uint64_t at;
    std::uint32_t size;
  };
  std::deque<Part> open;
  std::uint64_t asked = done;
  while (done < file.size && !file.missing) {
    while (open.size() < SftpSession::window && asked < file.size) {
      const auto size =
          static_cast<std::uint32_t>(std::min<std::uint64_t>(SftpSession::chunk, file.size - asked));
      open.push_back({session_->read(opened.text, file.offset + asked, size), asked, size});
      asked += size;
    }
    const Part part = open.front();
    open.pop_front();
    const SftpReply reply = session_->await(part.id);
    if (reply.end() || (reply.ok() && reply.text.empty())) {
      file.missing = true;
    } else if (!reply.ok()) {
      fail("read '" + file.name + "'", reply);
    } else if (file.path.empty()) {
      file.bytes += reply.text;
    } else if (const int error = util::write_all(to.get(), reply.text)) {
      throw_errno("cannot write '" + file.path + "'", error);
    }
    done += reply.text.size();
    if (!file.missing && reply.text.size() < part.size) {
      // Less than was asked for: the rest has to come before what follows.
      for (const Part& later : open) session_->await(later.id);
      open.clear();
      asked = done;
    }
  }
  for (const Part& part : open) session_->await(part.id);
  session_->await(session_->close(opened.text));
}

void SftpRemote::download(std::vector<Download>& files, const OnDone& on_done) {
  std::size_t next = 0;
  persist(
      "read from", [&] { return next; },
      [&] {
        for (; next < files.size(); ++next) {
          get(files[next]);
          on_done(next);
        }
      });
}

}  // namespace mlops::store
