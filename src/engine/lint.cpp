#include "engine/lint.hpp"

#include "db/hidden_files.hpp"
#include "engine/collect.hpp"
#include "engine/kept_inputs.hpp"
#include "pipeline/paths.hpp"
#include "util/files.hpp"
#include "util/strings.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

namespace mlops::engine {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view code_endings[] = {
    ".py", ".pyi", ".ipynb", ".sh", ".bash", ".R",     ".r",  ".Rmd", ".jl",  ".pl",
    ".rb", ".js",  ".mjs",   ".ts", ".lua",  ".sql",   ".c",  ".cc",  ".cpp", ".cxx",
    ".h",  ".hpp", ".go",    ".rs", ".java", ".scala", ".so", ".f90", ".cu"};

bool is_code(const std::string& path) {
  return std::ranges::any_of(code_endings, [&](std::string_view end) { return path.ends_with(end); });
}

bool is_file(const std::string& path, bool executable) {
  struct stat st {};
  return ::stat(path.c_str(), &st) == 0 && S_ISREG(st.st_mode) && (!executable || (st.st_mode & S_IXUSR));
}

// The words of a command that are fixed, without quotes. Good enough to find names of files: what a shell
// would make of the rest does not matter.
std::vector<std::string> words_of(const Step& step) {
  std::vector<std::string> words;
  for (const Text& argument : step.command.argv) {
    for (const Text::Part& part : argument.parts) {
      if (!part.step.empty()) continue;
      if (!step.command.shell) {
        words.push_back(part.literal);
        continue;
      }
      std::string word;
      for (const char c : part.literal + " ") {
        if (std::string_view(" \t\n;|&()<>'\"`=,").find(c) == std::string_view::npos) {
          word += c;
        } else if (!word.empty()) {
          words.push_back(std::exchange(word, {}));
        }
      }
    }
  }
  return words;
}

bool is_or_lies_in(const std::string& path, const std::string& folder) {
  return path == folder || pipeline::lies_in(path, folder);
}

class Linter {
 public:
  Linter(const Pipeline& pipeline, const Graph& graph, const Workspace* workspace, db::Connection* db)
      : pipeline_(pipeline), graph_(graph), workspace_(workspace), db_(db), products_(pipeline) {}

  void look(int index, LintStep& result) {
    step_ = &pipeline_.steps[static_cast<std::size_t>(index)];
    index_ = index;
    directory_ = step_directory(pipeline_, *step_);
    add_.clear();
    look_at_trace(result);
    look_at_command(result);
    if (step_->kind == "deploy" && step_->cache == true) {
      result.findings.push_back(
          {"cached-deploy",
           "deploys, and cache: true lets it be left out when nothing has changed, also if "
           "what it deployed to has",
           {}});
    }
    const bool new_reads = add_.contains("inputs") || add_.contains("code");
    if (new_reads && step_->inputs.empty() && step_->code.empty() && !step_->cache &&
        step_->kind != "deploy" && !(step_->outputs.empty() && step_->metrics.empty())) {
      result.findings.push_back(
          {"reused-now",
           "runs each time as it declares no inputs; with these its results are reused: say "
           "cache: false if it also reads a database or the network",
           {}});
    }
    merge_lines(result);
  }

 private:
  bool covered(const std::vector<std::string>& list, const std::string& normal) const {
    return std::ranges::any_of(list, [&](const std::string& path) {
      return is_or_lies_in(normal, pipeline::normal_path(pipeline_.directory, step_->workdir, path));
    });
  }
  bool declared(const std::string& normal) const {
    std::vector<std::string> outputs = step_->metrics;
    for (const Output& output : step_->outputs) outputs.push_back(output.path);
    return covered(step_->inputs, normal) || covered(step_->code, normal) || covered(outputs, normal);
  }

  // A recorded path as the step would write it.
  std::string as_written(const std::string& record_path) const {
    const std::string full = path_of_record(*workspace_, record_path);
    const fs::path relative = fs::path(full).lexically_relative(directory_);
    const bool inside = !workspace_->relative(full).starts_with('/');
    return inside && !relative.empty() ? relative.string() : full;
  }
  std::string normal(const std::string& as_written) const {
    return pipeline::normal_path(pipeline_.directory, step_->workdir, as_written);
  }

  // Another step that makes `path`; null if none does.
  const Step* maker(const std::string& normal_path) const {
    for (const auto* product : products_.touching(normal_path)) {
      const Step& other = pipeline_.steps[static_cast<std::size_t>(product->step)];
      if (product->step != index_ && is_or_lies_in(normal_path, product->path)) return &other;
    }
    return nullptr;
  }

