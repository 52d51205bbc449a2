// What was told of the promises of schedules.
#pragma once

#include <mlops/records.hpp>

#include "db/database.hpp"

#include <chrono>
#include <cstdint>
#include <string>

namespace mlops::db {

struct ToldPromise {
  std::int64_t schedule = 0;
  std::string kind;  ///< deadline, fresh_within
  std::chrono::sys_seconds due{};
  std::string state;  ///< at_risk, missed
  std::string words;
  Instant told_at{};
};

bool was_told(Connection& db, const ToldPromise& promise);
/// False, and nothing is written, if it was told before, in whatever words. Within a Transaction.
bool put_told(Connection& db, const ToldPromise& promise);

}  // namespace mlops::db
