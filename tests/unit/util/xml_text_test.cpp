#include "util/xml_text.hpp"

#include "catch.hpp"

using namespace mlops::util;

TEST_CASE("elements of an answer are found by name") {
  const std::string xml =
      "<?xml version=\"1.0\"?><List xmlns=\"urn:x\"><KeyCount>2</KeyCount><Key>a&amp;b "
      "&lt;&#65;&#x42;&gt;</Key>"
      "<Contents><Key>second</Key></Contents><Empty/><Contents/></List>";
  REQUIRE(xml_text(xml, "Key") == "a&b <AB>");
  REQUIRE(xml_text(xml, "KeyCount") == "2");
  REQUIRE(xml_elements(xml, "Contents").size() == 2);
  REQUIRE(xml_text(xml_elements(xml, "Contents")[0], "Key") == "second");
  REQUIRE(xml_text(xml, "Empty") == "");
  REQUIRE_FALSE(xml_text(xml, "Missing"));
}

TEST_CASE("what is no XML has no elements, or some, and ends") {
  for (const char* text : {"", "<", "<Key", "<Key>", "<Key>x</Ke", "Key>x</Key>", "<<<Key></Key", "</Key>"})
    REQUIRE(xml_elements(text, "Key").empty());
  REQUIRE(xml_text("<Key>&</Key>", "Key") == "&");
  REQUIRE(xml_text("<Key>&unknown; &#0; &#x110000; &;</Key>", "Key") == "&unknown; &#0; &#x110000; &;");
  REQUIRE(xml_escape("<a&b>") == "&lt;a&amp;b&gt;");
}
