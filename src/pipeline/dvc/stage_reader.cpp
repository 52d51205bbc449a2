#include "pipeline/dvc/stage_reader.hpp"

#include "pipeline/dvc/expansion.hpp"
#include "pipeline/dvc/resolver.hpp"
#include "pipeline/paths.hpp"
#include "util/strings.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <utility>

namespace mlops::pipeline::dvc {

namespace {

using util::YamlEntry;
using util::YamlNode;

constexpr std::size_t most_stages = 100'000;

const std::vector<std::string> file_keys = {"vars",  "stages",    "params",  "metrics",
                                            "plots", "artifacts", "datasets"};
const std::vector<std::string> stage_keys = {"cmd",  "wdir",    "deps",  "params", "vars",
                                             "outs", "metrics", "plots", "frozen", "always_changed",
                                             "meta", "desc",    "matrix"};
const std::vector<std::string> out_flags = {"cache",   "persist", "remote", "push",     "desc",      "type",
                                            "labels",  "meta",    "xpath",  "template", "x",         "y",
                                            "x_label", "y_label", "title",  "header",   "checkpoint"};

bool is_url(const std::string& path) { return path.find("://") != path.npos; }

class FileReader {
 public:
  FileReader(const StageFile& file, const std::string& root, const UnpackStyle& style, Sources& sources,
             Problems& problems, const Refer& refer)
      : file_(file),
        root_(root),
        sources_(sources),
        problems_(problems),
        values_(file, style, sources, problems) {
    context_.refer = refer;
  }

  ReadFile read(const YamlNode& top) {
    if (top.is_null()) return {};
    if (!top.is_map()) {
      problems_.add(top.at, "a dvc.yaml is a map with 'stages'");
      return {};
    }
    for (const YamlEntry& entry : top.entries) {
      if (std::ranges::find(file_keys, entry.key) == file_keys.end())
        problems_.add(entry.at, "dvc.yaml has no key '" + entry.key + "'",
                      problems_.suggest(entry.key, file_keys));
    }
    if (sources_.read(file_.directory + "/params.yaml")) values_.load_file(context_, "params.yaml", {}, {});
    if (const YamlNode* vars = top.find("vars")) values_.load_vars(context_, *vars, file_.directory);
    read_top(top);
    const YamlNode* stages = top.find("stages");
    if (!stages || stages->is_null()) return std::move(result_);
    if (!stages->is_map()) {
      problems_.add(stages->at, "stages: expected a map of names to stages");
      return {};
    }
    for (const YamlEntry& entry : stages->entries) read_entry(entry);
    return std::move(result_);
  }

 private:
  // --- The top of the file ----------------------------------------------------------------------------

  void read_top(const YamlNode& top) {
    for (const char* key : {"params", "datasets"}) {
      if (const YamlNode* node = top.find(key)) values_.resolve(*node, context_, key);
    }
    if (const YamlNode* node = top.find("plots"); node && !node->is_null()) {
      for (const OrderedJson& plot : values_.resolve(*node, context_, "plots")) {
        if (plot.is_string()) result_.plots.push_back(plot.get<std::string>());
        if (plot.is_object() && !plot.empty()) result_.plots.push_back(key_text(plot.begin().key()));
      }
    }
    if (const YamlNode* node = top.find("metrics"); node && !node->is_null()) {
      for (const OrderedJson& path : values_.resolve(*node, context_, "metrics")) {
        if (path.is_string())
          result_.metrics.push_back(absolute_path(file_.directory, path.get<std::string>()));
      }
    }
    if (const YamlNode* node = top.find("artifacts"); node && node->is_map()) {
      const OrderedJson artifacts = values_.resolve(*node, context_, "artifacts");
      for (const auto& [name, artifact] : artifacts.items()) {
        if (!artifact.is_object() || !artifact.contains("path") || !artifact["path"].is_string()) {
          problems_.add(node->at, "artifacts: '" + name + "' has no path");
        } else if (artifact.contains("type") && artifact["type"].is_string()) {
          kinds_[absolute_path(file_.directory, artifact["path"].get<std::string>())] =
              artifact["type"].get<std::string>();
        }
      }
    }
  }

  // --- Expansion --------------------------------------------------------------------------------------

  void read_entry(const YamlEntry& entry) {
    if (!entry.value.is_map())
      return problems_.add(entry.at, "stage '" + entry.key + "': expected a map with 'cmd'");
    const YamlNode* foreach = entry.value.find("foreach");
    const YamlNode* matrix = entry.value.find("matrix");
    if (foreach && matrix)
      return problems_.add(entry.at, "stage '" + entry.key + "': foreach and matrix exclude each other");
    if (foreach) return read_foreach(entry, *foreach);
    if (matrix) return read_matrix(entry, *matrix);
    read_stage(entry.key, entry.key, entry.value, entry.at, context_, nullptr);
  }

