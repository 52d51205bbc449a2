#include "data/lineage.hpp"

#include <mlops/error.hpp>

#include "db/steps.hpp"
#include "dvc/hasher.hpp"
#include "engine/collect.hpp"
#include "engine/step_facts.hpp"
#include "pipeline/dvc/config.hpp"
#include "util/files.hpp"

#include <algorithm>
#include <deque>
#include <filesystem>
#include <set>

namespace mlops::data {

namespace {

using db::Execution;
using db::Trace;

// Empty files, a lone number, "{}": every project has many that have nothing to do with each other.
bool means_nothing(const ArtifactRecord& file) {
  constexpr std::uint64_t telling = 32;  // bytes
  return file.size < telling || (file.form == "tree" && file.files == 0);
}

std::size_t at(int i) { return static_cast<std::size_t>(i); }

class Search {
 public:
  Search(db::Connection& db, const LineageOptions& options) : db_(db), options_(options) {
    result_.up = options.up;
    result_.down = options.down;
  }

  void add_target(const Trace& trace, bool is_read) {
    const int file = file_of(trace);
    if (std::ranges::find(result_.targets, file) == result_.targets.end()) result_.targets.push_back(file);
    if (trace.file.output && !is_read) made_by_[file] = trace.by;
  }
  void add_target(const Execution& execution) {
    if (const int step = step_of(execution); step >= 0) result_.target_steps.push_back(step);
  }
  void set_note(std::string note) { result_.note = std::move(note); }

  Lineage run() {
    if (options_.up) go_up();
    if (options_.down) go_down();
    return std::move(result_);
  }

 private:
  int file_of(const Trace& trace) {
    const auto [it, is_new] =
        files_.try_emplace({trace.file.sha256, trace.file.path}, static_cast<int>(result_.files.size()));
    if (is_new) {
      result_.files.emplace_back();
      result_.files.back().file = trace.file;
    }
    LineageFile& file = result_.files[at(it->second)];
    if (trace.file.kept) file.file.kept = true;
    file.code = file.code || (!trace.file.output && trace.file.kind == "code");
    if (trace.file.output && !trace.file.kind.empty()) file.file.kind = trace.file.kind;
    file.hidden = file.hidden || (trace.hidden && !trace.file.output);
    return it->second;
  }

  std::int64_t taken_over(const Execution& execution) {
    const auto [it, is_new] = taken_over_.try_emplace(execution.run);
    if (is_new) it->second = db::times_taken_over(db_, execution.run);
    const auto times = it->second.find(execution.step);
    return times == it->second.end() ? 0 : times->second;
  }

  // -1: the answer is full, or the run was deleted meanwhile.
  int step_of(const Execution& execution) {
    if (const auto it = steps_.find(execution); it != steps_.end()) return it->second;
    if (static_cast<int>(result_.steps.size()) >= options_.most) {
      result_.cut = true;
      return -1;
    }
    auto facts = db::facts_of_execution(db_, execution);
    if (!facts) return -1;
    facts->taken_over = taken_over(execution);
    LineageStep step{execution, std::move(*facts), {}, {}, {}};
    const engine::StepFacts depends = engine::parse_facts(Json::parse(step.facts.facts, nullptr, false));
    for (const auto& [name, value] : depends.params) step.params.emplace_back(name, value);
    if (step.params.empty()) step.params = step.facts.params;
    const int index = static_cast<int>(result_.steps.size());
    steps_[execution] = index;
    result_.steps.push_back(std::move(step));
    for (const Trace& trace : db::files_of_execution(db_, execution)) {
      const int file = file_of(trace);
      auto& list = trace.file.output ? result_.steps[at(index)].makes : result_.steps[at(index)].reads;
      if (std::ranges::find(list, file) == list.end()) list.push_back(file);
      int& made_by = result_.files[at(file)].made_by;
      if (trace.file.output && made_by < 0) made_by = index;
    }
    return index;
  }

  struct Open {
    int file = 0;
    Execution reader;  // run empty: nobody in particular
    int depth = 0;
  };

