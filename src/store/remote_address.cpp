#include "store/remote_address.hpp"

#include <mlops/error.hpp>

#include "util/files.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>

namespace mlops::store {

namespace {

constexpr const char* forms =
    "write /path, file:///path, ssh://[user@]host[:port]/path or s3://bucket[/prefix]";

[[noreturn]] void refuse(const std::string& url, const std::string& why, const std::string& hint = forms) {
  throw Error(ExitCode::usage, "cannot use '" + url + "' as a remote: " + why, hint);
}

std::string without_slashes(std::string_view path) {
  while (path.starts_with('/')) path.remove_prefix(1);
  while (path.ends_with('/')) path.remove_suffix(1);
  return std::string(path);
}

// A name that begins with '-' would be an option of ssh.
bool good_host(std::string_view host) {
  return !host.empty() && host[0] != '-' && std::ranges::all_of(host, [](unsigned char c) {
    return std::isalnum(c) || c == '.' || c == '-' || c == '_' || c == ':';
  });
}

void read_ssh(RemoteAddress& address, const std::string& url) {
  std::string_view rest = std::string_view(url).substr(6);
  const std::size_t slash = rest.find('/');
  if (slash == rest.npos || slash + 1 >= rest.size()) refuse(url, "it names no directory");
  address.path = std::string(rest.substr(slash));
  while (address.path.size() > 1 && address.path.ends_with('/')) address.path.pop_back();
  // SFTP begins relative paths at the home directory.
  if (address.path.starts_with("/~/")) address.path.erase(0, 3);
  rest = rest.substr(0, slash);
  if (const std::size_t at = rest.rfind('@'); at != rest.npos) {
    address.user = std::string(rest.substr(0, at));
    rest.remove_prefix(at + 1);
    if (address.user.find(':') != std::string::npos)
      refuse("ssh://…@" + std::string(rest), "there is a password in it",
             "a remote's address is kept in a file: use a key, with ssh-agent or ~/.ssh/config");
    if (!good_host(address.user)) refuse(url, "'" + address.user + "' is no name of a user");
  }
  std::size_t colon = rest.rfind(':');
  if (rest.starts_with('[')) {  // an IPv6 address
    const std::size_t end = rest.find(']');
    if (end == rest.npos) refuse(url, "a ']' is missing");
    address.host = std::string(rest.substr(1, end - 1));
    colon = end + 1 < rest.size() && rest[end + 1] == ':' ? end + 1 : rest.npos;
  } else {
    address.host = std::string(rest.substr(0, colon));
  }
  if (colon != rest.npos) {
    const std::string_view text = rest.substr(colon + 1);
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), address.port);
    if (error != std::errc() || end != text.data() + text.size() || address.port < 1 || address.port > 65535)
      refuse(url, "'" + std::string(text) + "' is no port");
  }
  if (!good_host(address.host)) refuse(url, "'" + address.host + "' is no name of a host");
}

void read_s3(RemoteAddress& address, const std::string& url) {
  const std::string rest = url.substr(5);
  if (rest.find('@') < rest.find('/')) {
    refuse("s3://…" + rest.substr(rest.find('@')), "there are credentials in it",
           "a remote's address is kept in a file: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use "
           "~/.aws/credentials");
  }
  const std::size_t slash = rest.find('/');
  address.bucket = rest.substr(0, slash);
  address.path = slash == rest.npos ? "" : without_slashes(rest.substr(slash));
  const bool good = address.bucket.size() >= 3 && address.bucket.size() <= 63 &&
                    std::ranges::all_of(address.bucket, [](unsigned char c) {
                      return std::isalnum(c) || c == '.' || c == '-' || c == '_';
                    });
  if (!good) {
    refuse(url, "'" + address.bucket + "' is no name of a bucket",
           "a bucket's name has 3 to 63 letters, digits, '.' or '-'");
  }
}

void check_endpoint(const std::string& url, std::string& endpoint) {
  while (endpoint.ends_with('/')) endpoint.pop_back();
  const bool secure = endpoint.starts_with("https://"), plain = endpoint.starts_with("http://");
  const std::string host = endpoint.substr(secure ? 8 : plain ? 7 : 0);
  if (!(secure || plain) || host.empty() || host.find('/') != host.npos || host.find(' ') != host.npos)
    refuse(url, "'" + endpoint + "' is no endpoint", "write it as https://host or http://host:port");
  if (host.find('@') != host.npos)
    refuse(url, "there are credentials in its endpoint",
           "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead");
}

}  // namespace

RemoteAddress parse_remote_address(const std::string& url, const std::string& endpoint,
                                   const std::string& region) {
  RemoteAddress address;
  address.endpoint = endpoint;
  address.region = region;
  if (std::ranges::any_of(url, [](unsigned char c) { return c < 32 || c == 127; }))
    refuse(url, "there are control characters in it");
  if (url.starts_with("ssh://")) {
    address.kind = RemoteKind::ssh;
    read_ssh(address, url);
  } else if (url.starts_with("s3://")) {
    address.kind = RemoteKind::s3;
    read_s3(address, url);
  } else if (url.starts_with("file://")) {
    address.path = url.substr(7);
    if (!address.path.starts_with('/')) refuse(url, "its path does not begin with '/'", "write file:///path");
  } else if (const std::size_t scheme = url.find("://"); scheme != url.npos) {
    refuse(url, "there is no kind of remote called '" + url.substr(0, scheme) + "'");
  } else if (url.empty()) {
    refuse(url, "it is empty");
  } else {
    address.path = util::absolute_path(url);
  }
  if (address.kind == RemoteKind::directory) {
    while (address.path.size() > 1 && address.path.ends_with('/')) address.path.pop_back();
    address.url = address.path;
  } else {
    address.url = url;
    while (address.url.ends_with('/')) address.url.pop_back();
  }
  if (address.kind == RemoteKind::s3) {
    if (!address.endpoint.empty()) check_endpoint(url, address.endpoint);
  } else if (!endpoint.empty() || !region.empty()) {
    refuse(url, "an endpoint and a region belong to s3:// only");
  }
  return address;
}

}  // namespace mlops::store
