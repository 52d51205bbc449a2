#include <mlops/error.hpp>
#include <mlops/version.hpp>

#include "cli/context.hpp"
#include "cli/export.hpp"
#include "cli/output.hpp"
#include "util/log.hpp"
#include "util/strings.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <tuple>

namespace mlops::cli {

// How to add a command: 1. a file src/cli/NAME.cpp with `set_up_NAME`, which adds options and a callback that
// parses, makes one call into a lower row and prints; 2. its declaration in context.hpp; 3. a line here;
// 4. `MLOPS_ACCEPT=1 ctest -R golden` for the help texts, and docs/cli.md.
const std::vector<Command>& commands() {
  static const std::vector<Command> table = {
      {"init", "Start", "make a workspace and a first pipeline", set_up_init},
      {"import", "Start", "make pipeline files from what another tool has", set_up_import},
      {"run", "Start", "run a pipeline, or resume a run", set_up_run},
      {"validate", "Pipelines", "check pipeline files without running anything", set_up_validate},
      {"plan", "Pipelines", "tell what a run would do, and why", set_up_plan},
      {"lint", "Pipelines", "suggest what steps should declare", set_up_lint},
      {"graph", "Pipelines", "show what depends on what", set_up_graph},
      {"schema", "Pipelines", "print the JSON Schema of the pipeline file", set_up_schema},
      {"schedule", "Schedules", "tell when a schedule runs, and what became of its slots", set_up_schedule},
      {"trigger", "Schedules", "tell what else makes pipelines run, and what happened", set_up_trigger},
      {"daemon", "Schedules", "run pipelines by their schedules", set_up_daemon},
      {"submit", "Schedules", "put a run into a queue", set_up_submit},
      {"queue", "Schedules", "list, move and cancel what waits in queues", set_up_queue},
      {"worker", "Schedules", "run what waits in queues", set_up_worker},
      {"backfill", "Schedules", "run slots of the past that are missing, failed or stale", set_up_backfill},
      {"notify", "Schedules", "see and send messages about how runs end", set_up_notify},
      {"export", "Schedules", "make lines of a crontab, or units of systemd, from schedules", set_up_export},
      {"runs", "Runs", "list runs", set_up_runs},
      {"show", "Runs", "show a run: steps, params, metrics, artifacts", set_up_show},
      {"why", "Runs", "tell why a step ran, or did not", set_up_why},
      {"diff", "Runs", "compare two runs", set_up_diff},
      {"lineage", "Runs", "show where a file comes from and what was made of it", set_up_lineage},
      {"reproduce", "Runs", "run an old run again, and compare what it makes", set_up_reproduce},
      {"logs", "Runs", "print what steps wrote", set_up_logs},
      {"status", "Runs", "show what is running now", set_up_status},
      {"cancel", "Runs", "stop a running run", set_up_cancel},
      {"rm", "Runs", "delete runs and their logs", set_up_rm},
      {"pin", "Runs", "keep a run, or a version of a dataset, whatever is cleaned up", set_up_pin},
      {"unpin", "Runs", "let go of what was pinned", set_up_unpin},
      {"data", "Data", "keep versions of files and directories", set_up_data},
      {"store", "Workspace", "look after the store of outputs", set_up_store},
      {"remote", "Workspace", "name places elsewhere that keep results", set_up_remote},
      {"push", "Workspace", "send runs and their results to a remote", set_up_push},
      {"fetch", "Workspace", "get runs and their results from a remote", set_up_fetch},
      {"pull", "Workspace", "fetch, and put outputs in place", set_up_pull},
      {"sql", "Workspace", "ask the database, read-only", set_up_sql},
      {"db", "Workspace", "back up the database, restore it, merge another one", set_up_db},
      {"fsck", "Workspace", "check that the records are whole and true, and mend them", set_up_fsck},
      {"doctor", "Workspace", "check the workspace and say what to do", set_up_doctor},
      {"version", "Help", "print the version", set_up_version},
      {"completion", "Help", "print a completion script for bash, zsh or fish", set_up_completion},
      {"man", "Help", "print the manual page", set_up_man},
  };
  return table;
}

namespace {

// The first word that is no option of the program itself: the command, as far as can be told before parsing.
std::string command_in(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "-w" || word == "--workspace" || word == "-C") {
      ++i;
    } else if (word.empty() || word[0] != '-' || word == "-") {
      return word;
    }
  }
  return {};
}

void add_common_options(CLI::App& app, Context& context) {
  app.add_option("-w,--workspace", context.workspace,
                 "directory that holds .mlops (default: the nearest one upwards)")
      ->type_name("DIR");
  app.add_flag("-v,--verbose", context.verbose, "say on stderr what is done inside");
  app.add_flag(
      "--no-color", [](std::int64_t) { force_plain(); }, "no colours (as NO_COLOR=1)");
}

