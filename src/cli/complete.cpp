#include <mlops/pipeline.hpp>

#include "cli/context.hpp"
#include "cli/output.hpp"
#include "db/backfills.hpp"
#include "db/datasets.hpp"
#include "db/requests.hpp"
#include "db/runs.hpp"
#include "db/steps.hpp"
#include "engine/recovery.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"
#include "workspace/config.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <set>

namespace mlops::cli {

namespace {

const std::set<std::string> takes_steps = {"--only", "--from", "--until", "--skip", "--force"};
constexpr int most_runs = 30;

// A line as typed so far.
struct Typed {
  Context context;
  const Command* command = nullptr;
  std::string subcommand;
  std::vector<std::string> arguments;  // complete ones that belong to no option
  std::string option;                  // whose value is being typed
  std::string lead;                    // what stands before the value in the same word: "--only=a,"
  std::string prefix;                  // what there is of the word itself
};

// A shell hands over "~" as it was typed.
std::string directory(const std::string& word) {
  const char* home = std::getenv("HOME");
  return home && (word == "~" || word.starts_with("~/")) ? home + word.substr(1) : word;
}

const Command* find(const std::string& name) {
  for (const Command& command : commands()) {
    if (name == command.name) return &command;
  }
  return nullptr;
}

// Null if there is none of this name.
CLI::App* subcommand(CLI::App& app, const std::string& name) {
  const auto found = app.get_subcommands([&](const CLI::App* sub) { return sub->get_name() == name; });
  return found.empty() ? nullptr : found[0];
}

// Whether `next` is the value of the option `name`; some can do without one.
bool takes_value(const CLI::App& app, const std::string& name, const std::string& next) {
  if (name == "-w" || name == "--workspace") return true;
  const CLI::Option* option = app.get_option_no_throw(name);
  if (!option || option->get_items_expected_max() == 0) return false;
  return option->get_items_expected_min() > 0 || !next.starts_with("-");
}

// Reads the line from left to right, as the program would.
class LineReader {
 public:
  explicit LineReader(const std::vector<std::string>& words) : words_(words) {}

  Typed read() {
    std::size_t i = read_head();
    if (i + 1 < words_.size()) {
      typed_.command = find(words_[i++]);
      if (typed_.command) typed_.command->set_up(app_, nowhere_);
      CLI::App* app = &app_;
      while (i + 1 < words_.size()) read_argument(i, app);
    }
    if (!words_.empty()) read_last(words_.back());
    return std::move(typed_);
  }

 private:
  // Options of the program itself; the index of the command.
  std::size_t read_head() {
    std::size_t i = 0;
    for (; i + 1 < words_.size() && words_[i].starts_with("-"); ++i) {
      const std::string& word = words_[i];
      const bool enter = word == "-C", workspace = word == "-w" || word == "--workspace";
      if (word.starts_with("--workspace=")) typed_.context.workspace = directory(word.substr(12));
      if (!enter && !workspace) continue;
      typed_.option = i + 2 == words_.size() ? word : "";
      if (!typed_.option.empty()) continue;
      const std::string place = directory(words_[++i]);
      if (enter) enter_directory(place);
      if (workspace) typed_.context.workspace = place;
    }
    return i;
  }

  void read_argument(std::size_t& i, CLI::App*& app) {
    const std::string& word = words_[i++];
    if (word.starts_with("--workspace=")) typed_.context.workspace = directory(word.substr(12));
    if (word.starts_with("-") && word != "-") {
      if (word.find('=') != word.npos || !takes_value(*app, word, words_[i])) return;
      if (i + 1 == words_.size()) {
        typed_.option = word;
      } else {
        if (word == "-w" || word == "--workspace") typed_.context.workspace = directory(words_[i]);
        ++i;
      }
    } else if (CLI::App* sub = typed_.arguments.empty() ? subcommand(*app, word) : nullptr) {
      app = sub;
      typed_.subcommand = word;
    } else {
      typed_.arguments.push_back(word);
    }
  }

  void read_last(const std::string& word) {
    std::size_t begin = 0;
    const std::size_t equals = word.find('=');
    if (word.starts_with("--") && equals != word.npos) {
      typed_.option = word.substr(0, equals);
      begin = equals + 1;
    }
    if (takes_steps.contains(typed_.option) && word.rfind(',') != word.npos) begin = word.rfind(',') + 1;
    typed_.lead = word.substr(0, begin);
    typed_.prefix = word.substr(begin);
  }

  const std::vector<std::string>& words_;
  Typed typed_;
  CLI::App app_;
  Context nowhere_;
};

// What may come at the end of the line.
class Completion {
 public:
  explicit Completion(Typed typed) : typed_(std::move(typed)) {}