  bool too_many() {
    if (result_.stages.size() < most_stages) return false;
    if (result_.stages.size() == most_stages)
      problems_.add({}, "the file stands for more than 100000 stages");
    return true;
  }

  void read_foreach(const YamlEntry& entry, const YamlNode& data) {
    const YamlNode* body = entry.value.find("do");
    for (const YamlEntry& other : entry.value.entries) {
      if (other.key != "foreach" && other.key != "do")
        problems_.add(other.at, "beside foreach there is only 'do'", "move '" + other.key + "' under 'do'");
    }
    if (!body || !body->is_map())
      return problems_.add(entry.at, "stage '" + entry.key + "': foreach needs 'do' with the stage");
    const std::size_t before = problems_.list().size();
    const OrderedJson values = values_.resolve(data, context_, "foreach");
    if (!values.is_structured()) {
      if (problems_.list().size() == before)
        problems_.add(data.at, std::string("foreach: expected a list or a map, got ") + kind_of(values));
      return;
    }
    for (const Expansion& expansion : expand_foreach(values, data)) {
      if (too_many()) return;
      Context context = context_;
      context.set_reserved("item", expansion.item);
      Json vars = {
          {"item", Json::parse(expansion.item.dump(-1, ' ', false, Json::error_handler_t::replace))}};
      if (values.is_object()) {
        context.set_reserved("key", expansion.key);
        vars["key"] = expansion.key;
      }
      read_stage(entry.key + "@" + expansion.key, entry.key, *body, entry.at, context, std::move(vars));
    }
  }

  void read_matrix(const YamlEntry& entry, const YamlNode& data) {
    const std::size_t before = problems_.list().size();
    const OrderedJson axes = values_.resolve(data, context_, "matrix");
    bool good = axes.is_object() && !axes.empty();
    for (const auto& [name, values] : axes.items()) good = good && values.is_array();
    if (!good) {
      if (problems_.list().size() == before)
        problems_.add(data.at, "matrix: expected a map of names to lists");
      return;
    }
    std::size_t count = 1;
    for (const OrderedJson& values : axes) {
      if ((count *= values.size()) > most_stages)
        return problems_.add(data.at, "matrix: it stands for more than 100000 stages");
    }
    for (const Expansion& expansion : expand_matrix(axes, data)) {
      if (too_many()) return;
      Context context = context_;
      context.set_reserved("item", expansion.item);
      context.set_reserved("key", expansion.key);
      const std::string text = expansion.item.dump(-1, ' ', false, Json::error_handler_t::replace);
      read_stage(entry.key + "@" + expansion.key, entry.key, entry.value, entry.at, context,
                 {{"matrix", Json::parse(text)}});
    }
  }

  // --- One stage --------------------------------------------------------------------------------------

  void read_stage(const std::string& name, const std::string& base, const YamlNode& node, Location at,
                  const Context& outer, Json vars) {
    for (const YamlEntry& entry : node.entries) {
      if (std::ranges::find(stage_keys, entry.key) == stage_keys.end())
        problems_.add(entry.at, "a stage has no key '" + entry.key + "'",
                      problems_.suggest(entry.key, stage_keys));
    }
    const std::size_t before = problems_.list().size();
    const auto find = [&](std::string_view key) -> const YamlNode* {
      const YamlNode* found = node.find(key);
      return found && !found->is_null() ? found : nullptr;
    };
    std::string wdir;
    if (const YamlNode* n = find("wdir")) wdir = to_text(values_.resolve(*n, outer, "wdir"));
    const Context* context = &outer;
    Context own;
    if (const YamlNode* n = find("vars")) {
      own = outer;
      values_.load_vars(own, *n, wdir);
      context = &own;
    }
    ReadStage read;
    read.file = file_.shown;
    read.step.name = file_.prefix + name;
    read.step.base = file_.prefix + base;
    read.step.at = at;
    read.step.vars = std::move(vars);
    read.stage.file = file_.path;
    read.stage.name = name;
    const std::string workdir = normal_path(file_.directory, file_.workdir, wdir);
    read.step.workdir = workdir == "." ? "" : workdir;
    directory_ = absolute_path(file_.directory, wdir);

    if (const YamlNode* n = find("cmd")) {
      read_command(read, *n, *context);
    } else {
      problems_.add(at, "stage '" + name + "' has no cmd", "such as cmd: python train.py");
    }
    if (const YamlNode* n = find("desc"); n && n->is_scalar()) read.step.description = n->text;
    if (const YamlNode* n = find("meta")) values_.resolve(*n, *context, "meta");
    for (const auto& [key, flag] :
         {std::pair("frozen", &read.stage.frozen), std::pair("always_changed", &read.stage.always_changed)}) {
      const YamlNode* n = find(key);
      if (!n) continue;
      const OrderedJson value = values_.resolve(*n, *context, key);
      if (value.is_boolean()) {
        *flag = value.get<bool>();
      } else if (problems_.list().size() == before) {
        problems_.add(n->at, std::string(key) + ": expected true or false, got " + kind_of(value));
      }
    }
    if (const YamlNode* n = find("deps")) read_deps(read, *n, *context);
    if (const YamlNode* n = find("params")) read_params(read, *n, *context);
    if (const YamlNode* n = find("outs")) read_outs(read, *n, *context, "outs");
    if (const YamlNode* n = find("metrics")) read_outs(read, *n, *context, "metrics");
    if (const YamlNode* n = find("plots")) read_outs(read, *n, *context, "plots");
    if (read.stage.frozen) read.step.inputs.clear(), read.inputs.clear();
    read.step.env["DVC_STAGE"] = Text{{{read.step.name, "", ""}}};
    if (!std::getenv("DVC_ROOT")) read.step.env["DVC_ROOT"] = Text{{{root_, "", ""}}};
    // For clean-up the steps' own rules do not hold: DVC decides what is kept.
    result_.stages.push_back(std::move(read));
  }

