#include "engine/run_bell.hpp"

#include <mlops/error.hpp>

#include "db/runs.hpp"
#include "engine/kept_record.hpp"
#include "util/files.hpp"
#include "util/id.hpp"
#include "util/log.hpp"
#include "workspace/layout.hpp"

#include <fcntl.h>

namespace mlops::engine {

namespace {

std::string path_of(const Workspace& workspace) {
  return layout::in(workspace.state_directory(), layout::runs_bell);
}

std::string id_in_bell(const Workspace& workspace) {
  constexpr std::size_t most = 64;
  try {
    return util::read_regular_file(path_of(workspace), most).value_or("");
  } catch (const Error&) {
    return {};
  }
}

}  // namespace

void ring_end(const Workspace& workspace, db::Connection& db, const std::string& run_id) {
  try {
    const std::string id = forgotten_run(workspace, db).value_or(run_id);
    // No link is followed, and no pipe waited for.
    const util::Fd bell =
        util::open_file(path_of(workspace), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK);
    if (const int error = util::write_all(bell.get(), id))
      throw_errno("cannot write the bell of runs", error);
  } catch (const Error& error) {
    // The run has ended all the same, and the next look will tell.
    util::log_debug(error.what());
  }
}

std::optional<std::string> forgotten_run(const Workspace& workspace, db::Connection& db) {
  const std::string id = id_in_bell(workspace);
  if (!util::is_id(id) || db::run_exists(db, id)) return std::nullopt;
  if (!util::exists(layout::in(workspace.run_directory(id), layout::record))) return std::nullopt;
  if (removed_runs(workspace).contains(id)) return std::nullopt;
  return id;
}

void warn_of_forgotten_run(const Workspace& workspace, db::Connection& db) {
  const auto id = forgotten_run(workspace, db);
  if (!id) return;
  util::log_warning(
      "the database does not know run " + *id +
      ", which has ended here: was an older mlops.db put in its place, or mlops.db-wal deleted? "
      "`mlops fsck` tells what is missing, `mlops fsck --repair` brings it back");
}

}  // namespace mlops::engine
