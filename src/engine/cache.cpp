#include "engine/cache.hpp"

#include <mlops/error.hpp>

#include "db/cache.hpp"
#include "db/steps.hpp"
#include "engine/collect.hpp"
#include "params/overrides.hpp"
#include "store/restore.hpp"
#include "store/tree.hpp"
#include "util/files.hpp"

namespace mlops::engine {

CacheSettings cache_settings(const RunSettings& settings) {
  return {.look_up = settings.use_cache,
          .keep = settings.use_cache,
          .force_all = settings.force_all,
          .forced = {settings.forced.begin(), settings.forced.end()}};
}

std::string why_never_reused(const Step& step) {
  if (step.always) return "it is a clean-up step";
  if (step.cache == false) return "it says cache: false";
  if (step.outputs.empty() && step.metrics.empty()) return "it declares no outputs";
  if (step.leave_running) return "what it leaves running cannot be put back";
  if (step.cache == true) return {};
  if (step.kind == "deploy") return "it deploys: what it does outside its outputs matters";
  if (step.inputs.empty() && step.code.empty()) return "it declares no inputs: what it reads is not known";
  return {};
}

OpenFacts open_facts(const Pipeline& pipeline, int index, const OutputValues& values) {
  const Step& step = pipeline.steps[static_cast<std::size_t>(index)];
  OpenFacts open{index, {}};
  StepFacts& facts = open.facts;
  facts.shell = step.command.shell;
  for (const Text& argument : step.command.argv) facts.command.push_back(fill(argument, values, facts.shell));
  facts.workdir = step.workdir;
  for (const std::string& name : step.params) {
    // The leaves tell best what has changed.
    const Json* value = params::find_param(pipeline.params, name);
    params::for_each_leaf(value ? *value : Json(), name, [&](const std::string& leaf, std::string text) {
      facts.params[leaf] = std::move(text);
    });
  }
  for (const auto& [name, value] : pipeline.env) facts.env[name] = value;
  for (const auto& [name, value] : step.env) facts.env[name] = fill(value, values, false);
  // What the step finds in its environment besides.
  if (!step.vars.is_null())
    facts.env["MLOPS_MATRIX"] = step.vars.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (!pipeline.inherit_env) facts.env["inherit="] = "false";  // no variable can be called that
  for (const Output& output : step.outputs) facts.outputs.push_back(output.path);
  facts.metrics = step.metrics;
  return open;
}

Cache::Cache(const Pipeline& pipeline, const Workspace& workspace, store::Objects& objects,
             store::Snapshots& snapshots, CacheSettings settings)
    : pipeline_(pipeline),
      workspace_(workspace),
      objects_(objects),
      snapshots_(snapshots),
      settings_(std::move(settings)) {}

db::Connection& Cache::connection() {
  if (!database_)
    database_ = std::make_unique<db::Database>(db::Database::open_to_read(workspace_.database_path()));
  return database_->connection();
}

std::optional<store::Content> Cache::look(const std::string& full) {
  store::FileStamp stamp;
  auto content = snapshots_.look(full, &stamp);
  if (content && stamp.inode != 0) {
    seen_.push_back({full, stamp});
  } else {
    all_seen_ = false;
  }
  return content;
}

std::vector<FileFact> Cache::look_at(const std::string& directory, const std::vector<std::string>& paths) {
  std::vector<FileFact> facts;
  for (const std::string& path : paths) {
    const std::string full = step_path(directory, path);
    if (const auto known = expected_.find(workspace_.relative(full)); known != expected_.end()) {
      facts.push_back(known->second);
      continue;
    }
    const auto content = look(full);
    FileFact fact{workspace_.relative(full), "", "", 0, 1};
    if (content) fact = {fact.path, form_of(*content), content->digest.hex(), content->size, content->files};
    facts.push_back(std::move(fact));
  }
  return facts;
}

bool Cache::is_forced(const Step& step) const {
  return settings_.force_all || settings_.forced.contains(step.name) || settings_.forced.contains(step.base);
}

const std::string& Cache::maker_of(const std::string& path) {
  if (!makers_) {
    makers_.emplace();
    for (const Step& step : pipeline_.steps) {
      const std::string directory = step_directory(pipeline_, step);
      const auto add = [&](const std::string& output) {
        makers_->try_emplace(workspace_.relative(step_path(directory, output)), step.name);
      };
      for (const Output& output : step.outputs) add(output.path);
      for (const std::string& file : step.metrics) add(file);
    }
  }
  static const std::string nobody;
  for (std::string part = path; !part.empty();
       part.resize(part.rfind('/') == part.npos ? 0 : part.rfind('/'))) {
    if (const auto it = makers_->find(part); it != makers_->end()) return it->second;
  }
  return nobody;
}

// What the directory of `before` held is known if the store has it, or the list of its files.
std::optional<std::vector<FileChange>> Cache::changes_inside(const db::CacheEntry& maker,
                                                             const FileFact& before) {
  auto known = util::Digest::from_hex(before.sha256);
  for (const ArtifactRecord& artifact : db::artifacts_of_step(connection(), maker.run, maker.step)) {
    if (!artifact.output && artifact.path == before.path && !artifact.list.empty())
      known = util::Digest::from_hex(artifact.list);
  }
  if (!known) return std::nullopt;
  std::vector<store::TreeEntry> old;
  try {
    store::walk_tree(objects_, *known, [&](store::TreeEntry&& entry) {
      old.push_back(std::move(entry));
      return true;
    });
  } catch (const Error&) {
    return std::nullopt;
  }
  const auto shown = [](const store::TreeEntry& entry) {
    return shown_content(entry.digest.hex(), entry.mode == store::FileMode::executable);
  };
  std::vector<FileChange> changes;
  std::size_t next = 0;
  const auto skip_to = [&](std::string_view path) {
    for (; next < old.size() && (path.empty() || old[next].path < path); ++next)
      changes.push_back({old[next].path, shown(old[next]), ""});
  };
  const std::string full = before.path[0] == '/' ? before.path : workspace_.root() + "/" + before.path;
  snapshots_.look_into(full, [&](const store::TreeEntry& entry) {
    skip_to(entry.path);
    if (next == old.size() || old[next].path != entry.path) {
      changes.push_back({entry.path, "", shown(entry)});
    } else if (const store::TreeEntry& was = old[next++]; !(was == entry)) {
      changes.push_back({entry.path, shown(was), shown(entry)});
    }
  });
  skip_to("");
  return changes;
}

std::vector<Cause> Cache::causes_of(const Step& step, const CheckResult& result) {
  const auto before = db::last_facts(connection(), pipeline_.name, step.name);
  if (!before) return {{"first_run", "", "", ""}};
  const StepFacts then = parse_facts(Json::parse(before->facts, nullptr, false));
  // What is recorded of a stage of DVC are other digests, and another environment.
  if (then.env.contains("DVC_STAGE"))
    return {{"first_run", "it last ran as a stage of DVC, which it cannot be compared with", "", ""}};
  auto causes = compare_facts(then, result.facts, [&](const FileFact& was, const FileFact&) {
    return changes_inside(before->maker, was);
  });
  for (Cause& cause : causes) {
    if (cause.kind == "input") cause.by = maker_of(cause.what);
  }
  if (causes.empty()) causes.push_back({"not_kept", before->maker.run, "", ""});
  return causes;
}

// Results of the pipeline's newest run are read all at once as soon as several steps have asked: one by one
// they cost a transaction each.
std::optional<db::CachedResults> Cache::find(const std::string& key) {
  constexpr int worth_it = 16;
  if (++lookups_ == worth_it) {
    known_ = db::results_of_newest_run(connection(), pipeline_.name);
    std::vector<std::string> paths;
    for (const Step& step : pipeline_.steps) {
      const std::string directory = step_directory(pipeline_, step);
      for (const std::string& path : step.inputs) paths.push_back(step_path(directory, path));
      for (const std::string& path : step.code) paths.push_back(step_path(directory, path));
      for (const Output& output : step.outputs) paths.push_back(step_path(directory, output.path));
    }
    snapshots_.expect(std::move(paths));
  }
  if (const auto it = known_.find(key); it != known_.end()) {
    auto results = std::move(it->second);
    known_.erase(it);
    return results;
  }
  return db::find_cached(connection(), key);
}

// What stays in place from run to run may have been added to by hand: it is the step's to go on with, not to
// be put back.
std::string Cache::edited_by_hand(const Step& step, const std::vector<ArtifactRecord>& outputs) {
  const std::string directory = step_directory(pipeline_, step);
  for (const Output& output : step.outputs) {
    if (!output.persist) continue;
    const std::string full = step_path(directory, output.path);
    const auto recorded = std::ranges::find(outputs, workspace_.relative(full), &ArtifactRecord::path);
    const auto here = look(full);
    if (recorded != outputs.end() && here && here->digest.hex() != recorded->sha256) return output.path;
  }
  return {};
}

std::string Cache::not_on_record(const Step& step, const std::vector<ArtifactRecord>& outputs) const {
  const std::string directory = step_directory(pipeline_, step);
  for (const Output& output : step.outputs) {
    const std::string path = workspace_.relative(step_path(directory, output.path));
    if (std::ranges::find(outputs, path, &ArtifactRecord::path) == outputs.end()) return path;
  }
  return {};
}

std::string Cache::place_outputs(const std::vector<ArtifactRecord>& outputs, bool put_back,
                                 std::vector<std::string>& restored) {
  for (const ArtifactRecord& output : outputs) {
    const auto digest = util::Digest::from_hex(output.sha256);
    // Held before it is looked for, gc cannot take it from under a hit.
    if (put_back && digest) objects_.hold(*digest, output.form == "tree");
    const std::string full = step_path(workspace_.root(), output.path);
    const auto here = look(full);
    if (here && here->digest.hex() == output.sha256 && form_of(*here) == output.form) continue;
    if (!digest || output.form == "listing") return output.path;
    const store::Content wanted{*digest, output.size, output.files, output.form == "tree",
                                output.form == "executable"};
    if (put_back ? !store::restore(objects_, wanted, full) : !objects_.has(*digest)) return output.path;
    restored.push_back(output.path);
    if (!put_back)
      expected_[output.path] = {output.path, output.form, output.sha256, output.size, output.files};
  }
  return {};
}

CheckResult Cache::check(OpenFacts open, bool put_back) {
  const Step& step = pipeline_.steps[static_cast<std::size_t>(open.step)];
  CheckResult result;
  result.step = open.step;
  result.facts = std::move(open.facts);
  seen_.clear();
  all_seen_ = true;
  const std::string directory = step_directory(pipeline_, step);
  // Outputs lie below it: what was made in one place is no result for another.
  result.facts.workdir = workspace_.relative(directory);
  if (result.facts.workdir == ".") result.facts.workdir.clear();
  result.facts.inputs = look_at(directory, step.inputs);
  result.facts.code = look_at(directory, step.code);
  if (const std::string never = why_never_reused(step); !never.empty()) {
    result.causes = {{"no_cache", never, "", ""}};
    return result;
  }
  result.key = cache_key(result.facts);
  if (is_forced(step)) {
    result.causes = {{"forced", "--force", "", ""}};
    return result;
  }
  if (!settings_.look_up) {
    result.causes = {{"forced", "--no-cache", "", ""}};
    return result;
  }
  if (auto source = find(result.key)) {
    if (const std::string edited = edited_by_hand(step, source->artifacts); !edited.empty()) {
      result.causes = {{"edited", edited, "", ""}};
      return result;
    }
    std::vector<std::string> restored;
    // A row that a damaged page has taken along is no output that the step did not make.
    std::string missing = not_on_record(step, source->artifacts);
    if (missing.empty()) missing = place_outputs(source->artifacts, put_back, restored);
    if (missing.empty()) {
      result.hit = true;
      for (const Output& output : step.outputs) {  // what they are for may have changed
        const std::string path = workspace_.relative(step_path(directory, output.path));
        const auto made = std::ranges::find(source->artifacts, path, &ArtifactRecord::path);
        if (made == source->artifacts.end() || made->kind == output.kind) continue;
        made->kind = output.kind;
        source->relabelled = true;
      }
      result.all_seen = all_seen_ && restored.empty();
      if (result.all_seen) result.seen = std::move(seen_);
      result.causes = {{"cached", source->maker.run, "", ""}};
      if (source->maker.name != step.name) result.causes.push_back({"renamed", source->maker.name, "", ""});
      for (std::string& path : restored) result.causes.push_back({"restored", std::move(path), "", ""});
      result.source = std::move(*source);
      return result;
    }
    result.causes = {{"missing", missing, "", ""}};
    return result;
  }
  result.causes = causes_of(step, result);
  return result;
}

}  // namespace mlops::engine