  void read_command(ReadStage& read, const YamlNode& node, const Context& context) {
    const std::size_t before = problems_.list().size();
    OrderedJson cmd = values_.resolve(node, context, "cmd");
    if (problems_.list().size() > before) return;
    if (cmd.is_number() || cmd.is_boolean()) cmd = to_text(cmd);
    std::vector<std::string> lines;
    bool good = true;
    if (cmd.is_string()) {
      for (std::string& line : util::split(cmd.get<std::string>(), '\n')) lines.push_back(std::move(line));
      if (!lines.empty() && lines.back().empty()) lines.pop_back();
    } else if (cmd.is_array()) {
      for (const OrderedJson& line : cmd) {
        good = good && line.is_string();
        if (line.is_string()) lines.push_back(line.get<std::string>());
      }
    }
    if (!good || lines.empty())
      return problems_.add(node.at, "cmd: expected a command or a list of commands");
    read.stage.cmd = std::move(cmd);
    read.step.command.each = true;
    for (std::string& line : lines) read.step.command.argv.push_back(Text{{{std::move(line), "", ""}}});
  }

  Location item_at(const YamlNode& list, std::size_t i) const {
    return list.is_list() && i < list.items.size() ? list.items[i].at : list.at;
  }

  bool usable(const std::string& path, Location at, const char* what) {
    if (path.empty()) {
      problems_.add(at, std::string(what) + ": an empty path");
    } else if (is_url(path)) {
      problems_.add(at,
                    std::string(what) + ": '" + path + "' lies elsewhere, which mlops does not read for DVC",
                    "fetch it in a stage of its own, or run this project with dvc");
    } else {
      return true;
    }
    return false;
  }

  void read_deps(ReadStage& read, const YamlNode& node, const Context& context) {
    const OrderedJson list = values_.resolve(node, context, "deps");
    if (!list.is_array()) return problems_.add(node.at, "deps: expected a list of paths");
    for (std::size_t i = 0; i < list.size(); ++i) {
      const Location at = item_at(node, i);
      if (list[i].is_null()) continue;  // told already
      if (list[i].is_structured()) {
        problems_.add(at, "deps: expected a path, got " + std::string(kind_of(list[i])));
        continue;
      }
      const std::string path = to_text(list[i]);
      if (!read.stage.frozen && !usable(path, at, "deps")) continue;
      read.stage.deps.push_back(path);
      read.step.inputs.push_back(path);
      read.inputs.push_back(at);
    }
  }

  void read_params(ReadStage& read, const YamlNode& node, const Context& context) {
    const OrderedJson list = values_.resolve(node, context, "params");
    if (!list.is_array()) return problems_.add(node.at, "params: expected a list of names and files");
    std::set<std::string> whole;
    const auto file = [&](const std::string& path, Location at) -> DvcParams& {
      for (DvcParams& params : read.stage.params) {
        if (params.path == path) return params;
      }
      read.step.inputs.push_back(path);
      read.inputs.push_back(at);
      return read.stage.params.emplace_back(DvcParams{path, {}});
    };
    const auto add_key = [&](const std::string& path, const std::string& key, Location at) {
      auto& keys = file(path, at).keys;
      if (std::ranges::find(keys, key) == keys.end()) keys.push_back(key);
    };
    for (std::size_t i = 0; i < list.size(); ++i) {
      const Location at = item_at(node, i);
      if (list[i].is_object()) {
        for (const auto& [path, keys] : list[i].items()) {
          if (keys.is_null() || (keys.is_array() && keys.empty())) {
            file(path, at);
            whole.insert(path);
          } else if (keys.is_array()) {
            for (const OrderedJson& key : keys) add_key(path, to_text(key), at);
          } else {
            problems_.add(at, "params: expected a list of names under '" + path + "'");
          }
        }
      } else if (list[i].is_array()) {
        problems_.add(at, "params: expected a name or a file with names");
      } else if (!list[i].is_null()) {
        add_key("params.yaml", to_text(list[i]), at);
      }
    }
    for (DvcParams& params : read.stage.params) {
      if (whole.contains(params.path)) params.keys.clear();
      read.step.params.insert(read.step.params.end(), params.keys.begin(), params.keys.end());
    }
  }

