// What a step depends on: the parts of its cache key, kept so that a later run can tell what has changed.
#pragma once

#include <mlops/pipeline.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace mlops::engine {

/// A file or directory as a step found it.
struct FileFact {
  std::string path;  ///< relative to the workspace if inside it
  std::string form;  ///< file, executable or tree; empty: it was not there
  std::string sha256;
  std::uint64_t size = 0, files = 1;  ///< told by the digest
  bool operator==(const FileFact& other) const {
    return path == other.path && form == other.form && sha256 == other.sha256;
  }
};

/// Of what counts; another one makes every step run once more.
inline constexpr int facts_format = 2;

struct StepFacts {
  int format = facts_format;
  std::vector<std::string> command;  ///< script or arguments as run, outputs of earlier steps filled in
  bool shell = false;                ///< `command` is one script
  std::string workdir;  ///< relative to the workspace if inside it; of DVC's stages as in the file
  std::map<std::string, std::string> params;  ///< those that the step names, as JSON
  std::map<std::string, std::string> env;     ///< declared by the step or the pipeline; never secrets
  std::vector<FileFact> inputs;               ///< in the order of the file
  std::vector<FileFact> code;
  std::vector<std::string> outputs;  ///< paths
  std::vector<std::string> metrics;  ///< paths of files that metrics are read from
  bool operator==(const StepFacts&) const = default;
};

/// The key under which the step's results are kept: the SHA-256 of key_text(). docs/cache.md tells it field
/// by field.
std::string cache_key(const StepFacts& facts);

/// facts_json(), names in order, without spaces; a text that is no UTF-8 is told by its digest, so that two
/// facts never have one text.
std::string key_text(const StepFacts& facts);

Json facts_json(const StepFacts& facts);
StepFacts parse_facts(const Json& json);

/// One reason for which a step runs, or does not.
struct Cause {
  std::string
      kind;  ///< first_run, command, param, env, input, code, outputs, missing, forced, upstream, always, …
  std::string what;  ///< the param, the path, the step; may be empty
  std::string before, after;
  std::string by = {};  ///< of an input: the step of the pipeline that makes it
};

/// A file in a directory that is not what it was; `before` and `after` as shown, empty: not there.
struct FileChange {
  std::string path;
  std::string before, after;
};
/// What changed in a directory; nullopt if that cannot be told.
using LookInside =
    std::function<std::optional<std::vector<FileChange>>(const FileFact& before, const FileFact& now)>;

/// What differs between what a step depended on then and now.
std::vector<Cause> compare_facts(const StepFacts& before, const StepFacts& now,
                                 const LookInside& look_inside = {});

/// A digest as people are shown it.
std::string shown_content(const std::string& sha256, bool executable);

Json causes_json(const std::vector<Cause>& causes);
std::vector<Cause> parse_causes(const std::string& json);

/// In words: "param train.lr: 0.1 → 0.2".
std::string words(const Cause& cause);

}  // namespace mlops::engine
