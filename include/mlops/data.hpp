// Door to src/data: datasets, contents of the work tree kept under a name, one version after the other.
#pragma once

#include <mlops/dataset.hpp>
#include <mlops/workspace.hpp>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace mlops {

namespace db {
class Database;
}

/// A file that two versions do not have in common.
struct DataChange {
  enum class Kind { added, removed, changed } kind = Kind::added;
  std::string path;
  std::uint64_t size_before = 0, size_after = 0;
  std::string sha256_before, sha256_after;
};

namespace data {

struct AddRequest {
  std::string path;
  std::string name;  ///< empty: the last part of the path
  std::string note;
};
struct Added {
  DatasetVersion version;
  bool unchanged = false;  ///< the newest version holds this already, and no new one was made
  std::uint64_t new_objects = 0, new_bytes = 0;  ///< that the store did not have
};
/// Keeps what lies at a path as the next version. Throws Error(usage) for a bad name or path, Error(io).
Added add(const Workspace& workspace, db::Database& database, const AddRequest& request);

/// The version that `reference` names: NAME, NAME@latest, NAME@NUMBER or NAME@DIGEST, of which four digits or
/// more are enough. Throws Error(usage) with what there is.
DatasetVersion find(db::Database& database, const std::string& reference);

/// Calls `on_change` for what differs from `before` to `after`, in order of path; without `after`, to what
/// lies at the path of `before` now. Throws Error(io) when a version is not whole in the store.
void diff(const Workspace& workspace, const DatasetVersion& before,
          const std::optional<DatasetVersion>& after,
          const std::function<void(const DataChange&)>& on_change);

/// Calls `on_file` for each file of a version, in order, until it says false.
void list_files(const Workspace& workspace, const DatasetVersion& version,
                const std::function<bool(const std::string& path, std::uint64_t size,
                                         const std::string& sha256)>& on_file);

/// How what lies at a path compares with a version.
enum class Presence { same, differs, missing };
Presence presence_of(const Workspace& workspace, const DatasetVersion& version, const std::string& path);

struct Checkout {
  std::string to;      ///< empty: the path of the version
  bool force = false;  ///< also over what is in no version
};
/// Puts a version into the work tree, all or nothing. False if it is there already. Throws Error(refused)
/// when that would destroy what no version holds, Error(io) when the version is not whole in the store.
bool check_out(const Workspace& workspace, db::Database& database, const DatasetVersion& version,
               const Checkout& checkout);

/// Deletes versions: the one that `reference` names, or all of a dataset. Throws Error(gate_refused) when one
/// is pinned and `force` is not given.
std::vector<DatasetVersion> remove(const Workspace& workspace, db::Database& database,
                                   const std::string& reference, bool force, bool dry_run);

}  // namespace data
}  // namespace mlops
