#include "util/aws_signature.hpp"

#include "util/digest.hpp"
#include "util/strings.hpp"

#include <algorithm>

namespace mlops::util {

namespace {

// YYYYMMDDTHHMMSSZ
std::string stamp(Instant now) {
  std::string text;
  for (const char c : format_utc(now).substr(0, 19)) {
    if (c == ' ') text += 'T';
    if (c >= '0' && c <= '9') text += c;
  }
  return text + "Z";
}

std::string bytes_of(const Digest& digest) {
  return {reinterpret_cast<const char*>(digest.bytes.data()), digest.bytes.size()};
}

// Runs of blanks count as one, those at the ends not at all.
std::string canonical_value(std::string_view value) {
  std::string text;
  for (const char c : trim(value)) {
    if (c != ' ' || text.empty() || text.back() != ' ') text += c;
  }
  return text;
}

}  // namespace

std::string percent_encode(std::string_view text, bool keep_slash) {
  constexpr char digits[] = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_' || c == '~' || (c == '/' && keep_slash);
    if (plain) {
      encoded += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      encoded += {'%', digits[byte >> 4], digits[byte & 15]};
    }
  }
  return encoded;
}

std::string aws_query(const NamedValues& query) {
  NamedValues encoded;
  for (const auto& [name, value] : query)
    encoded.emplace_back(percent_encode(name, false), percent_encode(value, false));
  std::sort(encoded.begin(), encoded.end());
  std::vector<std::string> parts;
  for (const auto& [name, value] : encoded) parts.push_back(name + "=" + value);
  return join(parts, "&");
}

NamedValues aws_sign(const AwsRequest& request, const AwsCredentials& credentials, const AwsScope& scope,
                     Instant now) {
  const std::string time = stamp(now), day = time.substr(0, 8);
  NamedValues added = {{"x-amz-date", time}};
  if (!credentials.session_token.empty())
    added.emplace_back("x-amz-security-token", credentials.session_token);

  NamedValues headers = request.headers;
  headers.emplace_back("host", request.host);
  headers.insert(headers.end(), added.begin(), added.end());
  std::stable_sort(headers.begin(), headers.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::string lines, names;
  for (const auto& [name, value] : headers) {
    lines += name + ":" + canonical_value(value) + "\n";
    names += (names.empty() ? "" : ";") + name;
  }

  const std::string canonical = request.method + "\n" + request.path + "\n" + aws_query(request.query) +
                                "\n" + lines + "\n" + names + "\n" + request.payload_sha256;
  const std::string place = day + "/" + scope.region + "/" + scope.service + "/aws4_request";
  const std::string to_sign = "AWS4-HMAC-SHA256\n" + time + "\n" + place + "\n" + sha256(canonical);
  std::string key = "AWS4" + credentials.secret;
  for (const std::string& part : {day, scope.region, scope.service, std::string("aws4_request")})
    key = bytes_of(hmac_sha256(key, part));
  added.emplace_back("authorization", "AWS4-HMAC-SHA256 Credential=" + credentials.key_id + "/" + place +
                                          ", SignedHeaders=" + names +
                                          ", Signature=" + hmac_sha256(key, to_sign).hex());
  return added;
}

}  // namespace mlops::util
