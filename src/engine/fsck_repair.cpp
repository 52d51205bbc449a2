// Mending what `mlops fsck` finds; see fsck.hpp.
#include <mlops/error.hpp>

#include "db/bundles.hpp"
#include "db/copies.hpp"
#include "db/runs.hpp"
#include "db/steps.hpp"
#include "engine/fsck.hpp"
#include "engine/outcome.hpp"
#include "engine/quiet.hpp"
#include "engine/recovery.hpp"
#include "engine/store_check.hpp"
#include "process/attempt.hpp"
#include "util/files.hpp"
#include "util/id.hpp"
#include "util/strings.hpp"
#include "workspace/layout.hpp"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <set>

namespace mlops::engine {

namespace {

std::vector<process::JournalEntry> journal_of(const Workspace& workspace, const std::string& id) {
  return process::parse_journal(
      util::read_file_if_exists(layout::in(workspace.run_directory(id), layout::attempts)).value_or(""));
}

// A run that was resumed after its record was written has exit records of which that knows nothing.
bool went_on(const Workspace& workspace, const db::RunBundle& bundle) {
  const auto journal = journal_of(workspace, bundle.run.id);
  return std::ranges::any_of(journal, [&](const process::JournalEntry& entry) {
    return std::ranges::none_of(bundle.attempts, [&](const AttemptRecord& a) {
      return a.step == entry.key.step && a.attempt == entry.key.attempt;
    });
  });
}

void put_back(const Workspace& workspace, db::Database& database, const db::RunBundle& bundle) {
  const bool more = went_on(workspace, bundle);
  db::Transaction transaction(database, db::Durability::full);
  db::mend_bundle(database.connection(), bundle, most_points_kept);
  if (more)
    database.connection()
        .prepare("UPDATE runs SET state = 'running', resumes = resumes + 1 WHERE id = ?")
        .bind(bundle.run.id)
        .run();
  transaction.commit();
  // Nobody is told again of a run that ended long ago.
  if (more) recover_run(workspace, database, bundle.run.id, false);
}

void believe_journal(const Workspace& workspace, db::Database& database, const std::string& id) {
  const std::vector<AttemptRecord> rows = db::attempts_of(database.connection(), id);
  db::Transaction transaction(database, db::Durability::full);
  for (const process::JournalEntry& entry : journal_of(workspace, id)) {
    if (!entry.end) continue;
    AttemptRecord seen = record_of(*entry.end);
    const auto row = std::ranges::find_if(
        rows, [&](const AttemptRecord& a) { return a.step == seen.step && a.attempt == seen.attempt; });
    if (row == rows.end() || row->cause != seen.cause || row->exit_code != seen.exit_code ||
        row->signal != seen.signal)
      db::put_attempt(database.connection(), id, seen);
  }
  transaction.commit();
}

bool is_mended_by_record(Standing standing) {
  return standing == Standing::no_record || standing == Standing::old_record ||
         standing == Standing::bad_record;
}

}  // namespace

std::string mend_run(const Workspace& workspace, db::Database& database, const RunStanding& run) {
  switch (run.standing) {
    case Standing::no_row:
      put_back(workspace, database, *run.kept);
      return "run " + run.id + " is in the database again";
    case Standing::differs:
      put_back(workspace, database, *run.kept);
      return "run " + run.id + " is as its directory has it again: " + run.words;
    case Standing::old_row:
      put_back(workspace, database, *run.kept);
      return "run " + run.id + " is on record with how it ended";
    case Standing::dead:
      recover_run(workspace, database, run.id);
      return "run " + run.id + ", which had lost its runner, is on record with how it ended";
    case Standing::contradicted:
      believe_journal(workspace, database, run.id);
      keep_record(workspace, database.connection(), run.id);
      return "run " + run.id + " has the attempts of its exit records: " + run.words;
    case Standing::good:
    case Standing::going_on:
    case Standing::no_directory:
    case Standing::no_record:
    case Standing::old_record:
    case Standing::bad_record:
    case Standing::no_row_record:
    case Standing::hollow:
    case Standing::removed: break;
  }
  return {};
}

namespace {

void mend_database(const Workspace& workspace, RepairReport& report) {
  const std::string path = workspace.database_path();
  if (!util::exists(path) || database_is_lost(workspace))
    throw Error(ExitCode::io, "cannot repair '" + path + "': it is gone",
                "put a backup in its place (`mlops db restore`), or make it anew: mlops fsck --rebuild");
  std::vector<std::string> damage = db::find_damage(path);
  if (db::only_indexes(damage)) {
    db::Database database = db::Database::open_existing(path);
    db::Transaction transaction(database, db::Durability::full);
    database.connection().execute("REINDEX");
    transaction.commit();
    report.done.emplace_back("the database's indexes were made again from its rows");
    damage = db::find_damage(path);
  }
  if (!damage.empty() && !db::only_references(damage))
    throw Error(ExitCode::io, "cannot repair '" + path + "': " + damage.front(),
                "make it anew from what can be read and from the directories of runs: mlops fsck --rebuild");
}

void mend_store(const Workspace& workspace, db::Database& database, RepairReport& report) {
  const std::string store = workspace.store_directory(), index = store + "/index.db";
  if (!util::is_directory(store)) return;
  if (util::exists(index)) {
    std::vector<std::string> damage;
    try {
      damage = db::find_damage(index, db::Schema::store_index);
    } catch (const Error& error) {
      damage.push_back(error.what());
    }
    // Only an index: where things are is told by the packs themselves.
    if (!damage.empty()) {
      for (const char* part : {"", "-wal", "-shm"}) ::unlink((index + part).c_str());
      report.done.emplace_back("the index of the store is made again");
    }
  }
  const StoreCheck check = check_store(workspace, database.connection(), StoreLook::to_mend);
  for (const std::string& pack : check.packs)
    report.done.push_back("objects of pack " + pack +
                          " are not looked for any more: steps that made them run again when needed");
  for (const std::string& digest : check.damaged)
    report.done.push_back("object " + digest +
                          " was set aside: the step that made it runs again when it is next needed");
}

}  // namespace

RepairReport repair(const Workspace& workspace) {
  workspace.check_owner();
  require_quiet(workspace, "repair");
  RepairReport report;
  mend_database(workspace, report);
  db::Database database = db::Database::open_existing(workspace.database_path());
  const std::set<std::string> removed = removed_runs(workspace);
  bool linked = false;
  for (const std::string& id : known_runs(workspace, database.connection())) {
    if (!util::is_id(id)) continue;
    const RunStanding run = look_at_run(workspace, database.connection(), id);
    const bool gone = run.standing == Standing::no_row || run.standing == Standing::no_row_record;
    if (gone && removed.contains(id)) {
      std::error_code error;
      std::filesystem::remove_all(workspace.run_directory(id), error);
      if (!error) report.done.emplace_back("what was left of run " + id + ", which was deleted, is gone");
      continue;
    }
    if (is_mended_by_record(run.standing)) {
      keep_record(workspace, database.connection(), id);
      report.records_written += read_kept(workspace, id).bundle.has_value();
      continue;
    }
    linked = linked || run.standing == Standing::no_row;
    if (std::string words = mend_run(workspace, database, run); !words.empty())
      report.done.push_back(std::move(words));
  }
  if (linked) {
    db::Transaction transaction(database, db::Durability::full);
    db::relink_sources(database.connection());
    transaction.commit();
  }
  mend_store(workspace, database, report);
  return report;
}

}  // namespace mlops::engine
