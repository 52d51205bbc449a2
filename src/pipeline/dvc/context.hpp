// `${…}` of a dvc.yaml: what can be named, and how it is filled in.
#pragma once

#include <mlops/error.hpp>

#include "pipeline/dvc/value.hpp"

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace mlops::pipeline::dvc {

/// What to write in place of a value that `${…}` names: `parts` is its name, `whole` what the first part of
/// it stands for. Nothing: the value itself.
using Refer = std::function<std::optional<std::string>(const std::vector<std::string>& parts,
                                                       const OrderedJson& whole, const OrderedJson& value)>;

/// How maps are unpacked in `cmd`: `parsing.bool` and `parsing.list` of .dvc/config.
struct UnpackStyle {
  bool no_flags = false;      ///< false becomes --no-NAME instead of nothing
  bool append_lists = false;  ///< --k a --k b instead of --k a b
};

class Context {
 public:
  /// Adds values, those under a key that is no text left out; a name that is there already is a problem,
  /// returned in words, unless both are maps.
  std::optional<std::string> merge(const OrderedJson& values, const std::string& source);

  /// Sets `item` and `key` of an expansion over whatever is there; from then on nothing may redefine them.
  void set_reserved(const std::string& name, const OrderedJson& value);

  /// The value of `a.b[0]`; a problem in words if there is none.
  const OrderedJson* select(std::string_view expression, std::string& problem) const;

  /// What `refer` says of a value; nothing of what an expansion stands for.
  std::optional<std::string> reference(const std::vector<std::string>& parts, const OrderedJson& value) const;

  /// Asked for values in commands and paths, if set.
  Refer refer;

  /// Files that were loaded, and whether wholly: the same one is not loaded twice.
  std::map<std::string, bool> loaded;

 private:
  bool merge_into(OrderedJson& into, const OrderedJson& values, const std::string& path,
                  std::string& clash) const;

  OrderedJson values_ = OrderedJson::object();
  std::map<std::string, std::string> sources_;  // of top-level names
  std::set<std::string> reserved_;
};

/// Fills in a text. `key` is the key of the stage that it stands under: maps are unpacked under `cmd`, and
/// may be named as a whole under `foreach` and `matrix`. Problems go to `report` with the expression at
/// fault.
OrderedJson fill_in(const std::string& text, const Context& context, std::string_view key,
                    const UnpackStyle& style,
                    const std::function<void(const std::string& expression, std::string problem)>& report);

/// True if `text` holds a `${…}`.
bool has_expression(std::string_view text);

/// The parts of `a.b[0]`; none if it is not of that form.
std::vector<std::string> parts_of(std::string_view expression);

/// A map as options of a command: `--lr 0.1 --flag`. Throws std::invalid_argument for lists in lists. `refer`
/// is asked for single values that need no quotes, by their dotted names in the map.
std::string unpack(const OrderedJson& map, const UnpackStyle& style,
                   const std::function<std::optional<std::string>(const std::string& name,
                                                                  const OrderedJson& value)>& refer = {});

/// A word as Python's shlex.quote() has it.
std::string quoted_word(std::string_view word);

}  // namespace mlops::pipeline::dvc
