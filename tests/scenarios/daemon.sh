# The daemon, killed every few seconds: no slot without an outcome, none run twice. SECONDS_OF_STORM makes it longer.
. "$(dirname "$0")/common.sh"
says() { [ "$(sql "$1")" = "$2" ]; }
storm=${SECONDS_OF_STORM:-14}
export WITNESS=$here/witness
: > witness
step='echo "$MLOPS_PIPELINE $MLOPS_RUN_ID $MLOPS_FENCE" >> $WITNESS'
printf 'name: fast\nschedule: [{every: 1s}, {every: 2s, name: two, catchup: all, overlap: allow}, {every: 3s, name: none, catchup: none}]\nsteps: {a: {run: '"'%s'"'}}\n' "$step" > fast.yaml
printf 'name: slow\nschedule: {every: 1s}\nsteps: {a: {run: '"'%s; sleep 2.5'"'}}\n' "$step" > slow.yaml
printf 'name: calm\nschedule: {cron: "@yearly", timezone: UTC}\nsteps: {a: {run: "true"}}\n' > calm.yaml
printf 'name: lone\nschedule: {every: 1s}\nsteps: {a: {run: "true"}}\n' > lone.yaml
start() { "$MLOPS" daemon "$@" >> daemon.log 2>&1 & pid=$!; cleanups=("kill -9 $pid 2>/dev/null"); wait_for 20 grep -q "serving" daemon.log; }
stop() { kill -"$1" $pid; { wait $pid; code=$?; } 2> /dev/null; }

# There is one for each workspace.
start fast.yaml slow.yaml calm.yaml lone.yaml
mlops daemon; expect_exit 75; expect_err "a daemon serves"; expect_err "process $pid"
mlops schedule list; expect_ok; expect_out "a daemon serves them"; expect_out "every 1s"

# Killed, and started again.
RANDOM=${SEED:-5}
until=$(($(date +%s) + storm))
while [ "$(date +%s)" -lt "$until" ]; do
    sleep "$((RANDOM % 2)).$((RANDOM % 10))"
    stop KILL
    ((RANDOM % 2)) && sleep "1.$((RANDOM % 10))"
    start
done

# The lock of a killed one is held a little longer, by a run that it was just about to start: the next one waits for that.
stop KILL; before=$(grep -c serving daemon.log)
python3 -c '
import fcntl, struct, time
lock = open(".mlops/daemon.lock", "r+")
fcntl.fcntl(lock, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))  # F_OFD_SETLK
open("held", "w"); time.sleep(1)' & holder=$!
wait_for 10 test -e held; start
serves_again() { [ "$(grep -c serving daemon.log)" -gt "$before" ]; }
wait_for 20 serves_again; wait $holder

# A file that cannot be read: its slots are refused, nothing of what it said before is run; the others go on.
cp slow.yaml good.yaml; echo 'steps: [' >> slow.yaml
wait_for 20 grep -q "slow.yaml: its file cannot be read" daemon.log
mlops schedule list; expect_out "broken"
wait_for 20 says "select count(*) > 0 from v_slots where pipeline = 'slow' and outcome = 'rejected'" 1
cp good.yaml slow.yaml; wait_for 20 grep -q "slow.yaml can be read again" daemon.log

# A pause; a file that is not served any more; an edit.
mlops schedule pause fast; expect_ok
wait_for 20 says "select count(*) > 2 from v_slots where pipeline = 'fast' and outcome = 'paused'" 1
grep -q "fast main .*: paused" daemon.log || fail "the log is silent on a pause: $(tail daemon.log)"
grep -q "slow main .*: skipped, run .* of it is still going on" daemon.log || fail "the log is silent on what was skipped"
grep -Eq "fast main .* slots skipped, run .* of it" daemon.log || fail "the log is silent on what was missed and then skipped"
grep -q "lone main .*coalesced, one run for all that were missed" daemon.log || fail "the log is silent on what was missed"
mlops schedule resume fast; expect_ok
sed -i 's/{every: 1s}/{every: 1s, start: 2099-01-01}/' fast.yaml
wait_for 20 says "select count(*) from schedules where name = 'main' and pipeline = 'fast' and definition like '%2099%'" 1
wait_for 20 grep -q "fast.yaml was changed: main has other times" daemon.log
touch calm.yaml; wait_for 20 grep -q "calm.yaml was read again: its schedules are as they were" daemon.log
mlops schedule remove calm.yaml; expect_ok; wait_for 20 grep -q "calm.yaml is not served any more" daemon.log
mlops schedule add calm.yaml; expect_ok; expect_out "serving calm main: @yearly, next at"

