// What a URL gives: by its ETag or date where the server has one, else by a digest of all of it.
#include "notify/masking.hpp"
#include "triggers/definition.hpp"
#include "triggers/look.hpp"
#include "util/digest.hpp"
#include "util/http_client.hpp"
#include "util/quantity.hpp"
#include "util/strings.hpp"
#include "util/web_url.hpp"
#include "workspace/networks.hpp"
#include "workspace/secrets.hpp"

#include <algorithm>

namespace mlops::triggers {

namespace {

constexpr std::uint64_t most_bytes = 1'000'000'000;
constexpr int limit_s = 4 * 60;

std::string header(const util::HttpAnswer& answer, const char* name) {
  const auto found = answer.headers.find(name);
  return found == answer.headers.end() ? "" : util::to_utf8(found->second.substr(0, 1'000));
}

// Where it is to look; throws Error(usage) without the value of a secret.
std::string url_of(const Trigger& trigger, const Scene& scene) {
  if (trigger.secret.empty()) return trigger.url;
  const Pipeline pipeline = load_pipeline(scene.file, {.overrides = {}, .check_files = false});
  const auto secret = std::ranges::find(pipeline.secrets, trigger.secret, &Secret::name);
  if (secret == pipeline.secrets.end())
    throw Error(ExitCode::usage, "the secret '" + trigger.secret + "' is not declared any more",
                "name it in `secrets:`");
  const std::string url = workspace::secret_value(*secret, pipeline.directory);
  if (!util::is_web_url(url) || url.find_first_of(" \t\r\n") != url.npos)
    throw Error(ExitCode::usage,
                "the value of the secret '" + trigger.secret + "' is not an http or https URL");
  return url;
}

}  // namespace

Sight look_at_url(const TriggerRecord& record, const Trigger& trigger, const Scene& scene) {
  const Json before = state_of(record);
  util::HttpRequest request;
  request.url = url_of(trigger, scene);
  request.headers = {"User-Agent: mlops", "Accept: */*"};
  const std::string etag = before.is_object() ? before.value("etag", "") : "";
  const std::string date = before.is_object() ? before.value("last_modified", "") : "";
  if (!etag.empty()) request.headers.push_back("If-None-Match: " + etag);
  if (!date.empty()) request.headers.push_back("If-Modified-Since: " + date);
  util::Sha256 sum;
  std::uint64_t size = 0;
  request.sink = [&](std::string_view bytes) {
    size += bytes.size();
    sum.update(bytes);
    return size <= most_bytes;
  };
  const workspace::Config config = workspace::read_config(scene.workspace);
  const util::Networks networks = workspace::networks_of(config);
  request.reachable = &networks;
  request.proxy = config.notify.proxy;
  request.limit_s = limit_s;
  const util::HttpAnswer answer = util::HttpClient().perform(request);
  // What the other side says may repeat it.
  const auto telling =
      trigger.secret.empty() ? std::vector<std::string>() : notify::telling_parts(request.url);
  const auto said = [&](const std::string& text) { return notify::masked(text, telling); };
  const std::string what = "cannot look at '" + shown_url(trigger) + "': ";
  if (size > most_bytes)
    throw Error(ExitCode::unreachable, what + "it gives more than " + util::format_size(most_bytes),
                "name a small file that changes with it");
  if (answer.refused)
    throw Error(ExitCode::unreachable, what + said(answer.error),
                "notify: {allow_private: …} in .mlops/config.yaml lets it be reached");
  if (answer.status == 0) throw Error(ExitCode::unreachable, what + said(answer.error));
  Sight sight;
  if (answer.status == 304) {
    sight.words = "unchanged (304)";
    return sight;
  }
  if (!answer.ok()) {
    throw Error(ExitCode::unreachable, what + "the server answered " + std::to_string(answer.status),
                answer.status / 100 == 3 ? "redirects are not followed: name the place that it leads to, " +
                                               said(header(answer, "location"))
                                         : "");
  }
  const std::string digest = sum.hex();
  sight.words = util::format_size(size) + ", digest " + digest.substr(0, 12) +
                (header(answer, "etag").empty() ? "" : ", ETag " + header(answer, "etag"));
  Json now = {{"etag", header(answer, "etag")},
              {"last_modified", header(answer, "last-modified")},
              {"sha256", digest}};
  if (before == now) return sight;
  sight.state = now.dump();
  // A server may give a new ETag to what it gave before: what is there counts.
  if (before.is_null() || before.value("sha256", "") == digest) return sight;
  now["url"] = shown_url(trigger);
  now["size"] = size;
  sight.happenings.push_back({digest.substr(0, 16) + "@" + std::to_string(record.version),
                              shown_url(trigger) + " changed", std::move(now)});
  return sight;
}

}  // namespace mlops::triggers
