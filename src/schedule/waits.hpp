// What claims wait for until their runs begin: the last line of their reasons, as long as they are claims.
#pragma once

#include <mlops/slots.hpp>

#include "db/database.hpp"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace mlops::schedule {

/// "waits for run 01m8…"; empty for a claim that is about to begin, as far as is known.
std::string wait_of(const SlotRecord& slot);

/// The same in a sentence: "is about to begin" if it waits for nothing.
std::string prospect_of(const SlotRecord& slot);

/// Says of claims, by their fences, of slots or of requests, what each waits for: "waits for …". Of those
/// that are no claims any more it says nothing.
using Waits = std::vector<std::pair<std::int64_t, std::string>>;
void note_waits(db::Database& database, const Waits& waits);

}  // namespace mlops::schedule
