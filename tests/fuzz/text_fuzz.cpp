// The small languages: references in texts and scripts, conditions, --set, durations, sizes, times.
#include <mlops/error.hpp>

#include "params/condition.hpp"
#include "params/interpolate.hpp"
#include "params/names.hpp"
#include "params/overrides.hpp"
#include "params/shell_context.hpp"
#include "util/quantity.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

using namespace mlops;
using params::Json;

namespace {

const Json kParams = Json::parse(
    R"j({"n": 3, "s": "a b'$(x)", "b": true, "none": null, "l": [1, "x", {"k": 2}], "m": {"x": {"y": 0.5}}})j");
const Json kVars = Json::parse(R"({"item": {"a": 1}, "key": "k", "matrix": {"lr": 0.1}})");

void require(bool holds) {
  if (!holds) std::abort();
}

void references(std::string_view text, const params::StepNames& names) {
  const params::Scope scope{&kParams, &kVars, "p", &names};
  for (const params::Target target : {params::Target::text, params::Target::shell}) {
    const params::Interpolated result = params::interpolate(text, scope, target);
    require(!result.pieces.empty());
    for (const params::ReferenceProblem& p : result.problems) {
      require(!p.message.empty());
      // The place that is named must be there.
      std::size_t at = text.find(p.reference);
      for (int i = 0; i < p.occurrence && at != text.npos; ++i) at = text.find(p.reference, at + 1);
      require(at != text.npos);
    }
  }
  params::referenced_value(text, scope);
  params::ShellScanner scanner(text);
  for (std::size_t at = 0; at <= text.size(); at += 3) scanner.at(at);
}

void condition(std::string_view text, const params::StepNames& names) {
  std::vector<params::ConditionProblem> problems;
  const params::Condition parsed = params::parse_condition(text, {&kParams, &kVars, &names}, problems);
  for (const params::ConditionProblem& p : problems)
    require(p.column >= 1 && p.column <= static_cast<int>(text.size()) + 1);
  if (!problems.empty()) return;
  try {
    const params::Verdict verdict = params::explain(parsed, [](const params::ConditionName& name) {
      return name.step.empty() ? params::static_value(name, kParams, kVars) : Json("0.5");
    });
    require(!verdict.why.empty());
  } catch (const Error& e) {
    require(e.code() == ExitCode::usage);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  params::StepNames names;
  for (const char* name : {"a", "a.b", "train"}) names.add(name, name);
  for (const char* name : {"fit@1", "fit@2"}) names.add(name, "fit");
  references(text, names);
  condition(text, names);

  Json changed = kParams;
  const auto refused = params::apply_override(changed, std::string(text));
  require(refused ? changed == kParams && !refused->message.empty() : changed.is_object());
  changed.dump();  // what was taken can be handed on as JSON

  if (const auto duration = util::parse_duration(text))
    require(duration->count() >= 0 && !util::format_duration(*duration).empty());
  if (const auto bytes = util::parse_size(text)) require(!util::format_size(*bytes).empty());
  if (const auto time = util::parse_utc(text)) require(util::parse_utc(util::format_utc(*time)) == time);
  require(util::is_utf8(util::to_utf8(text)));
  return 0;
}
