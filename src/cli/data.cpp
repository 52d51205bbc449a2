#include "cli/data.hpp"

#include <mlops/data.hpp>

#include "cli/context.hpp"
#include "cli/output.hpp"
#include "db/datasets.hpp"
#include "util/log.hpp"
#include "util/quantity.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"

#include <cstdio>

namespace mlops::cli {

std::string full_name(const DatasetVersion& version) {
  return version.dataset + "@" + std::to_string(version.version);
}

nlohmann::json to_json(const DatasetVersion& v) {
  return {{"dataset", v.dataset}, {"version", v.version},
          {"path", v.path},       {"sha256", v.sha256},
          {"form", v.form},       {"size", v.size},
          {"files", v.files},     {"added", v.added},
          {"removed", v.removed}, {"changed", v.changed},
          {"note", v.note},       {"user", v.user},
          {"pinned", v.pinned},   {"created_at", time_json(v.created_at)}};
}

namespace {

void add(const DataOptions& options, Context& context) {
  util::set_up_log(context.verbose);
  bool created = false;
  const Workspace workspace = Workspace::find_or_create(".", context.workspace, created);
  workspace.check_owner();
  if (created && !options.json)
    std::printf("made a workspace: %s\n", shown(workspace.state_directory()).c_str());
  db::Database database = db::Database::open(workspace.database_path());
  const data::Added added = data::add(workspace, database, {options.names[0], options.name, options.note});
  const DatasetVersion& v = added.version;
  if (options.json) {
    nlohmann::json json = to_json(v);
    json["unchanged"] = added.unchanged;
    json["new_objects"] = added.new_objects;
    json["new_bytes"] = added.new_bytes;
    return print_json(json);
  }
  const std::string size = counted(v.files, "file") + ", " + util::format_size(v.size);
  if (added.unchanged) {
    if (added.new_objects > 0) {
      std::printf("made %s whole: %s\n  %s of it, %s, had gone from the store\n", full_name(v).c_str(),
                  size.c_str(), counted(added.new_objects, "content").c_str(),
                  util::format_size(added.new_bytes).c_str());
    } else {
      std::printf("%s is unchanged: %s, %s\n", v.dataset.c_str(), full_name(v).c_str(), size.c_str());
    }
    if (!options.note.empty() && options.note != v.note)
      std::fprintf(stderr, "  the note was not kept, as there is no new version\n");
    return;
  }
  std::printf("added %s: %s\n", full_name(v).c_str(), size.c_str());
  if (v.version > 1)
    std::printf("  %s added, %llu removed, %llu changed\n", counted(v.added, "file").c_str(),
                static_cast<unsigned long long>(v.removed), static_cast<unsigned long long>(v.changed));
}

void list(const DataOptions& options, Context& context) {
  OpenWorkspace open = open_to_read(context);
  const auto datasets = db::datasets(open.database.connection());
  if (options.json) {
    nlohmann::json entries = nlohmann::json::array();
    for (const DatasetVersion& v : datasets) entries.push_back(to_json(v));
    return print_json({{"datasets", std::move(entries)}});
  }
  if (datasets.empty()) {
    std::fprintf(stderr, "there are no datasets yet; add one: mlops data add PATH\n");
    return;
  }
  Table table({"NAME", "LATEST", "FILES", "SIZE", "ADDED", "PATH"});
  for (const std::size_t column : {1, 2, 3}) table.right_align(column);
  for (const DatasetVersion& v : datasets) {
    table.add({v.dataset, std::to_string(v.version), std::to_string(v.files), util::format_size(v.size),
               util::format_local(v.created_at), shown(v.path)});
  }
  table.print(stdout);
}

void print_files(const Workspace& workspace, const DatasetVersion& v, int limit) {
  Table table({"  FILE", "SIZE", "SHA256"});
  table.right_align(1);
  int left = limit;
  data::list_files(workspace, v, [&](const std::string& path, std::uint64_t size, const std::string& sha256) {
    if (limit > 0 && left-- == 0) return false;
    table.add({"  " + shown(path), util::format_size(size), sha256.substr(0, 12)});
    return true;
  });
  std::printf("\n");
  table.print(stdout);
  if (limit > 0 && v.files > static_cast<std::uint64_t>(limit))
    std::printf("  and %llu more: --all\n",
                static_cast<unsigned long long>(v.files) - static_cast<unsigned long long>(limit));
}

const char* words_for(data::Presence presence) {
  switch (presence) {
    case data::Presence::same: return "as in this version";
    case data::Presence::differs: return "differs from this version";
    case data::Presence::missing: break;
  }
  return "not there";
}

void show(const DataOptions& options, Context& context) {
  OpenWorkspace open = open_to_read(context);
  const DatasetVersion v = data::find(open.database, options.names[0]);
  const data::Presence presence = data::presence_of(open.workspace, v, v.path);
  if (options.json) {
    nlohmann::json json = to_json(v);
    json["work_tree"] = presence == data::Presence::same      ? "same"
                        : presence == data::Presence::differs ? "differs"
                                                              : "missing";
    if (options.files) {
      json["listing"] = nlohmann::json::array();
      int left = options.shown_limit();
      data::list_files(open.workspace, v,
                       [&](const std::string& path, std::uint64_t size, const std::string& sha256) {
                         if (options.shown_limit() > 0 && left-- == 0) return false;
                         json["listing"].push_back({{"path", path}, {"size", size}, {"sha256", sha256}});
                         return true;
                       });
    }
    return print_json(json);
  }
  const Style style = style_of(stdout);
  std::printf("%s%s\n", style.bold(full_name(v)).c_str(), v.pinned ? "  pinned" : "");
  std::printf("  content   %s, %s (%s)\n", counted(v.files, "file").c_str(),
              util::format_size(v.size).c_str(), v.form == "tree" ? "a directory" : "a file");
  std::printf("  sha256    %s\n", v.sha256.c_str());
  std::printf("  changes   %llu added, %llu removed, %llu changed\n",
              static_cast<unsigned long long>(v.added), static_cast<unsigned long long>(v.removed),
              static_cast<unsigned long long>(v.changed));
  std::printf("  added     %s by %s\n", util::format_local(v.created_at).c_str(), v.user.c_str());
  if (!v.note.empty()) std::printf("  note      %s\n", shown(v.note).c_str());
  std::printf("  path      %s: %s\n", shown(v.path).c_str(), words_for(presence));
  if (options.files) print_files(open.workspace, v, options.shown_limit());
}

void versions(const DataOptions& options, Context& context) {
  OpenWorkspace open = open_to_read(context);
  const DatasetVersion named = data::find(open.database, options.names[0]);
  const auto list = db::versions_of(open.database.connection(), named.dataset);
  if (options.json) {
    nlohmann::json entries = nlohmann::json::array();
    for (const DatasetVersion& v : list) entries.push_back(to_json(v));
    return print_json({{"dataset", named.dataset}, {"versions", std::move(entries)}});
  }
  Table table({"VERSION", "FILES", "SIZE", "ADDED", "REMOVED", "CHANGED", "WHEN", "SHA256", "", "NOTE"});
  for (const std::size_t column : {0, 1, 2, 3, 4, 5}) table.right_align(column);
  for (const DatasetVersion& v : list) {
    table.add({std::to_string(v.version), std::to_string(v.files), util::format_size(v.size),
               std::to_string(v.added), std::to_string(v.removed), std::to_string(v.changed),
               util::format_local(v.created_at), v.sha256.substr(0, 12), v.pinned ? "pinned" : "",
               shown(v.note)});
  }
  table.print(stdout);
}

void check_out(const DataOptions& options, Context& context) {
  OpenWorkspace open = open_to_read(context);
  open.workspace.check_owner();
  const DatasetVersion v = data::find(open.database, options.names[0]);
  const bool done = data::check_out(open.workspace, open.database, v, {options.to, options.force});
  const std::string path = options.to.empty() ? v.path : options.to;
  if (options.json) {
    nlohmann::json json = to_json(v);
    json["path"] = path;
    json["changed_work_tree"] = done;
    return print_json(json);
  }
  if (!done) {
    std::printf("%s is at %s already\n", full_name(v).c_str(), shown(path).c_str());
  } else {
    std::printf("checked out %s at %s: %s, %s\n", full_name(v).c_str(), shown(path).c_str(),
                counted(v.files, "file").c_str(), util::format_size(v.size).c_str());
  }
}

void remove(const DataOptions& options, Context& context) {
  OpenWorkspace open = options.dry_run ? open_to_read(context) : open_to_write(context);
  const auto gone =
      data::remove(open.workspace, open.database, options.names[0], options.force, options.dry_run);
  nlohmann::json names = nlohmann::json::array();
  for (const DatasetVersion& v : gone) {
    names.push_back(full_name(v));
    if (!options.json)
      std::printf("%s %s\n", options.dry_run ? "would delete" : "deleted", full_name(v).c_str());
  }
  if (options.json) return print_json({{"deleted", std::move(names)}, {"dry_run", options.dry_run}});
  if (!options.dry_run)
    std::printf("  files in the work tree stay; the next `mlops store gc` frees what nothing else needs\n");
}

}  // namespace

void set_up_data(CLI::App& app, Context& context) {
  auto options = std::make_shared<DataOptions>();
  app.require_subcommand(1);
  const auto command = [&](const char* name, const char* summary, const char* argument, const char* about,
                           void (*work)(const DataOptions&, Context&)) {
    CLI::App* sub = app.add_subcommand(name, summary);
    if (argument) sub->add_option(argument, options->names, about)->required()->expected(1);
    sub->add_flag("--json", options->json, "print JSON");
    sub->callback([options, &context, work] { work(*options, context); });
    return sub;
  };
  const char* one_version = "a version: NAME, NAME@latest, NAME@NUMBER or NAME@DIGEST";

  CLI::App* sub = command("add", "keep a file or directory as the next version of a dataset", "PATH",
                          "a file or a directory", add);
  sub->add_option("--name", options->name, "name of the dataset (default: the last part of the path)")
      ->type_name("NAME")
      ->check(not_empty);
  sub->add_option("--note", options->note, "what is new, for whoever looks later")->type_name("TEXT");
  sub->footer(
      "Examples:\n  mlops data add data/images\n  mlops data add data/raw.csv --name sales --note 'with "
      "June'");

  sub = command("list", "list datasets", nullptr, nullptr, list);
  sub->footer("Examples:\n  mlops data list\n  mlops data list --json | jq '.datasets[].dataset'");

  sub = command("show", "show a version: size, digest, changes, what lies in the work tree", "VERSION",
                one_version, show);
  sub->add_flag("--files", options->files, "also its files");
  add_limit(*sub, *options);
  sub->footer("Examples:\n  mlops data show images\n  mlops data show images@2 --files --limit 50");

  sub = command("versions", "list the versions of a dataset, newest first", "NAME", "a dataset", versions);
  sub->footer("Examples:\n  mlops data versions images");

  set_up_data_diff(app, options, context);

  sub = command("checkout", "put a version into the work tree", "VERSION", one_version, check_out);
  sub->add_option("--to", options->to, "where to put it (default: where it lay)")
      ->type_name("PATH")
      ->check(not_empty);
  sub->add_flag("--force", options->force, "also over files that are in no version");
  sub->footer(
      "All of it is put in place at once, or nothing. Files that no version holds are not overwritten.\n"
      "Examples:\n  mlops data checkout images@2\n  mlops data checkout images@9f31 --to /tmp/images");

  sub = command("rm", "delete a version, or a dataset with all of them", "NAME",
                "NAME for all versions, or NAME@VERSION", remove);
  sub->add_flag("--force", options->force, "also pinned ones");
  sub->add_flag("-n,--dry-run", options->dry_run, "only say what would be deleted");
  sub->footer("Examples:\n  mlops data rm images@2 --dry-run\n  mlops data rm images");

  app.footer(
      "A version is the content of a file or directory at one time; versions share what they have in "
      "common.\n"
      "`mlops data COMMAND --help` explains each.\n"
      "Examples:\n  mlops data add data/images\n  mlops data diff images\n  mlops data diff images@1 "
      "images@2 --stat\n"
      "  mlops data checkout images@1");
}

}  // namespace mlops::cli
