#include "triggers/hooks.hpp"

#include <mlops/error.hpp>
#include <mlops/pipeline.hpp>

#include "db/triggers.hpp"
#include "triggers/definition.hpp"
#include "util/digest.hpp"
#include "util/json.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"
#include "workspace/secrets.hpp"

#include <algorithm>
#include <utility>

namespace mlops::triggers {

namespace {

constexpr std::size_t longest_key = 200;
constexpr std::size_t shortest_secret = 8;
constexpr std::int64_t reload_after_ms = 60'000;
// Of the headers of a request, those that say what it is.
constexpr const char* kept_headers[] = {"content-type",     "user-agent",        "x-github-event",
                                        "x-github-hook-id", "x-github-delivery", "idempotency-key"};

std::string header(const HookRequest& request, const char* name) {
  const auto found = request.headers.find(name);
  return found == request.headers.end() ? "" : util::to_utf8(found->second);
}

Json payload_of(const HookRequest& request) {
  Json headers = Json::object();
  for (const char* name : kept_headers) {
    if (const std::string value = header(request, name); !value.empty())
      headers[name] = value.substr(0, 1'000);
  }
  Json body = util::parse_json(request.body);
  if (body.is_discarded()) body = util::to_utf8(request.body);
  return {{"headers", std::move(headers)}, {"body", std::move(body)}};
}

HookAnswer refusal(int status, const std::string& why, int retry_after = 0) {
  return {status, {{"error", why}}, retry_after};
}

}  // namespace

bool is_signed(std::string_view secret, std::string_view body, std::string_view signature) {
  const std::string right = "sha256=" + util::hmac_sha256(secret, body).hex();
  unsigned differs = signature.size() == right.size() ? 0 : 1;
  for (std::size_t i = 0; i < right.size(); ++i) {
    const char given = signature.empty() ? '\0' : signature[i % signature.size()];
    differs |= static_cast<unsigned char>(given) ^ static_cast<unsigned char>(right[i]);
  }
  return differs == 0;
}

std::string delivery_key(const HookRequest& request) {
  // An id of one sender says nothing of those of another.
  constexpr std::pair<const char*, const char*> senders[] = {{"x-github-delivery", "delivery "},
                                                             {"idempotency-key", "key "}};
  for (const auto& [name, word] : senders) {
    const std::string id = header(request, name);
    if (!id.empty()) return word + (id.size() <= longest_key ? id : util::sha256(id));
  }
  return "body " + util::sha256(request.body);
}

Hooks::Hooks(const Workspace& workspace, db::Database& database, std::function<void(const std::string&)> say)
    : workspace_(workspace), database_(database), events_(workspace, database), say_(std::move(say)) {}

void Hooks::reload() {
  std::vector<Hook> hooks;
  for (TriggerRecord& record : db::triggers(database_.connection())) {
    if (kind_of(record) != Trigger::Kind::webhook || !record.served || record.removed_at) continue;
    Hook hook{std::move(record), "", ""};
    try {
      const Trigger trigger = trigger_of(hook.record);
      const Pipeline pipeline =
          load_pipeline(file_of(workspace_, hook.record), {.overrides = {}, .check_files = false});
      const auto secret = std::ranges::find(pipeline.secrets, trigger.secret, &Secret::name);
      if (secret == pipeline.secrets.end())
        throw Error(ExitCode::usage, "the secret '" + trigger.secret + "' is not declared any more");
      hook.secret = workspace::secret_value(*secret, pipeline.directory);
      if (hook.secret.size() < shortest_secret)
        throw Error(ExitCode::usage, "the secret '" + trigger.secret + "' has fewer than " +
                                         std::to_string(shortest_secret) +
                                         " characters: it could be guessed");
    } catch (const Error& error) {
      hook.secret.clear();
      hook.problem = error.what();
      hook.problem.resize(std::min(hook.problem.find('\n'), hook.problem.size()));
    }
    if (hook.problem != hook.record.problem) {
      if (!hook.problem.empty())
        say_(hook.record.pipeline + " " + hook.record.name + ": " + hook.problem +
             "; its requests are refused");
      db::Transaction transaction(database_);
      db::set_trigger_looked(database_.connection(), hook.record.id, util::now(), hook.problem);
      transaction.commit();
    }
    hooks.push_back(std::move(hook));
  }
  hooks_ = std::move(hooks);
  reloaded_ms_ = util::monotonic_ms();
}

HookAnswer Hooks::take(const HookRequest& request) {
  HookAnswer answer = ask(request);
  // A secret may have been changed where it comes from; who signs at random learns nothing by that.
  if (answer.status != 401 || util::monotonic_ms() - reloaded_ms_ < reload_after_ms) return answer;
  reload();
  return ask(request);
}

HookAnswer Hooks::ask(const HookRequest& request) {
  bool known = false;
  std::string problem;
  std::optional<HookAnswer> answer;
  // Hooks of several pipelines may have one name: whose secret fits, those are meant.
  for (const Hook& hook : hooks_) {
    if (hook.record.name != request.name) continue;
    known = true;
    if (!hook.problem.empty()) {
      problem = hook.problem;
      continue;
    }
    if (!is_signed(hook.secret, request.body, header(request, "x-hub-signature-256"))) continue;
    try {
      const HookAnswer one = take(hook, request);
      if (!answer || one.status > answer->status) answer = one;
    } catch (const Error& error) {
      say_(hook.record.pipeline + " " + hook.record.name + ": " + error.what());
      answer = refusal(503, "the event cannot be recorded now", 10);
    }
  }
  if (answer) return *answer;
  if (!known) return refusal(404, "there is no such hook");
  // What is wrong on this side is nobody's business who has not signed.
  if (!problem.empty()) return refusal(503, "the hook cannot be served now", 60);
  return refusal(401, "the signature X-Hub-Signature-256 is missing or wrong");
}

HookAnswer Hooks::take(const Hook& hook, const HookRequest& request) {
  db::Connection& connection = database_.connection();
  const std::string key = delivery_key(request);
  if (const auto before = db::event_with_key(connection, hook.record.id, key))
    return {200, {{"event", before->id}, {"again", true}}};
  const std::string kind = header(request, "x-github-event");
  if (kind == "ping") return {200, {{"pong", true}}};
  if (db::waiting_for(connection, hook.record.id).size() >= most_waiting)
    return refusal(429, std::to_string(most_waiting) + " runs of this hook wait already", 30);
  Sight sight;
  sight.happenings.push_back(
      {key, "request" + (kind.empty() ? "" : " of " + util::escape_controls(kind)) + ", " + key,
       payload_of(request)});
  const auto events = events_.record(hook.record, sight);
  if (!events || events->empty()) return refusal(404, "there is no such hook any more");
  const EventRecord& event = events->front();
  say_("event " + std::to_string(event.id) + " " + hook.record.pipeline + " " + hook.record.name + ": " +
       words_for(event));
  return {202, {{"event", event.id}, {"outcome", to_string(event.outcome)}}};
}

}  // namespace mlops::triggers
