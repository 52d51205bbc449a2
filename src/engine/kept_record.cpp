#include "engine/kept_record.hpp"

#include <mlops/error.hpp>

#include "db/runs.hpp"
#include "engine/run_record.hpp"
#include "util/files.hpp"
#include "util/id.hpp"
#include "util/log.hpp"
#include "util/strings.hpp"
#include "workspace/layout.hpp"

#include <nlohmann/json.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <functional>

namespace mlops::engine {

namespace {

using Json = nlohmann::json;

constexpr std::size_t most_words = 3;

// Whole or not there for whoever looks; after a power loss perhaps empty, which its seal tells.
void put(const std::string& path, const std::string& text) {
  const std::string temporary = path + ".tmp" + std::to_string(::getpid());
  try {
    util::write_file(temporary, text);
    if (::rename(temporary.c_str(), path.c_str()) != 0) throw_errno("cannot write '" + path + "'", errno);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
}

void try_to_keep(const Workspace& workspace, const std::string& run_id,
                 const std::function<void(const std::string& directory)>& keep) {
  try {
    const std::string directory = workspace.run_directory(run_id);
    if (util::is_directory(directory)) keep(directory);
  } catch (const std::exception& error) {
    util::log_debug("run " + run_id + " has no record of its own: " + error.what());
  }
}

}  // namespace

std::optional<db::RunBundle> bundle_to_keep(db::Connection& db, const std::string& run_id) {
  return db::read_bundle(db, run_id, most_points_kept);
}

void keep_record(const Workspace& workspace, db::Connection& db, const std::string& run_id) {
  try_to_keep(workspace, run_id, [&](const std::string& directory) {
    const auto bundle = bundle_to_keep(db, run_id);
    if (!bundle || bundle->run.state == RunState::running) return;
    put(layout::in(directory, layout::record), write_run_record(*bundle));
    ::unlink(layout::in(directory, layout::basis).c_str());
  });
}

void keep_repeat(const Workspace& workspace, db::Connection& db, const std::string& run_id,
                 const std::string& basis) {
  try_to_keep(workspace, run_id, [&](const std::string& directory) {
    const auto run = db::find_run(db, run_id);
    const std::string record = layout::in(workspace.run_directory(basis), layout::record);
    const std::string link = layout::in(directory, layout::basis);
    // A file system without links, or with too many of them, takes a copy.
    if (::link(record.c_str(), link.c_str()) != 0) put(link, util::read_file(record));
    put(layout::in(directory, layout::record),
        write_repeat_record(run.value(), db::environment_of(db, run_id), basis));
  });
}

KeptRecord read_kept(const Workspace& workspace, const std::string& run_id) {
  KeptRecord kept;
  const std::string directory = workspace.run_directory(run_id);
  try {
    const auto text = util::read_regular_file(layout::in(directory, layout::record), 0);
    if (!text) return kept;
    kept.there = true;
    kept.bundle =
        read_run_record(*text, run_id, [&] { return util::read_file(layout::in(directory, layout::basis)); });
  } catch (const Error& error) {
    kept.there = true;
    kept.problem = error.what();
  }
  return kept;
}

namespace {

// What a run is, without what may change later.
Json essence(const db::RunBundle& bundle) {
  Json record = Json::parse(write_run_record(bundle)).at("record");
  record.erase("tags");
  record.erase("cache");
  for (Json& artifact : record["artifacts"]) artifact.erase("kind");
  for (Json& step : record["steps"]) {
    step.erase("source_run");
    step.erase("source_step");
  }
  return record;
}

std::string cell(const Json& value) {
  constexpr std::size_t longest = 60;
  if (!value.is_string()) return value.dump(-1, ' ', false, Json::error_handler_t::replace);
  const std::string text = util::escape_controls(value.get<std::string>());
  return "'" + (text.size() > longest ? util::to_utf8(text.substr(0, longest)) + "…" : text) + "'";
}

void compare(const std::string& what, const Json& rows, const Json& kept, std::vector<std::string>& words) {
  if (rows == kept || words.size() >= most_words) return;
  if (rows.is_object() && kept.is_object()) {
    for (const auto& [key, value] : kept.items())
      compare(what + " " + key, rows.value(key, Json()), value, words);
    if (words.empty()) words.push_back(what + " has more than it should");
  } else if (rows.is_array() && kept.is_array() && rows.size() == kept.size()) {
    for (std::size_t i = 0; i < kept.size(); ++i) compare(what, rows[i], kept[i], words);
  } else if (rows.is_array() && kept.is_array()) {
    words.push_back(what + ": " + std::to_string(rows.size()) + " instead of " + std::to_string(kept.size()));
  } else {
    words.push_back(what + " is " + cell(rows) + " instead of " + cell(kept));
  }
}

}  // namespace

std::string difference(const db::RunBundle& rows, const db::RunBundle& kept) {
  const Json left = essence(rows), right = essence(kept);
  std::vector<std::string> words;
  for (const auto& [key, value] : right.items()) compare(key, left.at(key), value, words);
  return util::join(words, "; ");
}

void note_removal(const Workspace& workspace, const std::vector<std::string>& run_ids) {
  const std::string path = layout::in(workspace.state_directory(), layout::removed);
  const bool fresh = !util::exists(path);
  const util::Fd fd = util::open_file(path, O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK);
  std::string lines;
  for (const std::string& id : run_ids) lines += id + "\n";
  if (const int error = util::write_all(fd.get(), lines)) throw_errno("cannot write '" + path + "'", error);
  if (::fdatasync(fd.get()) != 0) throw_errno("cannot write '" + path + "' to disk", errno);
  if (fresh) util::sync_directory(workspace.state_directory());
}

std::set<std::string> removed_runs(const Workspace& workspace) {
  std::set<std::string> ids;
  const auto text =
      util::read_regular_file(layout::in(workspace.state_directory(), layout::removed), 0).value_or("");
  for (std::string& line : util::split(text, '\n')) {
    if (util::is_id(line)) ids.insert(std::move(line));
  }
  return ids;
}

}  // namespace mlops::engine
