#include "pipeline/check.hpp"

#include "pipeline/graph.hpp"
#include "util/files.hpp"
#include "util/strings.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>
#include <unordered_map>

namespace mlops::pipeline {

namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

using Product = Products::Product;

class Checker {
 public:
  Checker(const Pipeline& pipeline, const std::vector<ReadStep>& places, Problems& problems)
      : pipeline_(pipeline), places_(places), problems_(problems), products_(pipeline) {}

  void check_products() {
    const Product* outer = nullptr;
    const Product* before = nullptr;
    for (const Product& product : products_.all()) {
      if (before && before->path == product.path) {
        if (before->step != product.step) clash(*before, product);
      } else if (outer && lies_in(product.path, outer->path)) {
        if (outer->step != product.step) clash(*outer, product);
      } else {
        outer = &product;
      }
      before = &product;
    }
  }

  void check_places(bool look_at_disk) {
    for (const Product& product : products_.all()) {
      const std::string why =
          refusal_of_output(pipeline_, absolute_path(pipeline_.directory, product.path), look_at_disk);
      if (why.empty()) continue;
      problems_.add(place(product),
                    "step '" + name(product.step) + "' cannot make '" + product.path + "': it " + why,
                    hint_for_refused_output);
    }
  }

  void check_inputs() {
    std::unordered_map<std::string, bool> exists;
    for (std::size_t i = 0; i < pipeline_.steps.size(); ++i) {
      const Step& step = pipeline_.steps[i];
      for (std::size_t k = 0; k < step.inputs.size(); ++k) {
        const std::string path = normal_path(pipeline_.directory, step.workdir, step.inputs[k]);
        const std::string on_disk = path_on_disk(pipeline_.directory, path);
        const auto [known, is_new] = exists.emplace(path, false);
        if (is_new) known->second = util::exists(on_disk);
        if (known->second) continue;
        // For no slot nobody knows which file it is.
        if (!pipeline_.slot && pipeline_.uses_slot && step.inputs[k].find("${slot.") != std::string::npos)
          continue;
        const auto makers = products_.touching(path);
        const bool made = std::ranges::any_of(makers, [&](const Product* p) { return at(p->step) != i; });
        if (made) continue;
        problems_.add(
            places_[i].inputs[k],
            "input '" + step.inputs[k] + "' does not exist and no step makes it (looked for " + on_disk + ")",
            hint_for(step, step.inputs[k], !makers.empty()));
      }
    }
  }

  void check_cycles() {
    const auto edges = find_edges(pipeline_, products_);
    if (!edges) {
      problems_.add({}, "the steps wait for each other in more than 2,000,000 ways",
                    "let the many steps need one step in between");
      return;
    }
    const auto cycles = find_cycles(static_cast<int>(pipeline_.steps.size()), *edges, 10);
    for (const std::vector<int>& cycle : cycles) report(cycle, *edges);
  }

 private:
  const std::string& name(int step) const { return pipeline_.steps[at(step)].name; }

  Location place(const Product& product) const {
    const ReadStep& read = places_[at(product.step)];
    const std::size_t outputs = read.outputs.size();
    return at(product.place) < outputs ? read.outputs[at(product.place)]
                                       : read.metrics[at(product.place) - outputs];
  }

  void clash(const Product& one, const Product& two) {
    const bool later = place(one).line > place(two).line;
    const Product& first = later ? two : one;
    const Product& second = later ? one : two;
    const std::string where =
        "step '" + name(first.step) + "' (line " + std::to_string(place(first).line) + ")";
    if (first.path == second.path) {
      problems_.add(
          place(second),
          "step '" + name(second.step) + "' makes '" + second.path + "', which " + where + " makes too",
          pipeline_.steps[at(first.step)].base == pipeline_.steps[at(second.step)].base
              ? "put what differs into the path, such as ${item} or ${matrix.NAME}"
              : "every file is made by one step");
      return;
    }
    const bool inside = lies_in(second.path, first.path);
    problems_.add(place(second),
                  "step '" + name(second.step) + "' makes '" + second.path + "', which " +
                      (inside ? "lies in '" : "contains '") + first.path + "' of " + where,
                  "every file is made by one step");
  }

