# The queue: what is submitted is run once, in its turn, by whoever is there; workers are killed meanwhile. ITEMS and WORKERS
# make it longer.
. "$(dirname "$0")/common.sh"
says() { [ "$(sql "$1")" = "$2" ]; }
export WITNESS=$here/witness
: > witness
mkdir -m 700 .mlops
printf 'name: p\nparams: {n: 0}\nsteps: {a: {run: '"'"'echo "$MLOPS_RUN_ID $MLOPS_FENCE "${params.n} >> $WITNESS'"'"'}}\n' > p.yaml
worker() { "$MLOPS" worker "$@" >> worker.log 2>&1 & pid=$!; cleanups+=("kill -9 $pid 2>/dev/null"); }
end_of() { { wait "$1"; code=$?; } 2> /dev/null; }

# What cannot be run is not accepted.
printf 'steps: [\n' > bad.yaml
mlops submit bad.yaml; expect_exit 2; expect_err "bad.yaml:"
mlops submit none.yaml; expect_exit 2
mlops submit p.yaml --set m=1; expect_exit 2
mlops submit /dev/stdin < p.yaml; expect_exit 2; expect_err "is no file that can be read again"
mlops submit p.yaml --priority 1001; expect_exit 2
mlops submit p.yaml --at never; expect_exit 2; expect_err "cannot read the time"
mlops submit p.yaml --at "2020-01-01 03:00"; expect_exit 2; expect_err "cannot submit 'p.yaml' for 2020-01-01 03:00"; expect_err "that is past"; expect_err "leave --at out"
mlops submit p.yaml --at 2020-01-01 --key past; expect_exit 2; expect_err "that is past"
mlops submit p.yaml --in soon; expect_exit 2; expect_err "cannot read --in 'soon'"
mlops submit p.yaml --in 1h --at 2099-01-01; expect_exit 2
mlops submit p.yaml --queue "a b"; expect_exit 2; expect_err "is not a name of a queue"
mlops queue list; expect_ok; expect_out "0 waiting, 0 workers"
mlops queue show 1; expect_exit 2; expect_err "there is no request 1"
mlops queue cancel 1; expect_exit 2
mlops queue cancel one; expect_exit 2; expect_err "ID: 'one' is not a number, or too large"
mlops queue list --limit -1; expect_exit 2; expect_err "not in range 0 to"
for queue in "" "a b"; do mlops worker --once --queue "$queue"; expect_exit 2; expect_err "is not a name of a queue"; done
mlops submit p.yaml --key "$(printf '%2000d' 0)"; expect_exit 2; expect_err "of at most 1000 bytes"
mlops submit p.yaml --key "$(printf '\377')"; expect_exit 2; expect_err "UTF-8"

# In its turn.
mlops submit p.yaml --set n=1; expect_ok; expect_equal "$out" 1; expect_err "neither a worker nor a daemon takes them up"
mlops submit p.yaml --set n=2 --priority 10; expect_equal "$out" 2
mlops submit p.yaml --set n=3 --json; expect_ok; expect_equal "$(json 'j["id"], j["new"], j["state"], j["set"]')" "(3, True, 'waiting', ['n=3'])"
mlops submit p.yaml --set n=4 --in 1h --key once; expect_equal "$out" 4
mlops submit p.yaml --set n=4 --key once; expect_ok; expect_equal "$out" 4; expect_err "the key 'once' is known: request 4 is waiting"
for other in "--set n=5" "" "--set n=4 --queue gpu" "--set n=4 --priority 7" "--set n=4 --at 2099-01-01"; do
    mlops submit p.yaml --key once $other; expect_exit 2; expect_equal "$out" ""
    expect_err "the key 'once' is that of request 4, which is waiting and has other settings: "
