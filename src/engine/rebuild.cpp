#include "engine/rebuild.hpp"

#include <mlops/error.hpp>

#include "db/bundles.hpp"
#include "db/copies.hpp"
#include "db/runs.hpp"
#include "db/salvage.hpp"
#include "db/steps.hpp"
#include "engine/collect.hpp"
#include "engine/fsck.hpp"
#include "engine/quiet.hpp"
#include "engine/recovery.hpp"
#include "engine/run_record.hpp"
#include "params/overrides.hpp"
#include "process/attempt.hpp"
#include "process/identity.hpp"
#include "util/digest.hpp"
#include "util/files.hpp"
#include "util/id.hpp"
#include "workspace/layout.hpp"

#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>

namespace mlops::engine {

namespace {

// What there is besides runs, for people; empty: a part of runs, which their records tell of.
const char* words_for(const std::string& table) {
  static const std::map<std::string, const char*> words = {
      {"schedules", "schedules and when they were paused"},
      {"slots", "slots: which times of schedules ran, were missed or skipped"},
      {"requests", "requests in queues"},
      {"tags", "tags of runs"},
      {"pinned_runs", "pins of runs"},
      {"datasets", "names of datasets"},
      {"dataset_versions", "versions of datasets (their contents are in the store)"},
      {"pinned_versions", "pins of versions of datasets"},
      {"backfills", "backfills"},
      {"backfill_slots", "slots of backfills"},
      {"triggers", "triggers and what they have seen"},
      {"events", "events of triggers"},
      {"outbox", "messages, sent and waiting"},
      {"promises", "promises that were told to be at risk"},
  };
  const auto found = words.find(table);
  return found == words.end() ? "" : found->second;
}

class Rebuilder {
 public:
  explicit Rebuilder(const Workspace& workspace) : workspace_(workspace), path_(workspace.database_path()) {}

  RebuildReport run() {
    if (!is_sound()) make_anew();
    db::Database database = db::Database::open(path_);
    drop_unreadable(database);
    bring_back(database);
    {
      db::Transaction transaction(database, db::Durability::full);
      db::relink_sources(database.connection());
      transaction.commit();
    }
    db::Statement count = database.connection().prepare(
        "SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM artifacts WHERE direction = 'out')");
    count.step();
    report_.runs = static_cast<std::uint64_t>(count.integer(0));
    report_.artifacts = static_cast<std::uint64_t>(count.integer(1));
    return std::move(report_);
  }

 private:
  bool is_sound() const {
    if (!util::exists(path_) || database_is_lost(workspace_)) return false;
    try {
      if (!db::find_damage(path_).empty()) return false;
      db::Database database = db::Database::open(path_);  // of an earlier version it is brought up to date
      return db::foreign_schema(database.connection()).empty();
    } catch (const db::SqliteError&) {
      return false;
    } catch (const Error& error) {
      if (error.code() == ExitCode::usage) return false;  // none of mlops any more
      if (only_its_number_is_wrong()) return false;
      throw;  // of a later version: it is not ours to judge
    }
  }

  // It says that it is of a later version, and has what this one makes and nothing more.
  bool only_its_number_is_wrong() const {
    db::Connection connection(path_, db::Connection::Mode::read_only);
    return db::has_this_schema(connection);
  }

  void make_anew() {
    const bool there = util::exists(path_);
    const std::string fresh = path_ + ".rebuilt";
    const auto remove_fresh = [&](bool all) {
      for (const char* part : {"", "-wal", "-shm", ".lock"}) {
        if (all || *part) ::unlink((fresh + part).c_str());
      }
    };
    remove_fresh(true);
    {
      db::Database database = db::Database::open(fresh);
      if (there) take_what_can_be_read(database);
      // Only the file itself comes to the place of the old one.
      database.connection().execute("PRAGMA wal_checkpoint(TRUNCATE)");
    }
    const std::string aside = path_ + ".damaged-" + db::time_in_name();
    db::replace_database(path_, fresh, aside);
    remove_fresh(false);
    if (there) {
      report_.aside = aside;
    } else {
      report_.lost.push_back(
          "what is in no directory of a run: schedules and their slots, queues, triggers, datasets, tags, "
          "pins, "
          "messages, and runs that came from elsewhere");
    }
  }

  void take_what_can_be_read(db::Database& database) {
    for (const db::SalvagedTable& table : db::salvage(path_, database)) {
      if (table.name == "runs") report_.read = table.rows;
      const std::string words = words_for(table.name);
      if (!table.whole && !words.empty())
        report_.lost.push_back(words +
                               (table.rows > 0 ? ": only a part could be read" : ": nothing could be read"));
    }
  }

