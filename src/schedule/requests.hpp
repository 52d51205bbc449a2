// Requests: runs that were asked for and wait until a worker or the daemon takes them up. Each becomes a run
// by the same means as a slot: a row, a claim with a fence, and a first row of the run in one transaction
// with the news that the request has begun.
#pragma once

#include <mlops/pipeline.hpp>
#include <mlops/requests.hpp>
#include <mlops/run.hpp>
#include <mlops/workspace.hpp>

#include "db/database.hpp"
#include "schedule/limits.hpp"

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace mlops::schedule {

/// What a request's run is given.
struct RequestOptions {
  std::vector<std::string> overrides;
  std::optional<SlotValues> slot;
};
std::string to_text(const RequestOptions& options);
RequestOptions options_of(const RequestRecord& request);

/// A request for a run of the pipeline as soon as possible: all but its source and cause. By this user, now.
RequestRecord request_for(const Workspace& workspace, const Pipeline& pipeline,
                          const RequestOptions& options);

/// Which of the settings that have a default were given.
struct Given {
  bool priority = false, time = false;
};
/// In what `known` differs from `wanted`, for people: in its file, params or queue, and in what was given.
std::vector<std::string> differences(const RequestRecord& known, const RequestRecord& wanted, Given given);

/// Keys that no user may take, as they are those of events.
bool is_key_of_event(std::string_view key);
std::string key_of_event(std::int64_t event);

/// A request that is ours to run.
struct ClaimedRequest {
  SlotClaim claim;
  RequestRecord request;
};

/// What a worker asks for.
struct Demand {
  std::vector<std::string> queues;  ///< empty: all
  std::size_t most = 1;
  std::optional<int> above;                   ///< only of a larger priority
  std::optional<std::int64_t> backfill = {};  ///< only of this one
};

/// What it gets, and when there may be more.
struct Claims {
  std::vector<ClaimedRequest> claimed;
  std::optional<Instant> next;
  std::vector<process::Identity> holders;  ///< whose end may make room, or leave a claim
};

/// A request that waits, and why.
struct Outlook {
  RequestRecord request;
  std::string why;
};

constexpr std::int64_t most_waiting = 100'000;  ///< in a workspace
constexpr int most_attempts = 3;                ///< of processes that die before the run begins

class Requests {
 public:
  /// Both outlive it.
  Requests(const Workspace& workspace, db::Database& database) : workspace_(workspace), database_(database) {}

  /// Durable when it returns. Returns its id; nullopt if there is one of its `dedupe` already, whatever
  /// became of it. Throws Error(busy) when too many wait.
  std::optional<std::int64_t> submit(const RequestRecord& request);
  /// The same as a part of the caller's transaction.
  std::optional<std::int64_t> submit_within(db::Transaction& transaction, const RequestRecord& request);

  /// What the file of the pipeline says now counts for its requests that wait.
  void adopt(const Pipeline& pipeline);

  /// Claims what may begin: the largest priority first, then the oldest time. Claims of dead processes go
  /// back to waiting first. A loss of power may undo a claim, as long as its run has not begun: that is
  /// durable. The clock is asked when it is our turn: what others claimed meanwhile counts for the rate.
  using Clock = std::function<Instant()>;
  Claims claim(const workspace::Config& limits, const Demand& demand, const Clock& clock);

  /// Takes a claim over that a worker made for this process; none if it is not valid any more.
  std::optional<ClaimedRequest> take_over(std::int64_t fence);

  /// Says of a claim that it led to no run.
  void reject(std::int64_t fence, const std::string& reason);
  /// Lets the request of a claim wait again, whose process could not be started or, if `by_death`, was ended
  /// before the run began; the `most_attempts`th death rejects it.
  void put_back(std::int64_t fence, bool by_death, const std::string& reason);
  /// The same for all claims of this process, but for those that it knows of.
  void put_back_unknown(const std::set<std::int64_t>& known);

  /// False: it has begun, or is over; see its row. Throws Error(usage) if there is no such request.
  bool cancel(std::int64_t id);
  /// Of one that waits, as cancel(). To the front of its queue: before all others there, and now.
  bool move_to_front(std::int64_t id, Instant now);
  bool set_priority(std::int64_t id, int priority);

  /// Those that wait, in order of choice, and why each does.
  std::vector<Outlook> outlook(const workspace::Config& limits, const std::string& queue, int limit,
                               Instant now);

 private:
  RequestRecord find(std::int64_t id);
  void release(RequestRecord request, const std::string& reason);
  bool release_dead_claims(Claims& claims, Instant now);
  Admission admission(const workspace::Config& limits, Instant now);

  const Workspace& workspace_;
  db::Database& database_;
};

}  // namespace mlops::schedule
