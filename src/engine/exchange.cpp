#include "engine/exchange.hpp"

#include <mlops/error.hpp>

#include "db/runs.hpp"
#include "db/steps.hpp"
#include "engine/run_record.hpp"
#include "store/lease.hpp"
#include "util/id.hpp"
#include "util/strings.hpp"

#include <algorithm>
#include <deque>
#include <map>
#include <set>

namespace mlops::engine {

namespace {

constexpr std::uint64_t record_limit = 256u << 20;
constexpr std::size_t batch = 200;  // records at a time
constexpr std::size_t few = 64;

std::unique_ptr<store::Remote> connect(const workspace::RemoteConfig& remote, int jobs) {
  return store::open_remote(store::parse_remote_address(remote.url, remote.endpoint, remote.region), jobs);
}

// What results are made of, and the runs whose records tell of them.
struct Chosen {
  std::vector<db::StepOfRun> results;
  std::vector<store::Root> outputs, inputs;
  std::set<std::string> runs;
  std::uint64_t of_dvc = 0;  // outputs that are in DVC's cache
};

Chosen choose(db::Connection& db, const std::vector<std::string>& runs, bool all) {
  Chosen chosen;
  if (all) {
    db::for_each_id(db, {.pipeline = {}, .state = {}, .since = {}, .limit = 0},
                    [&](const std::string& id, RunState state) {
                      if (state != RunState::running) chosen.runs.insert(id);
                    });
  } else {
    chosen.runs.insert(runs.begin(), runs.end());
  }
  if (all || !runs.empty()) {
    for (const std::string& id : chosen.runs) {
      for (db::StepOfRun& step : db::results_of(db, id)) chosen.results.push_back(std::move(step));
    }
  } else {
    chosen.results = db::latest_results(db);
    for (const db::StepOfRun& step : chosen.results) chosen.runs.insert(step.run);
  }
  std::set<std::pair<std::string, int>> seen;
  for (const db::StepOfRun& step : chosen.results) {
    const db::StepOfRun maker = db::maker_of(db, step);
    if (!seen.emplace(maker.run, maker.step).second) continue;
    chosen.runs.insert(maker.run);
    for (const ArtifactRecord& a : db::artifacts_of_step(db, maker.run, maker.step)) {
      if (a.output && a.sha256.starts_with("md5:")) ++chosen.of_dvc;
      const auto digest = util::Digest::from_hex(a.sha256);
      if (digest && a.form != "listing")
        (a.output ? chosen.outputs : chosen.inputs).push_back({*digest, a.form == "tree"});
    }
  }
  return chosen;
}

// What of them is here stays until all has been sent, or got.
void hold(store::Objects& objects, const std::vector<store::Root>& roots) {
  const store::Objects::Moment moment(objects);
  for (const store::Root& root : roots) objects.hold(root.digest, root.directory);
}

std::vector<store::RemoteFile> list_records(store::Remote& remote, const std::vector<std::string>& names) {
  return remote.list(names.empty() || names.size() > few ? std::vector<std::string>{"runs/"} : names);
}

// "runs/ID.json" -> ID; empty if it is no name of a record.
std::string id_in(const std::string& name) {
  if (!name.starts_with("runs/") || !name.ends_with(".json") || name.size() < 10) return {};
  const std::string id = name.substr(5, name.size() - 10);
  return util::is_id(id) ? id : "";
}

}  // namespace

workspace::RemoteConfig choose_remote(const workspace::Config& config, const std::string& name) {
  if (config.remotes.empty())
    throw Error(ExitCode::usage, "this workspace has no remote", "add one: mlops remote add NAME URL");
  std::vector<std::string> names;
  for (const workspace::RemoteConfig& remote : config.remotes) names.push_back(remote.name);
  if (!name.empty()) {
    if (const auto* remote = config.find(name)) return *remote;
    throw Error(ExitCode::usage, "there is no remote '" + name + "'", util::did_you_mean(name, names));
  }
  if (!config.default_remote.empty()) return *config.find(config.default_remote);
  if (config.remotes.size() == 1) return config.remotes[0];
  throw Error(ExitCode::usage, "this workspace has several remotes and none is the default one",
              "say which: --remote " + util::join(names, " or --remote "));
}

PushReport push(const Workspace& workspace, db::Database& database, const workspace::RemoteConfig& config,
                const ExchangeRequest& request, const store::OnProgress& on_progress) {
  db::Connection& db = database.connection();
  for (const std::string& id : request.runs) {
    const auto run = db::find_run(db, id);
    if (run && run->state == RunState::running)
      throw Error(ExitCode::usage, "cannot push run " + id + ": it is running", "push it when it has ended");
  }
  Chosen chosen = choose(db, request.runs, request.all);
  store::Objects objects(workspace.store_directory());
  const store::Lease lease(objects);
  const auto remote = connect(config, request.jobs);
  store::RemoteCatalog catalog(objects, *remote, config.name);
  const bool made = request.dry_run ? catalog.open() : (catalog.open_or_make(), true);

  std::vector<store::Root> roots = std::move(chosen.outputs);
  for (const store::Root& input : chosen.inputs) {
    if (objects.has(input.digest)) roots.push_back(input);
  }
  hold(objects, roots);
  PushReport report;
  report.of_dvc = chosen.of_dvc;
  report.contents = store::push_objects(objects, *remote, catalog, roots,
                                        {.dry_run = request.dry_run, .check = request.check}, on_progress);

  std::map<std::string, std::uint64_t> there, sizes;
  if (made) {
    std::vector<std::string> names;
    for (const std::string& id : chosen.runs) names.push_back(store::run_name(id));
    if (!names.empty()) {
      for (const store::RemoteFile& file : list_records(*remote, names)) there[id_in(file.name)] = file.size;
    }
  }
  std::vector<store::Upload> files;
  const auto send = [&] {
    if (!request.dry_run) remote->upload(files, [&](std::size_t) { ++report.records; });
    files.clear();
    catalog.put_runs(sizes);
    sizes.clear();
  };
  for (const std::string& id : chosen.runs) {
    const auto bundle = db::read_bundle(db, id);
    // A cached step may refer to a run that was deleted here, or never was here.
    if (!bundle || bundle->run.state == RunState::running) continue;
    store::Upload file;
    file.name = store::run_name(id);
    file.bytes = write_run_record(*bundle);
    file.size = file.bytes.size();
    file.digest = util::digest_of(file.bytes);
    const auto known = there.find(id);
    if (known != there.end() && known->second == file.size) {
      ++report.records_there;
      continue;
    }
    if (request.dry_run) {
      ++report.records;
      continue;
    }
    sizes[id] = file.size;
    files.push_back(std::move(file));
    if (files.size() == batch) send();
  }
  if (!files.empty()) send();
  return report;
}

namespace {

/// Brings records of runs from a remote into the database.
class Importer {
 public:
  Importer(db::Database& database, store::Remote& remote, store::RemoteCatalog& catalog, FetchReport& report,
           bool dry_run)
      : database_(database),
        remote_(remote),
        catalog_(catalog),
        report_(report),
        dry_run_(dry_run),
        known_(catalog.runs()) {
    for (const store::RemoteFile& file : remote.list({"runs/"})) {
      if (const std::string id = id_in(file.name); !id.empty()) there_[id] = file.size;
    }
  }

