#include "engine/slot_start.hpp"

#include "db/slots.hpp"

namespace mlops::engine {

void start_slot(db::Connection& connection, const SlotClaim& claim, Instant now) {
  if (db::start_slot(connection, claim.fence, claim.run_id, now)) return;
  throw Error(ExitCode::overlap, "the slot is not ours any more: somebody else has claimed it meanwhile",
              "see `mlops schedule audit`");
}

}  // namespace mlops::engine
