// Getting messages out of the outbox to whom they are for. It is done by a process of its own, which nobody
// waits for, or only for a short while: who waits for what cannot be known.
#pragma once

#include <mlops/outbox.hpp>
#include <mlops/workspace.hpp>

#include "util/fd.hpp"

#include <functional>
#include <string>
#include <vector>

namespace mlops::notify {

/// Tries each message that is due once, those of `run_id` first; `said` hears what became of each. Other
/// processes may do the same at the same time: each message is sent by one of them. Messages whose sender has
/// died are sent again.
void deliver_due(const Workspace& workspace, const std::string& run_id,
                 const std::function<void(const MessageRecord&)>& said);

/// What the process of its own does: delivers, closes its standard output, and tries again what waits, for an
/// hour at most; one process of a workspace stays. The daemon, and whichever command runs next, go on from
/// there.
void deliver_and_stay(const Workspace& workspace, const std::string& run_id);

/// Starts such a process. The descriptor is at its end when everything has been tried once. Throws
/// Error(io) if it cannot be started.
util::Fd start_delivery(const Workspace& workspace, const std::string& run_id = {});

/// At the end of a command: starts one if there is something to deliver, and waits for its first try, so long
/// at most. Returns what became of messages of `run_id` that were not delivered, in words. Never throws.
std::vector<std::string> deliver_at_end(const Workspace& workspace, const std::string& run_id, int wait_ms);

/// "notification 'slack' of a failure: HTTP 404; `mlops notify retry` tries again".
std::string words_of(const MessageRecord& message);

}  // namespace mlops::notify
