#include "engine/claims.hpp"

#include <mlops/error.hpp>

#include "engine/collect.hpp"
#include "engine/recovery.hpp"
#include "process/lock_file.hpp"
#include "util/fd_lock.hpp"
#include "util/files.hpp"
#include "util/id.hpp"
#include "util/strings.hpp"
#include "workspace/layout.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <set>

namespace mlops::engine {

namespace {

constexpr int list_limit_ms = 60'000;

struct Claim {
  std::string run, parent;
  std::vector<std::string> paths;
};

std::optional<Claim> read_claim(const std::string& directory, const std::string& run) {
  const auto text = util::read_file_if_exists(directory + "/" + run);
  if (!text) return std::nullopt;
  Claim claim{run, {}, util::split(*text, '\n')};
  if (!claim.paths.empty()) {
    claim.parent = claim.paths[0].size() > 7 ? claim.paths[0].substr(7) : "";
    claim.paths.erase(claim.paths.begin());
  }
  if (!claim.paths.empty() && claim.paths.back().empty()) claim.paths.pop_back();
  return claim;
}

// The first of `paths` that is one of `others`, lies in one, or has one in it. Both are sorted.
std::optional<std::string> common_path(const std::vector<std::string>& paths,
                                       const std::vector<std::string>& others) {
  for (const std::string& path : others) {
    for (std::string part = path; !part.empty();
         part.resize(part.rfind('/') == part.npos ? 0 : part.rfind('/'))) {
      if (std::ranges::binary_search(paths, part)) return part;
    }
    const auto below = std::ranges::lower_bound(paths, path + "/");
    if (below != paths.end() && below->starts_with(path + "/")) return *below;
  }
  return std::nullopt;
}

// Until whoever has locked the file lets go of it.
void wait_for(const std::string& path) {
  const util::Fd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  struct flock lock = util::whole_file_lock(F_RDLCK);
  while (fd && ::fcntl(fd.get(), F_OFD_SETLKW, &lock) != 0) {
    if (errno != EINTR) throw_errno("cannot wait for '" + path + "'", errno);
  }
}

class ClaimList {
 public:
  ClaimList(const Workspace& workspace, std::string directory)
      : workspace_(workspace), directory_(std::move(directory)) {}

  // Another run that makes one of `paths`. Claims of the dead are removed.
  std::optional<std::pair<std::string, std::string>> blocker(const std::string& own,
                                                             const std::vector<std::string>& paths) {
    const std::set<std::string> family = ancestors();
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(directory_, error)) {
      const std::string run = entry.path().filename().string();
      if (!util::is_id(run) || run == own || family.contains(run)) continue;
      if (liveness(workspace_, run) == Liveness::dead) {
        ::unlink(entry.path().c_str());
        continue;
      }
      const auto claim = read_claim(directory_, run);
      if (!claim) continue;
      if (const auto path = common_path(paths, claim->paths)) return std::pair(run, *path);
    }
    return std::nullopt;
  }

 private:
  // A step may start runs: what it waits for must not wait for it.
  std::set<std::string> ancestors() const {
    std::set<std::string> runs;
    const char* parent = std::getenv("MLOPS_RUN_ID");
    std::string run = parent ? parent : "";
    while (util::is_id(run) && runs.insert(run).second) {
      const auto claim = read_claim(directory_, run);
      run = claim ? claim->parent : "";
    }
    return runs;
  }

  const Workspace& workspace_;
  std::string directory_;
};

}  // namespace

OutputClaim::OutputClaim(const Workspace& workspace, const std::string& run_id,
                         std::vector<std::string> paths, const std::function<void(const std::string&)>& say) {
  const std::string directory = workspace.state_directory() + "/" + layout::claims;
  if (paths.empty()) return;
  std::ranges::sort(paths);
  util::make_directories(directory);
  ClaimList list(workspace, directory);
  std::string told;
  while (true) {
    std::optional<std::pair<std::string, std::string>> other;
    {
      const auto lock = process::LockFile::lock(directory + "/lock",
                                                "the list of outputs that are being made", list_limit_ms);
      other = list.blocker(run_id, paths);
      if (!other) {
        const char* parent = std::getenv("MLOPS_RUN_ID");
        std::string text = "parent" + (parent && util::is_id(parent) ? " " + std::string(parent) : "") + "\n";
        for (const std::string& path : paths) text += path + "\n";
        path_ = directory + "/" + run_id;
        fd_ = util::open_file(path_, O_RDWR | O_CREAT | O_TRUNC, 0600);
        struct flock whole = util::whole_file_lock(F_WRLCK);
        if (::fcntl(fd_.get(), F_OFD_SETLK, &whole) != 0) throw_errno("cannot lock '" + path_ + "'", errno);
        if (const int error = util::write_all(fd_.get(), text))
          throw_errno("cannot write '" + path_ + "'", error);
        return;
      }
    }
    if (told != other->first) {
      say("waits for run " + other->first + ", which makes '" + workspace.relative(other->second) +
          "' as well");
      told = other->first;
    }
    wait_for(directory + "/" + other->first);
    if (liveness(workspace, other->first) == Liveness::orphaned)
      wait_for(layout::in(workspace.run_directory(other->first), layout::keeper_lock));
  }
}

OutputClaim::~OutputClaim() {
  if (!path_.empty()) ::unlink(path_.c_str());
}

std::vector<std::string> outputs_made_by(const Pipeline& pipeline, const Plan& plan) {
  std::vector<std::string> paths;
  for (const PlannedStep& planned : plan.steps) {
    if (!planned.selected) continue;
    const Step& step = pipeline.steps[static_cast<std::size_t>(planned.step)];
    const std::string directory = step_directory(pipeline, step);
    for (const Output& output : step.outputs) paths.push_back(step_path(directory, output.path));
    for (const std::string& file : step.metrics) paths.push_back(step_path(directory, file));
  }
  return paths;
}

}  // namespace mlops::engine
