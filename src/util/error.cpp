#include <mlops/error.hpp>
#include <mlops/version.hpp>

#include <cerrno>
#include <system_error>

namespace mlops {

const char* version() { return MLOPS_VERSION; }

void throw_errno(const std::string& attempt, int error) {
  const char* hint = "";
  switch (error) {
    case ENOSPC:
    case EDQUOT: hint = "free some space and try again; what was recorded so far is kept"; break;
    case EROFS:
      hint = "this file system is read-only: only commands that look (runs, show, logs, sql) work here";
      break;
    case EACCES:
    case EPERM: hint = "it may belong to another user: see who owns it with `ls -ld`"; break;
    case EMFILE:
    case ENFILE:
      hint = "too many files are open: raise the limit (ulimit -n) or run fewer steps at a time (--jobs)";
      break;
    default: break;
  }
  throw Error(ExitCode::io, attempt + ": " + std::generic_category().message(error), hint);
}

std::string to_string(const Diagnostic& d) {
  std::string text = d.file;
  if (d.at.line) text += ":" + std::to_string(d.at.line) + ":" + std::to_string(d.at.column);
  text += ": " + d.message;
  if (!d.hint.empty()) text += "\n    " + d.hint;
  return text;
}

namespace {
std::string summary(const std::vector<Diagnostic>& problems) {
  std::string text;
  for (const Diagnostic& d : problems) text += (text.empty() ? "" : "\n") + to_string(d);
  return text;
}
}  // namespace

BadFile::BadFile(std::vector<Diagnostic> problems)
    : Error(ExitCode::usage, summary(problems)), problems_(std::move(problems)) {}

}  // namespace mlops
