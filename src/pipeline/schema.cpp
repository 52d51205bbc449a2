#include <mlops/pipeline.hpp>

#include "pipeline/keys.hpp"

namespace mlops {

namespace {

using pipeline::Key;
using pipeline::Keys;

Json ref(const char* name) { return {{"$ref", std::string("#/$defs/") + name}}; }

Json one_of(Json a, Json b) { return {{"oneOf", Json::array({std::move(a), std::move(b)})}}; }

Json list_of(Json items) { return {{"type", "array"}, {"items", std::move(items)}}; }

// A value that `${…}` may fill in is text in the file.
Json or_reference(Json value) { return one_of(std::move(value), ref("reference")); }

// Null counts as not given, or takes a default away, but not where something must stand.
bool may_be_null(const Key& key) {
  return key.name != "steps" && key.name != "run" && key.name != "foreach" && key.name != "matrix";
}

Json object_schema(Keys keys, bool nulls, bool only_defaults = false) {
  Json properties = Json::object();
  for (const Key& key : keys) {
    if (only_defaults && !key.in_defaults) continue;
    Json value = Json::parse(key.schema);
    if (!key.values.empty() && !value.contains("$ref")) value = or_reference({{"enum", key.values}});
    if (nulls && may_be_null(key)) value = {{"anyOf", Json::array({std::move(value), {{"type", "null"}}})}};
    value["description"] = key.description;
    properties[std::string(key.name)] = std::move(value);
  }
  return {{"type", "object"}, {"properties", std::move(properties)}, {"additionalProperties", false}};
}

}  // namespace

Json pipeline_schema() {
  Json defs = Json::object();
  for (const pipeline::KeyTable& table : pipeline::key_tables()) {
    const bool nulls = table.name == "pipeline" || table.name == "step" || table.name == "resources";
    Json schema = object_schema(table.keys, nulls);
    schema["description"] = table.description;
    defs[std::string(table.name)] = std::move(schema);
  }
  defs["step"]["required"] = {"run"};
  defs["output"]["required"] = {"path"};
  defs["schedule"]["oneOf"] = {{{"required", {"cron"}}}, {{"required", {"every"}}}, {{"required", {"at"}}}};
  defs["catchup"]["required"] = {"mode"};
  for (const char* kind : {"files", "succeeded", "webhook", "http", "sql", "metric"})
    defs["trigger"]["oneOf"].push_back({{"required", {kind}}});
  defs["succeeded"]["oneOf"] = {{{"required", {"all"}}}, {{"required", {"any"}}}};
  defs["webhook"]["required"] = {"secret"};
  defs["sql"]["required"] = {"database", "query"};
  defs["metric"]["required"] = {"pipeline", "when"};
  defs["notification"]["oneOf"] = {
      {{"required", {"webhook"}}}, {{"required", {"email"}}}, {{"required", {"command"}}}};
  defs["secret_url"]["required"] = {"secret"};
  defs["secret"]["minProperties"] = 1;
  defs["secret"]["maxProperties"] = 1;
  defs["defaults"] = object_schema(pipeline::step_keys(), true, true);
  defs["scalar"] = {{"type", {"string", "number", "boolean"}}};
  defs["text"] = {{"type", {"string", "number", "boolean"}}, {"minLength", 1}};
  defs["reference"] = {{"type", "string"}, {"pattern", "^\\$\\{.*\\}$"}};
  defs["flag"] = or_reference({{"type", "boolean"}});
  defs["name"] = {{"type", {"string", "number", "boolean"}}, {"pattern", pipeline::kNamePattern}};
  defs["variable"] = {{"type", "string"}, {"pattern", pipeline::kVariablePattern}};
  defs["texts"] = one_of(ref("text"), list_of(ref("text")));
  defs["duration"] = {
      {"type", {"string", "number"}}, {"minimum", 0}, {"examples", {"90s", "1h30m", "250ms"}}};
  defs["number"] = or_reference({{"type", "number"}, {"minimum", 0}});
  defs["count"] = or_reference({{"type", "integer"}, {"minimum", 0}});
  defs["priority"] = or_reference({{"type", "integer"}, {"minimum", -1'000}, {"maximum", 1'000}});
  defs["share"] = or_reference({{"type", "integer"}, {"minimum", 1}});
  defs["variables"] = {{"type", "object"},
                       {"propertyNames", {{"pattern", pipeline::kVariablePattern}}},
                       {"additionalProperties", ref("scalar")}};
  defs["pipeline_env"] = defs["variables"];
  defs["pipeline_env"]["properties"] = {
      {"inherit", {{"$ref", "#/$defs/flag"}, {"description", "false: start from an empty environment."}}}};
  defs["outputs"] = one_of(ref("text"), list_of(one_of(ref("text"), ref("output"))));
  defs["outputs"]["oneOf"].push_back(ref("output"));
  defs["secrets"] = {{"oneOf",
                      {ref("variable"),
                       list_of(ref("variable")),
                       {{"type", "object"},
                        {"propertyNames", {{"pattern", pipeline::kVariablePattern}}},
                        {"additionalProperties", one_of(ref("secret"), {{"type", "null"}})}}}}};
  const Json cause =
      one_of({{"type", "integer"}, {"minimum", 1}, {"maximum", 255}}, {{"enum", pipeline::retry_causes()}});
  const Json occasion = or_reference({{"enum", pipeline::occasion_values()}});
  defs["occasions"] = one_of(occasion, list_of(occasion));
  defs["retry_on"] = one_of(cause, list_of(cause));

  Json schema = defs["pipeline"];
  defs.erase("pipeline");
  schema["$schema"] = "https://json-schema.org/draft/2020-12/schema";
  schema["title"] = "mlops pipeline";
  schema["required"] = {"steps"};
  schema["$defs"] = std::move(defs);
  return schema;
}

}  // namespace mlops
