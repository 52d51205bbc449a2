# What `mlops status` tells besides runs: what waits and for what, and files that are not run as they have an error; and what
# is said of runs that were deleted.
. "$(dirname "$0")/common.sh"
says() { [ "$(sql "$1")" = "$2" ]; }
start() { "$MLOPS" daemon "$@" > daemon.log 2>&1 & pid=$!; cleanups=("kill -9 $pid 2>/dev/null"); wait_for 20 grep -q "serving" daemon.log; }
stop() { kill -TERM $pid; { wait $pid; } 2> /dev/null; }
told() { "$MLOPS" status | grep -q "$1"; }
mkdir -m 700 .mlops
year=$(date -u +%Y)

# A run that waits for room, by the limit of the workspace.
printf 'runs: 1\n' > .mlops/config.yaml
printf 'name: first\nschedule: {cron: "@yearly", timezone: UTC}\nsteps: {a: {run: "while [ ! -e go ]; do sleep 0.05; done"}}\n' > first.yaml
printf 'name: second\nschedule: {every: 1s, timezone: UTC, overlap: queue, end: 2199-01-01}\nsteps: {a: {run: "true"}}\n' > second.yaml
"$MLOPS" run first.yaml --slot now > /dev/null 2>&1 & first=$!
wait_for 20 says "select count(*) from runs where state = 'running'" 1
start --runs 4 second.yaml
wait_for 20 told "second  slot 2.*: waits for room: 1 run goes on, as many as the workspace has at a time"
mlops status --json
expect_equal "$(json '[(w["pipeline"], w["for"][:5], w["reason"]) for w in j["waiting"]][0]')" "('second', 'slot ', 'waits for room: 1 run goes on, as many as the workspace has at a time')"
slot=$(sql "select slot from v_slots where pipeline = 'second' order by slot limit 1")
mlops schedule audit second; expect_out "claimed "; expect_out "waits for room: 1 run goes on"
mlops schedule audit second --why "$slot"; expect_out "  waits for room: 1 run goes on"
mlops run second.yaml --slot "$slot"; expect_exit 75; expect_err "has it and waits for room: 1 run goes on"
touch go; wait $first
wait_for 20 says "select outcome, reason from v_slots where slot = '$slot' and pipeline = 'second'" "ran,"
mlops schedule remove second; stop; rm go .mlops/config.yaml

# By the daemon's own, and for the run before it of its pipeline.
sed -i 's/@yearly/@monthly/' first.yaml
printf 'name: turn\nschedule: {every: 1s, timezone: UTC, overlap: queue}\nsteps: {a: {run: "while [ ! -e go ]; do sleep 0.05; done"}}\n' > turn.yaml
start --runs 1 turn.yaml; wait_for 20 says "select count(*) from runs where state = 'running'" 1
going=$(sql "select id from runs where state = 'running'")
wait_for 20 told "turn  slot 2.*: waits for run $going of the same pipeline"
mlops schedule add second.yaml; wait_for 20 told "second  slot 2.*: waits for room: 1 of 1 run goes on"
mlops submit first.yaml; expect_ok; wait_for 20 told "1 request waits in the queue: mlops queue list"
touch go; wait_for 20 says "select count(*) > 0 from v_slots where pipeline = 'second' and outcome = 'ran'" 1
mlops schedule remove second; mlops schedule remove turn
wait_for 20 says "select count(*) from slots where outcome = 'claimed'" 0
wait_for 20 says "select count(*) from requests where state = 'waiting'" 0
stop; wait_for 20 says "select count(*) from runs where state = 'running'" 0
expect_equal "$(sql "select count(*) from slots where outcome = 'ran' and reason <> ''")" 0

