#include "store/s3_client.hpp"

#include <mlops/error.hpp>

#include "util/digest.hpp"
#include "util/log.hpp"
#include "util/strings.hpp"
#include "util/xml_text.hpp"

#include <random>
#include <thread>

namespace mlops::store {

namespace {

constexpr int most_tries = 6;

// Doubles from a quarter of a second, spread so that many who failed together do not come back together.
void pause_before(int attempt) {
  thread_local std::minstd_rand random(std::random_device{}());
  const int longest = 250 << attempt;
  std::this_thread::sleep_for(std::chrono::milliseconds(
      longest / 2 + static_cast<int>(random() % static_cast<unsigned>(longest / 2))));
}

bool may_work_again(const util::HttpAnswer& answer) {
  if (answer.status == 0) return answer.again;
  if (answer.status == 500 || answer.status == 502 || answer.status == 503 || answer.status == 504 ||
      answer.status == 429)
    return true;
  // The server waited for a body that came too slowly.
  return answer.status == 400 && util::xml_text(answer.body, "Code") == "RequestTimeout";
}

// What to do about the errors that people meet.
std::string hint_for(const std::string& code, const S3Settings& settings, const RemoteAddress& address) {
  if (code == "NoSuchBucket")
    return "make the bucket, or correct the address: mlops remote add --force NAME s3://BUCKET/PREFIX";
  if (code == "InvalidAccessKeyId" || code == "SignatureDoesNotMatch" || code == "InvalidToken" ||
      code == "ExpiredToken")
    return "the credentials come from " + settings.credentials_from +
           ": are they of this server, and still good?";
  if (code == "AccessDenied" || code == "403")
    return "credentials of " + settings.credentials_from + " need s3:ListBucket on " + address.bucket +
           ", s3:GetObject and s3:PutObject in it";
  if (code == "RequestTimeTooSkewed") return "set the clock of this machine";
  if (code == "PermanentRedirect" || code == "AuthorizationHeaderMalformed" || code == "301" ||
      code == "IllegalLocationConstraintException")
    return "the bucket is in another region: mlops remote add --force NAME URL --region REGION";
  return "what was done stays done: repeat the command when it works again";
}

}  // namespace

S3Client::S3Client(const RemoteAddress& address)
    : address_(address), settings_(find_s3_settings(address.endpoint, address.region)) {
  const bool own = settings_.endpoint.empty();
  const std::string endpoint = own ? "https://s3." + settings_.region + ".amazonaws.com" : settings_.endpoint;
  const std::size_t host_at = endpoint.find("://") + 3;
  host_ = endpoint.substr(host_at);
  // Amazon wants the bucket in the host's name; a dot in it would not fit the certificate.
  if (own && address_.bucket.find('.') == std::string::npos) {
    host_ = address_.bucket + "." + host_;
  } else {
    base_ = "/" + address_.bucket;
  }
  url_ = endpoint.substr(0, host_at) + host_ + base_;
}

std::string S3Client::key(const std::string& name) const {
  return address_.path.empty() ? name : address_.path + "/" + name;
}

void S3Client::fail(const std::string& attempt, const util::HttpAnswer& answer) const {
  const std::string where = "cannot " + attempt + " of the remote '" + address_.url + "' at " + host_;
  if (answer.status == 0) {
    throw Error(ExitCode::unreachable, where + ": " + answer.error,
                "what was done stays done: repeat the command when it can be reached");
  }
  const std::string code = util::xml_text(answer.body, "Code").value_or(std::to_string(answer.status));
  std::string words = util::xml_text(answer.body, "Message").value_or("");
  words = util::escape_controls(util::to_utf8(words.substr(0, 300)));
  throw Error(ExitCode::unreachable,
              where + ": " + (words.empty() ? "the server answered" : words) + " (" +
                  util::escape_controls(util::to_utf8(code)) + ", HTTP " + std::to_string(answer.status) +
                  ")",
              hint_for(code, settings_, address_));
}

util::HttpAnswer S3Client::perform_once(const S3Request& request) {
  util::AwsRequest to_sign;
  to_sign.method = request.method;
  to_sign.host = host_;
  to_sign.path = base_ + "/" + (request.name.empty() ? "" : util::percent_encode(key(request.name), true));
  to_sign.query = request.query;
  to_sign.headers = request.headers;
  to_sign.payload_sha256 =
      request.payload_sha256.empty() ? util::sha256(request.body) : request.payload_sha256;
  to_sign.headers.emplace_back("x-amz-content-sha256", to_sign.payload_sha256);
  const util::NamedValues added =
      util::aws_sign(to_sign, settings_.credentials, {settings_.region, "s3"}, util::now());

  util::HttpRequest http;
  http.method = request.method;
  http.url = url_ + to_sign.path.substr(base_.size());
  if (!request.query.empty()) http.url += "?" + util::aws_query(request.query);
  for (const auto& [name, value] : to_sign.headers) http.headers.push_back(name + ": " + value);
  for (const auto& [name, value] : added) http.headers.push_back(name + ": " + value);
  http.body = request.body;
  http.body_fd = request.body_fd;
  http.body_offset = request.body_offset;
  http.body_size = request.body_size;
  http.sink = request.sink;

  std::unique_ptr<util::HttpClient> client;
  {
    const std::lock_guard lock(mutex_);
    if (!clients_.empty()) {
      client = std::move(clients_.back());
      clients_.pop_back();
    }
  }
  if (!client) client = std::make_unique<util::HttpClient>();
  util::HttpAnswer answer = client->perform(http);
  const std::lock_guard lock(mutex_);
  clients_.push_back(std::move(client));
  return answer;
}

util::HttpAnswer S3Client::perform(const S3Request& request, const std::string& attempt) {
  for (int tries = 1;; ++tries) {
    util::HttpAnswer answer = perform_once(request);
    if (answer.ok() || !may_work_again(answer)) {
      reached_ = true;
      if (answer.status == 0) fail(attempt, answer);
      return answer;
    }
    // Where nobody ever answered, the address is wrong more often than the moment.
    if (answer.status != 0) reached_ = true;
    if (tries == (reached_ ? most_tries : 2)) fail(attempt, answer);
    util::log_debug("to " + attempt + " of '" + address_.url + "' failed and is tried again: " +
                    (answer.status ? "HTTP " + std::to_string(answer.status) : answer.error));
    pause_before(tries - 1);
    if (request.before_again) request.before_again();
  }
}

}  // namespace mlops::store
