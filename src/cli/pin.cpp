#include <mlops/data.hpp>

#include "cli/context.hpp"
#include "cli/output.hpp"
#include "db/datasets.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"

#include <cstdio>

namespace mlops::cli {

namespace {

struct PinOptions {
  std::vector<std::string> names;
  std::string note;
  bool json = false;
};

// What a user may pin: a run, or a version of a dataset, which has an '@' in its name.
struct Target {
  std::string name;  ///< in full
  std::string run;   ///< empty: it is a version
  std::string dataset;
  int version = 0;
};

Target find_target(OpenWorkspace& open, const std::string& name) {
  if (name.find('@') == name.npos) {
    const std::string id = find_run_id(open, name);
    return {id, id, "", 0};
  }
  const DatasetVersion version = data::find(open.database, name);
  return {version.dataset + "@" + std::to_string(version.version), "", version.dataset, version.version};
}

void list(const PinOptions& options, Context& context) {
  OpenWorkspace open = open_to_read(context);
  const auto pins = db::pins(open.database.connection());
  if (options.json) {
    nlohmann::json entries = nlohmann::json::array();
    for (const db::Pin& pin : pins) {
      entries.push_back({{"kind", pin.kind},
                         {"name", pin.name},
                         {"of", pin.of},
                         {"note", pin.note},
                         {"created_at", time_json(pin.created_at)}});
    }
    return print_json({{"pins", std::move(entries)}});
  }
  if (pins.empty()) {
    std::fprintf(stderr, "nothing is pinned; pin something: mlops pin RUN\n");
    return;
  }
  Table table({"NAME", "KIND", "OF", "PINNED", "NOTE"});
  for (const db::Pin& pin : pins)
    table.add({pin.name, pin.kind, shown(pin.of), util::format_local(pin.created_at), shown(pin.note)});
  table.print(stdout);
}

// Looks all names up before it changes anything.
void change(const PinOptions& options, Context& context, bool pin) {
  OpenWorkspace open = open_to_write(context);
  db::Connection& connection = open.database.connection();
  std::vector<Target> targets;
  for (const std::string& name : options.names) targets.push_back(find_target(open, name));
  nlohmann::json names = nlohmann::json::array();
  db::Transaction transaction(open.database, db::Durability::full);
  for (const Target& target : targets) {
    bool done = true;
    if (pin && target.run.empty()) {
      db::pin_version(connection, target.dataset, target.version, options.note, util::now());
    } else if (pin) {
      db::pin_run(connection, target.run, options.note, util::now());
    } else {
      done = target.run.empty() ? db::unpin_version(connection, target.dataset, target.version)
                                : db::unpin_run(connection, target.run);
    }
    if (done) names.push_back(target.name);
    if (!options.json)
      std::printf("%s %s\n", !done ? "was not pinned:" : pin ? "pinned" : "unpinned", target.name.c_str());
  }
  transaction.commit();
  if (options.json) print_json({{pin ? "pinned" : "unpinned", std::move(names)}});
}

}  // namespace

void set_up_pin(CLI::App& app, Context& context) {
  auto options = std::make_shared<PinOptions>();
  app.add_option("NAME", options->names,
                 "runs, or versions of datasets as NAME@VERSION; none: list what is pinned");
  app.add_option("--note", options->note, "why, for whoever looks later")->type_name("TEXT");
  app.add_flag("--json", options->json, "print JSON");
  app.footer(
      "What is pinned is not deleted by `mlops rm` and `mlops data rm`, and all that it needs stays in the "
      "store.\n"
      "Examples:\n  mlops pin 7k2m --note 'the model of the paper'\n  mlops pin images@3\n  mlops pin");
  app.callback([options, &context] {
    options->names.empty() ? list(*options, context) : change(*options, context, true);
  });
}

void set_up_unpin(CLI::App& app, Context& context) {
  auto options = std::make_shared<PinOptions>();
  app.add_option("NAME", options->names, "runs, or versions of datasets as NAME@VERSION")->required();
  app.add_flag("--json", options->json, "print JSON");
  app.footer("Examples:\n  mlops unpin 7k2m\n  mlops unpin images@3");
  app.callback([options, &context] { change(*options, context, false); });
}

}  // namespace mlops::cli
