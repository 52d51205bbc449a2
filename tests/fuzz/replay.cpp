// Runs a fuzz target over its corpus and over mutations of it, the same ones each time. FUZZ_RUNS sets how
// many.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

void try_one(const std::string& text) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
}

std::string mutate(std::string text, const std::string& other, std::mt19937& random) {
  for (unsigned n = 1 + random() % 4; n > 0; --n) {
    const std::size_t at = text.empty() ? 0 : random() % text.size();
    switch (random() % 6) {
      case 0:
        if (!text.empty()) text[at] = static_cast<char>(random());
        break;
      case 1: text.insert(at, 1, "{}[]:,\"'\\\n $*&!%-|>?#@`~0"[random() % 25]); break;
      case 2: text.erase(at, random() % 8); break;
      case 3: text.insert(at, text.substr(at, random() % 32)); break;
      case 4:
        if (!other.empty()) text.insert(at, other.substr(random() % other.size(), random() % 64));
        break;
      default: text.resize(at); break;
    }
  }
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> seeds = {""};
  for (int i = 1; i < argc; ++i) {
    if (!std::filesystem::exists(argv[i])) continue;
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) {
      std::ifstream file(entry.path(), std::ios::binary);
      seeds.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    }
  }
  std::sort(seeds.begin(), seeds.end());
  if (seeds.size() < 2) {
    std::fprintf(stderr, "the corpus is empty\n");
    return 1;
  }
  for (const std::string& seed : seeds) try_one(seed);
  const char* wish = std::getenv("FUZZ_RUNS");
  const int runs = wish ? std::atoi(wish) : 10'000;
  std::mt19937 random(1);
  for (int i = 0; i < runs; ++i) {
    try_one(mutate(seeds[random() % seeds.size()], seeds[random() % seeds.size()], random));
  }
  std::printf("%zu inputs of the corpus, %d mutations\n", seeds.size(), runs);
  return 0;
}
