// A pipeline file, from its text to checked values.
#include "pipeline/dvc/load.hpp"

#include <mlops/pipeline.hpp>

#include "params/overrides.hpp"
#include "pipeline/check.hpp"
#include "pipeline/notification_reader.hpp"
#include "pipeline/schedule_reader.hpp"
#include "pipeline/source.hpp"
#include "pipeline/step_reader.hpp"
#include "pipeline/trigger_reader.hpp"
#include "util/strings.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <unordered_set>

namespace mlops {

namespace {

using pipeline::Fields;
using pipeline::Placed;
using pipeline::Problems;
using pipeline::ReadStep;
using pipeline::Variant;
using util::YamlEntry;
using util::YamlNode;

constexpr std::size_t kMostSecrets = 1000;

class Loader {
 public:
  Loader(Pipeline& result, const YamlNode& root, const LoadOptions& options, Problems& problems)
      : out_(result), root_(root), options_(options), problems_(problems) {
    out_.slot = options.slot;
    // For no slot its parts stand for themselves.
    slot_ = options.slot ? to_json(*options.slot)
                         : to_json(SlotValues{"${slot.id}", "${slot.start}", "${slot.end}"});
  }

  void load() {
    if (!pipeline::check_keys(root_, pipeline::pipeline_keys(), "the file", problems_)) return;
    read_head();
    read_params();
    read_env();
    read_secrets();
    read_pools();
    read_keep_inputs();
    read_schedule();
    read_turn();
    const YamlNode* triggers = read_triggers();
    read_notify();
    const std::vector<ReadStep> places = read_steps();
    if (triggers) pipeline::check_triggers(*triggers, out_, problems_);
    // One that is read for a slot, as that of a run is, is not asked again.
    if (triggers && out_.uses_slot && !out_.slot && !problems_.many()) {
      problems_.add(
          triggers->at, "triggers: a run for an event is for no slot, and steps use ${slot.…}",
          "put what the triggers start into a file of its own; what an event tells is in $MLOPS_EVENT");
    }
    // Of an expansion that could not be read nobody knows what it makes.
    if (!out_.steps.empty()) pipeline::check(out_, places, options_.check_files && all_known_, problems_);
    // One that is there and wrong has been told of.
    if (out_.uses_slot && !find("schedule") && !problems_.many()) {
      problems_.add(root_.at, "${slot.…} stands for a slot, and the file has no schedule",
                    "such as  schedule: \"0 3 * * *\"  for every day at 03:00");
    }
  }

 private:
  const YamlNode* find(std::string_view key) const {
    const YamlNode* node = root_.find(key);
    return node && !node->is_null() ? node : nullptr;
  }
  // References to params, env and the pipeline's name; nothing else is known outside steps.
  params::Scope scope() const { return {&out_.params, nullptr, out_.name, nullptr}; }
  // What belongs to a run knows the slot that it is for, too.
  params::Scope run_scope() {
    params::Scope result = scope();
    result.slot = &slot_;
    result.uses_slot = &out_.uses_slot;
    return result;
  }

  void read_head() {
    const params::Scope nothing;
    const Fields fields(nothing, problems_);
    if (const YamlNode* version = find("version");
        version && !(version->is_scalar() && version->text == "1")) {
      fields.expected(*version, "version", "1", "this mlops reads version 1 of the format");
    }
    out_.name = default_name();
    if (const YamlNode* name = find("name")) {
      const std::string given = fields.name(*name, "name");
      if (!given.empty()) out_.name = given;
    }
    if (const YamlNode* text = find("description"))
      out_.description = fields.text(*text, "description").value_or("");
  }

  // The file's name, or that of its folder if the file is just called "pipeline".
  std::string default_name() const {
    const std::filesystem::path path(out_.file);
    std::string name = path.stem().string();
    if (name.empty() || name == "pipeline") name = std::filesystem::path(out_.directory).filename().string();
    for (char& c : name) {
      if (!pipeline::is_name(std::string("a") + c)) c = '_';
    }
    while (!name.empty() && !pipeline::is_name(name.substr(0, 1))) name.erase(0, 1);
    name = name.substr(0, 100);
    return name.empty() ? "pipeline" : name;
  }