done
cp p.yaml q.yaml; mlops submit q.yaml --set n=5 --key once --json; expect_exit 2
expect_equal "$(json 'j["error"]["message"].partition("settings: ")[2]')" "the file p.yaml, not q.yaml; it has --set n=4, not --set n=5"
mlops submit p.yaml --key "event 1"; expect_exit 2; expect_err "keys of events begin like that"
mlops submit p.yaml --set n=5; mlops submit p.yaml --set n=6
mlops queue move 5 --to-front; expect_ok; expect_out "moved request 5"
mlops queue move 1; expect_exit 2; expect_err "say where to move it"
mlops queue cancel 6 6; expect_exit 5; expect_out "cancelled request 6"; expect_err "request 6 is left as it is: it was cancelled before"
mlops queue list --json; expect_ok
expect_equal "$(json '[r["id"] for r in j["requests"]], j["waiting"], j["workers"]')" "([5, 2, 1, 3, 4], 5, 0)"
mlops queue list; expect_out "waits for a worker"; expect_out "waits for its time"
mlops worker --once -j 1; expect_ok; expect_out "taking runs from all queues"; expect_out "for p, request 5"; expect_out "is done"
expect_equal "$(cut -d' ' -f3 witness | tr '\n' ' ')" "5 2 1 3 "
expect_equal "$(cut -d' ' -f2 witness | tr '\n' ' ')" "1 2 3 4 "
mlops show latest; expect_out "for       request 3 of the queue default (submitted by hand)"
mlops show latest --json; expect_equal "$(json 'j["request"]["id"], j["slot"]')" "(3, None)"
mlops queue show 3 --json; expect_equal "$(json 'j["state"], j["run_state"]')" "('started', 'succeeded')"
mlops queue cancel 3; expect_exit 5; expect_err "has begun"
mlops queue list --all --json; expect_equal "$(json '[r["state"] for r in j["requests"]]')" "['started', 'started', 'started', 'waiting', 'started', 'cancelled']"
mlops queue move 4 --to-front; mlops worker --once; expect_equal "$(tail -n 1 witness | cut -d' ' -f3)" 4
expect_equal "$(sql "select count(*), sum(run_state = 'succeeded') from v_requests where state = 'started'")" "5,5"

# What cannot be run any more says why.
mkdir sub gone; cp p.yaml sub/broken.yaml; cp p.yaml sub/deleted.yaml; cp p.yaml gone/p.yaml
for file in sub/broken.yaml sub/deleted.yaml gone/p.yaml; do mlops submit $file; expect_ok; done
echo ' [' >> sub/broken.yaml; rm -r sub/deleted.yaml gone
mlops worker --once; expect_ok
expect_equal "$(sql "select count(*) from v_requests where state = 'rejected'")" 3
sql "select reason from v_requests where state = 'rejected'" > reasons
grep -q "broken.yaml" reasons && grep -q "deleted.yaml" reasons && grep -q "cannot be started in '$here/gone'" reasons || fail "$(cat reasons)"

# Waiting for the end.
printf 'steps: {a: {run: exit 3}}\n' > fails.yaml
worker; wait_for 10 grep -q "taking runs" worker.log
mlops submit p.yaml --wait; expect_ok
mlops submit fails.yaml --wait --json; expect_exit 1; expect_equal "$(json 'j["state"]')" started
"$MLOPS" submit p.yaml --in 1h --wait > waits.out 2>&1 & waits=$!
wait_for 10 test -s waits.out; mlops queue cancel "$(head -n 1 waits.out)"; expect_ok; end_of $waits; expect_equal "$code" 5

# Nothing wakes a worker that has nothing to do; what comes is run at once; asked to stop, it leaves runs to themselves.
switches() { awk '/ctxt_switches/ { n += $2 } END { print n }' /proc/$pid/status; }
sleep 0.3; before=$(switches); sleep 1; expect_equal "$(switches)" "$before"
mlops queue list; expect_out "1 worker"

# What a process had claimed that dies is taken over at that moment, by one that sleeps.
sleep 60 & holder=$!; cleanups+=("kill $holder 2>/dev/null")
python3 - $holder <<'PY'
import sqlite3, sys
ticks = open(f"/proc/{sys.argv[1]}/stat").read().rsplit(")", 1)[1].split()[19]
boot = open("/proc/sys/kernel/random/boot_id").read().strip()
db = sqlite3.connect(".mlops/mlops.db")
db.execute("""insert into requests (queue, file, pipeline, options, priority, source, cause, not_before, state, submitted_at, submitted_by,
  claimer, fence, run_id) values ('held', 'p.yaml', 'p', '{}', 0, 'submit', '', '2020-01-01 00:00:00.000', 'claimed', '2020-01-01 00:00:00.000',
  '', ?, 900, 'x')""", (f"{sys.argv[1]} {ticks} {boot}",))
db.commit()
open(".mlops/queue.bell", "w").close()
PY
sleep 0.5; says "select state from v_requests where queue = 'held'" claimed || fail "a claim of a living process was taken over"
kill -9 $holder; { wait $holder; } 2> /dev/null; wait_for 2 says "select state, fence > 900 from v_requests where queue = 'held'" started,1
printf 'name: slow\nconcurrency: 1\nsteps: {a: {run: '"'echo in >> turns; until [ -e free ]; do sleep 0.05; done; sleep 0.3; echo out >> turns'"'}}\n' > slow.yaml
mlops submit slow.yaml; id=$out; wait_for 10 test -s turns
mlops worker --once; expect_ok
kill -TERM $pid; end_of $pid; expect_equal "$code" 0; tail -n 1 worker.log | grep -q "stopping: 1 runs go on" || fail "$(tail -n 3 worker.log)"
touch free
wait_for 10 says "select run_state from v_requests where id = $id" succeeded
[ -z "$(ls .mlops/workers)" ] || fail "a worker has left its directory"

