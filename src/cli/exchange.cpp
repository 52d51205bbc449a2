#include "engine/exchange.hpp"

#include "cli/context.hpp"
#include "cli/output.hpp"
#include "engine/recovery.hpp"
#include "util/log.hpp"
#include "util/quantity.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"

#include <cstdio>
#include <cstdlib>

namespace mlops::cli {

namespace {

struct ExchangeOptions {
  engine::ExchangeRequest request;
  std::string remote;
  bool force = false;
  bool json = false;
};

// A workspace that git brought has a configuration and no database yet.
OpenWorkspace open_or_make(const Context& context) {
  util::set_up_log(context.verbose);
  const auto found = Workspace::find(".", context.workspace);
  const bool named = !context.workspace.empty() || std::getenv("MLOPS_WORKSPACE");
  if (!found && !named)
    throw Error(ExitCode::usage, "no workspace here or above, and so no remote to get anything from",
                "name the remote, which makes a workspace here: mlops remote add NAME URL");
  if (!found) Workspace::require(".", context.workspace);  // says what is wrong with the name
  found->check_owner();
  Workspace workspace = Workspace::create(found->root());
  db::Database database = db::Database::open(workspace.database_path());
  engine::recover_all(workspace, database);
  return {std::move(workspace), std::move(database)};
}

/// A line on the terminal that tells how far a transfer is.
class ProgressLine {
 public:
  explicit ProgressLine(const char* verb) : verb_(verb), shown_(can_redraw(stderr)) {}
  ~ProgressLine() { clear(); }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  void show(const store::Progress& p) {
    const std::int64_t now = util::monotonic_ms();
    if (!shown_ || (now < due_ms_ && p.objects < p.of_objects)) return;
    due_ms_ = now + 100;
    any_ = true;
    std::fprintf(stderr, "\r\033[K%s %llu of %llu objects, %s of %s", verb_,
                 static_cast<unsigned long long>(p.objects), static_cast<unsigned long long>(p.of_objects),
                 util::format_size(p.bytes).c_str(), util::format_size(p.of_bytes).c_str());
  }
  void clear() {
    if (any_) std::fputs("\r\033[K", stderr);
    any_ = false;
  }