# A directory that was put in place of another; a file of days; a schedule that was gone for a moment.
mkdir sub; printf 'name: sub\nschedule: {every: 1s, except: [days]}\nsteps: {a: {run: "true"}}\n' > sub/p.yaml; : > sub/days
mlops schedule add sub/p.yaml; expect_ok
wait_for 20 says "select count(*) > 0 from v_slots where pipeline = 'sub' and outcome = 'ran'" 1
date +%F > sub/days; date -d tomorrow +%F >> sub/days
wait_for 20 says "select max(slot_at) < strftime('%s', 'now') - 3 from slots where schedule = (select id from schedules where pipeline = 'sub')" 1
cp -r sub sub2; rm -r sub; mv sub2 sub; : > sub/days
wait_for 20 says "select max(slot_at) > strftime('%s', 'now') - 2 from slots where schedule = (select id from schedules where pipeline = 'sub')" 1
cp sub/p.yaml kept; sed -i '/schedule/d' sub/p.yaml
wait_for 20 says "select count(*) from schedules where pipeline = 'sub' and removed_at is not null" 1
mlops schedule add calm.yaml; cp kept sub/p.yaml
wait_for 20 says "select count(*) from schedules where pipeline = 'sub' and removed_at is not null" 0
mlops schedule list; expect_ok; expect_out "sub/p.yaml"
mlops schedule remove sub/p.yaml; expect_ok; mlops schedule list; expect_out "by hand"

# An entry that gets another name.
printf 'name: called\nschedule: {cron: "@yearly", timezone: UTC, name: before}\nsteps: {a: {run: "true"}}\n' > called.yaml
mlops schedule add called.yaml; expect_ok; sed -i 's/before/after/' called.yaml
wait_for 20 grep -q "called.yaml was changed: before is called after now" daemon.log
mlops schedule remove called.yaml; expect_ok

# No workspace is made for files that cannot be served.
bare=$(mktemp -d "${TMPDIR:-/tmp}/mlops-bare-XXXXXX"); cleanups+=("rm -rf $bare")
printf 'name: z\nschedule: {cron: "@daily", timezone: Mars/Base}\nsteps: {a: {run: "true"}}\n' > $bare/z.yaml; cp calm.yaml $bare
cd "$bare"
mlops daemon z.yaml --once; expect_exit 2; expect_err "cannot serve 'z.yaml': its file cannot be read"; expect_missing .mlops
mlops daemon calm.yaml z.yaml --once; expect_exit 2; expect_missing .mlops
cp calm.yaml same.yaml; mlops daemon calm.yaml same.yaml --once; expect_exit 2; expect_err "its pipeline is called 'calm'"; expect_missing .mlops
mlops daemon calm.yaml --once; expect_ok; expect_out "made a workspace"; expect_exists .mlops
cd "$here"

# Two pipelines of one name: the one that had it goes on, also after a restart; the other one, until it has its own, does not.
printf 'name: calm\nschedule: {every: 1s}\nsteps: {a: {run: "true"}}\n' > another.yaml
mlops schedule add another.yaml; expect_exit 2; expect_err "its pipeline is called 'calm', as that of 'calm.yaml' is already"; expect_err "schedule remove calm.yaml"
mlops daemon --once another.yaml -w "$(mktemp -d "$here/x.XXXX")" calm.yaml; expect_exit 2; expect_err "cannot serve 'calm.yaml'"
mlops validate calm.yaml another.yaml; expect_ok; expect_err "another.yaml: warning: the pipeline is called 'calm', as that of 'calm.yaml'"
mlops validate calm.yaml another.yaml ./calm.yaml --strict; expect_exit 3
sed -i 's/calm/a_name/' another.yaml; mlops schedule add another.yaml; expect_ok
wait_for 20 says "select count(*) > 0 from v_slots where pipeline = 'a_name' and outcome = 'ran'" 1
sed -i 's/a_name/calm/' another.yaml
wait_for 20 grep -q "another.yaml: its pipeline is called 'calm', as that of 'calm.yaml' is already; nothing of it runs" daemon.log
mlops schedule list another.yaml; expect_out "broken"; expect_out "as that of 'calm.yaml'"
stop KILL; start
rejected() { says "select sum(slots) > 2 from v_slots where file = 'another.yaml' and outcome = 'rejected' and reason like '%calm.yaml%'" 1; }
wait_for 20 rejected
mlops schedule list calm.yaml; expect_no_out "broken"
mlops schedule remove calm.yaml; expect_ok; wait_for 20 grep -q "another.yaml has its name for itself now" daemon.log
mlops schedule remove another.yaml; mlops schedule add calm.yaml; expect_ok

# A claim that leads to no run is given back, with the reason.
mlops run calm.yaml --slot now --only nothing; expect_exit 2; expect_err "unknown step 'nothing'"
expect_equal "$(sql "select outcome, reason from v_slots where file = 'calm.yaml'")" "rejected,unknown step 'nothing' in --only"

# Asked to stop, it leaves the runs to themselves.
stop TERM; expect_equal "$code" 0
tail -n 1 daemon.log | grep -q stopping || fail "the daemon's last word: $(tail -n 1 daemon.log)"
mlops daemon --once; expect_ok
wait_for 30 says "select count(*) from runs where state = 'running'" 0

