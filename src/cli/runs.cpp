#include "db/runs.hpp"

#include "cli/context.hpp"
#include "cli/output.hpp"
#include "cli/tags.hpp"
#include "db/datasets.hpp"
#include "db/steps.hpp"
#include "engine/recovery.hpp"
#include "util/quantity.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"

#include <algorithm>
#include <cstdio>
#include <set>

namespace mlops::cli {

namespace {

struct RunsOptions {
  std::string pipeline;
  std::string state;
  std::string since;
  std::string tag;
  int limit = 20;
  bool all = false;
  bool json = false;
  bool ids = false;
};

// A few telling figures: final ones, not curves, of the last step that has any, an evaluation if there is
// one.
std::string metrics_text(db::Connection& connection, const std::string& id) {
  const auto metrics = db::summary_metrics_of(connection, id, 3);
  std::vector<std::string> parts;
  for (const MetricRecord& metric : metrics)
    parts.push_back(metric.name + "=" + format_number(*metric.value));
  return util::join(parts, " ");
}

// A running run whose runner died is no longer quite running.
bool is_orphaned(const Workspace& workspace, const RunRecord& run) {
  return run.state == RunState::running && engine::liveness(workspace, run.id) == engine::Liveness::orphaned;
}

std::string state_text(const Workspace& workspace, const RunRecord& run) {
  return is_orphaned(workspace, run) ? "orphaned" : to_string(run.state);
}

void print(const std::vector<RunRecord>& runs, const Workspace& workspace, db::Connection& connection) {
  std::set<std::string> pinned;
  for (const db::Pin& pin : db::pins(connection)) pinned.insert(pin.name);
  const bool any = std::ranges::any_of(runs, [&](const RunRecord& run) { return pinned.contains(run.id); });
  std::vector<std::string> head = {"RUN", "PIPELINE", "STATE", "STARTED", "TOOK", "STEPS", "METRICS"};
  if (any) head.insert(head.end() - 1, "PINNED");
  std::vector<std::string> tags;
  for (const RunRecord& run : runs) tags.push_back(tags_text(db::tags_of(connection, run.id)));
  const bool tagged = std::ranges::any_of(tags, [](const std::string& text) { return !text.empty(); });
  if (tagged) head.insert(head.end() - 1, "TAGS");
  Table table(head);
  table.right_align(4);
  table.right_align(5);
  const Instant now = util::now();
  const bool terminal = is_terminal(stdout);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const RunRecord& run = runs[i];
    const std::int64_t took = run.duration_ms.value_or((now - run.created_at).count());
    std::vector<std::string> row = {
        run.id,
        run.pipeline,
        state_text(workspace, run),
        terminal ? util::format_ago(run.created_at, now) : util::format_local(run.created_at),
        util::format_duration(std::chrono::milliseconds(took)),
        std::to_string(run.steps),
        metrics_text(connection, run.id)};
    if (any) row.insert(row.end() - 1, pinned.contains(run.id) ? "pinned" : "");
    if (tagged) row.insert(row.end() - 1, tags[i]);
    table.add(std::move(row));
  }
  const Style style = style_of(stdout);
  table.print(stdout, [&](std::size_t row, std::size_t column, const std::string& cell) {
    return column == 2 ? style.of(runs[row].state, cell) : cell;
  });
}

// An unset variable of a script is no filter.
void refuse_empty(const CLI::App& app) {
  for (const char* name : {"--pipeline", "--state", "--since", "--tag"}) {
    if (app.count(name) > 0 && app.get_option(name)->as<std::string>().empty())
      throw Error(ExitCode::usage, std::string(name) + " is empty", "leave it out to list all runs");
  }
}

void list(const RunsOptions& options, Context& context) {
  OpenWorkspace open = open_to_read(context);
  db::Connection& connection = open.database.connection();
  db::RunFilter filter;
  filter.pipeline = options.pipeline;
  filter.limit = options.all ? 0 : options.limit;
  if (!options.tag.empty()) filter.tag = read_tag(options.tag);
  if (!options.state.empty()) {
    // Only few can be running, so the limit is kept afterwards.
    const bool running = options.state == "running" || options.state == "orphaned";
    filter.state = running ? RunState::running : parse_run_state(options.state);
    if (running) filter.limit = 0;
    if (!filter.state) {
      throw Error(ExitCode::usage, "unknown state '" + options.state + "'",
                  util::did_you_mean(options.state, {"running", "orphaned", "succeeded", "failed",
                                                     "cancelled", "interrupted"}));
    }
  }
  if (!options.since.empty()) {
    const auto duration = util::parse_duration(options.since);
    const auto instant =
        util::parse_utc(options.since.size() == 10 ? options.since + " 00:00:00" : options.since);
    if (!duration && !instant) {
      throw Error(
          ExitCode::usage, "cannot read the time '" + options.since + "'",
          "give a duration such as 7d or 12h, or a UTC time such as 2026-01-31 or 2026-01-31T12:00:00Z");
    }
    filter.since = instant ? *instant : util::now() - *duration;
  }
  auto runs = db::list_runs(connection, filter);
  if (filter.state == RunState::running) {
    const bool orphaned = options.state == "orphaned";
    std::erase_if(runs, [&](const RunRecord& run) { return is_orphaned(open.workspace, run) != orphaned; });
    if (!options.all && runs.size() > static_cast<std::size_t>(options.limit))
      runs.resize(static_cast<std::size_t>(options.limit));
  }
  if (options.json) {
    nlohmann::json list = nlohmann::json::array();
    for (const RunRecord& run : runs) {
      nlohmann::json entry = to_json(run);
      if (is_orphaned(open.workspace, run)) entry["state"] = "orphaned";
      entry["pinned"] = db::pin_of_run(connection, run.id).has_value();
      entry["tags"] = tags_json(db::tags_of(connection, run.id));
      entry["metrics"] = nlohmann::json::object();
      for (const MetricRecord& metric : db::metrics_of(connection, run.id)) {
        entry["metrics"][metric.name] =
            metric.value ? nlohmann::json(*metric.value) : nlohmann::json(nullptr);
      }
      list.push_back(std::move(entry));
    }
    print_json({{"runs", std::move(list)}});
  } else if (options.ids) {
    for (const RunRecord& run : runs) std::printf("%s\n", run.id.c_str());
  } else if (runs.empty()) {
    const bool filtered = !options.pipeline.empty() || filter.state || filter.since || filter.tag;
    std::fprintf(stderr, "%s\n",
                 filtered ? "no runs fit; `mlops runs` lists all"
                          : "there are no runs yet; start one: mlops run FILE");
  } else {
    print(runs, open.workspace, connection);
    if (filter.limit > 0 && static_cast<int>(runs.size()) == filter.limit && is_terminal(stdout)) {
      std::printf("%s\n",
                  style_of(stdout)
                      .dim("the newest " + std::to_string(filter.limit) + "; more with --limit N or --all")
                      .c_str());
    }
  }
}

}  // namespace

