#include "cli/context.hpp"
#include "cli/output.hpp"
#include "db/outbox.hpp"
#include "notify/delivery.hpp"
#include "notify/outbox.hpp"
#include "notify/transport.hpp"
#include "util/log.hpp"
#include "util/quantity.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"

#include <algorithm>
#include <cstdio>

namespace mlops::cli {

namespace {

struct NotifyOptions {
  std::string file, name, run, state, last;
  std::vector<std::string> messages;
  int limit = 50;
  bool stay = false;
  bool json = false;
};

Instant since(const std::string& last) {
  const auto span = util::parse_duration(last);
  if (!span) throw Error(ExitCode::usage, "cannot read --last '" + last + "'", "such as 7d, 12h or 90m");
  return util::now() - *span;
}

std::string place_words(const MessageRecord& message) {
  try {
    return notify::place_of(notify::read_addressee(nlohmann::json::parse(message.target, nullptr, false)));
  } catch (const Error&) {
    return "?";
  }
}

nlohmann::json message_json(const MessageRecord& message) {
  const bool waits = message.state == MessageState::waiting && message.claimer.empty();
  return {{"id", message.id},
          {"pipeline", message.pipeline},
          {"notification", message.notification},
          {"to", place_words(message)},
          {"occasion", message.occasion},
          {"run", message.run_id.empty() ? nlohmann::json() : nlohmann::json(message.run_id)},
          {"subject", message.subject},
          {"body", message.body},
          {"state", to_string(message.state)},
          {"attempts", message.attempts},
          {"next_at", waits ? time_json(message.next_at) : nlohmann::json()},
          {"error", message.error},
          {"created_at", time_json(message.created_at)},
          {"ended_at", time_json(message.ended_at)}};
}

// Why the last attempt did not do, and what comes next.
std::string why(const MessageRecord& message) {
  if (message.state != MessageState::waiting) return message.error;
  const std::string before = message.error.empty() ? "" : message.error + "; ";
  if (!message.claimer.empty()) return before + "being sent";
  if (message.attempts == 0) return message.error;
  return before + "again at " + util::format_local(message.next_at);
}

void list(const NotifyOptions& options, const Context& context) {
  OpenWorkspace open = open_to_read(context);
  db::MessageFilter filter;
  if (!options.state.empty()) {
    filter.state = parse_message_state(options.state);
    if (!filter.state)
      throw Error(ExitCode::usage, "there is no state '" + options.state + "'",
                  util::did_you_mean(options.state, {"waiting", "sent", "failed", "suppressed"}));
  }
  if (!options.last.empty()) filter.since = since(options.last);
  filter.limit = options.limit;
  const auto messages = db::list_messages(open.database.connection(), filter);
  if (options.json) {
    nlohmann::json list = nlohmann::json::array();
    for (const MessageRecord& message : messages) list.push_back(message_json(message));
    return print_json({{"messages", std::move(list)}});
  }
  if (messages.empty()) {
    std::fprintf(stderr, "no messages%s; `notify:` in a pipeline file says who is told\n",
                 options.state.empty() && options.last.empty() ? " yet" : " like that");
    return;
  }
  Table table({"ID", "MADE AT", "PIPELINE", "NOTIFICATION", "OCCASION", "STATE", "TRIED", "WHY"});
  table.right_align(6);
  for (const MessageRecord& message : messages) {
    table.add({message.id, util::format_local(message.created_at), message.pipeline, message.notification,
               message.occasion, to_string(message.state), std::to_string(message.attempts), why(message)});
  }
  table.print(stdout);
}

// Prints what becomes of messages as it is known, or all of it as JSON. Returns the exit code.
class Report {
 public:
  explicit Report(bool json) : json_(json) {}

  void add(const MessageRecord& message) {
    undelivered_ = undelivered_ || message.state != MessageState::sent;
    if (json_) {
      list_.push_back(message_json(message));
    } else {
      const Style style = style_of(stdout);
      const bool sent = message.state == MessageState::sent;
      std::printf("%s %s to %s%s\n", sent ? style.good("sent").c_str() : style.error("not sent").c_str(),
                  message.notification.c_str(), place_words(message).c_str(),
                  sent ? "" : (": " + message.error).c_str());
      std::fflush(stdout);
    }
    ++count_;
  }

  int conclude() {
    if (json_) {
      print_json({{"messages", std::move(list_)}});
    } else if (count_ == 0) {
      std::printf("nothing to send\n");
    }
    return static_cast<int>(undelivered_ ? ExitCode::unreachable : ExitCode::done);
  }

