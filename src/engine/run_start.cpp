#include "engine/run_start.hpp"

#include <mlops/version.hpp>

#include "db/backfills.hpp"
#include "db/requests.hpp"
#include "db/slots.hpp"
#include "process/identity.hpp"
#include "util/id.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"
#include "workspace/environment.hpp"

#include <unistd.h>

namespace mlops::engine {

RunRecord new_run(const RunSettings& settings, int jobs) {
  RunRecord run;
  run.id = settings.slot ? settings.slot->run_id : util::new_id();
  run.created_at = util::now();
  run.jobs = jobs;
  run.host = workspace::host_name();
  run.user = workspace::user_name();
  run.command_line = util::to_utf8(settings.command_line);
  run.mlops_version = version();
  run.runner_pid = ::getpid();
  run.boot_id = process::boot_id();
  return run;
}

void start_claim(db::Connection& connection, const SlotClaim& claim, Instant now) {
  if (db::start_slot(connection, claim.fence, claim.run_id, now) ||
      (db::start_request(connection, claim.fence, claim.run_id, now) &&
       db::start_backfill_slot(connection, claim.fence, claim.run_id, now)))
    return;
  throw Error(ExitCode::overlap,
              "the claim is not ours any more: it was cancelled, or somebody else has it meanwhile",
              "see `mlops schedule audit` and `mlops queue list`");
}

}  // namespace mlops::engine
