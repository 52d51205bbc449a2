# What the ledger tells of bad days: runs that failed, a daemon that was away, slots that waited for too long, a clock that
# was set back, times that clocks skip.
. "$(dirname "$0")/common.sh"
says() { [ "$(sql "$1")" = "$2" ]; }
start() { "$MLOPS" daemon "$@" > daemon.log 2>&1 & pid=$!; cleanups=("kill -9 $pid 2>/dev/null"); wait_for 20 grep -q "serving" daemon.log; }
stop() { kill -"$1" $pid; { wait $pid; } 2> /dev/null; }

# How the run of a slot ended stands beside its outcome.
printf 'name: p\nschedule: {cron: "@yearly", timezone: UTC}\nsteps: {a: {run: "test -e good"}}\n' > p.yaml
year=$(date -u +%Y)
mlops run p.yaml --slot now; expect_exit 1
mlops schedule audit p.yaml --last all; expect_ok; expect_out "ran      failed"; expect_out "1 ran (1 failed)"
mlops schedule audit p.yaml --last all --json
expect_equal "$(json 'j["slots"][0]["run_state"], j["runs"], j["summary"]')" "('failed', {'failed': 1}, {'ran': 1})"
mlops schedule list p.yaml; expect_out "$year-01-01T00:00:00+00:00 ran, failed"
mlops schedule list p.yaml --json; expect_equal "$(json 'j["schedules"][0]["last"]["run_state"]')" failed
touch good; mlops run p.yaml --slot "$((year - 1))-01-01T00:00:00Z"; expect_ok
mlops schedule audit p.yaml --last all; expect_out "2 ran (1 failed, 1 succeeded)"
mlops rm "$(sql "select run_id from v_slots where run_state = 'failed'")"; expect_ok
mlops schedule audit p.yaml --last all; expect_out "ran      deleted"
mlops schedule audit p.yaml --last all --why "$year"; expect_out "deleted, begun"

# The daemon was away: from when to when.
printf 'name: often\nschedule: {every: 1s, catchup: none}\nsteps: {a: {run: "true"}}\n' > often.yaml
start often.yaml
wait_for 20 says "select count(*) > 1 from v_slots where pipeline = 'often' and outcome = 'ran'" 1
stop TERM; away=$(date -u +%s); sleep 3; back=$(date -u +%s); start
wait_for 20 says "select count(*) > 1 from v_slots where pipeline = 'often' and outcome = 'missed'" 1
mlops schedule audit often --outcome missed --json
json '[(s["unseen_from"], s["unseen_until"], s["reason"]) for s in j["slots"]]' > /dev/null
python3 - "$away" "$back" <<'PY' || fail "from when to when nobody looked: $out"
import datetime, json, os, sys
away, back = map(int, sys.argv[1:])
slots = json.load(open(".out"))["slots"]
seconds = lambda text: datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
absence = [s for s in slots if seconds(s["unseen_until"]) - seconds(s["unseen_from"]) >= 2]
assert absence, slots
for s in absence:
    assert abs(seconds(s["unseen_from"]) - away) <= 1, (s, away)
    assert 0 <= seconds(s["unseen_until"]) - back <= 3, (s, back)
    assert s["reason"].startswith("nobody looked at the time from "), s
PY
mlops schedule audit often --why "$(sql "select slot from v_slots where pipeline = 'often' and unseen_from is not null order by slot limit 1")"
expect_out "nobody looked at the time from"
mlops schedule remove often; stop TERM

# A slot that waits for room is missed when it may not begin any more, not when there is room again.
printf 'name: long\nschedule: {every: 1s, overlap: skip}\nsteps: {a: {run: "while [ ! -e go ]; do sleep 0.05; done"}}\n' > long.yaml
printf 'name: soon\nschedule: {every: 1s, start_within: 1s, overlap: queue}\nsteps: {a: {run: "true"}}\n' > soon.yaml
start --runs 1 long.yaml; wait_for 20 grep -q "for long" daemon.log
mlops schedule add soon.yaml; expect_ok
wait_for 20 grep -q "soon .*: missed, as it had to wait and .start_within. has passed" daemon.log
expect_missing go
wait_for 20 says "select count(*) > 0 from v_slots where pipeline = 'soon' and outcome = 'missed' and reason like 'it had to wait%1.0s%'" 1
expect_equal "$(sql "select count(*) from v_slots where pipeline = 'soon' and outcome = 'ran'")" 0
touch go; mlops schedule remove long; mlops schedule remove soon; stop TERM
grep "exit code 75" daemon.log && fail "a slot that waited for too long is told as a run with exit code 75"
wait_for 20 says "select count(*) from runs where state = 'running'" 0

