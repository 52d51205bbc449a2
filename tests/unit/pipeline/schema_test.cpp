// The JSON Schema, the loader and the documentation know the same keys and shapes.
#include "pipeline/keys.hpp"
#include "pipeline/loading.hpp"
#include "util/files.hpp"
#include "util/yaml.hpp"

#include <regex.h>

#include <algorithm>
#include <set>

using namespace mlops;
using pipeline::Key;

namespace {

bool matches(const std::string& text, const std::string& pattern) {
  regex_t compiled;
  REQUIRE(::regcomp(&compiled, pattern.c_str(), REG_EXTENDED | REG_NOSUB) == 0);
  const bool found = ::regexec(&compiled, text.c_str(), 0, nullptr, 0) == 0;
  ::regfree(&compiled);
  return found;
}

bool is_type(const Json& value, const std::string& type) {
  if (type == "integer") return value.is_number_integer();
  if (type == "number") return value.is_number();
  return type == value.type_name();
}

// As much of JSON Schema as ours uses; a keyword that is not known here fails the test.
class Schema {
 public:
  explicit Schema(Json root) : root_(std::move(root)) {}
  bool accepts(const Json& value) const { return valid(value, root_); }

 private:
  bool valid(const Json& value, const Json& schema) const {
    if (schema.is_boolean()) return schema.get<bool>();
    for (const auto& [keyword, rule] : schema.items()) {
      if (!keeps(value, keyword, rule, schema)) return false;
    }
    return true;
  }

  std::size_t count_valid(const Json& value, const Json& schemas) const {
    return static_cast<std::size_t>(
        std::count_if(schemas.begin(), schemas.end(), [&](const Json& one) { return valid(value, one); }));
  }

  bool keeps(const Json& value, const std::string& keyword, const Json& rule, const Json& schema) const {
    if (keyword == "$ref")
      return valid(value, root_.at(Json::json_pointer(rule.get<std::string>().substr(1))));
    if (keyword == "type") {
      if (rule.is_string()) return is_type(value, rule);
      return std::any_of(rule.begin(), rule.end(), [&](const Json& type) { return is_type(value, type); });
    }
    if (keyword == "enum") return std::find(rule.begin(), rule.end(), value) != rule.end();
    if (keyword == "const") return value == rule;
    if (keyword == "oneOf") return count_valid(value, rule) == 1;
    if (keyword == "anyOf") return count_valid(value, rule) >= 1;
    if (keyword == "pattern") return !value.is_string() || matches(value, rule);
    if (keyword == "minLength")
      return !value.is_string() || value.get_ref<const std::string&>().size() >= rule;
    if (keyword == "minimum") return !value.is_number() || value >= rule;
    if (keyword == "maximum") return !value.is_number() || value <= rule;
    if (keyword == "minItems") return !value.is_array() || value.size() >= rule;
    if (keyword == "minProperties") return !value.is_object() || value.size() >= rule;
    if (keyword == "maxProperties") return !value.is_object() || value.size() <= rule;
    if (keyword == "items") return !value.is_array() || count_valid_items(value, rule) == value.size();
    if (keyword == "required")
      return !value.is_object() ||
             std::all_of(rule.begin(), rule.end(), [&](const Json& key) { return value.contains(key); });
    if (keyword == "properties" || keyword == "propertyNames" || keyword == "additionalProperties") {
      if (!value.is_object()) return true;
      for (const auto& [key, member] : value.items()) {
        const bool named = schema.contains("properties") && schema["properties"].contains(key);
        if (keyword == "properties" && named && !valid(member, rule.at(key))) return false;
        if (keyword == "additionalProperties" && !named && !valid(member, rule)) return false;
        if (keyword == "propertyNames" && !valid(key, rule)) return false;
      }
      return true;
    }
    static const std::set<std::string> notes = {"$schema", "$defs", "title", "description", "examples"};
    INFO(keyword);
    REQUIRE(notes.contains(keyword));
    return true;
  }

