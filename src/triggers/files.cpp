// Files: what they hold counts, not when they were touched.
#include "pipeline/file_patterns.hpp"
#include "store/objects.hpp"
#include "store/snapshot.hpp"
#include "triggers/look.hpp"
#include "util/digest.hpp"
#include "util/strings.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

namespace mlops::triggers {

namespace {

constexpr std::size_t most_listed = 1'000;  // of more files only one digest of all is remembered
constexpr std::size_t most_named = 3;

struct Changes {
  std::vector<std::string> changed, added, removed;
  std::vector<std::pair<std::string, std::string>>
      renamed;  // of those that are gone and new, what holds the same

  std::string words() const {
    std::vector<std::string> parts, names;
    const auto add = [&](const std::vector<std::string>& list, const char* what, const auto& left_out) {
      const std::size_t before = names.size();
      std::ranges::copy_if(list, std::back_inserter(names), [&](const std::string& name) {
        return std::ranges::find(renamed, name, left_out) == renamed.end();
      });
      if (names.size() > before) parts.push_back(std::to_string(names.size() - before) + " " + what);
    };
    using Pair = std::pair<std::string, std::string>;
    add(changed, "changed", &Pair::second);
    if (!renamed.empty()) parts.push_back(std::to_string(renamed.size()) + " renamed");
    for (const auto& [from, to] : renamed) names.push_back(from + " to " + to);
    add(added, "new", &Pair::second);
    add(removed, "gone", &Pair::first);
    const bool more = names.size() > most_named;
    if (more) names.resize(most_named);
    return util::join(parts, ", ") + ": " + util::join(names, ", ") + (more ? ", …" : "");
  }
};

Changes compare(const Json& before, const Json& now) {
  Changes changes;
  for (const auto& [path, digest] : now.items()) {
    if (!before.contains(path)) {
      changes.added.push_back(path);
    } else if (before[path] != digest) {
      changes.changed.push_back(path);
    }
  }
  for (const auto& [path, digest] : before.items()) {
    if (!now.contains(path)) changes.removed.push_back(path);
  }
  // Of several that hold the same nobody can tell which became which.
  std::map<std::string, std::vector<std::string>> gone, fresh;  // by digest
  for (const std::string& path : changes.removed) gone[before[path]].push_back(path);
  for (const std::string& path : changes.added) fresh[now[path]].push_back(path);
  for (const auto& [digest, from] : gone) {
    const auto to = fresh.find(digest);
    if (from.size() == 1 && to != fresh.end() && to->second.size() == 1)
      changes.renamed.emplace_back(from.front(), to->second.front());
  }
  return changes;
}

}  // namespace

Sight look_at_files(const TriggerRecord& record, const Trigger& trigger, const Scene& scene) {
  const std::vector<std::string> files = pipeline::FilePatterns(trigger.files, scene.directory).find();
  store::Objects objects(scene.workspace.store_directory());
  store::Snapshots snapshots(objects, 1);
  util::Sha256 sum;
  Json list = Json::object();
  std::size_t count = 0;
  for (const std::string& path : files) {
    const auto content = snapshots.look(path);
    if (!content) continue;  // gone meanwhile: that is a change of its own
    ++count;
    const std::string name = util::to_utf8(
        path.starts_with(scene.directory + "/") ? path.substr(scene.directory.size() + 1) : path);
    sum.update(path);
    sum.update(std::string_view("\0", 1));
    sum.update(content->digest.hex());
    if (files.size() <= most_listed) list[name] = content->digest.hex();
  }
  snapshots.save();
  const std::string digest = sum.hex();
  const Json before = state_of(record);
  Sight sight;
  sight.words =
      std::to_string(count) + (count == 1 ? " file" : " files") + ", digest " + digest.substr(0, 12);
  if (before.is_object() && before.value("digest", "") == digest) return sight;
  Json state = {{"digest", digest}, {"files", count}};
  if (files.size() <= most_listed) state["list"] = list;
  sight.state = state.dump();
  if (before.is_null()) return sight;
  Happening change{digest.substr(0, 16) + "@" + std::to_string(record.version), "", {{"files", count}}};
  if (before.contains("list") && files.size() <= most_listed) {
    const Changes changes = compare(before["list"], list);
    change.what = changes.words();
    change.payload["changed"] = changes.changed;
    change.payload["added"] = changes.added;
    change.payload["removed"] = changes.removed;
    change.payload["renamed"] = Json::array();
    for (const auto& [from, to] : changes.renamed)
      change.payload["renamed"].push_back({{"from", from}, {"to", to}});
  } else {
    change.what = "something in " + std::to_string(count) + " files changed";
  }
  sight.happenings.push_back(std::move(change));
  return sight;
}

}  // namespace mlops::triggers