  /// The ids that a user's words mean, of runs there and here.
  std::vector<std::string> resolve(const std::string& text) const {
    std::set<std::string> ids;
    for (const auto& [id, size] : there_) {
      if (id == text) return {id};
      if (id.starts_with(text) || (text.size() >= 4 && id.ends_with(text))) ids.insert(id);
    }
    for (const std::string& id : db::match_ids(database_.connection(), text, 3)) ids.insert(id);
    return {ids.begin(), ids.end()};
  }

  /// Takes over `ids`, or all for none, with the runs that made what their cached steps took.
  void take(const std::vector<std::string>& ids) {
    std::deque<std::string> open(ids.begin(), ids.end());
    if (ids.empty()) {
      for (const auto& [id, size] : there_) open.push_back(id);
    }
    while (!open.empty()) {
      std::vector<std::string> wanted;
      for (; !open.empty() && wanted.size() < batch; open.pop_front()) {
        if (asked_.insert(open.front()).second && is_new(open.front())) wanted.push_back(open.front());
      }
      for (const db::RunBundle& bundle : take_batch(wanted)) {
        for (const StepRecord& step : bundle.steps) {
          if (step.source_run && there_.contains(*step.source_run)) open.push_back(*step.source_run);
        }
      }
    }
  }

 private:
  // One that is here may have been resumed elsewhere: then its record has changed since it was last seen.
  bool is_new(const std::string& id) const {
    const auto size = there_.find(id);
    if (size == there_.end()) return false;
    if (!db::run_exists(database_.connection(), id)) return true;
    const auto seen = known_.find(id);
    return seen != known_.end() && seen->second != size->second;
  }

