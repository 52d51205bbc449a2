#include "workspace/secrets.hpp"

#include "process/capture.hpp"
#include "util/files.hpp"

#include <sys/resource.h>

#include <cstdlib>
#include <filesystem>
#include <optional>

namespace mlops::workspace {

namespace {
constexpr std::size_t most_secret_bytes = 1 << 20;
}

std::string secret_value(const Secret& secret, const std::string& directory) {
  // This process is going to hold it: a core of it would, too.
  rlimit core{};
  ::getrlimit(RLIMIT_CORE, &core);
  core.rlim_cur = 0;
  ::setrlimit(RLIMIT_CORE, &core);
  const std::string what = "cannot get secret '" + secret.name + "'";
  std::string value;
  switch (secret.source) {
    case Secret::Source::env: {
      const char* text = std::getenv(secret.from[0].c_str());
      if (!text) {
        throw Error(ExitCode::usage, what + ": the environment variable " + secret.from[0] + " is not set",
                    "set it, or let the secret come from a file or a command (see docs/pipeline-file.md)");
      }
      value = text;
      break;
    }
    case Secret::Source::file: {
      const std::filesystem::path path = std::filesystem::path(directory) / secret.from[0];
      std::optional<std::string> text;
      try {
        text = util::read_regular_file(path.string(), most_secret_bytes);
      } catch (const Error& error) {
        throw Error(error.code(), what + ": " + error.what(), error.hint());
      }
      if (!text) throw Error(ExitCode::usage, what + ": there is no file '" + secret.from[0] + "'");
      value = *text;
      break;
    }
    case Secret::Source::command: {
      process::Captured got = process::capture(secret.from, directory, 30'000);
      if (got.code != 0) {
        throw Error(ExitCode::usage,
                    what + ": '" + secret.from[0] + "' " +
                        (got.error.empty() ? "ended with exit code " + std::to_string(got.code) : got.error));
      }
      value = std::move(got.out);
      break;
    }
  }
  if (secret.source != Secret::Source::env) {
    while (!value.empty() && (value.back() == '\n' || value.back() == '\r')) value.pop_back();
  }
  if (value.find('\0') != value.npos) throw Error(ExitCode::usage, what + ": it holds a NUL byte");
  return value;
}

}  // namespace mlops::workspace
