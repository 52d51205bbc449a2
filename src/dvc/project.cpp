#include "dvc/project.hpp"

#include <mlops/error.hpp>

#include "dvc/project_cache.hpp"
#include "pipeline/paths.hpp"
#include "util/files.hpp"
#include "util/log.hpp"
#include "util/strings.hpp"

#include <algorithm>
#include <filesystem>

namespace mlops::dvc {

namespace {

namespace fs = std::filesystem;

using pipeline::absolute_path;
using Kind = Change::Kind;
using Verdict = Check::Verdict;

std::string text_of(const OrderedJson& map, const char* key) {
  const auto found = map.find(key);
  return found == map.end() || !found->is_string()
             ? std::string()
             : pipeline::dvc::key_text(found->get_ref<const std::string&>());
}

Hash hash_of(const OrderedJson& item) { return item.contains("hash") ? Hash::md5 : Hash::md5_dos2unix; }

const OrderedJson* item_of(const OrderedJson* entry, const char* list, const std::string& path) {
  if (!entry || !entry->contains(list)) return nullptr;
  for (const OrderedJson& item : (*entry)[list]) {
    if (item["path"] == path) return &item;
  }
  return nullptr;
}

OrderedJson item(const std::string& path, Hash hash, const Content& content) {
  OrderedJson item = {{"path", path}};
  if (hash == Hash::md5) item["hash"] = "md5";
  item["md5"] = content.md5;
  item["size"] = content.size;
  if (content.directory) item["nfiles"] = content.files;
  if (content.executable) item["isexec"] = true;
  return item;
}

File file_of(const std::string& path, const Content& content, std::string kind = {}) {
  return {path, content.md5, content.size, content.files, content.executable, std::move(kind)};
}

Wanted wanted_of(const OrderedJson& item) {
  const auto executable = item.find("isexec");
  return {text_of(item, "md5"), hash_of(item),
          executable != item.end() && executable->is_boolean() && executable->get<bool>()};
}

std::string shown(const std::string& md5) { return md5.substr(0, 12); }

std::vector<std::string> sorted_paths(const std::vector<DvcOut>& outs) {
  std::vector<std::string> paths;
  for (const DvcOut& out : outs) paths.push_back(out.path);
  std::ranges::sort(paths);
  return paths;
}

std::string command_text(const OrderedJson& cmd) {
  if (cmd.is_string()) return cmd.get<std::string>();
  std::vector<std::string> lines;
  for (const OrderedJson& line : cmd)
    lines.push_back(line.is_string() ? line.get<std::string>() : line.dump());
  return util::join(lines, "\n");
}

// Outputs outside the cache keep a stage out of the run cache, but for metrics and plots.
bool has_plain_uncached(const DvcStage& stage) {
  return std::ranges::any_of(stage.outs,
                             [](const DvcOut& out) { return !out.cache && !out.metric && !out.plot; });
}

// Stages that DVC runs each time.
std::string why_always(const DvcStage& stage) {
  if (stage.always_changed) return "it says always_changed: true";
  if (stage.deps.empty() && stage.params.empty() && stage.outs.empty())
    return "it has neither deps nor params nor outs";
  return {};
}

}  // namespace

Project::Project(const Pipeline& pipeline, store::Objects& index, const Runner& runner)
    : pipeline_(pipeline),
      project_(*pipeline.dvc),
      hasher_(index, project_.root),
      config_(config_of(project_.root)),
      cache_(config_.cache_directory, config_.link_types),
      data_(project_, hasher_, cache_),
      runs_(config_.cache_directory),
      access_(project_.root + "/.dvc/tmp", runner.pid, runner.command) {}

Project::~Project() {
  try {
    flush();
    hasher_.save();
  } catch (const std::exception& error) {
    util::log_debug(std::string("what is known of the DVC project could not be saved: ") + error.what());
  }
}

std::string Project::directory_of(int stage) const {
  const std::string& workdir = pipeline_.steps[static_cast<std::size_t>(stage)].workdir;
  return absolute_path(pipeline_.directory, workdir);
}

LockWriter& Project::lock_of(const DvcStage& stage) {
  const std::string path = fs::path(stage.file).parent_path().string() + "/dvc.lock";
  return locks_.try_emplace(path, path, project_.root + "/.dvc/tmp/lock").first->second;
}

bool Project::has_waiting() const {
  return std::ranges::any_of(locks_, [](const auto& entry) { return entry.second.dirty(); });
}

void Project::flush() {
  for (auto& [path, lock] : locks_) lock.save();
}

// --- What goes into a stage -------------------------------------------------------------------------------

Project::State Project::look(int index, bool put_back) {
  const DvcStage& stage = project_.stages[static_cast<std::size_t>(index)];
  const OrderedJson* locked = stage.locked ? &*stage.locked : nullptr;
  const std::string directory = directory_of(index);
  State state;
  state.entry["cmd"] = stage.cmd;
  if (!locked) {
    state.changes.push_back({Kind::first_run, "", "", ""});
  } else if ((*locked)["cmd"] != stage.cmd) {
    state.changes.push_back({Kind::command, "", command_text((*locked)["cmd"]), command_text(stage.cmd)});
  }
  if (stage.frozen) {
    // Its deps are not looked at: what dvc.lock says of them stays.
    for (const char* key : {"deps", "params"}) {
      if (locked && locked->contains(key)) state.entry[key] = (*locked)[key];
    }
    if (locked) return state;
  } else if (const std::string why = why_always(stage); !why.empty()) {
    state.changes.push_back({Kind::always, why, "", ""});
  }
  // Before its deps: for a stage that cannot run, no tracked data is taken as it is now.
  ParamsState params = params_.look(stage, directory);
  if (!stage.frozen) state.problem = std::move(params.problem);
  if (!state.problem.empty()) {
    state.params = std::move(params.texts);
    return state;
  }
  std::vector<std::string> deps = stage.deps;
  std::ranges::sort(deps);
  OrderedJson list = OrderedJson::array();
  for (const std::string& dep : deps) {
    const OrderedJson* before = item_of(locked, "deps", dep);
    const std::string path = absolute_path(directory, dep);
    Hash hash = before ? hash_of(*before) : Hash::md5;
    auto content = data_.look(path, hash, put_back);
    const std::string old = before ? text_of(*before, "md5") : "";
    if (!content || content->md5 != old) {
      state.changes.push_back({Kind::input, dep, shown(old), content ? shown(content->md5) : "missing"});
      if (content && hash != Hash::md5) {
        // From now on it is named as DVC 3 names it.
        hash = Hash::md5;
        content = data_.look(path, hash, put_back);
      }
    }
    if (!content) {
      state.inputs.push_back({path, "", 0, 1, false, ""});
      if (const std::string why = data_.why_absent(path); !why.empty())
        state.problem = "its input '" + dep + "' is not there: " + why;
      if (stage.frozen)
        state.problem =
            "it is frozen and not in dvc.lock yet, and '" + path +
            "', which it depends on, does not exist: make it, or run the stage once before it is frozen";
      continue;
    }
    state.inputs.push_back(file_of(path, *content));
    list.push_back(item(dep, hash, *content));
  }
  if (!list.empty()) state.entry["deps"] = std::move(list);
  if (locked && locked->contains("deps")) {
    for (const OrderedJson& before : (*locked)["deps"]) {
      if (std::ranges::find(deps, before["path"].get<std::string>()) == deps.end())
        state.changes.push_back(
            {Kind::input, before["path"].get<std::string>(), shown(text_of(before, "md5")), ""});
    }
  }
  state.params = std::move(params.texts);
  std::ranges::move(params.changes, std::back_inserter(state.changes));
  if (!params.values.empty()) state.entry["params"] = std::move(params.values);
  if (locked && locked->contains("outs")) {
    for (const OrderedJson& before : (*locked)["outs"]) {
      const std::string path = before["path"].get<std::string>();
      if (std::ranges::find(stage.outs, path, &DvcOut::path) == stage.outs.end())
        state.changes.push_back({Kind::output, path, "declared", ""});
    }
  }
  if (locked) {
    for (const DvcOut& out : stage.outs) {
      if (!item_of(locked, "outs", out.path))
        state.changes.push_back({Kind::output, out.path, "", "declared"});
    }
  }
  return state;
}

// --- What comes out of it ---------------------------------------------------------------------------------

std::vector<Project::OutState> Project::outs_of(int index, const OrderedJson* entry, bool with_tree) {
  const DvcStage& stage = project_.stages[static_cast<std::size_t>(index)];
  const std::string directory = directory_of(index);
  std::vector<OutState> outs;
  for (const DvcOut& out : stage.outs) {
    OutState state{&out, absolute_path(directory, out.path), std::nullopt, item_of(entry, "outs", out.path)};
    const Hash hash = state.locked ? hash_of(*state.locked) : Hash::md5;
    state.now = hasher_.look(state.path, hash, with_tree);
    outs.push_back(std::move(state));
  }
  return outs;
}

// Takes an output for what its entry says, as it could be put back.
void Project::expect(const OutState& out) {
  Content content;
  content.md5 = text_of(*out.locked, "md5");
  content.directory = content.md5.ends_with(".dir");
  const auto number = [&](const char* key) -> std::uint64_t {
    const auto found = out.locked->find(key);
    return found != out.locked->end() && found->is_number_integer() ? found->get<std::uint64_t>() : 0;
  };
  content.size = number("size");
  if (content.directory) content.files = number("nfiles");
  content.executable = wanted_of(*out.locked).executable;
  data_.expect(out.path, hash_of(*out.locked), std::move(content));
}

// Makes the outputs what their entries say, or tells whether that could be done; then they are expected.
// Those that are not to be cached are looked for too: the run cache keeps them.
bool Project::put_back_outs(std::vector<OutState>& outs, bool really, std::vector<std::string>& restored) {
  std::vector<const OutState*> absent;
  for (OutState& out : outs) {
    if (!out.locked) return false;
    const Wanted wanted = wanted_of(*out.locked);
    const bool in_place = out.now && out.now->md5 == wanted.md5;
    if (in_place) {
      if (!out.out->cache || cache_.has(wanted)) continue;
      // The copy in the work tree is whole: it is kept again instead of being made again.
      if (wanted.hash != Hash::md5) return false;
      if (really) {
        const auto content = hasher_.look(out.path, Hash::md5, true);
        if (!content || content->md5 != wanted.md5) return false;
        cache_.add(out.path, *content);
      }
      continue;
    }
    if (!cache_.has(wanted)) return false;
    absent.push_back(&out);
    if (!really) continue;
    const auto now = hasher_.look(out.path, wanted.hash, true);
    if (!cache_.check_out(wanted, out.path, now, !out.out->cache)) return false;
    out.now = hasher_.look(out.path, wanted.hash);
    if (!out.now || out.now->md5 != wanted.md5) return false;
  }
  for (const OutState* out : absent) {
    restored.push_back(out->out->path);
    if (!really) expect(*out);
  }
  return true;
}

bool Project::may_use_run_cache(const DvcStage& stage) const {
  if (!why_always(stage).empty() || stage.outs.empty()) return false;
  if (stage.deps.empty() && stage.params.empty()) return false;
  return std::ranges::none_of(stage.outs, [](const DvcOut& out) { return out.persist; });
}

// The stage's results are those of `entry`: tells the caller, and dvc.lock.
bool Project::finish(int index, const OrderedJson& entry, const std::vector<OutState>& outs, Check& result) {
  const DvcStage& stage = project_.stages[static_cast<std::size_t>(index)];
  const Step& step = pipeline_.steps[static_cast<std::size_t>(index)];
  for (std::size_t i = 0; i < outs.size(); ++i) {
    if (outs[i].now) result.outputs.push_back(file_of(outs[i].path, *outs[i].now, step.outputs[i].kind));
  }
  result.key = run_keys(entry).second;
  return !stage.locked || *stage.locked != entry;
}

Check Project::check(int index, const CheckOptions& options) {
  const DvcStage& stage = project_.stages[static_cast<std::size_t>(index)];
  State state = look(index, options.put_back);
  Check result;
  result.inputs = std::move(state.inputs);
  result.params = std::move(state.params);
  result.changes = std::move(state.changes);
  result.problem = std::move(state.problem);
  result.remarks = data_.take_remarks();
  if (!result.problem.empty()) {
    result.verdict = Verdict::refused;
    return result;
  }
  const auto record = [&](const OrderedJson& entry, const std::vector<OutState>& outs) {
    if (!finish(index, entry, outs, result) || !options.put_back) return;
    lock_of(stage).set(stage.name, entry, stage.rank);
    for (const OutState& out : outs) {
      if (out.out->cache && config_.use_git) ignored_.add(out.path, stage.rank);
    }
  };
  if (stage.frozen) {
    auto outs = outs_of(index, stage.locked ? &*stage.locked : nullptr, true);
    OrderedJson entry = state.entry;
    OrderedJson list = OrderedJson::array();
    const bool untouched =
        stage.locked && result.changes.empty() && std::ranges::all_of(outs, [&](const OutState& out) {
          if (!out.now || !out.locked || out.now->md5 != text_of(*out.locked, "md5")) return false;
          return !out.out->cache || cache_.has(wanted_of(*out.locked));
        });
    std::vector<OutState*> in_order;
    for (OutState& out : outs) in_order.push_back(&out);
    std::ranges::sort(in_order, {}, [](const OutState* out) { return out->out->path; });
    for (OutState* out : in_order) {
      if (untouched) break;
      if (!out->now && out->locked && out->out->cache) {
        const Wanted wanted = wanted_of(*out->locked);
        if (cache_.has(wanted) && !options.put_back) {
          result.restored.push_back(out->out->path);
          expect(*out);
          list.push_back(*out->locked);
          continue;
        }
        if (options.put_back && cache_.has(wanted) &&
            cache_.check_out(wanted, out->path, std::nullopt, false)) {
          result.restored.push_back(out->out->path);
          out->now = hasher_.look(out->path, Hash::md5, true);
        }
      }
      if (!out->now) {
        result.verdict = Verdict::refused;
        result.problem = "it is frozen, and its output '" + out->out->path + "' is not there";
        return result;
      }
      if (out->out->cache && options.put_back) cache_.add(out->path, *out->now);
      list.push_back(item(out->out->path, Hash::md5, *out->now));
    }
    if (untouched) {
      entry = *stage.locked;
    } else if (!list.empty()) {
      entry["outs"] = std::move(list);
    }
    result.verdict = Verdict::unchanged;
    // DVC keeps what it has verified as if the stage had run.
    if (!untouched && options.put_back && may_use_run_cache(stage) && !has_plain_uncached(stage)) {
      for (const OutState& out : outs) cache_.add(out.path, *out.now);
      runs_.save(entry);
    }
    record(entry, outs);
    return result;
  }
  const bool missing_input =
      std::ranges::any_of(result.inputs, [](const File& file) { return file.md5.empty(); });
  const auto runs = [&] {
    result.verdict = Verdict::run;
    if (!options.put_back) return result;
    pending_.insert_or_assign(index, std::move(state.entry));
    for (const DvcOut& out : stage.outs) {
      if (out.persist) unprotect(absolute_path(directory_of(index), out.path));
    }
    return result;
  };
  if (!options.look_up) return runs();
  if (result.changes.empty()) {
    auto outs = outs_of(index, &*stage.locked, false);
    const bool in_place = std::ranges::all_of(
        outs, [](const OutState& out) { return out.now && out.now->md5 == text_of(*out.locked, "md5"); });
    // What grows from run to run may have been added to by hand: it is the stage's to go on with, not to be
    // put back.
    for (const OutState& out : outs) {
      const std::string before = text_of(*out.locked, "md5");
      if (out.out->persist && out.now && out.now->md5 != before)
        result.changes.push_back({Kind::output, out.out->path, before, out.now->md5});
    }
    if (result.changes.empty() && put_back_outs(outs, options.put_back, result.restored)) {
      result.verdict = in_place ? Verdict::unchanged : Verdict::put_back;
      record(*stage.locked, outs);
      return result;
    }
    for (const OutState& out : outs) {
      if (!result.changes.empty()) break;
      const std::string before = text_of(*out.locked, "md5");
      if (!out.now || out.now->md5 != before || (out.out->cache && !cache_.has(wanted_of(*out.locked)))) {
        result.changes.push_back({Kind::missing, out.out->path, "", ""});
        break;
      }
    }
  }
  if (may_use_run_cache(stage) && !missing_input) {
    OrderedJson entry = state.entry;
    entry["outs"] = OrderedJson::array();
    for (const std::string& path : sorted_paths(stage.outs)) entry["outs"].push_back({{"path", path}});
    if (const auto found = runs_.find(entry)) {
      auto outs = outs_of(index, &*found, false);
      if (put_back_outs(outs, options.put_back, result.restored)) {
        entry["outs"] = (*found)["outs"];
        // Sizes are no part of the run cache's names, so they are taken from what is there.
        for (OrderedJson& out : entry["outs"]) {
          const auto state_of =
              std::ranges::find_if(outs, [&](const OutState& o) { return out["path"] == o.out->path; });
          if (state_of != outs.end() && state_of->now && options.put_back)
            out = item(state_of->out->path, hash_of(out), *state_of->now);
        }
        result.verdict = Verdict::from_run_cache;
        record(entry, outs);
        return result;
      }
    }
  }
  return runs();
}

Saved Project::save(int index, bool keep) {
  const DvcStage& stage = project_.stages[static_cast<std::size_t>(index)];
  const Step& step = pipeline_.steps[static_cast<std::size_t>(index)];
  Saved saved;
  OrderedJson entry;
  bool changed = false;
  if (const auto pending = pending_.find(index); pending != pending_.end()) {
    entry = std::move(pending->second);
    pending_.erase(pending);
    // Nobody knows what a stage has read of a file that changed while it ran: dvc.lock would tell a wrong
    // story.
    const OrderedJson now = look(index, false).entry;
    for (const char* part : {"deps", "params"})
      changed = changed || entry.value(part, OrderedJson()) != now.value(part, OrderedJson());
  } else {
    entry = look(index, true).entry;
  }
  const std::string directory = directory_of(index);
  std::map<std::string, OrderedJson> items;
  for (std::size_t i = 0; i < stage.outs.size(); ++i) {
    const DvcOut& out = stage.outs[i];
    const std::string path = absolute_path(directory, out.path);
    const auto content = hasher_.look(path, Hash::md5, true);
    if (!content) {
      saved.problem = "ended well but did not make its output '" + out.path + "'";
      return saved;
    }
    saved.outputs.push_back(file_of(path, *content, step.outputs[i].kind));
    items.emplace(out.path, item(out.path, Hash::md5, *content));
    if (out.cache && config_.use_git) ignored_.add(path, stage.rank);
  }
  if (changed) {
    saved.notes.push_back(
        "what it depends on changed while it ran: dvc.lock is left as it was, and it runs again next time");
    return saved;
  }
  OrderedJson list = OrderedJson::array();
  for (auto& [path, value] : items) list.push_back(std::move(value));
  if (!list.empty()) entry["outs"] = std::move(list);
  const bool to_run_cache = keep && may_use_run_cache(stage) && !has_plain_uncached(stage);
  if (keep) {
    try {
      for (const DvcOut& out : stage.outs) {
        if (!out.cache && !to_run_cache) continue;
        const std::string path = absolute_path(directory, out.path);
        const auto content = hasher_.look(path, Hash::md5, true);
        if (!content) continue;
        cache_.add(path, *content);
        if (out.cache) cache_.link(path, *content);
      }
      if (to_run_cache) runs_.save(entry);
    } catch (const Error& error) {
      saved.notes.push_back(std::string("its outputs are not in DVC's cache: ") + error.what());
    }
  }
  saved.key = run_keys(entry).second;
  lock_of(stage).set(stage.name, std::move(entry), stage.rank);
  return saved;
}

}  // namespace mlops::dvc
