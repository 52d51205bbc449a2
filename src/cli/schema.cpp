#include <mlops/pipeline.hpp>

#include "cli/context.hpp"
#include "cli/output.hpp"

namespace mlops::cli {

void set_up_schema(CLI::App& app, Context& context) {
  (void)context;
  app.footer(
      "An editor with a YAML language server checks and completes a file that begins with\n"
      "  # yaml-language-server: $schema=.mlops/pipeline.schema.json\n"
      "`mlops init` writes both.\n"
      "Examples:\n  mlops schema > pipeline.schema.json");
  app.callback([] { print_json(pipeline_schema()); });
}

}  // namespace mlops::cli
