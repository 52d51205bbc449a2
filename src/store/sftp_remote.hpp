// A directory of another machine, reached by ssh, as a remote. One connection at a time serves all requests;
// it is made anew when it breaks.
#pragma once

#include "store/remote.hpp"
#include "store/sftp_session.hpp"

#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace mlops::store {

class SftpRemote : public Remote {
 public:
  /// The program is ssh, or what MLOPS_SSH says: words separated by blanks.
  explicit SftpRemote(const RemoteAddress& address);

  std::vector<RemoteFile> list(const std::vector<std::string>& names) override;
  void upload(std::vector<Upload>& files, const OnDone& on_done) override;
  void download(std::vector<Download>& files, const OnDone& on_done) override;

 private:
  /// Does `work`, and again over a new connection when one breaks, as long as that gets anywhere: `done` says
  /// how far it is.
  void persist(const std::string& attempt, const std::function<std::size_t()>& done,
               const std::function<void()>& work);
  std::string full(std::string_view name) const { return address_.path + "/" + std::string(name); }
  [[noreturn]] void fail(const std::string& attempt, const SftpReply& reply) const;
  std::vector<SftpReply> stat_all(const std::vector<std::string>& names);
  void list_below(const std::string& name, std::vector<RemoteFile>& files);
  bool put(const std::string& name, const Upload* file, std::string_view bytes);
  void send_bytes(const std::string& name, std::string_view handle, const Upload* file,
                  std::string_view bytes, bool& whole);
  void get(Download& file);
  void make_parents(const std::string& name);
  void make_root();

  RemoteAddress address_;
  std::vector<std::string> command_;
  std::unique_ptr<SftpSession> session_;
  std::set<std::string> made_;  // directories
  std::string unfinished_;      // the temporary file that is being written
};

}  // namespace mlops::store
