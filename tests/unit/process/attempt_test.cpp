#include "process/attempt.hpp"

#include "catch.hpp"

using namespace mlops::process;

TEST_CASE("an exit record survives its line") {
  ExitRecord r;
  r.key = {12, 3};
  r.cause = Cause::timeout;
  r.code = 143;
  r.signal = 15;
  r.core_dumped = true;
  r.pid = 4711;
  r.started_ms = 1'700'000'000'123;
  r.ended_ms = 1'700'000'001'456;
  r.user_us = 1;
  r.system_us = 2;
  r.max_rss_kb = 3;
  r.read_bytes = 4;
  r.written_bytes = 5;
  r.log_bytes = 1ull << 40;
  r.log_dropped = 7;
  r.log_error = 28;
  r.left_over = 2;
  r.output_held = true;
  const std::string journal = format_start(r.key, r.started_ms, "boot") + "\n" + format_end(r) + "\n";
  const auto entries = parse_journal(journal);
  REQUIRE(entries.size() == 1);
  REQUIRE(entries[0].boot_id == "boot");
  REQUIRE(entries[0].end.has_value());
  REQUIRE(format_end(*entries[0].end) == format_end(r));
}

TEST_CASE("a record has a word for processes that could not be ended only if there are any") {
  ExitRecord r;
  r.key = {0, 1};
  r.cause = Cause::exited;
  REQUIRE(format_end(r).ends_with(" 0 0 ."));
  r.not_ended = 3;
  REQUIRE(format_end(r).ends_with(" 0 0 3 ."));
  const auto entries = parse_journal(format_end(r) + "\n");
  REQUIRE(entries.size() == 1);
  REQUIRE(entries[0].end->not_ended == 3);
  REQUIRE(parse_journal("end 0 1 exited 0 0 0 0 5 1 2 0 0 0 0 0 0 0 0 0 0 x .\n").empty());
}

TEST_CASE("a torn or damaged line is no record: unknown never becomes success") {
  ExitRecord r;
  r.key = {0, 1};
  r.cause = Cause::exited;
  r.code = 0;
  const std::string whole = format_end(r) + "\n";
  for (std::size_t length = 0; length < whole.size(); ++length) {
    INFO(length);
    for (const auto& entry : parse_journal(whole.substr(0, length))) REQUIRE_FALSE(entry.end);
    for (const auto& entry : parse_journal(whole.substr(0, length) + "\n")) {
      // Cut right before the newline it is whole again.
      REQUIRE((!entry.end || length == whole.size() - 1));
    }
  }
  REQUIRE(parse_journal("end 0 1 exited 0 0 0 0 5 1 2 0 0 0 0 0 0 0 0 0 2 .\n").empty());
  REQUIRE(parse_journal("end -1 1 exited 0 0 0 0 5 1 2 0 0 0 0 0 0 0 0 0 0 .\n").empty());
  REQUIRE(parse_journal("end 0 0 exited 0 0 0 0 5 1 2 0 0 0 0 0 0 0 0 0 0 .\n").empty());
}

TEST_CASE("the first end of an attempt counts") {
  ExitRecord first;
  first.key = {0, 1};
  first.cause = Cause::exited;
  first.code = 1;
  ExitRecord second = first;
  second.code = 0;
  const auto entries = parse_journal(format_end(first) + "\n" + format_end(second) + "\n");
  REQUIRE(entries.size() == 1);
  REQUIRE(entries[0].end->code == 1);
}
