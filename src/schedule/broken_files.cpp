#include "schedule/broken_files.hpp"

#include <mlops/pipeline.hpp>

#include "db/slots.hpp"
#include "db/triggers.hpp"
#include "schedule/known.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <string_view>
#include <utility>

namespace mlops::schedule {

namespace {

// What the ledger knows of one file.
struct Account {
  std::string pipeline, problem;
  bool served = false;
  std::vector<std::int64_t> schedules;
};

constexpr std::string_view cannot_read = "its file cannot be read: ", is_called = "its pipeline is called '";

// A trigger may also be unable to look by itself.
bool is_of_file(const std::string& problem) {
  return problem.starts_with(cannot_read) || problem.starts_with(is_called);
}

std::map<std::string, Account> accounts(db::Connection& connection) {
  std::map<std::string, Account> files;
  const auto add = [&](const auto& record) -> Account& {
    Account& account = files[record.file];
    account.pipeline = record.pipeline;
    account.served = account.served || record.served;
    return account;
  };
  for (const ScheduleRecord& record : db::schedules(connection))
    if (!record.removed_at) {
      Account& account = add(record);
      account.schedules.push_back(record.id);
      if (account.problem.empty()) account.problem = record.problem;
    }
  for (const TriggerRecord& record : db::triggers(connection))
    if (!record.removed_at) {
      Account& account = add(record);
      if (account.problem.empty() && is_of_file(record.problem)) account.problem = record.problem;
    }
  return files;
}

std::string problem_of(const Workspace& workspace, db::Connection& connection, const std::string& path,
                       const Account& account) {
  try {
    const Pipeline pipeline = load_pipeline(path, {.overrides = {}, .check_files = false});
    pipeline::Zones zones;
    timetables(pipeline, zones);
    if (account.served && !account.problem.empty() && namesake(workspace, connection, pipeline))
      return account.problem;
    return {};
  } catch (const std::exception& error) {
    return unreadable(error);
  }
}

// Whatever is wrong with it, it has been so since it was last changed, or since less.
std::optional<Instant> last_change(const std::string& path) {
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0) return std::nullopt;
  return Instant(std::chrono::seconds(st.st_ctim.tv_sec));
}

// The first line of a reason, without whose it is and where in the file, which is told relative to wherever
// its writer stood.
std::string core_of(std::string_view reason) {
  reason = reason.substr(0, reason.find('\n'));
  if (reason.starts_with(cannot_read)) reason.remove_prefix(cannot_read.size());
  const std::size_t place = reason.find(": ");
  return std::string(place == reason.npos ? reason : reason.substr(place + 2));
}

// A slot that was claimed before the file was found broken has what its run said of that.
bool is_for(const std::string& reason, const std::string& problem) {
  if (reason == problem) return true;
  const std::string core = core_of(reason);
  return problem.starts_with(cannot_read) && !core.empty() && problem.find(core) != problem.npos;
}

void count_rejected(db::Connection& connection, const Account& account, BrokenFile& broken) {
  std::optional<Instant> first;
  for (const std::int64_t schedule : account.schedules) {
    for (const SlotRecord& slot :
         db::list_slots(connection, {.schedule = schedule, .since = {}, .outcome = SlotOutcome::rejected})) {
      if (!is_for(slot.reason, broken.problem) || (broken.since && slot.decided_at < *broken.since)) continue;
      broken.rejected += slot.slots;
      first = std::min(first.value_or(slot.decided_at), slot.decided_at);
    }
  }
  if (!broken.since) broken.since = first;
}

}  // namespace

std::string unreadable(const std::exception& error) {
  const std::string why = error.what();
  const auto* bad = dynamic_cast<const BadFile*>(&error);
  const std::size_t more = bad ? bad->problems().size() - 1 : 0;
  return std::string(cannot_read) + why.substr(0, why.find('\n')) +
         (more > 0 ? " (and " + std::to_string(more) + " more)" : "");
}

std::string same_name(const std::string& name, const std::string& other) {
  return std::string(is_called) + name + "', as that of '" + other + "' is already";
}

std::vector<BrokenFile> broken_files(const Workspace& workspace, db::Connection& connection,
                                     bool daemon_runs) {
  std::vector<BrokenFile> list;
  for (const auto& [file, account] : accounts(connection)) {
    const std::string path = (std::filesystem::path(workspace.root()) / file).string();
    const bool is_there = std::filesystem::exists(path);
    // Nobody but whoever wrote it asks for one that is run by hand: it may have been deleted on purpose.
    if (!account.served && !is_there) continue;
    BrokenFile broken{
        file, account.pipeline, account.problem, is_there, {}, account.served, !account.schedules.empty(), 0};
    if (!account.served || !daemon_runs) broken.problem = problem_of(workspace, connection, path, account);
    if (broken.problem.empty()) continue;
    broken.since = last_change(path);
    count_rejected(connection, account, broken);
    list.push_back(std::move(broken));
  }
  return list;
}

}  // namespace mlops::schedule
