#include <mlops/version.hpp>

#include "cli/context.hpp"
#include "cli/output.hpp"
#include "util/strings.hpp"

#include <cstdio>

namespace mlops::cli {

namespace {

// Text for roff: backslashes, hyphens and leading dots and quotes have meanings there.
std::string escape(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '\\') {
      result += "\\e";
    } else if (c == '-') {
      result += "\\-";
    } else {
      result += c;
    }
  }
  if (!result.empty() && (result[0] == '.' || result[0] == '\'')) result = "\\&" + result;
  return result;
}

void print_command(const Command& command) {
  CLI::App app;
  Context context;
  command.set_up(app, context);
  std::string usage = command.name;
  for (const CLI::Option* option : app.get_options()) {
    if (!option->nonpositional() && option->get_positional()) {
      usage += option->get_required() ? " " + option->get_name() : " [" + option->get_name() + "]";
    }
  }
  std::printf(".SS mlops %s\n%s.\n", escape(usage).c_str(), escape(command.summary).c_str());
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_name() == "--help" || option->get_group().empty()) continue;
    std::string names = option->get_positional() ? option->get_name() : "";
    for (const std::string& name : option->get_snames()) names += (names.empty() ? "-" : ", -") + name;
    for (const std::string& name : option->get_lnames()) names += (names.empty() ? "--" : ", --") + name;
    if (!option->get_positional() && option->get_type_size() != 0)
      names += " " + option->get_type_name().substr(0, option->get_type_name().find(':'));
    std::printf(".TP\n.B %s\n%s\n", escape(names).c_str(), escape(option->get_description()).c_str());
  }
  std::string footer = app.get_footer();
  if (footer.empty()) return;
  std::printf(".PP\n.nf\n");
  for (const std::string& line : util::split(footer, '\n'))
    std::printf("%s\n", line.empty() ? ".sp" : escape(line).c_str());
  std::printf(".fi\n");
}

constexpr const char* head = R"(.SH NAME
mlops \- pipelines, runs and releases for production machine learning
.SH SYNOPSIS
.B mlops
.RI [ options ] " command " [ arguments ]
.SH DESCRIPTION
.B mlops
reads a pipeline written in YAML, runs its steps as processes, and records every run, artifact and metric in one
SQLite database below
.IR .mlops .
.SH OPTIONS
.TP
.BI \-C " DIR"
work in this directory
.TP
.BI "\-w, \-\-workspace" " DIR"
directory that holds .mlops (default: the nearest one upwards)
.TP
.B \-v, \-\-verbose
say on stderr what is done inside
.TP
.B \-\-no\-color
no colours
.SH COMMANDS
)";

constexpr const char* tail = R"(.SH EXIT STATUS
.TP
.B 0
done
.TP
.B 1
a step failed (with \-\-propagate\-exit\-code, that step's own code)
.TP
.B 2
bad usage or a bad file
.TP
.B 3
a gate, validation or check said no
.TP
.B 5
refused: someone else is at it
.TP
.B 69
a remote cannot be reached, or refuses
.TP
.B 74
disk, I/O or database
.TP
.B 75
the slot is not run: somebody else has it, or another run is in the way (\-\-slot); a daemon serves the workspace already
.TP
.B 124
timed out
.TP
.B 130, 143
interrupted by SIGINT, by SIGTERM
.SH ENVIRONMENT
.TP
.B MLOPS_WORKSPACE
directory that holds .mlops, as \-\-workspace
.TP
.B MLOPS_LOG
debug, warning (default) or off
.TP
.B NO_COLOR
if set and not empty, no colours
.TP
.B MLOPS_SSH
the program, with options, that reaches remotes by ssh (default: ssh)
.TP
.B AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_PROFILE, AWS_REGION, AWS_ENDPOINT_URL
credentials and places of remotes in S3, as for the AWS tools
.PP
Steps get MLOPS_RUN_ID, MLOPS_PIPELINE, MLOPS_STEP, MLOPS_ATTEMPT, MLOPS_WORKSPACE, MLOPS_RUN_DIR, MLOPS_PARAMS (a JSON
file), MLOPS_METRICS (append JSON lines), MLOPS_OUTPUT (append KEY=VALUE lines) and, in a run for a slot of a schedule, MLOPS_FENCE.
.SH FILES
.TP
.I .mlops/mlops.db
the database
.TP
.I .mlops/config.yaml
remotes
.TP
.I .mlops/runs/ID/
a run: its frozen definition, logs and exit records
)";

}  // namespace

void set_up_man(CLI::App& app, Context& context) {
  (void)context;
  app.footer("Examples:\n  mlops man | man -l -\n  mlops man > /usr/local/share/man/man1/mlops.1");
  app.callback([] {
    std::printf(".TH MLOPS 1 \"\" \"mlops %s\" \"User Commands\"\n%s", version(), head);
    for (const Command& command : commands()) {
      print_command(command);
    }
    std::fputs(tail, stdout);
  });
}

}  // namespace mlops::cli
