#pragma once

#include <mlops/dataset.hpp>

#include "db/database.hpp"

#include <optional>
#include <string>
#include <vector>

namespace mlops::db {

/// The newest version of each dataset, by name.
std::vector<DatasetVersion> datasets(Connection& db);
std::vector<std::string> dataset_names(Connection& db);

/// Of one dataset, newest first.
std::vector<DatasetVersion> versions_of(Connection& db, const std::string& dataset);
std::optional<DatasetVersion> latest_version(Connection& db, const std::string& dataset);

/// A version of any dataset with this content.
std::optional<DatasetVersion> version_with(Connection& db, const std::string& sha256,
                                           const std::string& form);

/// Makes the dataset as needed; returns the number that the version got. Within a Transaction.
int insert_version(Connection& db, const DatasetVersion& version);
/// Sets what the version differs in from the one before. Within a Transaction.
void set_changes(Connection& db, const DatasetVersion& version);
/// Deletes a version, and the dataset with its last one. Within a Transaction.
void delete_version(Connection& db, const std::string& dataset, int version);

// --- Pins

struct Pin {
  std::string kind;  ///< run or dataset
  std::string name;  ///< id of a run, or NAME@VERSION
  std::string of;    ///< the pipeline or the dataset
  std::string note;
  Instant created_at{};
};
std::vector<Pin> pins(Connection& db);
std::optional<Pin> pin_of_run(Connection& db, const std::string& run_id);

/// Within a Transaction. Pinning again replaces the note; unpinning tells whether there was a pin.
void pin_run(Connection& db, const std::string& run_id, const std::string& note, Instant now);
bool unpin_run(Connection& db, const std::string& run_id);
void pin_version(Connection& db, const std::string& dataset, int version, const std::string& note,
                 Instant now);
bool unpin_version(Connection& db, const std::string& dataset, int version);

}  // namespace mlops::db
