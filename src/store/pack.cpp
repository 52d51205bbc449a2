#include "store/pack.hpp"

#include "util/fd.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

namespace mlops::store {

namespace {

constexpr std::string_view magic = "mlopsPK1";
constexpr std::size_t record = 32 + 8 + 4;
constexpr std::size_t trailer = 8 + 8 + 8;

void put(std::string& out, std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i) & 0xff);
}

std::uint64_t get(std::string_view text, std::size_t at, int bytes) {
  std::uint64_t value = 0;
  for (int i = 0; i < bytes; ++i) {
    value |= static_cast<std::uint64_t>(static_cast<unsigned char>(text[at + static_cast<std::size_t>(i)]))
             << (8 * i);
  }
  return value;
}

bool read_at(int fd, std::uint64_t offset, std::string& out) {
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t n = ::pread(fd, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
    if (n <= 0) return false;
    done += static_cast<std::size_t>(n);
  }
  return true;
}

}  // namespace

std::string pack_tail(std::vector<db::PackedObject>& objects, std::uint64_t table_offset) {
  std::sort(objects.begin(), objects.end(), [](const auto& a, const auto& b) { return a.digest < b.digest; });
  std::string tail;
  tail.reserve(objects.size() * record + trailer);
  for (const db::PackedObject& object : objects) {
    tail.append(reinterpret_cast<const char*>(object.digest.bytes.data()), object.digest.bytes.size());
    put(tail, object.offset, 8);
    put(tail, object.size, 4);
  }
  put(tail, objects.size(), 8);
  put(tail, table_offset, 8);
  return tail += magic;
}

std::vector<db::PackedObject> read_pack_tail(std::string_view tail, const std::string& name) {
  if (tail.size() < trailer || !tail.ends_with(magic)) return {};
  const std::uint64_t count = get(tail, tail.size() - trailer, 8);
  if (count > tail.size() / record || count * record + trailer != tail.size()) return {};
  std::vector<db::PackedObject> objects;
  objects.reserve(count);
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::size_t at = i * record;
    db::PackedObject object;
    object.digest = *util::Digest::from_bytes(tail.substr(at, 32));
    object.pack = name;
    object.offset = get(tail, at + 32, 8);
    object.size = get(tail, at + 40, 4);
    objects.push_back(std::move(object));
  }
  return objects;
}

std::vector<db::PackedObject> read_pack_table(const std::string& path, const std::string& name) {
  const util::Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat st {};
  if (!fd || ::fstat(fd.get(), &st) != 0 || st.st_size < static_cast<off_t>(pack_head.size() + trailer))
    return {};
  const auto size = static_cast<std::uint64_t>(st.st_size);
  std::string end(trailer, '\0');
  if (!read_at(fd.get(), size - trailer, end) || !end.ends_with(magic)) return {};
  const std::uint64_t count = get(end, 0, 8), table = get(end, 8, 8);
  if (count > size / record || table > size || table + count * record + trailer != size) return {};
  std::string tail(size - table, '\0');
  if (!read_at(fd.get(), table, tail)) return {};
  std::vector<db::PackedObject> objects = read_pack_tail(tail, name);
  for (const db::PackedObject& object : objects) {
    if (object.offset + object.size > table) return {};
  }
  return objects;
}

}  // namespace mlops::store
