#include "server/http_server.hpp"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cctype>
#include <list>
#include <memory>
#include <optional>
#include <utility>

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

namespace mlops::server {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using tcp = asio::ip::tcp;
using Parser = http::request_parser<http::string_body>;
using Message = http::response<http::string_body>;

namespace {

std::string lower(beast::string_view text) {
  std::string result(text.data(), text.size());
  std::ranges::transform(result, result.begin(), [](unsigned char c) { return std::tolower(c); });
  return result;
}

Reply problem(int status, const char* words) {
  return {status, std::string("{\"error\":\"") + words + "\"}\n"};
}

void prepare(Parser& parser, const Limits& limits) {
  parser.body_limit(limits.body);
  parser.header_limit(static_cast<std::uint32_t>(limits.headers));
}

// Before the body is read: what will not be answered is not worth reading.
std::optional<Reply> refusal(const Parser& parser, const Service& service) {
  const auto& message = parser.get();
  if (message.count(http::field::host) != 1) return problem(400, "one Host header is needed");
  const auto host = message[http::field::host];
  if (!is_our_name(std::string(host.data(), host.size()), service.names))
    return problem(421, "the Host header names another server");
  // Browsers say where a request comes from; none has anything to send here.
  if (message.count(http::field::origin) > 0 || message.count("Sec-Fetch-Site") > 0)
    return problem(403, "requests of web pages are not taken");
  const auto length = parser.content_length();
  if (length && *length > service.limits.body) return problem(413, "the body is too large");
  return std::nullopt;
}

Reply answer(Parser& parser, const Service& service) {
  auto& message = parser.get();
  Request request;
  request.method = std::string(message.method_string().data(), message.method_string().size());
  request.target = std::string(message.target().data(), message.target().size());
  for (const auto& field : message) {
    const auto value = field.value();
    request.headers[lower(field.name_string())] = std::string(value.data(), value.size());
  }
  request.body = std::move(message.body());
  try {
    return service.answer(request);
  } catch (const std::exception&) {
    return problem(500, "the request cannot be answered");
  }
}

Message message_of(const Reply& reply, unsigned version, bool keep_alive) {
  Message message{static_cast<http::status>(reply.status), version};
  message.set(http::field::content_type, "application/json");
  message.set("X-Content-Type-Options", "nosniff");
  for (const auto& [name, value] : reply.headers) message.set(name, value);
  message.body() = reply.body;
  message.keep_alive(keep_alive);
  message.prepare_payload();
  return message;
}

int status_for(const beast::error_code& error) {
  if (error == http::error::body_limit) return 413;
  if (error == http::error::header_limit || error == http::error::buffer_overflow) return 431;
  return 400;
}

constexpr std::chrono::seconds patience{2};  // with a client that goes on sending after the answer
constexpr std::size_t most_drained = 8 << 20;

class Session;

struct State {
  const Service& service;
  std::list<std::shared_ptr<Session>> sessions;  // the oldest first
};

class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(tcp::socket socket, State& state)
      : stream_(std::move(socket)), buffer_(state.service.limits.headers + (64 << 10)), state_(state) {
    ::fcntl(stream_.socket().native_handle(), F_SETFD, FD_CLOEXEC);  // it is nothing to a secret's command
  }

  void start(std::list<std::shared_ptr<Session>>::iterator place) {
    place_ = place;
    read_head();
  }

  void close() {
    if (!open_) return;
    open_ = false;
    state_.sessions.erase(place_);
    beast::error_code ignored;
    stream_.socket().shutdown(tcp::socket::shutdown_both, ignored);
    stream_.close();
  }

 private:
  void read_head() {
    parser_.emplace();
    prepare(*parser_, state_.service.limits);
    stream_.expires_after(state_.service.limits.for_headers);
    http::async_read_header(
        stream_, buffer_, *parser_,
        [self = shared_from_this()](beast::error_code error, std::size_t) { self->read_body(error); });
  }

  void read_body(beast::error_code error) {
    if (!open_) return;
    if (error) return give_up(error);
    if (const auto reply = refusal(*parser_, state_.service)) return write(*reply, false);
    if (lower(parser_->get()[http::field::expect]) == "100-continue" && !send_continue()) return close();
    stream_.expires_after(state_.service.limits.for_body);
    http::async_read(
        stream_, buffer_, *parser_, [self = shared_from_this()](beast::error_code failed, std::size_t) {
          if (!self->open_) return;
          if (failed) return self->give_up(failed);
          const bool again =
              self->parser_->get().keep_alive() && ++self->requests_ < self->state_.service.limits.requests;
          self->write(server::answer(*self->parser_, self->state_.service), again);
        });
  }

