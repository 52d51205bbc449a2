#include "pipeline/dvc/load.hpp"

#include "pipeline/check.hpp"
#include "pipeline/dvc/config.hpp"
#include "pipeline/dvc/ignore.hpp"
#include "pipeline/dvc/lock.hpp"
#include "pipeline/dvc/params_file.hpp"
#include "pipeline/dvc/stage_reader.hpp"
#include "pipeline/graph.hpp"
#include "pipeline/paths.hpp"
#include "pipeline/source.hpp"
#include "util/files.hpp"
#include "util/strings.hpp"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <unordered_map>

namespace mlops::pipeline::dvc {

namespace {

namespace fs = std::filesystem;

std::size_t at(int i) { return static_cast<std::size_t>(i); }

bool overlap(const std::string& a, const std::string& b) { return a == b || lies_in(a, b) || lies_in(b, a); }

class Loader {
 public:
  Loader(std::string text, const std::string& path, const LoadOptions& options)
      : options_(options), sources_(options.sources) {
    out_.file = path;
    out_.directory = directory_of_source(path);
    out_.source = std::move(text);
    const fs::path file(util::absolute_path(path));
    main_ = file.string();
  }

  Pipeline load() {
    refuse_overrides();
    root_ = find_root(out_.directory);
    if (root_.empty()) {
      throw BadFile(
          {{shown_name(out_.file),
            {},
            "does not lie in a DVC project: there is no .dvc directory in " + out_.directory + " or above",
            "make one with `dvc init`; a pipeline of mlops' own has another name"}});
    }
    out_.name = name();
    config_ = read_config(root_, sources_);
    read_files();
    fill_pipeline();
    if (problems_.empty()) {
      check_ignored();
      check_outputs();
      select();
      if (options_.check_files) check_inputs(), check_tracked();
    }
    if (!problems_.empty()) throw BadFile(std::move(problems_));
    out_.dvc->root = root_;
    out_.dvc->sources = sources_.taken();
    fill_params();
    return std::move(out_);
  }

 private:
  void refuse_overrides() const {
    if (options_.overrides.empty()) return;
    throw Error(ExitCode::usage,
                "--set has no place with a dvc.yaml: its commands read their params from files",
                "change params.yaml; or `mlops import dvc` makes a pipeline whose ${…} are params, which "
                "--set changes");
  }

  // That of the folder, as files are all called dvc.yaml.
  std::string name() const {
    std::string name = fs::path(out_.directory).filename().string();
    for (char& c : name) {
      const auto u = static_cast<unsigned char>(c);
      if (!std::isalnum(u) && c != '-' && c != '_' && c != '.') c = '_';
    }
    while (!name.empty() && (name[0] == '.' || name[0] == '-')) name.erase(0, 1);
    return name.empty() ? "dvc" : name.substr(0, 100);
  }

  std::string shown(const std::string& path) const {
    if (path == main_) return shown_name(out_.file);
    const std::string relative = fs::path(path).lexically_relative(fs::current_path()).string();
    return shown_name(relative.starts_with("../..") ? path : relative);
  }

  void read_files() {
    read_file(main_, out_.source);
    for (const std::string& path : sources_.find(root_)) {
      if (path == main_) continue;
      const auto text = sources_.read(path);
      if (!text) continue;
      if (fs::path(path).filename() == "dvc.yaml") {
        read_file(path, *text);
      } else {
        auto found = read_tracked(*text, path, shown(path), problems_);
        std::ranges::move(found, std::back_inserter(tracked_));
      }
    }
  }

  void read_file(const std::string& path, const std::string& text) {
    const StageFile file = stage_file(path, shown(path), out_.directory, path == main_);
    Problems problems(file.shown, text);
    std::vector<ReadStage> found = read_stages(file, text, root_, config_.unpack, sources_, problems).stages;
    try {
      problems.throw_if_any();  // puts them in order
    } catch (const BadFile& bad) {
      problems_.insert(problems_.end(), bad.problems().begin(), bad.problems().end());
    }
    const std::string lock_path = file.directory + "/dvc.lock";
    // The state of the project, not part of its definition: it is always that of now.
    if (const auto lock_text = util::read_regular_file(lock_path, 256u << 20)) {
      LockFile lock = read_lock(*lock_text, shown(lock_path), problems_);
      std::unordered_map<std::string_view, OrderedJson*> by_name;
      for (auto it = lock.stages.begin(); it != lock.stages.end(); ++it)
        by_name.emplace(it.key(), &it.value());
      for (ReadStage& read : found) {
        const auto entry = by_name.find(read.stage.name);
        if (entry != by_name.end()) read.stage.locked = std::move(*entry->second);
      }
    }
    std::ranges::move(found, std::back_inserter(all_));
  }

