#include "engine/aside.hpp"

#include <mlops/error.hpp>

#include "engine/collect.hpp"
#include "pipeline/paths.hpp"
#include "process/step_log.hpp"
#include "util/files.hpp"
#include "util/log.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>

namespace mlops::engine {

namespace {

namespace fs = std::filesystem;

bool is_there(const std::string& path) {
  struct stat st {};
  return ::lstat(path.c_str(), &st) == 0;
}

bool holds(const std::string& folder, const std::string& path) {
  return path == folder || pipeline::lies_in(path, folder);
}

void remove(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) throw Error(ExitCode::io, "cannot remove '" + path + "': " + error.message());
}

std::string place_of(const std::string& directory, std::size_t index) {
  return directory + "/" + std::to_string(index);
}

}  // namespace

std::vector<std::string> paths_to_set_aside(const Pipeline& pipeline, const Step& step,
                                            const std::string& state_directory) {
  const std::string directory = step_directory(pipeline, step);
  std::vector<std::string> paths;
  const auto add = [&](const std::string& written) {
    const std::string path = step_path(directory, written);
    bool whole = !holds(path, directory) && !holds(path, state_directory) &&
                 !holds(path, util::absolute_path(pipeline.file));
    for (const std::string& input : step.inputs) whole = whole && !holds(path, step_path(directory, input));
    for (const std::string& file : step.code) whole = whole && !holds(path, step_path(directory, file));
    if (whole && std::ranges::find(paths, path) == paths.end()) paths.push_back(path);
  };
  for (const Output& output : step.outputs) {
    if (!output.persist) add(output.path);
  }
  for (const std::string& file : step.metrics) add(file);
  return paths;
}

std::vector<std::string> paths_left_in_place(const Pipeline& pipeline, const Step& step,
                                             const std::string& state_directory) {
  const std::vector<std::string> moved = paths_to_set_aside(pipeline, step, state_directory);
  const std::string directory = step_directory(pipeline, step);
  std::vector<std::string> paths;
  for (const Output& output : step.outputs) {
    const std::string path = step_path(directory, output.path);
    if (std::ranges::find(moved, path) == moved.end()) paths.push_back(path);
  }
  return paths;
}

std::string aside_directory(const std::string& run_directory, const std::string& step) {
  return run_directory + "/aside/" + process::file_stem(step);
}

void set_aside(const std::string& directory, const std::vector<std::string>& paths, bool make_folders) {
  const bool again = is_there(directory);
  for (std::size_t i = 0; i < paths.size(); ++i) {
    if (make_folders) util::make_directories(fs::path(paths[i]).parent_path().string(), 0777);
    if (!is_there(paths[i])) continue;
    util::make_directories(directory);
    const std::string place = again ? directory + "/rejected" : place_of(directory, i);
    if (again && is_there(place)) remove(place);
    if (::rename(paths[i].c_str(), place.c_str()) == 0) {
      if (again) remove(place);
      continue;
    }
    // On another file system it stays where it is: the step will find it, as it would without us.
    if (errno != EXDEV) throw_errno("cannot set '" + paths[i] + "' aside", errno);
    util::log_debug("'" + paths[i] + "' lies on another file system and is not set aside");
  }
  // An attempt before must be told from none, also where there was nothing to set aside.
  util::make_directories(directory);
}

void bring_back(const std::string& directory, const std::vector<std::string>& paths) {
  if (!is_there(directory)) return;
  for (std::size_t i = 0; i < paths.size(); ++i) {
    const std::string old = place_of(directory, i);
    if (!is_there(old)) continue;
    remove(paths[i]);
    util::make_directories(fs::path(paths[i]).parent_path().string(), 0777);
    if (::rename(old.c_str(), paths[i].c_str()) != 0)
      throw_errno("cannot bring back '" + paths[i] + "'", errno);
  }
  remove(directory);
}

void drop_aside(const std::string& directory) {
  if (is_there(directory)) remove(directory);
}

}  // namespace mlops::engine
