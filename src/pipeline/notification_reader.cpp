#include "pipeline/notification_reader.hpp"

#include "pipeline/message_template.hpp"
#include "util/strings.hpp"
#include "util/web_url.hpp"

#include <algorithm>

namespace mlops::pipeline {

namespace {

using util::YamlNode;

constexpr std::size_t kMostNotifications = 100;
constexpr std::size_t kMostAddresses = 100;

// One that stands in a header and in the words of SMTP as it is.
bool is_mail_address(const std::string& text) {
  const std::size_t at = text.find('@');
  return at != text.npos && at > 0 && at + 1 < text.size() && text.find('@', at + 1) == text.npos &&
         text.size() <= 254 && text[0] != '-' && std::ranges::all_of(text, [](unsigned char c) {
           return c > ' ' && c < 127 &&
                  std::string_view("<>()[]\\,;:\"").find(static_cast<char>(c)) == std::string_view::npos;
         });
}

// One entry.
class Entry {
 public:
  Entry(const YamlNode& node, const Fields& fields, const params::Scope& scope, const Pipeline& pipeline)
      : node_(node), fields_(fields), scope_(scope), pipeline_(pipeline) {}

  bool read(Notification& out) {
    Problems& problems = fields_.problems();
    if (!check_keys(node_, notification_keys(), "notify", problems)) return false;
    const std::size_t before = problems.list().size();
    const int given = (find("webhook") ? 1 : 0) + (find("email") ? 1 : 0) + (find("command") ? 1 : 0);
    if (given != 1) {
      problems.add(node_.at,
                   given == 0 ? "notify: does not say whom"
                              : "notify: only one of 'webhook', 'email' and 'command' can be given",
                   given == 0
                       ? "such as {webhook: {secret: SLACK_URL}, preset: slack}, {email: ml@example.org} "
                         "or {command: ./tell.sh}"
                       : "several entries make a list: notify: [{webhook: …}, {email: …}]");
      return false;
    }
    if (const YamlNode* node = find("name")) out.name = fields_.name(*node, "name");
    if (const YamlNode* node = find("webhook")) read_webhook(*node, out);
    if (const YamlNode* node = find("email")) read_email(*node, out);
    if (const YamlNode* node = find("command")) read_command(*node, out);
    read_preset(out);
    read_occasions(out);
    if (const YamlNode* node = find("text")) read_text(*node, out);
    if (const YamlNode* node = find("every"))
      out.every = fields_.duration(*node, "every").value_or(out.every);
    return problems.list().size() == before;
  }

 private:
  const YamlNode* find(const char* key) const {
    const YamlNode* node = node_.find(key);
    return node && !node->is_null() ? node : nullptr;
  }

  void read_webhook(const YamlNode& node, Notification& out) {
    out.kind = Notification::Kind::webhook;
    if (node.is_map()) {
      if (!check_keys(node, secret_url_keys(), "webhook", fields_.problems())) return;
      const YamlNode* secret = node.find("secret");
      if (!secret) return fields_.problems().add(node.at, "webhook: 'secret' is missing");
      return read_secret(*secret, out);
    }
    if (node.is_scalar() && node.text.find("${env.") != node.text.npos) {
      return fields_.problems().add(
          node.at, "webhook: what comes from the environment is a secret, and would be recorded here",
          "declare it, secrets: [WEBHOOK_URL], and write  webhook: {secret: WEBHOOK_URL}");
    }
    const auto url = fields_.text(node, "webhook");
    if (!url) return;
    if (!util::is_web_url(*url))
      return fields_.expected(node, "webhook", "an http or https URL",
                              "or {secret: NAME} of a declared secret whose value is one");
    if (util::authority_of(*url).find('@') != std::string::npos)
      return fields_.problems().add(node.at, "webhook: a password does not belong into the file",
                                    "let the URL come from a secret: {secret: NAME}");
    out.url = *url;
    if (out.name.empty()) out.name = util::authority_of(*url);
  }

  void read_secret(const YamlNode& node, Notification& out) {
    const auto name = fields_.text(node, "secret");
    if (!name) return;
    std::vector<std::string> known;
    for (const Secret& secret : pipeline_.secrets) known.push_back(secret.name);
    if (std::ranges::find(known, *name) == known.end()) {
      return fields_.problems().add(
          node.at, "webhook: no secret '" + *name + "' is declared",
          known.empty() ? "declare it: secrets: [" + *name + "]" : fields_.problems().suggest(*name, known));
    }
    out.secret = *name;
    if (out.name.empty()) out.name = *name;
  }

