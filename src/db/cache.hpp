#pragma once

#include <mlops/records.hpp>

#include "db/database.hpp"
#include "db/tags.hpp"

#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace mlops::db {

/// The run and step that made the results with a key.
struct CacheEntry {
  std::string run;
  int step = 0;
  std::string name;  ///< of the step, there
};
/// Results that can be had again.
struct CachedResults {
  CacheEntry maker;
  std::vector<ArtifactRecord> artifacts;                    ///< outputs
  std::vector<std::pair<std::string, std::string>> values;  ///< set by MLOPS_OUTPUT
  std::vector<MetricPoint> metrics;                         ///< the last point of each
  bool relabelled = false;                                  ///< kinds of `artifacts` are newer than on record
};
std::optional<CachedResults> find_cached(Connection& db, const std::string& key);

/// As find_cached() for all steps of the pipeline's newest run, by key.
std::unordered_map<std::string, CachedResults> results_of_newest_run(Connection& db,
                                                                     const std::string& pipeline);

/// Says what outputs are for as `results` have it. Within a Transaction of the caller.
void relabel(Connection& db, const CachedResults& results);

/// Within a Transaction of the caller. The newest maker of a key replaces the one before.
void put_cached(Connection& db, const std::string& key, const std::string& run_id, int step, Instant now);
void put_facts(Connection& db, const std::string& run_id, int step, const std::string& facts);

/// What the step depended on in the newest run of the pipeline in which it succeeded or was cached, as JSON.
struct LastFacts {
  CacheEntry maker;  ///< who ran it then
  std::string facts;
};
std::optional<LastFacts> last_facts(Connection& db, const std::string& pipeline, const std::string& step);
std::optional<std::string> facts_of(Connection& db, const std::string& run_id, int step);

/// Content that gc must keep, and why.
struct KeptContent {
  enum class Why { pin, running, dataset, tag, run } why = Why::run;
  std::string sha256;
  std::string form;             ///< as ArtifactRecord::form
  bool may_be_missing = false;  ///< an input, or an output that was not kept: the store need not have it
};
/// Of which runs outputs are kept, besides those that are pinned or running.
struct OutputRetention {
  std::optional<Instant> since;  ///< only of those started then or later
  int newest = -1;               ///< if not negative, only of so many of each pipeline
  std::vector<Tag> tags;         ///< of all with one of these, however old; without a value: with any
};
/// Of pinned and running runs outputs and inputs, of datasets all versions, and outputs and kept inputs of
/// other runs. The strongest reasons come first.
std::vector<KeptContent> contents_to_keep(Connection& db, const OutputRetention& retention);

/// Hands what other runs refer to in `run_id` to the oldest of them, before `run_id` is deleted; returns
/// those. Within a Transaction.
std::set<std::string> hand_over_results(Connection& db, const std::string& run_id);

}  // namespace mlops::db
