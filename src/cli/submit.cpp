#include "calendar/instants.hpp"
#include "cli/context.hpp"
#include "cli/output.hpp"
#include "cli/queue.hpp"
#include "db/requests.hpp"
#include "engine/resources.hpp"
#include "pipeline/schedule_rule.hpp"
#include "pipeline/source.hpp"
#include "schedule/requests.hpp"
#include "util/log.hpp"
#include "util/quantity.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"
#include "workspace/config.hpp"

#include <cstdio>
#include <memory>

namespace mlops::cli {

namespace {

constexpr std::size_t longest_key = 1'000;
constexpr std::chrono::minutes longest_delay{1};  // times are often given to the minute

struct SubmitOptions {
  std::string file;
  std::string at;
  std::string in;
  std::optional<int> priority;
  std::vector<std::string> overrides;
  std::string queue = default_queue;
  std::string key;
  bool wait = false;
  bool json = false;
};

Instant not_before(const SubmitOptions& options) {
  if (!options.at.empty()) {
    pipeline::Zones zones;
    return calendar::read_time(options.at, *zones.get(""));
  }
  if (options.in.empty()) return util::now();
  const auto span = util::parse_duration(options.in);
  if (!span) throw Error(ExitCode::usage, "cannot read --in '" + options.in + "'", "such as 90s, 2h or 1d");
  return util::now() + *span;
}

// One that is asked for again by its key may be of a time that has passed by now.
void require_future(const SubmitOptions& options, Instant at) {
  if (options.at.empty() || at + longest_delay >= util::now()) return;
  throw Error(ExitCode::usage,
              "cannot submit '" + options.file + "' for " + util::format_local(at) + ": that is past",
              "give a later time, or leave --at out to have it run as soon as there is room");
}

// A second one of its key is the first one only if the same was asked for.
void require_same(const SubmitOptions& options, const RequestRecord& known, const RequestRecord& wanted) {
  const auto differences = schedule::differences(
      known, wanted, {.priority = options.priority.has_value(), .time = !options.at.empty()});
  if (differences.empty()) return;
  throw Error(ExitCode::usage,
              "cannot submit '" + options.file + "': the key '" + options.key + "' is that of request " +
                  std::to_string(known.id) + ", which is " + to_string(known.state) +
                  " and has other settings: " + util::join(differences, "; "),
              "give this one a key of its own; `mlops queue show " + std::to_string(known.id) +
                  "` tells all of the other");
}

int submit(const SubmitOptions& options, const Context& context) {
  util::set_up_log(context.verbose);
  pipeline::require_lasting(options.file);
  require_queue_name(options.queue);
  if (options.key.size() > longest_key || !util::is_utf8(options.key))
    throw Error(ExitCode::usage, "cannot take what --key gives as a key",
                "a text in UTF-8 of at most " + std::to_string(longest_key) + " bytes");
  if (schedule::is_key_of_event(options.key))
    throw Error(ExitCode::usage, "cannot take '" + options.key + "' as a key: keys of events begin like that",
                "put another word before it");
  LoadOptions load;
  load.overrides = options.overrides;
  const Pipeline pipeline = load_pipeline(options.file, load);
  if (pipeline.uses_slot)
    throw Error(ExitCode::usage,
                "'" + options.file +
                    "' is made for a slot of its schedule (it has ${slot.…}), and a request is for none",
                "mlops run " + options.file + " --slot now  runs the last one");
  engine::require_possible(pipeline, make_plan(pipeline, make_graph(pipeline), {}));
  const Instant at = not_before(options);
  if (options.key.empty()) require_future(options, at);
  bool created = false;
  const Workspace workspace = Workspace::find_or_create(pipeline.directory, context.workspace, created);
  workspace.check_owner();
  workspace::read_config(workspace);  // who takes it up could not, and says so where nobody looks
  db::Database database = db::Database::open(workspace.database_path());

  RequestRecord request = schedule::request_for(workspace, pipeline, {options.overrides, std::nullopt});
  request.queue = options.queue;
  request.priority = options.priority.value_or(request.priority);
  request.not_before = at;
  request.cause = "submitted by hand";
  if (!options.key.empty()) request.dedupe = options.key;
  if (!options.key.empty() && !db::request_with_key(database.connection(), options.key))
    require_future(options, at);
  schedule::Requests requests(workspace, database);
  requests.adopt(pipeline);
  const auto id = requests.submit(request);
  const auto known = id ? db::find_request(database.connection(), *id)
                        : db::request_with_key(database.connection(), options.key);
  if (!known) throw Error(ExitCode::io, "the request of the key '" + options.key + "' has vanished");
  if (!id) require_same(options, *known, request);
  if (!options.json) {
    std::printf("%lld\n", static_cast<long long>(known->id));
    std::fflush(stdout);
    if (!id)
      std::fprintf(stderr, "the key '%s' is known: request %lld %s\n",
                   util::escape_controls(options.key).c_str(), static_cast<long long>(known->id),
                   standing_words(*known, database.connection()).c_str());
  }
  if (id) warn_if_nobody_works(workspace);
  const int code = options.wait ? wait_for(workspace, database, known->id) : 0;
  if (options.json) {
    nlohmann::json json = request_json(db::find_request(database.connection(), known->id).value_or(*known),
                                       database.connection());
    json["new"] = id.has_value();
    print_json(json);
  }
  return code;
}

}  // namespace

void set_up_submit(CLI::App& app, Context& context) {
  auto options = std::make_shared<SubmitOptions>();
  app.add_option("FILE", options->file, "pipeline file")->required();
  auto* at = app.add_option("--at", options->at, "not before this time, such as \"2026-12-24 18:00\"")
                 ->type_name("TIME");
  app.add_option("--in", options->in, "not before so much time has passed, such as 2h")
      ->type_name("DURATION")
      ->excludes(at);
  app.add_option("--priority", options->priority,
                 "larger ones come first, -1000 to 1000 (default: that of the file, else 0)")
      ->type_name("N")
      ->check(CLI::Range(least_priority, most_priority));
  add_set_option(app, options->overrides);
  app.add_option("--queue", options->queue, "which queue it waits in (default: default)")->type_name("NAME");
  app.add_option("--key", options->key,
                 "make no second request of this key; one with other settings is refused")
      ->type_name("KEY")
      ->check(not_empty);
  app.add_flag("--wait", options->wait, "until its run has ended, and exit as the run does");
  app.add_flag("--json", options->json, "print JSON");
  app.footer(
      "Checks the file, and leaves the run to `mlops worker` or the daemon; prints the number of the "
      "request.\n"
      "Examples:\n"
      "  mlops submit train.yaml --set lr=0.2\n"
      "  mlops submit report.yaml --at \"2026-12-24 18:00\" --priority 10\n"
      "  mlops submit import.yaml --key import-2026-01-05 --wait");
  app.callback([options, &context] { context.exit_code = submit(*options, context); });
}

}  // namespace mlops::cli
