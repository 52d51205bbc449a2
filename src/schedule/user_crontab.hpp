// The user's crontab, read and written through the program `crontab`.
#pragma once

#include <functional>
#include <optional>
#include <string>

namespace mlops::schedule {

/// Empty if there is none. Throws Error(unreachable) where there is no cron, it does not let this user in, or
/// it does not answer in time.
std::string read_user_crontab(int limit_ms = 30'000);

/// Replaces it by what `edit` makes of it; nothing is written where that is the same. Two of these at once
/// take turns; if somebody else writes it meanwhile, the edit begins anew. It is read back before this
/// returns, true if something was written.
bool edit_user_crontab(const std::function<std::string(const std::string&)>& edit);

}  // namespace mlops::schedule
