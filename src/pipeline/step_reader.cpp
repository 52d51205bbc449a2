#include "pipeline/step_reader.hpp"

#include "params/condition.hpp"
#include "params/overrides.hpp"
#include "util/strings.hpp"

#include <algorithm>
#include <unordered_set>

namespace mlops::pipeline {

namespace {

using util::YamlNode;

constexpr int kMostAttempts = 1000;

// The keys of one step: its own over the defaults. A null takes a default away.
class Reading {
 public:
  Reading(ReadStep& result, const util::YamlEntry& entry, const YamlNode* defaults, const Pipeline& pipeline,
          const params::StepNames& names, const params::Scope& scope, Problems& problems)
      : out_(result),
        entry_(entry),
        defaults_(defaults),
        pipeline_(pipeline),
        names_(names),
        scope_(scope),
        problems_(problems),
        fields_(scope, problems) {}

  void read_all() {
    if (!check_keys(entry_.value, step_keys(), "step '" + entry_.key + "'", problems_)) return;
    read_command();
    read_files();
    read_needs();
    read_environment();
    read_retry();
    read_resources();
    read_rest();
  }

 private:
  const YamlNode* find(std::string_view key) const {
    const YamlNode* node = entry_.value.find(key);
    if (!node && defaults_) node = defaults_->find(key);
    return node && !node->is_null() ? node : nullptr;
  }

  void read_command() {
    const YamlNode* run = find("run");
    Command& command = out_.step.command;
    if (!run) {
      problems_.add(entry_.at, "step '" + entry_.key + "' has no 'run'",
                    "say what it runs: run: python train.py, or a list: run: [python, train.py]");
    } else if (run->is_scalar()) {
      command.shell = true;
      if (util::trim(run->text).empty()) problems_.add(run->at, "run: is empty");
      command.argv.push_back(fields_.open_text(*run, "run", params::Target::shell));
    } else if (run->is_list()) {
      if (run->items.empty())
        problems_.add(run->at, "run: the list is empty", "its first item is the program");
      for (const YamlNode& item : run->items) {
        command.argv.push_back(fields_.open_text(item, "run", params::Target::text));
      }
      if (!command.argv.empty() && command.argv[0].parts.size() == 1 &&
          command.argv[0].parts[0] == Text::Part{} && run->items[0].is_scalar() &&
          run->items[0].text.empty()) {
        problems_.add(run->items[0].at, "run: the program is an empty text");
      }
    } else {
      fields_.expected(*run, "run", "a text (a shell script) or a list (a program and its arguments)");
    }
    for (const Text& text : command.argv) refuse_own(text, run);
  }

  void refuse_own(const Text& text, const YamlNode* node) {
    for (const Text::Part& part : text.parts) {
      if (part.step == out_.step.name && !part.step.empty()) {
        problems_.add(node->at, "step '" + part.step + "' refers to its own output '" + part.key + "'",
                      "what a step makes is known to later steps only");
      }
    }
  }

  void read_files() {
    if (const YamlNode* node = find("inputs"))
      take(fields_.texts(*node, "inputs"), out_.step.inputs, out_.inputs);
    if (const YamlNode* node = find("metrics"))
      take(fields_.texts(*node, "metrics"), out_.step.metrics, out_.metrics);
    const YamlNode* outputs = find("outputs");
    if (!outputs) return;
    if (!outputs->is_list()) return read_output(*outputs);
    for (const YamlNode& item : outputs->items) read_output(item);
  }

  static void take(std::vector<Placed> from, std::vector<std::string>& texts, std::vector<Location>& places) {
    for (Placed& placed : from) {
      texts.push_back(std::move(placed.text));
      places.push_back(placed.at);
    }
  }

  void read_output(const YamlNode& node) {
    Output output;
    const YamlNode* path = &node;
    if (node.is_map()) {
      check_keys(node, output_keys(), "an output", problems_);
      path = node.find("path");
      if (!path)
        return problems_.add(node.at, "an output has no 'path'", "such as {path: model.bin, kind: model}");
      if (const YamlNode* kind = node.find("kind")) output.kind = fields_.name(*kind, "kind");
      if (const YamlNode* persist = node.find("persist"))
        output.persist = fields_.boolean(*persist, "persist").value_or(false);
    }
    if (!path->is_scalar()) return fields_.expected(*path, "outputs", "a path or {path: …, kind: …}");
    for (Placed& placed : fields_.texts(*path, "outputs")) {
      output.path = std::move(placed.text);
      out_.step.outputs.push_back(output);
      out_.outputs.push_back(placed.at);
    }
  }

  void read_needs() {
    const YamlNode* node = find("needs");
    if (!node) return;
    std::unordered_set<std::string> seen;
    for (const Placed& need : fields_.texts(*node, "needs")) {
      const std::vector<std::string> names = names_.resolve(need.text);
      if (names.empty()) {
        problems_.add(need.at, "needs: no step '" + need.text + "'",
                      problems_.many() ? "" : names_.suggest(need.text));
      }
      for (const std::string& name : names) {
        if (name == out_.step.name) {
          problems_.add(need.at, "step '" + name + "' needs itself", "remove it from 'needs'");
        } else if (seen.insert(name).second) {
          out_.step.needs.push_back(name);
        }
      }
    }
  }

