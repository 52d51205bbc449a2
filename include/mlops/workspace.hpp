// START HERE. Door to src/workspace: a project's `.mlops` directory, its paths and its database.
#pragma once

#include <optional>
#include <string>

namespace mlops {

namespace db {
class Database;
}

/// Where a project keeps its records. A value: paths only.
class Workspace {
 public:
  /// The workspace that holds `directory` (the nearest `.mlops` upwards), or the one that `explicit_root` or
  /// MLOPS_WORKSPACE names.
  static std::optional<Workspace> find(const std::string& directory, const std::string& explicit_root = {});

  /// As find(), but throws Error(usage) that says how to make one.
  static Workspace require(const std::string& directory, const std::string& explicit_root = {});

  /// As find(); where there is none, makes one in the root of the git work tree around `directory`, or in
  /// `directory` itself. `created` tells which it was.
  static Workspace find_or_create(const std::string& directory, const std::string& explicit_root,
                                  bool& created);

  /// Makes `root`/.mlops; harmless when it exists. Throws Error(io).
  static Workspace create(const std::string& root);

  const std::string& root() const { return root_; }
  std::string state_directory() const { return root_ + "/.mlops"; }
  std::string database_path() const;
  /// Throws Error(usage) for what is no id of a run: it would lead to a place of its own choosing.
  std::string run_directory(const std::string& run_id) const;
  std::string store_directory() const { return state_directory() + "/store"; }

  /// `path` relative to the root if it lies inside, else absolute.
  std::string relative(const std::string& path) const;

  /// Throws Error(io) when the state directory belongs to someone else or others may write to it.
  void check_owner() const;

  /// Throws Error(io) when this user may not look into the state directory, where nothing is no answer.
  void require_access() const;

  /// Whether check_owner() holds. Where it does not, the database is only read.
  bool trusted() const;

 private:
  explicit Workspace(std::string root) : root_(std::move(root)) {}
  std::string root_;
};

}  // namespace mlops