  void read_email(const YamlNode& node, Notification& out) {
    out.kind = Notification::Kind::email;
    for (const Placed& address : fields_.texts(node, "email")) {
      if (!is_mail_address(address.text)) {
        fields_.problems().add(address.at, "email: '" + util::to_utf8(address.text) + "' is no mail address",
                               "such as ml@example.org, without a name");
      }
      out.to.push_back(address.text);
    }
    if (node.is_list() && node.items.empty()) fields_.expected(node, "email", "a mail address");
    if (out.to.size() > kMostAddresses)
      fields_.problems().add(node.at, "email: more than " + std::to_string(kMostAddresses) + " addresses");
    if (out.name.empty() && !out.to.empty()) out.name = out.to[0];
  }

  void read_command(const YamlNode& node, Notification& out) {
    out.kind = Notification::Kind::command;
    if (out.name.empty()) out.name = "command";
    if (node.is_list()) {
      for (const YamlNode& word : node.items) {
        if (auto text = fields_.text(word, "command")) out.argv.push_back(std::move(*text));
      }
      if (node.items.empty() || (!out.argv.empty() && out.argv[0].empty()))
        fields_.expected(node, "command", "a program with its arguments");
      return;
    }
    out.shell = true;
    if (node.is_scalar() && node.text.empty()) fields_.expected(node, "command", "a script");
    out.argv.push_back(fields_.open_text(node, "command", params::Target::shell).literal());
  }

  void read_preset(Notification& out) {
    const YamlNode* node = find("preset");
    if (!node) {
      if (out.kind == Notification::Kind::webhook) out.preset = "json";
    } else if (out.kind != Notification::Kind::webhook) {
      fields_.problems().add(node->at, "preset: only a webhook has one");
    } else {
      out.preset = fields_.choice(*node, "preset", preset_values()).value_or("json");
    }
  }

  void read_occasions(Notification& out) {
    const YamlNode* node = find("on");
    if (!node) {
      out.on = {Occasion::failure, Occasion::recovery};
      return;
    }
    const auto add = [&](const YamlNode& item) {
      const auto word = fields_.choice(item, "on", occasion_values());
      if (!word) return;
      const auto occasion =
          static_cast<Occasion>(std::ranges::find(occasion_values(), *word) - occasion_values().begin());
      if (std::ranges::find(out.on, occasion) == out.on.end()) out.on.push_back(occasion);
    };
    if (!node->is_list()) return add(*node);
    for (const YamlNode& item : node->items) add(item);
    if (node->items.empty())
      fields_.expected(*node, "on", util::join({occasion_values().begin(), occasion_values().end()}, ", "));
  }

  void read_text(const YamlNode& node, Notification& out) {
    if (!node.is_scalar() || node.text.empty()) return fields_.expected(node, "text", "text");
    std::vector<params::ReferenceProblem> found;
    out.text = read_template(node.text, scope_, found);
    Problems& problems = fields_.problems();
    for (const params::ReferenceProblem& p : found)
      problems.add(problems.locate(node.at, p.reference, p.occurrence), "text: " + p.message, p.hint);
  }

  const YamlNode& node_;
  const Fields& fields_;
  const params::Scope& scope_;
  const Pipeline& pipeline_;
};

}  // namespace

std::vector<Notification> read_notifications(const YamlNode& node, const Fields& fields,
                                             const params::Scope& scope, const Pipeline& pipeline) {
  std::vector<Notification> result;
  Problems& problems = fields.problems();
  const auto add = [&](const YamlNode& item) {
    if (!item.is_map())
      return fields.expected(item, "notify", "a map",
                             "such as {webhook: {secret: SLACK_URL}, preset: slack}");
    Notification entry;
    if (!Entry(item, fields, scope, pipeline).read(entry)) return;
    if (std::ranges::find(result, entry.name, &Notification::name) != result.end()) {
      return problems.add(item.at, "notify: two entries are called '" + entry.name + "'",
                          "give one of them a name: {name: …, …}");
    }
    result.push_back(std::move(entry));
  };
  if (!node.is_list()) {
    add(node);
  } else if (node.items.empty()) {
    problems.add(node.at, "notify: the list is empty");
  } else if (node.items.size() > kMostNotifications) {
    problems.add(node.at, "notify: more than " + std::to_string(kMostNotifications) + " entries");
  } else {
    for (const YamlNode& item : node.items) add(item);
  }
  return result;
}

}  // namespace mlops::pipeline