  std::optional<Trace> maker(const Open& open) {
    const ArtifactRecord& file = result_.files[at(open.file)].file;
    const bool by_path = means_nothing(file);
    if (!open.reader.run.empty()) return db::maker_for(db_, open.reader, file.sha256, file.path, by_path);
    // A file that was asked for: whoever made it last, here rather than elsewhere.
    auto makers = db::makers_of(db_, file.sha256, file.path, 1);
    if (makers.empty() && !by_path) {
      makers = db::makers_of(db_, file.sha256, "", 1);
      // Who had read the same content has only copied it.
      if (!makers.empty()) {
        const auto files = db::files_of_execution(db_, makers[0].by);
        if (std::ranges::any_of(
                files, [&](const Trace& f) { return !f.file.output && f.file.sha256 == file.sha256; }))
          makers.clear();
      }
    }
    return makers.empty() ? std::nullopt : std::optional(makers[0]);
  }

  void go_up() {
    std::deque<Open> queue;
    std::set<int> done;
    const auto push_reads = [&](int step, int depth) {
      for (const int file : result_.steps[at(step)].reads)
        queue.push_back({file, result_.steps[at(step)].execution, depth});
    };
    for (const int file : result_.targets) queue.push_back({file, {}, 0});
    for (const int step : result_.target_steps) push_reads(step, 1);
    while (!queue.empty()) {
      const Open open = queue.front();
      queue.pop_front();
      if (!done.insert(open.file).second) continue;
      std::optional<Execution> by;
      std::string as;
      if (const auto known = made_by_.find(open.file); known != made_by_.end()) {
        by = known->second;
      } else if (const auto trace = maker(open)) {
        by = trace->by;
        if (trace->file.path != result_.files[at(open.file)].file.path) as = trace->file.path;
      }
      if (!by) continue;
      const bool is_new = !steps_.contains(*by);
      const int step = is_new && open.depth >= options_.depth ? -1 : step_of(*by);
      if (step < 0) {
        result_.files[at(open.file)].open = result_.cut = true;
        continue;
      }
      result_.files[at(open.file)].made_by = step;
      result_.files[at(open.file)].made_as = as;
      if (is_new) push_reads(step, open.depth + 1);
    }
  }

  // Whether it is `file` that was read, and not another of the same content, such as the one that it is a
  // copy of.
  bool has_read(const Trace& reader, const ArtifactRecord& file, bool is_made) {
    const auto maker = db::maker_for(db_, reader.by, file.sha256, reader.file.path, means_nothing(file));
    if (maker) return maker->file.path == file.path && maker->by != reader.by;
    return reader.file.path == file.path || !is_made;
  }

  void go_down() {
    std::deque<Open> queue;
    std::set<int> done;
    for (const int file : result_.targets) queue.push_back({file, {}, 0});
    for (const int step : result_.target_steps) {
      for (const int file : result_.steps[at(step)].makes) queue.push_back({file, {}, 0});
    }
    while (!queue.empty()) {
      const Open open = queue.front();
      queue.pop_front();
      if (!done.insert(open.file).second) continue;
      const ArtifactRecord file = result_.files[at(open.file)].file;
      const std::string path = means_nothing(file) ? file.path : "";
      if (open.depth >= options_.depth) {
        if (db::readers_of(db_, file.sha256, path, 1).empty()) continue;
        result_.files[at(open.file)].open = result_.cut = true;
        continue;
      }
      const bool is_made = !db::makers_of(db_, file.sha256, file.path, 1).empty();
      std::int64_t shown = 0, others = 0;
      for (const Trace& reader : db::readers_of(db_, file.sha256, path, options_.readers * 4)) {
        if (shown == options_.readers) break;
        if (!has_read(reader, file, is_made)) {
          ++others;
          continue;
        }
        const int step = step_of(reader.by);
        if (step < 0) continue;
        ++shown;
        result_.files[at(open.file)].read_by.push_back(step);
        for (const int made : result_.steps[at(step)].makes) queue.push_back({made, {}, open.depth + 1});
      }
      if (shown >= options_.readers || result_.cut)
        result_.files[at(open.file)].more_readers =
            db::count_readers(db_, file.sha256, path) - shown - others;
      if (result_.files[at(open.file)].more_readers > 0) result_.cut = true;
    }
  }

