#include "data/lineage.hpp"

#include "cli/context.hpp"
#include "cli/output.hpp"
#include "data/lineage_text.hpp"
#include "util/files.hpp"
#include "util/id.hpp"
#include "util/strings.hpp"

#include <cstdio>

namespace mlops::cli {

namespace {

struct LineageArguments {
  std::string what;
  bool up = false;
  bool down = false;
  bool dot = false;
  bool mermaid = false;
  bool json = false;
  data::LineageOptions search;
};

// The run that the text means, if it can mean one; a file of that name comes first.
std::optional<std::string> run_meant(OpenWorkspace& open, const std::string& what) {
  if (what.find('/') != what.npos || util::exists(what)) return std::nullopt;
  try {
    return find_run_id(open, what);
  } catch (const Error&) {
    return std::nullopt;
  }
}

void lineage(const LineageArguments& options, Context& context) {
  OpenWorkspace open = open_to_read(context);
  data::LineageOptions search = options.search;
  if (options.up != options.down) {
    search.up = options.up;
    search.down = options.down;
  }
  const data::Lineage found = data::find_lineage(open.workspace, open.database.connection(), options.what,
                                                 run_meant(open, options.what), search);
  if (options.json) return print_json(data::lineage_json(found));
  const std::string text = options.dot       ? data::lineage_dot(found)
                           : options.mermaid ? data::lineage_mermaid(found)
                                             : data::lineage_tree(found);
  std::fputs(util::to_utf8(text).c_str(), stdout);
}

}  // namespace

void set_up_lineage(CLI::App& app, Context& context) {
  auto options = std::make_shared<LineageArguments>();
  app.add_option("WHAT", options->what, "a file or folder, a run, or 8 or more digits of a sha256")
      ->required();
  app.add_flag("--up", options->up, "only what it was made of");
  app.add_flag("--down", options->down, "only what was made of it");
  app.add_option("--depth", options->search.depth, "steps one behind the other to follow (default 20)")
      ->type_name("N")
      ->check(CLI::Range(1, 1'000'000));
  app.add_option("--readers", options->search.readers, "newest readers of a file to follow (default 10)")
      ->type_name("N")
      ->check(CLI::Range(1, 1'000'000));
  auto* dot = app.add_flag("--dot", options->dot, "for Graphviz");
  auto* mermaid = app.add_flag("--mermaid", options->mermaid, "for Markdown");
  auto* json = app.add_flag("--json", options->json, "print JSON");
  dot->excludes(mermaid)->excludes(json);
  mermaid->excludes(json);
  app.footer(
      "Follows contents by their digest through all runs and pipelines. A file means what it holds now;\n"
      "if no run knows that, what it held last.\n"
      "Examples:\n"
      "  mlops lineage models/best.json\n"
      "  mlops lineage data/raw.csv --down\n"
      "  mlops lineage latest --up --json\n"
      "  mlops lineage 9f86d081884c --dot | dot -Tsvg > lineage.svg");
  app.callback([options, &context] { lineage(*options, context); });
}

}  // namespace mlops::cli