  void fill_pipeline() {
    out_.dvc.emplace();
    for (ReadStage& read : all_) {
      out_.steps.push_back(std::move(read.step));
      out_.dvc->stages.push_back(std::move(read.stage));
    }
    std::unordered_map<std::string_view, int> seen;
    for (std::size_t i = 0; i < out_.steps.size(); ++i) {
      if (!seen.emplace(out_.steps[i].name, static_cast<int>(i)).second)
        report(static_cast<int>(i), out_.steps[i].at, "there are two stages '" + out_.steps[i].name + "'",
               "");
    }
  }

  void report(int step, Location place, std::string message, std::string hint) {
    if (problems_.size() < 500)
      problems_.push_back({all_[at(step)].file, place, std::move(message), std::move(hint)});
  }

  std::string path_of(int step, const std::string& path) const {
    return normal_path(out_.directory, out_.steps[at(step)].workdir, path);
  }

  // --- Checks -------------------------------------------------------------------------------------------

  void check_ignored() {
    std::unordered_map<std::string, util::IgnoreRules> rules;  // by folder
    for (std::size_t i = 0; i < out_.steps.size(); ++i) {
      const std::vector<Output>& outputs = out_.steps[i].outputs;
      for (std::size_t k = 0; k < outputs.size(); ++k) {
        const std::string path = absolute_path(out_.directory, path_of(static_cast<int>(i), outputs[k].path));
        if (!lies_in(path, root_)) continue;
        const auto [known, is_new] = rules.try_emplace(fs::path(path).parent_path().string());
        if (is_new) known->second = ignore_rules(root_, path);
        const std::string below = path.substr(root_.size() + 1);
        // What is not there may become a file or a folder.
        const bool folder = util::is_directory(path);
        if ((!folder && known->second.ignores(below, false)) ||
            ((folder || !util::exists(path)) && known->second.ignores(below, true)))
          report(static_cast<int>(i), all_[i].outputs[k],
                 "'" + outputs[k].path + "' is made here, and .dvcignore leaves it out",
                 "take the rule out (`dvc check-ignore -d " + below + "` shows it), or name another output");
      }
    }
  }

  void check_outputs() {
    const Products products(out_);
    const Products::Product* outer = nullptr;
    const Products::Product* before = nullptr;
    const auto clash = [&](const Products::Product& one, const Products::Product& two) {
      const auto& later = one.step > two.step ? one : two;
      const auto& earlier = one.step > two.step ? two : one;
      report(later.step, all_[at(later.step)].outputs[at(later.place)],
             "'" + later.path + "' is made here and " + (later.path == earlier.path ? "" : "as part of '") +
                 (later.path == earlier.path ? "" : earlier.path + "' ") + "by stage '" +
                 out_.steps[at(earlier.step)].name + "'",
             "every file is made by one stage");
    };
    for (const Products::Product& product : products.all()) {
      const std::string why =
          refusal_of_output(out_, absolute_path(out_.directory, product.path), options_.check_files);
      if (!why.empty())
        report(product.step, all_[at(product.step)].outputs[at(product.place)],
               "'" + product.path + "' cannot be made: it " + why, hint_for_refused_output);
      if (before && before->path == product.path) {
        clash(*before, product);
      } else if (outer && lies_in(product.path, outer->path)) {
        clash(*outer, product);
      } else {
        outer = &product;
      }
      before = &product;
    }
    for (const DvcTracked& data : tracked_) {
      const std::string path = normal_path(out_.directory, "", data.path);
      for (const auto* product : products.touching(path)) {
        report(product->step, all_[at(product->step)].outputs[at(product->place)],
               "'" + product->path + "' is made here and tracked by " + shown(data.file),
               "keep one of the two: `dvc remove " + shown(data.file) + "`");
      }
    }
    if (!problems_.empty()) return;
    const auto edges = find_edges(out_, products);
    if (!edges) return report(0, {}, "the stages wait for each other in more than 2,000,000 ways", "");
    for (std::size_t i = 0; i < out_.steps.size(); ++i) {
      const Step& step = out_.steps[i];
      for (std::size_t k = 0; k < step.inputs.size(); ++k) {
        for (const auto* product : products.touching(path_of(static_cast<int>(i), step.inputs[k]))) {
          if (product->step == static_cast<int>(i))
            report(product->step, all_[i].inputs[k],
                   "stage '" + step.name + "' needs '" + step.inputs[k] + "' and makes it", "");
        }
      }
    }
    for (const auto& cycle : find_cycles(static_cast<int>(out_.steps.size()), *edges, 10)) {
      std::string words;
      for (const int step : cycle) words += out_.steps[at(step)].name + " → ";
      report(cycle[0], out_.steps[at(cycle[0])].at,
             "stages wait for each other in a circle: " + words + out_.steps[at(cycle[0])].name, "");
    }
  }