  void read_outs(ReadStage& read, const YamlNode& node, const Context& context, const std::string& key) {
    const OrderedJson list = values_.resolve(node, context, key);
    if (!list.is_array()) return problems_.add(node.at, key + ": expected a list of paths");
    for (std::size_t i = 0; i < list.size(); ++i) {
      const Location at = item_at(node, i);
      if (list[i].is_null()) continue;
      if (!list[i].is_structured()) {
        add_out(read, to_text(list[i]), nullptr, at, key);
      } else if (list[i].is_object() && list[i].size() == 1) {
        add_out(read, list[i].begin().key(), list[i].begin().value(), at, key);
      } else {
        problems_.add(at, key + ": expected a path, or one path with its settings");
      }
    }
  }

  void add_out(ReadStage& read, const std::string& path, const OrderedJson& flags, Location at,
               const std::string& key) {
    if (!usable(path, at, key.c_str())) return;
    auto& outs = read.stage.outs;
    auto out = std::ranges::find(outs, path, &DvcOut::path);
    if (out == outs.end()) {
      outs.push_back({path, true, false, key == "metrics", key == "plots"});
      out = outs.end() - 1;
      Output output;
      output.path = path;
      output.kind = key == "metrics" ? "metrics" : key == "plots" ? "plots" : "";
      const auto kind = kinds_.find(absolute_path(directory_, path));
      if (kind != kinds_.end()) output.kind = kind->second;
      read.step.outputs.push_back(std::move(output));
      read.outputs.push_back(at);
    }
    if (!flags.is_null() && !flags.is_object())
      return problems_.add(at, key + ": expected a map of settings under '" + path + "'");
    for (const auto& [flag, value] : flags.items()) {
      if (std::ranges::find(out_flags, flag) == out_flags.end())
        problems_.add(at, key + ": there is no setting '" + flag + "'", problems_.suggest(flag, out_flags));
      if (flag != "cache" && flag != "persist") continue;
      if (!value.is_boolean()) {
        problems_.add(at, flag + ": expected true or false, got " + kind_of(value));
      } else {
        (flag == "cache" ? out->cache : out->persist) = value.get<bool>();
      }
    }
    read.step.outputs[static_cast<std::size_t>(out - outs.begin())].persist = out->persist;
    const std::string full = absolute_path(directory_, path);
    if (out->cache && !lies_in(full, root_))
      problems_.add(at, key + ": '" + path + "' lies outside the project, where DVC keeps no outputs",
                    "say cache: false, or write it inside " + root_);
    for (const std::string& metrics : result_.metrics) {
      if (lies_in(metrics, full) || (metrics == full && !out->metric)) read.stage.metrics.push_back(metrics);
    }
  }

  const StageFile& file_;
  const std::string& root_;
  Sources& sources_;
  Problems& problems_;
  Resolver values_;
  Context context_;
  std::map<std::string, std::string> kinds_;  // types of artifacts by absolute path
  std::string directory_;                     // of the stage at hand, absolute
  ReadFile result_;
};

}  // namespace

StageFile stage_file(const std::string& path, std::string shown, const std::string& directory, bool main) {
  namespace fs = std::filesystem;
  StageFile file;
  file.path = path;
  file.shown = std::move(shown);
  file.directory = fs::path(path).parent_path().string();
  if (!main) {
    file.workdir = fs::path(file.directory).lexically_relative(directory).string();
    if (file.workdir == ".") file.workdir.clear();
    file.prefix = fs::path(path).lexically_relative(directory).string() + ":";
  }
  return file;
}

ReadFile read_stages(const StageFile& file, const std::string& text, const std::string& root,
                     const UnpackStyle& style, Sources& sources, Problems& problems, const Refer& refer) {
  std::vector<Diagnostic> yaml_problems;
  const YamlNode top = util::parse_yaml(text, file.shown, yaml_problems);
  const bool readable = yaml_problems.empty();
  for (Diagnostic& problem : yaml_problems) problems.add(std::move(problem));
  if (!readable && top.is_null()) return {};
  return FileReader(file, root, style, sources, problems, refer).read(top);
}

}  // namespace mlops::pipeline::dvc