  std::size_t count_valid_items(const Json& list, const Json& schema) const {
    return static_cast<std::size_t>(
        std::count_if(list.begin(), list.end(), [&](const Json& item) { return valid(item, schema); }));
  }

  Json root_;
};

const Schema& schema() {
  static const Schema loaded(pipeline_schema());
  return loaded;
}

Json json_of(const std::string& text) {
  std::vector<Diagnostic> ignored;
  return util::to_json(util::parse_yaml(text, "", ignored));
}

constexpr const char* kHead = "params: {n: 1, w: stop, b: true, l: [1, 2]}\nsecrets: [S]\npools: {db: 2}\n";

std::string with(const std::string& keys) {
  return std::string(kHead) + "steps: {a: {run: x}, s: {run: x, " + keys + "}}\n";
}
std::string head(const std::string& keys) { return keys + "\nsteps: {s: {run: x}}\n"; }

}  // namespace

TEST_CASE("the schema has the keys of the tables, no more and no fewer") {
  const Json root = pipeline_schema();
  const auto keys_of = [](const Json& object) {
    std::set<std::string> keys;
    for (const auto& [key, value] : object.at("properties").items()) keys.insert(key);
    return keys;
  };
  for (const pipeline::KeyTable& table : pipeline::key_tables()) {
    INFO(table.name);
    const auto names = pipeline::names_of(table.keys);
    const std::set<std::string> wanted(names.begin(), names.end());
    REQUIRE(wanted.size() == names.size());
    const Json& object = table.name == "pipeline" ? root : root.at("$defs").at(std::string(table.name));
    REQUIRE(keys_of(object) == wanted);
    REQUIRE(object.at("additionalProperties") == false);
    for (const auto& [key, value] : object.at("properties").items())
      REQUIRE_FALSE(value.at("description").get<std::string>().empty());
  }
  std::set<std::string> defaults;
  for (const Key& key : pipeline::step_keys()) {
    if (key.in_defaults) defaults.emplace(key.name);
  }
  REQUIRE(keys_of(root.at("$defs").at("defaults")) == defaults);
}

TEST_CASE("every reference of the schema leads somewhere, and every definition is used") {
  const Json root = pipeline_schema();
  const std::string text = root.dump();
  std::set<std::string> used;
  for (std::size_t at = text.find("#/$defs/"); at != text.npos; at = text.find("#/$defs/", at + 1))
    used.insert(text.substr(at + 8, text.find('"', at) - at - 8));
  std::set<std::string> defined;
  for (const auto& [name, value] : root.at("$defs").items()) defined.insert(name);
  REQUIRE(used == defined);
}

