#include "cli/data.hpp"
#include "cli/output.hpp"
#include "util/quantity.hpp"

#include <cstdio>

namespace mlops::cli {

namespace {

using Kind = DataChange::Kind;

struct Count {
  std::uint64_t files = 0, bytes = 0;
};

// How many of each kind, and the bytes that they have before and after.
struct Totals {
  Count kinds[3];
  std::uint64_t before = 0, after = 0;

  void add(const DataChange& change) {
    Count& count = kinds[static_cast<std::size_t>(change.kind)];
    ++count.files;
    count.bytes += change.kind == Kind::removed ? change.size_before : change.size_after;
    before += change.size_before;
    after += change.size_after;
  }
  const Count& of(Kind kind) const { return kinds[static_cast<std::size_t>(kind)]; }
  std::uint64_t all() const { return kinds[0].files + kinds[1].files + kinds[2].files; }
};

const char* word(Kind kind) {
  return kind == Kind::added ? "added" : kind == Kind::removed ? "removed" : "changed";
}

std::string sizes(const DataChange& change) {
  const std::string before = util::format_size(change.size_before),
                    after = util::format_size(change.size_after);
  if (change.kind == Kind::added) return after;
  return change.kind == Kind::removed ? before : before + " → " + after;
}

nlohmann::json change_json(const DataChange& change) {
  nlohmann::json json = {{"change", word(change.kind)}, {"path", change.path}};
  const bool before = change.kind != Kind::added, after = change.kind != Kind::removed;
  json["size_before"] = before ? nlohmann::json(change.size_before) : nlohmann::json(nullptr);
  json["size_after"] = after ? nlohmann::json(change.size_after) : nlohmann::json(nullptr);
  json["sha256_before"] = before ? nlohmann::json(change.sha256_before) : nlohmann::json(nullptr);
  json["sha256_after"] = after ? nlohmann::json(change.sha256_after) : nlohmann::json(nullptr);
  return json;
}

void print_totals(const Totals& totals) {
  for (const Kind kind : {Kind::added, Kind::removed, Kind::changed}) {
    if (totals.of(kind).files > 0)
      std::printf("%s %s, %s\n", word(kind), counted(totals.of(kind).files, "file").c_str(),
                  util::format_size(totals.of(kind).bytes).c_str());
  }
}

// Two datasets may be compared as well; a bare number is a version of the first one.
std::optional<DatasetVersion> find_second(OpenWorkspace& open, const DataOptions& options,
                                          const DatasetVersion& first) {
  if (options.names.size() < 2) return std::nullopt;
  const std::string& name = options.names[1];
  const bool number = name.find_first_not_of("0123456789") == name.npos;
  return data::find(open.database, number ? first.dataset + "@" + name : name);
}

void diff(const DataOptions& options, Context& context) {
  OpenWorkspace open = open_to_read(context);
  const DatasetVersion before = data::find(open.database, options.names[0]);
  const std::optional<DatasetVersion> after = find_second(open, options, before);
  const auto limit = static_cast<std::size_t>(options.shown_limit());
  std::vector<DataChange> changes;  // as many as are shown
  Totals totals;
  data::diff(open.workspace, before, after, [&](const DataChange& change) {
    totals.add(change);
    if (!options.stat && (limit == 0 || changes.size() < limit)) changes.push_back(change);
  });
  if (options.json) {
    nlohmann::json list = nlohmann::json::array();
    for (const DataChange& change : changes) list.push_back(change_json(change));
    return print_json({{"before", full_name(before)},
                       {"after", after ? nlohmann::json(full_name(*after)) : nlohmann::json(nullptr)},
                       {"added", totals.of(Kind::added).files},
                       {"removed", totals.of(Kind::removed).files},
                       {"changed", totals.of(Kind::changed).files},
                       {"size_before", before.size},
                       {"size_after", before.size - totals.before + totals.after},
                       {"changes", std::move(list)}});
  }
  if (totals.all() == 0) {
    std::printf("%s and %s are the same\n", full_name(before).c_str(),
                after ? full_name(*after).c_str() : shown(before.path).c_str());
    return;
  }
  const Style style = style_of(stdout);
  for (const DataChange& change : changes) {
    const char* sign = change.kind == Kind::added ? "+" : change.kind == Kind::removed ? "-" : "~";
    const std::string line = std::string(sign) + " " + shown(change.path);
    std::printf("%s  %s\n",
                (change.kind == Kind::added     ? style.good(line)
                 : change.kind == Kind::removed ? style.error(line)
                                                : style.warn(line))
                    .c_str(),
                sizes(change).c_str());
  }
  if (!options.stat && totals.all() > changes.size())
    std::printf("and %llu more: --limit N or --all\n",
                static_cast<unsigned long long>(totals.all() - changes.size()));
  print_totals(totals);
}

}  // namespace

void add_limit(CLI::App& app, DataOptions& options) {
  app.add_option("--limit", options.limit, "how many files (default 100)")
      ->type_name("N")
      ->check(CLI::Range(1, 1'000'000'000));
  app.add_flag("--all", options.all, "no limit");
}

void set_up_data_diff(CLI::App& app, const std::shared_ptr<DataOptions>& options, Context& context) {
  CLI::App* sub = app.add_subcommand("diff", "tell which files two versions differ in");
  sub->add_option("VERSION", options->names,
                  "two versions; with one, it is compared with what lies in the work tree")
      ->required()
      ->expected(1, 2);
  sub->add_flag("--stat", options->stat, "only how many");
  add_limit(*sub, *options);
  sub->add_flag("--json", options->json, "print JSON");
  sub->footer(
      "Examples:\n  mlops data diff images\n  mlops data diff images@1 images@2\n"
      "  mlops data diff images@1 2 --stat");
  sub->callback([options, &context] { diff(*options, context); });
}

}  // namespace mlops::cli
