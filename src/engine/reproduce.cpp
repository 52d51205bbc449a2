#include "engine/reproduce.hpp"

#include "db/hidden_files.hpp"
#include "db/runs.hpp"
#include "db/steps.hpp"
#include "dvc/project_cache.hpp"
#include "engine/collect.hpp"
#include "engine/event_file.hpp"
#include "engine/kept_inputs.hpp"
#include "engine/lint.hpp"
#include "engine/recovery.hpp"
#include "pipeline/paths.hpp"
#include "process/capture.hpp"
#include "store/restore.hpp"
#include "util/files.hpp"
#include "util/id.hpp"
#include "util/strings.hpp"
#include "workspace/layout.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <optional>

namespace mlops::engine {

namespace {

namespace fs = std::filesystem;

bool lies_in(const std::string& path, const std::string& folder) {
  return path == folder || path.starts_with(folder == "/" ? folder : folder + "/");
}

std::string git(const std::string& directory, std::vector<std::string> arguments, bool& ok,
                const std::string& index = {}) {
  constexpr int limit_ms = 600'000;
  arguments.insert(arguments.begin(), {"git", "-C", directory});
  std::vector<std::string> env = {"LC_ALL=C", "GIT_OPTIONAL_LOCKS=0"};
  if (!index.empty()) env.push_back("GIT_INDEX_FILE=" + index);
  const process::Captured got = process::capture(arguments, directory, limit_ms, env);
  ok = got.code == 0;
  return std::string(util::trim(got.out));
}

class Builder {
 public:
  Builder(const Workspace& workspace, db::Database& database, const ReproduceOptions& options)
      : workspace_(workspace), db_(database.connection()), options_(options), depot_(workspace) {}

  ScratchTree build(const std::string& id) {
    const auto run = db::find_run(db_, id);
    if (!run) throw Error(ExitCode::usage, "run " + id + " was deleted just now");
    tree_.run = *run;
    const std::string definition = layout::in(workspace_.run_directory(id), layout::definition);
    if (!util::exists(definition)) {
      throw Error(ExitCode::io,
                  "cannot reproduce run " + id + ": its frozen definition is gone (" + definition + ")",
                  "only its records are left; `mlops show " + id + "`");
    }
    FrozenRun frozen = load_frozen(workspace_, db_, id);
    tree_.pipeline = std::move(frozen.pipeline);
    tree_.pipeline.notifications.clear();  // whoever reproduces is looking
    tree_.settings = std::move(frozen.settings);
    tree_.settings.slot.reset();  // nobody has claimed anything for this one
    // Variables that the file refers to are part of what it said then; conditions still ask for them.
    for (const auto& [name, value] : frozen.environment.items()) {
      if (value.is_string()) {
        ::setenv(name.c_str(), value.get<std::string>().c_str(), 1);
      } else {
        ::unsetenv(name.c_str());
      }
    }
    const bool inside = lies_in(tree_.pipeline.directory, workspace_.root());
    tree_.project = inside ? workspace_.root() : tree_.pipeline.directory;
    leave_out_deployment();
    refuse_what_leads_outside();
    make_root(id);
    try {
      check_out_commit();
      restore_inputs(id);
      fill_in_scripts();
      move_pipeline();
    } catch (...) {
      std::error_code ignored;
      if (options_.into.empty()) fs::remove_all(tree_.root, ignored);
      throw;
    }
    return std::move(tree_);
  }

 private:
  // What deploys, and what waits for it.
  void leave_out_deployment() {
    if (options_.deploy) return;
    const Graph graph = make_graph(tree_.pipeline);
    for (const int i : graph.order) {
      const Step& step = tree_.pipeline.steps[static_cast<std::size_t>(i)];
      const bool waits = std::ranges::any_of(graph.needs[static_cast<std::size_t>(i)], [&](int need) {
        return tree_.left_out.contains(tree_.pipeline.steps[static_cast<std::size_t>(need)].name);
      });
      if (step.kind == "deploy" || waits) tree_.left_out.insert(step.name);
    }
    if (tree_.left_out.empty()) return;
    const std::vector<std::string> names(tree_.left_out.begin(), tree_.left_out.end());
    tree_.notes.push_back(util::join(names, ", ") + " not run: " +
                          (names.size() == 1 ? "it deploys" : "they deploy, or wait for what does") +
                          " (--deploy runs " + (names.size() == 1 ? "it)" : "them)"));
    auto& skip = tree_.settings.selection.skip;
    skip.insert(skip.end(), names.begin(), names.end());
  }

