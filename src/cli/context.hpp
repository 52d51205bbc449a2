// What every command gets, and the table of commands.
#pragma once

#include <mlops/workspace.hpp>

#include "db/database.hpp"

#include <CLI/CLI.hpp>

#include <memory>
#include <string>
#include <vector>

namespace mlops::cli {

/// Options that every command has, and what came of the command.
struct Context {
  std::string workspace;  ///< --workspace; empty: found from the working directory
  bool verbose = false;
  std::vector<std::string> arguments;  ///< argv, for the record
  int exit_code = 0;
};

/// A command: its options are set up only when it is the one that was called.
struct Command {
  const char* name;
  const char* group;
  const char* summary;
  void (*set_up)(CLI::App&, Context&);
};

/// All commands, in the order of the help.
const std::vector<Command>& commands();

/// The whole program after argv was found not to be a keeper's. Returns the exit code.
int run_command_line(int argc, char** argv);

/// Answers a completion script: lines of CANDIDATE<tab>DESCRIPTION for the last of `words`, the line as typed
/// so far without the program's name. `mlops complete -- WORD…` calls it.
int complete(const std::vector<std::string>& words);

/// Throws Error(io) when the workspace cannot be entered, or its database is gone though runs have
/// directories.
void require_database(const Workspace& workspace);

/// The workspace around the working directory with its database, runs of dead runners brought up to date.
struct OpenWorkspace {
  Workspace workspace;
  db::Database database;
};
/// For commands that look: creates and migrates nothing. A workspace of another user, or one that others may
/// write to, is only read, and no run in it is brought up to date.
OpenWorkspace open_to_read(const Context& context);
/// For commands that change what is there, in a workspace of one's own.
OpenWorkspace open_to_write(const Context& context);

/// A run that the user named: an id, a unique beginning or end of one, `latest` or `latest:PIPELINE`.
/// Throws Error(usage) with what there is.
std::string find_run_id(OpenWorkspace& open, const std::string& name);

/// `--set KEY=VALUE`, once for each param, of the commands that read a pipeline file.
void add_set_option(CLI::App& app, std::vector<std::string>& overrides,
                    const std::string& help = "set a param, as for run");

// One set-up function a command; each lives in the file of its name.
void set_up_init(CLI::App&, Context&);
void set_up_import(CLI::App&, Context&);
void set_up_run(CLI::App&, Context&);
void set_up_daemon(CLI::App&, Context&);
void set_up_submit(CLI::App&, Context&);
void set_up_backfill(CLI::App&, Context&);
void set_up_queue(CLI::App&, Context&);
void set_up_worker(CLI::App&, Context&);
void set_up_validate(CLI::App&, Context&);
void set_up_plan(CLI::App&, Context&);
void set_up_why(CLI::App&, Context&);
void set_up_diff(CLI::App&, Context&);
void set_up_lineage(CLI::App&, Context&);
void set_up_reproduce(CLI::App&, Context&);
void set_up_store(CLI::App&, Context&);
void set_up_lint(CLI::App&, Context&);
void set_up_remote(CLI::App&, Context&);
void set_up_push(CLI::App&, Context&);
void set_up_fetch(CLI::App&, Context&);
void set_up_pull(CLI::App&, Context&);
void set_up_data(CLI::App&, Context&);
void set_up_pin(CLI::App&, Context&);
void set_up_unpin(CLI::App&, Context&);
void set_up_graph(CLI::App&, Context&);
void set_up_schema(CLI::App&, Context&);
void set_up_schedule(CLI::App&, Context&);
void set_up_trigger(CLI::App&, Context&);
void set_up_runs(CLI::App&, Context&);
void set_up_show(CLI::App&, Context&);
void set_up_logs(CLI::App&, Context&);
void set_up_notify(CLI::App&, Context&);
void set_up_status(CLI::App&, Context&);
void set_up_cancel(CLI::App&, Context&);
void set_up_rm(CLI::App&, Context&);
void set_up_sql(CLI::App&, Context&);
void set_up_db(CLI::App&, Context&);
void set_up_fsck(CLI::App&, Context&);
void set_up_doctor(CLI::App&, Context&);
void set_up_version(CLI::App&, Context&);
void set_up_completion(CLI::App&, Context&);
void set_up_man(CLI::App&, Context&);

}  // namespace mlops::cli
