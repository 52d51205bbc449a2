#include <mlops/error.hpp>

#include "db/steps.hpp"
#include "engine/cache.hpp"
#include "engine/exchange.hpp"
#include "engine/run_record.hpp"
#include "store/lease.hpp"
#include "store/restore.hpp"
#include "store/snapshot.hpp"
#include "util/strings.hpp"

#include <filesystem>
#include <map>

namespace mlops::engine {

namespace {

struct Wanted {
  std::string run;
  store::Content content;
};

// By a link on the way, which another result may have brought.
bool leads_out(const std::string& root, const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error, error_of_root;
  const fs::path full = fs::path(root) / path;
  const fs::path real = fs::weakly_canonical(full.parent_path(), error) / full.filename();
  const fs::path real_root = fs::weakly_canonical(root, error_of_root);
  return error || error_of_root || !is_inside(real.lexically_relative(real_root).string());
}

// Path -> what is to lie there.
std::map<std::string, Wanted> wanted_outputs(db::Connection& db, const std::vector<db::StepOfRun>& results,
                                             std::vector<Placement>& placements) {
  std::map<std::string, Wanted> wanted;
  for (const db::StepOfRun& step : results) {
    const db::StepOfRun maker = db::maker_of(db, step);
    for (const ArtifactRecord& a : db::artifacts_of_step(db, maker.run, maker.step)) {
      const auto digest = util::Digest::from_hex(a.sha256);
      if (!a.output || !digest || a.form == "listing") continue;
      if (!is_inside(a.path)) {
        placements.push_back({Placement::State::outside, a.path, step.run});
        continue;
      }
      Wanted& entry = wanted[a.path];
      if (entry.run <= step.run)
        entry = {step.run, {*digest, a.size, a.files, a.form == "tree", a.form == "executable"}};
    }
  }
  return wanted;
}

}  // namespace

std::vector<Placement> place_outputs(const Workspace& workspace, db::Database& database,
                                     const std::vector<db::StepOfRun>& results, bool force, bool dry_run) {
  store::Objects objects(workspace.store_directory());
  const store::Lease lease(objects);
  store::Snapshots snapshots(objects);
  std::vector<Placement> placements;
  const auto wanted = wanted_outputs(database.connection(), results, placements);
  std::vector<std::string> precious, to_place;
  for (const auto& [path, entry] : wanted) {
    const auto here = snapshots.look(workspace.root() + "/" + path);
    if (here && here->digest == entry.content.digest && form_of(*here) == form_of(entry.content)) {
      placements.push_back({Placement::State::there, path, entry.run});
      continue;
    }
    if (here && !objects.has(here->digest)) precious.push_back(path);
    to_place.push_back(path);
  }
  if (!precious.empty() && !force) {
    snapshots.save();
    throw Error(
        ExitCode::gate_refused,
        "will not overwrite what was changed here and is kept nowhere else: " + util::join(precious, ", "),
        "move it away, or overwrite it with --force; nothing was changed");
  }
  for (const std::string& path : to_place) {
    const Wanted& entry = wanted.at(path);
    if (leads_out(workspace.root(), path)) {
      placements.push_back({Placement::State::outside, path, entry.run});
      continue;
    }
    const bool done = dry_run ? objects.has(entry.content.digest)
                              : store::restore(objects, entry.content, workspace.root() + "/" + path);
    placements.push_back({done ? Placement::State::placed : Placement::State::absent, path, entry.run});
  }
  snapshots.save();
  return placements;
}

}  // namespace mlops::engine