  std::vector<db::RunBundle> take_batch(const std::vector<std::string>& ids) {
    std::vector<store::Download> files;
    for (const std::string& id : ids) {
      store::Download file;
      file.name = store::run_name(id);
      file.size = there_.at(id);
      if (file.size > record_limit) {
        report_.problems.push_back(file.name + " is too large for a record");
        continue;
      }
      files.push_back(std::move(file));
    }
    if (files.empty()) return {};
    remote_.download(files, [](std::size_t) {});
    std::vector<db::RunBundle> bundles;
    for (const store::Download& file : files) {
      try {
        if (file.missing) throw Error(ExitCode::io, "it went away or is cut off");
        bundles.push_back(read_run_record(file.bytes, id_in(file.name)));
      } catch (const Error& error) {
        report_.problems.push_back(file.name + ": " + error.what());
      }
    }
    write(bundles);
    return bundles;
  }

  void write(const std::vector<db::RunBundle>& bundles) {
    db::Connection& db = database_.connection();
    std::map<std::string, std::uint64_t> sizes;
    std::optional<db::Transaction> transaction;
    if (!dry_run_) transaction.emplace(database_, db::Durability::full);
    for (const db::RunBundle& bundle : bundles) {
      sizes[bundle.run.id] = there_.at(bundle.run.id);
      const auto here = db::find_run(db, bundle.run.id);
      if (here && (here->state == RunState::running || here->resumes >= bundle.run.resumes)) continue;
      db::write_bundle(db, bundle);
      ++report_.records;
    }
    if (!transaction) return;
    transaction->commit();
    catalog_.put_runs(sizes);
  }

  db::Database& database_;
  store::Remote& remote_;
  store::RemoteCatalog& catalog_;
  FetchReport& report_;
  bool dry_run_;
  std::map<std::string, std::uint64_t> known_, there_;  // id -> size of the record
  std::set<std::string> asked_;
};

// The run that the words mean, once all that may be meant is here.
std::string run_for(const Importer& importer, db::Connection& db, const std::string& text) {
  if (text == "latest" || text.starts_with("latest:")) {
    const std::string pipeline = text == "latest" ? "" : text.substr(7);
    if (const auto id = db::latest_run(db, pipeline, std::nullopt)) return *id;
    throw Error(ExitCode::usage, pipeline.empty()
                                     ? "there are no runs, neither here nor there"
                                     : "pipeline '" + pipeline + "' has no runs, neither here nor there");
  }
  const auto ids = importer.resolve(text);
  if (ids.size() == 1) return ids[0];
  if (ids.empty())
    throw Error(ExitCode::usage, "there is no run '" + text + "', neither here nor there",
                "`mlops fetch` brings the records of all, `mlops runs` lists them");
  throw Error(ExitCode::usage, "'" + text + "' fits several runs", util::join(ids, ", "));
}

}  // namespace

FetchReport fetch(const Workspace& workspace, db::Database& database, const workspace::RemoteConfig& config,
                  const ExchangeRequest& request, const store::OnProgress& on_progress,
                  std::vector<db::StepOfRun>* results) {
  store::Objects objects(workspace.store_directory());
  const store::Lease lease(objects);
  const auto remote = connect(config, request.jobs);
  store::RemoteCatalog catalog(objects, *remote, config.name);
  if (!catalog.open()) {
    throw Error(ExitCode::unreachable,
                "there is nothing at the remote '" + config.name + "' (" + config.url + ") yet",
                "is its address right? Whoever has results sends them there with `mlops push`");
  }
  FetchReport report;
  Importer importer(database, *remote, catalog, report, request.dry_run);
  const bool by_name =
      !request.runs.empty() && std::ranges::none_of(request.runs, [](const std::string& text) {
        return text == "latest" || text.starts_with("latest:");
      });
  std::vector<std::string> ids;
  if (by_name) {
    for (const std::string& text : request.runs)
      ids.push_back(run_for(importer, database.connection(), text));
  }
  importer.take(ids);
  if (!by_name) {
    for (const std::string& text : request.runs)
      ids.push_back(run_for(importer, database.connection(), text));
  }
  Chosen chosen = choose(database.connection(), ids, request.all);
  hold(objects, chosen.outputs);
  hold(objects, chosen.inputs);
  report.of_dvc = chosen.of_dvc;
  report.contents =
      store::fetch_objects(objects, *remote, catalog, chosen.outputs, request.dry_run, on_progress);
  if (!ids.empty() && !request.dry_run) {
    // Whoever asks for a run by name may want to repeat it. Its inputs are on the remote only if something
    // kept them.
    const auto inputs = store::fetch_objects(objects, *remote, catalog, chosen.inputs, false, on_progress);
    report.contents.objects += inputs.objects;
    report.contents.bytes += inputs.bytes;
    report.contents.damaged.insert(report.contents.damaged.end(), inputs.damaged.begin(),
                                   inputs.damaged.end());
  }
  if (results) *results = std::move(chosen.results);
  return report;
}

}  // namespace mlops::engine