  void read_params() {
    if (const YamlNode* node = find("params")) {
      if (node->is_map()) {
        out_.params = params_of(*node);
      } else {
        problems_.add(node->at, "params: expected a map, got " + pipeline::described(*node));
      }
    }
    for (const std::string& text : options_.overrides) {
      if (auto problem = params::apply_override(out_.params, text)) problems_.add(std::move(*problem));
    }
    out_.overrides = options_.overrides;
  }

  // Params are data: references are not filled in, and `$${` is `${` as everywhere in the file.
  Json params_of(const YamlNode& node) {
    if (node.is_map()) {
      Json map = Json::object();
      for (const YamlEntry& entry : node.entries) {
        if (entry.key.empty() || entry.key.find('.') != entry.key.npos) {
          problems_.add(
              entry.at,
              "params: the key '" + entry.key + "' " + (entry.key.empty() ? "is empty" : "contains '.'"),
              "write a map inside a map for a dotted name");
        }
        map[entry.key] = params_of(entry.value);
      }
      return map;
    }
    if (node.is_list()) {
      Json list = Json::array();
      for (const YamlNode& item : node.items) list.push_back(params_of(item));
      return list;
    }
    Json value = util::to_json(node);
    if (value.is_number_float() && !std::isfinite(value.get<double>())) {
      problems_.add(node.at, "params: " + node.text + " cannot be handed to steps as JSON",
                    "quote it: \"" + node.text + "\"");
      return 1.0;  // a number in its place, so that nothing is said of it where it is used
    }
    if (!value.is_string() || node.text.find("${") == node.text.npos) return value;
    std::string text;
    for (std::size_t i = 0; i < node.text.size(); ++i) {
      const std::string_view rest = std::string_view(node.text).substr(i);
      if (rest.starts_with("$${")) continue;
      for (const char* root :
           {"${params.", "${env.", "${matrix.", "${item", "${steps.", "${pipeline.", "${slot."}) {
        if (rest.starts_with(root) && (i == 0 || node.text[i - 1] != '$')) {
          problems_.add(node.at, "params are values: references in them are not filled in",
                        "put the reference where the value is used, or write $${ for the text itself");
          return value;
        }
      }
      text += node.text[i];
    }
    return text;
  }

  void read_env() {
    const YamlNode* node = find("env");
    if (!node) return;
    const params::Scope known = run_scope();
    const Fields fields(known, problems_);
    if (const YamlNode* inherit = node->find("inherit")) {
      out_.inherit_env = fields.boolean(*inherit, "env inherit").value_or(true);
    }
    for (const auto& [name, text] : fields.variables(*node, "env", "inherit"))
      out_.env[name] = text.literal();
  }

  void read_secrets() {
    const YamlNode* node = find("secrets");
    if (!node) return;
    const params::Scope known = scope();
    const Fields fields(known, problems_);
    const auto declare = [&](const std::string& name, Location at) -> Secret* {
      if (out_.secrets.size() == kMostSecrets) {
        problems_.add(at, "secrets: more than " + std::to_string(kMostSecrets));
        return nullptr;
      }
      if (!pipeline::is_variable(name) || name.starts_with("MLOPS_")) {
        problems_.add(at, "secrets: '" + name + "' cannot be the name of a secret",
                      "letters, digits and '_', not beginning with a digit or MLOPS_: steps see it as an "
                      "environment variable");
        return nullptr;
      }
      for (const Secret& secret : out_.secrets) {
        if (secret.name != name) continue;
        problems_.add(at, "secrets: '" + name + "' is declared twice");
        return nullptr;
      }
      return &out_.secrets.emplace_back(Secret{name, Secret::Source::env, {name}});
    };
    if (!node->is_map()) {
      for (const Placed& name : fields.texts(*node, "secrets")) declare(name.text, name.at);
      return;
    }
    for (const YamlEntry& entry : node->entries) {
      Secret* secret = declare(entry.key, entry.at);
      if (secret && !entry.value.is_null()) read_source(*secret, entry.value, fields);
    }
  }

