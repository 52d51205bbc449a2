# The daemon as process 1, as in a container: it reaps what others leave to it, and ends runs in order when it is stopped.
. "$(dirname "$0")/common.sh"
unshare --pid --fork --mount-proc true 2> /dev/null || unshare --user --map-root-user --pid --fork --mount-proc true 2> /dev/null ||
    skip "no process namespaces here (unshare --pid --mount-proc)"
how="--pid --fork --mount-proc"
unshare $how true 2> /dev/null || how="--user --map-root-user $how"
says() { [ "$(sql "$1")" = "$2" ]; }

# Each run leaves two processes behind: one that ends soon, with a child that outlives it. All of them become children of
# process 1.
cat > leave.yaml <<'Y'
name: leave
schedule: {every: 1s}
steps:
  a:
    leave_running: true
    run: |
      (sleep 0.3; (sleep 0.3; true) & ) > /dev/null 2>&1 &
      setsid sh -c 'sleep 0.2; sh -c "sleep 0.4" & exit 0' > /dev/null 2>&1 &
      echo "$MLOPS_RUN_ID" >> witness
Y
unshare $how "$MLOPS" daemon leave.yaml > daemon.log 2>&1 & outer=$!
inner() { pgrep -P $outer | head -n 1; }
cleanups=('kill -9 $(inner) $outer 2> /dev/null')
wait_for 20 grep -q serving daemon.log
daemon=$(inner)
expect_equal "$(awk '/^NSpid/ {print $NF}' /proc/$daemon/status)" 1
wait_for 30 says "select count(*) >= 3 from runs where state = 'succeeded'" 1
mlops schedule pause leave; expect_ok
wait_for 30 says "select count(*) from runs where state = 'running'" 0

# Nothing is left of them, alive or dead.
children() { pgrep -P "$daemon" | wc -l; }
none_left() { [ "$(children)" = 0 ]; }
wait_for 10 none_left
adopted=$(wc -l < witness)
[ "$adopted" -ge 3 ] || fail "only $adopted runs"

# Stopped while a run goes on: the run is ended in order, and says so.
cat > slow.yaml <<'Y'
name: slow
schedule: {every: 1s, overlap: skip}
steps: {a: {run: 'trap "touch ended; exit 1" TERM; touch began; sleep 60 & wait'}}
Y
mlops schedule add slow.yaml; expect_ok
wait_for 20 test -e began
kill -TERM "$daemon"
wait $outer; expect_equal "$?" 0
grep -q "as process 1: 1 runs are ended first" daemon.log || fail "the daemon's last words: $(tail -n 3 daemon.log)"
expect_exists ended
expect_equal "$(sql "select distinct state from runs where pipeline = 'slow'")" cancelled
mlops status; expect_ok
expect_equal "$(sql "select count(*) from v_slots where outcome = 'claimed'")" 0

# Runs that do not end are killed in time, and on record: `docker stop` waits for ten seconds, then kills.
mlops schedule remove slow.yaml; expect_ok; mlops schedule remove leave; expect_ok
cat > deaf.yaml <<'Y'
name: deaf
schedule: {every: 1s, overlap: skip}
steps:
  a: {run: 'trap "" TERM; touch deaf; while :; do sleep 0.1; done', grace: 60s}
  after: {always: true, needs: a, run: sleep 60}
Y
run unshare $how "$MLOPS" daemon deaf.yaml --stop-within soon; expect_exit 2; expect_err "cannot read --stop-within 'soon'"
unshare $how "$MLOPS" daemon deaf.yaml --stop-within 2s > deaf.log 2>&1 & outer=$!
wait_for 20 test -e deaf
daemon=$(inner); kill -TERM "$daemon"; (sleep 10; kill -9 "$daemon" 2> /dev/null) & docker=$!
wait $outer; expect_equal "$?" 0; kill $docker 2> /dev/null
grep -q "runs that have not ended within 2.0s are killed" deaf.log || fail "the daemon's last words: $(tail -n 3 deaf.log)"
expect_equal "$(python3 -c 'import sqlite3; print(sqlite3.connect(".mlops/mlops.db").execute("select distinct state from runs where pipeline = ?", ("deaf",)).fetchall())')" "[('cancelled',)]"

# So it is with a worker,
cat > asked.yaml <<'Y'
name: asked
steps: {a: {run: 'trap "" TERM; touch worked; while :; do sleep 0.1; done', grace: 60s}}
Y
mlops submit asked.yaml; expect_ok
unshare $how "$MLOPS" worker --stop-within 1s > worker.log 2>&1 & outer=$!
wait_for 20 test -e worked
kill -TERM "$(inner)"; (sleep 10; kill -9 "$(inner)" 2> /dev/null) & docker=$!
wait $outer; expect_equal "$?" 0; kill $docker 2> /dev/null
grep -q "as process 1: 1 runs are ended first" worker.log || fail "the worker's last words: $(tail -n 3 worker.log)"
grep -q "runs that have not ended within 1.0s are killed" worker.log || fail "the worker's last words: $(tail -n 3 worker.log)"
expect_equal "$(sql "select state from runs where pipeline = 'asked'")" cancelled

# and with one run, in front of which process 1 only stands: it reaps, and hands on signals and the exit code.
cat > one.yaml <<'Y'
name: one
steps:
  a:
    grace: 60s
    run: |
      trap "" TERM
      touch one
      while :; do sleep 0.1; done
Y
run unshare $how "$MLOPS" run one.yaml --stop-within soon; expect_exit 2; expect_err "cannot read --stop-within 'soon'"
unshare $how "$MLOPS" run one.yaml --stop-within 1s > one.log 2>&1 & outer=$!
wait_for 20 test -e one
first=$(inner)
has_children() { [ "$(pgrep -P "$first" | wc -l)" = "$1" ]; }
if [[ $how != *--user* ]]; then
    nsenter -t "$first" --pid sh -c '(while [ ! -e let ]; do sleep 0.05; done) & exit 0' || fail "nsenter"
    wait_for 10 has_children 2; touch let; wait_for 10 has_children 1
fi
kill -TERM "$first"; (sleep 10; kill -9 "$first" 2> /dev/null) & docker=$!
wait $outer; expect_equal "$?" 143; kill $docker 2> /dev/null
grep -q "ending all steps at once" one.log || fail "$(cat one.log)"
expect_equal "$(sql "select state from runs where pipeline = 'one'")" cancelled
printf 'name: code\nsteps: {a: {run: exit 9}}\n' > code.yaml
run unshare $how "$MLOPS" run code.yaml --propagate-exit-code; expect_exit 9
