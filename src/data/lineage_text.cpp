#include "data/lineage_text.hpp"

#include "pipeline/render.hpp"
#include "util/quantity.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"

#include <algorithm>
#include <set>

namespace mlops::data {

namespace {

std::size_t row_at(int i) { return static_cast<std::size_t>(i); }

std::string git_words(const db::ExecutionFacts& facts) {
  if (!facts.git_commit) return "not in git";
  return "git " + facts.git_commit->substr(0, 12) + (facts.git_dirty == true ? " with changes" : "");
}

std::string param_words(const LineageStep& step) {
  constexpr std::size_t widest = 60;
  std::string text;
  for (const auto& [name, value] : step.params) {
    const std::string part = (text.empty() ? "" : ", ") + name + "=" + value;
    if (!text.empty() && text.size() + part.size() > widest) return text + ", …";
    text += part;
  }
  return text;
}

std::string file_words(const LineageFile& f) {
  std::string text = util::escape_controls(f.file.path) + (f.file.form == "tree" ? "/" : "");
  text += "  " + f.file.sha256.substr(0, 12) + "  " + util::format_size(f.file.size);
  if (f.file.form == "tree")
    text += " in " + std::to_string(f.file.files) + (f.file.files == 1 ? " file" : " files");
  if (!f.file.kind.empty()) text += "  " + f.file.kind;
  if (f.hidden) text += "  not declared";
  return text;
}

class Tree {
 public:
  explicit Tree(const Lineage& lineage) : l_(lineage) {}

  std::string draw() {
    if (!l_.note.empty()) text_ += l_.note + "\n";
    if (l_.up) {
      for (const int file : l_.targets) root_up(file);
      for (const int step : last_steps()) {
        text_ += step_words(l_.steps[row_at(step)]) + "\n";
        below_step_up(step, "");
      }
    }
    const std::size_t before = text_.size();
    if (l_.down) draw_down();
    if (l_.down && !l_.up && text_.size() == before) text_ += "nothing that is recorded was made of it\n";
    if (l_.cut) text_ += "there is more: see --depth and --readers\n";
    return std::move(text_);
  }

 private:
  std::string step_words(const LineageStep& step) {
    std::string text = step.facts.name + "  run " + step.execution.run + " of " + step.facts.pipeline + ", " +
                       util::format_local(step.facts.at).substr(0, 16);
    if (step.facts.state != StepState::succeeded) text += std::string(", ") + to_string(step.facts.state);
    if (step.facts.taken_over > 0)
      text += ", taken over by " + std::to_string(step.facts.taken_over) +
              (step.facts.taken_over == 1 ? " run" : " runs");
    return util::escape_controls(text);
  }

  void line(const std::string& indent, bool last, const std::string& words) {
    text_ += indent + (last ? "└ " : "├ ") + words + "\n";
  }
  static std::string deeper(const std::string& indent, bool last) { return indent + (last ? "  " : "│ "); }

  void root_up(int file) {
    text_ += file_words(l_.files[row_at(file)]) + "\n";
    seen_files_.insert(file);
    below_file_up(file, "");
  }

  void below_file_up(int file, const std::string& indent) {
    const LineageFile& f = l_.files[row_at(file)];
    if (f.open) return line(indent, true, "…");
    if (f.made_by < 0) {
      if (indent.empty()) line(indent, true, "no step made it");
      return;
    }
    const std::string as = f.made_as.empty() ? "" : "  as " + util::escape_controls(f.made_as);
    if (!seen_steps_.insert(f.made_by).second)
      return line(indent, true, l_.steps[row_at(f.made_by)].facts.name + "  see above" + as);
    line(indent, true, step_words(l_.steps[row_at(f.made_by)]) + as);
    below_step_up(f.made_by, deeper(indent, true));
  }

  void below_step_up(int index, const std::string& indent) {
    const LineageStep& step = l_.steps[row_at(index)];
    seen_steps_.insert(index);
    std::vector<std::string> lines;
    if (const std::string params = param_words(step); !params.empty()) lines.push_back("params " + params);
    lines.push_back(git_words(step.facts));
    for (std::size_t i = 0; i < lines.size(); ++i)
      line(indent, i + 1 == lines.size() && step.reads.empty(), util::escape_controls(lines[i]));
    for (std::size_t i = 0; i < step.reads.size(); ++i) {
      const bool last = i + 1 == step.reads.size();
      const int file = step.reads[i];
      const LineageFile& f = l_.files[row_at(file)];
      const bool is_new = seen_files_.insert(file).second;
      line(indent, last, file_words(f) + (is_new ? "" : f.made_by >= 0 ? "  see above" : ""));
      if (is_new) below_file_up(file, deeper(indent, last));
    }
  }