 private:
  const char* verb_;
  bool shown_, any_ = false;
  std::int64_t due_ms_ = 0;
};

nlohmann::json head(const ExchangeOptions& options, const workspace::RemoteConfig& remote) {
  return {{"remote", remote.name}, {"url", remote.url}, {"dry_run", options.request.dry_run}};
}

void push(const ExchangeOptions& options, Context& context) {
  OpenWorkspace open = open_to_write(context);
  const auto remote = engine::choose_remote(workspace::read_config(open.workspace), options.remote);
  engine::ExchangeRequest request = options.request;
  for (std::string& run : request.runs) run = find_run_id(open, run);
  ProgressLine line("sent");
  const engine::PushReport r = engine::push(open.workspace, open.database, remote, request,
                                            [&](const store::Progress& progress) { line.show(progress); });
  line.clear();
  const store::PushResult& c = r.contents;
  if (c.damaged > 0) context.exit_code = static_cast<int>(ExitCode::io);
  if (options.json) {
    nlohmann::json json = head(options, remote);
    json.update({{"objects", c.objects},
                 {"bytes", c.bytes},
                 {"packs", c.packs},
                 {"objects_there", c.there},
                 {"objects_absent", c.absent},
                 {"objects_damaged", c.damaged},
                 {"runs", r.records},
                 {"runs_there", r.records_there},
                 {"outputs_of_dvc", r.of_dvc}});
    return print_json(json);
  }
  std::printf("%s %s, %s, and %s to %s\n", request.dry_run ? "would push" : "pushed",
              counted(c.objects, "object").c_str(), util::format_size(c.bytes).c_str(),
              counted(r.records, "run").c_str(), remote.name.c_str());
  if (c.there + r.records_there > 0)
    std::printf("  there already: %s, %s\n", counted(c.there, "object").c_str(),
                counted(r.records_there, "run").c_str());
  if (c.absent > 0)
    std::printf("  not in the store any more, and not sent: %s\n", counted(c.absent, "object").c_str());
  if (r.of_dvc > 0)
    std::printf("  in DVC's cache, and not sent: %s of DVC's stages; `dvc push` sends them\n",
                counted(r.of_dvc, "output").c_str());
  if (c.damaged > 0) {
    std::printf("  damaged here, and not sent: %s; the steps that made them run again when they are needed\n",
                counted(c.damaged, "object").c_str());
  }
}

nlohmann::json exchange_json(const ExchangeOptions& options, const workspace::RemoteConfig& remote,
                             const engine::FetchReport& r) {
  nlohmann::json json = head(options, remote), damaged = nlohmann::json::array();
  for (const util::Digest& digest : r.contents.damaged) damaged.push_back(digest.hex());
  json.update({{"objects", r.contents.objects},
               {"bytes", r.contents.bytes},
               {"objects_absent", r.contents.absent},
               {"damaged", damaged},
               {"runs", r.records},
               {"outputs_of_dvc", r.of_dvc},
               {"problems", r.problems}});
  return json;
}

void print(const engine::FetchReport& r, const ExchangeOptions& options,
           const workspace::RemoteConfig& remote) {
  std::printf("%s %s, %s%s, and %s from %s\n", options.request.dry_run ? "would fetch" : "fetched",
              counted(r.contents.objects, "object").c_str(), util::format_size(r.contents.bytes).c_str(),
              options.request.dry_run ? " or more" : "", counted(r.records, "run").c_str(),
              remote.name.c_str());
  if (r.contents.absent > 0)
    std::printf("  needed, and not there: %s\n", counted(r.contents.absent, "object").c_str());
  if (r.of_dvc > 0)
    std::printf("  not on this remote: %s of DVC's stages; `dvc pull` brings them\n",
                counted(r.of_dvc, "output").c_str());
  for (const util::Digest& digest : r.contents.damaged)
    std::printf("  refused %s: the bytes there are not those of its name\n", digest.hex().c_str());
  for (const std::string& problem : r.problems) std::printf("  refused %s\n", shown(problem).c_str());
  if (!r.contents.damaged.empty() || !r.problems.empty())
    std::printf(
        "  whoever has them whole can mend the remote: remove them there, then `mlops push --check`\n");
}

// Of a dry run nothing that is written stays.
std::unique_ptr<db::Transaction> to_roll_back(const ExchangeOptions& options, OpenWorkspace& open) {
  return options.request.dry_run ? std::make_unique<db::Transaction>(open.database) : nullptr;
}

engine::FetchReport get(const ExchangeOptions& options, OpenWorkspace& open,
                        const workspace::RemoteConfig& remote, Context& context,
                        std::vector<db::StepOfRun>* results) {
  ProgressLine line("got");
  engine::FetchReport report = engine::fetch(
      open.workspace, open.database, remote, options.request,
      [&](const store::Progress& progress) { line.show(progress); }, results);
  if (!report.contents.damaged.empty() || !report.problems.empty())
    context.exit_code = static_cast<int>(ExitCode::io);
  return report;
}

void fetch(const ExchangeOptions& options, Context& context) {
  OpenWorkspace open = open_or_make(context);
  const auto remote = engine::choose_remote(workspace::read_config(open.workspace), options.remote);
  const auto transaction = to_roll_back(options, open);
  const engine::FetchReport report = get(options, open, remote, context, nullptr);
  if (options.json) return print_json(exchange_json(options, remote, report));
  print(report, options, remote);
}

void pull(const ExchangeOptions& options, Context& context) {
  OpenWorkspace open = open_or_make(context);
  const auto remote = engine::choose_remote(workspace::read_config(open.workspace), options.remote);
  const auto transaction = to_roll_back(options, open);
  std::vector<db::StepOfRun> results;
  const engine::FetchReport report = get(options, open, remote, context, &results);
  if (!options.json) print(report, options, remote);
  using State = engine::Placement::State;
  nlohmann::json placed = nlohmann::json::array(), absent = placed, outside = placed;
  std::uint64_t there = 0;
  for (const auto& p : engine::place_outputs(open.workspace, open.database, results, options.force,
                                             options.request.dry_run)) {
    const std::string path = shown(p.path);
    switch (p.state) {
      case State::there: ++there; break;
      case State::placed:
        placed.push_back({{"path", p.path}, {"run", p.run}});
        if (!options.json)
          std::printf("%s %s\n", options.request.dry_run ? "would place" : "placed", path.c_str());
        break;
      case State::absent:
        absent.push_back({{"path", p.path}, {"run", p.run}});
        if (!options.request.dry_run) context.exit_code = static_cast<int>(ExitCode::io);
        if (!options.json)
          std::printf("%s %s\n",
                      options.request.dry_run ? "would fetch and place" : "not to be had:", path.c_str());
        break;
      case State::outside:
        outside.push_back({{"path", p.path}, {"run", p.run}});
        if (!options.json) std::printf("left alone %s: it lies outside of the project\n", path.c_str());
        break;
    }
  }
  if (options.json) {
    nlohmann::json json = exchange_json(options, remote, report);
    json.update({{"placed", placed}, {"absent", absent}, {"outside", outside}, {"in_place", there}});
    return print_json(json);
  }
  if (there > 0) std::printf("in place already: %s\n", counted(there, "output").c_str());
}

std::shared_ptr<ExchangeOptions> add_options(CLI::App& app, const char* runs_help) {
  auto options = std::make_shared<ExchangeOptions>();
  app.add_option("RUN", options->request.runs, runs_help);
  app.add_option("-r,--remote", options->remote, "which remote (default: the default one)")
      ->type_name("NAME");
  app.add_flag("--all", options->request.all, "the results of all runs");
  app.add_flag("-n,--dry-run", options->request.dry_run, "only say what would be done");
  app.add_option("-j,--jobs", options->request.jobs,
                 "so many transfers at a time (default: 8 to S3, 4 to a directory)")
      ->type_name("N")
      ->check(CLI::Range(1, 256));
  app.add_flag("--json", options->json, "print JSON");
  return options;
}

void refuse_both(const ExchangeOptions& options) {
  if (options.request.all && !options.request.runs.empty())
    throw Error(ExitCode::usage, "RUN and --all cannot be told together", "name the runs, or take all");
}

}  // namespace

void set_up_push(CLI::App& app, Context& context) {
  auto options = add_options(app, "runs whose results to send (default: the latest result of every step)");
  app.add_flag("--check", options->request.check, "ask the remote for everything, trust no memory of it");
  app.footer(
      "Only what the remote lacks is sent. A push that was interrupted goes on when it is repeated.\n"
      "Examples:\n  mlops push\n  mlops push --remote lake --dry-run\n  mlops push 7k2m\n  mlops push --all");
  app.callback([options, &context] {
    refuse_both(*options);
    push(*options, context);
  });
}

void set_up_fetch(CLI::App& app, Context& context) {
  auto options = add_options(app, "runs whose results to get (default: the latest result of every step)");
  app.footer(
      "Afterwards steps whose results somebody else has pushed are cached here too. Work files are not "
      "touched.\n"
      "Examples:\n  mlops fetch\n  mlops fetch latest:churn\n  mlops fetch --remote lake --all");
  app.callback([options, &context] {
    refuse_both(*options);
    fetch(*options, context);
  });
}

void set_up_pull(CLI::App& app, Context& context) {
  auto options =
      add_options(app, "runs whose outputs to put in place (default: the latest result of every step)");
  app.add_flag("-f,--force", options->force,
               "overwrite files that were changed here and are kept nowhere else");
  app.footer("Examples:\n  mlops pull\n  mlops pull 7k2m --remote lake\n  mlops pull --dry-run");
  app.callback([options, &context] {
    refuse_both(*options);
    pull(*options, context);
  });
}

}  // namespace mlops::cli
