// Bytes that somebody sends to the daemon's port, up to the hook that they may be for.
#include "server/http_server.hpp"
#include "triggers/hooks.hpp"

#include <cstdint>
#include <cstdlib>
#include <string>

using namespace mlops;

namespace {

server::Reply answer(const server::Request& request) {
  if (request.body.size() > 1'000 || request.target.size() > 2'000) std::abort();
  const triggers::HookRequest hook{request.target, request.headers, request.body};
  const auto signature = request.headers.find("x-hub-signature-256");
  const bool believed = triggers::is_signed("a secret of nobody here", request.body,
                                            signature == request.headers.end() ? "" : signature->second);
  if (triggers::delivery_key(hook).size() > 300) std::abort();
  return {believed ? 202 : 401, "{}"};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const server::Service service{
      .answer = answer, .reload = {}, .names = {}, .limits = {.body = 1'000, .headers = 2'000}};
  const int status = server::answer_bytes(std::string(reinterpret_cast<const char*>(data), size), service);
  for (const int known : {0, 202, 400, 401, 403, 413, 421, 431}) {
    if (status == known) return 0;
  }
  std::abort();
}