 private:
  bool json_;
  bool undelivered_ = false;
  int count_ = 0;
  nlohmann::json list_ = nlohmann::json::array();
};

int test(const NotifyOptions& options, const Context& context) {
  util::set_up_log(context.verbose);
  const Pipeline pipeline = load_pipeline(options.file, {.overrides = {}, .check_files = false, .slot = {}});
  std::vector<std::string> names;
  for (const Notification& entry : pipeline.notifications) names.push_back(entry.name);
  if (names.empty())
    throw Error(ExitCode::usage, "'" + options.file + "' tells nobody how its runs end",
                "such as  notify: {webhook: {secret: SLACK_URL}, preset: slack}");
  if (!options.name.empty() && std::ranges::find(names, options.name) == names.end())
    throw Error(ExitCode::usage, "'" + options.file + "' has no notification '" + options.name + "'",
                util::did_you_mean(options.name, names));
  bool created = false;
  const Workspace workspace = Workspace::find_or_create(pipeline.directory, context.workspace, created);
  workspace.check_owner();
  const notify::Transport transport(workspace);
  Report report(options.json);
  for (const notify::Addressee& addressee : notify::addressees_of(pipeline)) {
    if (!options.name.empty() && addressee.entry.name != options.name) continue;
    report.add(notify::send_test(transport, addressee, pipeline));
  }
  return report.conclude();
}

int deliver(const NotifyOptions& options, const Context& context) {
  if (options.stay) {
    const Workspace workspace = Workspace::require(".", context.workspace);
    workspace.check_owner();
    notify::deliver_and_stay(workspace, options.run);
    return 0;
  }
  const Workspace workspace = open_to_write(context).workspace;
  Report report(options.json);
  notify::deliver_due(workspace, {}, [&](const MessageRecord& message) { report.add(message); });
  return report.conclude();
}

MessageRecord find_message(db::Connection& connection, const std::string& text) {
  const auto found = db::find_messages(connection, text);
  if (found.empty())
    throw Error(ExitCode::usage, "there is no message '" + text + "'", "`mlops notify list` lists them");
  if (found.size() > 1 && found[0].id != text)
    throw Error(ExitCode::usage, "'" + text + "' fits several messages",
                found[0].id + ", " + found[1].id + "; the last characters of an id tell them apart best");
  return found[0];
}

int retry(const NotifyOptions& options, const Context& context) {
  std::optional<Workspace> workspace;
  {
    OpenWorkspace open = open_to_write(context);
    workspace = open.workspace;
    db::Connection& connection = open.database.connection();
    std::vector<MessageRecord> again;
    for (const std::string& text : options.messages) again.push_back(find_message(connection, text));
    if (options.messages.empty()) {
      again = db::list_messages(connection, {.state = MessageState::waiting, .since = {}});
      const auto failed =
          db::list_messages(connection, {.state = MessageState::failed, .since = since(options.last)});
      again.insert(again.end(), failed.begin(), failed.end());
    }
    notify::make_due(open.database, std::move(again));
  }
  Report report(options.json);
  notify::deliver_due(*workspace, {}, [&](const MessageRecord& message) { report.add(message); });
  return report.conclude();
}

}  // namespace

void set_up_notify(CLI::App& app, Context& context) {
  auto options = std::make_shared<NotifyOptions>();
  app.require_subcommand(1);
  auto* all = app.add_subcommand("list", "list messages about runs, and what became of them");
  all->add_option("--state", options->state, "only these: waiting, sent, failed or suppressed")
      ->type_name("STATE");
  all->add_option("--last", options->last, "only those made in such a time, e.g. 7d")->type_name("DURATION");
  all->add_option("--limit", options->limit, "the newest so many (default 50; 0: all)")
      ->type_name("N")
      ->check(CLI::Range(0, 1'000'000'000));
  all->footer("Examples:\n  mlops notify list\n  mlops notify list --state failed --last 7d");
  all->callback([options, &context] { list(*options, context); });
  auto* try_out = app.add_subcommand("test", "send a test message to whom a pipeline file names");
  try_out->add_option("FILE", options->file, "pipeline file")->required();
  try_out->add_option("NAME", options->name, "only this entry of its `notify:`");
  try_out->footer(
      "Examples:\n  mlops notify test pipeline.yaml\n  mlops notify test pipeline.yaml SLACK_URL");
  try_out->callback([options, &context] { context.exit_code = test(*options, context); });
  auto* again = app.add_subcommand("retry", "send now what waits, and what has failed");
  again->add_option("MESSAGE", options->messages, "only these; default: all that wait, and failed ones");
  again->add_option("--last", options->last, "how far back failed ones are looked for (default 1d)")
      ->type_name("DURATION");
  again->footer("Examples:\n  mlops notify retry\n  mlops notify retry --last 7d");
  again->callback([options, &context] {
    if (options->last.empty()) options->last = "1d";
    context.exit_code = retry(*options, context);
  });
  auto* due = app.add_subcommand("deliver", "send what is due, as the end of each run and the daemon do");
  due->add_flag("--stay", options->stay)->group("");  // as a process that the end of a run starts
  due->add_option("--run", options->run)->group("");
  due->footer("Examples:\n  mlops notify deliver\n  mlops notify deliver --json");
  due->callback([options, &context] { context.exit_code = deliver(*options, context); });
  for (CLI::App* command : {all, try_out, again, due})
    command->add_flag("--json", options->json, "print JSON");
  app.footer(
      "Messages are sent when a run ends, and again until they have arrived, for a day. Who is told is in "
      "the "
      "pipeline\n"
      "file (`notify:`), the mail server in .mlops/config.yaml (`smtp:`).\n"
      "Exits with 69 when something could not be sent.\n"
      "Examples:\n"
      "  mlops notify test pipeline.yaml\n"
      "  mlops notify list --state failed\n"
      "  mlops notify retry");
}

}  // namespace mlops::cli
