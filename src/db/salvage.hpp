// What can still be read of a damaged database.
#pragma once

#include "db/database.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace mlops::db {

struct SalvagedTable {
  std::string name;
  std::uint64_t rows = 0;
  bool whole = true;  ///< all of it could be read
};

/// Copies the rows of the database at `path` that can be read, are of the right types and fit together into
/// `to`, which has the tables and nothing in them. Whatever is wrong with `path`, it does not throw for it:
/// then tables are not whole.
std::vector<SalvagedTable> salvage(const std::string& path, Database& to);

}  // namespace mlops::db
