// The directory of a run that is about to be recorded.
#pragma once

#include "db/database.hpp"
#include "db/runs.hpp"
#include "util/files.hpp"
#include "util/log.hpp"

#include <exception>
#include <filesystem>
#include <string>
#include <utility>

namespace mlops::engine {

/// Made before the directory is: when an exception comes, as on a full disk, and the run is not on record, it
/// deletes the directory. One that was there already stays. Must outlive the transaction that records the
/// run.
class NewDirectory {
 public:
  NewDirectory(std::string path, db::Database& database, std::string id)
      : path_(std::move(path)), database_(database), id_(std::move(id)), ours_(!util::exists(path_)) {}
  NewDirectory(const NewDirectory&) = delete;
  NewDirectory& operator=(const NewDirectory&) = delete;
  ~NewDirectory() {
    if (!ours_ || std::uncaught_exceptions() == exceptions_) return;
    try {
      if (!db::run_exists(database_.connection(), id_)) std::filesystem::remove_all(path_);
    } catch (const std::exception& error) {
      // What cannot be asked or deleted stays, and `mlops fsck` tells of it.
      util::log_debug(error.what());
    }
  }

 private:
  std::string path_;
  db::Database& database_;
  std::string id_;
  bool ours_;
  int exceptions_ = std::uncaught_exceptions();
};

}  // namespace mlops::engine