// Those of a command have what it has itself.
void add_common_options_below(CLI::App& command, Context& context) {
  for (CLI::App* sub : command.get_subcommands([](CLI::App* app) { return !app->get_name().empty(); })) {
    add_common_options(*sub, context);
    add_common_options_below(*sub, context);
  }
}

// Whoever asked for JSON gets a document also when there is nothing but an error to tell.
void print_error_json(const Error& error) {
  nlohmann::json problems = nlohmann::json::array();
  if (const auto* bad = dynamic_cast<const BadFile*>(&error)) problems = to_json(bad->problems());
  const std::string message = problems.empty()       ? error.what()
                              : problems.size() == 1 ? "1 problem found"
                                                     : std::to_string(problems.size()) + " problems found";
  print_json({{"error",
               {{"message", util::to_utf8(message)},
                {"hint", util::to_utf8(error.hint())},
                {"exit_code", static_cast<int>(error.code())},
                {"problems", std::move(problems)}}}});
}

bool wants_json(const std::vector<std::string>& arguments) {
  return std::ranges::find(arguments, "--json") != arguments.end();
}

int report(const Error& error, const std::string& command, const std::vector<std::string>& arguments) {
  if (wants_json(arguments)) print_error_json(error);
  std::fflush(stdout);
  if (const auto* bad = dynamic_cast<const BadFile*>(&error)) {
    // Where nothing was to be run, that is not worth saying.
    print_diagnostics(bad->problems(), command == "run" ? "; nothing was run" : "");
  } else {
    const Style style = style_of(stderr);
    std::fprintf(stderr, "%s %s\n", style.error("mlops:").c_str(), shown_lines(error.what()).c_str());
    if (!error.hint().empty()) std::fprintf(stderr, "  %s\n", shown_lines(error.hint()).c_str());
  }
  return static_cast<int>(error.code());
}

// An option or argument that the command does not have, in our words: CLI11 lists all that was left over.
std::pair<std::string, std::string> unexpected(const CLI::App& app) {
  std::vector<std::string> options;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) options.push_back("--" + name);
  }
  const std::vector<std::string> left = app.remaining();
  for (const std::string& word : left) {
    if (!word.starts_with("-") || word == "-") continue;
    const std::string name = word.substr(0, word.find('='));
    const std::string near = util::closest(name, options);
    // What other tools call it.
    if (const bool param = name == "-p" || name.starts_with("--param");
        param && near.empty() && std::ranges::find(options, "--set") != options.end())
      return {"there is no option '" + name + "'", "params are set with --set, such as --set train.lr=0.2"};
    return {"there is no option '" + name + "'", near.empty() ? "" : "did you mean '" + near + "'?"};
  }
  if (left.empty())
    return {"an option stands before the command that it belongs to", "write it after the command"};
  const bool file = left[0].ends_with(".yaml") || left[0].ends_with(".yml");
  return {"unexpected argument '" + left[0] + "'",
          file && app.get_name() == "run" ? "one file is run at a time: mlops run " + left[0] : ""};
}

// `mlops store frob`, and `mlops store`.
std::pair<std::string, std::string> unknown_subcommand(const CLI::App& app, const std::string& words) {
  std::vector<std::string> names;
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(sub->get_name());
  const std::string command = words.substr(0, words.size() - 1);
  for (const std::string& word : app.remaining()) {
    if (word.starts_with("-")) continue;
    const std::string near = util::closest(word, names);
    return {"`mlops " + command + "` has no command '" + word + "'",
            near.empty() ? "it has " + util::join(names, ", ") : "did you mean '" + near + "'?"};
  }
  return {"`mlops " + command + "` needs a command", "it has " + util::join(names, ", ")};
}

