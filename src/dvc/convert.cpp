#include "dvc/convert.hpp"

#include "dvc/references.hpp"
#include "dvc/yaml_writer.hpp"
#include "params/interpolate.hpp"
#include "pipeline/paths.hpp"
#include "util/strings.hpp"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

namespace mlops::dvc {

namespace {

namespace fs = std::filesystem;
using params::escape_references;

bool is_metrics_file(const std::string& path) {
  return path.ends_with(".json") || path.ends_with(".yaml") || path.ends_with(".yml") ||
         path.ends_with(".toml") || path.ends_with(".py") || path.ends_with(".csv") || path.ends_with(".tsv");
}

class Converter {
 public:
  Converter(const Pipeline& pipeline, const std::string& directory)
      : pipeline_(pipeline), directory_(directory), references_(pipeline) {
    for (const Step& step : pipeline.steps) names_[step.name] = new_name(step.name);
  }

  Converted convert() {
    Converted result;
    std::string steps;
    for (std::size_t i = 0; i < pipeline_.steps.size(); ++i) steps += step(i);
    std::string head = "# Made from " + fs::path(pipeline_.file).filename().string() +
                       " by `mlops import dvc`. What stood there in foreach and matrix is filled in.\n";
    note_params();
    note_top();
    for (const DvcTracked& data : pipeline_.dvc->tracked)
      note("'" + shown(data.path) + "' is tracked by " + shown(data.file) +
           ": nothing fetches it here, have it in place (`dvc pull`)");
    for (const std::string& text : notes_) head += "# Note: " + text + ".\n";
    result.text = head + write_yaml_entry("name", pipeline_.name, 0);
    if (const OrderedJson params = references_.params(); !params.empty())
      result.text += write_yaml_entry("params", params, 0);
    result.text += "steps:\n" + steps;
    result.notes = std::move(notes_);
    return result;
  }

 private:
  void note(std::string text) {
    if (std::ranges::find(notes_, text) == notes_.end()) notes_.push_back(std::move(text));
  }

  void note_params() {
    const bool own =
        std::ranges::any_of(pipeline_.dvc->stages, [](const auto& s) { return !s.params.empty(); });
    if (!references_.params().empty()) {
      note(std::string("values that stood in ${…} are params here: change them in this file or with --set") +
           (own ? "; commands that read a params file themselves still do" : ""));
    } else if (own) {
      note(
          "no value stands in ${…}: commands read their params files themselves, and --set changes nothing "
          "there");
    }
    if (const auto& fixed = references_.fixed(); !fixed.empty()) {
      note("filled in for good, as no reference can stand there: " +
           util::join(std::vector<std::string>(fixed.begin(), fixed.end()), ", "));
    }
  }

  void note_top() {
    for (const std::string& path : references_.metrics()) {
      if (std::ranges::find(metrics_, path) == metrics_.end())
        note("'" + shown(path) + "' of the top-level metrics is not read: no step has it as an output");
    }
    if (!references_.plots().empty())
      note("top-level plots have no equivalent: " + util::join(references_.plots(), ", "));
  }

  std::string shown(const std::string& path) const {
    return fs::path(path).lexically_relative(pipeline_.dvc->root).string();
  }

  std::string new_name(const std::string& old) {
    std::string name;
    for (const char c : old) {
      const auto u = static_cast<unsigned char>(c);
      name += u < 0x80 && (std::isalnum(u) || c == '_' || c == '.' || c == '-') ? c : '-';
    }
    while (!name.empty() && (name[0] == '.' || name[0] == '-')) name.erase(0, 1);
    name = name.substr(0, 90);
    if (name.empty()) name = "stage";
    std::string unique = name;
    for (int i = 2; !taken_.insert(unique).second; ++i) unique = name + "-" + std::to_string(i);
    return unique;
  }

  // DVC's shell goes on after a command that fails, and the last one decides; ours would stop.
  static std::string lenient(const std::string& command) {
    return command.find_first_of(";\n") == command.npos ? command : "set +e\n" + command;
  }

  std::string script(const std::vector<Text>& lines) {
    const auto written = [&](const Text& line) { return lenient(references_.in_script(line.literal())); };
    if (lines.size() == 1) return written(lines[0]);
    // Each had a shell of its own: what one changes in it does not reach the next.
    std::string out;
    for (const Text& line : lines) out += "(" + written(line) + ")\n";
    return out;
  }

