// What addressees get: words, templates, presets, escapes.
#include "notify/message.hpp"

#include "catch.hpp"
#include "notify/mail.hpp"
#include "pipeline/message_template.hpp"

using namespace mlops;
using namespace mlops::notify;

namespace {

Event failure() {
  Event event;
  event.occasion = Occasion::failure;
  event.message_id = "01m8n0jmyaf2zjqh";
  event.pipeline = "churn";
  event.file = "churn.yaml";
  event.reason = "step train failed: exit code 1";
  event.failures = 1;
  RunRecord run;
  run.id = "01m8n0jmyaf2zjqg";
  run.state = RunState::failed;
  run.exit_code = 1;
  run.duration_ms = 12'400;
  run.host = "box";
  event.run = run;
  return event;
}

Addressee webhook(const std::string& preset, const std::string& text = {}, const params::Scope& scope = {}) {
  Addressee addressee;
  addressee.entry.preset = preset;
  if (text.empty()) return addressee;
  std::vector<params::ReferenceProblem> problems;
  addressee.entry.text = pipeline::read_template(text, scope, problems);
  REQUIRE(problems.empty());
  return addressee;
}

Json body(const Addressee& addressee, const Event& event) {
  return Json::parse(make_message(addressee, event).body);
}

}  // namespace

TEST_CASE("the usual words say what happened and where to look") {
  Event event = failure();
  REQUIRE(headline(event) == "churn failed");
  REQUIRE(details(event) ==
          "step train failed: exit code 1\nrun 01m8n0jmyaf2zjqg on box, 12.4s\nmlops show 01m8n0jmyaf2zjqg");
  event.failures = 3;
  event.failing_since = Instant{};
  event.left_out = 2;
  REQUIRE_THAT(details(event), ContainsSubstring("3 failures in a row since 1970"));
  REQUIRE_THAT(details(event), ContainsSubstring("2 messages before this one left out"));
  event.run->state = RunState::interrupted;
  REQUIRE(headline(event) == "churn was interrupted");
  event.occasion = Occasion::recovery;
  REQUIRE(headline(event) == "churn works again");
  REQUIRE_THAT(details(event), ContainsSubstring("after 3 failures since 1970"));
  event.occasion = Occasion::late;
  REQUIRE(headline(event) == "churn is late");
  event.ahead = true;
  REQUIRE(headline(event) == "churn will be late");
}

TEST_CASE("a template has fields, and nothing that a value holds is one") {
  std::vector<params::ReferenceProblem> problems;
  const Json given = {{"a", "${run.id}"}, {"b", "x$"}};
  params::Scope scope;
  scope.params = &given;
  const std::string text = pipeline::read_template(
      "${run.id} $${run.id} ${params.a} ${params.b}${run.host} ${metrics.auc}|", scope, problems);
  REQUIRE(problems.empty());
  Event event = failure();
  event.metrics.push_back({0, "auc", 0.5, 1});
  const auto value = [&](std::string_view name) { return field(event, name); };
  const auto same = [](std::string_view words) { return std::string(words); };
  REQUIRE(pipeline::fill_template(text, value, same) == "01m8n0jmyaf2zjqg ${run.id} ${run.id} x$box 0.5|");
  event.reason = "${run.id} \1run.id\2";
  REQUIRE(pipeline::fill_template(pipeline::read_template("${run.reason}", scope, problems), value, same) ==
          event.reason);
  // Every field that is known has been thought of: with a run none of these is unknown to field().
  for (const std::string_view name : pipeline::message_fields()) {
    INFO(name);
    event = failure();
    event.slot = "s", event.run->user = "u", event.run->git_commit = "c", event.run->ended_at = Instant{};
    event.failing_since = Instant{};
    REQUIRE_FALSE(field(event, name).empty());
  }
}

TEST_CASE("what is wrong with a template is said with what was meant") {
  const auto wrong = [](const std::string& text) {
    std::vector<params::ReferenceProblem> problems;
    pipeline::read_template(text, {}, problems);
    REQUIRE(problems.size() == 1);
    return problems[0].message + " | " + problems[0].hint + " | " + std::to_string(problems[0].occurrence);
  };
  REQUIRE(wrong("${run.reson}") == "unknown reference '${run.reson}' | did you mean '${run.reason}'? | 0");
  REQUIRE_THAT(wrong("${x}"), ContainsSubstring("a message has the fields occasion, "));
  REQUIRE_THAT(wrong("a ${run.id"), ContainsSubstring("'${' without its '}'"));
  REQUIRE_THAT(wrong("${metrics.}"), ContainsSubstring("unknown reference"));
  REQUIRE_THAT(wrong("$${x} ${x}"), ContainsSubstring("| 1"));
}

TEST_CASE("each preset is what its receiver reads") {
  Event event = failure();
  event.reason = "a < b & <!channel> *x* [y](http://z) @here \"q\"\n\\";
  const Json json = body(webhook("json"), event);
  REQUIRE(json["occasion"] == "failure");
  REQUIRE(json["run"]["id"] == "01m8n0jmyaf2zjqg");
  REQUIRE(json["run"]["exit_code"] == 1);
  REQUIRE(json["reason"] == event.reason);
  REQUIRE(json["pipeline"]["name"] == "churn");
  REQUIRE(json["id"] == "01m8n0jmyaf2zjqh");

  const std::string slack = body(webhook("slack"), event)["text"];
  REQUIRE_THAT(slack, ContainsSubstring("churn failed\na &lt; b &amp; &lt;!channel&gt;"));

  const Json discord = body(webhook("discord"), event);
  REQUIRE(discord["allowed_mentions"]["parse"] == Json::array());
  REQUIRE_THAT(discord["content"].get<std::string>(),
               ContainsSubstring("\\*x\\* \\[y\\]\\(http://z\\) \\@here"));

  const Json card = body(webhook("teams"), event)["attachments"][0];
  REQUIRE(card["contentType"] == "application/vnd.microsoft.card.adaptive");
  REQUIRE(card["content"]["body"][0]["text"] == "churn failed");
  REQUIRE_THAT(card["content"]["body"][1]["text"].get<std::string>(), ContainsSubstring("\\[y\\]"));

  const Message ntfy = make_message(webhook("ntfy"), event);
  REQUIRE(ntfy.subject == "churn failed");
  REQUIRE_THAT(ntfy.body, ContainsSubstring("a < b & <!channel> *x*"));
}

