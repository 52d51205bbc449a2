#include "schedule/requests.hpp"

#include <mlops/error.hpp>

#include "db/backfills.hpp"
#include "db/requests.hpp"
#include "db/slots.hpp"
#include "process/identity.hpp"
#include "schedule/bell.hpp"
#include "util/id.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"
#include "workspace/environment.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

namespace mlops::schedule {

namespace {

// Says of one request after the other what holds it back, as Admission::hold(): limits, and backfills that
// are paused or have as many runs as they want.
class Turns {
 public:
  Turns(db::Connection& connection, Admission& admission) : connection_(connection), admission_(admission) {}

  template <typename Request>
  std::string hold(const Request& request) {
    Wish wish{request.queue, request.pipeline, request.concurrency};
    if (request.backfill) {
      const auto& backfill = find(*request.backfill);
      if (backfill && backfill->state != BackfillState::open)
        return "backfill " + std::to_string(backfill->id) + " is " + to_string(backfill->state);
      wish.backfill = *request.backfill;
      wish.jobs = backfill ? backfill->jobs : 1;
    }
    return admission_.hold(wish);
  }

 private:
  const std::optional<BackfillRecord>& find(std::int64_t id) {
    const auto [known, is_new] = known_.try_emplace(id);
    if (is_new) known->second = db::find_backfill(connection_, id);
    return known->second;
  }