  void answer_all() {
    if (!typed_.option.empty()) return value_of_option();
    if (typed_.prefix.starts_with("-")) return options();
    if (!typed_.command) return command_names();
    argument();
  }

 private:
  void answer(const std::string& candidate, const std::string& about) const {
    if (!candidate.starts_with(typed_.prefix)) return;
    const std::string short_about = util::to_utf8(about.substr(0, 80));
    std::printf("%s%s\t%s\n", typed_.lead.c_str(), candidate.c_str(),
                util::escape_controls(short_about).c_str());
  }
  void words(std::initializer_list<const char*> list) const {
    for (const char* word : list) answer(word, "");
  }

  void command_names() const {
    if (!typed_.arguments.empty()) return;
    for (const Command& command : commands()) answer(command.name, command.summary);
  }

  void options() const {
    if (typed_.command) {
      CLI::App app;
      Context nowhere;
      typed_.command->set_up(app, nowhere);
      const CLI::App* asked = typed_.subcommand.empty() ? &app : app.get_subcommand(typed_.subcommand);
      for (const CLI::Option* option : asked->get_options()) {
        for (const std::string& name : option->get_lnames()) answer("--" + name, option->get_description());
      }
    } else {
      answer("--help", "print this help");
      answer("--version", "print the version");
    }
    answer("--workspace", "directory that holds .mlops");
    answer("--verbose", "say on stderr what is done inside");
    answer("--no-color", "no colours");
  }

  void value_of_option() {
    const std::string& option = typed_.option;
    if (option == "--output") {
      words({"live", "failed", "none"});
    } else if (option == "--state") {
      words({"running", "orphaned", "succeeded", "failed", "cancelled", "interrupted"});
    } else if (takes_steps.contains(option)) {
      steps_of_file();
    } else if (option == "--set" || option == "-s") {
      params_of_file();
    } else if (option == "--pipeline" || option == "-p") {
      pipelines();
    } else if (option == "--resume") {
      resumable_runs();
    } else if (option == "--remote") {
      remotes();
    } else if (option == "--queue") {
      queues();
    } else if (option == "--order") {
      words({"oldest", "newest"});
    }
  }

  void argument() {
    const std::string command = typed_.command->name;
    const std::size_t place = typed_.arguments.size();
    if (command == "completion" && place == 0) {
      words({"bash", "zsh", "fish"});
    } else if ((command == "store" || command == "remote" || command == "data" || command == "schedule" ||
                command == "queue" || command == "trigger" || command == "notify") &&
               typed_.subcommand.empty() && place == 0) {
      subcommands();
    } else if (command == "remote" && typed_.subcommand == "rm") {
      remotes();
    } else if (command == "queue" && typed_.subcommand != "list") {
      requests(typed_.subcommand == "show");
    } else if (command == "backfill" && !typed_.subcommand.empty() && typed_.subcommand != "list") {
      backfills();
    } else if (command == "data") {
      if (typed_.subcommand != "add" && place < (typed_.subcommand == "diff" ? 2u : 1u))
        datasets(typed_.subcommand != "versions");
    } else if (command == "runs") {
      if (typed_.subcommand.empty()) {
        subcommands();
      } else if (place == 0) {
        runs();
      }
    } else if (command == "pin" || command == "unpin") {
      runs();
      datasets(true);
    } else if (command == "cancel") {
      runs_in({RunState::running});
    } else if (command == "why") {
      place == 0 ? steps_of_run("latest") : runs();
    } else if (command == "logs" && place == 1) {
      steps_of_run(typed_.arguments[0]);
    } else if (command == "rm" || command == "push" || command == "fetch" || command == "pull" ||
               ((command == "show" || command == "logs") && place == 0) || (command == "diff" && place < 2) ||
               ((command == "reproduce" || command == "lineage") && place == 0)) {
      runs();
    }
  }

  void subcommands() const {
    CLI::App app;
    Context nowhere;
    typed_.command->set_up(app, nowhere);
    for (const CLI::App* sub : app.get_subcommands([](CLI::App* each) { return !each->get_group().empty(); }))
      answer(sub->get_name(), sub->get_description());
  }

  // --- What the workspace knows

  std::optional<OpenWorkspace> open() const {
    if (!Workspace::find(".", typed_.context.workspace)) return std::nullopt;
    return open_to_read(typed_.context);
  }

  void answer(const RunRecord& run) const {
    answer(run.id,
           run.pipeline + " " + to_string(run.state) + " " + util::format_ago(run.created_at, util::now()));
  }

  void runs() const {
    auto workspace = open();
    if (!workspace) return;
    db::Connection& connection = workspace->database.connection();
    answer("latest", "the newest run");
    for (const std::string& name : db::pipeline_names(connection))
      answer("latest:" + name, "the newest of this pipeline");
    for (const RunRecord& run : db::list_runs(connection, filter({}))) answer(run);
  }