int report_usage(const CLI::App& app, const CLI::ParseError& error, const std::string& command,
                 const std::vector<std::string>& arguments) {
  const Style style = style_of(stderr);
  const bool in_command = !command.empty() && !app.get_subcommands().empty();
  // `mlops data list --nope`: the innermost command has the options that could have been meant.
  const CLI::App* innermost = &app;
  std::string words;
  while (!innermost->get_subcommands().empty()) {
    innermost = innermost->get_subcommands()[0];
    words += innermost->get_name() + " ";
  }
  std::string message = error.what(), hint;
  if (dynamic_cast<const CLI::ExtrasError*>(&error)) std::tie(message, hint) = unexpected(*innermost);
  // All that is converted here are numbers.
  constexpr std::string_view unreadable = "Could not convert: ";
  if (const std::size_t equals = message.find(" = ");
      message.starts_with(unreadable) && equals != message.npos) {
    message = message.substr(unreadable.size(), equals - unreadable.size()) + ": '" +
              message.substr(equals + 3) + "' is not a number, or too large";
  }
  if (dynamic_cast<const CLI::RequiredError*>(&error) && innermost->get_require_subcommand_min() > 0)
    std::tie(message, hint) = unknown_subcommand(*innermost, words);
  if (wants_json(arguments)) print_error_json(Error(ExitCode::usage, message, hint));
  std::fflush(stdout);
  std::fprintf(stderr, "%s %s\n", style.error("mlops:").c_str(), shown_lines(message).c_str());
  if (!hint.empty()) std::fprintf(stderr, "  %s\n", shown_lines(hint).c_str());
  std::fprintf(stderr, "  see `mlops %s--help`\n", in_command ? words.c_str() : "");
  return static_cast<int>(ExitCode::usage);
}

int execute(int argc, char** argv) {
  // A completion script asks about a line that may hold anything: nothing of it is parsed as ours.
  if (argc > 2 && argv[1] == std::string_view("complete")) return complete({argv + 3, argv + argc});
  Context context;
  for (int i = 0; i < argc; ++i) context.arguments.emplace_back(argv[i]);
  const std::string wanted = command_in(argc, argv);

  CLI::App app("Pipelines, runs and releases for production machine learning.", "mlops");
  app.set_help_flag("-h,--help", "print this help");
  app.set_version_flag("--version", std::string("mlops ") + version(), "print the version");
  app.formatter(make_formatter());
  app.footer(
      "Examples:\n  mlops init\n  mlops run pipeline.yaml\n  mlops runs\n  mlops show latest\n\n"
      "`mlops COMMAND --help` explains a command.");
  app.require_subcommand(0, 1);
  bool change_directory = false;
  app.add_option_function<std::string>(
         "-C",
         [&](const std::string& directory) {
           change_directory = true;
           enter_directory(directory);
         },
         "work in this directory")
      ->type_name("DIR")
      ->trigger_on_parse();
  add_common_options(app, context);

  bool found = false;
  for (const Command& command : commands()) {
    CLI::App* sub = app.add_subcommand(command.name, command.summary);
    sub->group(command.group);
    if (wanted != command.name) continue;
    found = true;
    sub->set_help_flag("-h,--help", "print this help");
    sub->footer("");  // or its subcommands would have the examples of the program
    add_common_options(*sub, context);
    command.set_up(*sub, context);
    add_common_options_below(*sub, context);
  }
  try {
    if (!wanted.empty() && !found) {
      std::vector<std::string> names;
      for (const Command& command : commands()) names.emplace_back(command.name);
      const std::string hint = wanted == "help" ? "see `mlops --help`, or `mlops COMMAND --help`"
                                                : util::did_you_mean(wanted, names);
      throw Error(ExitCode::usage, "there is no command '" + wanted + "'", hint);
    }
    app.parse(argc, argv);
    if (app.get_subcommands().empty()) std::fputs(app.help().c_str(), stdout);
    return context.exit_code;
  } catch (const CLI::CallForHelp&) {
    const bool whole = app.get_subcommands().empty();
    std::fputs((whole ? app.help() : app.get_subcommands()[0]->help("mlops")).c_str(), stdout);
    return 0;
  } catch (const CLI::CallForVersion& call) {
    std::printf("%s\n", call.what());
    return 0;
  } catch (const CLI::ParseError& error) {
    return report_usage(app, error, wanted, context.arguments);
  } catch (const Error& error) {
    return report(error, wanted, context.arguments);
  } catch (const std::bad_alloc&) {
    std::fputs("mlops: out of memory\n", stderr);
  } catch (const std::exception& error) {
    std::fprintf(
        stderr,
        "mlops: unexpected: %s\n  this is a defect of mlops; please report it with the command you typed\n",
        error.what());
  }
  return static_cast<int>(ExitCode::io);
}

}  // namespace

int run_command_line(int argc, char** argv) {
  const int code = execute(argc, argv);
  // What was printed may be the whole purpose of the command: an answer that nobody got is no success.
  const bool flushed = std::fflush(stdout) == 0;
  const int error = errno;
  if (flushed && std::ferror(stdout) == 0) return code;
  if (code != 0) return code;
  std::fprintf(stderr, "mlops: cannot write to the standard output%s%s\n", flushed ? "" : ": ",
               flushed ? "" : std::strerror(error));
  return static_cast<int>(ExitCode::io);
}

}  // namespace mlops::cli
