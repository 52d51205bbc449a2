// What answers HTTP beside the daemon: a process of its own, which no request can take the daemon down with.
// The daemon holds the socket, so that nobody is turned away while that process is started again.
#pragma once

#include <mlops/workspace.hpp>

#include "daemon/helper.hpp"
#include "server/listen.hpp"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace mlops::daemon {

struct WebSettings {
  std::string address;             ///< empty: no HTTP
  std::vector<std::string> names;  ///< what a Host header may say besides localhost
  bool insecure_behind_proxy = false;
};

class WebFace {
 public:
  /// Throws Error when the address cannot be had.
  WebFace(const Workspace& workspace, const WebSettings& settings,
          std::function<void(const std::string&)> say);
  ~WebFace();
  WebFace(const WebFace&) = delete;
  WebFace& operator=(const WebFace&) = delete;

  const std::string& address() const { return listening_.address; }
  /// Readable when there is something to do: call wake().
  int fd() const { return poll_.get(); }
  void wake();
  /// Pipelines have changed: it reads again which hooks there are.
  void reload();

 private:
  void start();
  void start_again();
  void set_timer();

  const Workspace& workspace_;
  std::vector<std::string> names_;
  std::function<void(const std::string&)> say_;
  server::Listening listening_;
  util::Fd poll_, timer_;
  std::optional<Helper> helper_;
  bool failing_ = false;  // to start it, which is told once
};

}  // namespace mlops::daemon
