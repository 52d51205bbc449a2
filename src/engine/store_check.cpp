#include "engine/store_check.hpp"

#include "db/cache.hpp"
#include "db/datasets.hpp"
#include "db/lineage.hpp"
#include "store/gc.hpp"
#include "store/lease.hpp"
#include "store/objects.hpp"
#include "store/pack.hpp"
#include "store/reach.hpp"
#include "util/digest.hpp"
#include "util/files.hpp"

#include <algorithm>
#include <map>
#include <unordered_map>
#include <utility>

namespace mlops::engine {

namespace {

struct OnRecord {
  NotWhole words;
  store::Root root;
};

// Held from now on.
std::vector<OnRecord> on_record(db::Connection& connection, store::Objects& objects) {
  std::vector<OnRecord> list;
  const store::Objects::Moment moment(objects);
  for (const std::string& dataset : db::dataset_names(connection)) {
    for (const DatasetVersion& version : db::versions_of(connection, dataset)) {
      if (const auto digest = util::Digest::from_hex(version.sha256))
        list.push_back({{dataset + "@" + std::to_string(version.version),
                         "add its files again where they still are: mlops data add " + version.path +
                             " --name " + dataset,
                         version.sha256, 0, true},
                        {*digest, version.form == "tree"}});
    }
  }
  for (const db::KeptContent& content : db::contents_to_keep(connection, {})) {
    const auto digest = util::Digest::from_hex(content.sha256);
    if (!digest || content.form != "tree" || content.why == db::KeptContent::Why::dataset ||
        !objects.has(*digest))
      continue;
    list.push_back({{"", "the step that made it runs again when it is next needed", content.sha256, 0, false},
                    {*digest, true}});
  }
  for (const OnRecord& entry : list) objects.hold(entry.root.digest, entry.root.directory);
  return list;
}

std::vector<NotWhole> find_not_whole(db::Connection& connection, store::Objects& objects,
                                     std::vector<OnRecord> list) {
  std::vector<store::Root> roots;
  for (const OnRecord& entry : list) roots.push_back(entry.root);
  const auto missing = store::missing_of(objects, roots);
  std::vector<NotWhole> broken;
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (missing[i] == 0) continue;
    NotWhole& words = list[i].words;
    words.missing = missing[i];
    if (words.name.empty()) {
      const auto makers = db::makers_of(connection, words.sha256, "", 1);
      words.name = makers.empty() ? words.sha256 : makers[0].file.path + " of run " + makers[0].by.run;
    }
    broken.push_back(std::move(words));
  }
  return broken;
}

using Sizes = std::unordered_map<util::Digest, std::uint64_t, util::DigestHash>;

// Of files; where two runs do not agree, neither is believed.
Sizes sizes_on_record(db::Connection& connection) {
  Sizes sizes;
  db::Statement row = connection.prepare(
      "SELECT sha256, min(size) FROM artifacts WHERE form IN ('file', 'executable') GROUP BY sha256 "
      "HAVING min(size) = max(size)");
  while (row.step()) {
    if (const auto digest = util::Digest::from_hex(row.text(0)))
      sizes[*digest] = static_cast<std::uint64_t>(row.integer(1));
  }
  return sizes;
}

// A pack of the index whose file cannot have what the index says.
bool is_cut_off(const std::string& path, const std::string& name, std::uint64_t end) {
  return !util::exists(path) || util::file_size(path) < end || store::read_pack_table(path, name).empty();
}

void look_at_packs(store::Objects& objects, StoreCheck& check) {
  std::map<std::int64_t, std::uint64_t> bytes;  // in each pack: no smaller file can hold them
  objects.for_each_packed(
      [&](const util::Digest&, std::int64_t pack, std::uint64_t size) { bytes[pack] += size; });
  for (const auto& [number, name] : objects.pack_numbers()) {
    if (is_cut_off(objects.pack_path(name), name, bytes[number])) check.packs.push_back(name);
  }
}

}  // namespace

StoreCheck check_store(const Workspace& workspace, db::Connection& connection, StoreLook look) {
  store::Objects objects(workspace.store_directory());
  const store::Lease lease(objects);
  std::vector<OnRecord> recorded = on_record(connection, objects);
  StoreCheck check;
  check.noted = objects.incomplete();
  if (look != StoreLook::at_bytes) look_at_packs(objects, check);
  if (look == StoreLook::to_mend && !check.packs.empty()) {
    objects.mark_incomplete();
    objects.forget_packs(check.packs);
  }
  const Sizes sizes = look == StoreLook::at_bytes ? Sizes() : sizes_on_record(connection);
  std::vector<std::pair<util::Digest, std::uint64_t>> all;
  store::for_each_object(
      objects, [&](const util::Digest& digest, std::uint64_t size) { all.emplace_back(digest, size); });
  for (const auto& [digest, size] : all) {
    // gc may have removed it since it was listed.
    if (!objects.has(digest)) continue;
    bool good = true;
    if (look == StoreLook::at_bytes) {
      good = objects.verify(digest);
    } else if (const auto known = sizes.find(digest); known != sizes.end() && known->second != size) {
      // It may be the record that is wrong: when something is to be done, the bytes decide.
      good = look == StoreLook::to_mend && objects.verify(digest);
    }
    if (good) {
      ++check.good, check.bytes += size;
    } else {
      check.damaged.push_back(digest.hex());
    }
  }
  check.not_whole = find_not_whole(connection, objects, std::move(recorded));
  // So that what is made or added again is looked at object by object.
  if (!check.not_whole.empty() && look != StoreLook::at_sizes) objects.mark_incomplete();
  return check;
}

}  // namespace mlops::engine
