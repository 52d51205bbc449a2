#pragma once

#include "catch.hpp"
#include "db/slots.hpp"
#include "schedule/ledger.hpp"
#include "schedule/times.hpp"
#include "temp_dir.hpp"

#include <string>
#include <vector>

namespace ledger_test {

using namespace mlops;
using namespace mlops::schedule;

/// A workspace with a pipeline whose slots are claimed by hand.
struct Place {
  Place()
      : workspace(Workspace::create(dir.path())),
        database(db::Database::open(workspace.database_path())),
        ledger(workspace, database) {
    set("{cron: '0 * * * *', timezone: UTC}");
  }

  void set(const std::string& schedule) {
    pipeline = parse_pipeline("name: p\nschedule: " + schedule + "\nsteps: {a: {run: 'true'}}\n",
                              dir.path() + "/p.yaml", {.overrides = {}, .check_files = false});
  }

  Entry entry(sys_seconds now, std::size_t number = 0) {
    timetables = schedule::timetables(pipeline, zones);
    return {ledger.adopt(pipeline, timetables, now).at(number), &timetables.at(number)};
  }

  Answer claim(const char* now) { return ledger.claim(pipeline, std::nullopt, at(now)); }

  /// As if the run had begun, and ended.
  void run(const Claimed& claimed) {
    db::Transaction transaction(database);
    REQUIRE(db::start_slot(database.connection(), claimed.claim.fence, claimed.claim.run_id,
                           Instant(at("2026-01-01 10:00:01"))));
    transaction.commit();
  }

  /// As if the process that has the claims had died.
  void kill_claimers() { database.connection().execute("UPDATE slots SET claimer = ''"); }

  std::string slots(const char* until = "2199-01-01") {
    std::string text;
    for (const SlotRecord& slot :
         db::list_slots(database.connection(), {.schedule = {}, .since = {}, .until = at(until)}))
      text += slot.local.substr(5, 11) + " " + to_string(slot.outcome) + "; ";
    return text;
  }

  TempDir dir;
  Workspace workspace;
  db::Database database;
  Ledger ledger;
  Pipeline pipeline;
  pipeline::Zones zones;
  std::vector<Timetable> timetables;
};

}  // namespace ledger_test
