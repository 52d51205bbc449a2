// A place elsewhere that keeps contents and records of runs: a directory, an account reached by ssh, a
// bucket. All have one layout:
//
//   objects/ab/cdef…    a large object, named by its SHA-256
//   packs/NAME.pack     many small ones, as in the local store (see store/pack.hpp)
//   packs/NAME.idx      the pack's table alone; written after the pack, which counts from then on
//   runs/ID.json        the record of a run, see engine/run_record.hpp
//   mlops-remote.json   says that this is a remote, and which: made by the first push
//
// How to add a kind: 1. a class beside the others; 2. its scheme in remote_address.cpp; 3. a line in
// open_remote(); 4. a row in docs/remotes.md.
#pragma once

#include "store/remote_address.hpp"
#include "util/digest.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace mlops::store {

struct RemoteFile {
  std::string name;
  std::uint64_t size = 0;
};

/// A file to be put on a remote, whole or not at all.
struct Upload {
  std::string name;
  std::string path;  ///< of the local file that has the bytes; empty: they are in `bytes`
  std::string bytes;
  std::uint64_t size = 0;
  util::Digest digest;                ///< of all bytes: what does not fit it is not put there
  std::string then_name, then_bytes;  ///< a small file to be put after it; may be empty
  bool damaged = false;               ///< set when the local bytes did not fit the digest
};

/// A file, or a part of one, to be got from a remote. Nothing is checked here but its size.
struct Download {
  std::string name;
  std::uint64_t offset = 0, size = 0;
  std::string path;  ///< appended to what is there already of the part; empty: into `bytes`
  std::string bytes;
  bool missing = false;  ///< set when the remote has no such file, or a shorter one
};

/// Told of each file that is done, from any thread, one at a time.
using OnDone = std::function<void(std::size_t index)>;

/// Not thread-safe; may use threads of its own. Whatever ends a transfer is an Error(unreachable) that names
/// the remote, or an Error(io) of the local disk; what was done until then stays done.
class Remote {
 public:
  virtual ~Remote() = default;

  /// The files that are there: for a name that ends in '/', all below it, else the file of that name. In no
  /// order.
  virtual std::vector<RemoteFile> list(const std::vector<std::string>& names) = 0;
  virtual void upload(std::vector<Upload>& files, const OnDone& on_done) = 0;
  virtual void download(std::vector<Download>& files, const OnDone& on_done) = 0;
};

/// Makes no connection yet. `jobs` is how many transfers there may be at a time, 0 for a number that suits
/// the kind.
std::unique_ptr<Remote> open_remote(const RemoteAddress& address, int jobs = 0);

std::string object_name(const util::Digest& digest);
std::string run_name(const std::string& run_id);

}  // namespace mlops::store
