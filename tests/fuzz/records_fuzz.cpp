// What steps and keepers write and mlops reads back: exit records, metrics, step outputs.
#include "engine/metric_files.hpp"
#include "process/attempt.hpp"

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const auto& entry : mlops::process::parse_journal(text)) {
    // A record that was accepted is one that the keeper could have written.
    if (entry.end && mlops::process::parse_journal(mlops::process::format_end(*entry.end) + "\n").size() != 1)
      std::abort();
  }
  mlops::engine::parse_metric_lines(text);
  mlops::engine::parse_outputs(text);
  for (const char* name : {"m.json", "m.yaml", "m.csv", "m.tsv"})
    mlops::engine::parse_metrics_file(name, text);
  return 0;
}