void set_up_runs(CLI::App& app, Context& context) {
  auto options = std::make_shared<RunsOptions>();
  app.add_option("-p,--pipeline", options->pipeline, "only runs of this pipeline")->type_name("NAME");
  app.add_option("--state", options->state,
                 "only runs in this state: running, orphaned (its runner died, steps go on), succeeded, "
                 "failed, cancelled, interrupted")
      ->type_name("STATE");
  app.add_option("--since", options->since, "only runs started since, e.g. 7d or 2026-01-31 (UTC)")
      ->type_name("TIME");
  app.add_option("--tag", options->tag, "only runs with this tag")->type_name("KEY[=VALUE]");
  app.add_option("--limit", options->limit, "how many, newest first (default 20)")
      ->type_name("N")
      ->check(CLI::Range(1, 100'000'000));
  app.add_flag("--all", options->all, "no limit");
  app.add_flag("--ids", options->ids, "print only the ids, one a line");
  app.add_flag("--json", options->json, "print JSON");
  app.footer(
      "Examples:\n"
      "  mlops runs\n"
      "  mlops runs --pipeline churn --state failed --since 7d\n"
      "  mlops runs tag latest baseline\n"
      "  mlops runs --json | jq '.runs[0].metrics'");
  add_tag_commands(app, context);
  app.callback([options, &context, &app] {
    if (!app.get_subcommands().empty()) return;
    refuse_empty(app);
    list(*options, context);
  });
}

}  // namespace mlops::cli
