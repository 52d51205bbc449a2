#include "util/quantity.hpp"

#include "catch.hpp"

using namespace mlops::util;
using std::chrono::milliseconds;

TEST_CASE("durations are numbers with units, or seconds") {
  const std::vector<std::pair<const char*, long long>> good = {{"90s", 90'000},
                                                               {"1h30m", 5'400'000},
                                                               {"250ms", 250},
                                                               {"1.5h", 5'400'000},
                                                               {"2d", 172'800'000},
                                                               {"5min", 300'000},
                                                               {"10", 10'000},
                                                               {"0.25", 250},
                                                               {"0", 0},
                                                               {".5s", 500},
                                                               {"1m1s1ms", 61'001},
                                                               {"0.0004s", 0},
                                                               {"0.1s", 100},
                                                               {"36500d", 3'153'600'000'000}};
  for (const auto& [text, ms] : good) {
    INFO(text);
    REQUIRE(parse_duration(text) == milliseconds(ms));
  }
  for (const char* text : {"",
                           "s",
                           "-1s",
                           "+1s",
                           "1 s",
                           " 1s",
                           "1s ",
                           "1h30",
                           "1x",
                           "1S",
                           "1e3",
                           "inf",
                           "nan",
                           "0x10",
                           "1..5s",
                           "1.2.3s",
                           ".",
                           ".s",
                           "1,5s",
                           "soon",
                           "101y",
                           "40000d",
                           "99999999999999999999999999999999s",
                           "1s\n",
                           "1_000s",
                           "٣s"}) {
    INFO(text);
    REQUIRE_FALSE(parse_duration(text));
  }
}

TEST_CASE("sizes are numbers with units, or bytes") {
  const std::vector<std::pair<const char*, std::uint64_t>> good = {{"512", 512},
                                                                   {"512B", 512},
                                                                   {"1K", 1024},
                                                                   {"1KiB", 1024},
                                                                   {"1Ki", 1024},
                                                                   {"1KB", 1000},
                                                                   {"1kB", 1000},
                                                                   {"4GiB", 4ull << 30},
                                                                   {"64MB", 64'000'000},
                                                                   {"1.5G", 3ull << 29},
                                                                   {"2TiB", 2ull << 40},
                                                                   {"4 GiB", 4ull << 30},
                                                                   {"0", 0},
                                                                   {"1TB", 1'000'000'000'000}};
  for (const auto& [text, bytes] : good) {
    INFO(text);
    REQUIRE(parse_size(text) == bytes);
  }
  for (const char* text : {"", "B", "GiB", "-1G", "1b", "1X", "1GiBs", "1 G B", "1gb", "1e9", "inf", "0x10",
                           "9999999TiB", "much"}) {
    INFO(text);
    REQUIRE_FALSE(parse_size(text));
  }
}

TEST_CASE("durations and sizes are shown short") {
  const std::vector<std::pair<long long, const char*>> durations = {
      {-5, "0ms"},           {0, "0ms"},           {999, "999ms"},         {1'000, "1.0s"},
      {12'499, "12.4s"},     {59'999, "59.9s"},    {60'000, "1m00s"},      {185'000, "3m05s"},
      {3'599'999, "59m59s"}, {7'800'000, "2h10m"}, {86'399'999, "23h59m"}, {86'400'000, "1d0h"},
      {273'600'000, "3d4h"}};
  for (const auto& [ms, text] : durations) REQUIRE(format_duration(milliseconds(ms)) == text);
  REQUIRE(format_size(0) == "0 B");
  REQUIRE(format_size(1023) == "1023 B");
  REQUIRE(format_size(4096) == "4.0 KiB");
  REQUIRE(format_size(1'288'490'189) == "1.2 GiB");
  REQUIRE(format_size((1 << 20) - 1) == "1.0 MiB");
  REQUIRE(format_size(5000ull << 40) == "5000.0 TiB");
}
