#include <mlops/plan.hpp>

#include "util/strings.hpp"

#include <algorithm>
#include <unordered_map>

namespace mlops {

namespace {

class Names {
 public:
  explicit Names(const Pipeline& pipeline) {
    for (std::size_t i = 0; i < pipeline.steps.size(); ++i) {
      const Step& step = pipeline.steps[i];
      by_name_[step.name].push_back(static_cast<int>(i));
      if (step.base != step.name) by_name_[step.base].push_back(static_cast<int>(i));
      known_.push_back(step.name);
    }
  }

  std::vector<int> find(const std::vector<std::string>& wanted, const char* option) const {
    std::vector<int> steps;
    for (const std::string& name : wanted) {
      const auto it = by_name_.find(name);
      if (it == by_name_.end()) {
        throw Error(ExitCode::usage, std::string("unknown step '") + name + "' in " + option,
                    util::did_you_mean(name, known_));
      }
      steps.insert(steps.end(), it->second.begin(), it->second.end());
    }
    return steps;
  }

 private:
  std::unordered_map<std::string, std::vector<int>> by_name_;
  std::vector<std::string> known_;
};

// Marks `start` and everything that can be reached from there.
void mark(std::vector<char>& marks, std::vector<int> start, const std::vector<std::vector<int>>& edges) {
  while (!start.empty()) {
    const int step = start.back();
    start.pop_back();
    char& seen = marks[static_cast<std::size_t>(step)];
    if (seen) continue;
    seen = 1;
    const auto& next = edges[static_cast<std::size_t>(step)];
    start.insert(start.end(), next.begin(), next.end());
  }
}

}  // namespace

void require_steps(const Pipeline& pipeline, const std::vector<std::string>& names, const char* option) {
  if (!names.empty()) Names(pipeline).find(names, option);
}

Plan make_plan(const Pipeline& pipeline, const Graph& graph, const Selection& selection) {
  const Names names(pipeline);
  const std::size_t count = pipeline.steps.size();
  std::vector<char> only(count), from(count), until(count), skip(count);
  for (const int step : names.find(selection.only, "--only")) only[static_cast<std::size_t>(step)] = 1;
  for (const int step : names.find(selection.skip, "--skip")) skip[static_cast<std::size_t>(step)] = 1;
  mark(from, names.find(selection.from, "--from"), graph.feeds);
  mark(until, names.find(selection.until, "--until"), graph.needs);

  Plan plan;
  for (const int step : graph.order) {
    const auto i = static_cast<std::size_t>(step);
    PlannedStep planned{step, true, ""};
    if (!selection.only.empty() && !only[i]) planned.reason = "not in --only";
    if (!selection.from.empty() && !from[i])
      planned.reason = "before --from " + util::join(selection.from, ", ");
    if (!selection.until.empty() && !until[i])
      planned.reason = "not needed for --until " + util::join(selection.until, ", ");
    if (skip[i]) planned.reason = "in --skip";
    planned.selected = planned.reason.empty();
    plan.steps.push_back(std::move(planned));
  }
  const bool any = std::any_of(plan.steps.begin(), plan.steps.end(),
                               [](const PlannedStep& step) { return step.selected; });
  if (!any && !pipeline.steps.empty())
    throw Error(ExitCode::usage, "the selection leaves nothing to run",
                "see --only, --from, --until and --skip");
  return plan;
}

}  // namespace mlops
