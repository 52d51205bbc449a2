#include "pipeline/message_template.hpp"

#include "util/strings.hpp"

#include <algorithm>
#include <array>

namespace mlops::pipeline {

namespace {

constexpr char field_begins = 1, field_ends = 2;
constexpr char is_value = '=';  // no field begins with it

constexpr std::array<std::string_view, 20> kFields = {
    "occasion",   "headline",      "details",     "pipeline.name", "pipeline.file", "run.id",    "run.state",
    "run.reason", "run.exit_code", "run.started", "run.ended",     "run.duration",  "run.host",  "run.user",
    "run.commit", "run.slot",      "failures",    "failing_since", "left_out",      "message.id"};

bool is_field(std::string_view name) {
  if (name.starts_with("metrics.")) return name.size() > 8;
  return std::ranges::find(kFields, name) != kFields.end();
}

void add_literal(std::string& out, std::string_view text) {
  for (const char c : text) {
    if (c != field_begins && c != field_ends) out += c;
  }
}

// Of a reference that is no field: its value, or what is wrong with it.
void add_value(std::string& out, std::string_view reference, int occurrence, const params::Scope& scope,
               std::vector<params::ReferenceProblem>& problems) {
  const params::Interpolated got = params::interpolate(reference, scope, params::Target::text);
  for (params::ReferenceProblem problem : got.problems) {
    problem.occurrence = occurrence;
    if (problem.message.starts_with("unknown reference")) {
      const std::string name(reference.substr(2, reference.size() - 3));
      const std::string near = util::closest(name, {kFields.begin(), kFields.end()});
      problem.hint = near.empty()
                         ? "a message has the fields " + util::join({kFields.begin(), kFields.end()}, ", ") +
                               " and metrics.NAME; params.… and env.… may be used too"
                         : "did you mean '${" + near + "}'?";
    }
    problems.push_back(std::move(problem));
  }
  if (!got.problems.empty()) return;
  out += {field_begins, is_value};
  add_literal(out, got.pieces.front().literal);
  out += field_ends;
}

}  // namespace

std::span<const std::string_view> message_fields() { return kFields; }

std::string read_template(std::string_view text, const params::Scope& scope,
                          std::vector<params::ReferenceProblem>& problems) {
  std::string out;
  std::size_t done = 0;
  for (std::size_t at = text.find("${"); at != text.npos; at = text.find("${", done)) {
    if (at > done && text[at - 1] == '$') {  // "$${" is "${"
      add_literal(out, text.substr(done, at - 1 - done));
      out += "${";
      done = at + 2;
      continue;
    }
    add_literal(out, text.substr(done, at - done));
    const std::size_t end = text.find('}', at);
    const std::string_view reference = text.substr(at, end == text.npos ? end : end + 1 - at);
    const std::string_view name = end == text.npos ? "" : reference.substr(2, reference.size() - 3);
    if (is_field(name)) {
      out += field_begins + std::string(name) + field_ends;
    } else {
      int occurrence = 0;
      const std::string_view shown = end == text.npos ? "${" : reference;
      for (std::size_t i = text.find(shown); i < at; i = text.find(shown, i + 1)) ++occurrence;
      add_value(out, reference, occurrence, scope, problems);
    }
    done = end == text.npos ? text.size() : end + 1;
  }
  add_literal(out, text.substr(done));
  return out;
}

std::string fill_template(std::string_view text, const std::function<std::string(std::string_view)>& value,
                          const std::function<std::string(std::string_view)>& shown) {
  std::string out;
  while (!text.empty()) {
    const std::size_t at = text.find(field_begins), end = text.find(field_ends, std::min(at, text.size()));
    out += text.substr(0, at);
    if (end == text.npos) break;
    const std::string_view name = text.substr(at + 1, end - at - 1);
    out += name.starts_with(is_value) ? shown(name.substr(1)) : shown(value(name));
    text.remove_prefix(end + 1);
  }
  return out;
}

}  // namespace mlops::pipeline
