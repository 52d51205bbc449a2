#include "daemon/deliveries.hpp"

#include "db/outbox.hpp"
#include "notify/delivery.hpp"
#include "process/lock_file.hpp"
#include "workspace/layout.hpp"

#include <algorithm>

namespace mlops::daemon {

namespace {
// While somebody is at it; should that process die, what it leaves is late by no more than this.
constexpr std::chrono::seconds look_again{30};
}  // namespace

void Deliveries::tend(std::chrono::sys_seconds now) {
  // What was started is not asked how it is: it takes a moment until the outbox shows it.
  if (next_ && *next_ > now && *next_ <= now + look_again) return;
  const auto due = db::next_message_at(database_.connection());
  next_.reset();
  if (!due) return;
  next_ = std::max(std::chrono::ceil<std::chrono::seconds>(*due), now + std::chrono::seconds(1));
  if (*due > now) return;
  next_ = now + look_again;
  if (!process::LockFile::is_locked(layout::in(workspace_.state_directory(), layout::outbox_lock)))
    notify::start_delivery(workspace_);
}

}  // namespace mlops::daemon
