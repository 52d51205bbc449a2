#include "engine/fsck.hpp"

#include <mlops/error.hpp>

#include "db/copies.hpp"
#include "db/requests.hpp"
#include "db/runs.hpp"
#include "db/steps.hpp"
#include "engine/outcome.hpp"
#include "engine/recovery.hpp"
#include "engine/store_check.hpp"
#include "process/attempt.hpp"
#include "process/identity.hpp"
#include "util/files.hpp"
#include "util/id.hpp"
#include "util/strings.hpp"
#include "workspace/layout.hpp"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <set>

namespace mlops::engine {

namespace fs = std::filesystem;
using Weight = Fault::Weight;

const char* to_string(Fault::Weight weight) {
  constexpr const char* words[] = {"note", "problem", "broken"};
  return words[static_cast<int>(weight)];
}

// --- Runs

namespace {

// "1 run has", "2 runs have".
std::string counted(std::uint64_t count, const char* one, const char* many) {
  return std::to_string(count) + " " + (count == 1 ? one : many);
}

constexpr const char* repair_it = "mlops fsck --repair";
constexpr const char* rebuild_it = "mlops fsck --rebuild";

// What the journal has seen and the rows do not say.
std::string contradiction(const Workspace& workspace, db::Connection& db, const std::string& id) {
  const auto journal = process::parse_journal(
      util::read_file_if_exists(layout::in(workspace.run_directory(id), layout::attempts)).value_or(""));
  if (journal.empty()) return {};
  const std::vector<AttemptRecord> rows = db::attempts_of(db, id);
  for (const process::JournalEntry& entry : journal) {
    if (!entry.end) continue;
    const AttemptRecord seen = record_of(*entry.end);
    const std::string name =
        "attempt " + std::to_string(seen.attempt) + " of step " + std::to_string(seen.step);
    const auto row = std::ranges::find_if(
        rows, [&](const AttemptRecord& a) { return a.step == seen.step && a.attempt == seen.attempt; });
    if (row == rows.end()) return name + " is not on record";
    if (row->cause != seen.cause || row->exit_code != seen.exit_code || row->signal != seen.signal)
      return name + " ended otherwise than is on record";
  }
  return {};
}

}  // namespace

RunStanding look_at_run(const Workspace& workspace, db::Connection& db, const std::string& id) {
  RunStanding run{id, Standing::good, {}, {}};
  const auto row = db::find_run(db, id);
  if (!util::is_directory(workspace.run_directory(id))) {
    run.standing = row && row->state == RunState::running ? Standing::dead
                   : row && db::steps_of(db, id).size() != static_cast<std::size_t>(row->steps)
                       ? Standing::hollow
                       : Standing::no_directory;
    return run;
  }
  if (liveness(workspace, id) != Liveness::dead) {
    run.standing = Standing::going_on;
    return run;
  }
  KeptRecord kept = read_kept(workspace, id);
  run.words = kept.problem;
  run.kept = std::move(kept.bundle);
  if (!row) {
    run.standing = run.kept ? Standing::no_row : Standing::no_row_record;
    return run;
  }
  const bool newer = run.kept && run.kept->run.resumes > row->resumes;
  if (newer) {
    run.standing = Standing::old_row;
  } else if (row->state == RunState::running) {
    // A record that is as far as the row tells more than the exit records do.
    run.standing = run.kept && run.kept->run.resumes == row->resumes ? Standing::old_row : Standing::dead;
  } else if (!run.kept) {
    run.words = contradiction(workspace, db, id);
    run.standing = !run.words.empty() ? Standing::contradicted
                   : kept.there       ? Standing::bad_record
                                      : Standing::no_record;
  } else if (run.kept->run.resumes < row->resumes) {
    run.standing = Standing::old_record;
  } else if (const auto rows = bundle_to_keep(db, id)) {
    run.words = difference(*rows, *run.kept);
    if (run.words.empty() && !db::has_right_summary(db, id))
      run.words = "the last values of its metrics are not those of their histories";
    if (!run.words.empty()) run.standing = Standing::differs;
  }
  return run;
}

std::vector<std::string> known_runs(const Workspace& workspace, db::Connection& db) {
  std::set<std::string> ids;
  db::for_each_id(db, {.pipeline = {}, .state = {}, .since = {}, .limit = 0},
                  [&](const std::string& id, RunState) { ids.insert(id); });
  std::error_code error;
  for (const auto& entry :
       fs::directory_iterator(layout::in(workspace.state_directory(), layout::runs), error)) {
    const std::string id = entry.path().filename().string();
    if (util::is_id(id)) ids.insert(id);
  }
  return {ids.begin(), ids.end()};
}

namespace {

class Checker {
 public:
  Checker(const Workspace& workspace, bool thorough) : workspace_(workspace), thorough_(thorough) {}