  // Keeps the stages of the file and what they need, or all if it has none, as `dvc repro` does; and finds
  // the order in which DVC would run them: that of a search into the depth, from each stage to those that
  // make its deps.
  void select() {
    if (!problems_.empty()) return;
    const Products products(out_);
    const int count = static_cast<int>(out_.steps.size());
    std::vector<int> rank(at(count), -1);
    std::vector<char> seen(at(count));
    int next = 0;
    struct Visit {
      int step;
      std::vector<int> needs;
      std::size_t at = 0;
    };
    const auto needs_of = [&](int step) {
      std::vector<int> needs;
      for (const std::string& input : out_.steps[at(step)].inputs) {
        for (const auto* product : products.touching(path_of(step, input))) needs.push_back(product->step);
      }
      return needs;
    };
    const bool has_own =
        std::ranges::find(out_.dvc->stages, main_, &DvcStage::file) != out_.dvc->stages.end();
    for (int start = 0; start < count; ++start) {
      if (seen[at(start)] || (has_own && out_.dvc->stages[at(start)].file != main_)) continue;
      std::vector<Visit> open;
      seen[at(start)] = 1;
      open.push_back({start, needs_of(start)});
      while (!open.empty()) {
        Visit& visit = open.back();
        if (visit.at == visit.needs.size()) {
          rank[at(visit.step)] = next++;
          open.pop_back();
          continue;
        }
        const int need = visit.needs[visit.at++];
        if (seen[at(need)]) continue;
        seen[at(need)] = 1;
        open.push_back({need, needs_of(need)});
      }
    }
    std::size_t kept = 0;
    for (std::size_t i = 0; i < at(count); ++i) {
      if (rank[i] < 0) continue;
      out_.dvc->stages[i].rank = rank[i];
      if (kept != i) {
        out_.steps[kept] = std::move(out_.steps[i]);
        out_.dvc->stages[kept] = std::move(out_.dvc->stages[i]);
        all_[kept] = std::move(all_[i]);
      }
      ++kept;
    }
    out_.steps.resize(kept);
    out_.dvc->stages.resize(kept);
    all_.resize(kept);
    keep_needed_data();
  }

  void keep_needed_data() {
    if (tracked_.empty()) return;
    std::vector<std::string> inputs;
    for (std::size_t i = 0; i < out_.steps.size(); ++i) {
      for (const std::string& input : out_.steps[i].inputs)
        inputs.push_back(absolute_path(out_.directory, path_of(static_cast<int>(i), input)));
    }
    std::ranges::sort(inputs);
    inputs.erase(std::unique(inputs.begin(), inputs.end()), inputs.end());
    for (DvcTracked& data : tracked_) {
      if (std::ranges::any_of(inputs, [&](const auto& input) { return overlap(input, data.path); }))
        out_.dvc->tracked.push_back(std::move(data));
    }
  }