  void read_source(Secret& secret, const YamlNode& node, const Fields& fields) {
    if (!pipeline::check_keys(node, pipeline::secret_keys(), "secret '" + secret.name + "'", problems_))
      return;
    if (node.entries.size() != 1) {
      problems_.add(node.at, "secret '" + secret.name + "': expected exactly one of env, file, command");
    }
    if (const YamlNode* env = node.find("env")) {
      const auto name = fields.text(*env, "env");
      if (name && !pipeline::is_variable(*name))
        fields.expected(*env, "env", "the name of an environment variable");
      secret.from = {name.value_or("")};
    } else if (const YamlNode* file = node.find("file")) {
      secret.source = Secret::Source::file;
      secret.from = {fields.text(*file, "file").value_or("")};
      if (file->is_scalar() && file->text.empty()) fields.expected(*file, "file", "a path");
    } else if (const YamlNode* command = node.find("command")) {
      secret.source = Secret::Source::command;
      secret.from.clear();
      if (!command->is_list() || command->items.empty()) {
        fields.expected(*command, "command", "a list of a program and its arguments",
                        "such as [pass, show, db-url]");
      }
      for (Placed& word : fields.texts(*command, "command")) secret.from.push_back(std::move(word.text));
    }
  }

  void read_pools() {
    const YamlNode* node = find("pools");
    if (!node) return;
    const params::Scope known = scope();
    const Fields fields(known, problems_);
    if (!node->is_map())
      return fields.expected(*node, "pools", "a map of names to sizes", "such as {database: 2}");
    for (const YamlEntry& entry : node->entries) {
      if (!pipeline::is_name(entry.key)) problems_.add(entry.at, "pools: '" + entry.key + "' is not a name");
      out_.pools[entry.key] =
          fields.integer(entry.value, "pools " + entry.key, 1, 1'000'000).value_or(1'000'000);
    }
  }

  void read_keep_inputs() {
    const YamlNode* node = find("keep_inputs");
    if (!node) return;
    const params::Scope known = scope();
    const Fields fields(known, problems_);
    if (const auto word = fields.choice(*node, "keep_inputs", pipeline::keep_inputs_values()))
      out_.keep_inputs = parse_keep_inputs(*word).value_or(KeepInputs::small);
  }

  void read_schedule() {
    const YamlNode* node = find("schedule");
    if (!node) return;
    const params::Scope known = scope();
    out_.schedules = pipeline::read_schedules(*node, Fields(known, problems_), out_, options_.check_files);
  }

  // When its runs come, of those that wait for the daemon or a worker.
  void read_turn() {
    const params::Scope known = scope();
    const Fields fields(known, problems_);
    if (const YamlNode* node = find("priority"))
      out_.priority = fields.integer(*node, "priority", -1'000, 1'000).value_or(0);
    if (const YamlNode* node = find("concurrency"))
      out_.concurrency = fields.integer(*node, "concurrency", 1, 1'000'000).value_or(0);
  }

  const YamlNode* read_triggers() {
    const YamlNode* node = find("triggers");
    if (!node) return nullptr;
    const params::Scope known = scope();
    out_.triggers = pipeline::read_triggers(*node, Fields(known, problems_), out_);
    return node;
  }

  void read_notify() {
    const YamlNode* node = find("notify");
    if (!node) return;
    const params::Scope known = scope();
    out_.notifications = pipeline::read_notifications(*node, Fields(known, problems_), known, out_);
  }

