// A pack: many small objects in one file, written once and never changed.
//
//   "mlops pack 1\n"
//   the objects' bytes, one after the other
//   a table: for each object its SHA-256 (32 bytes), offset (8) and size (4), in the order of the digests
//   the number of objects (8), the offset of the table (8), "mlopsPK1"
//
// Numbers are little-endian. A file that does not end in the last eight bytes is no pack.
#pragma once

#include "db/store_index.hpp"
#include "util/digest.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace mlops::store {

inline constexpr std::string_view pack_head = "mlops pack 1\n";

/// The table and what follows it. `objects` are sorted by this; `table_offset` is where the table will lie.
std::string pack_tail(std::vector<db::PackedObject>& objects, std::uint64_t table_offset);

/// Reads what pack_tail() made, `tail`, for the pack called `name`; empty if it is not whole. Whether the
/// offsets lie in the pack is not known here.
std::vector<db::PackedObject> read_pack_tail(std::string_view tail, const std::string& name);

/// Reads the table of the pack at `path`, called `name`; empty if it is no whole pack.
std::vector<db::PackedObject> read_pack_table(const std::string& path, const std::string& name);

}  // namespace mlops::store
