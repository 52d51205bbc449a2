#include "engine/run_record.hpp"

#include <mlops/error.hpp>

#include "util/digest.hpp"
#include "util/id.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"

#include <nlohmann/json.hpp>

#include <set>
#include <utility>

namespace mlops::engine {

namespace {

using Json = nlohmann::json;
constexpr int format = 1;

std::string text_of(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

Json time(const std::optional<Instant>& instant) {
  return instant ? Json(util::format_utc(*instant)) : Json();
}

template <typename T>
Json maybe(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

Json write(const RunRecord& run) {
  return {{"id", run.id},
          {"pipeline", run.pipeline},
          {"file", run.file},
          {"state", to_string(run.state)},
          {"reason", run.reason},
          {"exit_code", maybe(run.exit_code)},
          {"created_at", time(run.created_at)},
          {"part_started_at", time(run.part_started_at)},
          {"ended_at", time(run.ended_at)},
          {"duration_ms", maybe(run.duration_ms)},
          {"steps", run.steps},
          {"jobs", run.jobs},
          {"resumes", run.resumes},
          {"host", run.host},
          {"user", run.user},
          {"command_line", run.command_line},
          {"git_commit", maybe(run.git_commit)},
          {"git_dirty", maybe(run.git_dirty)},
          {"mlops_version", run.mlops_version},
          {"boot_id", run.boot_id}};
}

Json write(const StepRecord& s) {
  return {{"step", s.step},
          {"name", s.name},
          {"kind", s.kind},
          {"command", s.command},
          {"state", to_string(s.state)},
          {"reason", s.reason},
          {"attempts", s.attempts},
          {"started_at", time(s.started_at)},
          {"ended_at", time(s.ended_at)},
          {"cache_key", maybe(s.cache_key)},
          {"because", s.because},
          {"source_run", maybe(s.source_run)},
          {"source_step", maybe(s.source_step)}};
}

Json write(const AttemptRecord& a) {
  return {{"step", a.step},
          {"attempt", a.attempt},
          {"cause", a.cause},
          {"exit_code", maybe(a.exit_code)},
          {"signal", maybe(a.signal)},
          {"pid", maybe(a.pid)},
          {"started_at", time(a.started_at)},
          {"ended_at", time(a.ended_at)},
          {"cpu_user_ms", maybe(a.cpu_user_ms)},
          {"cpu_system_ms", maybe(a.cpu_system_ms)},
          {"max_rss_bytes", maybe(a.max_rss_bytes)},
          {"read_bytes", maybe(a.read_bytes)},
          {"written_bytes", maybe(a.written_bytes)},
          {"log_bytes", a.log_bytes},
          {"log_dropped", a.log_dropped},
          {"note", a.note}};
}

Json write(const ArtifactRecord& a) {
  Json map = {{"step", a.step}, {"output", a.output}, {"path", a.path},
              {"kind", a.kind}, {"form", a.form},     {"sha256", a.sha256},
              {"size", a.size}, {"files", a.files},   {"kept", a.kept}};
  if (!a.list.empty()) map["list"] = a.list;
  return map;
}

[[noreturn]] void refuse(const std::string& why) { throw Error(ExitCode::io, why); }

// --- Reading: a stranger's words. Json's own exceptions end it as well.

std::string text(const Json& map, const char* key) { return map.at(key).get<std::string>(); }

std::optional<Instant> instant(const Json& map, const char* key) {
  if (map.at(key).is_null()) return std::nullopt;
  const auto instant = util::parse_utc(text(map, key));
  if (!instant) refuse(std::string("'") + key + "' is no time");
  return instant;
}

template <typename T>
std::optional<T> maybe(const Json& map, const char* key) {
  const Json& value = map.at(key);
  return value.is_null() ? std::nullopt : std::optional(value.get<T>());
}

int index(const Json& map, const char* key) {
  const auto value = map.at(key).get<std::int64_t>();
  if (value < 0 || value > 1'000'000) refuse(std::string("'") + key + "' is out of range");
  return static_cast<int>(value);
}

RunRecord read_run(const Json& map) {
  RunRecord run;
  run.id = text(map, "id");
  run.pipeline = text(map, "pipeline");
  run.file = text(map, "file");
  const auto state = parse_run_state(text(map, "state"));
  // Nobody here could ever end it.
  if (!state || *state == RunState::running) refuse("it is of a run that has not ended");
  run.state = *state;
  run.reason = text(map, "reason");
  run.exit_code = maybe<int>(map, "exit_code");
  run.created_at = instant(map, "created_at").value_or(Instant{});
  run.part_started_at = instant(map, "part_started_at").value_or(run.created_at);
  run.ended_at = instant(map, "ended_at");
  run.duration_ms = maybe<std::int64_t>(map, "duration_ms");
  run.steps = index(map, "steps");
  run.jobs = index(map, "jobs");
  run.resumes = index(map, "resumes");
  run.host = text(map, "host");
  run.user = text(map, "user");
  run.command_line = text(map, "command_line");
  run.git_commit = maybe<std::string>(map, "git_commit");
  run.git_dirty = maybe<bool>(map, "git_dirty");
  run.mlops_version = text(map, "mlops_version");
  run.boot_id = text(map, "boot_id");
  return run;
}

StepRecord read_step(const Json& map) {
  StepRecord s;
  s.step = index(map, "step");
  s.name = text(map, "name");
  s.kind = text(map, "kind");
  s.command = text(map, "command");
  const auto state = parse_step_state(text(map, "state"));
  if (!state) refuse("a step is in no state that is known");
  s.state = *state;
  s.reason = text(map, "reason");
  s.attempts = index(map, "attempts");
  s.started_at = instant(map, "started_at");
  s.ended_at = instant(map, "ended_at");
  s.cache_key = maybe<std::string>(map, "cache_key");
  s.because = text(map, "because");
  if (!Json::accept(s.because)) refuse("the reasons of a step are no JSON");
  s.source_run = maybe<std::string>(map, "source_run");
  if (s.source_run && !util::is_id(*s.source_run)) refuse("a step refers to what is no run");
  s.source_step = maybe<int>(map, "source_step");
  return s;
}

AttemptRecord read_attempt(const Json& map) {
  AttemptRecord a;
  a.step = index(map, "step");
  a.attempt = index(map, "attempt");
  a.cause = text(map, "cause");
  a.exit_code = maybe<int>(map, "exit_code");
  a.signal = maybe<int>(map, "signal");
  if (map.contains("pid")) a.pid = maybe<int>(map, "pid");  // older records have none
  a.started_at = instant(map, "started_at").value_or(Instant{});
  a.ended_at = instant(map, "ended_at");
  a.cpu_user_ms = maybe<std::int64_t>(map, "cpu_user_ms");
  a.cpu_system_ms = maybe<std::int64_t>(map, "cpu_system_ms");
  a.max_rss_bytes = maybe<std::int64_t>(map, "max_rss_bytes");
  a.read_bytes = maybe<std::int64_t>(map, "read_bytes");
  a.written_bytes = maybe<std::int64_t>(map, "written_bytes");
  a.log_bytes = map.at("log_bytes").get<std::uint64_t>();
  a.log_dropped = map.at("log_dropped").get<std::uint64_t>();
  a.note = text(map, "note");
  return a;
}

ArtifactRecord read_artifact(const Json& map) {
  ArtifactRecord a;
  a.step = index(map, "step");
  a.output = map.at("output").get<bool>();
  a.path = text(map, "path");
  a.kind = text(map, "kind");
  a.form = text(map, "form");
  a.sha256 = text(map, "sha256");
  const bool of_dvc = a.sha256.starts_with("md5:");  // in a cache of its own
  if (a.form != "listing" && !of_dvc && !util::Digest::from_hex(a.sha256))
    refuse("an artifact has no digest");
  a.size = map.at("size").get<std::uint64_t>();
  a.files = map.at("files").get<std::uint64_t>();
  a.kept = map.value("kept", a.output);
  a.list = map.value("list", "");
  if (!a.list.empty() && !util::Digest::from_hex(a.list)) refuse("the list of a folder has no digest");
  return a;
}

}  // namespace

bool is_inside(const std::string& path) {
  if (path.empty() || path[0] == '/' || path.find('\0') != path.npos) return false;
  int depth = 0;
  for (const std::string& part : util::split(path, '/')) {
    if (part == ".mlops" && depth == 0) return false;  // nobody's records are overwritten by outputs
    if (part == "..") return false;
    if (part == ".git") return false;  // git runs what lies there
    if (!part.empty() && part != ".") ++depth;
  }
  return depth > 0;
}

namespace {

std::string sealed(const std::string& record) {
  return "{\"mlops_run\": " + std::to_string(format) + ", \"sha256\": \"" + util::sha256(record) +
         "\", \"record\": " + record + "}\n";
}

/// A JSON object as text, key by key: the tree of a run of ten thousand steps would take many times its size.
/// Its keys have to come in the order in which a tree has them.
class ObjectText {
 public:
  void put(const char* key, const Json& value) { open(key) += text_of(value); }
  template <typename List, typename Write>
  void put_list(const char* key, const List& list, const Write& write_one) {
    std::string& text = open(key);
    text += '[';
    bool first = true;
    for (const auto& item : list) {
      if (!std::exchange(first, false)) text += ',';
      text += text_of(write_one(item));
    }
    text += ']';
  }
  std::string close() && { return std::move(text_ += '}'); }

 private:
  std::string& open(const char* key) {
    text_ += text_.size() > 1 ? ",\"" : "\"";
    text_ += key;
    return text_ += "\":";
  }
  std::string text_ = "{";
};

}  // namespace

std::string write_run_record(const db::RunBundle& bundle) {
  ObjectText text;
  text.put_list("artifacts", bundle.artifacts, [](const ArtifactRecord& a) { return write(a); });
  text.put_list("attempts", bundle.attempts, [](const AttemptRecord& a) { return write(a); });
  text.put_list("cache", bundle.cache, [](const auto& entry) {
    return Json{{"step", entry.first}, {"key", entry.second}};
  });
  text.put("definition", bundle.definition);
  text.put("environment", bundle.environment);
  text.put_list("facts", bundle.facts, [](const auto& facts) {
    return Json{{"step", facts.first}, {"facts", facts.second}};
  });
  text.put_list("metrics", bundle.metrics, [](const auto& metric) {
    const MetricPoint& point = metric.second;
    return Json{{"step", metric.first},
                {"name", point.name},
                {"at", point.at},
                {"value", maybe(point.value)},
                {"time", time(point.time)}};
  });
  text.put_list("outputs", bundle.outputs, [](const db::StepOutput& o) {
    return Json{{"step", o.step}, {"name", o.name}, {"value", o.value}};
  });
  text.put_list("params", bundle.params, [](const auto& param) {
    return Json{{"name", param.first}, {"value", param.second}};
  });
  text.put("run", write(bundle.run));
  text.put_list("steps", bundle.steps, [](const StepRecord& step) { return write(step); });
  text.put_list("tags", bundle.tags, [](const db::Tag& tag) { return Json(tag.text()); });
  return sealed(std::move(text).close());
}

std::string write_repeat_record(const RunRecord& run, const std::vector<std::string>& environment,
                                const std::string& basis) {
  return sealed(text_of({{"run", write(run)}, {"environment", environment}, {"repeats", basis}}));
}

namespace {

db::RunBundle read_record(const Json& record, const std::string& run_id) {
  db::RunBundle bundle;
  bundle.run = read_run(record.at("run"));
  if (bundle.run.id != run_id) refuse("it is of run " + util::escape_controls(bundle.run.id));
  bundle.definition = text(record, "definition");
  bundle.run.definition = util::sha256(bundle.definition);
  bundle.environment = record.at("environment").get<std::vector<std::string>>();
  for (const Json& param : record.at("params")) {
    bundle.params.emplace_back(text(param, "name"), text(param, "value"));
    if (!Json::accept(bundle.params.back().second)) refuse("a param is no JSON");
  }
  // Older records have none.
  for (const Json& words : record.value("tags", Json::array())) {
    const auto tag = db::parse_tag(words.get<std::string>());
    if (!tag) refuse("a tag cannot be read");
    bundle.tags.push_back(*tag);
  }
  std::set<int> known;
  for (const Json& step : record.at("steps")) {
    bundle.steps.push_back(read_step(step));
    if (!known.insert(bundle.steps.back().step).second) refuse("it has a step twice");
  }
  const auto of_step = [&](int step) {
    if (!known.contains(step)) refuse("it tells of a step that it has not");
    return step;
  };
  for (const Json& attempt : record.at("attempts")) {
    bundle.attempts.push_back(read_attempt(attempt));
    of_step(bundle.attempts.back().step);
  }
  for (const Json& o : record.at("outputs"))
    bundle.outputs.push_back({of_step(index(o, "step")), text(o, "name"), text(o, "value")});
  std::set<int> outside;  // steps with outputs that do not stay in the work tree
  for (const Json& artifact : record.at("artifacts")) {
    bundle.artifacts.push_back(read_artifact(artifact));
    const ArtifactRecord& a = bundle.artifacts.back();
    of_step(a.step);
    if (a.output && !is_inside(a.path)) outside.insert(a.step);
  }
  for (const Json& point : record.at("metrics")) {
    bundle.metrics.emplace_back(of_step(index(point, "step")),
                                MetricPoint{text(point, "name"), point.at("at").get<std::int64_t>(),
                                            maybe<double>(point, "value"), instant(point, "time")});
  }
  for (const Json& facts : record.at("facts")) {
    bundle.facts.emplace_back(of_step(index(facts, "step")), text(facts, "facts"));
    if (!Json::accept(bundle.facts.back().second)) refuse("what a step depended on is no JSON");
  }
  // Results that would be put at places outside of the work tree are shown, but never taken.
  for (const Json& entry : record.at("cache")) {
    const int step = of_step(index(entry, "step"));
    if (!outside.contains(step)) bundle.cache.emplace_back(step, text(entry, "key"));
  }
  return bundle;
}

}  // namespace

namespace {

// What is inside of the seal, once it is found whole.
Json unsealed(std::string_view bytes) {
  const Json json = Json::parse(bytes, nullptr, false);
  if (json.is_discarded() || !json.is_object()) refuse("it is no JSON");
  if (json.at("mlops_run").get<int>() > format) refuse("it is of a newer version of mlops");
  const Json& record = json.at("record");
  if (util::sha256(text_of(record)) != text(json, "sha256"))
    refuse("its bytes are not those that were written");
  return record;
}

// The steps of a run that was recorded as another one: all of them were found done.
db::RunBundle as_repeated(db::RunBundle basis, const Json& record, const std::string& run_id) {
  const std::string definition = basis.run.definition;
  basis.run = read_run(record.at("run"));
  if (basis.run.id != run_id) refuse("it is of run " + util::escape_controls(basis.run.id));
  basis.run.definition = definition;
  basis.environment = record.at("environment").get<std::vector<std::string>>();
  for (StepRecord& step : basis.steps) {
    if (step.state != StepState::cached) refuse("it repeats a run that was none to be repeated");
    step.attempts = 0;
    step.started_at.reset();
    step.ended_at.reset();
  }
  basis.tags.clear();
  basis.attempts.clear();
  basis.outputs.clear();
  basis.artifacts.clear();
  basis.metrics.clear();
  basis.facts.clear();
  basis.cache.clear();
  return basis;
}

}  // namespace

db::RunBundle read_run_record(std::string_view bytes, const std::string& run_id, const BasisReader& basis) {
  try {
    const Json record = unsealed(bytes);
    if (!record.contains("repeats")) return read_record(record, run_id);
    const std::string other = text(record, "repeats");
    if (!basis || !util::is_id(other)) refuse("it refers to another run");
    return as_repeated(read_run_record(basis(), other), record, run_id);
  } catch (const Json::exception& error) {
    throw Error(ExitCode::io, std::string("it is not whole: ") + error.what());
  }
}

}  // namespace mlops::engine
