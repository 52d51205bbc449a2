// Lines for a crontab, and the block that they stand in.
#include <mlops/error.hpp>

#include "schedule/crontab.hpp"
#include "schedule/seal.hpp"
#include "util/strings.hpp"

#include <algorithm>

namespace mlops::schedule {

std::string cron_command(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) {
    if (word.find_first_of("\n\r") != word.npos || word.find('\0') != word.npos)
      throw Error(ExitCode::usage, "a crontab cannot say '" + util::escape_controls(word) + "'",
                  "it holds a line break");
    const bool plain = word.find('\\') == word.npos;
    std::string text = plain ? util::shell_quote(word) : "'";
    if (!plain) {
      // Each backslash is the last character within its quotes: two of them, or one before a `%`, are read in
      // different ways by different crons.
      for (const char c : word) text += c == '\'' ? "'\"'\"'" : c == '\\' ? "\\''" : std::string(1, c);
      text += "'";
    }
    if (!out.empty()) out += ' ';
    for (const char c : text) out += c == '%' ? "\\%" : std::string(1, c);
  }
  return out;
}

std::optional<CrontabBlock> find_block(const std::vector<std::string>& crontab,
                                       const std::string& workspace) {
  const std::string begin = std::string(block_begin) + workspace, end = std::string(block_end) + workspace;
  std::vector<std::size_t> begins, ends;
  for (std::size_t i = 0; i < crontab.size(); ++i) {
    if (crontab[i] == begin) begins.push_back(i);
    if (crontab[i] == end) ends.push_back(i);
  }
  if (begins.empty() && ends.empty()) return std::nullopt;
  if (begins.size() != 1 || ends.size() != 1 || ends[0] < begins[0]) {
    const std::size_t line = begins.empty() ? ends[0] : begins.back();
    throw Error(ExitCode::busy,
                "the marks of '" + workspace + "' in the crontab do not go together, at line " +
                    std::to_string(line + 1),
                "mend it with `crontab -e`: '" + begin + "' … '" + end + "', once each");
  }
  CrontabBlock block{begins[0], ends[0], {}, true};
  block.lines.assign(crontab.begin() + static_cast<std::ptrdiff_t>(block.first + 1),
                     crontab.begin() + static_cast<std::ptrdiff_t>(block.last));
  block.changed = unseal(block.lines) != Sealed::intact;
  return block;
}

std::string with_block(const std::vector<std::string>& crontab, const std::string& workspace,
                       const std::vector<std::string>& lines) {
  std::vector<std::string> block;
  if (!lines.empty()) {
    block = {std::string(block_begin) + workspace, seal(lines)};
    block.insert(block.end(), lines.begin(), lines.end());
    block.push_back(std::string(block_end) + workspace);
  }
  std::vector<std::string> result = crontab;
  auto place = result.end();
  if (const auto old = find_block(crontab, workspace)) {
    place = result.erase(result.begin() + static_cast<std::ptrdiff_t>(old->first),
                         result.begin() + static_cast<std::ptrdiff_t>(old->last + 1));
  }
  result.insert(place, block.begin(), block.end());
  return result.empty() ? "" : util::join(result, "\n") + "\n";
}

}  // namespace mlops::schedule
