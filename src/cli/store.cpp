#include "cli/context.hpp"
#include "cli/output.hpp"
#include "db/cache.hpp"
#include "engine/collect.hpp"
#include "engine/recovery.hpp"
#include "store/gc.hpp"
#include "util/quantity.hpp"
#include "util/time.hpp"

#include <cstdio>

namespace mlops::cli {

namespace {

struct Options {
  std::string older_than;
  int keep = -1;
  bool dry_run = false;
  bool json = false;
};

store::Objects open_store(const Workspace& workspace) { return store::Objects(workspace.store_directory()); }

void stat(const Options& options, Context& context) {
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
  std::printf("%s\n", objects.directory().c_str());
  std::printf("  %llu objects of their own, %s\n", static_cast<unsigned long long>(u.loose_objects),
              util::format_size(u.loose_bytes).c_str());
  std::printf("  %llu objects in %llu packs, %s\n", static_cast<unsigned long long>(u.packed_objects),
              static_cast<unsigned long long>(u.packs), util::format_size(u.packed_bytes).c_str());
  if (u.quarantined > 0)
    std::printf("  %llu damaged ones in quarantine\n", static_cast<unsigned long long>(u.quarantined));
}

void verify(const Options& options, Context& context) {
  const OpenWorkspace open = open_to_read(context);
  store::Objects objects = open_store(open.workspace);
  std::uint64_t good = 0, bytes = 0;
  std::vector<util::Digest> all;
  store::for_each_object(objects, [&](const util::Digest& digest, std::uint64_t size) {
    all.push_back(digest);
    bytes += size;
  });
  nlohmann::json damaged = nlohmann::json::array();
  for (const util::Digest& digest : all) {
    if (objects.verify(digest)) {
      ++good;
    } else {
      damaged.push_back(digest.hex());
    }
  }
  if (!damaged.empty()) context.exit_code = static_cast<int>(ExitCode::gate_refused);
  if (options.json) return print_json({{"good", good}, {"bytes", bytes}, {"damaged", damaged}});
  for (const auto& digest : damaged)
    std::printf("damaged %s: moved to quarantine\n", digest.get<std::string>().c_str());
  std::printf("%llu objects are whole (%s), %zu damaged\n", static_cast<unsigned long long>(good),
              util::format_size(bytes).c_str(), damaged.size());
  if (!damaged.empty())
    std::printf("  steps whose results are damaged run again when they are next needed\n");
}

void gc(const Options& options, Context& context) {
  OpenWorkspace open = open_to_write(context);
  store::Objects objects = open_store(open.workspace);
  std::optional<Instant> since;
  if (!options.older_than.empty()) {
    const auto age = util::parse_duration(options.older_than);
    if (!age)
      throw Error(ExitCode::usage, "cannot read the age '" + options.older_than + "'",
                  "give a duration such as 30d");
    since = util::now() - *age;
  }
  std::vector<store::Root> roots;
  for (const db::KeptContent& content :
       db::contents_to_keep(open.database.connection(), since, options.keep)) {
    if (const auto digest = util::Digest::from_hex(content.sha256))
      roots.push_back({*digest, content.form == "tree"});
  }
  const store::GcResult r = store::collect_garbage(objects, roots, {.dry_run = options.dry_run});
  if (options.json) {
    return print_json({{"dry_run", options.dry_run},
                       {"removed_objects", r.removed_objects},
                       {"removed_bytes", r.removed_bytes},
                       {"kept_objects", r.kept_objects},
                       {"kept_bytes", r.kept_bytes},
                       {"young_objects", r.young_objects},
                       {"missing_objects", r.missing_objects}});
  }
  std::printf("%s %llu objects, %s\n", options.dry_run ? "would remove" : "removed",
              static_cast<unsigned long long>(r.removed_objects), util::format_size(r.removed_bytes).c_str());
  std::printf("  kept %llu, %s: outputs of the runs that are recorded%s\n",
              static_cast<unsigned long long>(r.kept_objects), util::format_size(r.kept_bytes).c_str(),
              options.keep >= 0 || since ? " and were to be kept" : "");
  if (r.young_objects > 0)
    std::printf("  kept %llu that nobody needs: too young to go, or not worth rewriting their pack for\n",
                static_cast<unsigned long long>(r.young_objects));
  if (r.missing_objects > 0)
    std::printf("  %llu that are needed are missing: `mlops store verify`\n",
                static_cast<unsigned long long>(r.missing_objects));
}

}  // namespace

void set_up_store(CLI::App& app, Context& context) {
  auto options = std::make_shared<Options>();
  app.require_subcommand(1);
  auto* stat_command = app.add_subcommand("stat", "how much there is");
  auto* verify_command = app.add_subcommand("verify", "read every object and compare it with its name");
  auto* gc_command = app.add_subcommand("gc", "remove what no recorded run needs");
  gc_command
      ->add_option("--older-than", options->older_than,
                   "let go of outputs of runs started longer ago, e.g. 90d")
      ->type_name("AGE");
  gc_command->add_option("--keep", options->keep, "keep outputs of the newest N runs of each pipeline only")
      ->type_name("N")
      ->check(CLI::Range(0, 1'000'000'000));
  gc_command->add_flag("-n,--dry-run", options->dry_run, "only say what would be removed");
  for (CLI::App* command : {stat_command, verify_command, gc_command}) {
    command->add_flag("--json", options->json, "print JSON");
  }
  app.footer("Examples:\n  mlops store stat\n  mlops store verify\n  mlops store gc --keep 20 --dry-run");
  stat_command->callback([options, &context] { stat(*options, context); });
  verify_command->callback([options, &context] { verify(*options, context); });
  gc_command->callback([options, &context] { gc(*options, context); });
}

}  // namespace mlops::cli
