#include "notify/transport.hpp"

#include <mlops/version.hpp>

#include "notify/mail.hpp"
#include "notify/masking.hpp"
#include "notify/message.hpp"
#include "process/capture.hpp"
#include "util/http_client.hpp"
#include "util/mail_client.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"
#include "util/web_url.hpp"
#include "workspace/networks.hpp"
#include "workspace/secrets.hpp"

#include <sys/wait.h>

namespace mlops::notify {

namespace {

constexpr int http_limit_s = 15;
constexpr std::size_t answer_limit = 64 << 10;
constexpr int command_limit_ms = 60'000;
constexpr int exit_try_again = 75;  // EX_TEMPFAIL of sysexits.h

Outcome refused(std::string words) { return {Outcome::Kind::refused, std::move(words), {}}; }

// The beginning of what somebody else has written, on one line.
std::string excerpt(std::string_view text) {
  const std::string line = util::escape_controls(util::to_utf8(util::trim(text)));
  return line.size() <= 300 ? line : util::to_utf8(line.substr(0, 297)) + "…";
}

std::string last_line(std::string_view text) {
  text = util::trim(text);
  const std::size_t at = text.rfind('\n');
  return excerpt(at == text.npos ? text : text.substr(at + 1));
}

// Of a command's secrets, those that can be had now; it can have said no others.
std::vector<std::string> telling_parts_of(const Addressee& addressee) {
  std::vector<std::string> parts;
  for (const Secret& secret : addressee.unsaid) {
    try {
      for (std::string& part : telling_parts(workspace::secret_value(secret, addressee.directory)))
        parts.push_back(std::move(part));
    } catch (const Error&) {}
  }
  return parts;
}

// What the app of ntfy shows beside the message.
void add_ntfy_headers(std::vector<std::string>& headers, const MessageRecord& message) {
  const bool bad =
      message.occasion != to_string(Occasion::recovery) && message.occasion != to_string(Occasion::success);
  headers.push_back("Title: " + header_value(message.subject));
  headers.push_back(bad ? "Priority: high" : "Priority: default");
  headers.push_back(bad ? "Tags: warning" : "Tags: white_check_mark");
}

}  // namespace

Transport::Transport(const Workspace& workspace) : root_(workspace.root()) {
  try {
    config_ = workspace::read_config(workspace);
  } catch (const BadFile& bad) {
    const Diagnostic& first = bad.problems().front();
    problem_ = first.file + ":" + std::to_string(first.at.line) + ": " + first.message;
  }
  reachable_ = workspace::networks_of(config_);
}

Outcome Transport::send(const Addressee& addressee, const MessageRecord& message) const {
  if (!problem_.empty()) return {Outcome::Kind::again, problem_, {}};
  try {
    switch (addressee.entry.kind) {
      case Notification::Kind::webhook: return post(addressee, message);
      case Notification::Kind::email: return mail(addressee, message);
      case Notification::Kind::command: break;
    }
    return run(addressee, message);
  } catch (const std::exception& error) {
    // A secret that is not there now, a library that is missing: somebody may see to it.
    return {Outcome::Kind::again, error.what(), {}};
  }
}

Outcome Transport::post(const Addressee& addressee, const MessageRecord& message) const {
  const bool hidden = addressee.secret.has_value();
  const std::string url =
      hidden ? std::string(util::trim(workspace::secret_value(*addressee.secret, addressee.directory)))
             : addressee.entry.url;
  if (!util::is_web_url(url))
    return refused("the secret " + addressee.entry.secret + " is no http or https URL");
  const bool plain = addressee.entry.preset == "ntfy";
  util::HttpRequest request;
  request.method = "POST";
  request.url = url;
  request.body = message.body;
  request.headers = {plain ? "Content-Type: text/plain; charset=utf-8" : "Content-Type: application/json",
                     std::string("User-Agent: mlops/") + version(), "Idempotency-Key: " + message.id};
  if (message.attempts > 1) request.headers.push_back("Mlops-Attempt: " + std::to_string(message.attempts));
  if (plain) add_ntfy_headers(request.headers, message);
  request.reachable = &reachable_;
  request.proxy = config_.notify.proxy;
  request.limit_s = http_limit_s;
  request.answer_limit = answer_limit;
  util::HttpClient client;
  const util::HttpAnswer answer = client.perform(request);
  // Before anything is cut off: of half a secret too much would be left.
  const auto words = [&](const std::string& text) {
    return hidden ? masked(text, telling_parts(url)) : text;
  };
  if (answer.refused)
    return refused("nothing was sent: " + words(answer.error) +
                   "; notify: {allow_private: …} in .mlops/config.yaml lets it be reached");
  if (answer.status == 0) return {Outcome::Kind::again, words(answer.error), {}, true};
  const auto header = answer.headers.find("retry-after");
  Outcome outcome =
      outcome_of_status(answer.status, header == answer.headers.end() ? "" : header->second, util::now());
  if (outcome.kind != Outcome::Kind::sent && !util::trim(answer.body).empty())
    outcome.words += ": " + excerpt(words(answer.body));
  return outcome;
}

Outcome Transport::mail(const Addressee& addressee, const MessageRecord& message) const {
  const workspace::MailConfig& config = config_.mail;
  if (config.url.empty())
    return refused("no mail server is known: put smtp: {url: …, from: …} into .mlops/config.yaml");
  util::MailServer server{config.url, config.user, {}};
  if (config.password) server.password = workspace::secret_value(*config.password, root_);
  MailParts parts;
  parts.from = config.from;
  parts.to = addressee.entry.to;
  parts.subject = message.subject;
  parts.text = message.body;
  parts.id = message.id;
  parts.at = std::chrono::floor<std::chrono::seconds>(message.created_at).time_since_epoch().count();
  const util::MailAnswer answer =
      util::send_mail(server, bare_address(config.from), addressee.entry.to, mail_text(parts));
  if (answer.sent) return {};
  const std::string words = excerpt(masked(answer.error, telling_parts(server.password)));
  return {answer.again ? Outcome::Kind::again : Outcome::Kind::refused, words, {}, answer.again};
}

Outcome Transport::run(const Addressee& addressee, const MessageRecord& message) const {
  const Notification& entry = addressee.entry;
  const std::vector<std::string> argv =
      entry.shell ? std::vector<std::string>{"/bin/sh", "-e", "-c", entry.argv[0]} : entry.argv;
  const Json json = Json::parse(message.body, nullptr, false);
  const auto text = [&](const char* key) {
    const auto found = json.is_object() ? json.find(key) : json.end();
    return json.is_object() && found != json.end() && found->is_string() ? found->get<std::string>() : "";
  };
  const std::vector<std::string> env = {
      "MLOPS_MESSAGE_ID=" + message.id,     "MLOPS_OCCASION=" + message.occasion,
      "MLOPS_PIPELINE=" + message.pipeline, "MLOPS_RUN_ID=" + message.run_id,
      "MLOPS_HEADLINE=" + message.subject,  "MLOPS_TEXT=" + text("text"),
      "MLOPS_REASON=" + text("reason"),     "MLOPS_WORKSPACE=" + root_};
  const process::Captured got =
      process::capture_with_input(argv, addressee.directory, command_limit_ms, env, message.body + "\n");
  if (got.code == 0) return {};
  const std::vector<std::string> parts = telling_parts_of(addressee);
  const std::string said = last_line(masked(got.out, parts));
  const std::string words = (got.error.empty() ? got.code < 0 ? std::string("it was killed")
                                                              : "exit code " + std::to_string(got.code)
                                               : masked(got.error, parts)) +
                            (said.empty() ? "" : ": " + said);
  const bool late = got.code < 0 && got.error.starts_with("did not end");
  if (got.code == exit_try_again || late) return {Outcome::Kind::again, words, {}};
  return refused(words);
}

}  // namespace mlops::notify
