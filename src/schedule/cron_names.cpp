#include "schedule/cron_import.hpp"
#include "util/strings.hpp"

#include <algorithm>
#include <cctype>
#include <set>
#include <utility>
#include <vector>

namespace mlops::schedule {

namespace {

// They only make way for what comes after them.
const std::set<std::string, std::less<>> preparations = {
    "cd",   "test", "[",     "[[",   "export", "set",    "source", ".",    "umask", "sleep", "ulimit",
    "true", "trap", "false", "exit", "mkdir",  "echo",   "printf", "date", "pushd", "popd",  "shift",
    "eval", "wait", "unset", "for",  "case",   "logger", "fi",     "done", "esac",  ":"};
// Of these, some say or do something by themselves: what is left, if nothing comes after them.
const std::set<std::string, std::less<>> last_resorts = {"echo",  "printf", "date",   "logger",
                                                         "sleep", "mkdir",  "export", "eval"};
// Their `run` wraps what comes after it.
const std::set<std::string, std::less<>> managers = {"uv", "poetry", "pipenv", "pdm", "hatch", "pixi", "rye"};
const std::set<std::string, std::less<>> openings = {"{", "!", "if", "then", "else", "do", "while", "until"};
const std::set<std::string, std::less<>> wrappers = {
    "nice",   "ionice",  "nohup",   "time",    "timeout",   "flock",   "env",
    "sudo",   "chronic", "exec",    "doas",    "setsid",    "command", "run-one",
    "cronic", "chrt",    "taskset", "setpriv", "run-parts", "stdbuf",  "runuser"};
const std::set<std::string, std::less<>> interpreters = {"sh",   "bash", "dash", "zsh",  "ksh",    "perl",
                                                         "ruby", "php",  "node", "java", "Rscript"};

std::string base_name(const std::string& word) { return word.substr(word.rfind('/') + 1); }

bool is_interpreter(const std::string& name) {
  return interpreters.contains(name) || name.starts_with("python");
}

bool is_assignment(const std::string& word) {
  const std::size_t equals = word.find('=');
  return equals != word.npos && equals > 0 &&
         std::ranges::all_of(word.substr(0, equals),
                             [](unsigned char c) { return std::isalnum(c) != 0 || c == '_'; });
}

bool is_name(const std::string& word) {
  return !word.empty() && word[0] != '-' && word.find_first_of("<>$`=*?{}") == word.npos &&
         std::ranges::any_of(word, [](unsigned char c) { return std::isalpha(c) != 0; });
}

// Of the shell, and nothing else.
bool is_variable(const std::string& word) {
  return word.size() > 1 && word[0] == '$' && word.find('/') == word.npos;
}

// "90s" and "10m" are no names.
bool is_number(const std::string& word) { return std::isdigit(static_cast<unsigned char>(word[0])) != 0; }

std::string without_extension(std::string name) {
  for (const char* extension : {".py", ".sh", ".pl", ".rb", ".php", ".js", ".R", ".bash", ".jar", ".yaml"}) {
    if (name.size() > std::string(extension).size() && name.ends_with(extension))
      return name.substr(0, name.size() - std::string(extension).size());
  }
  return name;
}

// The name that a simple command gives, if any.
std::string name_in(const std::vector<std::string>& words) {
  std::size_t i = 0;
  while (i < words.size() && (is_assignment(words[i]) || openings.contains(words[i]))) ++i;
  if (i == words.size() || preparations.contains(words[i])) return {};
  const bool unknown = is_variable(words[i]);  // as `$PYTHON` in front of a script
  if (!unknown && !is_name(words[i])) return {};
  const std::string program = unknown ? "" : base_name(words[i]);
  if (preparations.contains(program)) return {};
  const bool wraps = wrappers.contains(program), interprets = unknown || is_interpreter(program);
  if (managers.contains(program) && i + 2 < words.size() && words[i + 1] == "run") {
    const auto rest = std::find_if(words.begin() + static_cast<std::ptrdiff_t>(i) + 2, words.end(), is_name);
    return rest == words.end() ? program : name_in({rest, words.end()});
  }
  if (!wraps && !interprets) return program;
  bool skip = program == "flock";  // the file that it locks
  for (std::size_t k = i + 1; k < words.size(); ++k) {
    if (words[k] == "-u" && wraps) {  // a user
      ++k;
    } else if (interprets && words[k].find(' ') != words[k].npos) {
      return name_of_command(words[k]);
    } else if (is_name(words[k]) && !is_number(words[k]) && !std::exchange(skip, false)) {
      return interprets ? base_name(words[k])
                        : name_in({words.begin() + static_cast<std::ptrdiff_t>(k), words.end()});
    }
  }
  return program;
}

}  // namespace

std::vector<std::vector<std::string>> simple_commands(const std::string& script) {
  std::vector<std::vector<std::string>> commands(1);
  std::string word;
  char quote = 0;
  bool escaped = false;     // what follows a backslash
  bool redirected = false;  // the next word is a file
  const auto end_word = [&] {
    if (word.empty()) return;
    if (!std::exchange(redirected, false)) commands.back().push_back(word);
    word.clear();
  };
  for (const char c : script) {
    if (std::exchange(escaped, false)) {
      word += c;
    } else if (c == '\\' && quote != '\'') {
      escaped = true;
    } else if (quote) {
      if (c == quote)
        quote = 0;
      else
        word += c;
    } else if (c == '\'' || c == '"') {
      quote = c;
    } else if (c == ' ' || c == '\t') {
      end_word();
    } else if (c == '<' || c == '>') {
      end_word();
      redirected = true;
    } else if (std::string_view(";|&()\n").find(c) != std::string_view::npos) {
      end_word();
      redirected = false;
      if (!commands.back().empty()) commands.emplace_back();
    } else {
      word += c;
    }
  }
  end_word();
  return commands;
}

std::string name_of_command(const std::string& command) {
  std::string found;
  const auto commands = simple_commands(command);
  for (auto words = commands.begin(); words != commands.end() && found.empty(); ++words)
    found = name_in(*words);
  for (auto words = commands.begin(); words != commands.end() && found.empty(); ++words) {
    const auto program = std::find_if_not(words->begin(), words->end(), is_assignment);
    if (program != words->end() && last_resorts.contains(base_name(*program))) found = base_name(*program);
  }
  if (found.empty() && !commands[0].empty() && is_name(commands[0][0])) found = base_name(commands[0][0]);
  std::string name;
  for (const char c : without_extension(found)) {
    const auto u = static_cast<unsigned char>(c);
    const bool fits = u < 0x80 && (std::isalnum(u) != 0 || c == '_' || c == '.' || c == '-');
    if (fits || (!name.empty() && name.back() != '-')) name += fits ? c : '-';
  }
  while (!name.empty() && (name[0] == '.' || name[0] == '-')) name.erase(0, 1);
  name = name.substr(0, 60);
  while (!name.empty() && (name.back() == '.' || name.back() == '-')) name.pop_back();
  return name.empty() ? "job" : name;
}

}  // namespace mlops::schedule
