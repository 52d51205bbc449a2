#include "cli/context.hpp"
#include "cli/output.hpp"
#include "cli/queue.hpp"
#include "cli/tags.hpp"
#include "db/datasets.hpp"
#include "db/hidden_files.hpp"
#include "db/requests.hpp"
#include "db/runs.hpp"
#include "db/slots.hpp"
#include "db/steps.hpp"
#include "engine/hidden.hpp"
#include "engine/recovery.hpp"
#include "util/quantity.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"

#include <algorithm>
#include <cstdio>
#include <map>

namespace mlops::cli {

namespace {

struct ShowOptions {
  std::string run = "latest";
  bool json = false;
  bool environment = false;
  bool inputs = false;
};

/// All that is known of a run.
struct Facts {
  RunRecord run;
  std::vector<StepRecord> steps;
  std::vector<AttemptRecord> attempts;
  std::vector<ArtifactRecord> artifacts;
  std::vector<MetricRecord> metrics;
  std::vector<db::StepOutput> outputs;
  std::vector<std::pair<std::string, std::string>> params;
  std::vector<std::string> environment;
  std::optional<db::Pin> pin;
  std::vector<db::Tag> tags;
  engine::Liveness liveness = engine::Liveness::dead;
  std::vector<HiddenFile> hidden;
  std::vector<TraceRecord> traces;
  std::optional<RequestRecord> request;
  std::optional<SlotRecord> slot;
  std::string schedule;  // of the slot
};

std::string took(const std::optional<Instant>& from, const std::optional<Instant>& to) {
  if (!from) return "";
  return util::format_duration(to.value_or(util::now()) - *from);
}

std::string last_attempt_cell(const Facts& facts, int step, bool memory) {
  for (auto it = facts.attempts.rbegin(); it != facts.attempts.rend(); ++it) {
    if (it->step != step) continue;
    if (memory)
      return it->max_rss_bytes ? util::format_size(static_cast<std::uint64_t>(*it->max_rss_bytes)) : "";
    if (!it->cpu_user_ms) return "";
    return util::format_duration(std::chrono::milliseconds(*it->cpu_user_ms + it->cpu_system_ms.value_or(0)));
  }
  return "";
}

void print_head(const Facts& facts, const Style& style) {
  const RunRecord& run = facts.run;
  std::printf("%s  %s  %s\n", style.bold(shown(run.pipeline)).c_str(), run.id.c_str(),
              style.of(run.state, to_string(run.state)).c_str());
  if (!run.reason.empty()) std::printf("  %s\n", shown(run.reason).c_str());
  if (facts.liveness == engine::Liveness::orphaned) {
    std::printf(
        "  %s\n",
        style.warn("its runner died; its keeper still runs steps: continue with mlops run --resume " + run.id)
            .c_str());
  } else if (run.state == RunState::interrupted) {
    std::printf("  continue with: mlops run --resume %s\n", run.id.c_str());
  }
  const std::int64_t ms = run.duration_ms.value_or((util::now() - run.created_at).count());
  std::printf("  started   %s, took %s%s\n", util::format_local(run.created_at).c_str(),
              util::format_duration(std::chrono::milliseconds(ms)).c_str(),
              run.resumes == 0   ? ""
              : run.resumes == 1 ? ", resumed once"
                                 : (", resumed " + std::to_string(run.resumes) + " times").c_str());
  std::printf("  by        %s on %s\n", shown(run.user).c_str(), shown(run.host).c_str());
  if (facts.request)
    std::printf("  for       request %lld of the queue %s (%s)\n", static_cast<long long>(facts.request->id),
                shown(facts.request->queue).c_str(), shown(facts.request->cause).c_str());
  if (facts.slot)
    std::printf("  for       slot %s of the schedule %s\n", facts.slot->local.c_str(),
                shown(facts.schedule).c_str());
  std::printf("  command   %s\n", shown(run.command_line).c_str());
  std::printf("  file      %s (sha256 %s)\n", shown(run.file).c_str(), run.definition.substr(0, 12).c_str());
  if (facts.pin)
    std::printf("  pinned    %s\n", facts.pin->note.empty()
                                        ? util::format_local(facts.pin->created_at).c_str()
                                        : shown(facts.pin->note).c_str());
  if (!facts.tags.empty()) std::printf("  tags      %s\n", tags_text(facts.tags).c_str());
  if (run.git_commit) {
    std::printf("  git       %s%s\n", run.git_commit->substr(0, 12).c_str(),
                !run.git_dirty   ? ""
                : *run.git_dirty ? style.warn(" with changes").c_str()
                                 : " clean");
  }
}

void print_steps(const Facts& facts, const Style& style) {
  std::printf("\n%s\n", style.bold("Steps").c_str());
  Table table({"  STEP", "KIND", "STATE", "TOOK", "CPU", "PEAK", "TRIES", "WHY"});
  for (const std::size_t column : {3, 4, 5, 6}) table.right_align(column);
  for (const StepRecord& step : facts.steps) {
    table.add({"  " + shown(step.name), step.kind,
               step.state == StepState::not_run ? "not run" : to_string(step.state),
               took(step.started_at, step.ended_at), last_attempt_cell(facts, step.step, false),
               last_attempt_cell(facts, step.step, true), step.attempts ? std::to_string(step.attempts) : "",
               shown(step.reason)});
  }
  table.print(stdout, [&](std::size_t row, std::size_t column, const std::string& cell) {
    return column == 2 ? style.of(facts.steps[row].state, cell) : cell;
  });
  for (const AttemptRecord& attempt : facts.attempts) {
    if (attempt.note.empty()) continue;
    std::printf("  %s attempt %d: %s\n",
                shown(facts.steps[static_cast<std::size_t>(attempt.step)].name).c_str(), attempt.attempt,
                shown(attempt.note).c_str());
  }
  for (const StepRecord& step : facts.steps) {
    std::vector<HiddenFile> hidden;
    std::ranges::copy_if(facts.hidden, std::back_inserter(hidden),
                         [&](const HiddenFile& file) { return file.step == step.step; });
    if (!hidden.empty())
      std::printf("  %s %s: mlops why %s\n", shown(step.name).c_str(),
                  style.warn(engine::hidden_words(hidden, 0)).c_str(), shown(step.name).c_str());
  }
}

void print_rest(const Facts& facts, const Style& style, bool inputs) {
  const auto step_name = [&](int step) { return shown(facts.steps[static_cast<std::size_t>(step)].name); };
  if (!facts.params.empty()) {
    std::printf("\n%s\n", style.bold("Params").c_str());
    Table table({"  NAME", "VALUE"});
    for (const auto& [name, value] : facts.params) table.add({"  " + shown(name), shown(value)});
    table.print(stdout);
  }
  if (!facts.metrics.empty()) {
    std::printf("\n%s\n", style.bold("Metrics").c_str());
    Table table({"  NAME", "VALUE", "STEP", "POINTS"});
    table.right_align(1);
    table.right_align(3);
    for (const MetricRecord& metric : facts.metrics) {
      table.add({"  " + metric.name, metric.value ? format_number(*metric.value) : "nan",
                 step_name(metric.step), std::to_string(metric.points)});
    }
    table.print(stdout);
  }
  if (!facts.outputs.empty()) {
    std::printf("\n%s\n", style.bold("Step outputs").c_str());
    Table table({"  STEP", "NAME", "VALUE"});
    for (const db::StepOutput& output : facts.outputs) {
      std::string value = output.value.substr(0, 200);
      std::replace(value.begin(), value.end(), '\n', ' ');
      table.add({"  " + step_name(output.step), output.name, shown(value)});
    }
    table.print(stdout);
  }
  if (!facts.artifacts.empty()) {
    std::printf("\n%s\n", style.bold("Artifacts").c_str());
    const bool of_dvc = std::ranges::any_of(
        facts.artifacts, [](const ArtifactRecord& a) { return a.sha256.starts_with("md5:"); });
    Table table({"  PATH", "STEP", "", "KIND", "SIZE", of_dvc ? "DIGEST" : "SHA256"});
    table.right_align(4);
    int left_out = 0;
    for (const ArtifactRecord& a : facts.artifacts) {
      if (!a.output && !inputs) {
        ++left_out;
        continue;
      }
      table.add({"  " + shown(a.path), step_name(a.step), a.output ? "made" : "read", a.kind,
                 util::format_size(a.size), a.sha256.substr(0, a.sha256.starts_with("md5:") ? 16 : 12)});
    }
    if (table.rows() > 0) table.print(stdout);
    if (left_out > 0)
      std::printf("  %s\n",
                  style.dim("and " + std::to_string(left_out) + " that steps read: --inputs").c_str());
  }
  if (!facts.environment.empty()) {
    std::printf("\n%s\n  %s\n", style.bold("Environment (names only)").c_str(),
                shown(util::join(facts.environment, " ")).c_str());
  }
}

nlohmann::json as_json(const Facts& facts) {
  nlohmann::json json = to_json(facts.run);
  json["alive"] = facts.liveness == engine::Liveness::running    ? "running"
                  : facts.liveness == engine::Liveness::orphaned ? "orphaned"
                                                                 : "ended";
  json["pinned"] = facts.pin.has_value();
  json["tags"] = tags_json(facts.tags);
  json["request"] = facts.request ? to_json(*facts.request) : nlohmann::json(nullptr);
  json["slot"] = facts.slot ? nlohmann::json({{"schedule", facts.schedule}, {"slot", facts.slot->local}})
                            : nlohmann::json(nullptr);
  json["steps_total"] = facts.run.steps;
  nlohmann::json steps = nlohmann::json::array();
  for (const StepRecord& step : facts.steps) {
    nlohmann::json entry = to_json(step);
    entry["attempts"] = nlohmann::json::array();
    for (const AttemptRecord& a : facts.attempts) {
      if (a.step != step.step) continue;
      const auto maybe = [](const auto& value) {
        return value ? nlohmann::json(*value) : nlohmann::json(nullptr);
      };
      entry["attempts"].push_back({{"attempt", a.attempt},
                                   {"cause", a.cause},
                                   {"exit_code", maybe(a.exit_code)},
                                   {"signal", maybe(a.signal)},
                                   {"pid", maybe(a.pid)},
                                   {"started_at", time_json(a.started_at)},
                                   {"ended_at", time_json(a.ended_at)},
                                   {"cpu_user_ms", maybe(a.cpu_user_ms)},
                                   {"cpu_system_ms", maybe(a.cpu_system_ms)},
                                   {"max_rss_bytes", maybe(a.max_rss_bytes)},
                                   {"read_bytes", maybe(a.read_bytes)},
                                   {"written_bytes", maybe(a.written_bytes)},
                                   {"log_bytes", a.log_bytes},
                                   {"log_dropped", a.log_dropped},
                                   {"note", a.note}});
    }
    entry["traced"] = std::ranges::any_of(facts.traces, [&](const TraceRecord& trace) {
      return trace.step == step.step && trace.problem.empty();
    });
    entry["undeclared"] = nlohmann::json::array();
    for (const HiddenFile& file : facts.hidden) {
      if (file.step == step.step)
        entry["undeclared"].push_back(
            {{"path", file.path}, {"access", file.access}, {"sha256", file.sha256}});
    }
    entry["outputs"] = nlohmann::json::object();
    for (const db::StepOutput& output : facts.outputs) {
      if (output.step == step.step) entry["outputs"][output.name] = output.value;
    }
    steps.push_back(std::move(entry));
  }
  json["steps"] = std::move(steps);
  json["params"] = nlohmann::json::object();
  for (const auto& [name, value] : facts.params) {
    nlohmann::json parsed = nlohmann::json::parse(value, nullptr, false);
    json["params"][name] = parsed.is_discarded() ? nlohmann::json(value) : parsed;
  }
  json["metrics"] = nlohmann::json::array();
  for (const MetricRecord& m : facts.metrics) {
    json["metrics"].push_back({{"name", m.name},
                               {"value", m.value ? nlohmann::json(*m.value) : nlohmann::json(nullptr)},
                               {"step", facts.steps[static_cast<std::size_t>(m.step)].name},
                               {"points", m.points}});
  }
  json["artifacts"] = nlohmann::json::array();
  for (const ArtifactRecord& a : facts.artifacts) {
    json["artifacts"].push_back({{"path", a.path},
                                 {"step", facts.steps[static_cast<std::size_t>(a.step)].name},
                                 {"direction", a.output ? "out" : "in"},
                                 {"kind", a.kind},
                                 {"sha256", a.sha256},
                                 {"size", a.size},
                                 {"files", a.files}});
  }
  json["environment_names"] = facts.environment;
  return json;
}

void show(const ShowOptions& options, Context& context) {
  OpenWorkspace open = open_to_read(context);
  const std::string id = find_run_id(open, options.run);
  db::Connection& connection = open.database.connection();
  const auto run = db::find_run(connection, id);
  if (!run) throw Error(ExitCode::usage, "run " + id + " was deleted just now");
  Facts facts{*run,
              db::steps_of(connection, id),
              db::attempts_of(connection, id),
              db::artifacts_of(connection, id),
              db::metrics_of(connection, id),
              db::step_outputs_of(connection, id),
              db::params_of(connection, id),
              {},
              db::pin_of_run(connection, id),
              db::tags_of(connection, id),
              run->state == RunState::running ? engine::liveness(open.workspace, id) : engine::Liveness::dead,
              db::hidden_files_of(connection, id),
              db::traces_of(connection, id),
              db::request_of_run(connection, id),
              db::slot_of_run(connection, id),
              ""};
  if (facts.slot) {
    const auto schedule = db::find_schedule(connection, facts.slot->schedule);
    facts.schedule = schedule ? schedule->name : "";
  }
  if (options.environment || options.json) facts.environment = db::environment_of(connection, id);
  if (options.json) return print_json(as_json(facts));
  const Style style = style_of(stdout);
  print_head(facts, style);
  print_steps(facts, style);
  print_rest(facts, style, options.inputs);
}

}  // namespace

void set_up_show(CLI::App& app, Context& context) {
  auto options = std::make_shared<ShowOptions>();
  app.add_option("RUN", options->run,
                 "an id, a unique beginning or end of one, latest (default) or latest:PIPELINE");
  app.add_flag("--inputs", options->inputs, "also the files that steps read");
  app.add_flag("--environment", options->environment, "also the names of the environment variables it had");
  app.add_flag("--json", options->json, "print JSON");
  app.footer(
      "Examples:\n"
      "  mlops show\n"
      "  mlops show latest:churn\n"
      "  mlops show 7k2m --json | jq '.steps[] | {name, state}'");
  app.callback([options, &context] { show(*options, context); });
}

}  // namespace mlops::cli
