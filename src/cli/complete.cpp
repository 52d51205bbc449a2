#include <mlops/pipeline.hpp>

#include "cli/context.hpp"
#include "cli/output.hpp"
#include "db/runs.hpp"
#include "db/steps.hpp"
#include "util/time.hpp"

#include <algorithm>
#include <cstdio>
#include <set>

namespace mlops::cli {

namespace {

const std::set<std::string> takes_run = {"show", "logs", "cancel", "rm"};
const std::set<std::string> takes_step = {"--only", "--from", "--until", "--skip"};

const Command* find(const std::string& name) {
  for (const Command& command : commands()) {
    if (name == command.name) return &command;
  }
  return nullptr;
}

void answer(const std::string& candidate, const std::string& about, const std::string& prefix) {
  if (candidate.starts_with(prefix)) std::printf("%s\t%s\n", candidate.c_str(), about.c_str());
}

void complete_runs(const std::string& prefix) {
  const auto workspace = Workspace::find(".");
  if (!workspace) return;
  db::Database database = db::Database::open_to_read(workspace->database_path());
  answer("latest", "the newest run", prefix);
  for (const std::string& name : db::pipeline_names(database.connection()))
    answer("latest:" + name, "the newest of this pipeline", prefix);
  db::RunFilter filter;
  filter.limit = 30;
  for (const RunRecord& run : db::list_runs(database.connection(), filter)) {
    answer(run.id,
           run.pipeline + " " + to_string(run.state) + " " + util::format_ago(run.created_at, util::now()),
           prefix);
  }
}

void complete_steps(const std::string& run, const std::string& prefix) {
  Context context;
  OpenWorkspace open = open_to_read(context);
  const std::string id = find_run_id(open, run);
  for (const StepRecord& step : db::steps_of(open.database.connection(), id))
    answer(step.name, to_string(step.state), prefix);
}

// Steps of the pipeline file among `words`; of expanded steps also the base.
void complete_steps_of_file(const std::vector<std::string>& words, const std::string& prefix) {
  for (const std::string& word : words) {
    if (!word.ends_with(".yaml") && !word.ends_with(".yml")) continue;
    std::string last;
    for (const Step& step : load_pipeline(word, {.overrides = {}, .check_files = false}).steps) {
      if (step.base != step.name && step.base != last) answer(step.base, "all of its expansions", prefix);
      answer(step.name, step.kind, prefix);
      last = step.base;
    }
    return;
  }
}

void complete_last(const std::vector<std::string>& words) {
  const std::string prefix = words.empty() ? "" : words.back();
  if (words.size() <= 1) {
    for (const Command& command : commands()) {
      answer(command.name, command.summary, prefix);
    }
    return;
  }
  const Command* command = find(words[0]);
  if (!command) return;
  if (prefix.starts_with("-")) {
    CLI::App app;
    Context context;
    command->set_up(app, context);
    for (const CLI::Option* option : app.get_options()) {
      for (const std::string& name : option->get_lnames())
        answer("--" + name, option->get_description(), prefix);
    }
    return;
  }
  const std::string& before = words[words.size() - 2];
  if (before == "--output") {
    for (const char* mode : {"live", "failed", "none"}) answer(mode, "", prefix);
  } else if (before == "--state") {
    for (const char* state : {"running", "succeeded", "failed", "cancelled", "interrupted"})
      answer(state, "", prefix);
  } else if (takes_step.contains(before)) {
    complete_steps_of_file(words, prefix);
  } else if (words[0] == "completion") {
    for (const char* shell : {"bash", "zsh", "fish"}) answer(shell, "", prefix);
  } else if (words[0] == "logs" && words.size() == 3) {
    complete_steps(words[1], prefix);
  } else if (takes_run.contains(words[0]) || before == "--resume") {
    complete_runs(prefix);
  }
}

}  // namespace

int complete(const std::vector<std::string>& words) {
  try {
    complete_last(words);
  } catch (const std::exception&) {
    // In the middle of a line nobody wants to read an error.
  }
  return 0;
}

}  // namespace mlops::cli
