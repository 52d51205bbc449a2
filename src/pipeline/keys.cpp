#include "pipeline/keys.hpp"

#include <mlops/pipeline.hpp>

#include <array>
#include <utility>

namespace mlops {

const char* to_string(KeepInputs keep) {
  return pipeline::keep_inputs_values()[static_cast<std::size_t>(keep)].data();
}

const char* to_string(Occasion occasion) {
  return pipeline::occasion_values()[static_cast<std::size_t>(occasion)].data();
}

std::optional<KeepInputs> parse_keep_inputs(std::string_view text) {
  const auto words = pipeline::keep_inputs_values();
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == text) return static_cast<KeepInputs>(i);
  }
  return std::nullopt;
}

}  // namespace mlops

namespace mlops::pipeline {

namespace {

constexpr std::array<std::string_view, 3> kCatchup = {"none", "last", "all"};
constexpr std::array<std::string_view, 4> kOverlap = {"skip", "queue", "replace", "allow"};
constexpr std::array<std::string_view, 3> kDays = {"cron", "and", "or"};
constexpr std::array<std::string_view, 2> kGap = {"run", "skip"};
constexpr std::array<std::string_view, 2> kRepeated = {"first", "both"};
constexpr std::array<std::string_view, 3> kKeepInputs = {"small", "all", "none"};
constexpr std::array<std::string_view, 2> kOnFailure = {"stop", "continue"};
constexpr std::array<std::string_view, 5> kOccasions = {"failure", "recovery", "late", "refused", "success"};
constexpr std::array<std::string_view, 5> kPresets = {"json", "slack", "discord", "teams", "ntfy"};
constexpr std::array<std::string_view, 5> kRetryCauses = {"any", "timeout", "no_output", "signal", "lost"};

constexpr std::string_view kScalar = R"({"$ref":"#/$defs/scalar"})";
constexpr std::string_view kText = R"({"$ref":"#/$defs/text"})";
constexpr std::string_view kWord = R"({"type":"string"})";
constexpr std::string_view kBool = R"({"$ref":"#/$defs/flag"})";
constexpr std::string_view kTexts = R"({"$ref":"#/$defs/texts"})";
constexpr std::string_view kDuration = R"({"$ref":"#/$defs/duration"})";
constexpr std::string_view kVariables = R"({"$ref":"#/$defs/variables"})";

constexpr Key kPipelineKeys[] = {
    {"version", R"({"enum":[1,"1"]})", "Version of the file format; 1 is the only one."},
    {"name", R"({"$ref":"#/$defs/name"})",
     "Name of the pipeline; default: the file's name, or its folder's if the file is called pipeline.yaml."},
    {"description", kScalar, "What the pipeline does, for people."},
    {"params", R"({"type":"object"})",
     "Values that steps use as ${params.NAME}; --set changes them for a run."},
    {"env", R"({"$ref":"#/$defs/pipeline_env"})",
     "Environment of every step. The lower-case key inherit: false starts from an empty environment."},
    {"secrets", R"({"$ref":"#/$defs/secrets"})", "Secrets by name; a step gets those that it names."},
    {"pools",
     R"({"type":"object","propertyNames":{"$ref":"#/$defs/name"},"additionalProperties":{"$ref":"#/$defs/share"}})",
     "Shared things with a size, such as database connections; steps ask for a share with resources."},
    {"schedule",
     R"({"oneOf":[{"$ref":"#/$defs/text"},{"$ref":"#/$defs/schedule"},{"type":"array","minItems":1,"items":{"oneOf":[{"$ref":"#/$defs/text"},{"$ref":"#/$defs/schedule"}]}}]})",
     "When to run by itself: a cron line, a map, or a list of them."},
    {"priority", R"({"$ref":"#/$defs/priority"})",
     "Of its runs that wait for the daemon or a worker: larger ones come first; default 0."},
    {"concurrency", R"({"$ref":"#/$defs/share"})",
     "So many of its runs go on at a time, of those that the daemon and workers start; default no limit."},
    {"triggers",
     R"({"oneOf":[{"$ref":"#/$defs/trigger"},{"type":"array","minItems":1,"items":{"$ref":"#/$defs/trigger"}}]})",
     "What else than time makes it run by itself: a map, or a list of them."},
    {"notify",
     R"({"oneOf":[{"$ref":"#/$defs/notification"},{"type":"array","minItems":1,"items":{"$ref":"#/$defs/notification"}}]})",
     "Who is told how runs end: a map, or a list of them."},
    {"keep_inputs", kWord,
     "Which inputs that no step makes are kept for `mlops reproduce`: small ones (default), all, or none.",
     kKeepInputs},
    {"defaults", R"({"$ref":"#/$defs/defaults"})",
     "Step keys for every step that does not give them itself."},
    {"steps",
     R"({"type":"object","minProperties":1,"propertyNames":{"$ref":"#/$defs/name"},"additionalProperties":{"$ref":"#/$defs/step"}})",
     "The steps by name."},
};

constexpr Key kStepKeys[] = {
    {"kind",
     R"({"$ref":"#/$defs/name"})",
     "What sort of step it is: ingest, validate, train, evaluate, gate, deploy or a word of your own.",
     {},
     true},
    {"description", kScalar, "What the step does, for people."},
    {"run",
     R"({"oneOf":[{"$ref":"#/$defs/text"},{"type":"array","items":{"$ref":"#/$defs/scalar"},"minItems":1}]})",
     "What to run: a text is a /bin/sh script, a list is a program with its arguments and no shell."},
    {"inputs", kTexts, "Files and folders that the step reads."},
    {"code", kTexts, "Files of the program itself: a change makes the step run again.", {}, true},
    {"outputs", R"({"$ref":"#/$defs/outputs"})", "Files and folders that the step makes."},
    {"metrics", kTexts, "Files of figures that the step writes: JSON, YAML, TOML, Python, CSV or TSV."},
    {"params", kTexts, "Dotted names of params that the step depends on.", {}, true},
    {"needs", kTexts, "Steps that must end first, besides those whose outputs are inputs here."},
    {"env", kVariables, "Environment of the step, over that of the pipeline.", {}, true},
    {"secrets", kTexts, "Declared secrets that the step gets as environment variables.", {}, true},
    {"retry",
     R"({"oneOf":[{"$ref":"#/$defs/count"},{"$ref":"#/$defs/retry"}]})",
     "How often and when to try again after a failure: a number, or a map.",
     {},
     true},
    {"timeout", kDuration, "Longest time for one attempt; none by default.", {}, true},
    {"no_output_timeout",
     kDuration,
     "Longest time without a word on stdout or stderr; none by default.",
     {},
     true},
    {"grace",
     kDuration,
     "Time between the polite end (SIGTERM) and the forced one (SIGKILL); default 10s.",
     {},
     true},
    {"resources", R"({"$ref":"#/$defs/resources"})", "What must be free before the step starts.", {}, true},
    {"when", kText, "Condition; the step is skipped when it is false."},
    {"on_failure", kWord,
     "After a failure: stop (default) ends the run, continue lets independent steps go on.", kOnFailure,
     true},
    {"always", kBool, "Runs however the steps before it ended: for clean-up and messages."},
    {"cache",
     kBool,
     "Whether results of an earlier run with the same inputs, params and command are taken instead of "
     "running; by "
     "default where inputs and outputs are declared, but never for kind deploy.",
     {},
     true},
    {"leave_running", kBool, "Processes that the step started may outlive it."},
    {"workdir", kScalar, "Directory of the step, relative to the file's.", {}, true},
    {"foreach",
     R"({"oneOf":[{"type":"array","minItems":1},{"type":"object","minProperties":1},{"$ref":"#/$defs/reference"}]})",
     "One step for each item of a list or map, as ${item} and ${key}."},
    {"matrix",
     R"({"oneOf":[{"type":"object","minProperties":1,"propertyNames":{"$ref":"#/$defs/variable"},"additionalProperties":{"oneOf":[{"type":"array","minItems":1},{"$ref":"#/$defs/reference"}]}},{"$ref":"#/$defs/reference"}]})",
     "One step for each combination of the lists, as ${matrix.NAME}."},
};

constexpr Key kOutputKeys[] = {
    {"path", kText, "File or folder, relative to the step's directory."},
    {"kind", R"({"$ref":"#/$defs/name"})", "What it is: model, data, report or a word of your own."},
    {"persist", R"({"$ref":"#/$defs/flag"})",
     "The step updates it: it stays in place while the step runs, instead of being set aside."},
};

constexpr Key kRetryKeys[] = {
    {"times", R"({"$ref":"#/$defs/count"})", "Attempts after the first."},
    {"delay", kDuration, "Wait before the first retry; default none."},
    {"backoff", R"({"anyOf":[{"type":"number","minimum":1,"maximum":100},{"$ref":"#/$defs/reference"}]})",
     "Each further wait is this many times the one before; default 1."},
    {"max_delay", kDuration, "No wait is longer than this; default no limit."},
    {"jitter", R"({"anyOf":[{"type":"number","minimum":0,"maximum":1},{"$ref":"#/$defs/reference"}]})",
     "Up to this share (0 to 1) of a wait is added to it; default 0."},
    {"on", R"({"$ref":"#/$defs/retry_on"})",
     "Failures to answer: exit codes, or the words any, timeout, no_output, signal, lost; default any.",
     kRetryCauses},
};

constexpr Key kResourcesKeys[] = {
    {"cpus", R"({"$ref":"#/$defs/number"})", "Processors, such as 2 or 0.5."},
    {"memory", R"({"type":["string","number"],"minimum":0})", "Memory, such as 4GiB."},
    {"gpus", R"({"$ref":"#/$defs/count"})", "Graphics cards."},
    {"pools",
     R"({"oneOf":[{"$ref":"#/$defs/texts"},{"type":"object","additionalProperties":{"$ref":"#/$defs/share"}}]})",
     "Shares of declared pools: a map to numbers, or names for one of each."},
};

constexpr Key kScheduleKeys[] = {
    {"cron", kText,
     "Five fields (minute, hour, day of month, month, day of week) or @hourly, @daily, @weekly, @monthly, "
     "@yearly."},
    {"every", kDuration,
     "Instead of cron: a distance such as 15s or 1h30m, counted from `start`, else from 1970 UTC."},
    {"at", kText, "Instead of cron: once, at this time, such as 2026-12-24 18:00."},
    {"name", kText, "What the entry is called; default main for the first, else what it says of its times."},
    {"timezone", kScalar,
     "Name of the time zone in which times are meant, such as Asia/Seoul; default the system's."},
    {"start", kText, "Nothing runs before this day or time."},
    {"end", kText, "Nothing runs after this day, or from this time on."},
    {"except", kTexts, "Days on which nothing runs: dates, or files with a date, or FIRST..LAST, a line."},
    {"days", kWord,
     "When both day fields say something: cron's rule (default), both must fit (and), or one (or).", kDays},
    {"dst", R"({"$ref":"#/$defs/dst"})", "What changes of clocks do to times of day."},
    {"jitter", kDuration, "Runs start up to so much later than the slot, each time by the same."},
    {"catchup",
     R"({"oneOf":[{"enum":["none","last","all"]},{"$ref":"#/$defs/reference"},{"$ref":"#/$defs/catchup"}]})",
     "Slots missed while nobody looked: none, the last (default), or all; as a map with limits."},
    {"overlap", kWord, "While the run before is not over: skip (default), queue, replace it, or allow both.",
     kOverlap},
    {"start_within", kDuration, "A slot that cannot start so soon is missed; default no limit."},
    {"deadline", kText,
     "A time of day, such as 06:00, by which the run of the slot before it is to have ended well."},
    {"fresh_within", kDuration, "The last successful run is never to be older than this."},
};

constexpr Key kDstKeys[] = {
    {"gap", kWord, "A time of day that clocks skip: run when they have jumped (default), or skip.", kGap},
    {"overlap", kWord, "One that comes twice: run the first time (default), or both.", kRepeated},
};

constexpr Key kCatchupKeys[] = {
    {"mode", kWord, "none, last, or all.", kCatchup},
    {"max", R"({"$ref":"#/$defs/share"})", "Of all: the newest so many; default 100."},
    {"window", kDuration, "None that is older; default no limit."},
};

constexpr Key kTriggerKeys[] = {
    {"files", kTexts, "Files changed: paths, folders and patterns; one that begins with ! takes files out."},
    {"succeeded", R"({"oneOf":[{"$ref":"#/$defs/texts"},{"$ref":"#/$defs/succeeded"}]})",
     "Runs of other pipelines succeeded: all of them, or {any: […]}."},
    {"webhook", R"({"oneOf":[{"$ref":"#/$defs/variable"},{"$ref":"#/$defs/webhook"}]})",
     "A signed request came in: the name of a declared secret, or a map."},
    {"http", R"({"oneOf":[{"$ref":"#/$defs/text"},{"$ref":"#/$defs/secret_url"}]})",
     "What this URL gives has changed; or {secret: NAME} of a declared secret whose value is the URL."},
    {"sql", R"({"$ref":"#/$defs/sql"})", "A query gave a row that it had not given before."},
    {"metric", R"({"$ref":"#/$defs/metric"})",
     "A condition on the metrics of a pipeline's runs became true."},
    {"name", kText, "What the entry is called; of a webhook, the last part of its address."},
    {"every", kDuration, "Of http, sql and files: time between looks; default 5m, 1m and 1m."},
    {"debounce", kDuration, "Of files and sql: wait so long for further changes; default 2s and 200ms."},
};

constexpr Key kSucceededKeys[] = {
    {"all", kTexts, "Each of these pipelines, since the last event."},
    {"any", kTexts, "One of these pipelines."},
};

constexpr Key kWebhookKeys[] = {
    {"secret", kText, "Name of the declared secret that signs requests."},
};

constexpr Key kSqlKeys[] = {
    {"database", kText, "A file of SQLite."},
    {"query", kText, "A SELECT; its first column tells rows apart, :last is that of the last row seen."},
};

constexpr Key kMetricKeys[] = {
    {"pipeline", kText, "Whose runs are looked at."},
    {"when", kText, "Condition, such as drift.psi > 0.2."},
};

constexpr Key kSecretKeys[] = {
    {"env", R"({"$ref":"#/$defs/variable"})", "The value is in this environment variable of mlops."},
    {"file", kText, "The value is the text of this file."},
    {"command", R"({"type":"array","items":{"$ref":"#/$defs/text"},"minItems":1})",
     "The value is what this program prints."},
};

constexpr Key kNotificationKeys[] = {
    {"name", R"({"$ref":"#/$defs/name"})", "Name of the entry; default: made of where it goes."},
    {"webhook", R"({"oneOf":[{"$ref":"#/$defs/text"},{"$ref":"#/$defs/secret_url"}]})",
     "A URL that gets the message, or {secret: NAME} of a declared secret whose value is the URL."},
    {"preset", kWord, "Form of what a webhook gets: json (default), slack, discord, teams or ntfy.",
     kPresets},
    {"email", kTexts, "Mail addresses; the server is in .mlops/config.yaml."},
    {"command",
     R"({"oneOf":[{"$ref":"#/$defs/text"},{"type":"array","items":{"$ref":"#/$defs/scalar"},"minItems":1}]})",
     "What to run, as in a step; it gets the message in its environment, and as JSON on its input."},
    {"on", R"({"$ref":"#/$defs/occasions"})", "What is told; default: failure and recovery."},
    {"text", kText, "What the message says, with fields such as ${run.reason}."},
    {"every", kDuration, "No more than one message for each occasion in such a time; default no limit."},
};

constexpr Key kSecretUrlKeys[] = {
    {"secret", R"({"$ref":"#/$defs/variable"})", "The declared secret whose value is the URL."},
};

constexpr KeyTable kTables[] = {
    {"pipeline", "A pipeline file of mlops.", kPipelineKeys},
    {"step", "A step.", kStepKeys},
    {"output", "An output with its kind.", kOutputKeys},
    {"retry", "How often and when to try again.", kRetryKeys},
    {"resources", "What must be free before a step starts.", kResourcesKeys},
    {"schedule", "When to run by itself.", kScheduleKeys},
    {"dst", "What changes of clocks do to times of day.", kDstKeys},
    {"catchup", "Which slots are made up for that were missed while nobody looked.", kCatchupKeys},
    {"trigger", "What makes a pipeline run by itself.", kTriggerKeys},
    {"succeeded", "Which pipelines are to have succeeded.", kSucceededKeys},
    {"webhook", "What requests are to be signed with.", kWebhookKeys},
    {"sql", "Where rows appear.", kSqlKeys},
    {"metric", "Which condition is to become true.", kMetricKeys},
    {"secret", "Where the value of a secret comes from: one of the keys.", kSecretKeys},
    {"notification", "Who is told how runs end: one of webhook, email and command.", kNotificationKeys},
    {"secret_url", "A URL that is a secret.", kSecretUrlKeys},
};

constexpr bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

Keys pipeline_keys() { return kPipelineKeys; }
Keys step_keys() { return kStepKeys; }
Keys output_keys() { return kOutputKeys; }
Keys retry_keys() { return kRetryKeys; }
Keys resources_keys() { return kResourcesKeys; }
Keys schedule_keys() { return kScheduleKeys; }
Keys dst_keys() { return kDstKeys; }
Keys catchup_keys() { return kCatchupKeys; }
Keys trigger_keys() { return kTriggerKeys; }
Keys succeeded_keys() { return kSucceededKeys; }
Keys webhook_keys() { return kWebhookKeys; }
Keys sql_keys() { return kSqlKeys; }
Keys metric_keys() { return kMetricKeys; }
Keys secret_keys() { return kSecretKeys; }
Keys notification_keys() { return kNotificationKeys; }
Keys secret_url_keys() { return kSecretUrlKeys; }
std::span<const KeyTable> key_tables() { return kTables; }

std::span<const std::string_view> catchup_values() { return kCatchup; }
std::span<const std::string_view> overlap_values() { return kOverlap; }
std::span<const std::string_view> days_values() { return kDays; }
std::span<const std::string_view> gap_values() { return kGap; }
std::span<const std::string_view> repeated_values() { return kRepeated; }
std::span<const std::string_view> keep_inputs_values() { return kKeepInputs; }
std::span<const std::string_view> on_failure_values() { return kOnFailure; }
std::span<const std::string_view> occasion_values() { return kOccasions; }
std::span<const std::string_view> preset_values() { return kPresets; }
std::span<const std::string_view> retry_causes() { return kRetryCauses; }

bool is_name(std::string_view text) {
  if (text.empty() || text.size() > 100 || text[0] == '.' || text[0] == '-') return false;
  for (const char c : text) {
    if (!is_letter(c) && !is_digit(c) && c != '.' && c != '-') return false;
  }
  return true;
}

bool is_variable(std::string_view text) {
  if (text.empty() || is_digit(text[0])) return false;
  for (const char c : text) {
    if (!is_letter(c) && !is_digit(c)) return false;
  }
  return true;
}

std::vector<std::string> names_of(Keys keys) {
  std::vector<std::string> names;
  for (const Key& key : keys) names.emplace_back(key.name);
  return names;
}

std::string_view name_for_foreign(std::string_view name, Keys keys) {
  constexpr std::pair<std::string_view, std::string_view> words[] = {{"cmd", "run"},
                                                                     {"command", "run"},
                                                                     {"script", "run"},
                                                                     {"args", "run"},
                                                                     {"deps", "inputs"},
                                                                     {"dependencies", "needs"},
                                                                     {"depends", "needs"},
                                                                     {"depends_on", "needs"},
                                                                     {"after", "needs"},
                                                                     {"outs", "outputs"},
                                                                     {"artifacts", "outputs"},
                                                                     {"environment", "env"},
                                                                     {"wdir", "workdir"},
                                                                     {"cwd", "workdir"},
                                                                     {"working_directory", "workdir"},
                                                                     {"working-directory", "workdir"},
                                                                     {"retries", "retry"},
                                                                     {"if", "when"},
                                                                     {"condition", "when"},
                                                                     {"strategy", "matrix"},
                                                                     {"stages", "steps"},
                                                                     {"jobs", "steps"},
                                                                     {"tasks", "steps"},
                                                                     {"parameters", "params"},
                                                                     {"vars", "params"},
                                                                     {"cron", "schedule"},
                                                                     {"on", "triggers"},
                                                                     {"trigger", "triggers"},
                                                                     {"timeout_minutes", "timeout"},
                                                                     {"timeout-minutes", "timeout"},
                                                                     {"continue-on-error", "on_failure"}};
  for (const auto& [foreign, ours] : words) {
    if (foreign != name) continue;
    for (const Key& key : keys) {
      if (key.name == ours) return ours;
    }
  }
  return {};
}

}  // namespace mlops::pipeline