# For another run that makes the same file; of a slot that was asked for again both are told, until it runs.
rm go; printf 'name: maker\nsteps: {a: {run: "while [ ! -e go ]; do sleep 0.05; done; echo 1 > made", outputs: [made]}}\n' > maker.yaml
printf 'name: other\nschedule: {cron: "@yearly", timezone: UTC}\nsteps: {a: {run: "echo 1 > made", outputs: [made]}}\n' > other.yaml
"$MLOPS" schedule add other.yaml > /dev/null; "$MLOPS" schedule pause other.yaml > /dev/null; mlops run other.yaml --slot now; expect_exit 75
mlops schedule resume other; mlops schedule remove other
"$MLOPS" run maker.yaml > /dev/null 2>&1 & maker=$!
wait_for 20 says "select count(*) from runs where pipeline = 'maker' and state = 'running'" 1
"$MLOPS" run other.yaml --slot "$year-01-01T00:00:00Z" > /dev/null 2>&1 & other=$!
wait_for 20 told "other  slot $year-01-01.*waits for run .*, which makes 'made' as well"
mlops schedule audit other --last all; expect_out "was paused, then asked for; waits for run"
touch go; wait $maker; wait $other
expect_equal "$(sql "select outcome, reason from v_slots where pipeline = 'other'")" "ran,\"was paused, then asked for\""

# Who had claimed it died.
python3 -c 'import sqlite3; db = sqlite3.connect(".mlops/mlops.db"); db.execute("update slots set outcome = ?, claimer = ? where run_id = (select run_id from v_slots where pipeline = ?)", ("claimed", "1 1 x", "other")); db.commit()'
mlops status; expect_out "other  slot $year-01-01"; expect_out "the process that had claimed it died"
python3 -c 'import sqlite3; db = sqlite3.connect(".mlops/mlops.db"); db.execute("update slots set outcome = ? where claimer = ?", ("ran", "1 1 x")); db.commit()'

# Files with an error: while a daemon serves them, when it is gone, and when they are mended.
printf 'name: fast\nschedule: {every: 1s, timezone: UTC}\nsteps: {a: {run: "true"}}\n' > fast.yaml
start fast.yaml; mlops status; expect_no_out "is not run"
mlops status --json; expect_equal "$(json 'j["broken_files"]')" "[]"
cp fast.yaml good; echo 'wrong: [' >> fast.yaml
wait_for 20 told "✘ fast.yaml is not run: its file cannot be read: .*fast.yaml:4"
wait_for 20 told "since it was changed, 2.*: .* rejected for that; nothing of it runs until that is mended, and slots that are due meanwhile are rejected"
mlops status --json
expect_equal "$(json '[(b["file"], b["pipeline"], b["served"], b["slots_rejected"] > 0, b["since"][:2]) for b in j["broken_files"]]')" "[('fast.yaml', 'fast', True, True, '20')]"
stop; mlops status; expect_out "fast.yaml is not run"; expect_out "nothing of it runs until that is mended"; expect_no_out "meanwhile"
cp good fast.yaml; mlops status; expect_no_out "is not run"
mv fast.yaml away; mlops status; expect_out "fast.yaml is not run: its file cannot be read"
mv away fast.yaml; echo ' [' >> first.yaml; mlops status; expect_out "first.yaml is not run"; expect_out "\`mlops run --slot\` refuses it"
rm first.yaml; mlops status; expect_no_out "is not run"

