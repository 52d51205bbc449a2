#include "plot.hpp"

#include <algorithm>
#include <functional>
#include <numeric>
#include <queue>

namespace simulation {

using namespace mlops;

namespace {

Retry random_retry(Random& random) {
  Retry retry;
  if (random.percent(55)) return retry;
  retry.times = static_cast<int>(random.pick(1, 3));
  retry.delay = Milliseconds(random.of({0, 0, 50, 1000}));
  retry.backoff = random.of({1.0, 1.0, 2.0, 10.0});
  if (random.percent(20)) retry.max_delay = Milliseconds(3000);
  if (random.percent(30)) retry.jitter = random.of({0.1, 1.0});
  if (random.percent(30)) {
    using Kind = RetryCause::Kind;
    if (random.percent(50)) retry.on.push_back({Kind::exit_code, 75});
    for (const Kind kind : {Kind::signal, Kind::timeout, Kind::no_output, Kind::lost})
      if (random.percent(30)) retry.on.push_back({kind, 0});
  }
  return retry;
}

Resources random_resources(Random& random, const engine::Capacity& capacity) {
  Resources wish;
  if (random.percent(30)) wish.cpus = random.of({0.1, 0.2, 0.5, 1.0, 2.0});
  if (random.percent(15)) wish.memory = static_cast<std::uint64_t>(random.of({100, 400, 1000}));
  if (random.percent(15))
    wish.gpus = static_cast<int>(random.pick(0, static_cast<int>(capacity.gpus.size())));
  for (const auto& [pool, size] : capacity.pools)
    if (random.percent(25)) wish.pools[pool] = static_cast<int>(random.pick(1, size));
  return wish;
}

}  // namespace

void complete(Graph& graph) {
  const std::size_t count = graph.needs.size();
  graph.feeds.assign(count, {});
  graph.order.clear();
  std::vector<std::size_t> open(count);
  std::priority_queue<int, std::vector<int>, std::greater<>> free;
  for (std::size_t i = 0; i < count; ++i) {
    for (const int need : graph.needs[i])
      graph.feeds[static_cast<std::size_t>(need)].push_back(static_cast<int>(i));
    open[i] = graph.needs[i].size();
    if (open[i] == 0) free.push(static_cast<int>(i));
  }
  while (!free.empty()) {
    const int step = free.top();
    free.pop();
    graph.order.push_back(step);
    for (const int fed : graph.feeds[static_cast<std::size_t>(step)])
      if (--open[static_cast<std::size_t>(fed)] == 0) free.push(fed);
  }
}

Plot random_plot(Random& random) {
  Plot plot;
  const int count = static_cast<int>(random.percent(5) ? random.pick(15, 40) : random.pick(1, 9));
  const auto n = static_cast<std::size_t>(count);
  plot.capacity.jobs = static_cast<int>(random.pick(1, 4));
  plot.capacity.cpus = random.of({2.0, 4.0});
  plot.capacity.memory = 1000;
  for (int i = static_cast<int>(random.pick(0, 2)); i > 0; --i)
    plot.capacity.gpus.push_back("gpu" + std::to_string(i));
  std::ranges::sort(plot.capacity.gpus);
  if (random.percent(40)) plot.capacity.pools = {{"db", static_cast<int>(random.pick(1, 2))}, {"net", 1}};
  plot.pipeline.pools = plot.capacity.pools;
  plot.keep_going = random.percent(40);

  plot.pipeline.steps.resize(n);
  plot.graph.needs.resize(n);
  std::vector<int> place(n);  // edges go up in it, so that there is no circle; the file's order is another
  std::iota(place.begin(), place.end(), 0);
  if (random.percent(50))
    for (std::size_t i = n; i > 1; --i) std::swap(place[i - 1], place[random.below(i)]);
  const int density = random.of({5, 20, 40});
  const bool leaves_out = random.percent(20);
  for (int i = 0; i < count; ++i) {
    Step& step = plot.pipeline.steps[static_cast<std::size_t>(i)];
    step.name = step.base = "s" + std::to_string(i);
    for (int j = 0; j < count; ++j)
      if (place[static_cast<std::size_t>(j)] < place[static_cast<std::size_t>(i)] && random.percent(density))
        plot.graph.needs[static_cast<std::size_t>(i)].push_back(j);
    step.retry = random_retry(random);
    step.resources = random_resources(random, plot.capacity);
    if (random.percent(15)) step.when = "metrics.x > 1";
    step.continue_on_failure = random.percent(15);
    step.always = random.percent(10);
    plot.selected.push_back(!(leaves_out && random.percent(30)));
    plot.checks.push_back(random.percent(30));
    plot.makes_results.push_back(random.percent(50));
  }
  complete(plot.graph);
  for (const int i : plot.graph.order)
    plot.plan.steps.push_back({i, plot.selected[static_cast<std::size_t>(i)] != 0, "in --skip"});
  return plot;
}

}  // namespace simulation
