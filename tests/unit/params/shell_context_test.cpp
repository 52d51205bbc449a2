#include "params/shell_context.hpp"

#include "catch.hpp"
#include "params/interpolate.hpp"
#include "process/capture.hpp"
#include "temp_dir.hpp"
#include "util/files.hpp"

#include <random>

using namespace mlops;
using namespace mlops::params;

namespace {

// The context at the '@' of a script.
ShellContext at(std::string script) {
  const std::size_t place = script.find('@');
  script.replace(place, 1, "V");
  return ShellScanner(script).at(place);
}

using Context = ShellContext;

// `script` with the value of ${params.v0}, ${params.v1}… put in; nullopt if a place is refused.
std::optional<std::string> filled(const std::string& script, const std::vector<std::string>& values) {
  Json params = Json::object();
  for (std::size_t i = 0; i < values.size(); ++i) params["v" + std::to_string(i)] = values[i];
  const Scope scope{&params, nullptr, "test", nullptr};
  const Interpolated result = interpolate(script, scope, Target::shell);
  if (!result.problems.empty()) return std::nullopt;
  return result.pieces.at(0).literal;
}

std::string output_of(const std::string& script, const std::string& directory) {
  return process::capture({"/bin/sh", "-c", script}, directory, 20'000).out;
}

std::string random_value(std::mt19937& random) {
  static const std::vector<std::string> atoms = {
      "'",   "\"", "`",  "$", "\\", "\n", " ", "\t", "$(", ")",    "${",  "}",    "(",
      ";",   "&",  "|",  "<", ">",  "<<", "#", "!",  "*",  "?",    "[",   "]",    "{",
      "~",   "=",  "%",  "-", "--", "\r", "a", "0",  "é",  "Á",    "€",   "\x01", "\x7f",
      "\\n", "$'", "$x", "E", "fi", "do", ",", "%s", ";;", "esac", "\\\n"};
  std::string value;
  for (unsigned n = random() % 12; n > 0; --n) value += atoms[random() % atoms.size()];
  return value;
}

}  // namespace

TEST_CASE("words of a script are told from quotes and comments") {
  for (const char* script : {"echo @",
                             "@",
                             "a;@",
                             "a && @",
                             "a\\\n@",
                             "x=@",
                             "'a'@",
                             "\"a\"@",
                             "a#@",
                             "a'#'@",
                             "# c\n@",
                             "$(@)",
                             "$(a; (b); @)",
                             "\"$(@)\"",
                             "\"$(echo \"a\" @)\"",
                             "(@)",
                             "${x}@",
                             "${x:-'}'}@",
                             "$((1+1))@",
                             "`a`@",
                             "\\'@",
                             "\\#@",
                             "a <<E\nb\nE\n@",
                             "a <<-E\nb\n\tE\n@",
                             "a <<E @",
                             "a <<'E'; @",
                             "a <<<b @",
                             "case x in a) @;; esac",
                             "a <<A <<B\nA\nB\n@",
                             "$$@",
                             "$?@",
                             "$(a # ')\n@)"}) {
    INFO(script);
    REQUIRE(at(script) == Context::word);
  }
  REQUIRE(at("'@'") == Context::single_quotes);
  REQUIRE(at("'\\'@") == Context::word);
  REQUIRE(at("\"@\"") == Context::double_quotes);
  REQUIRE(at("\"\\\"@\"") == Context::double_quotes);
  REQUIRE(at("\"$(a)@\"") == Context::double_quotes);
  REQUIRE(at("$('@')") == Context::single_quotes);
  REQUIRE(at("# @") == Context::comment);
  REQUIRE(at("a # '\nb # @") == Context::comment);
  REQUIRE(at("a;#@") == Context::comment);
  REQUIRE(at("\\@") == Context::escaped);
}

TEST_CASE("expansions and here-documents are recognised") {
  REQUIRE(at("`@`") == Context::backticks);
  REQUIRE(at("\"`@`\"") == Context::backticks);
  REQUIRE(at("$((@))") == Context::arithmetic);
  REQUIRE(at("$(((1) + @))") == Context::arithmetic);
  REQUIRE(at("${x:-@}") == Context::braces);
  REQUIRE(at("\"${x:-@}\"") == Context::braces);
  REQUIRE(at("a <<E\n@\nE\n") == Context::heredoc);
  REQUIRE(at("a <<E\nE x\n@") == Context::heredoc);
  REQUIRE(at("a <<E\n\tE\n@") == Context::heredoc);
  REQUIRE(at("a << \"E F\"\n@") == Context::quoted_heredoc);
  REQUIRE(at("a <<\\E\n@") == Context::quoted_heredoc);
  REQUIRE(at("a <<\\'E\nE\n@") == Context::quoted_heredoc);
  REQUIRE(at("a <<E # it's\n@") == Context::heredoc);
  REQUIRE(at("a <<A <<B\nx\nA\n@") == Context::heredoc);
}

TEST_CASE("where shells differ the place is unclear") {
  for (const char* script :
       {"$(case x in a) @;; esac)", "$(a;case x in a) @", "$'@'", "$[@]", "$(cat <<E\n@\nE\n)", "a <<$x\n@",
        "a <<E\n$(b\nE\n@", "a <<E\nb\\\nE\n@", "\"${x:-'@'}\"", "$((a) @)", "a <<E $(\n@", "a <\\\n<E\n@",
        "$\\\n((@))", "$(\\\n(@))", "$(ca\\\nse x in a) @", "a <<E\\\nF\n@", "a <<'E\n@"}) {
    INFO(script);
    REQUIRE(at(script) == Context::unclear);
  }
}

TEST_CASE("the scanner looks ahead no further than asked and never past the end") {
  const std::string script = "a 'b' \"c\" # d";
  ShellScanner scanner(script);
  REQUIRE(scanner.at(0) == Context::word);
  REQUIRE(scanner.at(3) == Context::single_quotes);
  REQUIRE(scanner.at(7) == Context::double_quotes);
  REQUIRE(scanner.at(script.size()) == Context::comment);
  for (const char* cut :
       {"\\", "$", "<<", "<<-", "'", "\"\\", "$(", "$((", "${", "a <<E\n", "a <<E\nE", "a <<\\"}) {
    ShellScanner(cut).at(std::string_view(cut).size());
  }
}

TEST_CASE("any value arrives byte for byte, wherever it may be put") {
  const TempDir dir;
  const std::vector<std::string> templates = {
      "printf '%s\\0' V",
      "printf '%s\\0' \"\"V''",
      "printf '%s\\0' \"$(printf '%s.' V)\"",
      "x=V; printf '%s.\\0' \"$x\"",
      "f() { printf '%s\\0' \"$1\"; }; f V",
      "# it's a comment\nprintf '%s\\0' V # another \"one\"",
      "cat >/dev/null <<'E'; : 'a'\n\"'`\nE\nprintf '%s\\0' V",
      "if true; then (printf '%s\\0' V); fi",
      "for v in V; do printf '%s\\0' \"$v\"; done",
      "case V in \"\") printf '%s\\0' V;; *) printf '%s\\0' V;; esac",
      "printf '%s\\0' \\\nV",
  };
  std::mt19937 random(20'260'131);
  std::size_t tried = 0;
  for (const std::string& one : templates) {
    std::vector<std::string> values = {
        "",    "-n", "$(touch pwned)", "`touch pwned`", "';touch pwned;'", "a\ntouch pwned\n", "if",
        "A=b", "\\"};
    while (values.size() < 50) values.push_back(random_value(random));
    std::string script;
    for (std::size_t i = 0; i < values.size(); ++i) {
      std::string part = one;
      for (std::size_t p = part.find('V'); p != part.npos; p = part.find('V', p))
        part.replace(p, 1, "${params.v" + std::to_string(i) + "}");
      script += part + "\n";
    }
    const auto ready = filled(script, values);
    INFO(one);
    REQUIRE(ready);
    const std::string out = output_of(*ready, dir.path());
    std::size_t begin = 0;
    for (const std::string& value : values) {
      const std::size_t end = out.find('\0', begin);
      REQUIRE(end != out.npos);
      std::string got = out.substr(begin, end - begin);
      begin = end + 1;
      // Command substitution and the variable print a dot at the end, which guards a newline.
      if (got != value && got.ends_with('.')) got.pop_back();
      REQUIRE(got == value);
      ++tried;
    }
    REQUIRE(begin == out.size());
  }
  REQUIRE(tried == 50 * templates.size());
  REQUIRE_FALSE(util::exists(dir / "pwned"));
}

TEST_CASE("whatever the script, a value in it is never run") {
  const TempDir dir;
  const std::vector<std::string> tokens = {"echo ",
                                           "a",
                                           " ",
                                           "'",
                                           "\"",
                                           "'",
                                           "\"",
                                           "#",
                                           "\n",
                                           "$(",
                                           ")",
                                           "$((",
                                           "))",
                                           "${x:-",
                                           "}",
                                           "{ ",
                                           "; }",
                                           "`",
                                           "\\",
                                           "\\\n",
                                           "<<E\n",
                                           "<<'E'\n",
                                           "<<-E\n",
                                           "E\n",
                                           "\nE\n",
                                           "<<E",
                                           "cat ",
                                           "; ",
                                           "&& ",
                                           "| ",
                                           "$$",
                                           "$",
                                           "$${a ",
                                           "$${params.v0}",
                                           "(",
                                           "case a in ",
                                           "a) ",
                                           ";; ",
                                           "esac",
                                           "<",
                                           "<<<a",
                                           "$'",
                                           "ca\\\nse a in ",
                                           "x=",
                                           "if :; then ",
                                           "; fi",
                                           "${params.v0}",
                                           "${params.v0}",
                                           "${params.v0}"};
  const std::vector<std::string> values = {
      "a$(touch pwned)`touch pwned`;touch pwned\n touch pwned\n;touch pwned;",
      "'\"$(touch pwned)`touch pwned`;touch pwned\n touch pwned\n;touch pwned;\"'$(touch pwned)",
      "a[$(touch pwned)]\n) touch pwned\nE\ntouch pwned\n}",
  };
  // Scripts that were once taken for something else than what the shell reads.
  std::vector<std::string> scripts = {"echo \\$${a #} ${params.v0}",
                                      "echo $$${a #} ${params.v0}",
                                      "echo \"$$( ${params.v0} )\"",
                                      "cat <\\\n<E\n${params.v0}\nE\n",
                                      "echo $\\\n(( ${params.v0} ))",
                                      "echo \"$(ca\\\nse x in a) echo \" ${params.v0} \";; esac)\"",
                                      "cat <<E $(echo \n'\nE\n${params.v0}\n')\nE\n",
                                      "cat <<\\'E'\n'E\n${params.v0}\n"};
  std::mt19937 random(7);
  while (scripts.size() < 1'200) {
    std::string script;
    for (unsigned n = 2 + random() % 12; n > 0; --n) script += tokens[random() % tokens.size()];
    scripts.push_back(script + "${params.v0}");
  }
  int run = 0;
  for (std::size_t i = 0; i < scripts.size(); ++i) {
    for (std::size_t k = 0; k < values.size(); ++k) {
      if (i >= 8 && k != i % values.size()) continue;
      const auto ready = filled(scripts[i], {values[k]});
      if (!ready) continue;
      ++run;
      output_of(*ready, dir.path());
      INFO(scripts[i] << "\n--- became ---\n" << *ready);
      REQUIRE_FALSE(util::exists(dir / "pwned"));
    }
  }
  REQUIRE(run > 200);
}

TEST_CASE("words with a meaning of their own are quoted") {
  REQUIRE(shell_word("plain") == "plain");
  REQUIRE(shell_word("") == "''");
  for (const char* word : {"if", "then", "fi", "do", "done", "case", "esac", "for", "while", "in", "time",
                           "function", "A=b", "=", "PATH=/x"})
    REQUIRE(shell_word(word) == "'" + std::string(word) + "'");
  REQUIRE(shell_word("a b") == "'a b'");
}
