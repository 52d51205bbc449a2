// Door to src/pipeline: a pipeline file as values. Loading one runs nothing.
#pragma once

#include <mlops/dvc.hpp>
#include <mlops/error.hpp>
#include <mlops/notification.hpp>
#include <mlops/schedule.hpp>
#include <mlops/trigger.hpp>

#include <nlohmann/json.hpp>

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mlops {

using Json = nlohmann::json;
using Milliseconds = std::chrono::milliseconds;

/// Text in which only values that steps make while running are still open:
/// `${steps.NAME.outputs.KEY}`. Everything else was filled in when the file was loaded.
struct Text {
  struct Part {
    std::string literal;  ///< when `step` is empty
    std::string step;
    std::string key;
    bool operator==(const Part&) const = default;
  };
  std::vector<Part> parts;

  bool is_literal() const { return parts.empty() || (parts.size() == 1 && parts[0].step.empty()); }
  std::string literal() const { return parts.empty() ? std::string() : parts[0].literal; }
  bool operator==(const Text&) const = default;
};

/// What a step runs: `/bin/sh -c SCRIPT` (one element, `shell`), an argument vector, never a shell, or
/// scripts for the user's own shell, one process each, until one fails (`each`; the commands of a dvc.yaml).
struct Command {
  bool shell = false;
  bool each = false;
  std::vector<Text> argv;
};

struct Output {
  std::string path;      ///< relative to the step's directory, as written
  std::string kind;      ///< "model", "data", ...; may be empty
  bool persist = false;  ///< stays in place while the step runs, which updates it
};

/// What a retry may answer to. An empty list in `Retry::on` means every failure.
struct RetryCause {
  enum class Kind { exit_code, signal, timeout, no_output, lost };
  Kind kind = Kind::exit_code;
  int code = 0;  ///< for exit_code
};

struct Retry {
  int times = 0;              ///< attempts after the first
  Milliseconds delay{0};      ///< before the first retry
  double backoff = 1;         ///< each further delay is this many times the one before
  Milliseconds max_delay{0};  ///< 0: no cap
  double jitter = 0;          ///< 0..1: up to this share of the delay is added, by a stable hash
  std::vector<RetryCause> on;
};

/// What a step must be granted before it starts. Zero asks for nothing beyond a job slot.
struct Resources {
  double cpus = 0;
  std::uint64_t memory = 0;  ///< bytes
  int gpus = 0;
  std::map<std::string, int> pools;
};

struct Step {
  std::string name;  ///< unique; "base@a-b" for an expansion of foreach/matrix
  std::string base;  ///< the name in the file
  std::string kind;  ///< ingest, validate, train, evaluate, gate, deploy, ...; may be empty
  std::string description;
  Command command;
  std::string workdir;  ///< relative to the file's directory; empty: that directory
  std::vector<std::string> inputs;
  std::vector<Output> outputs;
  std::vector<std::string> metrics;  ///< files of metrics that the step writes
  std::vector<std::string> params;   ///< dotted names the step depends on
  std::vector<std::string> needs;    ///< names of steps, expanded
  std::map<std::string, Text> env;
  std::vector<std::string> secrets;
  Retry retry;
  Milliseconds timeout{0};            ///< 0: none
  Milliseconds no_output_timeout{0};  ///< 0: none
  Milliseconds grace{10'000};         ///< between TERM and KILL
  Resources resources;
  std::string when;                  ///< condition, see params/condition.hpp; empty: always true
  bool continue_on_failure = false;  ///< on_failure: continue
  bool always = false;               ///< clean-up: runs however the steps it needs ended
  std::optional<bool> cache;      ///< results may be reused; none: where that is safe, see engine/cache.hpp
  std::vector<std::string> code;  ///< files that the step runs, besides its inputs
  bool leave_running = false;     ///< processes it started may outlive it
  Json vars;  ///< {"item":…, "key":…} or {"matrix":{…}} of an expansion; null otherwise
  Location at;
};

/// Where the value of a declared secret comes from. The value itself is never kept.
struct Secret {
  enum class Source { env, file, command };
  std::string name;
  Source source = Source::env;
  std::vector<std::string> from;  ///< variable name, path, or argv
};

/// Which inputs that no step makes are given to the store, so that a run can be reproduced.
enum class KeepInputs { small, all, none };
const char* to_string(KeepInputs keep);
std::optional<KeepInputs> parse_keep_inputs(std::string_view text);

/// The slot that a run is for, as `${slot.…}` shows it: times are ISO 8601 with the offset of its zone.
struct SlotValues {
  std::string id;     ///< fit for a file's name: 20260105T030000Z
  std::string start;  ///< the slot before
  std::string end;    ///< the slot's own time
  bool operator==(const SlotValues&) const = default;
};

Json to_json(const SlotValues& slot);
/// Nothing if it is no such object.
std::optional<SlotValues> parse_slot_values(const Json& json);

struct Pipeline {
  std::string name;
  std::string description;
  std::string file;                    ///< path as given
  std::string directory;               ///< absolute directory of the file; paths in it are relative to this
  std::string source;                  ///< the file's bytes
  Json params = Json::object();        ///< overrides applied
  std::vector<std::string> overrides;  ///< `--set` texts in force
  std::map<std::string, std::string> env;
  bool inherit_env = true;
  std::vector<Secret> secrets;
  std::map<std::string, int> pools;
  std::vector<Schedule> schedules;  ///< no two of one name
  std::vector<Trigger> triggers;
  std::vector<Notification> notifications;
  int priority = 0;                ///< of its runs, among those that wait: larger ones first
  int concurrency = 0;             ///< runs at a time, of those that a daemon or worker starts; 0: no limit
  bool uses_slot = false;          ///< something in it is made of `${slot.…}`
  std::optional<SlotValues> slot;  ///< the one that it was loaded for
  KeepInputs keep_inputs = KeepInputs::small;
  std::vector<Step> steps;        ///< in the order of the file, expansions in place
  std::optional<DvcProject> dvc;  ///< if the file is a dvc.yaml
};

/// The order of a pipeline's steps: edges by index into `Pipeline::steps`.
struct Graph {
  std::vector<std::vector<int>> needs;  ///< needs[i]: steps that must end before i, sorted
  std::vector<std::vector<int>> feeds;  ///< the same edges the other way
  std::vector<int> order;               ///< a topological order, stable: the file's order where free
};

struct LoadOptions {
  std::vector<std::string> overrides;   ///< "train.lr=0.2", as after `--set`
  bool check_files = true;              ///< report inputs that neither exist nor are made by a step
  std::optional<SlotValues> slot = {};  ///< for `${slot.…}`; none: its parts stand for themselves
  const std::map<std::string, std::string>* sources = nullptr;  ///< frozen DvcProject::sources, not the disk
};

/// Reads, expands and checks a pipeline file; a file called dvc.yaml is read as DVC reads it. Throws BadFile
/// with every problem found, Error(io) when the file cannot be read.
Pipeline load_pipeline(const std::string& path, const LoadOptions& options = {});

/// As load_pipeline, for text that was read already; `path` is only for messages and the directory.
Pipeline parse_pipeline(std::string text, const std::string& path, const LoadOptions& options = {});

/// The graph of a pipeline that loaded without problems (so it has no cycle).
Graph make_graph(const Pipeline& pipeline);

/// JSON Schema (2020-12) of the pipeline file, for editors.
Json pipeline_schema();

}  // namespace mlops