  // Runs of which only a part was read are not shown as if they were whole.
  void drop_unreadable(db::Database& database) {
    db::Connection& db = database.connection();
    const auto drop = [&](const std::string& id, const std::string& why) {
      db::Transaction transaction(database, db::Durability::full);
      db.prepare("DELETE FROM runs WHERE id = ?").bind(id).run();
      transaction.commit();
      if (report_.read > 0) --report_.read;
      dropped_[id] = why;
    };
    std::vector<std::string> ids;
    db::for_each_id(db, {.pipeline = {}, .state = {}, .since = {}, .limit = 0},
                    [&](const std::string& id, RunState) { ids.push_back(id); });
    for (const std::string& id : ids) {
      const auto bundle = db::read_bundle(db, id, most_points_kept);
      if (!util::is_id(id) || !bundle) {
        drop(id, "its id is damaged");
      } else if (bundle->steps.size() != static_cast<std::size_t>(bundle->run.steps)) {
        drop(id, "not all of its steps could be read");
      } else if (bundle->run.state != RunState::running) {
        try {
          read_run_record(write_run_record(*bundle), id);
        } catch (const Error& error) {
          drop(id, error.what());
        }
      }
    }
  }

  void bring_back(db::Database& database) {
    const std::set<std::string> removed = removed_runs(workspace_);
    std::set<std::string> back;
    for (const std::string& id : known_runs(workspace_, database.connection())) {
      const RunStanding run = look_at_run(workspace_, database.connection(), id);
      const bool gone = run.standing == Standing::no_row || run.standing == Standing::no_row_record;
      // The end of a deletion that was interrupted is for `--repair`.
      if (gone && removed.contains(id)) continue;
      try {
        if (run.standing == Standing::no_row_record) {
          put_together(database, id, run.words);
          ++report_.from_journals;
        } else if (run.standing == Standing::dead) {
          recover_run(workspace_, database, id, false);
          ++report_.from_journals;
        } else if (!mend_run(workspace_, database, run).empty()) {
          ++report_.from_records;
        }
        if (gone) back.insert(id);
      } catch (const Error& error) {
        report_.lost.push_back("run " + id + ": " + error.what());
        back.insert(id);  // it has been told of
      }
    }
    for (const auto& [id, why] : dropped_) {
      if (!back.contains(id)) report_.lost.push_back("run " + id + ": " + why);
    }
  }

  // From what the run began with, and what its keeper saw of it.
  void put_together(db::Database& database, const std::string& id, const std::string& why) {
    const std::string directory = workspace_.run_directory(id);
    const auto source = util::read_file_if_exists(layout::in(directory, layout::definition));
    const Json settings = Json::parse(
        util::read_file_if_exists(layout::in(directory, layout::settings)).value_or(""), nullptr, false);
    if (!source || source->empty() || !settings.is_object())
      throw Error(ExitCode::io, "its directory has neither a record of it nor what it began with" +
                                    (why.empty() ? "" : " (" + why + ")"));
    const auto journal = process::parse_journal(
        util::read_file_if_exists(layout::in(directory, layout::attempts)).value_or(""));
    RunRecord run;
    run.id = id;
    run.pipeline = "?";
    run.file = workspace_.relative(settings.value("file", std::string("pipeline.yaml")));
    run.definition = util::sha256(*source);
    run.created_at = util::time_of_id(id);
    run.jobs = settings.value("jobs", 1);
    run.boot_id = journal.empty() ? process::boot_id() : journal.front().boot_id;
    db::Connection& db = database.connection();
    db::Transaction transaction(database, db::Durability::full);
    db::insert_run(db, run, *source, {}, {});
    const Pipeline pipeline = load_frozen(workspace_, db, id).pipeline;
    db.prepare("UPDATE runs SET pipeline = ?2, steps = ?3 WHERE id = ?1")
        .bind(id, pipeline.name, static_cast<std::int64_t>(pipeline.steps.size()))
        .run();
    params::for_each_leaf(pipeline.params, "", [&](const std::string& name, std::string value) {
      db.cached("INSERT OR REPLACE INTO run_params VALUES (?, ?, ?)").bind(id, name, value).run();
    });
    for (std::size_t i = 0; i < pipeline.steps.size(); ++i) {
      StepRecord step;
      step.step = static_cast<int>(i);
      step.name = pipeline.steps[i].name;
      step.kind = pipeline.steps[i].kind;
      step.command = command_text(pipeline.steps[i]);
      db::insert_step(db, id, step);
    }
    transaction.commit();
    recover_run(workspace_, database, id, false);
  }

  const Workspace& workspace_;
  std::string path_;
  std::map<std::string, std::string> dropped_;  // id, why
  RebuildReport report_;
};

}  // namespace

RebuildReport rebuild(const Workspace& workspace) {
  workspace.check_owner();
  require_quiet(workspace, "rebuild the database");
  return Rebuilder(workspace).run();
}

}  // namespace mlops::engine