TEST_CASE("markup of a template stays, of values it does not") {
  Event event = failure();
  event.reason = "*<x>*";
  REQUIRE(body(webhook("slack", "*${headline}*: ${run.reason} <!here>"), event)["text"] ==
          "*churn failed*: \u2217&lt;x&gt;\u2217 <!here>");
  REQUIRE(body(webhook("discord", "**${headline}** ${run.reason}"), event)["content"] ==
          "**churn failed** \\*\\<x\\>\\*");
}

TEST_CASE("what a param holds is no markup, and no field") {
  const Json given = {{"branch", "<!channel> *b* <@U1> [a](http://evil) ${run.id} \1run.id\2"}, {"none", ""}};
  params::Scope scope;
  scope.params = &given;
  const std::string text = "*by* ${params.branch}|${params.none}|";
  const auto filled = [&](const std::string& preset) {
    return body(webhook(preset, text, scope), failure());
  };
  REQUIRE(filled("slack")["text"] ==
          "*by* &lt;!channel&gt; \u2217b\u2217 &lt;@\u200bU1&gt; [a]\u200b(http://evil) ${run.id} run.id||");
  REQUIRE(filled("discord")["content"] ==
          "*by* \\<!channel\\> \\*b\\* \\<\\@U1\\> \\[a\\]\\(http://evil\\) ${run.id} run.id||");
  const Json card = filled("teams")["attachments"][0]["content"];
  REQUIRE(card["body"][0]["text"] ==
          "*by* <!channel> \\*b\\* <@U1> \\[a\\]\\(http://evil\\) ${run.id} run.id||");
  REQUIRE(filled("json")["text"] == "*by* <!channel> *b* <@U1> [a](http://evil) ${run.id} run.id||");
}

TEST_CASE("slack gets signs that look like its markup where it has no escape") {
  const auto shown = [](const std::string& value) { return escape_for(webhook("slack").entry, value); };
  REQUIRE(shown("_x_ my_step ~y~ `z`") == "\u02cdx\u02cd my_step \u223cy\u223c \u02cbz\u02cb");
  REQUIRE(shown("@channel ml@example.org") == "@\u200bchannel ml@example.org");
}

TEST_CASE("a message fits its receiver, and is UTF-8 whatever it holds") {
  Event event = failure();
  for (int i = 0; i < 5'000; ++i) event.reason += "ü";
  const Json discord = body(webhook("discord"), event);
  REQUIRE(discord["content"].get<std::string>().size() < 2'000);
  REQUIRE(make_message(webhook("ntfy"), event).body.size() < 4'000);
  event.reason = "\xff\xfe";
  REQUIRE_NOTHROW(body(webhook("json"), event));
  REQUIRE_THAT(body(webhook("slack"), event)["text"].get<std::string>(), ContainsSubstring("\uFFFD"));
}

TEST_CASE("no value of a header begins another one") {
  REQUIRE(header_value("churn failed") == "churn failed");
  REQUIRE(header_value("a\r\nBcc: x@y") == "a  Bcc: x@y");
  REQUIRE(header_value("größer") == "=?UTF-8?Q?gr=C3=B6=C3=9Fer?=");
  REQUIRE(header_value("=?UTF-8?Q?x?=") == "=?UTF-8?Q?=3D=3FUTF=2D8=3FQ=3Fx=3F=3D?=");
  std::string all = header_value(std::string(300, 'x'));
  for (std::size_t at = 0, space; at < all.size(); at = space + 1) {
    space = std::min(all.find(' ', at), all.size());
    REQUIRE(space - at <= 75);
  }
}

TEST_CASE("a mail has a header of its own and lines that SMTP takes") {
  MailParts parts{"Müller <ml@example.org>",
                  {"a@b.c", "d@e.f"},
                  "churn failed",
                  ".dot\nFrom here\nübel " + std::string(100, 'x') + " ",
                  "01id",
                  0};
  const std::string text = mail_text(parts);
  REQUIRE_THAT(text, ContainsSubstring("From: =?UTF-8?Q?M=C3=BCller?= <ml@example.org>\r\n"));
  REQUIRE_THAT(text, ContainsSubstring("To: a@b.c,\r\n d@e.f\r\n"));
  REQUIRE_THAT(text, ContainsSubstring("Date: Thu, 01 Jan 1970 00:00:00 +0000\r\n"));
  REQUIRE_THAT(text, ContainsSubstring("Message-ID: <01id@example.org>\r\n"));
  REQUIRE_THAT(text, ContainsSubstring("\r\n\r\n=2Edot\r\n=46rom here\r\n=C3=BCbel xxx"));
  REQUIRE_THAT(text, ContainsSubstring("=20\r\n"));
  for (std::size_t at = 0, end; at < text.size(); at = end + 2) {
    end = text.find("\r\n", at);
    REQUIRE(end != text.npos);
    REQUIRE(end - at <= 76);
  }
  REQUIRE(bare_address("Models <ml@example.org>") == "ml@example.org");
  REQUIRE(bare_address(" ml@example.org ") == "ml@example.org");
}