  bool waits_for(const std::string& other) const {
    std::vector<int> open = graph_.needs[static_cast<std::size_t>(index_)];
    std::set<int> seen(open.begin(), open.end());
    while (!open.empty()) {
      const auto i = static_cast<std::size_t>(open.back());
      open.pop_back();
      if (pipeline_.steps[i].name == other) return true;
      for (const int need : graph_.needs[i]) {
        if (seen.insert(need).second) open.push_back(need);
      }
    }
    return false;
  }

  void needed_output(const std::string& path, const Step& other, const char* verb, LintStep& result) {
    if (std::ranges::find(add_["inputs"], path) != add_["inputs"].end()) return;
    result.findings.push_back({"needed-output",
                               std::string(verb) + " '" + path + "', which " + other.name +
                                   " makes, without declaring it: " +
                                   (waits_for(other.name) ? "a new version of it is not noticed"
                                                          : "it may run before that is made"),
                               {path}});
    add_["inputs"].push_back(path);
  }

  void look_at_trace(LintStep& result) {
    if (!db_) return;
    const auto last = db::last_trace(*db_, pipeline_.name, step_->name);
    if (!last) return;
    if (result.traced_run < last->run) result.traced_run = last->run;
    LintFinding reads{"undeclared-read", "", {}}, writes{"undeclared-write", "", {}};
    for (const HiddenFile& file : last->files) {
      const std::string path = as_written(file.path);
      // The file may have been declared since, or be gone.
      if (declared(normal(path)) || !util::exists(path_of_record(*workspace_, file.path))) continue;
      if (path.find(last->run) != path.npos) continue;  // of that run alone
      if (file.access == "written" || file.access == "updated") {
        writes.paths.push_back(path);
        add_["outputs"].push_back(file.access == "updated" ? "{path: " + yaml_word(path) + ", persist: true}"
                                                           : yaml_word(path));
        continue;
      }
      if (const Step* other = maker(normal(path))) {
        needed_output(path, *other, "reads", result);
        continue;
      }
      reads.paths.push_back(path);
    }
    for (const std::string& path : folded(reads.paths))
      add_[is_code(path) || is_code_folder(path, reads.paths) ? "code" : "inputs"].push_back(path);
    for (LintFinding* finding : {&reads, &writes}) {
      if (finding->paths.empty()) continue;
      const std::size_t n = finding->paths.size();
      finding->message = std::string(finding == &reads ? "reads " : "writes ") + std::to_string(n) +
                         (n == 1 ? " file" : " files") + " that it does not declare";
      result.findings.push_back(std::move(*finding));
    }
    if (!last->trace.problem.empty())
      result.findings.push_back({"not-traced", "not all that it reads is known: " + last->trace.problem, {}});
  }

  static bool is_code_folder(const std::string& folder, const std::vector<std::string>& paths) {
    return std::ranges::any_of(paths, [&](const auto& p) { return p.starts_with(folder + "/"); }) &&
           std::ranges::all_of(paths,
                               [&](const auto& p) { return !p.starts_with(folder + "/") || is_code(p); });
  }

  // Many files of one folder, in which nothing is made, are told as the folder.
  std::vector<std::string> folded(const std::vector<std::string>& paths) const {
    constexpr int many = 8;
    std::map<std::string, int> count;
    for (const std::string& path : paths) ++count[fs::path(path).parent_path().string()];
    std::vector<std::string> result;
    for (const std::string& path : paths) {
      const std::string folder = fs::path(path).parent_path().string();
      const bool fold = count[folder] > many && !folder.empty() && !folder.starts_with("..") &&
                        products_.touching(normal(folder)).empty();
      const std::string& shown = fold ? folder : path;
      if (std::ranges::find(result, shown) == result.end()) result.push_back(shown);
    }
    return result;
  }

  void look_at_command(LintStep& result) {
    for (const std::string& word : words_of(*step_)) {
      if (word.empty() || word.size() > 4096 || word[0] == '-') continue;
      const std::string path = normal(word);
      if (declared(path)) continue;
      const Step* other = maker(path);
      if (other && std::ranges::any_of(products_.touching(path),
                                       [&](const auto* product) { return product->path == path; }))
        needed_output(word, *other, "names", result);
    }
    if (step_->outputs.empty() && step_->metrics.empty()) return;
    LintFinding scripts{"script", "", {}};
    for (const std::string& script : scripts_named(pipeline_, *step_)) {
      if (declared(normal(script)) || maker(normal(script))) continue;
      auto& code = add_["code"];
      if (std::ranges::find(code, script) != code.end()) continue;
      scripts.paths.push_back(script);
      code.push_back(script);
    }
    if (add_["code"].empty()) add_.erase("code");
    if (scripts.paths.empty()) return;
    scripts.message = "runs " + util::join(scripts.paths, ", ") + ", of which a change is not noticed";
    result.findings.push_back(std::move(scripts));
  }