  static std::string run_key(const std::string& text) {
    if (text.find('\n') == text.npos) return write_yaml_entry("run", text, 4);
    std::string out = "    run: |\n";
    for (const std::string& line : util::split(text, '\n'))
      out += line.empty() ? "\n" : "      " + line + "\n";
    while (out.ends_with("\n\n")) out.pop_back();
    return out;
  }

  std::string step(std::size_t i) {
    const Step& step = pipeline_.steps[i];
    const DvcStage& stage = pipeline_.dvc->stages[i];
    const std::string& name = names_[step.name];
    const auto* read = references_.find(step, stage);
    const auto text = [&](const std::string& marked) { return references_.in_text(marked); };
    std::string out = "  " + name + ":\n";
    if (name != step.name) out += "    # was " + step.name + "\n";
    if (!step.description.empty())
      out += write_yaml_entry("description", escape_references(step.description), 4);
    const std::string folder = pipeline::absolute_path(pipeline_.directory, step.workdir);
    const std::string workdir = fs::path(folder).lexically_relative(directory_).string();
    if (workdir != ".") out += write_yaml_entry("workdir", escape_references(workdir), 4);
    out += run_key(script(read ? read->step.command.argv : step.command.argv));
    OrderedJson inputs = OrderedJson::array();
    for (const std::string& dep : read ? read->stage.deps : stage.deps) inputs.push_back(text(dep));
    for (const DvcParams& params : stage.params) {
      if (std::ranges::find(stage.deps, params.path) == stage.deps.end())
        inputs.push_back(escape_references(params.path));
      if (!params.keys.empty()) {
        out += "    # its params were " + util::join(params.keys, ", ") + " of " + params.path +
               "; here the whole file counts\n";
      }
    }
    if (!inputs.empty()) out += write_yaml_entry("inputs", inputs, 4);
    outputs(step, stage, read ? read->stage.outs : stage.outs, folder, out);
    if (stage.always_changed) {
      out += "    cache: false\n";
    } else if (stage.deps.empty() && stage.params.empty() && !stage.outs.empty()) {
      out += "    cache: true  # it declares no inputs; dvc runs it once\n";
    }
    if (stage.frozen) {
      out += "    # was frozen: here it runs when its inputs change\n";
      note("'" + name + "' was frozen, which has no equivalent: leave it out with --skip " + name);
    }
    return out;
  }

  // `names` are those of its outputs, with references.
  void outputs(const Step& step, const DvcStage& stage, const std::vector<DvcOut>& names,
               const std::string& folder, std::string& out) {
    OrderedJson outputs = OrderedJson::array(), metrics = OrderedJson::array();
    for (std::size_t i = 0; i < stage.outs.size(); ++i) {
      const DvcOut& o = stage.outs[i];
      const std::string path = references_.in_text(names[i].path);
      const std::string full = pipeline::absolute_path(folder, o.path);
      bool metric = o.metric;
      for (const std::string& inner : stage.metrics) {
        metric = metric || inner == full;
        if (!pipeline::lies_in(inner, full)) continue;
        metrics.push_back(path + (path.ends_with('/') ? "" : "/") +
                          escape_references(inner.substr(full.size() + 1)));
        metrics_.push_back(inner);
      }
      if (!o.cache && !o.metric && !o.plot)
        note("'" + o.path + "' had cache: false; here all outputs are kept in the store");
      if (metric && is_metrics_file(o.path) && !o.persist) {
        metrics.push_back(path);
        metrics_.push_back(full);
        continue;
      }
      const std::string& kind = step.outputs[i].kind;
      if (kind.empty() && !o.persist) {
        outputs.push_back(path);
        continue;
      }
      OrderedJson entry = {{"path", path}};
      if (!kind.empty()) entry["kind"] = kind;
      if (o.persist) entry["persist"] = true;
      outputs.push_back(std::move(entry));
    }
    if (!outputs.empty()) out += write_yaml_entry("outputs", outputs, 4);
    if (!metrics.empty()) out += write_yaml_entry("metrics", metrics, 4);
  }

  const Pipeline& pipeline_;
  const std::string& directory_;
  References references_;
  std::vector<std::string> metrics_;  // that steps have, absolute
  std::map<std::string, std::string> names_;
  std::set<std::string> taken_;
  std::vector<std::string> notes_;
};

}  // namespace

Converted to_own_file(const Pipeline& pipeline, const std::string& directory) {
  return Converter(pipeline, directory).convert();
}

}  // namespace mlops::dvc