  // A few bytes into an empty socket: either they fit at once or something is wrong with it.
  bool send_continue() {
    constexpr beast::string_view text = "HTTP/1.1 100 Continue\r\n\r\n";
    return ::send(stream_.socket().native_handle(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT) ==
           static_cast<ssize_t>(text.size());
  }

  void give_up(beast::error_code error) {
    const bool silent = error == http::error::end_of_stream || error == beast::error::timeout ||
                        error.category() == asio::error::get_system_category() ||
                        error.category() == asio::error::get_misc_category() ||
                        error == http::error::partial_message;
    if (silent) return close();
    const int status = status_for(error);
    write(problem(status, status == 413   ? "the body is too large"
                          : status == 431 ? "the headers are too large"
                                          : "the request cannot be read"),
          false);
  }

  void write(const Reply& reply, bool keep_alive) {
    const unsigned version = parser_->get().version() == 10 ? 10 : 11;
    message_ = message_of(reply, version, keep_alive);
    stream_.expires_after(state_.service.limits.for_reply);
    http::async_write(stream_, message_,
                      [self = shared_from_this(), keep_alive](beast::error_code error, std::size_t) {
                        if (!self->open_) return;
                        if (error) return self->close();
                        if (keep_alive) return self->read_head();
                        self->stream_.socket().shutdown(tcp::socket::shutdown_send, error);
                        self->stream_.expires_after(patience);
                        self->drain();
                      });
  }

  // What the client still sends: a socket that is closed before takes our answer back.
  void drain() {
    rest_.resize(16 << 10);
    stream_.async_read_some(asio::buffer(rest_),
                            [self = shared_from_this()](beast::error_code error, std::size_t n) {
                              if (!self->open_) return;
                              self->drained_ += n;
                              if (error || self->drained_ > most_drained) return self->close();
                              self->drain();
                            });
  }

  beast::tcp_stream stream_;
  beast::flat_buffer buffer_;
  std::optional<Parser> parser_;
  Message message_;
  State& state_;
  std::list<std::shared_ptr<Session>>::iterator place_;
  std::string rest_;
  std::size_t drained_ = 0;
  int requests_ = 0;
  bool open_ = true;
};

class Acceptor {
 public:
  Acceptor(asio::io_context& context, int fd, State& state)
      : listener_(context, protocol_of(fd), fd), pause_(context), state_(state) {
    accept();
  }

 private:
  static tcp protocol_of(int fd) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
    return address.ss_family == AF_INET6 ? tcp::v6() : tcp::v4();
  }

  void accept() {
    listener_.async_accept([this](beast::error_code error, tcp::socket socket) {
      if (error == asio::error::operation_aborted) return;
      if (error) {  // as when descriptors are scarce: a pause, lest it is tried again and again
        pause_.expires_after(std::chrono::milliseconds(100));
        pause_.async_wait([this](beast::error_code) { accept(); });
        return;
      }
      if (state_.sessions.size() >= state_.service.limits.connections)
        std::shared_ptr<Session>(state_.sessions.front())->close();
      auto session = std::make_shared<Session>(std::move(socket), state_);
      session->start(state_.sessions.insert(state_.sessions.end(), session));
      accept();
    });
  }

  tcp::acceptor listener_;
  asio::steady_timer pause_;
  State& state_;
};

}  // namespace

bool is_our_name(const std::string& host, const std::vector<std::string>& names) {
  std::string name = host;
  const std::size_t colon = name.rfind(':');
  if (colon != name.npos && name.find(']', colon) == name.npos) {
    const std::string port = name.substr(colon + 1);
    if (port.empty() || port.size() > 5 || port.find_first_not_of("0123456789") != port.npos) return false;
    name.resize(colon);
  }
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
  if (name == "localhost" || name == "127.0.0.1" || name == "[::1]") return true;
  return std::ranges::any_of(names, [&](const std::string& each) { return lower(each) == name; });
}

void serve(int listening_fd, const Service& service) {
  asio::io_context context(1);
  State state{service, {}};
  Acceptor acceptor(context, listening_fd, state);
  asio::signal_set ends(context, SIGTERM, SIGINT), reloads(context, SIGURG);
  ends.async_wait([&](beast::error_code, int) { context.stop(); });
  std::function<void()> wait_for_reload = [&] {
    reloads.async_wait([&](beast::error_code error, int) {
      if (error) return;
      if (service.reload) service.reload();
      wait_for_reload();
    });
  };
  wait_for_reload();
  if (service.reload) service.reload();
  context.run();
}

int answer_bytes(const std::string& bytes, const Service& service) {
  Parser parser;
  prepare(parser, service.limits);
  parser.eager(true);
  beast::error_code error;
  std::size_t used = 0;
  bool checked = false;
  while (used < bytes.size() && !parser.is_done()) {
    const std::size_t n = parser.put(asio::buffer(bytes.data() + used, bytes.size() - used), error);
    used += n;
    if (error == http::error::need_more && n > 0) error = {};
    if (error) return error == http::error::need_more ? 0 : status_for(error);
    if (parser.is_header_done() && !std::exchange(checked, true)) {
      if (const auto reply = refusal(parser, service)) return reply->status;
    }
  }
  if (!parser.is_done()) return 0;
  return answer(parser, service).status;
}

}  // namespace mlops::server
