// YAML byte for byte as DVC's library (ruamel.yaml, round-trip, lines of 80 columns) writes it, so that a
// dvc.lock does not change because another program wrote it.
#pragma once

#include <mlops/dvc.hpp>

#include <string>

namespace mlops::dvc {

/// `value` as a document; maps keep their order.
std::string write_yaml(const OrderedJson& value);

/// One entry of a map at `indent` columns: "key: value\n" or "key:\n  …".
std::string write_yaml_entry(const std::string& key, const OrderedJson& value, std::size_t indent);

}  // namespace mlops::dvc
