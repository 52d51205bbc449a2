// Runs and slots on a virtual clock, with faults by seed: `simulate --help`.
#include "run_world.hpp"
#include "slot_times.hpp"
#include "slot_world.hpp"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

using namespace simulation;

namespace {

constexpr const char* usage =
    "simulate [runs|slots|ledger] [--seeds N] [--from SEED] [--jobs N] [--trace] [--break WHAT]\n"
    "  --break: retries, order, limit, twice, end, lost (runs); slot, catchup (slots); claim (ledger)\n";

struct Settings {
  bool runs = true, slots = true, ledger = true;
  std::uint64_t seeds = 1'000, from = 1;
  unsigned jobs = 1;
  bool trace = false;
  Break wrong = Break::nothing;
};

bool read_break(const std::string& word, Break& wrong) {
  constexpr const char* words[] = {"nothing", "retries", "order", "limit",   "twice",
                                   "end",     "lost",    "slot",  "catchup", "claim"};
  for (std::size_t i = 0; i < std::size(words); ++i) {
    if (word == words[i]) return wrong = static_cast<Break>(i), true;
  }
  return false;
}

using Simulation = void (*)(std::uint64_t, Break, Trace&, Tally&);

struct Found {
  bool any = false;
  std::uint64_t seed = 0;
  std::string what;
};

// The lowest seed of this share that goes wrong.
Found search(Simulation simulate, const Settings& settings, unsigned share, Tally& tally) {
  for (std::uint64_t i = share; i < settings.seeds; i += settings.jobs) {
    Trace trace(false);
    try {
      simulate(settings.from + i, settings.wrong, trace, tally);
    } catch (const std::exception& error) {
      return {true, settings.from + i, error.what()};
    }
  }
  return {};
}

bool run(const char* name, Simulation simulate, const Settings& settings) {
  const auto begin = std::chrono::steady_clock::now();
  std::vector<Tally> tallies(settings.jobs);
  std::vector<Found> found(settings.jobs);
  std::vector<std::thread> threads;
  for (unsigned share = 0; share < settings.jobs; ++share)
    threads.emplace_back([&, share] { found[share] = search(simulate, settings, share, tallies[share]); });
  for (std::thread& thread : threads) thread.join();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  Found first;
  Tally sum;
  for (unsigned share = 0; share < settings.jobs; ++share) {
    if (found[share].any && (!first.any || found[share].seed < first.seed)) first = found[share];
    const Tally& t = tallies[share];
    sum.events += t.events, sum.starts += t.starts, sum.crashes += t.crashes, sum.parts += t.parts;
    sum.slots += t.slots, sum.runs += t.runs;
  }
  if (first.any || settings.trace) {
    Trace trace(true);
    try {
      simulate(first.any ? first.seed : settings.from, settings.wrong, trace, sum);
    } catch (const std::exception&) {  // said below
    }
    for (const std::string& line : trace.lines()) std::printf("%s\n", line.c_str());
  }
  if (first.any) {
    std::printf("FAILED: %s, seed %llu: %s\n", name, static_cast<unsigned long long>(first.seed),
                first.what.c_str());
    std::printf("again: simulate %s --seeds 1 --from %llu\n", name,
                static_cast<unsigned long long>(first.seed));
    return false;
  }
  std::printf("%s: %llu seeds from %llu, %.1f s, %.0f seeds/s", name,
              static_cast<unsigned long long>(settings.seeds), static_cast<unsigned long long>(settings.from),
              seconds, static_cast<double>(settings.seeds) / seconds);
  std::printf("; %llu events, %llu crashes", static_cast<unsigned long long>(sum.events),
              static_cast<unsigned long long>(sum.crashes));
  if (sum.starts > 0)
    std::printf(", %llu attempts in %llu parts", static_cast<unsigned long long>(sum.starts),
                static_cast<unsigned long long>(sum.parts));
  if (sum.slots > 0)
    std::printf(", %llu slots, %llu of them ran", static_cast<unsigned long long>(sum.slots),
                static_cast<unsigned long long>(sum.runs));
  std::printf("\n");
  std::fflush(stdout);
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  Settings settings;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const auto number = [&] { return i + 1 < argc ? std::strtoull(argv[++i], nullptr, 10) : 0; };
    bool known = true;
    if (word == "runs" || word == "slots" || word == "ledger") {
      settings.runs = word == "runs";
      settings.slots = word == "slots";
      settings.ledger = word == "ledger";
    } else if (word == "--seeds") {
      settings.seeds = number();
    } else if (word == "--from") {
      settings.from = number();
    } else if (word == "--jobs") {
      settings.jobs = static_cast<unsigned>(std::max(1ull, number()));
    } else if (word == "--trace") {
      settings.trace = true;
    } else if (word == "--break") {
      known = ++i < argc && read_break(argv[i], settings.wrong);
    } else {
      known = false;
    }
    if (!known) return std::fputs(usage, stderr), 2;
  }
  if (settings.slots || settings.ledger) read_clocks();
  bool good = true;
  if (settings.runs) good = run("runs", simulate_run, settings) && good;
  if (settings.slots) good = run("slots", simulate_slots, settings) && good;
  if (settings.ledger) {
    // Each of its steps is a transaction: a hundredth of the seeds takes as long as the others.
    if (settings.runs) settings.seeds = (settings.seeds + 99) / 100;
    good = run("ledger", simulate_ledger, settings) && good;
  }
  return good ? 0 : 1;
}
