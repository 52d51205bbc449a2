#include "server/hook_service.hpp"

#include "pipeline/keys.hpp"
#include "server/http_server.hpp"
#include "triggers/hooks.hpp"

namespace mlops::server {

namespace {

constexpr std::string_view hooks_place = "/hooks/";

Reply to_reply(const triggers::HookAnswer& answer) {
  Reply reply{answer.status, answer.body.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n", {}};
  if (answer.retry_after > 0) reply.headers.emplace_back("Retry-After", std::to_string(answer.retry_after));
  return reply;
}

Reply answer(triggers::Hooks& hooks, const Request& request) {
  if (!request.target.starts_with(hooks_place)) return to_reply({404, {{"error", "there is nothing here"}}});
  // As it is written: no name of a hook needs an escape.
  const std::string name = request.target.substr(hooks_place.size());
  if (!pipeline::is_name(name)) return to_reply({404, {{"error", "there is no such hook"}}});
  if (request.method != "POST") {
    Reply reply = to_reply({405, {{"error", "a hook takes POST"}}});
    reply.headers.emplace_back("Allow", "POST");
    return reply;
  }
  return to_reply(hooks.take({name, request.headers, request.body}));
}

}  // namespace

void serve_hooks(const Workspace& workspace, db::Database& database, int listening_fd,
                 const std::vector<std::string>& names, const std::function<void(const std::string&)>& say) {
  triggers::Hooks hooks(workspace, database, say);
  serve(listening_fd, {.answer = [&](const Request& request) { return answer(hooks, request); },
                       .reload = [&] { hooks.reload(); },
                       .names = names});
}

}  // namespace mlops::server