  db::Connection& connection_;
  Admission& admission_;
  std::map<std::int64_t, std::optional<BackfillRecord>> known_;
};

}  // namespace

std::string to_text(const RequestOptions& options) {
  Json json = {{"set", options.overrides}};
  if (options.slot) json["slot"] = to_json(*options.slot);
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

RequestOptions options_of(const RequestRecord& request) {
  RequestOptions options;
  const Json json = Json::parse(request.options, nullptr, false);
  if (!json.is_object()) return options;
  options.overrides = json.value("set", std::vector<std::string>());
  options.slot = parse_slot_values(json.value("slot", Json()));
  return options;
}

RequestRecord request_for(const Workspace& workspace, const Pipeline& pipeline,
                          const RequestOptions& options) {
  RequestRecord request;
  request.file = workspace.relative(pipeline.file);
  request.pipeline = pipeline.name;
  request.options = to_text(options);
  request.priority = pipeline.priority;
  request.concurrency = pipeline.concurrency;
  request.not_before = request.submitted_at = util::now();
  request.submitted_by = workspace::user_name();
  return request;
}

std::vector<std::string> differences(const RequestRecord& known, const RequestRecord& wanted, Given given) {
  std::vector<std::string> list;
  const auto compare = [&](const char* what, const std::string& has, const std::string& should) {
    if (has != should) list.push_back(std::string(what) + " " + has + ", not " + should);
  };
  const auto params = [](const RequestRecord& request) {
    const auto overrides = options_of(request).overrides;
    return overrides.empty() ? "no --set" : "--set " + util::join(overrides, " --set ");
  };
  compare("the file", known.file, wanted.file);
  compare("it has", params(known), params(wanted));
  compare("the queue", known.queue, wanted.queue);
  if (given.priority)
    compare("the priority", std::to_string(known.priority), std::to_string(wanted.priority));
  if (given.time)
    compare("the time", util::format_local(known.not_before), util::format_local(wanted.not_before));
  return list;
}

namespace {
constexpr std::string_view event_word = "event ";
}  // namespace

bool is_key_of_event(std::string_view key) { return key.starts_with(event_word); }
std::string key_of_event(std::int64_t event) { return std::string(event_word) + std::to_string(event); }

std::optional<std::int64_t> Requests::submit(const RequestRecord& request) {
  db::Transaction transaction(database_, db::Durability::full);
  const auto id = submit_within(transaction, request);
  transaction.commit();
  return id;
}

std::optional<std::int64_t> Requests::submit_within(db::Transaction&, const RequestRecord& request) {
  db::Connection& connection = database_.connection();
  if (db::is_full(connection, most_waiting)) {
    throw Error(ExitCode::busy,
                "cannot submit '" + request.file + "': a full queue: " + std::to_string(most_waiting) +
                    " requests wait already",
                "see `mlops queue list`; start a worker, or cancel some with `mlops queue cancel`");
  }
  const auto id = db::put_request(connection, request);
  // Before the commit: whoever hears of it waits for the end of this transaction, and no end of this process
  // can leave a request of which nobody has heard.
  if (id) ring(workspace_, layout::queue_bell);
  return id;
}

void Requests::adopt(const Pipeline& pipeline) {
  db::Transaction transaction(database_);
  db::set_request_concurrency(database_.connection(), workspace_.relative(pipeline.file),
                              pipeline.concurrency);
  transaction.commit();
}

Admission Requests::admission(const workspace::Config& limits, Instant now) {
  return Admission(
      limits, now, [this] { return load_of(workspace_, database_.connection()); },
      [this, now](const std::string& queue, int n) {
        return db::claim_from_end(database_.connection(), queue, n, now);
      });
}

// Within a transaction. Its fence stays, as none is to come twice; it is worth nothing to a request that
// waits.
void Requests::release(RequestRecord request, const std::string& reason) {
  const bool hopeless = request.attempts >= most_attempts;
  request.state = hopeless ? RequestState::rejected : RequestState::waiting;
  request.reason = hopeless
                       ? std::to_string(request.attempts) + " processes died before the run began: " + reason
                       : reason;
  request.run_id.clear();
  request.claimer.clear();
  request.claimed_at.reset();
  if (hopeless) request.decided_at = util::now();
  db::update_request(database_.connection(), request);
}

bool Requests::release_dead_claims(Claims& claims, Instant now) {
  bool any = false;
  const std::string self = process::to_string(process::self());
  for (RequestRecord& request : db::claimed_requests(database_.connection())) {
    if (!process::is_alive(request.claimer)) {
      release(std::move(request), "the process that had claimed it died before the run began");
      any = true;
    } else if (request.claimer != self) {
      claims.holders.push_back(*process::parse_identity(request.claimer));
      claims.next = now + look_again;
    }
  }
  return any;
}

Claims Requests::claim(const workspace::Config& limits, const Demand& demand, const Clock& clock) {
  Claims claims;
  db::Transaction transaction(database_);
  const Instant now = clock();
  db::Connection& connection = database_.connection();
  bool changed = release_dead_claims(claims, now);
  Admission admission = this->admission(limits, now);
  Turns turns(connection, admission);
  std::vector<std::int64_t> chosen;
  std::set<std::tuple<std::string, std::string, int, std::int64_t>>
      held;  // what holds one back holds all of its kind
  db::for_each_candidate(connection, now, [&](const db::Candidate& c) {
    if (chosen.size() == demand.most || (demand.above && c.priority <= *demand.above)) return false;
    if (!demand.queues.empty() && std::ranges::count(demand.queues, c.queue) == 0) return true;
    if (demand.backfill && demand.backfill != c.backfill) return true;
    std::tuple kind(c.queue, c.pipeline, c.concurrency, c.backfill.value_or(0));
    if (held.contains(kind)) return true;
    if (turns.hold(c).empty()) {
      chosen.push_back(c.id);
    } else {
      held.insert(std::move(kind));
    }
    return true;
  });
  for (const std::int64_t id : chosen) {
    RequestRecord request = find(id);
    request.state = RequestState::claimed;
    request.reason.clear();
    request.run_id = util::new_id();
    request.fence = db::next_fence(connection);
    request.claimer = process::to_string(process::self());
    request.claimed_at = now;
    db::update_request(connection, request);
    claims.claimed.push_back({{*request.fence, request.run_id}, std::move(request)});
    changed = true;
  }
  for (const auto& time : {admission.next(), db::next_candidate(connection, now)}) {
    if (time) claims.next = std::min(claims.next.value_or(*time), *time);
  }
  claims.holders.insert(claims.holders.end(), admission.holders().begin(), admission.holders().end());
  if (changed) transaction.commit();
  return claims;
}

std::optional<ClaimedRequest> Requests::take_over(std::int64_t fence) {
  db::Transaction transaction(database_);
  auto request = db::request_with_fence(database_.connection(), fence);
  if (!request || request->state != RequestState::claimed) return std::nullopt;
  request->claimer = process::to_string(process::self());
  ++request->attempts;
  db::update_request(database_.connection(), *request);
  transaction.commit();
  return ClaimedRequest{{fence, request->run_id}, *request};
}

void Requests::reject(std::int64_t fence, const std::string& reason) {
  db::Transaction transaction(database_, db::Durability::full);
  auto request = db::request_with_fence(database_.connection(), fence);
  if (!request || request->state != RequestState::claimed) return;
  request->state = RequestState::rejected;
  request->reason = reason;
  request->run_id.clear();
  request->decided_at = util::now();
  db::update_request(database_.connection(), *request);
  transaction.commit();
}

void Requests::put_back(std::int64_t fence, bool by_death, const std::string& reason) {
  db::Transaction transaction(database_);
  auto request = db::request_with_fence(database_.connection(), fence);
  if (!request || request->state != RequestState::claimed) return;
  // One that has taken the claim over has counted itself.
  if (by_death && request->claimer == process::to_string(process::self())) ++request->attempts;
  release(std::move(*request), reason);
  ring(workspace_, layout::queue_bell);
  transaction.commit();
}

void Requests::put_back_unknown(const std::set<std::int64_t>& known) {
  db::Transaction transaction(database_);
  const std::string self = process::to_string(process::self());
  for (RequestRecord& request : db::claimed_requests(database_.connection())) {
    if (request.claimer == self && !known.contains(request.fence.value_or(0)))
      release(std::move(request), "its claim was not sure to be on disk");
  }
  transaction.commit();
}

RequestRecord Requests::find(std::int64_t id) {
  if (auto request = db::find_request(database_.connection(), id)) return std::move(*request);
  throw Error(ExitCode::usage, "there is no request " + std::to_string(id),
              "`mlops queue list --all` lists them");
}

bool Requests::cancel(std::int64_t id) {
  db::Transaction transaction(database_, db::Durability::full);
  RequestRecord request = find(id);
  if (request.state != RequestState::waiting && request.state != RequestState::claimed) return false;
  request.state = RequestState::cancelled;
  request.reason = "cancelled by " + workspace::user_name();
  request.run_id.clear();
  request.decided_at = util::now();
  db::update_request(database_.connection(), request);
  transaction.commit();
  return true;
}

bool Requests::move_to_front(std::int64_t id, Instant now) {
  db::Transaction transaction(database_, db::Durability::full);
  RequestRecord request = find(id);
  if (request.state != RequestState::waiting) return false;
  const auto first = db::waiting_requests(database_.connection(), request.queue, 1);
  if (first.front().id != id) {
    request.priority = first.front().priority;
    request.not_before = first.front().not_before - std::chrono::milliseconds(1);
  }
  request.not_before = std::min(request.not_before, now);
  db::update_request(database_.connection(), request);
  ring(workspace_, layout::queue_bell);
  transaction.commit();
  return true;
}

bool Requests::set_priority(std::int64_t id, int priority) {
  db::Transaction transaction(database_, db::Durability::full);
  RequestRecord request = find(id);
  if (request.state != RequestState::waiting) return false;
  request.priority = priority;
  db::update_request(database_.connection(), request);
  transaction.commit();
  return true;
}

std::vector<Outlook> Requests::outlook(const workspace::Config& limits, const std::string& queue, int limit,
                                       Instant now) {
  Admission admission = this->admission(limits, now);
  Turns turns(database_.connection(), admission);
  std::vector<Outlook> list;
  // What comes first of other queues counts for the limits as well.
  for (RequestRecord& request : db::waiting_requests(database_.connection(), "", queue.empty() ? limit : 0)) {
    if (limit > 0 && list.size() == static_cast<std::size_t>(limit)) break;
    std::string why;
    if (request.not_before > now) {
      why = "waits for its time, " + util::format_local(request.not_before);
    } else {
      why = turns.hold(request);
      if (why.empty()) why = "waits for a worker";
    }
    if (queue.empty() || request.queue == queue) list.push_back({std::move(request), std::move(why)});
  }
  return list;
}

}  // namespace mlops::schedule
