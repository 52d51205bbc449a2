#include "schedule/waits.hpp"

#include "db/requests.hpp"
#include "db/slots.hpp"

#include <algorithm>

namespace mlops::schedule {

namespace {

// Where it begins in a reason; npos: nowhere.
std::size_t place_of_wait(const std::string& reason) {
  if (reason.starts_with(db::wait_word)) return 0;
  const std::size_t line = reason.find("\n" + std::string(db::wait_word));
  return line == reason.npos ? line : line + 1;
}

// False: it says so already.
bool set_wait(std::string& reason, const std::string& wait) {
  const std::string before = reason;
  reason.resize(std::min(place_of_wait(reason), reason.size()));
  if (!reason.empty() && !reason.ends_with('\n')) reason += '\n';
  reason += wait;
  return reason != before;
}

}  // namespace

std::string wait_of(const SlotRecord& slot) {
  const std::size_t place = place_of_wait(slot.reason);
  return slot.outcome == SlotOutcome::claimed && place != slot.reason.npos ? slot.reason.substr(place)
                                                                           : std::string();
}

std::string prospect_of(const SlotRecord& slot) {
  const std::string wait = wait_of(slot);
  return wait.empty() ? "is about to begin" : wait;
}

void note_waits(db::Database& database, const Waits& waits) {
  if (waits.empty()) return;
  db::Transaction transaction(database);
  db::Connection& connection = database.connection();
  for (const auto& [fence, wait] : waits) {
    if (auto slot = db::slot_with_fence(connection, fence)) {
      if (slot->outcome == SlotOutcome::claimed && set_wait(slot->reason, wait))
        db::update_slot(connection, *slot);
    } else if (auto request = db::request_with_fence(connection, fence)) {
      if (request->state == RequestState::claimed && set_wait(request->reason, wait))
        db::update_request(connection, *request);
    }
  }
  transaction.commit();
}

}  // namespace mlops::schedule
