#include "store/remote_catalog.hpp"

#include <mlops/error.hpp>

#include "store/pack.hpp"
#include "util/id.hpp"
#include "util/log.hpp"
#include "util/time.hpp"

#include <nlohmann/json.hpp>

#include <set>

namespace mlops::store {

namespace {

constexpr const char* identity_file = "mlops-remote.json";
constexpr int format = 1;
constexpr std::size_t few = 64;  // names that are asked for one by one, all at the same time
constexpr std::chrono::days trusted_for{7};

}  // namespace

RemoteCatalog::RemoteCatalog(Objects& objects, Remote& remote, std::string name)
    : remote_(remote), name_(std::move(name)), locations_(objects.directory() + "/index.db") {}

std::optional<std::string> RemoteCatalog::read_identity() {
  const std::vector<RemoteFile> there = remote_.list({identity_file});
  if (there.empty()) return std::nullopt;
  std::vector<Download> files(1);
  files[0].name = identity_file;
  files[0].size = there[0].size;
  if (there[0].size <= 4096) remote_.download(files, [](std::size_t) {});
  const auto json = nlohmann::json::parse(files[0].bytes, nullptr, false);
  const std::string id =
      json.is_object() && json.contains("id") && json["id"].is_string() ? json["id"].get<std::string>() : "";
  if (id.empty() || !json.contains("mlops_remote") || !json["mlops_remote"].is_number_integer()) {
    throw Error(ExitCode::io,
                std::string("cannot use the remote '") + name_ + "': its '" + identity_file + "' is damaged",
                "look at it there; a remote without it is made anew by the next push");
  }
  if (json["mlops_remote"].get<int>() > format) {
    throw Error(ExitCode::io, "cannot use the remote '" + name_ + "': it is of a newer version of mlops",
                "update mlops to the version that wrote it, or a later one");
  }
  return id;
}

bool RemoteCatalog::open() {
  const auto identity = read_identity();
  if (!identity) {
    if (!locations_.identity_of(name_)) return false;
    throw Error(
        ExitCode::unreachable,
        "the remote '" + name_ + "' was used before, but there is nothing at its place now",
        "is the share mounted, and the address right? If it was emptied on purpose: `mlops remote rm " +
            name_ + "`, then add it again");
  }
  number_ = locations_.remote(name_, *identity);
  refresh_packs();
  return true;
}

void RemoteCatalog::open_or_make() {
  if (open()) return;
  std::vector<Upload> files(1);
  files[0].name = identity_file;
  files[0].bytes = nlohmann::json({{"mlops_remote", format}, {"id", util::new_id()}}).dump() + "\n";
  files[0].size = files[0].bytes.size();
  files[0].digest = util::digest_of(files[0].bytes);
  remote_.upload(files, [](std::size_t) {});
  // Somebody else may have made it at the same moment: who came last named it.
  number_ = locations_.remote(name_, read_identity().value_or(""));
}

// Takes notice of packs that came and went.
void RemoteCatalog::refresh_packs() {
  std::map<std::string, std::uint64_t> there;  // name -> size of its table
  for (const RemoteFile& file : remote_.list({"packs/"})) {
    if (file.name.ends_with(".idx")) there[file.name.substr(6, file.name.size() - 10)] = file.size;
  }
  for (const std::string& known : locations_.packs(number_)) {
    if (there.erase(known) == 0) locations_.forget_pack(number_, known);
  }
  std::vector<Download> files;
  for (const auto& [name, size] : there) {
    Download file;
    file.name = "packs/" + name + ".idx";
    file.size = size;
    files.push_back(std::move(file));
  }
  remote_.download(files, [](std::size_t) {});
  for (const Download& file : files) {
    const std::string name = file.name.substr(6, file.name.size() - 10);
    const auto objects = read_pack_tail(file.bytes, name);
    if (objects.empty()) {
      util::log_warning("'" + file.name + "' of the remote '" + name_ +
                        "' is damaged and its pack is not used");
      continue;
    }
    locations_.add_pack(number_, name, objects);
  }
}

void RemoteCatalog::look_for(const std::vector<util::Digest>& digests, bool check) {
  found_.clear();
  std::vector<std::string> names;
  std::unordered_map<std::string, util::Digest> asked;
  const Instant trusted_since = util::now() - trusted_for;
  for (const util::Digest& digest : digests) {
    if (const auto known = locations_.find(number_, digest);
        known && (!known->pack.empty() || (!check && known->seen >= trusted_since))) {
      found_[digest] = *known;
      continue;
    }
    const std::string name = object_name(digest);
    if (asked.emplace(name, digest).second) names.push_back(name);
  }
  if (names.empty()) return;
  std::vector<db::Location> files;
  for (const RemoteFile& file :
       remote_.list(names.size() <= few ? names : std::vector<std::string>{"objects/"})) {
    const auto it = asked.find(file.name);
    if (it == asked.end()) continue;
    files.push_back({it->second, "", 0, file.size, {}});
    found_[it->second] = files.back();
    asked.erase(it);
  }
  for (const auto& [name, digest] : asked) {
    if (locations_.find(number_, digest)) locations_.forget_file(number_, digest);
  }
  locations_.add_files(number_, files);
}

std::optional<db::Location> RemoteCatalog::find(const util::Digest& digest) const {
  const auto it = found_.find(digest);
  return it == found_.end() ? std::nullopt : std::optional(it->second);
}

void RemoteCatalog::add_pack(const std::string& pack, const std::vector<db::PackedObject>& objects) {
  locations_.add_pack(number_, pack, objects);
}

void RemoteCatalog::forget(const db::Location& location) {
  found_.erase(location.digest);
  if (location.pack.empty()) {
    locations_.forget_file(number_, location.digest);
  } else {
    locations_.forget_pack(number_, location.pack);
  }
}

}  // namespace mlops::store