# A run that was deleted had its slot, and its request.
printf 'name: gone\nschedule: {cron: "@yearly", timezone: UTC}\ntriggers: {files: data}\nsteps: {a: {run: "true"}}\n' > gone.yaml
mlops run gone.yaml --slot now; expect_ok; run=$(sql "select run_id from v_slots where pipeline = 'gone'")
mlops run gone.yaml --slot now --json; expect_exit 75; expect_equal "$(json 'j["run"], j["run_state"]')" "('$run', 'succeeded')"
mlops rm "$run"; expect_ok
mlops run gone.yaml --slot now; expect_exit 75; expect_err "run $run had it; it was deleted"
mlops run gone.yaml --slot now --json; expect_exit 75
expect_equal "$(json 'j["reason"], j["run"], j["run_state"]')" "('run $run had it; it was deleted', '$run', 'deleted')"
mlops submit gone.yaml --key k; expect_ok; number=$out; mlops trigger fire gone.yaml; expect_ok; mlops worker --once; expect_ok
run=$(sql "select run_id from v_requests where id = $number")
mlops submit gone.yaml --key k; expect_ok; expect_err "the key 'k' is known: request $number is started, as run $run (succeeded)"
mlops trigger events gone.yaml; expect_out succeeded; fired=$("$MLOPS" trigger events gone.yaml --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["events"][0]["run"])')
mlops rm "$run" "$fired"; expect_ok
mlops submit gone.yaml --key k; expect_ok; expect_err "the key 'k' is known: request $number was started; its run $run was deleted"
mlops submit gone.yaml --key k --json; expect_ok; expect_equal "$(json 'j["new"], j["state"], j["run_state"], j["run"]')" "(False, 'started', 'deleted', '$run')"
mlops trigger events gone.yaml; expect_out "deleted"; expect_out "$fired"
mlops trigger events gone.yaml --json; expect_equal "$(json '[(e["outcome"], e["run"]) for e in j["events"]]')" "[('deleted', '$fired')]"
mlops trigger list gone.yaml; expect_out "fired by hand, deleted"

# A slot that waited when its file was broken is rejected and counted with the others.
mkdir -m 700 -p late/.mlops; cd late; printf 'runs: 1\n' > .mlops/config.yaml
printf 'name: first\nschedule: {cron: "@yearly", timezone: UTC}\nsteps: {a: {run: "while [ ! -e go ]; do sleep 0.05; done"}}\n' > first.yaml
printf 'name: third\nschedule: {every: 1s, timezone: UTC, overlap: queue}\nsteps: {a: {run: "true"}}\n' > third.yaml
"$MLOPS" run first.yaml --slot now > /dev/null 2>&1 & first=$!
wait_for 20 says "select count(*) from runs where state = 'running'" 1
start --runs 4 third.yaml; wait_for 20 told "third  slot 2.*: waits for room"
printf 'name: third\nschedule: {every: 1s, timezone: UTC, overlap: queue}\nsteps: {}\n' > third.yaml
wait_for 20 told "third.yaml is not run"; touch go; wait $first
wait_for 20 says "select count(*) from v_slots where outcome = 'claimed'" 0; stop
[ "$(sql "select count(*) from v_slots where outcome = 'rejected' and reason not like 'its file cannot%'")" -gt 0 ] || fail "none waited"
mlops status --json; expect_equal "$(json 'j["broken_files"][0]["slots_rejected"]')" "$(sql "select sum(slots) from v_slots where outcome = 'rejected'")"
grep -q "run .* for third main 2" daemon.log || fail "the entry is not named: $(cat daemon.log)"

! grep -qF '\n' daemon.log || fail "a line of several: $(grep -F '\n' daemon.log)"
# A trigger that cannot look.
printf 'name: rows\ntriggers: {sql: {database: junk.db, query: "SELECT id FROM t"}}\nsteps: {a: {run: "true"}}\n' > rows.yaml
echo "no database at all, and long enough to be looked at as if it were one" > junk.db
mlops status --json; expect_equal "$(json 'j["broken_triggers"]')" "[]"
mlops daemon --once rows.yaml; mlops status; expect_out "✘ rows.yaml junk.db sees nothing: "; expect_out "file is not a database"
mlops status --json; expect_equal "$(json '[(t["file"], t["trigger"]) for t in j["broken_triggers"]]')" "[('rows.yaml', 'junk.db')]"
mlops trigger test rows.yaml; expect_exit 74; expect_err "junk.db': file is not a database"; expect_err "of the trigger 'junk.db' in 'rows.yaml'"
exit 0
