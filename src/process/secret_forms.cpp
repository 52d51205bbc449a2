#include "process/secret_forms.hpp"

#include "util/files.hpp"
#include "util/json.hpp"
#include "util/strings.hpp"

#include <algorithm>
#include <cctype>
#include <set>

namespace mlops::process {

namespace {

constexpr std::size_t longest = 128 << 10;        // of one variable of an environment
constexpr std::size_t most_of_file = 256u << 20;  // of metrics: more is not read by who records them

unsigned pair_of(std::string_view text) {
  return static_cast<unsigned char>(text[0]) << 8 | static_cast<unsigned char>(text[1]);
}

std::string base64(std::string_view bytes, std::string_view last_two) {
  static constexpr std::string_view first = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  std::string out;
  unsigned value = 0;
  int bits = 0;
  for (const char c : bytes) {
    value = (value << 8 | static_cast<unsigned char>(c)) & 0xffffff;
    for (bits += 8; bits >= 6; bits -= 6) {
      const unsigned digit = value >> (bits - 6) & 63;
      out += digit < 62 ? first[digit] : last_two[digit - 62];
    }
  }
  return out;  // without what depends on the bytes that follow
}

std::string replaced(std::string_view text, char what, std::string_view by) {
  std::string out;
  for (const char c : text) c == what ? void(out += by) : void(out += c);
  return out;
}

std::string hex(std::string_view text, const char* digits) {
  std::string out;
  for (const unsigned char c : text) (out += digits[c >> 4]) += digits[c & 15];
  return out;
}

std::string percent_encoded(std::string_view text, std::string_view safe, const char* digits, bool plus) {
  std::string out;
  for (const char c : text) {
    if (plus && c == ' ') {
      out += '+';
    } else if (std::isalnum(static_cast<unsigned char>(c)) || safe.find(c) != safe.npos) {
      out += c;
    } else {
      out += '%' + hex({&c, 1}, digits);
    }
  }
  return out;
}

void add_in_pieces(std::set<std::string>& forms, const std::string& text) {
  forms.insert(text);
  for (const std::size_t width : {60u, 64u, 76u}) {  // of xxd, openssl, base64
    for (std::size_t at = 0; at < text.size(); at += width) forms.insert(text.substr(at, width));
  }
}

void add_forms(std::set<std::string>& forms, const std::string& secret) {
  forms.insert(secret);
  for (const std::string& line : util::split(secret, '\n')) forms.insert(std::string(util::trim(line)));
  for (const std::string_view last_two : {"+/", "-_"}) {
    add_in_pieces(forms, base64(secret, last_two));
    // Behind one or two other bytes the digits are others; those that hold bits of these are left out.
    forms.insert(base64(std::string(1, '\0') + secret, last_two).substr(2));
    forms.insert(base64(std::string(2, '\0') + secret, last_two).substr(3));
  }
  for (const char* digits : {"0123456789ABCDEF", "0123456789abcdef"}) {
    add_in_pieces(forms, hex(secret, digits));
    for (const std::string_view safe : {"-._~", "-._~/", "-._~!*'()", "-._~/:?#[]@!$&'()*+,;="}) {
      for (const bool plus : {false, true}) forms.insert(percent_encoded(secret, safe, digits, plus));
    }
  }
  for (const bool ascii : {false, true}) {
    const std::string text =
        nlohmann::json(secret).dump(-1, ' ', ascii, nlohmann::json::error_handler_t::replace);
    forms.insert(text.substr(1, text.size() - 2));
  }
  forms.insert(replaced(secret, '\'', "'\\''"));
  forms.insert(replaced(secret, '\'', "'\"'\"'"));
}

}  // namespace

SecretForms::SecretForms(const std::vector<std::string>& secrets) {
  std::set<std::string> forms;
  for (const std::string& secret : secrets) {
    if (secret.size() >= shortest && secret.size() < longest) add_forms(forms, secret);
  }
  for (const std::string& form : forms) {
    if (form.size() < shortest) continue;
    forms_.push_back(form);
    first_.set(static_cast<unsigned char>(form[0]));
    first_two_.set(pair_of(form));
  }
}

SecretForms::Match SecretForms::match(std::string_view text) const {
  Match result;
  if (text.size() == 1) {
    result.may_grow = first_[static_cast<unsigned char>(text[0])];
    return result;
  }
  if (!first_two_[pair_of(text)]) return result;
  const std::string_view two = text.substr(0, 2);
  for (auto form = std::ranges::lower_bound(forms_, two); form != forms_.end() && form->starts_with(two);
       ++form) {
    if (text.starts_with(*form)) {
      result.length = std::max(result.length, form->size());
    } else if (form->starts_with(text)) {
      result.may_grow = true;
    }
  }
  return result;
}

std::size_t SecretForms::candidate(std::string_view text, std::size_t at) const {
  for (; at + 1 < text.size(); ++at) {
    if (first_two_[pair_of(text.substr(at, 2))]) return at;
  }
  return at < text.size() && first_[static_cast<unsigned char>(text[at])] ? at : text.size();
}

std::string SecretForms::mask(HeldOutput& held, std::string_view bytes, bool at_end) const {
  const std::string joined = held.bytes.empty() ? std::string() : held.bytes.append(bytes);
  const std::string_view text = joined.empty() ? bytes : std::string_view(joined);
  std::size_t hidden = held.hidden;
  held = {};
  std::string out;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (at >= hidden) {
      const std::size_t next = candidate(text, at);
      out.append(text, at, next - at);
      at = next;
      if (at == text.size()) break;
    }
    const Match found = match(text.substr(at));
    if (found.may_grow && !at_end) {
      held = {std::string(text.substr(at)), hidden > at ? hidden - at : 0};
      break;
    }
    if (found.length > 0) {
      if (at >= hidden) out += mark;
      hidden = std::max(hidden, at + found.length);
    } else if (at >= hidden) {
      out += text[at];
    }
  }
  return out;
}

void mask_files(const std::vector<std::string>& paths, const SecretForms& secrets) {
  for (const std::string& path : paths) {
    try {
      HeldOutput none;
      const auto text = util::read_regular_file(path, most_of_file);
      if (!text || text->empty()) continue;
      const std::string masked = secrets.mask(none, *text, true);
      if (masked != *text) util::write_file(path, masked);
    } catch (const std::exception&) {
      // What cannot be read here is not read later, either.
    }
  }
}

}  // namespace mlops::process
