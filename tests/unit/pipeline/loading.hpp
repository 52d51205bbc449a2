#pragma once

#include <mlops/pipeline.hpp>

#include "catch.hpp"

#include <string>
#include <vector>

/// Loads `text` as /p/churn.yaml without looking for its inputs.
inline mlops::Pipeline load(const std::string& text, std::vector<std::string> overrides = {}) {
  try {
    return mlops::parse_pipeline(text, "/p/churn.yaml", {std::move(overrides), false});
  } catch (const mlops::BadFile& e) {
    FAIL(text.substr(0, 500) << "\n" << e.what());
  }
  return {};
}

/// The problems of `text`, each as "line:column message | hint"; none if it loads.
inline std::vector<std::string> problems(const std::string& text, std::vector<std::string> overrides = {}) {
  std::vector<std::string> list;
  try {
    mlops::parse_pipeline(text, "/p/churn.yaml", {std::move(overrides), false});
  } catch (const mlops::BadFile& e) {
    for (const mlops::Diagnostic& d : e.problems())
      list.push_back(std::to_string(d.at.line) + ":" + std::to_string(d.at.column) + " " + d.message + " | " +
                     d.hint);
  }
  return list;
}

/// The only problem of `text`.
inline std::string problem(const std::string& text) {
  const auto list = problems(text);
  INFO(text.substr(0, 500));
  for (const std::string& one : list) UNSCOPED_INFO(one);
  REQUIRE(list.size() == 1);
  return list[0];
}

/// A file with one step, which has `keys`; each line of them begins in column 5, from line 4.
inline std::string step(const std::string& keys, const std::string& head = "") {
  std::string text = head + "steps:\n  s:\n    run: x\n    ";
  for (const char c : keys) text += c == '\n' ? "\n    " : std::string(1, c);
  return text + "\n";
}