  // What a step writes by a path of its own choosing would be the real thing.
  void refuse_what_leads_outside() const {
    for (const Step& step : tree_.pipeline.steps) {
      const std::string directory = step_directory(tree_.pipeline, step);
      std::vector<std::string> paths = step.metrics;
      for (const Output& output : step.outputs) paths.push_back(output.path);
      paths.push_back(".");
      for (const std::string& path : paths) {
        const std::string full = step_path(directory, path);
        if (lies_in(full, tree_.project)) continue;
        throw Error(ExitCode::usage,
                    "cannot reproduce run " + tree_.run.id + ": its step " + step.name + " works in '" +
                        full + "', outside of the project, and would overwrite what is there",
                    "paths below " + tree_.project + " can be moved to a scratch tree, others cannot");
      }
    }
  }

  void make_root(const std::string& id) {
    tree_.root = options_.into.empty() ? workspace_.state_directory() + "/" + layout::reproduce + "/" + id +
                                             "-" + util::new_id()
                                       : util::absolute_path(options_.into);
    std::error_code error;
    if (util::exists(tree_.root) && !(util::is_directory(tree_.root) && fs::is_empty(tree_.root, error))) {
      throw Error(ExitCode::usage,
                  "cannot reproduce into '" + options_.into + "': it is not an empty directory",
                  "name one that does not exist yet");
    }
    util::make_directories(tree_.root, 0777);
    Workspace::create(tree_.root);
  }

  // All that was in git then; what was not is put over it afterwards.
  void check_out_commit() {
    if (!tree_.run.git_commit) {
      tree_.notes.push_back(
          "no git commit is on record for the run: files that steps do not declare cannot be had from git");
      return;
    }
    const std::string& commit = *tree_.run.git_commit;
    bool ok = false;
    const std::string top = git(tree_.project, {"rev-parse", "--show-toplevel"}, ok);
    const std::string prefix = ok ? git(tree_.project, {"rev-parse", "--show-prefix"}, ok) : "";
    if (ok) git(top, {"cat-file", "-e", commit + "^{commit}"}, ok);
    if (!ok) {
      tree_.notes.push_back("commit " + commit.substr(0, 12) +
                            " is not in this repository: files that steps do not "
                            "declare are missing (git fetch may bring it)");
      return;
    }
    const std::string index = tree_.root + "/.mlops/git-index";
    const std::string folder = prefix.empty() ? commit : commit + ":" + prefix.substr(0, prefix.size() - 1);
    git(top, {"read-tree", folder}, ok, index);
    if (ok) git(top, {"checkout-index", "--all", "--force", "--prefix=" + tree_.root + "/"}, ok, index);
    std::error_code ignored;
    fs::remove(index, ignored);
    if (!ok) {
      tree_.notes.push_back("git could not write the files of commit " + commit.substr(0, 12));
      return;
    }
    tree_.notes.push_back(
        "files of commit " + commit.substr(0, 12) +
        (tree_.run.git_dirty == true
             ? ", but the work tree had changes that are not in it: of those only declared files "
               "are restored"
             : ""));
  }

  // Where a recorded path lies in the tree; empty if it lies outside of the project.
  std::string in_tree(const std::string& record_path) const {
    const std::string full = path_of_record(workspace_, record_path);
    if (!lies_in(full, tree_.project)) return {};
    return tree_.root + full.substr(tree_.project.size());
  }

