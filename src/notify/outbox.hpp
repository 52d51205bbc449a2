// Writing down what is to be told, within the transaction in which it becomes true: what has been committed
// is told, and nothing else.
#pragma once

#include <mlops/outbox.hpp>
#include <mlops/pipeline.hpp>

#include "db/database.hpp"
#include "notify/addressee.hpp"
#include "notify/transport.hpp"

#include <string>
#include <vector>

namespace mlops::notify {

/// The run has ended, as its row says: a failure, a refusal, a success or a recovery. Within a Transaction.
void tell_end(db::Connection& connection, const std::vector<Addressee>& addressees,
              const std::string& run_id);

/// Something that did not happen in time, or will not.
struct Late {
  std::string key;     ///< which promise, and at risk or missed: told once
  std::string slot;    ///< when it was due: "2026-01-05T06:00:00+00:00"
  std::string reason;  ///< "not done by 06:00", "will be done at about 06:40, after its deadline of 06:00"
  std::string run_id;  ///< that is at it, if there is one
  bool ahead = false;  ///< there is still time
};
/// Within a Transaction. Told once for each key, however often this is called.
void tell_late(db::Connection& connection, const Pipeline& pipeline, const Late& late);

/// A run that was due could not begin: a failure that has no run. Nothing if there is a run of that id.
void tell_not_begun(db::Database& database, const Pipeline& pipeline, const std::string& run_id,
                    const std::string& reason);

/// Lets messages be sent now, those that were given up too; not what was sent, is being sent or was
/// suppressed.
void make_due(db::Database& database, std::vector<MessageRecord> messages);

/// Sends a message that says that it is a test. It is in no outbox; the record tells what became of it.
MessageRecord send_test(const Transport& transport, const Addressee& addressee, const Pipeline& pipeline);

}  // namespace mlops::notify
