// Requests: runs that wait.
#pragma once

#include <mlops/requests.hpp>

#include "db/database.hpp"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace mlops::db {

// Writing: within a Transaction of the caller.
/// Returns its id; nullopt, and nothing is written, if there is one of its `dedupe` already.
std::optional<std::int64_t> put_request(Connection& db, const RequestRecord& request);
/// Writes what may change of a request.
void update_request(Connection& db, const RequestRecord& request);
/// Marks the request with this fence as begun; false if the claim is not valid any more.
bool start_request(Connection& db, std::int64_t fence, const std::string& run_id, Instant now);
/// What the file says now counts for all of its requests that wait.
void set_request_concurrency(Connection& db, const std::string& file, int concurrency);

// Reading.
std::optional<RequestRecord> find_request(Connection& db, std::int64_t id);
std::optional<RequestRecord> request_with_key(Connection& db, const std::string& dedupe);
std::optional<RequestRecord> request_with_fence(Connection& db, std::int64_t fence);
/// The request that this run was for.
std::optional<RequestRecord> request_of_run(Connection& db, const std::string& run_id);
/// In the order of their fences.
std::vector<RequestRecord> claimed_requests(Connection& db);

struct RequestFilter {
  std::string queue;  ///< empty: all
  std::optional<RequestState> state;
  std::optional<std::int64_t> backfill;
  int limit = 0;  ///< the newest so many; 0: all
};
/// Oldest first.
std::vector<RequestRecord> list_requests(Connection& db, const RequestFilter& filter);
/// All that wait: in order of choice.
std::vector<RequestRecord> waiting_requests(Connection& db, const std::string& queue, int limit);

/// What a choice among those that wait goes by.
struct Candidate {
  std::int64_t id = 0;
  std::string queue, pipeline;
  int priority = 0, concurrency = 0;
  std::optional<std::int64_t> backfill;
};
/// Those that may begin at `now`, in order of choice, until `on_candidate` says false. It must not write.
void for_each_candidate(Connection& db, Instant now,
                        const std::function<bool(const Candidate&)>& on_candidate);

bool has_candidates(Connection& db, Instant now);
/// Those of one queue; "": of all.
std::int64_t count_waiting(Connection& db, const std::string& queue = "");
/// Whether as many as `most` wait.
bool is_full(Connection& db, std::int64_t most);
/// When the first one of those that may not begin at `now` may.
std::optional<Instant> next_candidate(Connection& db, Instant now);
/// A run for a slot or a request, or a claim that no limit holds back any more.
struct Ongoing {
  std::string run_id, pipeline;
  std::string queue;    ///< empty: for a slot
  std::string claimer;  ///< empty: it has begun
  std::optional<std::int64_t> backfill;
};
/// By what is on record: whoever works on them may be dead.
std::vector<Ongoing> ongoing_work(Connection& db);

/// Of the claims in the queue up to `now`, when the `n`th from the end was made; n counts from 1.
std::optional<Instant> claim_from_end(Connection& db, const std::string& queue, int n, Instant now);

}  // namespace mlops::db
