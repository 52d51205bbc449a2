#include <mlops/pipeline.hpp>
#include <mlops/workspace.hpp>

#include "cli/context.hpp"
#include "cli/output.hpp"
#include "util/files.hpp"

#include <cstdio>

namespace mlops::cli {

namespace {

constexpr const char* starter = R"yaml(# yaml-language-server: $schema=.mlops/pipeline.schema.json
# A first pipeline. `mlops run pipeline.yaml` runs it; docs/pipeline-file.md explains every key.
name: starter
params:
  rows: 200
  largest_error: 60

steps:
  ingest:
    kind: ingest
    run: |
      mkdir -p data
      seq 1 ${params.rows} > data/raw.txt
      echo "rows=$(wc -l < data/raw.txt)" >> "$MLOPS_OUTPUT"
    outputs: [data/raw.txt]

  train:                       # reads what ingest makes, so it runs after it
    kind: train
    run: |
      mkdir -p models
      awk '{ sum += $1 } END { print sum / NR }' data/raw.txt > models/mean.txt
      echo "trained on "${steps.ingest.outputs.rows}" rows"
    inputs: [data/raw.txt]
    outputs: [{path: models/mean.txt, kind: model}]

  evaluate:
    kind: evaluate
    run: |
      awk -v mean="$(cat models/mean.txt)" '{ d = $1 - mean; sum += d < 0 ? -d : d }
        END { printf "{\"error\": %s}\n", sum / NR }' data/raw.txt > metrics.json
    inputs: [models/mean.txt, data/raw.txt]
    metrics: [metrics.json]

  deploy:
    kind: deploy
    when: steps.evaluate.metrics.error <= params.largest_error
    run: cp models/mean.txt current
    inputs: [models/mean.txt]
    outputs: [current]
)yaml";

struct InitOptions {
  std::string directory = ".";
  bool force = false;
  bool json = false;
};

void init(const InitOptions& options) {
  util::make_directories(options.directory);
  const Workspace workspace = Workspace::create(options.directory);
  std::vector<std::string> made, kept;
  const auto write = [&](const std::string& path, const std::string& text, bool always) {
    if (util::exists(path) && !always) {
      kept.push_back(workspace.relative(path));
    } else {
      util::write_file_atomically(path, text);  // after a crash there is all of it or nothing
      made.push_back(workspace.relative(path));
    }
  };
  write(workspace.state_directory() + "/pipeline.schema.json", pipeline_schema().dump(2) + "\n", true);
  write(workspace.root() + "/pipeline.yaml", starter, options.force);
  if (options.json) {
    return print_json({{"workspace", workspace.root()}, {"made", made}, {"kept", kept}});
  }
  std::printf("workspace: %s\n", workspace.root().c_str());
  for (const std::string& path : made) std::printf("  made %s\n", path.c_str());
  for (const std::string& path : kept) std::printf("  kept %s (--force replaces it)\n", path.c_str());
  const std::string place = options.directory == "." ? "" : options.directory + "/";
  std::printf("next: mlops run %spipeline.yaml\n", place.c_str());
}

}  // namespace

void set_up_init(CLI::App& app, Context& context) {
  (void)context;
  auto options = std::make_shared<InitOptions>();
  app.add_option("DIR", options->directory, "where (default: here)");
  app.add_flag("--force", options->force, "replace an existing pipeline.yaml");
  app.add_flag("--json", options->json, "print JSON");
  app.footer("Asks nothing and keeps files that exist.\nExamples:\n  mlops init\n  mlops init churn");
  app.callback([options] { init(*options); });
}

}  // namespace mlops::cli