  void check_inputs() {
    const Products products(out_);
    std::unordered_map<std::string, bool> exists;
    for (std::size_t i = 0; i < out_.steps.size(); ++i) {
      const Step& step = out_.steps[i];
      for (std::size_t k = 0; k < step.inputs.size(); ++k) {
        const std::string path = path_of(static_cast<int>(i), step.inputs[k]);
        const std::string on_disk = absolute_path(out_.directory, path);
        const auto [known, is_new] = exists.emplace(path, false);
        if (is_new) known->second = util::exists(on_disk);
        if (known->second || !products.touching(path).empty()) continue;
        const bool tracked = std::ranges::any_of(
            out_.dvc->tracked, [&](const DvcTracked& data) { return overlap(on_disk, data.path); });
        if (tracked) continue;
        report(static_cast<int>(i), all_[i].inputs[k],
               "'" + step.inputs[k] + "' does not exist and no stage makes it (looked for " + on_disk + ")",
               util::is_directory(root_ + "/.git") ? "correct the path, or fetch it with `dvc pull`"
                                                   : "correct the path");
      }
    }
  }

  // Data that is neither in place nor in the cache; whether all files of a folder are there is for the run.
  void check_tracked() {
    for (const DvcTracked& data : out_.dvc->tracked) {
      if (util::exists(data.path) || is_cached(data)) continue;
      for (std::size_t i = 0; i < out_.steps.size(); ++i) {
        const std::vector<std::string>& inputs = out_.steps[i].inputs;
        const auto input = std::ranges::find_if(inputs, [&](const std::string& path) {
          return overlap(absolute_path(out_.directory, path_of(static_cast<int>(i), path)), data.path);
        });
        if (input == inputs.end()) continue;
        report(
            static_cast<int>(i), all_[i].inputs[static_cast<std::size_t>(input - inputs.begin())],
            "'" + *input + "' is not there: " + shown(data.file) + " tracks it, and it is not in DVC's cache",
            "fetch it with `dvc pull " + shown(data.file) + "`");
        break;
      }
    }
  }

  bool is_cached(const DvcTracked& data) const {
    if (data.md5.size() < 32) return false;
    return util::exists(config_.cache_directory + (data.legacy ? "/" : "/files/md5/") +
                        data.md5.substr(0, 2) + "/" + data.md5.substr(2));
  }

  // What the run is recorded with: the values of all params that stages name, and whole files.
  void fill_params() {
    std::unordered_map<std::string, std::optional<OrderedJson>> files;
    for (std::size_t i = 0; i < out_.steps.size(); ++i) {
      for (const DvcParams& params : out_.dvc->stages[i].params) {
        const std::string path = path_of(static_cast<int>(i), params.path);
        auto [file, is_new] = files.try_emplace(path);
        if (is_new) file->second = values_in(absolute_path(out_.directory, path));
        if (!file->second) continue;
        Json& into = path == "params.yaml" ? out_.params : out_.params[path];
        const auto put = [&](const std::string& key, const OrderedJson& value) {
          Json* node = &into;
          for (const std::string& part : util::split(key, '.')) {
            if (!node->is_object()) *node = Json::object();
            node = &(*node)[part];
          }
          Json parsed = Json::parse(python_json(value), nullptr, false);
          *node = parsed.is_discarded() ? Json(to_text(value)) : std::move(parsed);  // NaN is no JSON
        };
        for (const std::string& key : params.keys) {
          if (const OrderedJson* value = find_value(*file->second, key)) put(key, *value);
        }
        if (params.keys.empty()) {
          for (const auto& [key, value] : file->second->items()) put(key_text(key), value);
        }
      }
    }
  }

  static std::optional<OrderedJson> values_in(const std::string& path) {
    try {
      const auto text = util::read_regular_file(path, 16u << 20);
      if (text) return parse_params(*text, path);
    } catch (const Error&) {
      // The check of the stage says what is wrong with it.
    }
    return std::nullopt;
  }

  const LoadOptions& options_;
  Sources sources_;
  Pipeline out_;
  std::string main_;  // absolute path of the file
  std::string root_;
  Config config_;
  std::vector<ReadStage> all_;
  std::vector<DvcTracked> tracked_;
  std::vector<Diagnostic> problems_;
};

}  // namespace

bool is_dvc_file(const std::string& path) { return fs::path(path).filename() == "dvc.yaml"; }

Pipeline load(std::string text, const std::string& path, const LoadOptions& options) {
  return Loader(std::move(text), path, options).load();
}

}  // namespace mlops::pipeline::dvc
