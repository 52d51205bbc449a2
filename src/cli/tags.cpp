#include "cli/tags.hpp"

#include "cli/output.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"

#include <cstdio>

namespace mlops::cli {

namespace {

struct TagsOptions {
  std::string run;
  std::vector<std::string> tags;
  bool json = false;
};

void change(const TagsOptions& options, Context& context, bool add) {
  OpenWorkspace open = open_to_write(context);
  db::Connection& connection = open.database.connection();
  const std::string id = find_run_id(open, options.run);
  std::vector<db::Tag> tags;
  for (const std::string& text : options.tags) tags.push_back(read_tag(text));
  std::vector<std::string> missing;
  db::Transaction transaction(open.database, db::Durability::full);
  for (const db::Tag& tag : tags) {
    if (add) {
      db::put_tag(connection, id, tag, util::now());
    } else if (!db::remove_tag(connection, id, tag.key)) {
      missing.push_back(tag.key);
    }
  }
  transaction.commit();
  const std::vector<db::Tag> all = db::tags_of(connection, id);
  if (options.json) return print_json({{"run", id}, {"tags", tags_json(all)}});
  if (!missing.empty()) std::printf("had no tag %s\n", util::join(missing, ", ").c_str());
  std::printf("run %s has %s\n", id.c_str(), all.empty() ? "no tags" : tags_text(all).c_str());
}

}  // namespace

db::Tag read_tag(const std::string& text) {
  if (auto tag = db::parse_tag(text)) return std::move(*tag);
  throw Error(
      ExitCode::usage, "'" + shown(text) + "' is no tag",
      "KEY or KEY=VALUE: a key has letters, digits, '.', '_', '-' and '/', a value is text on one line");
}

std::string tags_text(const std::vector<db::Tag>& tags) {
  std::vector<std::string> words;
  for (const db::Tag& tag : tags) words.push_back(shown(tag.text()));
  return util::join(words, ", ");
}

nlohmann::json tags_json(const std::vector<db::Tag>& tags) {
  nlohmann::json json = nlohmann::json::object();
  for (const db::Tag& tag : tags) json[tag.key] = tag.value;
  return json;
}

void add_tag_commands(CLI::App& runs, Context& context) {
  auto options = std::make_shared<TagsOptions>();
  auto* tag = runs.add_subcommand("tag", "attach tags to a run");
  auto* untag = runs.add_subcommand("untag", "take tags from a run");
  for (CLI::App* command : {tag, untag}) {
    command->add_option("RUN", options->run, "the run")->required();
    command->add_option("TAG", options->tags, command == tag ? "KEY or KEY=VALUE" : "KEY")->required();
    command->add_flag("--json", options->json, "print JSON");
  }
  tag->footer(
      "A run has one value for each key. `mlops store gc --keep-tag` keeps the outputs of runs by their "
      "tags.\n"
      "Examples:\n  mlops runs tag latest release=2026-11 baseline\n  mlops runs --tag release");
  untag->footer("Examples:\n  mlops runs untag 7k2m baseline");
  tag->callback([options, &context] { change(*options, context, true); });
  untag->callback([options, &context] { change(*options, context, false); });
}

}  // namespace mlops::cli