  void restore_inputs(const std::string& id) {
    std::map<std::string, ArtifactRecord> made, wanted;
    const Graph graph = make_graph(tree_.pipeline);
    const Plan plan = make_plan(tree_.pipeline, graph, tree_.settings.selection);
    runs_.resize(tree_.pipeline.steps.size());
    for (const PlannedStep& step : plan.steps) runs_[static_cast<std::size_t>(step.step)] = step.selected;
    const auto artifacts = db::artifacts_of(db_, id);
    for (const ArtifactRecord& a : artifacts) {
      if (a.output && runs_[static_cast<std::size_t>(a.step)]) made.emplace(a.path, a);
    }
    const auto is_made = [&](const std::string& path) {
      return std::ranges::any_of(made, [&](const auto& entry) { return lies_in(path, entry.first); });
    };
    for (const ArtifactRecord& a : artifacts) {
      if (!a.output && !is_made(a.path) && runs_[static_cast<std::size_t>(a.step)]) wanted.emplace(a.path, a);
    }
    for (const HiddenFile& file : db::hidden_files_of(db_, id)) {
      if (file.access == "written" || file.sha256.empty() || is_made(file.path)) continue;
      ArtifactRecord a;
      a.path = file.path;
      a.form = file.form;
      a.sha256 = file.sha256;
      a.size = file.size;
      wanted.emplace(a.path, a);
    }
    for (const auto& [path, artifact] : wanted) restore(artifact);
  }

  // DVC's contents have DVC's names.
  static bool is_of_dvc(const ArtifactRecord& a) { return a.sha256.starts_with("md5:"); }

  bool holds(const std::string& path, const ArtifactRecord& a) {
    if (is_of_dvc(a)) {
      if (!util::exists(path)) return false;
      const auto content = hasher().look(path);
      return content && "md5:" + content->md5 == a.sha256;
    }
    const auto content = depot_.snapshots.look(path);
    return content && content->digest.hex() == a.sha256 && form_of(*content) == a.form;
  }

  dvc::Hasher& hasher() {
    if (!hasher_) hasher_.emplace(depot_.objects, tree_.project);
    return *hasher_;
  }

  bool restore_from_dvc(const ArtifactRecord& a, const std::string& there) {
    if (!tree_.pipeline.dvc) return false;
    dvc::ContentCache cache = dvc::cache_of(tree_.pipeline.dvc->root);
    const dvc::Wanted wanted{a.sha256.substr(4), dvc::Hash::md5, a.form == "executable"};
    if (!cache.has(wanted)) return false;
    std::error_code error;
    fs::remove_all(there, error);
    util::make_directories(fs::path(there).parent_path().string(), 0777);
    return cache.check_out(wanted, there, std::nullopt, true);
  }

  void restore(const ArtifactRecord& a) {
    const std::string here = path_of_record(workspace_, a.path);
    const std::string there = in_tree(a.path);
    if (there.empty()) {
      if (!holds(here, a))
        tree_.lost.emplace_back(a.path, "it lies outside of the project and is read there, but has changed");
      return;
    }
    if (holds(there, a)) {
      tree_.restored.push_back({a.path, "git"});
      return;
    }
    if (is_of_dvc(a) && restore_from_dvc(a, there)) {
      tree_.restored.push_back({a.path, "cache of DVC"});
      return;
    }
    const auto digest = util::Digest::from_hex(a.sha256);
    if (digest && a.form != "listing") {
      const store::Content content{*digest, a.size, a.files, a.form == "tree", a.form == "executable"};
      if (store::restore(depot_.objects, content, there)) {
        tree_.restored.push_back({a.path, "store"});
        return;
      }
    }
    if (holds(here, a) && copy_from_work_tree(a, here, there)) {
      tree_.restored.push_back({a.path, "work tree"});
      return;
    }
    const bool from_git = util::exists(there);
    tree_.lost.emplace_back(a.path,
                            (is_of_dvc(a) ? a.sha256 : "sha256 " + a.sha256.substr(0, 12)) +
                                (from_git       ? " is not what git has"
                                 : is_of_dvc(a) ? " is in neither DVC's cache nor git"
                                                : " is in neither the store nor git") +
                                ", and the work tree has another content now" +
                                (a.size > small_input ? " (run --keep-inputs all keeps large ones)" : ""));
  }

