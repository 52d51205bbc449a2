#include "engine/quiet.hpp"

#include <mlops/error.hpp>

#include "engine/recovery.hpp"
#include "process/lock_file.hpp"
#include "util/files.hpp"
#include "util/id.hpp"
#include "workspace/layout.hpp"

#include <filesystem>

namespace mlops::engine {

void require_quiet(const Workspace& workspace, const std::string& attempt) {
  const std::string daemon = layout::in(workspace.state_directory(), layout::daemon_lock);
  if (process::LockFile::is_locked(daemon)) {
    const auto holder = process::LockFile::holder(daemon);
    throw Error(ExitCode::busy,
                "cannot " + attempt + " while a daemon serves '" + workspace.root() + "'" +
                    (holder ? " (process " + std::to_string(holder->pid) + ")" : std::string()),
                "stop it first");
  }
  std::error_code error;
  for (const auto& entry :
       std::filesystem::directory_iterator(layout::in(workspace.state_directory(), layout::runs), error)) {
    const std::string id = entry.path().filename().string();
    if (util::is_id(id) && util::is_directory(entry.path().string()) &&
        liveness(workspace, id) != Liveness::dead)
      throw Error(ExitCode::busy, "cannot " + attempt + " while run " + id + " goes on",
                  "wait for it, or `mlops cancel " + id + "`");
  }
}

}  // namespace mlops::engine
