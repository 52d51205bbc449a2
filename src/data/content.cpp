#include "data/content.hpp"

#include <mlops/error.hpp>

#include "db/datasets.hpp"
#include "store/lease.hpp"
#include "store/restore.hpp"
#include "store/tree.hpp"
#include "util/files.hpp"

#include <sys/stat.h>

#include <cerrno>
#include <filesystem>

namespace mlops::data {

namespace {

namespace fs = std::filesystem;

std::string name_of(const DatasetVersion& version) {
  return version.dataset + "@" + std::to_string(version.version);
}

// Where a version lies, or lay, in the work tree.
std::string place_of(const Workspace& workspace, const std::string& path) {
  return path[0] == '/' ? path : util::absolute_path(workspace.root() + "/" + path);
}

// A file is a tree of one entry, which has its name.
store::TreeEntry entry_of(const store::Content& content, const std::string& path) {
  return {content.executable ? store::FileMode::executable : store::FileMode::file, content.size,
          content.digest, fs::path(path).filename().string()};
}

// What is at hand of two lists that are compared; null at the end of one.
void tell(const store::TreeEntry* before, const store::TreeEntry* after,
          const std::function<void(const DataChange&)>& on_change) {
  using Kind = DataChange::Kind;
  const auto hex = [](const store::TreeEntry* entry) { return entry ? entry->digest.hex() : std::string(); };
  on_change({!before  ? Kind::added
             : !after ? Kind::removed
                      : Kind::changed,
             (after ? after : before)->path, before ? before->size : 0, after ? after->size : 0, hex(before),
             hex(after)});
}

/// Compares what is stored with entries that come one by one.
class Comparison {
 public:
  Comparison(store::Objects& objects, const DatasetVersion& before,
             const std::function<void(const DataChange&)>& on_change)
      : on_change_(on_change) {
    const store::Content content = content_of(before);
    if (content.directory) {
      cursor_.emplace(objects, content.digest);
    } else {
      file_ = entry_of(content, before.path);
    }
  }

  void meet(const store::TreeEntry& after) {
    const store::TreeEntry* before;
    while ((before = entry()) && before->path < after.path) {
      tell(before, nullptr, on_change_);
      next();
    }
    if (!before || before->path != after.path) return tell(nullptr, &after, on_change_);
    if (!(*before == after)) tell(before, &after, on_change_);
    next();
  }

  void finish() {
    for (; const store::TreeEntry* before = entry(); next()) tell(before, nullptr, on_change_);
  }

 private:
  const store::TreeEntry* entry() { return cursor_ ? cursor_->entry() : file_ ? &*file_ : nullptr; }
  void next() { cursor_ ? cursor_->next() : file_.reset(); }

