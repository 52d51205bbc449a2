#include "engine/repeat.hpp"

#include <mlops/version.hpp>

#include "engine/event_file.hpp"
#include "engine/recovery.hpp"
#include "pipeline/source.hpp"
#include "store/file_reader.hpp"
#include "util/digest.hpp"
#include "util/files.hpp"
#include "util/log.hpp"
#include "workspace/layout.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <span>
#include <thread>

namespace mlops::engine {

namespace {

constexpr std::string_view head = "mlops repeat 1\n";
constexpr std::size_t digest_bytes = 32;
constexpr std::size_t stamp_bytes = 4 * sizeof(std::uint64_t);

// The same descriptor, /dev/stdin, is another pipeline in another directory.
std::string place_of(const std::string& file) {
  return util::absolute_path(file) + "\n" + util::absolute_path(pipeline::directory_of_source(file));
}

std::string path_for(const Workspace& workspace, const std::string& file) {
  return workspace.state_directory() + "/" + layout::repeats + "/" +
         util::sha256(place_of(file)).substr(0, 16);
}

std::string text_of(const Repeat& repeat) {
  std::string text =
      std::string(head) + repeat.key + "\n" + repeat.run + "\n" + std::to_string(repeat.files.size()) + "\n";
  for (const SeenFile& file : repeat.files) {
    const std::uint64_t numbers[] = {file.stamp.size, file.stamp.inode,
                                     static_cast<std::uint64_t>(file.stamp.mtime),
                                     static_cast<std::uint64_t>(file.stamp.ctime)};
    text.append(reinterpret_cast<const char*>(numbers), sizeof numbers);
    text += file.path;
    text += '\0';
  }
  util::Sha256 sum;
  sum.update(text);
  const util::Digest digest = sum.digest();
  return text.append(reinterpret_cast<const char*>(digest.bytes.data()), digest.bytes.size());
}

bool is_whole(std::string_view text) {
  if (text.size() < digest_bytes || !text.starts_with(head)) return false;
  util::Sha256 sum;
  sum.update(text.substr(0, text.size() - digest_bytes));
  return util::Digest::from_bytes(text.substr(text.size() - digest_bytes)) == sum.digest();
}

// Cuts the next line off.
std::string_view line(std::string_view& text) {
  const std::size_t end = std::min(text.find('\n'), text.size());
  const std::string_view result = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return result;
}

// Of a stamp with the path behind it.
bool is_as_it_was(const char* file) {
  struct stat st {};
  if (::stat(file + stamp_bytes, &st) != 0 || !S_ISREG(st.st_mode)) return false;
  const store::FileStamp now = store::stamp_of(st);
  const std::uint64_t numbers[] = {now.size, now.inode, static_cast<std::uint64_t>(now.mtime),
                                   static_cast<std::uint64_t>(now.ctime)};
  static_assert(sizeof numbers == stamp_bytes);
  return std::memcmp(file, numbers, sizeof numbers) == 0;
}

bool are_as_they_were(std::span<const char* const> files) { return std::ranges::all_of(files, is_as_it_was); }

}  // namespace

std::string repeat_key(const std::string& source, const std::string& file, const LoadOptions& options) {
  const bool asks_for_slot = options.slot && source.find("slot.") != source.npos;
  const Json outside = {{"version", version()},
                        {"file", place_of(file)},
                        {"overrides", options.overrides},
                        {"slot", asks_for_slot ? to_json(*options.slot) : Json()},
                        {"environment", referenced_environment(source)}};
  util::Sha256 sum;
  const std::vector<std::uint8_t> bytes =
      Json::to_cbor(outside);  // which has texts as they are, UTF-8 or not
  sum.update(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  sum.update(std::string_view("\0", 1));
  sum.update(source);
  return sum.hex();
}

bool may_repeat(const RunSettings& settings) {
  const Selection& s = settings.selection;
  return settings.use_cache && !settings.force_all && settings.forced.empty() && !settings.trace_reads &&
         s.only.empty() && s.from.empty() && s.until.empty() && s.skip.empty();
}

bool can_repeat(const Pipeline& pipeline, const Plan& plan, const RunSettings& settings) {
  // In quotes, "\x65nv." is "env." as well: which variables such a file refers to cannot be told by its text.
  const bool escapes = pipeline.source.find("\\x") != pipeline.source.npos ||
                       pipeline.source.find("\\u") != pipeline.source.npos ||
                       pipeline.source.find("\\U") != pipeline.source.npos;
  return may_repeat(settings) && !pipeline.dvc && pipeline.secrets.empty() && !escapes &&
         std::ranges::none_of(pipeline.steps, [](const Step& step) { return names_event(step); }) &&
         pipeline.steps.size() >= steps_worth_repeating &&
         std::ranges::all_of(plan.steps, &PlannedStep::selected) &&
         std::ranges::all_of(pipeline.steps, [](const Step& step) { return why_never_reused(step).empty(); });
}

void remember_repeat(const Workspace& workspace, const std::string& file, Repeat repeat) {
  std::ranges::sort(repeat.files, {}, &SeenFile::path);
  for (std::size_t i = 1; i < repeat.files.size(); ++i) {
    const SeenFile& a = repeat.files[i - 1];
    const SeenFile& b = repeat.files[i];
    if (a.path == b.path && !(a.stamp == b.stamp)) return;  // changed while the run looked
  }
  repeat.files.erase(std::unique(repeat.files.begin(), repeat.files.end(),
                                 [](const SeenFile& a, const SeenFile& b) { return a.path == b.path; }),
                     repeat.files.end());
  std::string temporary;
  try {
    util::make_directories(workspace.state_directory() + "/" + layout::repeats);
    const std::string path = path_for(workspace, file);
    temporary = path + ".tmp";
    util::write_file(temporary, text_of(repeat));  // not synced: one that is torn has no end
    if (::rename(temporary.c_str(), path.c_str()) != 0) ::unlink(temporary.c_str());
  } catch (const Error& error) {
    ::unlink(temporary.c_str());
    util::log_debug(std::string("what a next run could be spared is not remembered: ") + error.what());
  }
}

std::optional<Repeat> find_repeat(const Workspace& workspace, const std::string& file,
                                  const std::string& key) {
  std::string text;
  try {
    text = util::read_file(path_for(workspace, file));
  } catch (const Error&) {
    return std::nullopt;
  }
  if (!is_whole(text)) return std::nullopt;
  std::string_view rest = std::string_view(text).substr(head.size());
  rest.remove_suffix(digest_bytes);
  Repeat repeat;
  repeat.key = line(rest);
  repeat.run = line(rest);
  const std::string_view digits = line(rest);
  std::size_t count = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), count);
  if (repeat.key != key) return std::nullopt;
  std::vector<const char*> files;  // a stamp and a path
  for (; count > 0; --count) {
    const std::size_t end = rest.find('\0', stamp_bytes);
    if (end == rest.npos) return std::nullopt;
    files.push_back(rest.data());
    rest.remove_prefix(end + 1);
  }
  // The look at the files is most of the work.
  const std::span all(files);
  bool other_half = false;
  std::jthread other([&] { other_half = are_as_they_were(all.subspan(all.size() / 2)); });
  const bool half = are_as_they_were(all.first(all.size() / 2));
  other.join();
  if (!half || !other_half) return std::nullopt;
  return repeat;
}

}  // namespace mlops::engine