  void read_environment() {
    const YamlNode* own = entry_.value.find("env");
    const YamlNode* shared = defaults_ ? defaults_->find("env") : nullptr;
    std::map<std::string, Text>& env = out_.step.env;
    if (own && !own->is_null()) env = fields_.variables(*own, "env");
    if (shared && !shared->is_null() && !(own && own->is_null()))
      env.merge(fields_.variables(*shared, "env"));
    for (const auto& [name, text] : env) refuse_own(text, own && own->find(name) ? own->find(name) : shared);
    const YamlNode* secrets = find("secrets");
    if (!secrets) return;
    for (const Placed& secret : fields_.texts(*secrets, "secrets")) {
      const auto declared = [&](const Secret& s) { return s.name == secret.text; };
      if (std::ranges::any_of(pipeline_.secrets, declared)) {
        out_.step.secrets.push_back(secret.text);
        continue;
      }
      std::vector<std::string> known;
      for (const Secret& s : pipeline_.secrets) known.push_back(s.name);
      std::string hint = known.empty() ? "" : problems_.suggest(secret.text, known);
      if (!hint.empty()) hint += hint.ends_with('?') ? " Else " : "; else ";
      problems_.add(secret.at, "secrets: '" + secret.text + "' is not declared",
                    hint + "declare it at the top: secrets: [" + secret.text + "]");
    }
  }

  void read_retry() {
    const YamlNode* node = find("retry");
    if (!node) return;
    Retry& retry = out_.step.retry;
    if (!node->is_map()) {
      retry.times = fields_.integer(*node, "retry", 0, kMostAttempts).value_or(0);
      return;
    }
    check_keys(*node, retry_keys(), "retry", problems_);
    retry.times = 1;
    if (const YamlNode* n = node->find("times"))
      retry.times = fields_.integer(*n, "times", 0, kMostAttempts).value_or(0);
    if (const YamlNode* n = node->find("delay"))
      retry.delay = fields_.duration(*n, "delay").value_or(Milliseconds(0));
    if (const YamlNode* n = node->find("backoff"))
      retry.backoff = fields_.number(*n, "backoff", 1, 100).value_or(1);
    if (const YamlNode* n = node->find("max_delay")) {
      retry.max_delay = fields_.duration(*n, "max_delay").value_or(Milliseconds(0));
    }
    if (const YamlNode* n = node->find("jitter"))
      retry.jitter = fields_.number(*n, "jitter", 0, 1).value_or(0);
    if (const YamlNode* n = node->find("on")) read_causes(*n, retry);
  }

  void read_causes(const YamlNode& node, Retry& retry) {
    using Cause = RetryCause::Kind;
    bool any = false;
    for (const Placed& cause : fields_.texts(node, "on")) {
      const Json number = util::plain_value(cause.text);
      if (cause.text == "any") {
        any = true;
      } else if (cause.text == "timeout") {
        retry.on.push_back({Cause::timeout, 0});
      } else if (cause.text == "no_output") {
        retry.on.push_back({Cause::no_output, 0});
      } else if (cause.text == "signal") {
        retry.on.push_back({Cause::signal, 0});
      } else if (cause.text == "lost") {
        retry.on.push_back({Cause::lost, 0});
      } else if (number.is_number_integer() && number >= 1 && number <= 255) {
        retry.on.push_back({Cause::exit_code, number.get<int>()});
      } else {
        const std::vector<std::string> words(retry_causes().begin(), retry_causes().end());
        problems_.add(cause.at, "on: expected an exit code from 1 to 255 or " + util::join(words, ", ") +
                                    ", got '" + cause.text + "'");
      }
    }
    if (any) retry.on.clear();
  }