  // What was copied is read once more: somebody may be changing it right now.
  bool copy_from_work_tree(const ArtifactRecord& a, const std::string& here, const std::string& there) {
    std::error_code error;
    fs::remove_all(there, error);
    util::make_directories(fs::path(there).parent_path().string(), 0777);
    if (a.form != "tree") {
      copy_file(fs::canonical(here, error), there);
    } else {
      fs::create_directory(there, error);
      for (const auto& entry : fs::recursive_directory_iterator(here, error)) {
        const fs::path to = there / entry.path().lexically_relative(here);
        if (entry.is_symlink(error)) {
          fs::copy_symlink(entry.path(), to, error);
        } else if (entry.is_directory(error)) {
          fs::create_directory(to, error);
        } else {
          copy_file(entry.path(), to);
        }
      }
    }
    return holds(there, a);
  }

  // Shares the blocks where the file system can.
  static void copy_file(const fs::path& from, const fs::path& to) {
    const util::Fd source = util::open_file(from.string(), O_RDONLY);
    struct stat st {};
    ::fstat(source.get(), &st);
    {
      const util::Fd target = util::open_file(to.string(), O_WRONLY | O_CREAT | O_EXCL, st.st_mode & 0777);
      if (::ioctl(target.get(), FICLONE, source.get()) == 0) return;
    }
    std::error_code error;
    fs::copy_file(from, to, fs::copy_options::overwrite_existing, error);
    if (error) throw Error(ExitCode::io, "cannot copy '" + from.string() + "': " + error.message());
  }

  // A script that a command names but nobody declared or makes, and that git does not have either: better as
  // it is now than not at all.
  void fill_in_scripts() {
    const pipeline::Products products(tree_.pipeline);
    const auto is_made = [&](const std::string& path) {
      const std::string normal = pipeline::normal_path(tree_.pipeline.directory, "", path);
      return std::ranges::any_of(products.touching(normal), [&](const auto* product) {
        return runs_[static_cast<std::size_t>(product->step)] && lies_in(normal, product->path);
      });
    };
    for (const Step& step : tree_.pipeline.steps) {
      for (const std::string& script : scripts_named(tree_.pipeline, step)) {
        const std::string here = step_path(step_directory(tree_.pipeline, step), script);
        const std::string record = workspace_.relative(here);
        const std::string there = in_tree(record);
        if (there.empty() || util::exists(there) || is_made(here)) continue;
        std::error_code error;
        util::make_directories(fs::path(there).parent_path().string(), 0777);
        fs::copy_file(here, there, error);
        if (!error) tree_.restored.push_back({record, "present"});
      }
    }
  }

  void move_pipeline() {
    Pipeline& pipeline = tree_.pipeline;
    for (const Step& step : pipeline.steps) {
      if (names_event(step)) tree_.notes.push_back(step.name + " names MLOPS_EVENT: here it has no event");
      if (std::ranges::any_of(step.command.argv, [&](const Text& text) {
            return std::ranges::any_of(text.parts, [&](const Text::Part& part) {
              return part.literal.find(tree_.project + "/") != std::string::npos;
            });
          }))
        tree_.notes.push_back(step.name +
                              " names the project by its full path: what it does there, it does to the "
                              "real one");
    }
    // Secrets are those of today, from where they always come.
    for (Secret& secret : pipeline.secrets) {
      if (secret.source == Secret::Source::file)
        secret.from[0] = step_path(pipeline.directory, secret.from[0]);
    }
    const std::string directory = tree_.root + pipeline.directory.substr(tree_.project.size());
    pipeline.file = directory + "/" + fs::path(pipeline.file).filename().string();
    pipeline.directory = directory;
    util::make_directories(directory, 0777);
    util::write_file(pipeline.file, pipeline.source);
    for (const Step& step : pipeline.steps) util::make_directories(step_directory(pipeline, step), 0777);
  }

