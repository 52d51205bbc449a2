#include "process/wire.hpp"

namespace mlops::process {

// Both functions name the fields in the same order.

void put_request(Writer& message, const StartRequest& r) {
  message.put(r.key);
  message.put(r.name);
  message.put(r.argv);
  message.put(r.directory);
  message.put(r.inherit_env);
  message.put(r.env);
  message.put(r.unset_env);
  message.put(r.secrets);
  message.put(r.small_files);
  message.put(r.timeout_ms);
  message.put(r.no_output_ms);
  message.put(r.grace_ms);
  message.put(r.leave_running);
  message.put(r.log_head);
  message.put(r.log_tail);
  message.put(r.trace_file);
}

StartRequest get_request(Reader& message) {
  StartRequest r;
  r.key = message.get<AttemptKey>();
  r.name = message.text();
  r.argv = message.list();
  r.directory = message.text();
  r.inherit_env = message.flag();
  r.env = message.list();
  r.unset_env = message.list();
  r.secrets = message.list();
  r.small_files = message.list();
  r.timeout_ms = message.get<std::int64_t>();
  r.no_output_ms = message.get<std::int64_t>();
  r.grace_ms = message.get<std::int64_t>();
  r.leave_running = message.flag();
  r.log_head = message.get<std::uint64_t>();
  r.log_tail = message.get<std::uint64_t>();
  r.trace_file = message.text();
  return r;
}

}  // namespace mlops::process