  // Of a run those steps of which no other step of it reads something: the rest is below them.
  std::vector<int> last_steps() const {
    std::set<int> read;
    for (const int step : l_.target_steps) {
      for (const int file : l_.steps[row_at(step)].reads) read.insert(l_.files[row_at(file)].made_by);
    }
    std::vector<int> last;
    for (const int step : l_.target_steps) {
      if (!read.contains(step)) last.push_back(step);
    }
    return last;
  }

  void draw_down() {
    seen_files_.clear();
    seen_steps_.clear();
    std::vector<int> roots = l_.targets;
    // Of a run, what was made outside of it.
    for (const int step : l_.target_steps) seen_steps_.insert(step);
    for (const int step : l_.target_steps) {
      for (const int file : l_.steps[row_at(step)].makes) roots.push_back(file);
    }
    for (const int file : roots) {
      const LineageFile& f = l_.files[row_at(file)];
      const bool worth =
          std::ranges::any_of(f.read_by, [&](int step) { return !seen_steps_.contains(step); });
      if ((!worth && f.more_readers == 0 && !f.open) || !seen_files_.insert(file).second) continue;
      if (!text_.empty()) text_ += "\n";
      text_ += "made of " + file_words(f) + "\n";
      below_file_down(file, "");
    }
  }

  void below_file_down(int file, const std::string& indent) {
    const LineageFile& f = l_.files[row_at(file)];
    const bool more = f.more_readers > 0 || f.open;
    for (std::size_t i = 0; i < f.read_by.size(); ++i) {
      const bool last = i + 1 == f.read_by.size() && !more;
      const LineageStep& step = l_.steps[row_at(f.read_by[i])];
      if (!seen_steps_.insert(f.read_by[i]).second) {
        line(indent, last, step.facts.name + "  run " + step.execution.run + ", see elsewhere here");
        continue;
      }
      line(indent, last, step_words(step));
      const std::string inner = deeper(indent, last);
      for (std::size_t j = 0; j < step.makes.size(); ++j) {
        const int made = step.makes[j];
        const bool end = j + 1 == step.makes.size();
        const bool is_new = seen_files_.insert(made).second;
        line(inner, end, file_words(l_.files[row_at(made)]) + (is_new ? "" : "  see above"));
        if (is_new) below_file_down(made, deeper(inner, end));
      }
    }
    if (f.more_readers > 0) {
      line(indent, true, "and " + std::to_string(f.more_readers) + " more that read it");
    } else if (f.open) {
      line(indent, true, "…");
    }
  }

