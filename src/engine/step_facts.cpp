#include "engine/step_facts.hpp"

#include "util/digest.hpp"
#include "util/strings.hpp"

#include <algorithm>

namespace mlops::engine {

namespace {

Json files_json(const std::vector<FileFact>& files) {
  Json list = Json::array();
  for (const FileFact& file : files)
    list.push_back({{"path", file.path}, {"form", file.form}, {"sha256", file.sha256}});
  return list;
}

std::vector<FileFact> parse_files(const Json& list) {
  std::vector<FileFact> files;
  for (const Json& file : list)
    files.push_back({file.value("path", ""), file.value("form", ""), file.value("sha256", ""), 0, 1});
  return files;
}

void compare_maps(const char* kind, const std::map<std::string, std::string>& before,
                  const std::map<std::string, std::string>& now, std::vector<Cause>& causes) {
  for (const auto& [name, value] : now) {
    const auto old = before.find(name);
    if (old == before.end()) {
      causes.push_back({kind, name, "", value});
    } else if (old->second != value) {
      causes.push_back({kind, name, old->second, value});
    }
  }
  for (const auto& [name, value] : before) {
    if (!now.contains(name)) causes.push_back({kind, name, value, ""});
  }
}

// The first few files that are not what they were, by name.
bool compare_inside(const char* kind, const FileFact& before, const FileFact& now,
                    const LookInside& look_inside, std::vector<Cause>& causes) {
  constexpr std::size_t most = 5;
  if (before.form != "tree" || now.form != "tree" || !look_inside) return false;
  const auto changes = look_inside(before, now);
  if (!changes || changes->empty()) return false;
  for (std::size_t i = 0; i < std::min(changes->size(), most); ++i) {
    const FileChange& change = (*changes)[i];
    causes.push_back({kind, now.path + "/" + change.path, change.before, change.after});
  }
  if (changes->size() > most)
    causes.push_back({"more", std::to_string(changes->size() - most) + " more files of " + now.path, "", ""});
  return true;
}

void compare_files(const char* kind, const std::vector<FileFact>& before, const std::vector<FileFact>& now,
                   const LookInside& look_inside, std::vector<Cause>& causes) {
  const auto find = [](const std::vector<FileFact>& files, const std::string& path) {
    return std::find_if(files.begin(), files.end(), [&](const FileFact& file) { return file.path == path; });
  };
  const auto shown = [](const FileFact& file) {
    return shown_content(file.sha256, file.form == "executable");
  };
  for (const FileFact& file : now) {
    const auto old = find(before, file.path);
    if (old == before.end()) {
      causes.push_back({kind, file.path, "", shown(file)});
    } else if (!(*old == file) && !compare_inside(kind, *old, file, look_inside, causes)) {
      causes.push_back({kind, file.path, shown(*old), shown(file)});
    }
  }
  for (const FileFact& file : before) {
    if (find(now, file.path) == now.end()) causes.push_back({kind, file.path, shown(file), "not declared"});
  }
}

// Of two lines the words that differ, with the one before them.
void cut_to_difference(std::string& a, std::string& b) {
  std::vector<std::string> x = util::split(a, ' '), y = util::split(b, ' ');
  std::size_t same = 0;
  while (same < x.size() && same < y.size() && x[same] == y[same]) ++same;
  while (x.size() > same && y.size() > same && x.back() == y.back()) x.pop_back(), y.pop_back();
  const auto begin = static_cast<std::ptrdiff_t>(same > 0 ? same - 1 : 0);
  const auto cut = [&](const std::vector<std::string>& words) {
    return util::join(std::vector<std::string>(
                          words.begin() + std::min<std::ptrdiff_t>(begin, std::ssize(words)), words.end()),
                      " ");
  };
  a = cut(x);
  b = cut(y);
}

// A script's lines, or the arguments.
std::vector<std::string> parts_of(const StepFacts& facts) {
  return facts.shell && !facts.command.empty() ? util::split(facts.command[0], '\n') : facts.command;
}

// The first line or argument in which two commands differ.
Cause command_cause(const StepFacts& before, const StepFacts& now) {
  if (before.shell != now.shell)
    return {"command", now.shell ? "now a shell script" : "now without a shell", "", ""};
  const auto old_parts = parts_of(before), new_parts = parts_of(now);
  std::size_t i = 0;
  while (i < old_parts.size() && i < new_parts.size() && old_parts[i] == new_parts[i]) ++i;
  std::string a = i < old_parts.size() ? old_parts[i] : "", b = i < new_parts.size() ? new_parts[i] : "";
  cut_to_difference(a, b);
  const std::string where = (now.shell ? "line " : "argument ") + std::to_string(now.shell ? i + 1 : i);
  return {"command", new_parts.size() > 1 ? where : "", a, b};
}

}  // namespace

Json facts_json(const StepFacts& facts) {
  return {{"format", facts.format},
          {"command", facts.shell && !facts.command.empty() ? Json(facts.command[0]) : Json(facts.command)},
          {"shell", facts.shell},
          {"workdir", facts.workdir},
          {"params", facts.params},
          {"env", facts.env},
          {"inputs", files_json(facts.inputs)},
          {"code", files_json(facts.code)},
          {"outputs", facts.outputs},
          {"metrics", facts.metrics}};
}

StepFacts parse_facts(const Json& json) {
  StepFacts facts;
  if (!json.is_object()) return facts;
  facts.format = json.value("format", 1);
  facts.shell = json.value("shell", false);
  if (const auto command = json.find("command"); command != json.end()) {
    if (command->is_string()) facts.command = {command->get<std::string>()};
    if (command->is_array()) facts.command = command->get<std::vector<std::string>>();
  }
  facts.workdir = json.value("workdir", "");
  facts.params = json.value("params", facts.params);
  facts.env = json.value("env", facts.env);
  facts.inputs = parse_files(json.value("inputs", Json::array()));
  facts.code = parse_files(json.value("code", Json::array()));
  facts.outputs = json.value("outputs", facts.outputs);
  facts.metrics = json.value("metrics", facts.metrics);
  return facts;
}

namespace {

// Text as JSON has it. By hand where nothing has to be escaped: a run makes a key for each step.
void put(std::string& out, std::string_view text) {
  const bool plain =
      std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~' && c != '"' && c != '\\'; });
  if (!plain && util::is_utf8(text)) {
    out += Json(text).dump();
    return;
  }
  if (!plain) {
    out += "{\"sha256\":\"" + util::sha256(text) + "\"}";
    return;
  }
  out += '"';
  out += text;
  out += '"';
}

template <typename List, typename Put>
void put_list(std::string& out, char open, const List& list, const Put& put_one, char close) {
  out += open;
  bool first = true;
  for (const auto& one : list) {
    if (!first) out += ',';
    first = false;
    put_one(one);
  }
  out += close;
}

}  // namespace

std::string key_text(const StepFacts& facts) {
  std::string out;
  const auto key = [&](const char* name) {
    out += out.empty() ? "{\"" : ",\"";
    out += name;
    out += "\":";
  };
  const auto put_files = [&](const std::vector<FileFact>& files) {
    put_list(
        out, '[', files,
        [&](const FileFact& file) {
          out += "{\"form\":";
          put(out, file.form);
          out += ",\"path\":";
          put(out, file.path);
          out += ",\"sha256\":";
          put(out, file.sha256);
          out += '}';
        },
        ']');
  };
  const auto put_map = [&](const std::map<std::string, std::string>& map) {
    put_list(
        out, '{', map,
        [&](const auto& entry) {
          put(out, entry.first);
          out += ':';
          put(out, entry.second);
        },
        '}');
  };
  const auto put_texts = [&](const std::vector<std::string>& texts) {
    put_list(
        out, '[', texts, [&](const std::string& text) { put(out, text); }, ']');
  };
  key("code"), put_files(facts.code);
  key("command");
  if (facts.shell && !facts.command.empty()) {
    put(out, facts.command[0]);
  } else {
    put_texts(facts.command);
  }
  key("env"), put_map(facts.env);
  key("format"), out += std::to_string(facts.format);
  key("inputs"), put_files(facts.inputs);
  key("metrics"), put_texts(facts.metrics);
  key("outputs"), put_texts(facts.outputs);
  key("params"), put_map(facts.params);
  key("shell"), out += facts.shell ? "true" : "false";
  key("workdir"), put(out, facts.workdir);
  return out + "}";
}

std::string cache_key(const StepFacts& facts) { return util::sha256(key_text(facts)); }

std::string shown_content(const std::string& sha256, bool executable) {
  return sha256.substr(0, 12) + (executable ? " executable" : "");
}

std::vector<Cause> compare_facts(const StepFacts& before, const StepFacts& now,
                                 const LookInside& look_inside) {
  std::vector<Cause> causes;
  if (before.format != now.format) return {{"format", "", "", ""}};
  if (before.command != now.command || before.shell != now.shell)
    causes.push_back(command_cause(before, now));
  if (before.workdir != now.workdir) causes.push_back({"workdir", "", before.workdir, now.workdir});
  compare_maps("param", before.params, now.params, causes);
  compare_maps("env", before.env, now.env, causes);
  compare_files("input", before.inputs, now.inputs, look_inside, causes);
  compare_files("code", before.code, now.code, look_inside, causes);
  const auto compare_paths = [&](const char* kind, const std::vector<std::string>& old_paths,
                                 const std::vector<std::string>& new_paths) {
    for (const std::string& path : new_paths) {
      if (std::ranges::find(old_paths, path) == old_paths.end())
        causes.push_back({kind, path, "", "declared"});
    }
    for (const std::string& path : old_paths) {
      if (std::ranges::find(new_paths, path) == new_paths.end())
        causes.push_back({kind, path, "declared", "not declared"});
    }
  };
  compare_paths("output", before.outputs, now.outputs);
  compare_paths("metrics", before.metrics, now.metrics);
  // The same things in another order are another key, as order may mean something to the command.
  if (causes.empty() && !(before == now)) causes.push_back({"order", "", "", ""});
  return causes;
}

Json causes_json(const std::vector<Cause>& causes) {
  Json list = Json::array();
  for (const Cause& cause : causes) {
    Json entry = {{"kind", cause.kind}};
    if (!cause.what.empty()) entry["what"] = cause.what;
    if (!cause.before.empty() || !cause.after.empty()) {
      entry["before"] = cause.before;
      entry["after"] = cause.after;
    }
    if (!cause.by.empty()) entry["by"] = cause.by;
    list.push_back(std::move(entry));
  }
  return list;
}

std::vector<Cause> parse_causes(const std::string& text) {
  std::vector<Cause> causes;
  const Json list = Json::parse(text, nullptr, false);
  if (!list.is_array()) return causes;
  for (const Json& entry : list) {
    if (!entry.is_object()) continue;
    causes.push_back({entry.value("kind", ""), entry.value("what", ""), entry.value("before", ""),
                      entry.value("after", ""), entry.value("by", "")});
  }
  return causes;
}

namespace {

std::string plain_words(const Cause& c) {
  const auto change = [&](const std::string& noun) {
    if (c.before.empty()) return noun + " is new" + (c.after.empty() ? "" : " (" + c.after + ")");
    if (c.after.empty()) return noun + " is gone (it was " + c.before + ")";
    return noun + ": " + c.before + " → " + c.after;
  };
  if (c.kind == "first_run") return c.what.empty() ? "it has no earlier result" : c.what;
  if (c.kind == "param") return change("param " + c.what);
  if (c.kind == "env") return change("env " + c.what);
  if (c.kind == "input") return change("input " + c.what) + (c.by.empty() ? "" : ", made by " + c.by);
  if (c.kind == "more") return "and " + c.what;
  if (c.kind == "code") return change("code " + c.what);
  if (c.kind == "output") return change("output " + c.what);
  if (c.kind == "metrics") return change("metrics file " + c.what);
  if (c.kind == "format") return "this version of mlops takes more into account than the one before";
  if (c.kind == "workdir") return change("workdir");
  if (c.kind == "order") return "the same things are declared in another order";
  if (c.kind == "command") {
    if (c.before.empty() && c.after.empty()) return "command: " + c.what;
    const std::string where = "command" + (c.what.empty() ? "" : ", " + c.what);
    return where + ": " + (c.before.empty() ? "nothing" : c.before) + " → " +
           (c.after.empty() ? "nothing" : c.after);
  }
  if (c.kind == "missing")
    return "its output " + c.what + " as it was made is neither in place nor " +
           (c.after.empty() ? "in the store" : c.after);
  if (c.kind == "tracked_data") return c.what;
  if (c.kind == "edited") return "its output " + c.what + " was changed since, and stays from run to run";
  if (c.kind == "forced") return "forced by " + c.what;
  if (c.kind == "upstream") return "waits for " + c.what + ", which runs";
  if (c.kind == "no_cache") return "always, as " + c.what;
  if (c.kind == "condition") return "when " + c.what;
  if (c.kind == "conditional") return "needs " + c.what + ", which may be skipped";
  if (c.kind == "not_kept") return "the results of run " + c.what + " were not kept, or are kept no more";
  if (c.kind == "restored") return "its output " + c.what + " is put back from the store";
  if (c.kind == "checked_out") return "its output " + c.what + " is put back from DVC's cache";
  if (c.kind == "renamed") return "there it is called " + c.what;
  if (c.kind == "left_out" || c.kind == "skipped" || c.kind == "not_run" || c.kind == "unknown")
    return c.what;
  if (c.kind == "frozen") return "it is frozen: it never runs, whatever has changed, with --force or without";
  if (c.kind == "locked") return "nothing has changed since dvc.lock was written";
  if (c.kind == "run_cache") return "DVC's run cache has its results";
  if (c.kind == "cached") return "nothing has changed since run " + c.what;
  return c.kind + (c.what.empty() ? "" : " " + c.what);
}

}  // namespace

// Names of files may hold anything.
std::string words(const Cause& cause) { return util::escape_controls(plain_words(cause)); }

}  // namespace mlops::engine