# Edited while nobody looked: the new times count from the edit, and what came due since is made up for.
mkdir edited; printf 'name: edited\nschedule: {cron: "@yearly", timezone: UTC}\nsteps: {a: {run: "true"}}\n' > edited/p.yaml
mlops schedule add edited/p.yaml; expect_ok
sed -i 's/schedule: .*/schedule: {every: 1s, catchup: all}/' edited/p.yaml; edited=$(date +%s); sleep 2.2
mlops daemon --once; expect_ok; expect_out "edited/p.yaml was changed: main has other times"
says "select count(*) >= 2 and min(slot_at) <= $edited + 2 from slots where outcome = 'ran' and schedule = (select id from schedules where pipeline = 'edited')" 1 || fail "slots since the edit: $(sql "select * from v_slots where pipeline = 'edited'")"
mlops schedule remove edited/p.yaml; expect_ok

# A new version of the time zone data: what was five hours ahead by the old one is due in some seconds.
mkdir -p zones/Test zone; cp /usr/share/zoneinfo/Etc/GMT+5 zones/Test/Zone; export TZDIR=$here/zones
printf 'name: zone\nschedule: {at: "%s", timezone: Test/Zone}\nsteps: {a: {run: "true"}}\n' "$(date -u -d '+10 seconds' +%FT%T)" > zone/p.yaml
( cd zone; mlops -w "$here/zone" init > /dev/null; "$MLOPS" -w "$here/zone" daemon p.yaml > ../zone.log 2>&1 & echo $! > ../zone.pid )
cleanups+=("kill -9 $(cat zone.pid) 2>/dev/null"); wait_for 20 grep -q "serving 1 schedule of 1 file, next at" zone.log
cp /usr/share/zoneinfo/UTC zones/Test/new; mv zones/Test/new zones/Test/Zone
wait_for 20 grep -q "the data of time zones has changed: all schedules are read again" zone.log
wait_for 20 grep -q "of zone .* is done" zone.log; kill "$(cat zone.pid)"; unset TZDIR

# One look at a time, and no longer than its runs need: another may begin while they run.
for other in fast.yaml slow.yaml calm.yaml; do mlops schedule remove $other; expect_ok; done
printf 'name: once\nschedule: {every: 1s}\nsteps: {a: {run: sleep 3}}\n' > once.yaml; mlops schedule add once.yaml; sleep 1.1
"$MLOPS" daemon --once > once.log 2>&1 & once=$!
wait_for 20 grep -q "run .* for once" once.log
free() { mlops daemon --once; [ "$code" = 0 ]; }
wait_for 20 free; wait $once || fail "daemon --once"
mlops schedule remove once.yaml; expect_ok

# A claim that was written though its transaction ended in an error is not forgotten by the one who made it.
if [ "${BUILD_TYPE:-}" = Debug ]; then
    mlops schedule add fast.yaml; expect_ok; sed -i 's/, start: 2099-01-01//' fast.yaml
    hit=0
    for pass in 4 5 6 7; do
        : > daemon.log; MLOPS_FAILPOINT=committed:$pass=28 "$MLOPS" daemon >> daemon.log 2>&1 & pid=$!; cleanups=("kill -9 $pid 2>/dev/null")
        begun() { grep -q serving daemon.log || ! kill -0 $pid 2> /dev/null; }
        wait_for 60 begun
        kill -0 $pid 2> /dev/null || { wait $pid; continue; }  # it was hit while it began, and has said so
        wait_for 60 grep -q "trying again every few seconds" daemon.log; hit=$((hit + 1))
        done_since=$(grep -c "is done" daemon.log || true); more() { [ "$(grep -c "is done" daemon.log)" -gt "$((done_since + 1))" ]; }
        wait_for 60 more
        known() { says "select count(*) from slots where outcome = 'claimed' and slot_at < strftime('%s', 'now') - 30" 0; }
        wait_for 90 known
        stop TERM
    done
    [ $hit -gt 0 ] || fail "no claim was hit"
    mlops schedule remove fast.yaml; expect_ok; mlops daemon --once; expect_ok
fi
mlops schedule audit --last all --limit 0 --json; expect_ok
expect_equal "$(json 'j["without_outcome"], j["summary"].get("claimed", 0)')" "(0, 0)"
python3 - <<'PY' || fail "the ledger"
import collections, json, os, subprocess, sys
sql = lambda text: subprocess.run([os.environ["MLOPS"], "sql", "--json", text], capture_output=True, text=True, check=True).stdout
rows = lambda text: json.loads(sql(text))["rows"]
ran = [r for r in rows("select pipeline, schedule, slot, run_id, fence from v_slots where outcome = 'ran'")]
runs = [r["run_id"] if isinstance(r, dict) else r[3] for r in ran]
assert len(set(runs)) == len(runs), "a run has two slots"
lines = [line.split() for line in open("witness")]
count = collections.Counter(line[1] for line in lines)
assert max(count.values()) == 1, ("run twice", count.most_common(3))
assert set(count) <= set(runs), "a run without a slot"
print(len(runs), "ran,", len(lines), "witnesses")
assert len(lines) >= 10
PY
exit 0
