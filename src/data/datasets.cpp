#include "db/datasets.hpp"

#include <mlops/data.hpp>
#include <mlops/error.hpp>

#include "data/content.hpp"
#include "dvc/project_cache.hpp"
#include "store/lease.hpp"
#include "util/files.hpp"
#include "util/log.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"
#include "workspace/environment.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <filesystem>

namespace mlops::data {

namespace {

constexpr std::size_t longest_name = 100;
constexpr std::size_t shortest_digest = 4;

bool may_be_name(const std::string& name) {
  const auto fits = [](unsigned char c) {
    return std::isalnum(c) || c == '.' || c == '_' || c == '-' || c >= 0x80;
  };
  return !name.empty() && name.size() <= longest_name && name[0] != '.' && name[0] != '-' &&
         std::ranges::all_of(name, fits) && util::escape_controls(util::to_utf8(name)) == name;
}

void check_name(const std::string& name, bool chosen) {
  if (may_be_name(name)) return;
  const std::string rule =
      "a name has letters, digits, '.', '_' and '-', begins with none of '.' and '-', and is no longer "
      "than " +
      std::to_string(longest_name) + " bytes";
  throw Error(ExitCode::usage, "'" + util::escape_controls(name) + "' cannot be the name of a dataset",
              chosen ? rule : "give it one: --name NAME; " + rule);
}

// A dataset that held the store would hold itself.
void check_path(const Workspace& workspace, const std::string& path) {
  if (!util::exists(path)) {
    throw Error(ExitCode::usage, "cannot add '" + path + "': there is no such file or directory");
  }
  if (holds_records(workspace, path)) {
    throw Error(ExitCode::usage,
                "cannot add '" + path + "': it holds the records of this workspace, '" +
                    workspace.state_directory() + "'",
                "add a directory below it");
  }
}

DatasetVersion kept_version(const Workspace& workspace, const AddRequest& request, const std::string& path,
                            const store::Content& content) {
  DatasetVersion version;
  version.dataset = request.name;
  version.path = workspace.relative(path);
  version.sha256 = content.digest.hex();
  version.form = form_of(content);
  version.size = content.size;
  version.files = content.files;
  version.note = request.note;
  version.user = workspace::user_name();
  return version;
}

// A folder's links are kept as links: of those that DVC has made to its cache, the data would not be kept.
void refuse_links_to_dvc(const std::string& path) {
  const std::string link = dvc::link_into_cache(path);
  if (link.empty()) return;
  throw Error(ExitCode::usage,
              "cannot add '" + path + "': '" + link +
                  "' is a link into DVC's cache, and the link would be kept instead of the data",
              "make its files those of the folder: dvc unprotect " + path);
}

}  // namespace

void count_changes(store::Objects& objects, const std::optional<DatasetVersion>& before,
                   DatasetVersion& version) {
  version.added = version.files, version.removed = version.changed = 0;
  if (!before) return;
  try {
    DatasetVersion counted = version;
    counted.added = counted.removed = counted.changed = 0;
    diff_versions(objects, *before, version, [&](const DataChange& change) {
      ++(change.kind == DataChange::Kind::added     ? counted.added
         : change.kind == DataChange::Kind::removed ? counted.removed
                                                    : counted.changed);
    });
    version = counted;
  } catch (const Error& error) {
    // The version before is not whole: this one is all the same.
    util::log_warning("all files count as added: " + std::string(error.what()));
  }
}

Added add(const Workspace& workspace, db::Database& database, const AddRequest& asked) {
  AddRequest request = asked;
  const std::string path = util::absolute_path(request.path);
  if (request.name.empty()) request.name = std::filesystem::path(path).filename().string();
  check_name(request.name, !asked.name.empty());
  check_path(workspace, path);
  refuse_links_to_dvc(path);
  db::Connection& connection = database.connection();
  if (const auto other = db::latest_version(connection, request.name);
      other && asked.name.empty() && other->path != workspace.relative(path)) {
    throw Error(ExitCode::usage,
                "there is a dataset '" + request.name + "' already, which lies at '" + other->path + "'",
                "to add this as its next version: --name " + request.name + "; else give it another name");
  }

  store::Objects objects(workspace.store_directory());
  const store::Lease lease(objects);
  store::Snapshots snapshots(objects);
  store::Publisher publisher(objects);
  const auto content = snapshots.keep(path, publisher);
  if (!content) throw Error(ExitCode::io, "'" + path + "' was removed while it was read");
  publisher.commit();
  objects.hold(content->digest, content->directory);
  snapshots.save();

  Added added{kept_version(workspace, request, path, *content), false, publisher.objects_written(),
              publisher.bytes_written()};
  while (true) {
    const auto before = db::latest_version(connection, request.name);
    if (before && before->sha256 == added.version.sha256 && before->form == added.version.form) {
      added.version = *before;
      added.unchanged = true;
      return added;
    }
    count_changes(objects, before, added.version);
    added.version.created_at = util::now();
    db::Transaction transaction(database, db::Durability::full);
    // Somebody else may have added a version meanwhile.
    const auto again = db::latest_version(connection, request.name);
    if (again.has_value() != before.has_value() || (again && again->version != before->version)) continue;
    added.version.version = db::insert_version(connection, added.version);
    transaction.commit();
    return added;
  }
}

namespace {

[[noreturn]] void refuse_dataset(db::Connection& connection, const std::string& name) {
  const auto names = db::dataset_names(connection);
  throw Error(ExitCode::usage, "there is no dataset '" + name + "'",
              names.empty() ? "add one: mlops data add PATH" : util::did_you_mean(name, names));
}

[[noreturn]] void refuse_version(const std::string& name, const std::string& which,
                                 const std::vector<DatasetVersion>& versions) {
  throw Error(ExitCode::usage, "dataset '" + name + "' has no version '" + which + "'",
              "it has " + std::to_string(versions.back().version) +
                  (versions.size() > 1 ? " to " + std::to_string(versions.front().version) : std::string()) +
                  ": `mlops data versions " + name + "`");
}

}  // namespace

DatasetVersion find(db::Database& database, const std::string& reference) {
  db::Connection& connection = database.connection();
  const std::size_t at = reference.find('@');
  const std::string name = reference.substr(0, at);
  const std::string which = at == reference.npos ? "latest" : reference.substr(at + 1);
  const auto versions = db::versions_of(connection, name);
  if (versions.empty()) refuse_dataset(connection, name);
  if (which == "latest") return versions.front();
  int number = 0;
  const auto [end, error] = std::from_chars(which.data(), which.data() + which.size(), number);
  if (error == std::errc() && end == which.data() + which.size()) {
    const auto it = std::ranges::find(versions, number, &DatasetVersion::version);
    if (it != versions.end()) return *it;
  }
  if (which.size() < shortest_digest) refuse_version(name, which, versions);
  const DatasetVersion* found = nullptr;
  for (const DatasetVersion& version : versions) {
    if (!version.sha256.starts_with(which)) continue;
    // The same content may have come back: the newest version stands for it.
    if (found && found->sha256 != version.sha256) {
      throw Error(ExitCode::usage, "'" + which + "' fits several versions of dataset '" + name + "'",
                  "give more digits, or the number");
    }
    if (!found) found = &version;
  }
  if (!found) refuse_version(name, which, versions);
  return *found;
}

std::vector<DatasetVersion> remove(const Workspace& workspace, db::Database& database,
                                   const std::string& reference, bool force, bool dry_run) {
  db::Connection& connection = database.connection();
  const bool one = reference.find('@') != reference.npos;
  const auto versions = db::versions_of(connection, reference.substr(0, reference.find('@')));
  const std::vector<DatasetVersion> gone = one ? std::vector{find(database, reference)} : versions;
  if (gone.empty()) refuse_dataset(connection, reference);
  for (const DatasetVersion& version : gone) {
    if (!version.pinned || force) continue;
    const std::string name = version.dataset + "@" + std::to_string(version.version);
    throw Error(ExitCode::gate_refused, "will not delete " + name + ": it is pinned",
                "unpin it first: mlops unpin " + name + "; or use --force");
  }
  if (dry_run) return gone;

  // The version after a deleted one is now told against the one before that.
  std::optional<DatasetVersion> before, after;
  for (const DatasetVersion& version : versions) {
    if (!one) break;
    if (version.version > gone[0].version) after = version;
    if (version.version < gone[0].version && !before) before = version;
  }
  if (after) {
    store::Objects objects(workspace.store_directory());
    count_changes(objects, before, *after);
  }
  db::Transaction transaction(database, db::Durability::full);
  for (const DatasetVersion& version : gone) db::delete_version(connection, version.dataset, version.version);
  if (after) db::set_changes(connection, *after);
  transaction.commit();
  return gone;
}

}  // namespace mlops::data
