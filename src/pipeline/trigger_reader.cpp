#include "pipeline/trigger_reader.hpp"

#include "params/condition.hpp"
#include "pipeline/file_patterns.hpp"
#include "pipeline/paths.hpp"
#include "util/quantity.hpp"
#include "util/strings.hpp"
#include "util/web_url.hpp"

#include <algorithm>
#include <utility>

namespace mlops::pipeline {

namespace {

using util::YamlNode;
using Kind = Trigger::Kind;

constexpr std::size_t kMostTriggers = 1000;
constexpr std::pair<const char*, Kind> kKinds[] = {{"files", Kind::files},     {"succeeded", Kind::succeeded},
                                                   {"webhook", Kind::webhook}, {"http", Kind::http},
                                                   {"sql", Kind::sql},         {"metric", Kind::metric}};

// One entry.
class TriggerEntry {
 public:
  TriggerEntry(const YamlNode& node, const Fields& fields, const Pipeline& pipeline)
      : node_(node), fields_(fields), pipeline_(pipeline) {}

  bool read(Trigger& out) {
    if (!check_keys(node_, trigger_keys(), "trigger", fields_.problems())) return false;
    const std::size_t before = fields_.problems().list().size();
    std::vector<const char*> given;
    for (const auto& [key, kind] : kKinds) {
      if (!find(node_, key)) continue;
      given.push_back(key);
      out.kind = kind;
    }
    if (given.size() != 1) {
      fields_.problems().add(
          node_.at,
          given.empty()
              ? "trigger: says nothing to look at"
              : std::string("trigger: '") + given[0] + "' and '" + given[1] + "' are triggers of their own",
          given.empty() ? "one of files, succeeded, webhook, http, sql, metric, such as {files: data/*.csv}"
                        : "make a list of them: triggers: [{files: …}, {succeeded: …}]");
      return false;
    }
    const YamlNode& value = *find(node_, given[0]);
    switch (out.kind) {
      case Kind::files: read_files(value, out); break;
      case Kind::succeeded: read_succeeded(value, out); break;
      case Kind::webhook: read_webhook(value, out); break;
      case Kind::http: read_url(value, out); break;
      case Kind::sql: read_sql(value, out); break;
      case Kind::metric: read_metric(value, out); break;
    }
    read_rest(out);
    return fields_.problems().list().size() == before;
  }

 private:
  static const YamlNode* find(const YamlNode& map, const char* key) {
    const YamlNode* node = map.find(key);
    return node && !node->is_null() ? node : nullptr;
  }

  // A value that the trigger cannot do without.
  std::string required(const YamlNode& map, const char* key, const char* what, const char* hint) {
    if (const YamlNode* node = find(map, key)) {
      const std::string text = fields_.text(*node, key).value_or("");
      if (text.empty() && node->is_scalar() && node->text.empty()) fields_.expected(*node, key, "a text");
      return text;
    }
    fields_.problems().add(map.at, std::string(what) + ": '" + key + "' is missing", hint);
    return {};
  }

  // As check_keys(), for what stands inside of one kind. What is of every kind stands beside that.
  bool check_inner(const YamlNode& node, Keys keys, const char* kind) {
    if (!node.is_map()) return check_keys(node, keys, kind, fields_.problems());
    bool well = true;
    for (const util::YamlEntry& entry : node.entries) {
      if (entry.key != "every" && entry.key != "debounce" && entry.key != "name") continue;
      fields_.problems().add(entry.at, "unknown key '" + entry.key + "' in " + kind,
                             "it goes one level up: {" + std::string(kind) + ": …, " + entry.key + ": …}");
      well = false;
    }
    return well && check_keys(node, keys, kind, fields_.problems());
  }

  // A list that names nothing would wait for ever.
  bool is_empty(const YamlNode& node, const char* what, const char* hint) {
    if (!node.is_list() || !node.items.empty()) return false;
    fields_.problems().add(node.at, std::string(what) + ": the list is empty", hint);
    return true;
  }