  FsckReport run() {
    if (!check_file()) return std::move(report_);
    try {
      db::Database database = db::Database::open_to_read(workspace_.database_path(), db::Access::read_only);
      db::Connection& db = database.connection();
      if (const auto foreign = db::foreign_schema(db); !foreign.empty())
        add("database", Weight::broken, path_,
            "its schema is not that of mlops: " + util::join(foreign, ", "), rebuild_it);
      check_runs(db);
      check_claims(db);
      check_store_index();
      if (util::is_directory(workspace_.store_directory())) check_contents(db);
    } catch (const Error& error) {
      add("database", Weight::broken, path_, error.what(), rebuild_it);
    }
    check_leftovers();
    return std::move(report_);
  }

 private:
  void add(const char* what, Weight weight, std::string where, std::string words, std::string cure = {}) {
    report_.faults.push_back({what, weight, std::move(where), std::move(words), std::move(cure)});
  }

  // False: nothing more can be asked of it.
  bool check_file() {
    if (database_is_lost(workspace_)) {
      add("database", Weight::broken, path_, "it is gone, though runs have their directories",
          "put a backup in its place (mlops db restore), or " + std::string(rebuild_it));
      return false;
    }
    if (!util::exists(workspace_.database_path())) return false;
    if (const std::string other = db::in_the_way(workspace_.database_path()); !other.empty()) {
      add("database", Weight::broken, workspace_.relative(other),
          "is no regular file, and the database needs one there", "move it away");
      return false;
    }
    std::vector<std::string> damage;
    try {
      damage = db::find_damage(workspace_.database_path());
    } catch (const Error& error) {
      damage.push_back(error.what());
    }
    const char* const cure = db::only_indexes(damage) || db::only_references(damage) ? repair_it : rebuild_it;
    for (const std::string& line : damage) add("database", Weight::broken, path_, line, cure);
    return true;
  }

  void check_runs(db::Connection& db) {
    const std::set<std::string> removed = removed_runs(workspace_);
    std::uint64_t without_directory = 0, without_record = 0;
    for (const std::string& id : known_runs(workspace_, db)) {
      if (!util::is_id(id)) {
        add("run", Weight::problem, id, "is no id of a run: another program has written to the database",
            rebuild_it);
        continue;
      }
      RunStanding run = look_at_run(workspace_, db, id);
      // Others may have been at it.
      if (run.standing == Standing::differs) run = look_at_run(workspace_, db, id);
      if (run.standing == Standing::good) ++report_.compared;
      if (run.standing != Standing::no_row && run.standing != Standing::no_row_record) ++report_.runs;
      without_directory += run.standing == Standing::no_directory;
      without_record += run.standing == Standing::no_record;
      const bool gone = run.standing == Standing::no_row || run.standing == Standing::no_row_record;
      if (gone && removed.contains(id)) run.standing = Standing::removed;
      tell(run);
    }
    if (without_directory > 0)
      add("run", Weight::note, "runs",
          counted(without_directory, "run has", "runs have") +
              " no directory here: of these there are no logs and no second copy");
    if (without_record > 0)
      add("run", Weight::note, "runs",
          counted(without_record, "run has", "runs have") + " no record in their directory to compare with",
          repair_it);
  }

