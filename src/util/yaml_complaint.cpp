#include "util/yaml_complaint.hpp"

#include "util/yaml_shape.hpp"

namespace mlops::util {

namespace {

struct Wording {
  std::string_view theirs, message, hint;
};

constexpr std::string_view kMarkInQuotes = "'---' or '...' inside a quoted text";

constexpr Wording kWordings[] = {
    {"end of map not found", "this line does not fit the map around it",
     "check the indentation and the ': ' after the key"},
    {"end of sequence not found", "this line does not fit the list around it",
     "check the indentation and the '- ' before the item"},
    {"end of map flow not found", "expected ',' or '}' in the map that '{' began",
     "a text with '{', '}' or ',' in it, such as ${params.x}, needs quotes here"},
    {"end of sequence flow not found", "expected ',' or ']' in the list that '[' began",
     "a text with '[', ']', '{' or ',' in it needs quotes here"},
    {"illegal map value", "a ':' is not allowed here", "quote a text that contains ': '"},
    {"illegal map key", "a map key is not allowed here", "check the indentation"},
    {"illegal block entry", "a '- ' item is not allowed here", "check the indentation"},
    {"illegal flow end", "a ']' or '}' without its beginning", "quote a text that starts with it"},
    {"illegal tab when looking for indentation", "a tab is used as indentation", "YAML wants spaces"},
    {"illegal EOF in scalar", "the file ends inside a quoted text", "close the quotes"},
    {"illegal document indicator in scalar", kMarkInQuotes, "close the quotes"},
    {"illegal character in scalar", "a character is not allowed in this text", "put the text in quotes"},
    {"unknown escape character", "an unknown escape in a text in double quotes",
     "write \\\\ for a backslash, or use single quotes"},
    {"bad character found while scanning hex number", "a bad \\x, \\u or \\U escape in double quotes", ""},
    {"invalid unicode", "an escape names no Unicode character", ""},
    {"the referenced anchor is not defined", "the alias names an anchor that is not defined before it",
     "define it with '&name' further up, or quote a text that starts with '*'"},
    {"alias not found after *", "a '*' without the name of an anchor", "quote a text that starts with '*'"},
    {"anchor not found after &", "a '&' without a name", "quote a text that starts with '&'"},
    {"illegal character found while scanning a", "a bad character in the name of an anchor or alias",
     "quote a text that starts with '*' or '&'"},
    {"unexpected character in block scalar", "unexpected text after '|' or '>'",
     "start the text on the next line"},
    {"unknown token", "this character cannot start a value", "put the text in quotes"},
    {"bad file", "nested far too deeply", "at most 64 levels are read"},
    {"bad YAML version", "a bad %YAML directive", "remove it"},
};

}  // namespace

void trace_back(Diagnostic& d, std::string_view text) {
  const YamlShape shape = shape_of_yaml(text);
  const std::string ends = "the file ends on line " + std::to_string(shape.last_line);
  // What shows at the end mark that parse_yaml() adds is a problem of the file's last line.
  if (d.at.line > shape.last_line) {
    d.at = {shape.last_line, 1};
    if (d.message == kMarkInQuotes) d.message = "the file ends inside a quoted text";
  }
  if (const auto& open = shape.open) {
    const bool list = open->kind == '[';
    const std::string closer = open->kind == '{' ? "'}'" : list ? "']'" : open->kind == '"' ? "\"" : "'";
    d.at = open->at;
    d.message = open->kind == '{' ? "a map is not closed"
                : list            ? "a list is not closed"
                                  : "a text in quotes is not closed";
    d.hint = open->closer.line == 0 ? ends + " without the closing " + closer
                                    : std::string("there is a '") + open->closer_kind + "' on line " +
                                          std::to_string(open->closer.line) + " before the closing " + closer;
    return;
  }
  for (const Location& tab : shape.tabs) {
    if (tab.line != d.at.line) continue;
    d.at = tab;
    d.message = "a tab is used as indentation";
    d.hint = "YAML wants spaces";
    return;
  }
  for (const YamlShape::LongText& quoted : shape.long_texts) {
    if (quoted.end.line != d.at.line) continue;
    d.hint = "a text in quotes began on line " + std::to_string(quoted.begin.line) +
             " and ends here: is its closing quote missing?";
  }
}

Diagnostic in_plain_words(const std::string& complaint, Location at, std::string_view text,
                          const std::string& file) {
  Diagnostic d{file, at, "not valid YAML: " + complaint, ""};
  for (const Wording& w : kWordings) {
    if (!std::string_view(complaint).starts_with(w.theirs)) continue;
    d.message = w.message;
    d.hint = w.hint;
    break;
  }
  trace_back(d, text);
  return d;
}

}  // namespace mlops::util