TEST_CASE("schema and loader accept the same shapes") {
  for (const std::string& text :
       {with("kind: train"),
        with("kind: 3"),
        with("kind: true"),
        with("description: 5"),
        with("description: ~"),
        with("inputs: a"),
        with("inputs: [a, 1]"),
        with("inputs: []"),
        with("outputs: m"),
        with("outputs: [m, {path: n, kind: model}]"),
        with("outputs: {path: n}"),
        with("metrics: [m]"),
        with("params: [n, l]"),
        with("needs: a"),
        with("needs: ~"),
        with("env: {A: 1, B: x, C: true, D: ''}"),
        with("env: ~"),
        with("secrets: S"),
        with("retry: 3"),
        with("retry: '${params.n}'"),
        with("retry: {times: 2, delay: 1s, backoff: 1.5, max_delay: 5, jitter: 0.1, on: [75, timeout]}"),
        with("retry: {}"),
        with("retry: {on: any}"),
        with("retry: ~"),
        with("timeout: 90"),
        with("timeout: 1h"),
        with("timeout: ~"),
        with("timeout: '${params.n}'"),
        with("no_output_timeout: 0.5"),
        with("grace: 0"),
        with("resources: {cpus: 0.5, memory: 4GiB, gpus: 1, pools: [db]}"),
        with("resources: {memory: 1000, pools: {db: 2}}"),
        with("resources: {pools: db}"),
        with("resources: {cpus: ~, pools: {db: '${params.n}'}}"),
        with("resources: ~"),
        with("when: params.b"),
        with("when: true"),
        with("when: ~"),
        with("on_failure: stop"),
        with("on_failure: '${params.w}'"),
        with("always: false"),
        with("always: '${params.b}'"),
        with("leave_running: true"),
        with("workdir: sub"),
        with("workdir: ''"),
        with("foreach: [1]"),
        with("foreach: {a: 1}"),
        with("foreach: '${params.l}'"),
        with("matrix: {a: [1], b: '${params.l}'}"),
        head("version: 1"),
        head("version: '1'"),
        head("version: ~"),
        head("name: a.b-c_d"),
        head("name: 5"),
        head("name: ~"),
        head("description: x"),
        head("params: {}"),
        head("params: ~"),
        head("env: {A: 1, inherit: false}"),
        head("secrets: S"),
        head("secrets: [S, T]"),
        head("secrets: {A: ~, B: {env: X}, C: {file: f}, D: {command: [a, 1]}}"),
        head("pools: {a: 1}"),
        head("triggers: {files: 'data/*.csv', debounce: 5s, every: 1m, name: data}"),
        head("triggers: [{files: [a, '!a/b']}, {succeeded: c}, {succeeded: [a, b], name: x}, {succeeded: "
             "{any: [a, b]}, name: y}]"),
        head("secrets: [HOOK]\ntriggers: [{webhook: HOOK}, {webhook: {secret: HOOK}, name: push}]"),
        head("triggers: [{http: 'https://x/y', every: 90}, {sql: {database: a.db, query: SELECT 1}}]"),
        head("triggers: {metric: {pipeline: m, when: drift.psi > 0.2}}"),
        head("secrets: [S]\nnotify: {webhook: {secret: S}, preset: slack, on: failure, every: 1h}"),
        head("notify: [{webhook: 'https://x/y', name: w}, {email: [a@b], on: [late, refused, success, "
             "recovery]}]"),
        head("notify: {command: [./tell.sh, 1], text: '${run.reason}'}"),
        head("schedule: '@daily'"),
        head("schedule: {cron: '0 3 * * *', timezone: UTC, catchup: none, overlap: replace}"),
        head("schedule: ['@daily', {every: 15m, start: 2026-01-01, jitter: 10s}, {at: '2026-12-24 18:00'}]"),
        head("schedule: {cron: '@daily', name: night, days: and, dst: {gap: skip, overlap: both}, except: "
             "[2026-12-24]}"),
        head("schedule: {cron: '@daily', catchup: {mode: all, max: 3, window: 7d}, start_within: 1h, end: "
             "2030-01-01, deadline: 06:00, fresh_within: 26h}"),
        head("defaults: {timeout: 1s, retry: 1, env: {A: x}, kind: train}"),
        head("defaults: ~"),
        head("defaults: {timeout: ~}"),
        std::string("steps: {s: {run: [a, 1, true, '']}}"),
        std::string("steps: {s: {run: true}}"),
        std::string("steps: {s: {run: 5}}"),
        std::string("steps: {1: {run: x}}")}) {
    INFO(text);
    for (const std::string& one : problems(text)) UNSCOPED_INFO(one);
    REQUIRE(problems(text).empty());
    REQUIRE(schema().accepts(json_of(text)));
  }
}

