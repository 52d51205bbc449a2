#include "dvc/lock_writer.hpp"

#include <mlops/error.hpp>

#include "dvc/yaml_writer.hpp"
#include "pipeline/dvc/lock.hpp"
#include "util/files.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

namespace mlops::dvc {

util::Fd hold_lock_of_dvc(const std::string& path) {
  util::Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
  for (int tries = 0; fd && tries < 200; ++tries) {
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return fd;
    ::usleep(25'000);
  }
  return fd;
}

void write_project_file(const std::string& path, const std::string& text) {
  const std::string temporary = path + ".tmp" + std::to_string(::getpid());
  struct stat st {};
  const bool there = ::stat(path.c_str(), &st) == 0;
  {
    const util::Fd fd = util::open_file(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    int error = util::write_all(fd.get(), text);
    if (error == 0 && there && ::fchmod(fd.get(), st.st_mode & 07777) != 0) error = errno;
    if (error == 0 && ::fsync(fd.get()) != 0) error = errno;
    if (error != 0) {
      ::unlink(temporary.c_str());
      throw_errno("cannot write '" + path + "'", error);
    }
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    const int error = errno;
    ::unlink(temporary.c_str());
    throw_errno("cannot replace '" + path + "'", error);
  }
}

void LockWriter::set(const std::string& stage, OrderedJson entry, int rank) {
  changes_.insert_or_assign(stage, std::pair(std::move(entry), rank));
}

void LockWriter::read() {
  const std::string text = util::read_file_if_exists(path_).value_or("");
  if (known_ && text == text_) return;
  std::vector<Diagnostic> problems;
  const pipeline::dvc::LockFile lock = pipeline::dvc::read_lock(text, path_, problems);
  if (!problems.empty()) throw BadFile(std::move(problems));
  entries_.clear();
  for (const auto& [stage, entry] : lock.stages.items())
    entries_.push_back({stage, write_yaml_entry(stage, entry, 2)});
  rest_.clear();
  for (const auto& [key, value] : lock.rest.items()) {
    if (key != "schema") rest_ += write_yaml_entry(key, value, 0);
  }
  text_ = text;
  known_ = true;
}

void LockWriter::save() {
  if (changes_.empty()) return;
  const util::Fd held = hold_lock_of_dvc(guard_);
  read();
  for (auto& [stage, change] : changes_) {
    auto& [entry, rank] = change;
    std::string text = write_yaml_entry(stage, entry, 2);
    const auto there = std::ranges::find(entries_, stage, &Entry::stage);
    if (there != entries_.end()) {
      there->text = std::move(text);
      continue;
    }
    // Before the first new one that DVC would have run later.
    const auto later = std::ranges::find_if(entries_, [&, order = change.second](const Entry& other) {
      const auto found = appended_.find(other.stage);
      return found != appended_.end() && found->second > order;
    });
    entries_.insert(later, {stage, std::move(text)});
    appended_.emplace(stage, rank);
  }
  changes_.clear();
  std::string text = "schema: '2.0'\n";
  if (!entries_.empty()) text += "stages:\n";
  for (const Entry& entry : entries_) text += entry.text;
  text += rest_;
  if (text == text_) return;
  write_project_file(path_, text);
  text_ = std::move(text);
}

}  // namespace mlops::dvc
