#include "triggers/definition.hpp"

#include "util/strings.hpp"

#include <algorithm>
#include <iterator>

namespace mlops::triggers {

using Kind = Trigger::Kind;

namespace {
constexpr const char* kKinds[] = {"files", "succeeded", "webhook", "http", "sql", "metric"};

Kind parse_kind(std::string_view text) {
  const auto found = std::ranges::find(kKinds, text);
  return found == std::end(kKinds) ? Kind::files : static_cast<Kind>(found - std::begin(kKinds));
}

}  // namespace

const char* to_string(Kind kind) { return kKinds[static_cast<int>(kind)]; }
Kind kind_of(const TriggerRecord& record) { return parse_kind(record.kind); }
Trigger trigger_of(const TriggerRecord& record) {
  return trigger_of(Json::parse(record.definition, nullptr, false));
}

Json definition_of(const Trigger& t) {
  return {{"kind", to_string(t.kind)},
          {"name", t.name},
          {"files", t.files},
          {"pipelines", t.pipelines},
          {"any", t.any},
          {"secret", t.secret},
          {"url", t.url},
          {"database", t.database},
          {"query", t.query},
          {"condition", t.condition},
          {"every_ms", t.every.count()},
          {"debounce_ms", t.debounce.count()}};
}

Trigger trigger_of(const Json& d) {
  Trigger t;
  if (!d.is_object()) return t;
  t.kind = parse_kind(d.value("kind", ""));
  t.name = d.value("name", "");
  t.files = d.value("files", t.files);
  t.pipelines = d.value("pipelines", t.pipelines);
  t.any = d.value("any", false);
  t.secret = d.value("secret", "");
  t.url = d.value("url", "");
  t.database = d.value("database", "");
  t.query = d.value("query", "");
  t.condition = d.value("condition", "");
  t.every = std::chrono::milliseconds(d.value("every_ms", std::int64_t{0}));
  t.debounce = std::chrono::milliseconds(d.value("debounce_ms", std::int64_t{0}));
  return t;
}

bool same_subject(const Json& a, const Json& b) {
  if (!a.is_object() || !b.is_object()) return false;
  for (const auto& [key, value] : a.items()) {
    const bool signature = key == "secret" && a.value("kind", "") == to_string(Kind::webhook);
    const bool matters = key != "every_ms" && key != "debounce_ms" && !signature;
    if (matters && (!b.contains(key) || b[key] != value)) return false;
  }
  return true;
}

std::string shown_url(const Trigger& t) { return t.secret.empty() ? t.url : "secret " + t.secret; }

std::string words_for(const Trigger& t) {
  switch (t.kind) {
    case Kind::files: return "files " + util::join(t.files, ", ");
    case Kind::succeeded:
      return std::string(t.any                    ? "any of "
                         : t.pipelines.size() > 1 ? "all of "
                                                  : "") +
             util::join(t.pipelines, ", ") + (t.pipelines.size() > 1 ? " succeeded" : " succeeds");
    case Kind::webhook: return "POST /hooks/" + t.name;
    case Kind::http: return "http " + shown_url(t);
    case Kind::sql: return "rows of " + t.database;
    case Kind::metric: return t.condition + " in " + util::join(t.pipelines, ", ");
  }
  return {};
}

std::string words_for(const EventRecord& event) {
  const std::string request = event.request ? "request " + std::to_string(*event.request) : "";
  const std::string outcome = event.outcome == EventOutcome::requested ? request
                              : event.outcome == EventOutcome::joined
                                  ? "joins " + request
                                  : std::string(to_string(event.outcome)) + ": " + event.reason;
  return event.what + " (" + outcome + ")";
}

bool shares_runs(Kind kind) { return kind != Kind::webhook && kind != Kind::sql; }

bool follows_runs(Kind kind) { return kind == Kind::succeeded || kind == Kind::metric; }

}  // namespace mlops::triggers