  std::string hint_for(const Step& step, const std::string& input, bool makes_it_itself) {
    if (makes_it_itself) return "the step makes it itself, but would need it before";
    if (input.find_first_of("*?") != input.npos)
      return "patterns are not expanded: name the folder or each file";
    if (problems_.many()) return {};
    std::vector<std::string> candidates;
    for (const Product& product : products_.all()) candidates.push_back(product.path);
    const std::string near = util::closest(normal_path(pipeline_.directory, step.workdir, input), candidates);
    if (!near.empty()) return "did you mean '" + near + "'?";
    return "create it, correct the path, or list it under 'outputs' of the step that makes it";
  }

  void report(const std::vector<int>& cycle, const std::vector<Edge>& edges) {
    std::unordered_map<int, std::pair<int, std::string>> why;  // by waiting step: its place in the cycle
    for (std::size_t i = 0; i < cycle.size(); ++i) why[cycle[(i + 1) % cycle.size()]] = {cycle[i], {}};
    for (const Edge& edge : edges) {
      const auto found = why.find(edge.to);
      if (found != why.end() && found->second.first == edge.from && found->second.second.empty()) {
        found->second.second = reason(edge, pipeline_);
      }
    }
    std::string path;
    std::string reasons;
    const std::size_t shown = std::min<std::size_t>(cycle.size(), 12);
    for (std::size_t i = 0; i < shown; ++i) {
      const int to = cycle[(i + 1) % cycle.size()];
      path += name(cycle[i]) + " → ";
      reasons += (reasons.empty() ? "" : "; ") + name(to) + " waits for " + name(cycle[i]) + " (" +
                 why[to].second + ")";
    }
    if (shown < cycle.size()) {
      path += "… " + std::to_string(cycle.size() - shown) + " more … → ";
      reasons += "; …";
    }
    problems_.add(pipeline_.steps[at(cycle[0])].at,
                  "steps wait for each other in a circle: " + path + name(cycle[0]), reasons);
  }

  const Pipeline& pipeline_;
  const std::vector<ReadStep>& places_;
  Problems& problems_;
  Products products_;
};

}  // namespace

std::string refusal_of_output(const Pipeline& pipeline, const std::string& path, bool look_at_disk) {
  constexpr std::array<std::string_view, 19> of_the_system = {
      "/bin",  "/boot", "/dev", "/etc",  "/home", "/lib", "/lib64", "/media", "/mnt", "/opt",
      "/proc", "/root", "/run", "/sbin", "/srv",  "/sys", "/tmp",   "/usr",   "/var"};
  if (path == "/") return "is all there is";
  if (path == pipeline.directory) return "is the directory of this file";
  if (lies_in(pipeline.directory, path)) return "holds the directory of this file";
  if (path == path_on_disk(pipeline.directory, std::filesystem::path(pipeline.file).filename().string()))
    return "is this file";
  // A reproduced run has its own workspace among the records of another: what counts is the way from here.
  const auto [here, there] = std::ranges::mismatch(pipeline.directory, path);
  const std::size_t fork = path.rfind('/', static_cast<std::size_t>(there - path.begin()));
  if ((path.substr(fork) + "/").find("/.mlops/") != path.npos) return "lies in the records of a workspace";
  // DVC takes any directory as an output that it does not cache.
  if (!pipeline.dvc && std::ranges::find(of_the_system, path) != of_the_system.end())
    return "belongs to the system";
  if (look_at_disk && util::exists(path + "/.mlops")) return "holds the records of a workspace";
  return {};
}

void check(const Pipeline& pipeline, const std::vector<ReadStep>& places, bool files, Problems& problems) {
  Checker checker(pipeline, places, problems);
  checker.check_products();
  checker.check_places(files);
  if (files) checker.check_inputs();
  checker.check_cycles();
}

}  // namespace mlops::pipeline