# Likewise one that waits for the run before it, in a process of its own.
printf 'name: turn\nschedule: {cron: "* * * * *", timezone: UTC, start_within: 61s, overlap: queue}\nsteps: {a: {run: "while [ ! -e went ]; do sleep 0.05; done"}}\n' > turn.yaml
"$MLOPS" run turn.yaml -q > turn.out 2>&1 & turn=$!
wait_for 20 says "select count(*) from runs where pipeline = 'turn' and state = 'running'" 1
sed -i 's/61s/1ms/' turn.yaml
mlops run turn.yaml --slot now; expect_exit 75; expect_err "start_within"
touch went; wait $turn || fail "the run before: $(cat turn.out)"

# What waits in a queue waits on when the daemon is stopped or killed: all of it runs, in its order, before what is due later.
for signal in TERM KILL; do
    for catchup in last none; do
        name=wait_${signal}_$catchup; rm -f go
        printf 'name: %s\nschedule: {every: 1s, timezone: UTC, overlap: queue, catchup: %s}\nsteps: {a: {run: "while [ ! -e go ]; do sleep 0.05; done"}}\n' $name $catchup > $name.yaml
        start $name.yaml
        wait_for 20 says "select count(*) >= 4 from v_slots where pipeline = '$name' and outcome = 'claimed'" 1
        stop $signal
        waited=$(sql "select slot from v_slots where pipeline = '$name' and outcome in ('ran', 'claimed') order by slot")
        sleep 2; start; touch go
        last=$(echo "$waited" | tail -n 1)
        wait_for 60 says "select count(*) > 0 from v_slots where pipeline = '$name' and outcome = 'ran' and slot > '$last'" 1
        mlops schedule remove $name; stop TERM
        expect_equal "$(sql "select slot from v_slots where pipeline = '$name' and outcome = 'ran' and slot <= '$last' order by (select created_at from runs r where r.id = run_id)")" "$waited"
    done
done

# A time that clocks skip is on record when they have jumped, and not only with the next slot. Needs a zone that does so now.
zic=$(PATH=$PATH:/usr/sbin command -v zic)
if [ -n "$zic" ]; then
    printf 'Zone Test/Jump 0:00 - TST %s\n 1:00 - TSU\n' "$(date -u -d '+3 seconds' '+%Y %b %d %H:%M:%Su')" > zones.txt
    "$zic" -d zones zones.txt; export TZDIR=$here/zones
    printf 'name: gap\nschedule: {cron: "%s * * *", timezone: Test/Jump, dst: {gap: skip}}\nsteps: {a: {run: "true"}}\n' "$(date -u -d '+30 minutes' '+%-M %-H')" > gap.yaml
    start gap.yaml
    wait_for 20 says "select outcome, reason from v_slots where pipeline = 'gap'" "gap,clocks skip it"
    mlops schedule audit gap; expect_ok; expect_out "clocks skip it"; expect_out "1 gap"
    mlops schedule remove gap; stop TERM; unset TZDIR
fi

# A clock that was set back is told by who only looks once, too.
printf 'name: clock\nschedule: {every: 1s}\nsteps: {a: {run: "true"}}\n' > clock.yaml
mlops schedule add clock.yaml; expect_ok
ahead() { python3 -c 'import sqlite3, sys; db = sqlite3.connect(".mlops/mlops.db"); db.execute("update schedules set cursor = cursor + ? where pipeline = ?", (int(sys.argv[1]), "clock")); db.commit()' "$1"; }
ahead 86400
mlops daemon --once --quiet; expect_ok; expect_out "the clock was set back: schedules were looked at until"
expect_out "and no slot that ran is run again"
mlops daemon --once --quiet; expect_ok; expect_no_out "the clock was set back"
sleep 1; mlops daemon --once; expect_ok; expect_no_out "the clock was set back"
python3 -c 'import sqlite3; db = sqlite3.connect(".mlops/mlops.db"); db.execute("update slots set slot_at = slot_at + 86400, until_at = until_at + 86400 where id = (select max(id) from slots)"); db.commit()'
mlops schedule audit clock; expect_ok; expect_out "1 of them are yet to come: the clock was set back after"
ahead 300
mlops daemon --once; expect_ok; expect_out "nothing runs until then"
exit 0