  void read_files(const YamlNode& node, Trigger& out) {
    if (is_empty(node, "files", "such as files: [data/*.csv, \"!data/tmp.csv\"]")) return;
    for (Placed& pattern : fields_.texts(node, "files")) {
      if (pattern.text.find('\n') != std::string::npos || pattern.text == "!") {
        fields_.problems().add(pattern.at, "files: expected a path or a pattern");
      } else if (has_open_bracket(pattern.text)) {
        fields_.problems().add(pattern.at, "files: a '[' in '" + pattern.text + "' has no ']'",
                               "close it, as in part-[0-9].csv; one that is in the name is written \\[");
      } else {
        out.files.push_back(std::move(pattern.text));
      }
    }
    if (!out.files.empty() && out.files.front().starts_with('!')) {
      fields_.problems().add(
          node.at,
          "files: nothing is looked at yet from which '" + out.files.front() + "' could be taken out",
          "first what is looked at, then what is not: [data, \"!data/tmp\"]");
    }
    out.debounce = Milliseconds(2'000);
    out.every = Milliseconds(60'000);
  }

  void read_succeeded(const YamlNode& node, Trigger& out) {
    const YamlNode* names = &node;
    if (node.is_map()) {
      if (!check_inner(node, succeeded_keys(), "succeeded")) return;
      const YamlNode *all = find(node, "all"), *any = find(node, "any");
      if ((all != nullptr) == (any != nullptr)) {
        return fields_.problems().add(node.at, "succeeded: expected one of 'all' and 'any'",
                                      "such as {any: [ingest, features]}");
      }
      names = all ? all : any;
      out.any = any != nullptr;
    }
    if (is_empty(*names, "succeeded", "such as succeeded: [ingest, features]")) return;
    for (Placed& name : fields_.texts(*names, "succeeded")) {
      if (!is_name(name.text)) {
        fields_.problems().add(name.at, "succeeded: '" + name.text + "' is not the name of a pipeline");
      } else if (name.text == pipeline_.name) {
        fields_.problems().add(
            name.at, "succeeded: '" + name.text + "' is this pipeline: it would start itself for ever",
            "name the pipelines that come before it");
      } else if (std::ranges::find(out.pipelines, name.text) != out.pipelines.end()) {
        fields_.problems().add(name.at, "succeeded: '" + name.text + "' is named twice");
      } else {
        out.pipelines.push_back(std::move(name.text));
      }
    }
  }

  void read_webhook(const YamlNode& node, Trigger& out) {
    const char* hint = "such as webhook: {secret: HOOK_SECRET}, with HOOK_SECRET in `secrets:`";
    const YamlNode* secret = &node;
    if (node.is_map()) {
      if (!check_inner(node, webhook_keys(), "webhook")) return;
      secret = find(node, "secret");
      if (!secret) return fields_.problems().add(node.at, "webhook: 'secret' is missing", hint);
    }
    read_secret(*secret, "webhook", hint, out);
  }

  void read_secret(const YamlNode& node, const std::string& what, const char* hint, Trigger& out) {
    const auto declared = fields_.text(node, "secret");
    if (!declared) return;
    if (declared->empty()) return fields_.expected(node, what, "the name of a secret", hint);
    out.secret = *declared;
    if (std::ranges::find(pipeline_.secrets, out.secret, &Secret::name) != pipeline_.secrets.end()) return;
    std::vector<std::string> names;
    for (const Secret& each : pipeline_.secrets) names.push_back(each.name);
    fields_.problems().add(node.at, what + ": '" + out.secret + "' is not declared in `secrets:`",
                           names.empty() ? hint : fields_.problems().suggest(out.secret, names));
  }

  void read_url(const YamlNode& node, Trigger& out) {
    const char* hint = "such as http: https://example.com/data.csv";
    out.every = Milliseconds(5 * 60'000);
    if (node.is_map()) {
      if (const YamlNode* url = find(node, "url"); url && url->is_scalar())
        return fields_.problems().add(node.at, "http: the URL itself is expected, not a map with 'url'",
                                      "write  http: \"" + url->text + "\"");
      if (!check_inner(node, secret_url_keys(), "http")) return;
      const char* how = "such as http: {secret: FEED_URL}, with FEED_URL in `secrets:`";
      const YamlNode* secret = find(node, "secret");
      if (!secret) return fields_.problems().add(node.at, "http: 'secret' is missing", how);
      return read_secret(*secret, "http", how, out);
    }
    if (!node.is_scalar()) return fields_.expected(node, "http", "a URL", hint);
    // What is looked at is shown and recorded.
    if (node.text.find("${env.") != node.text.npos)
      return fields_.problems().add(
          node.at, "http: what comes from the environment is a secret, and would be recorded here",
          "declare it, secrets: [FEED_URL], and write  http: {secret: FEED_URL}");
    const auto url = fields_.text(node, "http");
    if (!url) return;
    if (util::is_web_url(*url) && util::authority_of(*url).find('@') != std::string::npos)
      return fields_.problems().add(
          node.at, "http: a password does not belong into the file",
          "let the URL come from a secret: http: {secret: FEED_URL}, with FEED_URL in `secrets:`");
    const bool well = url->starts_with("https://") || url->starts_with("http://");
    if (!well || url->find_first_of(" \t\r\n") != std::string::npos || url->ends_with("://"))
      return fields_.expected(node, "http", "a URL", hint);
    out.url = *url;
  }

  void read_sql(const YamlNode& node, Trigger& out) {
    if (!check_inner(node, sql_keys(), "sql")) return;
    const char* hint = "such as sql: {database: app.db, query: \"SELECT id, path FROM uploads\"}";
    out.database = required(node, "database", "sql", hint);
    out.query = required(node, "query", "sql", hint);
    out.every = Milliseconds(60'000);
    out.debounce = Milliseconds(200);
  }

  void read_metric(const YamlNode& node, Trigger& out) {
    if (!check_inner(node, metric_keys(), "metric")) return;
    const char* hint = "such as metric: {pipeline: monitor, when: drift.psi > 0.2}";
    const std::string pipeline = required(node, "pipeline", "metric", hint);
    if (!pipeline.empty() && !is_name(pipeline))
      fields_.problems().add(find(node, "pipeline")->at,
                             "metric: '" + pipeline + "' is not the name of a pipeline");
    out.pipelines = {pipeline};
    out.condition = required(node, "when", "metric", hint);
    if (out.condition.empty()) return;
    params::ConditionScope scope;
    scope.metrics = true;
    std::vector<params::ConditionProblem> problems;
    const auto condition = params::parse_condition(out.condition, scope, problems);
    for (const params::ConditionProblem& problem : problems)
      fields_.problems().add(find(node, "when")->at, "metric: " + problem.message, problem.hint);
    if (problems.empty() && condition.names().empty())
      fields_.problems().add(find(node, "when")->at, "metric: the condition names no metric", hint);
  }

  void read_rest(Trigger& out) {
    if (const YamlNode* name = find(node_, "name")) {
      // That of a webhook is part of its address.
      out.name =
          out.kind == Kind::webhook ? fields_.name(*name, "name") : fields_.text(*name, "name").value_or("");
    }
    if (out.name.empty()) out.name = name_for(out);
    read_span("every", out.kind, out.every, std::chrono::seconds(1), {Kind::files, Kind::http, Kind::sql});
    read_span("debounce", out.kind, out.debounce, Milliseconds(0), {Kind::files, Kind::sql});
  }

  void read_span(const char* key, Kind kind, Milliseconds& out, Milliseconds least,
                 std::initializer_list<Kind> kinds) {
    const YamlNode* node = find(node_, key);
    if (!node) return;
    if (std::ranges::find(kinds, kind) == kinds.end()) {
      fields_.problems().add(node->at, std::string("trigger: '") + key + "' means nothing here",
                             "this kind of trigger waits for news, it does not look for them");
      return;
    }
    const auto span = fields_.duration(*node, key);
    if (span && *span < least) fields_.expected(*node, key, "at least " + util::format_duration(least));
    out = span.value_or(out);
  }

  std::string name_for(const Trigger& t) const {
    switch (t.kind) {
      case Kind::files: return t.files.empty() ? "files" : t.files.front();
      case Kind::succeeded: return util::join(t.pipelines, t.any ? " or " : " and ");
      case Kind::webhook: return pipeline_.name;
      case Kind::http:
        if (!t.secret.empty()) return t.secret;
        return t.url.empty() ? "http" : t.url.substr(t.url.find("://") + 3, 100);
      case Kind::sql: return t.database;
      case Kind::metric: return t.condition.substr(0, 100);
    }
    return {};
  }

  const YamlNode& node_;
  const Fields& fields_;
  const Pipeline& pipeline_;
};

std::vector<const YamlNode*> entries_of(const YamlNode& node) {
  if (!node.is_list()) return {&node};
  std::vector<const YamlNode*> entries;
  for (const YamlNode& item : node.items) entries.push_back(&item);
  return entries;
}

}  // namespace

std::vector<Trigger> read_triggers(const YamlNode& node, const Fields& fields, const Pipeline& pipeline) {
  std::vector<Trigger> result;
  Problems& problems = fields.problems();
  if (node.is_list() && node.items.empty()) problems.add(node.at, "triggers: the list is empty");
  if (node.is_list() && node.items.size() > kMostTriggers) {
    problems.add(node.at, "triggers: more than " + std::to_string(kMostTriggers) + " entries");
    return result;
  }
  for (const YamlNode* item : entries_of(node)) {
    Trigger trigger;
    if (!TriggerEntry(*item, fields, pipeline).read(trigger)) continue;
    if (std::ranges::find(result, trigger.name, &Trigger::name) != result.end()) {
      problems.add(item->at, "triggers: two entries are called '" + trigger.name + "'",
                   "give one of them a name: {name: …, …}");
      continue;
    }
    result.push_back(std::move(trigger));
  }
  return result;
}

void check_triggers(const YamlNode& node, const Pipeline& pipeline, Problems& problems) {
  const auto entries = entries_of(node);
  if (entries.size() != pipeline.triggers.size()) return;  // there is more to say of those that are missing
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const Trigger& trigger = pipeline.triggers[i];
    if (trigger.kind != Kind::files) continue;
    const FilePatterns looked_at(trigger.files, pipeline.directory);
    for (const Step& step : pipeline.steps) {
      const auto own = std::ranges::find_if(step.outputs, [&](const Output& output) {
        return looked_at.mean(
            path_on_disk(pipeline.directory, normal_path(pipeline.directory, step.workdir, output.path)));
      });
      if (own == step.outputs.end()) continue;
      problems.add(entries[i]->find("files")->at,
                   "files: step '" + step.name + "' makes '" + own->path +
                       "', which the trigger looks at: the pipeline would start itself",
                   "take it out: files: [" + util::join(trigger.files, ", ") + ", \"!" + own->path + "\"]");
      break;
    }
  }
}

}  // namespace mlops::pipeline