  const Workspace& workspace_;
  db::Connection& db_;
  const ReproduceOptions& options_;
  Depot depot_;
  std::optional<dvc::Hasher> hasher_;  // of a DVC project
  ScratchTree tree_;
  std::vector<char> runs_;  // by step: whether it does here
};

bool equal(const std::optional<double>& a, const std::optional<double>& b) {
  if (!a || !b) return !a && !b;
  return *a == *b || (std::isnan(*a) && std::isnan(*b));
}

bool ended_well(StepState state) { return state == StepState::succeeded || state == StepState::cached; }

}  // namespace

bool Comparison::same() const {
  return steps.empty() &&
         std::ranges::all_of(outputs, [](const ComparedOutput& output) { return output.same; });
}

ScratchTree make_scratch_tree(const Workspace& workspace, db::Database& database, const std::string& run_id,
                              const ReproduceOptions& options) {
  return Builder(workspace, database, options).build(run_id);
}

Comparison compare_with(const ScratchTree& tree, const Workspace& workspace, db::Connection& then,
                        const Workspace& scratch, db::Connection& now, const std::string& new_id) {
  Comparison result;
  const auto old_steps = db::steps_of(then, tree.run.id);
  const auto new_steps = db::steps_of(now, new_id);
  const auto left_out = [&](int step) {
    return tree.left_out.contains(old_steps[static_cast<std::size_t>(step)].name);
  };
  for (std::size_t i = 0; i < std::min(old_steps.size(), new_steps.size()); ++i) {
    const StepState before = old_steps[i].state, after = new_steps[i].state;
    const bool alike = before == after || (ended_well(before) && ended_well(after));
    if (!alike && !left_out(static_cast<int>(i))) result.steps.push_back({old_steps[i].name, before, after});
  }
  // Both by their path below the project.
  const auto place = [](const Workspace& of, const std::string& root, const std::string& path) {
    const std::string full = path_of_record(of, path);
    return lies_in(full, root) && full.size() > root.size() ? full.substr(root.size() + 1) : full;
  };
  std::map<std::string, ComparedOutput> outputs;
  std::map<std::string, std::string> forms;
  for (const ArtifactRecord& a : db::artifacts_of(then, tree.run.id)) {
    if (!a.output || left_out(a.step)) continue;
    const std::string path = place(workspace, tree.project, a.path);
    outputs[path] = {path, old_steps[static_cast<std::size_t>(a.step)].name, a.sha256, "", false};
    forms[path] = a.form;
  }
  for (const ArtifactRecord& a : db::artifacts_of(now, new_id)) {
    if (!a.output) continue;
    const std::string path = place(scratch, tree.root, a.path);
    ComparedOutput& output = outputs[path];
    output.path = path;
    output.step = new_steps[static_cast<std::size_t>(a.step)].name;
    output.after = a.sha256;
    output.same = output.before == output.after && forms[path] == a.form;
  }
  for (auto& [path, output] : outputs) result.outputs.push_back(std::move(output));

  std::map<std::pair<std::string, std::string>, ComparedMetric> metrics;
  for (const MetricRecord& m : db::metrics_of(then, tree.run.id)) {
    if (left_out(m.step)) continue;
    const std::string& step = old_steps[static_cast<std::size_t>(m.step)].name;
    metrics[{step, m.name}] = {step, m.name, m.value, std::nullopt, false};
  }
  for (const MetricRecord& m : db::metrics_of(now, new_id)) {
    const std::string& step = new_steps[static_cast<std::size_t>(m.step)].name;
    const auto known = metrics.find({step, m.name});
    const bool same = known != metrics.end() && equal(known->second.before, m.value);
    metrics[{step, m.name}] = {step, m.name, known == metrics.end() ? std::nullopt : known->second.before,
                               m.value, same};
  }
  for (auto& [name, metric] : metrics) result.metrics.push_back(std::move(metric));
  return result;
}

}  // namespace mlops::engine