  void requests(bool of_the_past) const {
    auto workspace = open();
    if (!workspace) return;
    db::RequestFilter filter;
    if (!of_the_past) filter.state = RequestState::waiting;
    filter.limit = most_runs;
    for (const RequestRecord& request : db::list_requests(workspace->database.connection(), filter))
      answer(std::to_string(request.id),
             request.pipeline + " " + to_string(request.state) + ", " + request.queue);
  }

  void backfills() const {
    auto workspace = open();
    if (!workspace) return;
    for (const BackfillRecord& backfill : db::backfills(workspace->database.connection()))
      answer(std::to_string(backfill.id), backfill.pipeline + " " + backfill.entry);
  }

  void datasets(bool versions) const {
    auto workspace = open();
    if (!workspace) return;
    db::Connection& connection = workspace->database.connection();
    for (const std::string& name : db::dataset_names(connection)) {
      answer(name, "the newest version");
      if (!versions) continue;
      for (const DatasetVersion& v : db::versions_of(connection, name)) {
        answer(name + "@" + std::to_string(v.version),
               std::to_string(v.files) + " files, " + util::format_ago(v.created_at, util::now()));
      }
    }
  }

  // The newest first, whatever the state.
  void runs_in(std::initializer_list<RunState> states) const {
    auto workspace = open();
    if (!workspace) return;
    std::vector<RunRecord> list;
    for (const RunState state : states) {
      for (RunRecord& run : db::list_runs(workspace->database.connection(), filter(state)))
        list.push_back(std::move(run));
    }
    std::ranges::sort(list, std::greater(), &RunRecord::id);
    if (list.size() > most_runs) list.resize(most_runs);
    for (const RunRecord& run : list) answer(run);
  }

  // One that still counts as running has lost its runner, but not its steps: a resume waits for them.
  void resumable_runs() const {
    auto workspace = open();
    if (!workspace) return;
    for (const RunRecord& run : db::list_runs(workspace->database.connection(), filter(RunState::running))) {
      if (engine::liveness(workspace->workspace, run.id) != engine::Liveness::running) answer(run);
    }
    runs_in({RunState::failed, RunState::cancelled, RunState::interrupted});
  }

  static db::RunFilter filter(std::optional<RunState> state) {
    db::RunFilter filter;
    filter.state = state;
    filter.limit = most_runs;
    return filter;
  }

  void pipelines() const {
    auto workspace = open();
    if (!workspace) return;
    for (const std::string& name : db::pipeline_names(workspace->database.connection())) answer(name, "");
  }

  void remotes() const {
    const auto workspace = Workspace::find(".", typed_.context.workspace);
    if (!workspace) return;
    for (const auto& remote : workspace::read_config(*workspace).remotes) answer(remote.name, remote.url);
  }

  void queues() const {
    answer(default_queue, "");
    const auto workspace = Workspace::find(".", typed_.context.workspace);
    if (!workspace) return;
    for (const auto& queue : workspace::read_config(*workspace).queues) answer(queue.name, "");
  }

  void steps_of_run(const std::string& run) const {
    auto workspace = open();
    if (!workspace) return;
    const std::string id = find_run_id(*workspace, run);
    for (const StepRecord& step : db::steps_of(workspace->database.connection(), id))
      answer(step.name, to_string(step.state));
  }

  // --- What the pipeline file says

  std::optional<Pipeline> file() const {
    if (typed_.arguments.empty()) return std::nullopt;
    return load_pipeline(typed_.arguments[0], {.overrides = {}, .check_files = false});
  }

  // Of expanded steps also the base.
  void steps_of_file() const {
    const auto pipeline = file();
    if (!pipeline) return;
    std::string last;
    for (const Step& step : pipeline->steps) {
      if (step.base != step.name && step.base != last) answer(step.base, "all of its expansions");
      answer(step.name, step.kind);
      last = step.base;
    }
  }

  void params_of_file() const {
    if (typed_.prefix.find('=') != std::string::npos) return;  // the value is the user's
    if (const auto pipeline = file()) leaves(pipeline->params, "");
  }

  void leaves(const Json& map, const std::string& path) const {
    for (const auto& [key, value] : map.items()) {
      if (value.is_object() && !value.empty()) {
        leaves(value, path + key + ".");
      } else {
        answer(path + key + "=", value.dump(-1, ' ', false, Json::error_handler_t::replace));
      }
    }
  }

  Typed typed_;
};

}  // namespace

int complete(const std::vector<std::string>& words) {
  try {
    Completion(LineReader(words).read()).answer_all();
  } catch (const std::exception&) {
    // In the middle of a line nobody wants to read an error.
  }
  return 0;
}

}  // namespace mlops::cli
