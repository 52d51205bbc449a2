// What a URL gives: by its ETag or date where the server has one, else by a digest of all of it.
#include "triggers/look.hpp"
#include "util/digest.hpp"
#include "util/http_client.hpp"
#include "util/quantity.hpp"
#include "util/strings.hpp"
#include "workspace/networks.hpp"

namespace mlops::triggers {

namespace {

constexpr std::uint64_t most_bytes = 1'000'000'000;
constexpr int limit_s = 4 * 60;

std::string header(const util::HttpAnswer& answer, const char* name) {
  const auto found = answer.headers.find(name);
  return found == answer.headers.end() ? "" : util::to_utf8(found->second.substr(0, 1'000));
}

}  // namespace

Sight look_at_url(const TriggerRecord& record, const Trigger& trigger, const Scene& scene) {
  const Json before = state_of(record);
  util::HttpRequest request;
  request.url = trigger.url;
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
  const std::string what = "cannot look at '" + trigger.url + "': ";
  if (size > most_bytes)
    throw Error(ExitCode::unreachable, what + "it gives more than " + util::format_size(most_bytes),
                "name a small file that changes with it");
  if (answer.refused)
    throw Error(ExitCode::unreachable, what + answer.error,
                "notify: {allow_private: …} in .mlops/config.yaml lets it be reached");
  if (answer.status == 0) throw Error(ExitCode::unreachable, what + answer.error);
  Sight sight;
  if (answer.status == 304) {
    sight.words = "unchanged (304)";
    return sight;
  }
  if (!answer.ok()) {
    throw Error(ExitCode::unreachable, what + "the server answered " + std::to_string(answer.status),
                answer.status / 100 == 3 ? "redirects are not followed: name the place that it leads to, " +
                                               header(answer, "location")
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
  now["url"] = trigger.url;
  now["size"] = size;
  sight.happenings.push_back({digest.substr(0, 16) + "@" + std::to_string(record.version),
                              trigger.url + " changed", std::move(now)});
  return sight;
}

}  // namespace mlops::triggers
