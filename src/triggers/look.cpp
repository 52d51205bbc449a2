#include "triggers/look.hpp"

namespace mlops::triggers {

Sight look(const TriggerRecord& record, const Trigger& trigger, const Scene& scene) {
  switch (trigger.kind) {
    case Trigger::Kind::files: return look_at_files(record, trigger, scene);
    case Trigger::Kind::succeeded: return look_at_successes(record, trigger, scene);
    case Trigger::Kind::metric: return look_at_metrics(record, trigger, scene);
    case Trigger::Kind::http: return look_at_url(record, trigger, scene);
    case Trigger::Kind::sql: return look_at_rows(record, trigger, scene);
    case Trigger::Kind::webhook: break;  // it is told
  }
  return {};
}

Json state_of(const TriggerRecord& record) {
  Json state = record.state.empty() ? Json() : Json::parse(record.state, nullptr, false);
  return state.is_object() ? state : Json();
}

}  // namespace mlops::triggers
