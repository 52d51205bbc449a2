// The contents of versions, as the store knows them.
#pragma once

#include <mlops/data.hpp>

#include "store/objects.hpp"
#include "store/snapshot.hpp"

#include <functional>
#include <optional>
#include <string>

namespace mlops::data {

store::Content content_of(const DatasetVersion& version);

/// Calls `on_change` for what two versions differ in. Throws Error(io) when one is not whole in the store.
void diff_versions(store::Objects& objects, const DatasetVersion& before, const DatasetVersion& after,
                   const std::function<void(const DataChange&)>& on_change);

/// Sets what `version` differs in from `before`, or from nothing.
void count_changes(store::Objects& objects, const std::optional<DatasetVersion>& before,
                   DatasetVersion& version);

/// Whether the workspace's own records lie at or below `path` or around it.
bool holds_records(const Workspace& workspace, const std::string& path);

}  // namespace mlops::data