  void tell(const RunStanding& run) {
    const std::string directory = workspace_.relative(workspace_.run_directory(run.id));
    switch (run.standing) {
      case Standing::good:
      case Standing::going_on:
      case Standing::no_directory:
      case Standing::no_record: return;
      case Standing::old_record:
        return add("run", Weight::note, run.id, "the record in its directory is from before it was resumed",
                   repair_it);
      case Standing::bad_record:
        return add("run", Weight::problem, run.id,
                   "the record in its directory is damaged" + (run.words.empty() ? "" : ": " + run.words),
                   repair_it);
      case Standing::differs:
        return add("run", Weight::problem, run.id, "is not as its directory has it: " + run.words, repair_it);
      case Standing::old_row:
        return add("run", Weight::problem, run.id,
                   "has gone further, by the record in its directory, than the database knows", repair_it);
      case Standing::dead:
        return add("run", Weight::problem, run.id, "counts as running, and nobody runs it", repair_it);
      case Standing::contradicted:
        return add("run", Weight::problem, run.id, run.words + ", by the exit records in its directory",
                   repair_it);
      case Standing::no_row:
        return add("run", Weight::problem, run.id, "is in " + directory + ", but not in the database",
                   repair_it);
      case Standing::no_row_record:
        return add("run", Weight::note, directory,
                   "is of a run that is not in the database, and has no record of it" +
                       (run.words.empty() ? "" : " (" + run.words + ")"),
                   "delete it when nobody needs its logs, or " + std::string(rebuild_it));
      case Standing::hollow:
        return add("run", Weight::problem, run.id, "has not all of its steps, and no directory", rebuild_it);
      case Standing::removed:
        return add("run", Weight::note, directory, "is left of a run that was deleted", repair_it);
    }
  }

  // A claim of a dead process is settled by whoever looks at the ledger next: it is told, not mended.
  void check_claims(db::Connection& db) {
    db::Statement row = db.prepare(R"sql(
      SELECT 'slot ' || id, claimer FROM slots WHERE outcome = 'claimed'
        AND coalesce(run_id, '') NOT IN (SELECT id FROM runs)
      UNION ALL
      SELECT 'request ' || id, claimer FROM requests WHERE state = 'claimed'
        AND coalesce(run_id, '') NOT IN (SELECT id FROM runs)
    )sql");
    while (row.step()) {
      if (!process::is_alive(row.text(1)))
        add("slot", Weight::note, row.text(0),
            "is claimed for a run that has not begun, by a process that has ended",
            "the next `mlops run --slot`, worker or daemon decides about it");
    }
  }

  void check_store_index() {
    const std::string path = workspace_.store_directory() + "/index.db";
    if (!util::exists(path)) return;
    try {
      const auto damage = db::find_damage(path, db::Schema::store_index);
      if (!damage.empty())
        add("store", Weight::problem, workspace_.relative(path),
            "the index of the store is damaged: " + damage.front(), repair_it);
    } catch (const Error& error) {
      add("store", Weight::problem, workspace_.relative(path), error.what(), repair_it);
    }
  }

  void check_contents(db::Connection& db) {
    StoreCheck store;
    try {
      store = check_store(workspace_, db, thorough_ ? StoreLook::at_bytes : StoreLook::at_sizes);
    } catch (const Error& error) {
      return add("store", Weight::problem, workspace_.relative(workspace_.store_directory()), error.what(),
                 repair_it);
    }
    report_.objects = store.good;
    for (const std::string& name : store.packs)
      add("store", Weight::problem, "pack " + name, "is gone or cut off, and the index has objects in it",
          repair_it);
    for (const std::string& digest : store.damaged)
      add("store", Weight::problem, "object " + digest,
          thorough_ ? "was damaged, and is not used any more: what needs it is made again"
                    : "has not the size that is on record",
          thorough_ ? "" : repair_it);
    for (const NotWhole& entry : store.not_whole)
      add("store", store.noted && !entry.of_dataset ? Weight::note : Weight::problem, entry.name,
          "is not whole: " + counted(entry.missing, "content is", "contents are") + " not in the store",
          entry.hint);
  }

  // What those leave who are killed. Nothing of it is used again.
  void check_leftovers() {
    const auto look = [&](const std::string& directory,
                          const std::function<bool(const std::string&)>& is_one) {
      std::error_code error;
      for (const auto& entry : fs::directory_iterator(directory, error)) {
        if (is_one(entry.path().filename().string()))
          add("file", Weight::note, workspace_.relative(entry.path().string()),
              "was left half-way by a command that did not end", "delete it when no command is at work");
      }
    };
    const std::string state = workspace_.state_directory();
    look(state, [](const std::string& name) {
      return name.starts_with("merge.") || name.starts_with("mlops.db.restored") ||
             name.starts_with("mlops.db.rebuilt") || name.find(".partial") != name.npos;
    });
    for (const char* place : {layout::runs, layout::snapshots})
      look(layout::in(state, place), [](const std::string& name) { return name.ends_with(".partial"); });
  }

  const Workspace& workspace_;
  bool thorough_;
  std::string path_ = workspace_.relative(workspace_.database_path());
  FsckReport report_;
};

}  // namespace

FsckReport check(const Workspace& workspace, bool thorough) { return Checker(workspace, thorough).run(); }

}  // namespace mlops::engine