# Limits hold over all workers, and nothing is lost to them: concurrency of a pipeline, of a queue, a rate, the workspace.
: > turns
for _ in 1 2 3 4; do mlops submit slow.yaml; done
worker; first=$pid; worker; second=$pid
sleep 0.1; kill -9 $first
wait_for 20 says "select count(*) from v_requests where pipeline = 'slow' and run_state = 'succeeded'" 5
expect_equal "$(tr '\n' ' ' < turns)" "in out in out in out in out "
printf 'runs: nine\n' > .mlops/config.yaml
before=$(sql "select count(*) from requests"); mlops submit p.yaml; expect_exit 2; expect_err ".mlops/config.yaml:1:7: error: 'runs' has to be"
expect_equal "$(sql "select count(*) from requests")" "$before"
wait_for 10 grep -q "what was configured before still counts" worker.log
printf 'runs: 3\nqueues: {api: {rate: 3/1s}, one: {concurrency: 1}}\n' > .mlops/config.yaml
printf 'steps: {a: {run: '"'echo in >> turns; while [ ! -e go ]; do sleep 0.05; done; echo out >> turns'"'}}\n' > gate.yaml; : > turns
for _ in 1 2 3; do mlops submit gate.yaml --queue one; done
wait_for 10 test -s turns; wait_for 10 says "select group_concat(state) from (select state from v_requests where queue = 'one' order by id)" '"started,waiting,waiting"'
mlops queue list; expect_out "1 run of the queue 'one' goes on, its concurrency"; touch go
for n in 1 2 3 4 5 6 7; do mlops submit p.yaml --set n=$n --queue api --priority -1; done
worker; third=$pid
wait_for 20 says "select count(*) from v_requests where queue in ('api', 'one') and run_state = 'succeeded'" 10
expect_equal "$(tr '\n' ' ' < turns)" "in out in out in out "
python3 - <<'PY' || fail "the rate"
import datetime, json, os, subprocess
out = subprocess.run([os.environ["MLOPS"], "sql", "--json", "select claimed_at from v_requests where queue = 'api' order by 1"],
                     capture_output=True, text=True, check=True).stdout
times = [datetime.datetime.fromisoformat(row["claimed_at"]) for row in json.loads(out)["rows"]]
assert all((b - a).total_seconds() >= 1 for a, b in zip(times, times[3:])), times
PY
kill -TERM $second $third; end_of $second; end_of $third
mlops submit p.yaml --queue other; mlops worker --once --queue api,one; mlops queue list --json; expect_equal "$(json 'j["waiting"]')" 1
mlops worker --once --queue other; expect_ok; mlops queue list --json; expect_equal "$(json 'j["waiting"]')" 0

