#include "notify/addressee.hpp"

#include "pipeline/keys.hpp"
#include "util/strings.hpp"
#include "util/web_url.hpp"

#include <algorithm>

namespace mlops::notify {

namespace {

constexpr const char* kinds[] = {"webhook", "email", "command"};
constexpr const char* sources[] = {"env", "file", "command"};

// The place of `word` among `words`; throws std::out_of_range like a JSON value that is not there.
template <typename Words>
std::size_t place_in(const Words& words, const std::string& word) {
  const auto found = std::ranges::find(words, word);
  if (found == std::ranges::end(words)) throw std::out_of_range(word);
  return static_cast<std::size_t>(found - std::ranges::begin(words));
}

Json secret_json(const Secret& secret) {
  return {{"name", secret.name},
          {"source", sources[static_cast<std::size_t>(secret.source)]},
          {"from", secret.from}};
}

Secret read_secret(const Json& json) {
  Secret secret{json.at("name").get<std::string>(),
                static_cast<Secret::Source>(place_in(sources, json.at("source").get<std::string>())),
                json.at("from").get<std::vector<std::string>>()};
  if (secret.from.empty()) throw std::out_of_range("from");
  return secret;
}

Addressee read(const Json& json) {
  Addressee result;
  Notification& entry = result.entry;
  entry.kind = static_cast<Notification::Kind>(place_in(kinds, json.at("kind").get<std::string>()));
  entry.name = json.at("name").get<std::string>();
  for (const Json& word : json.at("on"))
    entry.on.push_back(static_cast<Occasion>(place_in(pipeline::occasion_values(), word.get<std::string>())));
  entry.url = json.value("url", "");
  entry.preset = json.value("preset", "");
  entry.to = json.value("to", std::vector<std::string>());
  entry.argv = json.value("argv", std::vector<std::string>());
  entry.shell = json.value("shell", false);
  entry.text = json.value("text", "");
  entry.every = std::chrono::milliseconds(json.value("every_ms", std::int64_t{0}));
  result.directory = json.at("directory").get<std::string>();
  if (const auto secret = json.find("secret"); secret != json.end()) {
    result.secret = read_secret(*secret);
    entry.secret = result.secret->name;
  }
  if (const auto secrets = json.find("unsaid"); secrets != json.end()) {
    for (const Json& secret : *secrets) result.unsaid.push_back(read_secret(secret));
  }
  const bool whole = entry.kind == Notification::Kind::webhook ? !entry.url.empty() || result.secret
                     : entry.kind == Notification::Kind::email ? !entry.to.empty()
                                                               : !entry.argv.empty();
  if (!whole) throw std::out_of_range("target");
  return result;
}

}  // namespace

std::vector<Addressee> addressees_of(const Pipeline& pipeline) {
  std::vector<Addressee> list;
  for (const Notification& entry : pipeline.notifications) {
    Addressee addressee{entry, std::nullopt, {}, pipeline.directory};
    const auto secret = std::ranges::find(pipeline.secrets, entry.secret, &Secret::name);
    if (!entry.secret.empty() && secret != pipeline.secrets.end()) addressee.secret = *secret;
    if (entry.kind == Notification::Kind::command) addressee.unsaid = pipeline.secrets;
    list.push_back(std::move(addressee));
  }
  return list;
}

Json to_json(const Addressee& addressee) {
  const Notification& entry = addressee.entry;
  Json json = {{"kind", kinds[static_cast<std::size_t>(entry.kind)]},
               {"name", entry.name},
               {"on", Json::array()},
               {"directory", addressee.directory}};
  for (const Occasion occasion : entry.on) json["on"].push_back(to_string(occasion));
  if (!entry.url.empty()) json["url"] = entry.url;
  if (addressee.secret) json["secret"] = secret_json(*addressee.secret);
  for (const Secret& secret : addressee.unsaid) json["unsaid"].push_back(secret_json(secret));
  if (!entry.preset.empty()) json["preset"] = entry.preset;
  if (!entry.to.empty()) json["to"] = entry.to;
  if (!entry.argv.empty()) json["argv"] = entry.argv;
  if (entry.shell) json["shell"] = true;
  if (!entry.text.empty()) json["text"] = entry.text;
  if (entry.every.count() > 0) json["every_ms"] = entry.every.count();
  return json;
}

Addressee read_addressee(const Json& json) {
  try {
    return read(json);
  } catch (const std::exception&) {
    throw Error(ExitCode::io, "whom the message goes to cannot be read: it was changed by something else");
  }
}

std::string place_of(const Addressee& addressee) {
  const Notification& entry = addressee.entry;
  if (entry.kind == Notification::Kind::email) return util::join(entry.to, ", ");
  if (entry.kind == Notification::Kind::command) {
    const std::string line = util::escape_controls(entry.argv[0]);
    return line.size() <= 60 ? line : util::to_utf8(line.substr(0, 57)) + "…";
  }
  if (addressee.secret) return "secret " + addressee.secret->name;
  return util::authority_of(entry.url);
}

}  // namespace mlops::notify