  std::optional<store::TreeCursor> cursor_;
  std::optional<store::TreeEntry> file_;
  const std::function<void(const DataChange&)>& on_change_;
};

// With the version in the words.
template <typename Work>
void need_whole(store::Objects& objects, const DatasetVersion& version, const Work& work) {
  try {
    work();
  } catch (const Error& error) {
    if (error.code() != ExitCode::io) throw;
    if (dynamic_cast<const store::NotWhole*>(&error)) objects.mark_incomplete();
    throw Error(ExitCode::io, "cannot read " + name_of(version) + ": " + error.what(), error.hint());
  }
}

}  // namespace

store::Content content_of(const DatasetVersion& version) {
  const auto digest = util::Digest::from_hex(version.sha256);
  if (!digest)
    throw Error(ExitCode::io,
                "the record of " + name_of(version) + " is damaged: its digest is '" + version.sha256 + "'");
  return {*digest, version.size, version.files, version.form == "tree", version.form == "executable"};
}

bool holds_records(const Workspace& workspace, const std::string& path) {
  std::error_code error;
  const std::string real = fs::weakly_canonical(path, error).string();
  const std::string records = fs::weakly_canonical(workspace.state_directory(), error).string();
  const auto inside = [](const std::string& below, const std::string& above) {
    return below == above || above == "/" || below.starts_with(above + "/");
  };
  return inside(records, real) || inside(real, records);
}

void diff_versions(store::Objects& objects, const DatasetVersion& before, const DatasetVersion& after,
                   const std::function<void(const DataChange&)>& on_change) {
  const store::Content a = content_of(before), b = content_of(after);
  if (a.directory && b.directory) {
    store::diff_trees(objects, a.digest, b.digest, [&](const store::TreeChange& change) {
      using Kind = store::TreeChange::Kind;
      tell(change.kind == Kind::added ? nullptr : &change.before,
           change.kind == Kind::removed ? nullptr : &change.after, on_change);
    });
    return;
  }
  Comparison comparison(objects, before, on_change);
  if (b.directory) {
    store::walk_tree(objects, b.digest, [&](store::TreeEntry&& entry) {
      comparison.meet(entry);
      return true;
    });
  } else {
    // Two files are one file that has changed, also when it has another name now.
    comparison.meet(entry_of(b, a.directory ? after.path : before.path));
  }
  comparison.finish();
}

void diff(const Workspace& workspace, const DatasetVersion& before,
          const std::optional<DatasetVersion>& after,
          const std::function<void(const DataChange&)>& on_change) {
  store::Objects objects(workspace.store_directory());
  if (after) {
    need_whole(objects, before, [&] { diff_versions(objects, before, *after, on_change); });
    return;
  }
  const std::string path = place_of(workspace, before.path);
  store::Snapshots snapshots(objects);
  Comparison comparison(objects, before, on_change);
  need_whole(objects, before, [&] {
    const auto now =
        snapshots.look_into(path, [&](const store::TreeEntry& entry) { comparison.meet(entry); });
    if (now && !now->directory) comparison.meet(entry_of(*now, before.path));
    comparison.finish();
  });
  snapshots.save();
}

void list_files(const Workspace& workspace, const DatasetVersion& version,
                const std::function<bool(const std::string&, std::uint64_t, const std::string&)>& on_file) {
  store::Objects objects(workspace.store_directory());
  const store::Content content = content_of(version);
  if (!content.directory) {
    on_file(fs::path(version.path).filename().string(), version.size, version.sha256);
    return;
  }
  need_whole(objects, version, [&] {
    store::walk_tree(objects, content.digest, [&](store::TreeEntry&& entry) {
      if (entry.mode == store::FileMode::directory) return true;
      return on_file(entry.path, entry.size, entry.digest.hex());
    });
  });
}

Presence presence_of(const Workspace& workspace, const DatasetVersion& version, const std::string& path) {
  store::Objects objects(workspace.store_directory());
  store::Snapshots snapshots(objects);
  const auto here = snapshots.look(place_of(workspace, path));
  snapshots.save();
  if (!here) return Presence::missing;
  return here->digest.hex() == version.sha256 && form_of(*here) == version.form ? Presence::same
                                                                                : Presence::differs;
}

namespace {

// A pipe, socket or device at or below a path, which no version can hold; empty if there is none.
std::string special_file_in(const std::string& path) {
  std::error_code error;
  for (fs::recursive_directory_iterator it(path, error), end; !error && it != end; it.increment(error)) {
    std::error_code unknown;
    if (it->is_symlink(unknown) || it->is_regular_file(unknown) || it->is_directory(unknown)) continue;
    if (!unknown) return it->path().string();
  }
  return {};
}

// Refuses when replacing what lies at `path` would destroy what no version holds. True if it is the version.
bool is_there_or_may_go(store::Objects& objects, db::Database& database, const DatasetVersion& version,
                        const std::string& path, bool force) {
  store::Snapshots snapshots(objects);
  const auto here = snapshots.look(path);
  snapshots.save();
  if (!here) return false;
  const std::string sha256 = here->digest.hex(), form = form_of(*here);
  if (sha256 == version.sha256 && form == version.form) return true;
  if (force) return false;
  if (const std::string special = here->directory ? special_file_in(path) : ""; !special.empty()) {
    throw Error(ExitCode::gate_refused,
                "will not replace '" + path + "' with " + name_of(version) + ": '" + special +
                    "' is a pipe, socket or device, which no version holds, and would be lost",
                "move it away, put the version elsewhere: --to PATH; or use --force");
  }
  if (here->files == 0) return false;
  if (db::version_with(database.connection(), sha256, form) && objects.has(here->digest)) return false;
  throw Error(
      ExitCode::gate_refused,
      "will not replace '" + path + "' with " + name_of(version) +
          ": what lies there is in no version of a dataset, and would be lost",
      "keep it first: mlops data add " + path + "; or put the version elsewhere: --to PATH; or use --force");
}

}  // namespace

bool check_out(const Workspace& workspace, db::Database& database, const DatasetVersion& version,
               const Checkout& checkout) {
  std::string path =
      checkout.to.empty() ? place_of(workspace, version.path) : util::absolute_path(checkout.to);
  // The directory that a link leads to is meant, not the link.
  std::error_code error;
  if (fs::is_symlink(path, error) && fs::exists(path, error)) path = fs::canonical(path, error).string();
  if (holds_records(workspace, path)) {
    throw Error(ExitCode::usage,
                "cannot put " + name_of(version) + " at '" + path + "': the records of this workspace, '" +
                    workspace.state_directory() + "', lie there",
                "put it elsewhere: --to PATH");
  }
  store::Objects objects(workspace.store_directory());
  const store::Lease lease(objects);
  const store::Content content = content_of(version);
  objects.hold(content.digest, content.directory);
  store::remove_leftovers_beside(path);
  if (is_there_or_may_go(objects, database, version, path, checkout.force)) return false;
  if (store::restore(objects, content, path)) return true;
  throw Error(ExitCode::io, "cannot check out " + name_of(version) + ": it is not whole in the store",
              "fetch it from a remote with `mlops fetch`, or add it again where its files still are");
}

}  // namespace mlops::data
