#include "util/mail_client.hpp"

#include "util/curl_library.hpp"

#include <algorithm>
#include <cstring>
#include <memory>
#include <string_view>

namespace mlops::util {

namespace {

constexpr long mail_connect_limit_s = 10;
constexpr long whole_limit_s = 30;

struct Upload {
  std::string_view left;
};

std::size_t give_part(char* data, std::size_t size, std::size_t count, void* user) {
  auto& upload = *static_cast<Upload*>(user);
  const std::size_t n = std::min(size * count, upload.left.size());
  std::memcpy(data, upload.left.data(), n);
  upload.left.remove_prefix(n);
  return n;
}

std::size_t on_line(char*, std::size_t size, std::size_t count, void*) { return size * count; }

// What the server has refused something with.
std::size_t on_reply(char* data, std::size_t size, std::size_t count, void* user) {
  std::string_view line(data, size * count);
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
  if (line.starts_with('4') || line.starts_with('5'))
    *static_cast<std::string*>(user) = std::string(line.substr(0, 300));
  return size * count;
}

bool is_this_machine(std::string_view url) {
  const std::string_view host = url.substr(url.find("://") + 3);
  return host.starts_with("127.") || host.starts_with("localhost") || host.starts_with("[::1]");
}

}  // namespace

MailAnswer send_mail(const MailServer& server, const std::string& from, const std::vector<std::string>& to,
                     const std::string& text) {
  const Curl& c = curl();
  const std::unique_ptr<void, decltype(c.cleanup)> handle(c.init(), c.cleanup);
  if (!handle) return {false, "libcurl cannot be started: out of memory", true};
  char words[CURL_ERROR_SIZE] = "";
  std::string reply;
  Upload upload{text};
  void* const h = handle.get();
  c.set(h, CURLOPT_URL, server.url.c_str());
  c.set(h, CURLOPT_ERRORBUFFER, words);
  c.set(h, CURLOPT_NOSIGNAL, 1L);
  c.set(h, CURLOPT_CONNECTTIMEOUT, mail_connect_limit_s);
  c.set(h, CURLOPT_TIMEOUT, whole_limit_s);
  c.set(h, CURLOPT_PROXY, "");
  set_protocols(h, "smtp,smtps", CURLPROTO_SMTP | CURLPROTO_SMTPS);
  const bool must_encrypt = !server.password.empty() && !is_this_machine(server.url);
  c.set(h, CURLOPT_USE_SSL, static_cast<long>(must_encrypt ? CURLUSESSL_ALL : CURLUSESSL_TRY));
  if (!server.user.empty()) {
    c.set(h, CURLOPT_USERNAME, server.user.c_str());
    c.set(h, CURLOPT_PASSWORD, server.password.c_str());
  }
  c.set(h, CURLOPT_MAIL_FROM, from.c_str());
  curl_slist* list = nullptr;
  for (const std::string& address : to) list = c.append(list, address.c_str());
  c.set(h, CURLOPT_MAIL_RCPT, list);
  c.set(h, CURLOPT_UPLOAD, 1L);
  c.set(h, CURLOPT_READFUNCTION, &give_part);
  c.set(h, CURLOPT_READDATA, &upload);
  c.set(h, CURLOPT_WRITEFUNCTION, &on_line);
  c.set(h, CURLOPT_HEADERFUNCTION, &on_reply);
  c.set(h, CURLOPT_HEADERDATA, &reply);
  const CURLcode code = [&] {
    const NoPipeSignal quiet;
    return c.perform(h);
  }();
  long status = 0;
  c.info(h, CURLINFO_RESPONSE_CODE, &status);
  c.free(list);
  if (code == CURLE_OK) return {true, {}, false};
  MailAnswer answer;
  answer.error = *words ? words : c.words(code);
  if (!reply.empty()) answer.error += " (" + reply + ")";
  answer.again = status < 500 && code != CURLE_LOGIN_DENIED;
  return answer;
}

}  // namespace mlops::util