  std::vector<ReadStep> read_steps() {
    std::vector<ReadStep> places;
    const YamlNode* steps = root_.find("steps");
    if (!steps || (steps->is_map() && steps->entries.empty()) || steps->is_null()) {
      problems_.add(steps ? steps->at : root_.at, "the file has no steps",
                    "such as steps: {train: {run: python train.py}}");
      return places;
    }
    if (!steps->is_map()) {
      problems_.add(steps->at, "steps: expected a map of names to steps, got " + pipeline::described(*steps));
      return places;
    }
    const YamlNode* defaults = read_defaults();
    std::vector<std::vector<Variant>> variants;
    const params::StepNames names = read_names(*steps, variants);
    const pipeline::StepReader reader(out_, run_scope(), names, defaults, problems_);
    std::size_t total = 0;
    for (const auto& list : variants) total += list.size();
    out_.steps.reserve(total);
    places.reserve(total);
    for (std::size_t i = 0; i < variants.size(); ++i) {
      for (Variant& variant : variants[i]) {
        ReadStep read = reader.read(steps->entries[i], std::move(variant));
        out_.steps.push_back(std::move(read.step));
        read.step = Step();
        places.push_back(std::move(read));
      }
    }
    return places;
  }

  const YamlNode* read_defaults() {
    const YamlNode* node = find("defaults");
    if (!node) return nullptr;
    if (!pipeline::check_keys(*node, pipeline::step_keys(), "defaults", problems_)) return nullptr;
    for (const YamlEntry& entry : node->entries) {
      for (const pipeline::Key& key : pipeline::step_keys()) {
        if (key.name == entry.key && !key.in_defaults) {
          problems_.add(entry.at, "'" + entry.key + "' cannot be a default", "write it in each step");
        }
      }
    }
    return node;
  }

  // Names come first, as any step may refer to any other.
  params::StepNames read_names(const YamlNode& steps, std::vector<std::vector<Variant>>& variants) {
    params::StepNames names;
    const params::Scope known = run_scope();
    const Fields fields(known, problems_);
    std::size_t total = 0;
    for (const YamlEntry& entry : steps.entries) {
      if (!pipeline::is_name(entry.key)) {
        problems_.add(entry.at, "'" + util::to_utf8(entry.key.substr(0, 120)) + "' is not a name of a step",
                      "letters, digits, '_', '.' and '-', at most 100, not beginning with '.' or '-'");
      }
      variants.push_back(expand(entry, fields));
      total += variants.back().size();
      if (total > pipeline::kMostSteps) {
        problems_.add(entry.at, "the file stands for more than 100000 steps");
        variants.clear();
        return {};
      }
      for (const Variant& variant : variants.back()) {
        if (!variant.open) {
          names.add(variant.name, entry.key);
        } else {
          names.add_open(entry.key);
          all_known_ = false;
        }
      }
    }
    return names;
  }

  Pipeline& out_;
  const YamlNode& root_;
  const LoadOptions& options_;
  Problems& problems_;
  Json slot_;
  bool all_known_ = true;  // what steps there are
};

}  // namespace

Pipeline parse_pipeline(std::string text, const std::string& path, const LoadOptions& options) {
  if (pipeline::dvc::is_dvc_file(path)) return pipeline::dvc::load(std::move(text), path, options);
  Pipeline result;
  result.file = path;
  result.directory = pipeline::directory_of_source(path);
  result.source = std::move(text);
  const std::string shown = pipeline::shown_name(path);
  Problems problems(shown, result.source);
  std::vector<Diagnostic> yaml_problems;
  const YamlNode root = util::parse_yaml(result.source, shown, yaml_problems);
  const bool readable = yaml_problems.empty();
  for (Diagnostic& problem : yaml_problems) problems.add(std::move(problem));
  if (readable && root.is_null()) {
    problems.add({1, 1}, "the file is empty", "a pipeline has at least steps: {NAME: {run: COMMAND}}");
  } else if (readable || !root.is_null()) {
    Loader(result, root, options, problems).load();
  }
  problems.throw_if_any();
  return result;
}

Pipeline load_pipeline(const std::string& path, const LoadOptions& options) {
  return parse_pipeline(pipeline::read_source(path), path, options);
}

}  // namespace mlops
