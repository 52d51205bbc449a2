#include "cli/context.hpp"
#include "cli/output.hpp"
#include "cli/tags.hpp"
#include "db/cache.hpp"
#include "db/datasets.hpp"
#include "db/lineage.hpp"
#include "db/locations.hpp"
#include "db/steps.hpp"
#include "dvc/project_cache.hpp"
#include "engine/collect.hpp"
#include "engine/recovery.hpp"
#include "engine/store_check.hpp"
#include "pipeline/dvc/config.hpp"
#include "store/gc.hpp"
#include "store/reach.hpp"
#include "store/snapshot.hpp"
#include "store/tree.hpp"
#include "util/files.hpp"
#include "util/quantity.hpp"
#include "util/time.hpp"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>
#include <utility>

namespace mlops::cli {

namespace {

struct StoreOptions {
  std::string what;
  std::string older_than;
  std::string grace;
  int keep = -1;
  std::vector<std::string> tags;
  bool dry_run = false;
  bool json = false;
};

store::Objects open_store(const Workspace& workspace) { return store::Objects(workspace.store_directory()); }

void stat(const StoreOptions& options, Context& context) {
  const OpenWorkspace open = open_to_read(context);
  store::Objects objects = open_store(open.workspace);
  const store::StoreUsage u = store::usage_of(objects);
  if (options.json) {
    return print_json({{"directory", objects.directory()},
                       {"loose_objects", u.loose_objects},
                       {"loose_bytes", u.loose_bytes},
                       {"packs", u.packs},
                       {"packed_objects", u.packed_objects},
                       {"packed_bytes", u.packed_bytes},
                       {"quarantined", u.quarantined}});
  }
  std::printf("%s\n", shown(objects.directory()).c_str());
  std::printf("  %s of %s own, %s\n", counted(u.loose_objects, "object").c_str(),
              u.loose_objects == 1 ? "its" : "their", util::format_size(u.loose_bytes).c_str());
  std::printf("  %s in %llu pack%s, %s\n", counted(u.packed_objects, "object").c_str(),
              static_cast<unsigned long long>(u.packs), u.packs == 1 ? "" : "s",
              util::format_size(u.packed_bytes).c_str());
  if (u.quarantined > 0)
    std::printf("  %s, damaged, in quarantine\n", counted(u.quarantined, "object").c_str());
}

void verify(const StoreOptions& options, Context& context) {
  OpenWorkspace open = open_to_read(context);
  const engine::StoreCheck check =
      engine::check_store(open.workspace, open.database.connection(), engine::StoreLook::at_bytes);
  const std::vector<std::string>& damaged = check.damaged;
  const std::vector<engine::NotWhole>& broken = check.not_whole;
  if (!damaged.empty() || !broken.empty()) context.exit_code = static_cast<int>(ExitCode::gate_refused);
  if (options.json) {
    nlohmann::json not_whole = nlohmann::json::array();
    for (const engine::NotWhole& entry : broken)
      not_whole.push_back({{"name", entry.name}, {"sha256", entry.sha256}, {"missing", entry.missing}});
    return print_json({{"good", check.good},
                       {"bytes", check.bytes},
                       {"damaged", damaged},
                       {"not_whole", std::move(not_whole)}});
  }
  constexpr std::size_t most = 20;
  for (std::size_t i = 0; i < std::min(damaged.size(), most); ++i)
    std::printf("damaged %s: not used any more\n", damaged[i].c_str());
  if (damaged.size() > most) std::printf("and %zu more: --json lists all\n", damaged.size() - most);
  std::printf("%s %s whole (%s), %zu damaged\n", counted(check.good, "object").c_str(),
              check.good == 1 ? "is" : "are", util::format_size(check.bytes).c_str(), damaged.size());
  if (!damaged.empty())
    std::printf("  steps whose results are damaged run again when they are next needed\n");
  for (std::size_t i = 0; i < std::min(broken.size(), most); ++i)
    std::printf("%s is not whole: %s not in the store\n  %s\n", shown(broken[i].name).c_str(),
                broken[i].missing == 1 ? "1 content is"
                                       : (std::to_string(broken[i].missing) + " contents are").c_str(),
                shown(broken[i].hint).c_str());
  if (broken.size() > most) std::printf("and %zu more: --json lists all\n", broken.size() - most);
}

std::chrono::milliseconds age(const std::string& text) {
  const auto duration = util::parse_duration(text);
  const bool unit = text == "0" || text.find_first_not_of("0123456789.") != std::string::npos;
  if (!duration || !unit)
    throw Error(ExitCode::usage, "cannot read the age '" + text + "'",
                "give a duration with its unit, such as 30d");
  return *duration;
}

std::vector<store::Root> roots_of(db::Connection& connection, const StoreOptions& options) {
  db::OutputRetention retention;
  if (!options.older_than.empty()) retention.since = util::now() - age(options.older_than);
  retention.newest = options.keep;
  for (const std::string& tag : options.tags) retention.tags.push_back(read_tag(tag));
  constexpr store::Keeper keepers[] = {store::Keeper::pin, store::Keeper::running, store::Keeper::dataset,
                                       store::Keeper::tag, store::Keeper::run};
  std::vector<store::Root> roots;
  for (const db::KeptContent& content : db::contents_to_keep(connection, retention)) {
    if (const auto digest = util::Digest::from_hex(content.sha256))
      roots.push_back({*digest, content.form == "tree", keepers[static_cast<std::size_t>(content.why)],
                       content.may_be_missing});
  }
  return roots;
}

void gc(const StoreOptions& options, Context& context) {
  OpenWorkspace open = options.dry_run ? open_to_read(context) : open_to_write(context);
  store::Objects objects = open_store(open.workspace);
  store::GcOptions how{.dry_run = options.dry_run};
  if (!options.grace.empty())
    how.grace = std::chrono::duration_cast<std::chrono::seconds>(age(options.grace));
  const store::GcResult r = store::collect_garbage(
      objects, [&] { return roots_of(open.database.connection(), options); }, how);
  const store::GcCount all = r.all_kept();
  if (options.json) {
    nlohmann::json kept = nlohmann::json::object();
    for (int i = 0; i < store::keepers; ++i) {
      const store::GcCount& count = r.kept[static_cast<std::size_t>(i)];
      kept[store::to_string(static_cast<store::Keeper>(i))] = {{"objects", count.objects},
                                                               {"bytes", count.bytes}};
    }
    return print_json({{"dry_run", options.dry_run},
                       {"removed_objects", r.removed.objects},
                       {"removed_bytes", r.removed.bytes},
                       {"waiting_bytes", r.waiting_bytes},
                       {"kept_objects", all.objects},
                       {"kept_bytes", all.bytes},
                       {"kept", std::move(kept)},
                       {"missing_objects", r.missing_objects},
                       {"absent_outputs", r.absent_outputs},
                       {"packs_rewritten", r.packs_rewritten}});
  }
  std::printf("%s %s, %s\n", options.dry_run ? "would remove" : "removed",
              counted(r.removed.objects, "object").c_str(), util::format_size(r.removed.bytes).c_str());
  if (r.waiting_bytes > 0)
    std::printf("  %s more lie in packs of which the larger part is needed, and are taken back later\n",
                util::format_size(r.waiting_bytes).c_str());
  std::printf("  %s %llu, %s\n", options.dry_run ? "would keep" : "kept",
              static_cast<unsigned long long>(all.objects), util::format_size(all.bytes).c_str());
  for (int i = 0; i < store::keepers; ++i) {
    const store::GcCount& count = r.kept[static_cast<std::size_t>(i)];
    if (count.objects == 0) continue;
    std::printf("    %llu, %s: %s\n", static_cast<unsigned long long>(count.objects),
                util::format_size(count.bytes).c_str(), store::words_for(static_cast<store::Keeper>(i)));
  }
  if (r.missing_objects > 0)
    std::printf("  %llu that are needed are not here: `mlops store verify` tells of what\n",
                static_cast<unsigned long long>(r.missing_objects));
  if (r.absent_outputs > 0)
    std::printf("  nothing is here of %llu outputs on record: let go by a gc before, or never fetched\n",
                static_cast<unsigned long long>(r.absent_outputs));
}

// The content that a digest or a path stands for.
struct Asked {
  std::optional<util::Digest> digest;
  bool directory = false;
  std::string md5 = {};        // as DVC names it; empty: it has no such name
  std::string dvc_cache = {};  // the directory of DVC's cache, if it is there
};

// Of a path in a DVC project: what DVC's cache has of it, as it is now or else as a run has made it.
void ask_dvc(const std::string& what, const std::string& made, store::Objects& objects, Asked& asked) {
  const std::string path = util::absolute_path(what);
  const std::string root = pipeline::dvc::find_root(std::filesystem::path(path).parent_path().string());
  if (root.empty()) return;
  dvc::Hasher hasher(objects, root);
  if (const auto content = hasher.look(path)) {
    asked.md5 = content->md5;
  } else if (made.starts_with("md5:")) {
    asked.md5 = made.substr(4);
  }
  if (asked.md5.empty()) return;
  asked.directory = asked.md5.ends_with(".dir");
  dvc::ContentCache cache = dvc::cache_of(root);
  if (cache.has({asked.md5, dvc::Hash::md5, false})) asked.dvc_cache = cache.directory();
}

Asked find_content(const std::string& what, OpenWorkspace& open, store::Objects& objects) {
  if (const auto digest = util::Digest::from_hex(what)) {
    const auto bytes = objects.has(*digest) ? objects.read(*digest) : std::nullopt;
    return {.digest = *digest, .directory = bytes && store::is_tree(*bytes)};
  }
  const auto artifact = db::latest_artifact(open.database.connection(), open.workspace.relative(what));
  Asked asked;
  ask_dvc(what, artifact ? artifact->sha256 : "", objects, asked);
  store::Snapshots snapshots(objects);
  if (const auto content = snapshots.look(util::absolute_path(what))) {
    asked.digest = content->digest;
    asked.directory = content->directory;
    return asked;
  }
  if (artifact) {
    asked.digest = util::Digest::from_hex(artifact->sha256);
    if (asked.digest) asked.directory = artifact->form == "tree";
  }
  if (asked.digest || !asked.md5.empty()) return asked;
  throw Error(ExitCode::usage, "'" + what + "' is no digest, no file, and no artifact of a run",
              "give a SHA-256, or the path of an output");
}

void where(const StoreOptions& options, Context& context) {
  OpenWorkspace open = open_to_read(context);
  store::Objects objects = open_store(open.workspace);
  db::Locations locations(objects.directory() + "/index.db");
  const Asked asked = find_content(options.what, open, objects);
  // A directory is somewhere as far as all of its parts are.
  std::uint64_t all = 0, here = 0;
  struct Place {
    std::uint64_t contents = 0;
    db::Location first;
  };
  std::map<std::string, Place> elsewhere;
  const auto count = [&](const util::Digest& digest) {
    ++all;
    if (objects.has(digest)) ++here;
    for (db::RemoteLocation& found : locations.everywhere(digest)) {
      Place& place = elsewhere[found.remote];
      if (place.contents++ == 0) place.first = std::move(found.location);
    }
  };
  if (asked.digest && asked.directory) {
    for (const util::Digest& digest : store::reach(objects, {{*asked.digest, true}})) count(digest);
  } else if (asked.digest) {
    count(*asked.digest);
  }
  nlohmann::json places = nlohmann::json::array();
  if (here > 0)
    places.push_back({{"remote", nullptr}, {"contents", here}, {"pack", nullptr}, {"seen", nullptr}});
  for (const auto& [name, place] : elsewhere) {
    const auto& pack = place.first.pack;
    places.push_back({{"remote", name},
                      {"contents", place.contents},
                      {"pack", pack.empty() ? nlohmann::json() : nlohmann::json(pack)},
                      {"seen", time_json(place.first.seen)}});
  }
  const bool known = !places.empty() || !asked.dvc_cache.empty();
  if (!known) context.exit_code = static_cast<int>(ExitCode::gate_refused);
  if (options.json)
    return print_json(
        {{"digest", asked.digest ? nlohmann::json(asked.digest->hex()) : nlohmann::json()},
         {"md5", asked.md5.empty() ? nlohmann::json() : nlohmann::json(asked.md5)},
         {"dvc_cache", asked.dvc_cache.empty() ? nlohmann::json() : nlohmann::json(asked.dvc_cache)},
         {"directory", asked.directory},
         {"contents", all},
         {"places", places}});
  std::printf("%s%s\n", asked.digest ? asked.digest->hex().c_str() : ("md5:" + asked.md5).c_str(),
              asked.directory ? " (a directory)" : "");
  const auto part = [&](std::uint64_t contents) {
    return all > 1 ? ", " + std::to_string(contents) + " of " + std::to_string(all) + " contents"
                   : std::string();
  };
  if (here > 0) std::printf("  in the store%s\n", part(here).c_str());
  for (const auto& [name, place] : elsewhere) {
    std::printf("  on %s%s%s, last seen %s\n", name.c_str(), part(place.contents).c_str(),
                place.first.pack.empty() || all > 1 ? "" : " in a pack",
                util::format_ago(place.first.seen, util::now()).c_str());
  }
  if (!asked.dvc_cache.empty())
    std::printf("  in DVC's cache, %s; `dvc push` sends it to a remote\n", shown(asked.dvc_cache).c_str());
  if (!known) std::printf("  nowhere that is known of\n");
}

}  // namespace

void set_up_store(CLI::App& app, Context& context) {
  auto options = std::make_shared<StoreOptions>();
  app.require_subcommand(1);
  auto* stat_command = app.add_subcommand("stat", "how much there is");
  auto* verify_command = app.add_subcommand("verify", "read every object and compare it with its name");
  auto* gc_command = app.add_subcommand("gc", "remove what no run, dataset or pin needs");
  auto* where_command = app.add_subcommand("where", "tell where a content is: here, and on which remotes");
  where_command->add_option("DIGEST|PATH", options->what, "a SHA-256, or a file or directory")->required();
  gc_command
      ->add_option("--older-than", options->older_than,
                   "let go of outputs of runs started longer ago, e.g. 90d")
      ->type_name("AGE");
  gc_command->add_option("--keep", options->keep, "keep outputs of the newest N runs of each pipeline only")
      ->type_name("N")
      ->check(CLI::Range(0, 1'000'000'000));
  gc_command
      ->add_option("--keep-tag", options->tags,
                   "keep outputs of runs with this tag, whatever --keep and --older-than say")
      ->type_name("KEY[=VALUE]")
      ->expected(1)
      ->take_all();
  gc_command
      ->add_option("--grace", options->grace, "keep what is younger whether it is needed or not (default 1h)")
      ->type_name("AGE");
  gc_command->add_flag("-n,--dry-run", options->dry_run, "only say what would be removed");
  for (CLI::App* command : {stat_command, verify_command, gc_command, where_command}) {
    command->add_flag("--json", options->json, "print JSON");
  }
  app.footer(
      "Examples:\n  mlops store stat\n  mlops store verify\n  mlops store gc --keep 20 --keep-tag release "
      "--dry-run\n  mlops "
      "store where models/model.bin");
  stat_command->footer("Examples:\n  mlops store stat\n  mlops store stat --json | jq .loose_bytes");
  verify_command->footer(
      "Damaged objects are set aside. Exits with 3 if there are any, or if a version of a dataset or an "
      "output\n"
      "on record is not whole.\n"
      "Examples:\n  mlops store verify\n  mlops store verify --json | jq -r '.damaged[]'");
  gc_command->footer(
      "Examples:\n  mlops store gc --dry-run\n  mlops store gc --keep 20 --keep-tag release\n"
      "  mlops store gc --older-than 90d --grace 1d");
  stat_command->callback([options, &context] { stat(*options, context); });
  verify_command->callback([options, &context] { verify(*options, context); });
  gc_command->callback([options, &context] { gc(*options, context); });
  where_command->footer("Examples:\n  mlops store where models/model.bin\n  mlops store where data --json");
  where_command->callback([options, &context] { where(*options, context); });
}

}  // namespace mlops::cli