  void read_resources() {
    const YamlNode* own = entry_.value.find("resources");
    const YamlNode* shared = defaults_ ? defaults_->find("resources") : nullptr;
    if (own && own->is_null()) return;
    for (const YamlNode* node : {own, shared}) {
      if (node && !node->is_null()) check_keys(*node, resources_keys(), "resources", problems_);
    }
    const auto pick = [&](const char* key) -> const YamlNode* {
      const YamlNode* node = own ? own->find(key) : nullptr;
      if (!node && shared) node = shared->find(key);
      return node && !node->is_null() ? node : nullptr;
    };
    Resources& r = out_.step.resources;
    if (const YamlNode* n = pick("cpus")) r.cpus = fields_.number(*n, "cpus", 0, 100'000).value_or(0);
    if (const YamlNode* n = pick("memory")) r.memory = fields_.size(*n, "memory").value_or(0);
    if (const YamlNode* n = pick("gpus")) r.gpus = fields_.integer(*n, "gpus", 0, 10'000).value_or(0);
    if (const YamlNode* n = pick("pools")) read_pools(*n, r);
  }

  void read_pools(const YamlNode& node, Resources& resources) {
    const auto ask = [&](const std::string& pool, int share, Location at) {
      const auto declared = pipeline_.pools.find(pool);
      if (declared == pipeline_.pools.end()) {
        std::vector<std::string> known;
        for (const auto& [name, size] : pipeline_.pools) known.push_back(name);
        problems_.add(at, "pools: '" + pool + "' is not declared",
                      known.empty() ? "declare it at the top: pools: {" + pool + ": 1}"
                                    : problems_.suggest(pool, known));
      } else if (share > declared->second) {
        problems_.add(at,
                      "pools: asks for " + std::to_string(share) + " of '" + pool + "', which has " +
                          std::to_string(declared->second),
                      "the step could never start");
      } else {
        resources.pools[pool] = share;
      }
    };
    if (!node.is_map()) {
      for (const Placed& pool : fields_.texts(node, "pools")) ask(pool.text, 1, pool.at);
      return;
    }
    for (const util::YamlEntry& entry : node.entries) {
      const auto share = fields_.integer(entry.value, "pools " + entry.key, 1, 1'000'000);
      if (share) ask(entry.key, *share, entry.at);
    }
  }

  void read_rest() {
    Step& s = out_.step;
    if (const YamlNode* n = find("kind")) s.kind = fields_.name(*n, "kind");
    if (const YamlNode* n = find("description")) s.description = fields_.text(*n, "description").value_or("");
    if (const YamlNode* n = find("workdir")) s.workdir = fields_.text(*n, "workdir").value_or("");
    if (const YamlNode* n = find("timeout")) s.timeout = fields_.duration(*n, "timeout").value_or(s.timeout);
    if (const YamlNode* n = find("no_output_timeout")) {
      s.no_output_timeout = fields_.duration(*n, "no_output_timeout").value_or(s.no_output_timeout);
    }
    if (const YamlNode* n = find("grace")) s.grace = fields_.duration(*n, "grace").value_or(s.grace);
    if (const YamlNode* n = find("cache")) s.cache = fields_.boolean(*n, "cache");
    if (const YamlNode* n = find("code")) {
      for (Placed& file : fields_.texts(*n, "code")) s.code.push_back(std::move(file.text));
    }
    if (const YamlNode* n = find("always")) s.always = fields_.boolean(*n, "always").value_or(false);
    if (const YamlNode* n = find("leave_running"))
      s.leave_running = fields_.boolean(*n, "leave_running").value_or(false);
    if (const YamlNode* n = find("on_failure")) {
      s.continue_on_failure = fields_.choice(*n, "on_failure", on_failure_values()) == "continue";
    }
    if (const YamlNode* n = find("params")) {
      for (Placed& param : fields_.texts(*n, "params")) {
        if (!params::find_param(pipeline_.params, param.text)) {
          problems_.add(param.at, "params: '" + param.text + "' is not in the file's params",
                        problems_.many() ? "" : params::suggest_param(pipeline_.params, param.text, ""));
        }
        s.params.push_back(std::move(param.text));
      }
    }
    if (const YamlNode* n = find("when")) read_when(*n);
  }

  void read_when(const YamlNode& node) {
    if (!node.is_scalar()) return fields_.expected(node, "when", "a condition such as params.deploy == true");
    if (util::trim(node.text).empty()) return problems_.add(node.at, "when: the condition is empty");
    out_.step.when = node.text;
    std::vector<params::ConditionProblem> found;
    const params::ConditionScope scope{&pipeline_.params, scope_.vars,
                                       &names_,           !problems_.many(),
                                       scope_.open,       pipeline_.slot ? scope_.slot : nullptr};
    const params::Condition condition = params::parse_condition(node.text, scope, found);
    const Location text = problems_.locate(node.at, node.text, 0);  // past quotes
    const bool one_line = node.text.find('\n') == node.text.npos;
    for (const params::ConditionProblem& p : found) {
      const Location at = one_line ? Location{text.line, text.column + p.column - 1} : node.at;
      problems_.add(at, "when: " + p.message, p.hint);
    }
    for (const params::ConditionName& name : condition.names()) {
      if (name.step == out_.step.name && !name.step.empty())
        problems_.add(node.at, "when: step '" + name.step + "' asks about itself");
      if (name.root == params::ConditionName::Root::slot && scope_.uses_slot) *scope_.uses_slot = true;
    }
  }

  ReadStep& out_;
  const util::YamlEntry& entry_;
  const YamlNode* defaults_;
  const Pipeline& pipeline_;
  const params::StepNames& names_;
  const params::Scope& scope_;
  Problems& problems_;
  Fields fields_;
};

}  // namespace

ReadStep StepReader::read(const util::YamlEntry& entry, Variant variant) const {
  ReadStep result;
  result.step.name = std::move(variant.name);
  result.step.base = entry.key;
  result.step.vars = std::move(variant.vars);
  result.step.at = entry.at;
  params::Scope scope = scope_;
  scope.vars = &result.step.vars;
  scope.steps = &names_;
  scope.open = variant.open;
  Reading(result, entry, defaults_, pipeline_, names_, scope, problems_).read_all();
  return result;
}

}  // namespace mlops::pipeline
