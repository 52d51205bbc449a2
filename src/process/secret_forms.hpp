// What a step prints is kept and shown; the values of secrets that it prints are not.
#pragma once

#include <bitset>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace mlops::process {

/// Output that may be the beginning of a secret, and waits for what comes next.
struct HeldOutput {
  std::string bytes;
  std::size_t hidden = 0;  ///< of these, how many belong to a secret that was found
};

/// The values of secrets in the forms in which programs print them: as they are, each line of a longer text,
/// as base64 (both alphabets, at any place in what is encoded, wrapped or not), in a URL, in JSON, in hex,
/// quoted for a shell.
class SecretForms {
 public:
  /// Shorter ones stand in words by chance, and hiding them would tell where.
  static constexpr std::size_t shortest = 8;
  static constexpr std::string_view mark = "***";

  SecretForms() = default;
  /// Those of fewer than `shortest` bytes, and those that no environment can hold, are left out.
  explicit SecretForms(const std::vector<std::string>& secrets);

  bool empty() const { return forms_.empty(); }

  /// What may be shown of `bytes`, which follow `held`, with `mark` in the place of each secret. With
  /// `at_end` nothing is held back.
  std::string mask(HeldOutput& held, std::string_view bytes, bool at_end) const;

 private:
  struct Match {
    std::size_t length = 0;  ///< of the longest form that `text` begins with
    bool may_grow = false;   ///< all of `text` is the beginning of a form
  };
  Match match(std::string_view text) const;
  /// The first place from `at` on where a form may begin, or the end.
  std::size_t candidate(std::string_view text, std::size_t at) const;

  std::vector<std::string> forms_;  ///< sorted
  std::bitset<256> first_;
  std::bitset<65536> first_two_;
};

/// Masks small files that a step hands to others, as they are recorded; what cannot be read stays as it is.
void mask_files(const std::vector<std::string>& paths, const SecretForms& secrets);

}  // namespace mlops::process