# The daemon takes up what waits, unless it is told not to; slots wait for limits as well, the more urgent first.
printf 'runs: 1\n' > .mlops/config.yaml
for each in low:-5 high:5; do
    printf 'name: %s\npriority: %s\nschedule: {every: 2s, overlap: allow}\nsteps: {a: {run: '"'echo in %s >> turns; sleep 0.2; echo out %s >> turns'"'}}\n' \
        ${each%:*} ${each#*:} ${each%:*} ${each%:*} > ${each%:*}.yaml
done
: > turns
"$MLOPS" daemon --no-queue low.yaml high.yaml --runs 4 > daemon.log 2>&1 & daemon=$!; cleanups+=("kill -9 $daemon 2>/dev/null")
wait_for 10 grep -q serving daemon.log
mlops submit p.yaml; id=$out
wait_for 20 says "select count(*) >= 5 from v_slots where run_state = 'succeeded'" 1
says "select state from v_requests where id = $id" waiting || fail "a daemon with --no-queue took it up"
kill -TERM $daemon; end_of $daemon; wait_for 10 says "select count(*) from runs where state = 'running'" 0
# The first may have been due between the reading of the two files.
expect_equal "$(awk '/in high/ { on = 1 } on' turns | head -n 8 | tr '\n' ' ')" "in high out high in low out low in high out high in low out low "
"$MLOPS" daemon > daemon.log 2>&1 & daemon=$!; cleanups+=("kill -9 $daemon 2>/dev/null")
wait_for 20 says "select run_state from v_requests where id = $id" succeeded
kill -TERM $daemon; end_of $daemon
for each in low high; do mlops schedule remove $each.yaml; done
rm .mlops/config.yaml; wait_for 10 says "select count(*) from runs where state = 'running'" 0
mlops daemon --once; expect_ok

# A full queue.
python3 - <<'PY'
import sqlite3
db = sqlite3.connect(".mlops/mlops.db")
db.execute("""insert into requests (queue, file, pipeline, options, priority, source, cause, not_before, state, submitted_at, submitted_by)
  with recursive n(i) as (select 1 union all select i + 1 from n where i < 100000)
  select 'full', 'p.yaml', 'p', '{}', 0, 'submit', '', '2099-01-01 00:00:00.000', 'waiting', '', '' from n""")
db.commit()
PY
mlops submit p.yaml; expect_exit 5; expect_err "a full queue: 100000 requests wait already"; expect_err "mlops queue cancel"
python3 -c 'import sqlite3; db = sqlite3.connect(".mlops/mlops.db"); db.execute("delete from requests where queue = \"full\""); db.commit()'

# Many items, many workers, some of them killed: each is run once.
items=${ITEMS:-300} workers=${WORKERS:-5}
: > witness; : > worker.log
printf 'import subprocess, os\nfor n in range(%d): subprocess.run([os.environ["MLOPS"], "submit", "p.yaml", "--set", f"n={n}"], check=True, capture_output=True)\n' "$items" > submit.py
MLOPS=$MLOPS python3 submit.py & submitting=$!
RANDOM=${SEED:-7}
declare -A alive
for i in $(seq "$workers"); do worker -j 2; alive[$i]=$pid; done
kills=0
until says "select count(*) from v_requests where state in ('waiting', 'claimed')" 0 && ! kill -0 $submitting 2> /dev/null; do
    i=$((RANDOM % workers + 1))
    sleep "0.0$((RANDOM % 10))"
    kill -9 "${alive[$i]}"; { wait "${alive[$i]}"; } 2> /dev/null; kills=$((kills + 1))
    worker -j 2; alive[$i]=$pid
    [ "$kills" -lt 2000 ] || fail "the queue does not get empty"
done
wait_for 20 says "select count(*) from runs where state = 'running'" 0
for i in $(seq "$workers"); do kill -9 "${alive[$i]}"; done
expect_equal "$(cut -d' ' -f3 witness | sort -n | uniq -c | awk '$1 != 1' | wc -l)" 0
expect_equal "$(cut -d' ' -f3 witness | sort -un | wc -l)" "$items"
expect_equal "$(cut -d' ' -f1 witness | sort -u | wc -l)" "$items"
expect_equal "$(sql "select count(*), count(distinct run_id), sum(run_state = 'succeeded') from v_requests where id > (select max(id) from requests) - $items")" "$items,$items,$items"
echo "$items items, $kills workers killed"

# A time of this minute is now; what was asked for stays asked for when its time has passed.
mlops submit p.yaml --at "$(date -d '-20 seconds' '+%F %T')" --key minute; expect_ok
at=$(date -d '+2 hours' '+%F %T'); mlops submit p.yaml --at "$at" --key passed; expect_ok; number=$out
python3 -c 'import sqlite3; db = sqlite3.connect(".mlops/mlops.db"); db.execute("update requests set not_before = ? where dedupe = ?", ("2020-01-01 00:00:00.000", "passed")); db.commit()'
mlops submit p.yaml --at 2020-01-01T00:00:00Z --key passed; expect_ok; expect_equal "$out" "$number"; expect_err "the key 'passed' is known"
mlops queue cancel "$number"

# What is old goes: with its run, and what led to none.
mlops submit p.yaml; expect_ok; mlops queue cancel "$(sql "select max(id) from requests")"; expect_ok
before=$(sql "select count(*) from requests")
mlops rm --older-than 1h; expect_ok; expect_out "nothing to delete"
mlops rm --older-than 0.001s --dry-run; expect_ok; expect_out "would delete"
expect_equal "$(sql "select count(*) from requests")" "$before"
mlops rm --older-than 0.001s --json; expect_ok
expect_equal "$(json 'j["requests"] > 100, len(j["deleted"]) > 100')" "(True, True)"
fence=$(sql "select max(fence) from requests")
mlops submit p.yaml; expect_ok; worker -j 1; wait_for 20 says "select count(*) from requests where id = $out and state = 'started' and fence > $fence" 1; kill -9 "$pid"

# What comes first has not begun: nobody takes it up.
mkdir -m 700 -p idle/.mlops; cd idle
printf 'name: k\nconcurrency: 1\nsteps: {a: {run: "true"}}\n' > k.yaml; for _ in 1 2 3; do mlops submit k.yaml; expect_ok; done
mlops queue list; expect_ok; expect_out "1 run of k comes first, its concurrency"; expect_no_out "goes on"; expect_out "0 workers"
mlops queue list --json; expect_equal "$(json '[r["about"] for r in j["requests"]][:2]')" "['waits for a worker', '1 run of k comes first, its concurrency']"
exit 0