  db::Connection& db_;
  const LineageOptions& options_;
  Lineage result_;
  std::map<std::pair<std::string, std::string>, int> files_;
  std::map<Execution, int> steps_;
  std::map<std::string, std::map<int, std::int64_t>> taken_over_;  // by run
  std::map<int, Execution> made_by_;                               // of files that were asked for
};

// What is known of the present content of `path`, else of what was there last.
bool find_path(const Workspace& workspace, db::Connection& db, const std::string& what, Search& search) {
  const std::string full = util::absolute_path(what);
  const std::string path = workspace.relative(full);
  const auto newest = db::newest_at(db, path);
  // DVC's contents have DVC's names.
  const bool of_dvc = newest && newest->file.sha256.starts_with("md5:");
  std::string digest, problem;
  // Reading a folder that nobody knows is not worth the time.
  if (newest ? util::exists(full) : util::exists(full) && !util::is_directory(full)) {
    try {
      engine::Depot depot(workspace);
      if (of_dvc) {
        const std::string root = pipeline::dvc::find_root(std::filesystem::path(full).parent_path().string());
        dvc::Hasher hasher(depot.objects, root.empty() ? workspace.root() : root);
        if (const auto content = hasher.look(full)) digest = "md5:" + content->md5;
      } else if (const auto content = depot.snapshots.look(full)) {
        digest = content->digest.hex();
      }
      if (workspace.trusted()) depot.snapshots.save();
    } catch (const Error& error) {
      problem = error.what();
    }
  }
  if (!digest.empty()) {
    for (const std::string& place : {path, std::string()}) {
      const auto makers = db::makers_of(db, digest, place, 1);
      const auto traces = makers.empty() ? db::readers_of(db, digest, place, 1) : makers;
      if (traces.empty()) continue;
      search.add_target(traces[0], makers.empty());
      return true;
    }
  }
  if (!newest) {
    // A file of a folder that is recorded as a whole.
    for (std::string folder = path; folder.find('/') != folder.npos && folder.size() > 1;) {
      folder.resize(std::max<std::size_t>(folder.rfind('/'), 1));
      const auto around = db::newest_at(db, folder);
      if (!around || around->file.form != "tree") continue;
      search.set_note("'" + path + "' lies in the folder '" + folder + "', which is recorded as a whole");
      search.add_target(*around, !around->file.output);
      return true;
    }
    return false;
  }
  if (!digest.empty()) {
    search.set_note("no run made or read what '" + path + "' holds now (" +
                    (of_dvc ? digest : "sha256 " + digest.substr(0, 12)) + "): this is what it held in run " +
                    newest->by.run);
  } else if (!problem.empty()) {
    search.set_note("'" + path + "' cannot be looked at (" + problem + "): this is what it held in run " +
                    newest->by.run);
  } else {
    search.set_note("'" + path + "' is not there now: this is what it held in run " + newest->by.run);
  }
  search.add_target(*newest, !newest->file.output);
  return true;
}

void find_run(db::Connection& db, const std::string& id, Search& search) {
  const auto steps = db::steps_of(db, id);
  for (const StepRecord& step : steps) {
    if (step.state == StepState::cached && step.source_run) {
      search.add_target(Execution{*step.source_run, step.source_step.value_or(0)});
    } else if (step.attempts > 0) {
      search.add_target(Execution{id, step.step});
    }
  }
}

bool is_hex(const std::string& text) {
  return std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool find_digest(db::Connection& db, const std::string& what, Search& search) {
  if (what.size() < 8 || what.size() > 64 || !is_hex(what)) return false;
  const auto digests = db::match_digests(db, what, 4);
  if (digests.size() > 1) {
    throw Error(ExitCode::usage, "'" + what + "' is the beginning of several digests",
                digests[0] + ", " + digests[1] + (digests.size() > 2 ? ", …" : ""));
  }
  if (digests.empty()) return false;
  const auto makers = db::makers_of(db, digests[0], "", 1);
  const auto traces = makers.empty() ? db::readers_of(db, digests[0], "", 1) : makers;
  if (traces.empty()) return false;
  search.add_target(traces[0], makers.empty());
  return true;
}

}  // namespace

Lineage find_lineage(const Workspace& workspace, db::Connection& db, const std::string& what,
                     const std::optional<std::string>& run, const LineageOptions& options) {
  if (what.empty()) throw Error(ExitCode::usage, "nothing was named", "mlops lineage FILE, RUN or DIGEST");
  Search search(db, options);
  if (find_path(workspace, db, what, search)) return search.run();
  if (run) {
    find_run(db, *run, search);
    return search.run();
  }
  if (find_digest(db, what, search)) return search.run();
  throw Error(
      ExitCode::usage,
      util::exists(what) ? "no run is known to have made or read '" + what + "'"
                         : "there is no file, run or recorded digest '" + what + "'",
      "give the path of an input or output of a step, a run (see `mlops runs`), or 8 or more digits of a "
      "sha256");
}

}  // namespace mlops::data
