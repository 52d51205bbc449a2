// The text of a pipeline file, from what the user named.
#pragma once

#include <string>

namespace mlops::pipeline {

/// Reads only what can be read to its end: regular files and, deliberately, a pipe that this process was
/// handed and that is named by its descriptor (/dev/stdin, /dev/fd/3, as shells write `<(command)`). Anything
/// else is refused without being opened: a FIFO without a writer or a terminal would hold up the program.
/// Throws BadFile with what is wrong with the file, Error(io) when reading fails.
std::string read_source(const std::string& path);

/// Throws Error(usage) if `path` names what cannot be read again later: a descriptor, a pipe, a directory.
void require_lasting(const std::string& path);

/// The directory that paths in the file are relative to: its own, or the working directory for a descriptor.
std::string directory_of_source(const std::string& path);

/// The name of the file as messages show it.
std::string shown_name(const std::string& path);

}  // namespace mlops::pipeline
