#include "db/promises.hpp"

#include "util/time.hpp"

namespace mlops::db {

bool was_told(Connection& db, const ToldPromise& p) {
  Statement& row =
      db.cached("SELECT 1 FROM promises WHERE schedule = ? AND kind = ? AND due_at = ? AND state = ?")
          .bind(p.schedule, p.kind, static_cast<std::int64_t>(p.due.time_since_epoch().count()), p.state);
  const bool told = row.step();
  row.reset();
  return told;
}

bool put_told(Connection& db, const ToldPromise& p) {
  db.cached("INSERT INTO promises VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING")
      .bind(p.schedule, p.kind, static_cast<std::int64_t>(p.due.time_since_epoch().count()), p.state, p.words,
            util::format_utc(p.told_at))
      .run();
  return db.changes() > 0;
}

}  // namespace mlops::db