TEST_CASE("schema and loader refuse the same shapes") {
  for (const std::string& text : {with("kind: [x]"),
                                  with("kind: a b"),
                                  with("kind: .x"),
                                  with("kind: " + std::string(101, 'a')),
                                  with("description: [x]"),
                                  with("inputs: {a: 1}"),
                                  with("inputs: [[a]]"),
                                  with("inputs: [~]"),
                                  with("inputs: ''"),
                                  with("inputs: ['']"),
                                  with("outputs: [{kind: model}]"),
                                  with("outputs: {path: [a]}"),
                                  with("outputs: {path: ''}"),
                                  with("outputs: [{path: a, x: 1}]"),
                                  with("outputs: [[a]]"),
                                  with("metrics: {a: 1}"),
                                  with("needs: {a: 1}"),
                                  with("env: [A]"),
                                  with("env: {a-b: 1}"),
                                  with("env: {A: [1]}"),
                                  with("env: {A: ~}"),
                                  with("secrets: {S: 1}"),
                                  with("retry: yes"),
                                  with("retry: 1.5"),
                                  with("retry: -1"),
                                  with("retry: true"),
                                  with("retry: [1]"),
                                  with("retry: {tims: 1}"),
                                  with("retry: {times: ~}"),
                                  with("retry: {on: [0]}"),
                                  with("retry: {on: [256]}"),
                                  with("retry: {on: soon}"),
                                  with("retry: {delay: [1]}"),
                                  with("retry: {delay: -1}"),
                                  with("retry: {backoff: two}"),
                                  with("timeout: true"),
                                  with("timeout: -5"),
                                  with("timeout: [1]"),
                                  with("resources: 2"),
                                  with("resources: {cpu: 1}"),
                                  with("resources: {cpus: x}"),
                                  with("resources: {cpus: -1}"),
                                  with("resources: {memory: true}"),
                                  with("resources: {memory: -1}"),
                                  with("resources: {gpus: 0.5}"),
                                  with("resources: {pools: {db: 0}}"),
                                  with("resources: {pools: [[db]]}"),
                                  with("when: [a]"),
                                  with("when: ''"),
                                  with("on_failure: go"),
                                  with("on_failure: [stop]"),
                                  with("always: yes"),
                                  with("always: 1"),
                                  with("leave_running: x"),
                                  with("workdir: [a]"),
                                  with("foreach: 3"),
                                  with("foreach: x"),
                                  with("foreach: []"),
                                  with("foreach: {}"),
                                  with("foreach: ~"),
                                  with("matrix: [1]"),
                                  with("matrix: {}"),
                                  with("matrix: {a: 1}"),
                                  with("matrix: {a: []}"),
                                  with("matrix: {a-b: [1]}"),
                                  with("matrix: x"),
                                  with("matrix: ~"),
                                  with("rum: x"),
                                  head("version: 2"),
                                  head("version: x"),
                                  head("name: [a]"),
                                  head("name: a b"),
                                  head("description: {a: 1}"),
                                  head("params: [1]"),
                                  head("params: x"),
                                  head("env: x"),
                                  head("env: {inherit: maybe}"),
                                  head("secrets: [a-b]"),
                                  head("secrets: {A: x}"),
                                  head("secrets: {A: {}}"),
                                  head("secrets: {A: {env: X, file: f}}"),
                                  head("secrets: {A: {fil: x}}"),
                                  head("secrets: {A: {env: ''}}"),
                                  head("secrets: {A: {env: a-b}}"),
                                  head("secrets: {A: {file: ''}}"),
                                  head("secrets: {A: {command: pass}}"),
                                  head("secrets: {A: {command: []}}"),
                                  head("pools: [a]"),
                                  head("pools: {a: 0}"),
                                  head("pools: {a: x}"),
                                  head("pools: {a b: 1}"),
                                  head("triggers: []"),
                                  head("triggers: {name: x}"),
                                  head("triggers: {files: a, http: 'https://x'}"),
                                  head("triggers: {succeeded: {any: a, all: b}}"),
                                  head("triggers: {sql: {database: a.db}}"),
                                  head("triggers: {metric: {pipeline: m}}"),
                                  head("notify: []"),
                                  head("notify: x"),
                                  head("notify: {on: failure}"),
                                  head("notify: {email: a@b, command: x}"),
                                  head("notify: {webhook: {}}"),
                                  head("notify: {webhook: [x]}"),
                                  head("notify: {webhook: 'https://x', preset: irc}"),
                                  head("notify: {command: []}"),
                                  head("notify: {email: a@b, on: never}"),
                                  head("notify: {email: a@b, who: me}"),
                                  head("schedule: []"),
                                  head("schedule: [[x]]"),
                                  head("schedule: {cron: '@daily', every: 1h}"),
                                  head("schedule: {cron: '@daily', catchup: {max: 1}}"),
                                  head("schedule: {cron: '@daily', dst: {gap: jump}}"),
                                  head("schedule: {timezone: UTC}"),
                                  head("schedule: {cron: '@daily', catchup: some}"),
                                  head("schedule: {cron: '@daily', overlap: [skip]}"),
                                  head("schedule: {cron: '@daily', zone: UTC}"),
                                  head("defaults: {run: x}"),
                                  head("defaults: {needs: a}"),
                                  head("defaults: [x]"),
                                  head("defaults: {x: 1}"),
                                  head("defaults: {timeout: []}"),
                                  head("step: x"),
                                  std::string("steps: {}"),
                                  std::string("steps: ~"),
                                  std::string("steps: [a]"),
                                  std::string("name: x"),
                                  std::string("[]"),
                                  std::string("x"),
                                  std::string("steps: {s: ~}"),
                                  std::string("steps: {s: x}"),
                                  std::string("steps: {s: {}}"),
                                  std::string("steps: {s: {run: ~}}"),
                                  std::string("steps: {s: {run: ''}}"),
                                  std::string("steps: {s: {run: []}}"),
                                  std::string("steps: {s: {run: [[a]]}}"),
                                  std::string("steps: {s: {run: {a: b}}}"),
                                  std::string("steps: {a b: {run: x}}"),
                                  std::string("steps: {-a: {run: x}}")}) {
    INFO(text);
    REQUIRE_FALSE(problems(text).empty());
    REQUIRE_FALSE(schema().accepts(json_of(text)));
  }
}