  std::vector<std::string> existing(const std::string& key) const {
    std::vector<std::string> list;
    for (const std::string& path : key == "inputs" ? step_->inputs
                                   : key == "code" ? step_->code
                                                   : std::vector<std::string>())
      list.push_back(yaml_word(path));
    if (key != "outputs") return list;
    for (const Output& output : step_->outputs) {
      std::string word = yaml_word(output.path);
      if (!output.kind.empty() || output.persist)
        word = "{path: " + word + (output.kind.empty() ? "" : ", kind: " + output.kind) +
               (output.persist ? ", persist: true" : "") + "}";
      list.push_back(std::move(word));
    }
    return list;
  }

  void merge_lines(LintStep& result) {
    for (const char* key : {"inputs", "code", "outputs"}) {
      const auto added = add_.find(key);
      if (added == add_.end() || added->second.empty()) continue;
      auto line = std::ranges::find(result.lines, key, [](const auto& l) { return l.first; });
      if (line == result.lines.end()) {
        result.lines.emplace_back(key, result.expanded ? std::vector<std::string>() : existing(key));
        line = std::prev(result.lines.end());
      }
      for (const std::string& path : added->second) {
        const std::string word = std::string_view(key) == "outputs" ? path : yaml_word(path);
        if (std::ranges::find(line->second, word) == line->second.end()) line->second.push_back(word);
      }
    }
  }

  const Pipeline& pipeline_;
  const Graph& graph_;
  const Workspace* workspace_;
  db::Connection* db_;
  pipeline::Products products_;
  const Step* step_ = nullptr;
  int index_ = 0;
  std::string directory_;
  std::map<std::string, std::vector<std::string>> add_;
};

}  // namespace

std::string yaml_word(const std::string& text) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("_./+-").find(c) != std::string_view::npos;
  };
  const bool letters =
      std::ranges::any_of(text, [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); });
  if (!text.empty() && letters && text[0] != '-' && std::ranges::all_of(text, plain) && text != "true" &&
      text != "false" && text != "null")
    return text;
  return Json(util::to_utf8(text)).dump();
}

std::vector<std::string> scripts_named(const Pipeline& pipeline, const Step& step) {
  const std::string directory = step_directory(pipeline, step);
  std::vector<std::string> found;
  const auto add = [&](const std::string& path) {
    if (std::ranges::find(found, path) == found.end()) found.push_back(path);
  };
  bool module = false;  // after `python -m`
  for (const std::string& word : words_of(step)) {
    if (word.empty() || word.size() > 4096) continue;
    if (std::exchange(module, word == "-m")) {
      std::string path = word;
      std::ranges::replace(path, '.', '/');
      for (const std::string& candidate : {path + ".py", path + "/__main__.py"}) {
        if (is_file(step_path(directory, candidate), false)) add(candidate);
      }
      continue;
    }
    if (word[0] == '/' || word[0] == '-') continue;
    const std::string full = step_path(directory, word);
    if (is_code(word) ? is_file(full, false) : word.find('/') != word.npos && is_file(full, true)) add(word);
  }
  return found;
}

std::vector<LintStep> lint(const Pipeline& pipeline, const Graph& graph, const Workspace* workspace,
                           db::Connection* db) {
  Linter linter(pipeline, graph, workspace, db);
  std::vector<LintStep> steps;
  for (std::size_t i = 0; i < pipeline.steps.size(); ++i) {
    const Step& step = pipeline.steps[i];
    auto known = std::ranges::find(steps, step.base, &LintStep::name);
    if (known == steps.end()) {
      steps.push_back({step.base, step.at, "", {}, {}, step.base != step.name});
      known = std::prev(steps.end());
    }
    LintStep found;
    found.expanded = known->expanded;
    found.lines = known->lines;
    linter.look(static_cast<int>(i), found);
    known->traced_run = std::max(known->traced_run, found.traced_run);
    known->lines = std::move(found.lines);
    for (LintFinding& finding : found.findings) {
      const bool told = std::ranges::any_of(known->findings, [&](const LintFinding& other) {
        return other.rule == finding.rule && other.message == finding.message && other.paths == finding.paths;
      });
      if (!told) known->findings.push_back(std::move(finding));
    }
  }
  return steps;
}

}  // namespace mlops::engine
