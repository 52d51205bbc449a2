#include "cli/queue.hpp"

#include "cli/output.hpp"
#include "daemon/worker.hpp"
#include "db/requests.hpp"
#include "db/runs.hpp"
#include "engine/recovery.hpp"
#include "pipeline/keys.hpp"
#include "process/lock_file.hpp"
#include "schedule/requests.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"
#include "workspace/layout.hpp"

#include <unistd.h>

#include <cstdio>
#include <memory>

namespace mlops::cli {

namespace {

struct QueueOptions {
  std::vector<std::int64_t> ids;
  std::string queue;
  std::string state;
  std::optional<int> priority;
  int limit = 100;
  bool all = false;
  bool front = false;
  bool json = false;
};

constexpr const char* run_deleted = "deleted";

std::string number(std::int64_t value) { return std::to_string(value); }

/// A request with what is to be said of it.
struct Line {
  RequestRecord request;
  std::string state;  // of the request, or of its run
  std::string about;  // why it waits, or is over
};

Line line_of(RequestRecord request, db::Connection& connection) {
  Line line{std::move(request), "", ""};
  line.state = to_string(line.request.state);
  line.about = line.request.reason;
  if (line.request.state == RequestState::started) {
    const auto run = db::find_run(connection, line.request.run_id);
    line.state = run ? to_string(run->state) : run_deleted;
    line.about = run ? run->reason : "";
  }
  return line;
}

nlohmann::json json_of(const Line& line) {
  nlohmann::json json = to_json(line.request);
  json["run_state"] =
      line.request.state == RequestState::started ? nlohmann::json(line.state) : nlohmann::json(nullptr);
  json["about"] = util::to_utf8(line.about);
  return json;
}

std::vector<Line> lines_of(const QueueOptions& options, OpenWorkspace& open) {
  db::Connection& connection = open.database.connection();
  std::vector<Line> lines;
  const auto add = [&](const std::vector<RequestRecord>& list) {
    for (const RequestRecord& request : list) lines.push_back(line_of(request, connection));
  };
  if (options.all || !options.state.empty()) {
    add(db::list_requests(connection, {.queue = options.queue,
                                       .state = parse_request_state(options.state),
                                       .backfill = {},
                                       .limit = options.limit}));
    return lines;
  }
  // Those that go on, those that are about to begin, and those that wait, in the order of their turn.
  for (const db::Ongoing& work : db::ongoing_work(connection)) {
    if (work.queue.empty() || !work.claimer.empty()) continue;
    if (auto request = db::request_of_run(connection, work.run_id)) add({*request});
  }
  add(db::claimed_requests(connection));
  std::erase_if(
      lines, [&](const Line& line) { return !options.queue.empty() && line.request.queue != options.queue; });
  schedule::Requests requests(open.workspace, open.database);
  for (schedule::Outlook& each :
       requests.outlook(workspace::read_config(open.workspace), options.queue, options.limit, util::now()))
    lines.push_back({std::move(each.request), "waiting", std::move(each.why)});
  return lines;
}

void list(const QueueOptions& options, const Context& context) {
  OpenWorkspace open = open_to_read(context);
  const std::vector<Line> lines = lines_of(options, open);
  const std::int64_t waiting = db::count_waiting(open.database.connection(), options.queue);
  const int workers = daemon::live_workers(open.workspace);
  if (options.json) {
    nlohmann::json json = nlohmann::json::array();
    for (const Line& line : lines) json.push_back(json_of(line));
    return print_json({{"requests", std::move(json)}, {"waiting", waiting}, {"workers", workers}});
  }
  Table table({"ID", "QUEUE", "PIPELINE", "PRIORITY", "STATE", "RUN", "ABOUT"});
  table.right_align(0);
  table.right_align(3);
  for (const Line& line : lines) {
    const RequestRecord& r = line.request;
    table.add({number(r.id), shown(r.queue), shown(r.pipeline), number(r.priority), line.state, r.run_id,
               in_one_line(line.about)});
  }
  if (!lines.empty()) table.print(stdout);
  std::printf("%lld waiting, %d worker%s\n", static_cast<long long>(waiting), workers,
              workers == 1 ? "" : "s");
  if (waiting > 0) warn_if_nobody_works(open.workspace);
}

void show(const QueueOptions& options, const Context& context) {
  OpenWorkspace open = open_to_read(context);
  const auto request = db::find_request(open.database.connection(), options.ids.at(0));
  if (!request)
    throw Error(ExitCode::usage, "there is no request " + number(options.ids[0]),
                "`mlops queue list --all` lists them");
  Line line = line_of(*request, open.database.connection());
  if (request->state == RequestState::waiting) {
    for (const schedule::Outlook& each :
         schedule::Requests(open.workspace, open.database)
             .outlook(workspace::read_config(open.workspace), "", 0, util::now()))
      if (each.request.id == request->id) line.about = each.why;
  }
  if (options.json) return print_json(json_of(line));
  const RequestRecord& r = line.request;
  const Style style = style_of(stdout);
  std::printf("%s  %s  %s\n", style.bold("request " + number(r.id)).c_str(), shown(r.pipeline).c_str(),
              line.state.c_str());
  const auto row = [](const char* name, const std::string& value) {
    if (!value.empty()) std::printf("  %-10s%s\n", name, value.c_str());
  };
  row("because", in_one_line(line.about));
  row("run", r.run_id);
  row("file", shown(r.file));
  row("set", shown(util::join(schedule::options_of(r).overrides, ", ")));
  row("queue", shown(r.queue) + ", priority " + number(r.priority));
  row("source", r.source + ": " + shown(r.cause));
  row("key", shown(r.dedupe.value_or("")));
  row("submitted", util::format_local(r.submitted_at) + " by " + shown(r.submitted_by));
  if (r.not_before > r.submitted_at) row("not before", util::format_local(r.not_before));
  if (r.claimed_at) row("claimed", util::format_local(*r.claimed_at));
  if (r.decided_at) row(to_string(r.state), util::format_local(*r.decided_at));
}

// A request that is not ours to change any more, in words.
std::string too_late(OpenWorkspace& open, std::int64_t id) {
  const auto request = db::find_request(open.database.connection(), id);
  if (!request) return "it is gone";
  if (request->state == RequestState::started) return "run " + request->run_id + " has begun";
  if (request->state == RequestState::claimed) return "its run is about to begin";
  return std::string("it was ") + to_string(request->state) + " before";
}

// Does `change` to each request, and says so. Those for which it comes too late are told, and end in 5.
template <typename Change>
int change_all(const QueueOptions& options, const Context& context, const char* done, const Change& change) {
  OpenWorkspace open = open_to_write(context);
  schedule::Requests requests(open.workspace, open.database);
  nlohmann::json json = nlohmann::json::array();
  int code = 0;
  for (const std::int64_t id : options.ids) {
    const bool changed = change(requests, id);
    const std::string why = changed ? "" : too_late(open, id);
    if (!changed) code = static_cast<int>(ExitCode::busy);
    if (options.json) {
      json.push_back({{"id", id}, {"done", changed}, {"reason", why}});
    } else if (changed) {
      std::printf("%s request %s\n", done, number(id).c_str());
    } else {
      std::fprintf(stderr, "mlops: request %s is left as it is: %s\n", number(id).c_str(), why.c_str());
      if (why.starts_with("run "))
        std::fprintf(stderr, "  end it with `mlops cancel %s`\n", why.substr(4, 16).c_str());
    }
  }
  if (options.json) print_json({{"requests", std::move(json)}});
  return code;
}

int cancel(const QueueOptions& options, const Context& context) {
  return change_all(options, context, "cancelled",
                    [](schedule::Requests& requests, std::int64_t id) { return requests.cancel(id); });
}

int move(const QueueOptions& options, const Context& context) {
  if (options.front == options.priority.has_value())
    throw Error(ExitCode::usage, "say where to move it", "either --to-front or --priority N");
  return change_all(options, context, "moved", [&](schedule::Requests& requests, std::int64_t id) {
    return options.front ? requests.move_to_front(id, util::now())
                         : requests.set_priority(id, *options.priority);
  });
}

}  // namespace

nlohmann::json request_json(RequestRecord request, db::Connection& connection) {
  return json_of(line_of(std::move(request), connection));
}

std::string standing_words(const RequestRecord& request, db::Connection& connection) {
  const std::string words = std::string("is ") + to_string(request.state);
  if (request.state != RequestState::started) return words;
  const std::string state = line_of(request, connection).state;
  if (state == run_deleted) return "was started; its run " + request.run_id + " was deleted";
  return words + ", as run " + request.run_id + " (" + state + ")";
}

nlohmann::json to_json(const RequestRecord& r) {
  const auto or_null = [](const auto& value) {
    return value ? nlohmann::json(*value) : nlohmann::json(nullptr);
  };
  return {{"id", r.id},
          {"queue", r.queue},
          {"pipeline", r.pipeline},
          {"file", util::to_utf8(r.file)},
          {"set", schedule::options_of(r).overrides},
          {"state", to_string(r.state)},
          {"reason", util::to_utf8(r.reason)},
          {"priority", r.priority},
          {"source", r.source},
          {"cause", util::to_utf8(r.cause)},
          {"key", or_null(r.dedupe)},
          {"not_before", time_json(r.not_before)},
          {"submitted_at", time_json(r.submitted_at)},
          {"submitted_by", r.submitted_by},
          {"claimed_at", time_json(r.claimed_at)},
          {"decided_at", time_json(r.decided_at)},
          {"run", r.run_id.empty() ? nlohmann::json(nullptr) : nlohmann::json(r.run_id)},
          {"fence", or_null(r.fence)}};
}

void require_queue_name(const std::string& name) {
  if (!pipeline::is_name(name))
    throw Error(ExitCode::usage, "'" + name + "' is not a name of a queue",
                "letters, digits, '_', '.' and '-', at most 100, not beginning with '.' or '-'");
}

void warn_if_nobody_works(const Workspace& workspace) {
  if (daemon::live_workers(workspace) > 0 ||
      process::LockFile::is_locked(layout::in(workspace.state_directory(), layout::daemon_lock)))
    return;
  std::fflush(stdout);
  std::fprintf(stderr, "neither a worker nor a daemon takes them up: start one with `mlops worker`\n");
}

int wait_for(const Workspace& workspace, db::Database& database, std::int64_t id) {
  while (true) {
    const auto request = db::find_request(database.connection(), id);
    if (!request || request->state == RequestState::cancelled) return static_cast<int>(ExitCode::busy);
    if (request->state == RequestState::rejected) return static_cast<int>(ExitCode::usage);
    if (request->state == RequestState::started) {
      // Whoever ran it may have died.
      engine::recover_all(workspace, database);
      const auto run = db::find_run(database.connection(), request->run_id);
      if (!run) return static_cast<int>(ExitCode::busy);
      if (run->state != RunState::running)
        return run->exit_code.value_or(static_cast<int>(ExitCode::step_failed));
    }
    ::usleep(100'000);
  }
}

void set_up_queue(CLI::App& app, Context& context) {
  auto options = std::make_shared<QueueOptions>();
  app.require_subcommand(1);
  auto* all = app.add_subcommand("list", "list what waits, in the order of its turn, and what goes on");
  all->add_option("--queue", options->queue, "only this queue")->type_name("NAME");
  all->add_flag("--all", options->all, "also what is over, in the order of submission");
  all->add_option("--state", options->state, "only waiting, claimed, started, cancelled or rejected ones")
      ->type_name("STATE")
      ->check(CLI::IsMember({"waiting", "claimed", "started", "cancelled", "rejected"}));
  all->add_option("--limit", options->limit, "so many (default 100; 0: all)")
      ->type_name("N")
      ->check(CLI::Range(0, 1'000'000'000));
  all->add_flag("--json", options->json, "print JSON");
  all->footer(
      "Examples:\n  mlops queue list\n  mlops queue list --queue gpu --state waiting\n"
      "  mlops queue list --all --json");
  all->callback([options, &context] { list(*options, context); });

  auto* one = app.add_subcommand("show", "show all that is known of a request");
  one->add_option("ID", options->ids, "number of the request")->required()->expected(1);
  one->add_flag("--json", options->json, "print JSON");
  one->footer("Examples:\n  mlops queue show 12");
  one->callback([options, &context] { show(*options, context); });

  auto* place = app.add_subcommand("move", "change the turn of what waits");
  place->add_option("ID", options->ids, "numbers of requests")->required();
  place->add_flag("--to-front", options->front, "before all others of its queue, and now");
  place->add_option("--priority", options->priority, "larger ones come first, -1000 to 1000")
      ->type_name("N")
      ->check(CLI::Range(least_priority, most_priority));
  place->add_flag("--json", options->json, "print JSON");
  place->footer("Examples:\n  mlops queue move 12 --to-front\n  mlops queue move 12 13 --priority 10");
  place->callback([options, &context] { context.exit_code = move(*options, context); });

  auto* end = app.add_subcommand("cancel", "let requests never run");
  end->add_option("ID", options->ids, "numbers of requests")->required();
  end->add_flag("--json", options->json, "print JSON");
  end->footer(
      "A run that has begun is ended by `mlops cancel RUN`.\n"
      "Examples:\n  mlops queue cancel 12 13");
  end->callback([options, &context] { context.exit_code = cancel(*options, context); });
  app.footer(
      "Examples:\n"
      "  mlops queue list --queue gpu\n"
      "  mlops queue move 12 --to-front\n"
      "  mlops queue cancel 12 13");
}

}  // namespace mlops::cli