TEST_CASE("the words of the schema are those of the loader") {
  for (const std::string_view word : pipeline::on_failure_values())
    REQUIRE(problems(with("on_failure: " + std::string(word))).empty());
  for (const std::string_view word : pipeline::retry_causes())
    REQUIRE(problems(with("retry: {on: " + std::string(word) + "}")).empty());
  for (const std::string_view word : pipeline::catchup_values())
    REQUIRE(problems(head("schedule: {cron: '@daily', catchup: " + std::string(word) + "}")).empty());
  for (const std::string_view word : pipeline::overlap_values())
    REQUIRE(problems(head("schedule: {cron: '@daily', overlap: " + std::string(word) + "}")).empty());
  for (const std::string_view word : pipeline::preset_values())
    REQUIRE(problems(head("notify: {webhook: 'https://x', preset: " + std::string(word) + "}")).empty());
  for (const std::string_view word : pipeline::occasion_values())
    REQUIRE(problems(head("notify: {email: a@b, on: " + std::string(word) + "}")).empty());
  for (const char* name : {"a", "_a", "0", "a.b-c", "-a", ".a", "", "a b", "é", "a/b", "a@b", "a\n"}) {
    INFO(name);
    REQUIRE(pipeline::is_name(name) == matches(name, std::string(pipeline::kNamePattern)));
    REQUIRE(pipeline::is_variable(name) == matches(name, std::string(pipeline::kVariablePattern)));
  }
  REQUIRE(pipeline::is_name(std::string(100, 'a')));
  REQUIRE_FALSE(pipeline::is_name(std::string(101, 'a')));
}

TEST_CASE("every key is in docs/pipeline-file.md") {
  const std::string docs = util::read_file(MLOPS_SOURCE_DIR "/docs/pipeline-file.md");
  for (const pipeline::KeyTable& table : pipeline::key_tables()) {
    for (const Key& key : table.keys) {
      INFO(table.name << ": " << key.name);
      REQUIRE(docs.find("`" + std::string(key.name) + "`") != docs.npos);
      for (const std::string_view word : key.values)
        REQUIRE(docs.find("`" + std::string(word) + "`") != docs.npos);
    }
  }
}
