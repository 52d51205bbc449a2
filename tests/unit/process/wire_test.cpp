#include "process/wire.hpp"

#include "catch.hpp"

using namespace mlops::process;

TEST_CASE("a request survives the wire, in whatever pieces it comes") {
  StartRequest r;
  r.key = {7, 2};
  r.name = "train";
  r.argv = {"sh", "-c", ""};
  r.env = {"A=1", "B="};
  r.secrets = {"a secret"};
  r.timeout_ms = 5;
  r.log_tail = 9;
  Writer message(MessageType::start);
  put_request(message, r);
  MessageBuffer buffer;
  std::optional<std::string_view> got;
  for (const char byte : message.finish()) {
    REQUIRE_FALSE(got);
    buffer.append({&byte, 1});
    got = buffer.next();
  }
  REQUIRE(got);
  Reader reader(*got);
  REQUIRE(reader.get<MessageType>() == MessageType::start);
  const StartRequest back = get_request(reader);
  REQUIRE(reader.ok());
  REQUIRE(back.key == r.key);
  REQUIRE(back.argv == r.argv);
  REQUIRE(back.env == r.env);
  REQUIRE(back.secrets == r.secrets);
  REQUIRE(back.log_tail == 9);
  REQUIRE_FALSE(buffer.broken());
}

TEST_CASE("a message cut short is noticed at every length") {
  StartRequest r;
  r.argv = {"sh", "-c", "true"};
  Writer message(MessageType::start);
  put_request(message, r);
  const std::string bytes = message.finish().substr(4);
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    INFO(length);
    Reader reader(std::string_view(bytes).substr(0, length));
    reader.get<MessageType>();
    get_request(reader);
    REQUIRE_FALSE(reader.ok());
  }
}

TEST_CASE("a length that no message has breaks the buffer for good") {
  MessageBuffer buffer;
  const std::uint32_t length = longest_message + 1;
  buffer.append({reinterpret_cast<const char*>(&length), sizeof length});
  REQUIRE_FALSE(buffer.next());
  REQUIRE(buffer.broken());
  buffer.append(Writer(MessageType::pause).finish());
  REQUIRE_FALSE(buffer.next());
  REQUIRE(buffer.broken());
}
