// A DVC project: dvc.yaml, dvc.lock, .dvc files and files of params, which may be of any text. Lines of "%%"
// part them.
#include <mlops/pipeline.hpp>

#include "pipeline/dvc/lock.hpp"
#include "pipeline/dvc/params_file.hpp"
#include "util/strings.hpp"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

using namespace mlops;

namespace {

void require(bool holds, int line = __builtin_LINE()) {
  if (holds) return;
  std::fprintf(stderr, "line %d does not hold\n", line);
  std::abort();
}

void check(const std::vector<Diagnostic>& problems) {
  for (const Diagnostic& d : problems)
    require(!d.message.empty() && util::is_utf8(d.message) && util::is_utf8(d.hint));
}

/// An empty project: what is read comes from the input, but that it is one is asked of the disk.
struct Project {
  Project() {
    char path[] = "/tmp/mlops-fuzz-XXXXXX";
    require(::mkdtemp(path) != nullptr);
    root = path;
    std::filesystem::create_directory(root + "/.dvc");
  }
  ~Project() { std::filesystem::remove_all(root); }
  std::string root;
};

void load(const std::string& root, const std::map<std::string, std::string>& sources) {
  Pipeline pipeline;
  try {
    LoadOptions options;
    options.check_files = false;
    options.sources = &sources;
    pipeline = parse_pipeline(sources.at(root + "/dvc.yaml"), root + "/dvc.yaml", options);
  } catch (const BadFile& bad) {
    require(!bad.problems().empty());
    return check(bad.problems());
  }
  require(pipeline.dvc && pipeline.dvc->stages.size() == pipeline.steps.size());
  require(make_graph(pipeline).order.size() == pipeline.steps.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Project project;
  const std::string text(reinterpret_cast<const char*>(data), size);
  std::map<std::string, std::string> sources;
  std::size_t at = 0;
  for (const char* name : {"dvc.yaml", "params.yaml", "dvc.lock", "data.dvc", "params.toml", "params.py"}) {
    const std::size_t end = std::min(text.find("\n%%\n", at), text.size());
    sources[project.root + "/" + name] = text.substr(at, end - at);
    at = end == text.size() ? end : end + 4;
  }
  load(project.root, sources);
  std::vector<Diagnostic> problems;
  pipeline::dvc::read_lock(text, "dvc.lock", problems);
  pipeline::dvc::read_tracked(text, project.root + "/data.dvc", "data.dvc", problems);
  check(problems);
  for (const char* name : {"p.yaml", "p.json", "p.toml", "p.py"}) {
    try {
      pipeline::dvc::parse_params(text, name);
    } catch (const BadFile& bad) {
      check(bad.problems());
    }
  }
  return 0;
}
