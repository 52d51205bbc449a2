#include "dvc/read_write_lock.hpp"

#include "dvc/lock_writer.hpp"
#include "pipeline/paths.hpp"
#include "util/files.hpp"
#include "util/log.hpp"
#include "util/strings.hpp"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <utility>

namespace mlops::dvc {

namespace {

using nlohmann::json;
using pipeline::lies_in;

constexpr const char* our_commands = "mlops run ";

bool overlap(const std::string& a, const std::string& b) { return a == b || lies_in(a, b) || lies_in(b, a); }

// As DVC has it: who may not be signalled lives too.
bool exists(pid_t pid) { return pid > 0 && (::kill(pid, 0) == 0 || errno == EPERM); }

pid_t parent_of(pid_t pid) {
  const auto status = util::read_file_if_exists("/proc/" + std::to_string(pid) + "/status");
  const std::size_t at = status ? status->find("\nPPid:") : std::string::npos;
  return at == std::string::npos ? 0 : static_cast<pid_t>(std::atoi(status->c_str() + at + 6));
}

std::set<pid_t> ancestors() {
  std::set<pid_t> found;
  for (pid_t pid = ::getppid(); pid > 1 && found.insert(pid).second;) pid = parent_of(pid);
  return found;
}

bool is_info(const json& info) {
  return info.is_object() && info.contains("pid") && info["pid"].is_number_integer() &&
         info.contains("cmd") && info["cmd"].is_string();
}

// An entry of "write" is one process, one of "read" a list of them.
json processes_of(const json& entry) { return entry.is_array() ? entry : json::array({entry}); }

}  // namespace

Access access_of(const DvcStage& stage, const std::string& directory) {
  using pipeline::absolute_path;
  Access access;
  for (const std::string& dep : stage.deps) access.reads.push_back(absolute_path(directory, dep));
  for (const DvcParams& params : stage.params) access.reads.push_back(absolute_path(directory, params.path));
  for (const DvcOut& out : stage.outs) access.writes.push_back(absolute_path(directory, out.path));
  return access;
}

ReadWriteLock::ReadWriteLock(std::string directory, pid_t pid, std::string command)
    : directory_(std::move(directory)),
      path_(directory_ + "/rwlock"),
      own_({{"pid", pid}, {"cmd", our_commands + command}}),
      pid_(pid) {}

ReadWriteLock::~ReadWriteLock() {
  try {
    if (held_.empty()) return;
    held_.clear();
    const util::Fd guard = hold_lock_of_dvc(path_ + ".lock");
    write_own(read());
  } catch (const std::exception& error) {
    util::log_debug(std::string("DVC's list of who is at what still has this run: ") + error.what());
  }
}

json ReadWriteLock::read() const {
  const std::string text = util::read_file_if_exists(path_).value_or("{}");
  json list = json::parse(text, nullptr, false);
  bool good = list.is_object();
  for (const char* kind : {"read", "write"}) {
    if (!good || !list.contains(kind)) continue;
    good = list[kind].is_object();
    for (const json& entry : good ? list[kind] : json::object()) {
      for (const json& info : processes_of(entry)) good = good && is_info(info);
    }
  }
  if (good) return list;
  throw UnknownUse(ExitCode::io,
                   "cannot read '" + path_ +
                       "', in which DVC keeps who reads and writes what; if no dvc command runs, "
                       "remove it");
}

// Takes out what we had entered and enters what is held now.
void ReadWriteLock::write_own(json list) const {
  json next = {{"write", json::object()}, {"read", json::object()}};
  for (const char* kind : {"write", "read"}) {
    if (!list.contains(kind)) continue;
    for (const auto& [path, entry] : list[kind].items()) {
      json others = processes_of(entry);
      std::erase(others.get_ref<json::array_t&>(), own_);
      if (!others.empty()) next[kind][path] = entry.is_array() ? others : others[0];
    }
  }
  for (const auto& [stage, access] : held_) {
    for (const std::string& path : access.writes) next["write"][path] = own_;
    for (const std::string& path : access.reads) {
      json& readers = next["read"][path];
      if (std::ranges::find(readers, own_) == readers.end()) readers.push_back(own_);
    }
  }
  // In place, as DVC does: others wait at the guard.
  util::write_file(path_, next.dump(-1, ' ', false, json::error_handler_t::replace));
}

std::optional<Holder> ReadWriteLock::find_blocker(const json& list, const Access& access) const {
  std::optional<std::set<pid_t>> family;
  const auto blocks = [&](const json& info) {
    const auto pid = info["pid"].get<pid_t>();
    if (info["cmd"].get_ref<const std::string&>().starts_with(our_commands) || !exists(pid)) return false;
    if (!family) family = ancestors();
    return !family->contains(pid);
  };
  for (const char* kind : {"write", "read"}) {
    if (!list.contains(kind)) continue;
    const bool writes = kind == std::string_view("write");
    for (const auto& [path, entry] : list[kind].items()) {
      const auto wanted = [&path = path](const std::string& own) { return overlap(own, path); };
      if (std::ranges::none_of(access.writes, wanted) &&
          (!writes || std::ranges::none_of(access.reads, wanted)))
        continue;
      for (const json& info : processes_of(entry)) {
        if (blocks(info)) return Holder{info["pid"].get<pid_t>(), info["cmd"], path, writes};
      }
    }
  }
  return std::nullopt;
}

std::optional<Holder> ReadWriteLock::blocker(const Access& access) const {
  // What nobody is in needs no lock to be read; DVC empties the file before it writes it.
  const auto text = util::read_file_if_exists(path_);
  if (!text || (!text->empty() && text->find("\"pid\"") == text->npos && text->back() == '}')) return {};
  const util::Fd guard = hold_lock_of_dvc(path_ + ".lock");
  return find_blocker(read(), access);
}

std::optional<Holder> ReadWriteLock::take(int stage, Access access) {
  if (pid_ == 0) return std::nullopt;
  util::make_directories(directory_, 0777);
  const util::Fd guard = hold_lock_of_dvc(path_ + ".lock");
  json list = read();
  if (auto holder = find_blocker(list, access)) return holder;
  held_.insert_or_assign(stage, std::move(access));
  write_own(std::move(list));
  return std::nullopt;
}

void ReadWriteLock::release(int stage) {
  if (held_.erase(stage) == 0) return;
  const util::Fd guard = hold_lock_of_dvc(path_ + ".lock");
  write_own(read());
}

}  // namespace mlops::dvc