  const Lineage& l_;
  std::string text_;
  std::set<int> seen_files_, seen_steps_;
};

// Edges of both directions, each once: file to step that reads it, step to file that it made.
struct Edge {
  int from, to;
  bool from_step;
  auto operator<=>(const Edge&) const = default;
};

std::set<Edge> edges_of(const Lineage& l) {
  std::set<Edge> edges;
  for (std::size_t i = 0; i < l.files.size(); ++i) {
    const LineageFile& f = l.files[i];
    if (f.made_by >= 0) edges.insert({f.made_by, static_cast<int>(i), true});
    for (const int step : f.read_by) edges.insert({static_cast<int>(i), step, false});
  }
  for (std::size_t i = 0; i < l.steps.size(); ++i) {
    for (const int file : l.steps[i].reads) edges.insert({file, static_cast<int>(i), false});
    for (const int file : l.steps[i].makes) edges.insert({static_cast<int>(i), file, true});
  }
  return edges;
}

std::string step_label(const LineageStep& step, std::string_view line_break) {
  return step.facts.pipeline + " " + step.facts.name + std::string(line_break) + step.execution.run +
         std::string(line_break) + git_words(step.facts);
}

std::string file_label(const LineageFile& f, std::string_view line_break) {
  return f.file.path + (f.file.form == "tree" ? "/" : "") + std::string(line_break) +
         f.file.sha256.substr(0, 12);
}

// A quoted text in which U+0001 stands for a line break.
std::string broken(std::string quoted, std::string_view line_break) {
  std::string text;
  for (const char c : quoted) {
    if (c == '\1') {
      text += line_break;
    } else {
      text += c;
    }
  }
  return text;
}

nlohmann::json maybe(const auto& value) { return value ? nlohmann::json(*value) : nlohmann::json(nullptr); }

}  // namespace

std::string lineage_tree(const Lineage& lineage) { return Tree(lineage).draw(); }

std::string lineage_dot(const Lineage& l) {
  std::string text = "digraph lineage {\n  rankdir=LR;\n  node [shape=note];\n";
  for (std::size_t i = 0; i < l.files.size(); ++i)
    text += "  f" + std::to_string(i) +
            " [label=" + broken(pipeline::dot_quoted(file_label(l.files[i], "\1")), "\\n") +
            (l.files[i].hidden ? ", style=dashed" : "") + "];\n";
  for (std::size_t i = 0; i < l.steps.size(); ++i)
    text += "  s" + std::to_string(i) +
            " [shape=box, label=" + broken(pipeline::dot_quoted(step_label(l.steps[i], "\1")), "\\n") +
            "];\n";
  for (const Edge& edge : edges_of(l))
    text += std::string(edge.from_step ? "  s" : "  f") + std::to_string(edge.from) +
            (edge.from_step ? " -> f" : " -> s") + std::to_string(edge.to) + ";\n";
  return text + "}\n";
}

std::string lineage_mermaid(const Lineage& l) {
  std::string text = "flowchart LR\n";
  for (std::size_t i = 0; i < l.files.size(); ++i)
    text += "  f" + std::to_string(i) + "([" +
            broken(pipeline::mermaid_quoted(file_label(l.files[i], "\1")), "<br/>") + "])\n";
  for (std::size_t i = 0; i < l.steps.size(); ++i)
    text += "  s" + std::to_string(i) + "[" +
            broken(pipeline::mermaid_quoted(step_label(l.steps[i], "\1")), "<br/>") + "]\n";
  for (const Edge& edge : edges_of(l))
    text += std::string(edge.from_step ? "  s" : "  f") + std::to_string(edge.from) +
            (edge.from_step ? " --> f" : " --> s") + std::to_string(edge.to) + "\n";
  return text;
}

nlohmann::json lineage_json(const Lineage& l) {
  nlohmann::json files = nlohmann::json::array();
  for (std::size_t i = 0; i < l.files.size(); ++i) {
    const LineageFile& f = l.files[i];
    files.push_back({{"id", i},
                     {"path", f.file.path},
                     {"sha256", f.file.sha256},
                     {"form", f.file.form},
                     {"kind", f.file.kind},
                     {"size", f.file.size},
                     {"files", f.file.files},
                     {"kept", f.file.kept},
                     {"declared", !f.hidden},
                     {"made_by", f.made_by < 0 ? nlohmann::json(nullptr) : nlohmann::json(f.made_by)},
                     {"made_as", f.made_as.empty() ? f.file.path : f.made_as},
                     {"read_by", f.read_by},
                     {"more_readers", f.more_readers},
                     {"open", f.open}});
  }
  nlohmann::json steps = nlohmann::json::array();
  for (std::size_t i = 0; i < l.steps.size(); ++i) {
    const LineageStep& s = l.steps[i];
    nlohmann::json params = nlohmann::json::object();
    for (const auto& [name, value] : s.params) {
      nlohmann::json parsed = nlohmann::json::parse(value, nullptr, false);
      params[name] = parsed.is_discarded() ? nlohmann::json(value) : parsed;
    }
    steps.push_back({{"id", i},
                     {"run", s.execution.run},
                     {"pipeline", s.facts.pipeline},
                     {"step", s.facts.name},
                     {"kind", s.facts.kind},
                     {"state", to_string(s.facts.state)},
                     {"command", s.facts.command},
                     {"created_at", util::format_utc(s.facts.at)},
                     {"git_commit", maybe(s.facts.git_commit)},
                     {"git_dirty", maybe(s.facts.git_dirty)},
                     {"params", std::move(params)},
                     {"taken_over", s.facts.taken_over},
                     {"reads", s.reads},
                     {"makes", s.makes}});
  }
  return {{"targets", l.targets},      {"target_steps", l.target_steps}, {"note", l.note},
          {"files", std::move(files)}, {"steps", std::move(steps)},      {"cut", l.cut}};
}

}  // namespace mlops::data
