#include "engine/kept_inputs.hpp"

#include "engine/cache.hpp"
#include "util/files.hpp"

namespace mlops::engine {

std::string path_of_record(const Workspace& workspace, const std::string& path) {
  return path.starts_with('/') ? path : util::absolute_path(workspace.root() + "/" + path);
}

std::vector<ArtifactRecord> keep_inputs(const std::vector<ArtifactRecord>& inputs, bool large_too,
                                        const Workspace& workspace, store::Objects& objects,
                                        store::Snapshots& snapshots) {
  std::vector<ArtifactRecord> kept;
  store::Publisher publisher(objects);
  for (const ArtifactRecord& input : inputs) {
    const std::string path = path_of_record(workspace, input.path);
    ArtifactRecord record = input;
    if (large_too || input.size <= small_input) {
      const auto content = snapshots.keep(path, publisher);
      if (!content || content->digest.hex() != input.sha256 || form_of(*content) != input.form) continue;
      record.kept = true;
    } else if (input.form == "tree") {
      const auto listed = snapshots.list(path, publisher);
      if (!listed || listed->first.digest.hex() != input.sha256) continue;
      record.list = listed->second.hex();
    } else {
      continue;
    }
    kept.push_back(std::move(record));
  }
  publisher.commit();
  return kept;
}

}  // namespace mlops::engine
