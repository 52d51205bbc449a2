# Slots of the past: each is run once, also when who runs them is killed; what is live does not notice.
. "$(dirname "$0")/common.sh"
says() { [ "$(sql "$1")" = "$2" ]; }
states() { json '" ".join(f"{k}={v}" for k, v in sorted(j["summary"].items()))'; }
window="--from 2026-01-01 --to 2026-01-30"

# ${slot.…} is a part of what steps are: of their commands, outputs and keys. Nothing works by accident without one.
cat > parts.yaml <<'Y'
name: parts
schedule: {cron: "0 3 * * *", timezone: Asia/Seoul, start: 2026-01-02}
env: {DAY: "${slot.end}"}
steps:
  get: {run: 'echo ${slot.start} "$DAY" > ${slot.id}.txt', inputs: [parts.yaml], outputs: ["${slot.id}.txt"]}
  same: {run: 'echo same > same.txt', env: {DAY: x}, inputs: [in], outputs: [same.txt]}
  late: {run: 'echo late > late.txt', when: "slot.end >= '2026-01-03'", needs: get}
Y
echo in > in
mlops validate parts.yaml; expect_ok
mlops graph parts.yaml; expect_ok
mlops plan parts.yaml; expect_ok; expect_out 'late'
mlops run parts.yaml; expect_exit 2; expect_err 'is made for a slot of its schedule'; expect_err '--slot now'
mlops run parts.yaml --slot 2026-01-02T03:00:00+09:00 --quiet; expect_ok
expect_file 20260101T180000Z.txt "2026-01-01T03:00:00+09:00 2026-01-02T03:00:00+09:00"; expect_missing late.txt
mlops run parts.yaml --slot 2026-01-03T03:00:00+09:00 --quiet; expect_ok; expect_exists late.txt
expect_file 20260102T180000Z.txt "2026-01-02T03:00:00+09:00 2026-01-03T03:00:00+09:00"
# The key of a step differs by slot where the slot is a part of it, and nowhere else.
mlops why get; expect_out 'ran in'
mlops diff "$(sql "select run_id from slots where local like '2026-01-02%'")" latest; expect_out 'slot.end'
mlops run parts.yaml --slot 2026-01-04T03:00:00+09:00 --json; expect_ok
expect_equal "$(json '{s["name"]: s["state"] for s in j["steps"]}["get"]')" succeeded
sed -i 's/^env: .*//; s/ "$DAY"//' parts.yaml
mlops run parts.yaml --slot 2026-01-05T03:00:00+09:00 --json
mlops run parts.yaml --slot 2026-01-06T03:00:00+09:00 --json; expect_ok
expect_equal "$(json '[s["state"] for s in j["steps"]][:2]')" "['succeeded', 'cached']"
mlops reproduce "$(sql "select run_id from slots where local like '2026-01-05%'")"; expect_ok; expect_out "20260104T180000Z.txt"
mlops plan parts.yaml --slot 2026-01-06T03:00:00+09:00 --json; expect_ok
expect_equal "$(json '[s["action"] for s in j["steps"]]')" "['cached', 'cached', 'run']"
mlops plan parts.yaml --slot 2026-01-07T03:00:00+09:00 --json; expect_equal "$(json 'j["steps"][0]["action"]')" run
mlops plan parts.yaml --slot 2026-01-06; expect_exit 2; expect_err "has no slot at"
# A run goes on, and is repeated, with its own slot.
cat > resumed.yaml <<'Y'
name: resumed
schedule: {cron: "0 3 * * *", timezone: UTC}
steps: {a: {run: '[ -e @go ] && echo ${slot.id} >> resumed.txt', when: "slot.id != 'x'"}}
Y
sed -i "s#@go#$here/go#" resumed.yaml
mlops run resumed.yaml --slot 2026-01-02T03:00:00Z --quiet; expect_exit 1
touch go; mlops run --resume latest --quiet; expect_ok; expect_file resumed.txt 20260102T030000Z
printf 'steps: {a: {run: "echo ${slot.end}"}}\n' > none.yaml
mlops validate none.yaml; expect_exit 2; expect_err "the file has no schedule"
printf 'schedule: "@daily"\nsteps: {a: {run: "echo ${slot.begin}"}}\n' > none.yaml
mlops validate none.yaml; expect_exit 2; expect_err "known: slot.id, slot.start, slot.end"

# Of a run that finds nothing to do is only another of the same slot a repetition.
python3 - <<'P'
steps = "\n".join(f"  s{i}: {{run: 'echo ${{slot.id}} > out/{i}', inputs: [in], outputs: [out/{i}]}}" for i in range(60))
open("many.yaml", "w").write("name: many\nschedule: {cron: '0 3 * * *', timezone: UTC}\nsteps:\n" + steps + "\n")
P
mkdir out
for day in 2 3; do mlops run many.yaml --slot 2026-01-0${day}T03:00:00Z --quiet; expect_ok; expect_file out/7 "2026010${day}T030000Z"; done
mlops backfill many.yaml --from 2026-01-02 --to 2026-01-03 --force --order newest --json; expect_ok
expect_file out/7 "20260102T030000Z"

# What there is to do: nothing is written by a look.
rm -rf .mlops
cat > p.yaml <<'Y'
name: p
schedule: {cron: "0 3 * * *", timezone: UTC}
steps: {a: {run: 'echo ${slot.id} >> witness; sleep 0.1; case ${slot.id} in *0113T*) [ -e mended ];; esac'}}
Y
mlops backfill p.yaml $window --dry-run --json; expect_ok; expect_missing .mlops
expect_equal "$(states)" "missing=30"; expect_equal "$(json 'j["runs"], j["total_ms"]')" "(30, None)"
mlops run p.yaml --slot 2026-01-05T03:00:00Z --quiet; expect_ok
mlops schedule audit p.yaml --last all --json; cp .out audit.before
cursor=$(sql "select cursor, since from schedules")
mlops backfill p.yaml $window --jobs 3 --dry-run; expect_ok
expect_out "2026-01-05T03:00:00+00:00  fresh"; expect_out "30 slots of p main: 29 missing, 1 fresh"
expect_out "29 runs, 3 at a time, the oldest first: about"
for bad in "" "--from 2027-99-01" "--from 2026-01-05 --to 2026-01-01" "--from 2199-01-01" "--from 2026-01-01T04:00:00Z --to 2026-01-01T05:00:00Z" \
           "--from 2026-01-01 --schedule other" "--from 2026-01-01 --only nothing" "--from 2026-01-01 --jobs 0"; do
    mlops backfill p.yaml $bad; expect_exit 2
done
mlops backfill show 1; expect_exit 2; expect_err "there is no backfill 1"
mlops backfill list --json; expect_ok; expect_equal "$(json 'j["backfills"]')" "[]"
printf 'runs: nine\n' > .mlops/config.yaml
mlops backfill p.yaml --from 2026-01-01; expect_exit 2; expect_err ".mlops/config.yaml:1:7: error: 'runs' has to be"
mlops backfill list --json; expect_equal "$(json 'j["backfills"]')" "[]"; rm .mlops/config.yaml

# Killed in the middle, gone on with, and paused by a signal: each slot is run once, one of them fails.
"$MLOPS" backfill p.yaml $window --jobs 2 > first.out 2>&1 & pid=$!
wait_for 20 says "select count(*) > 6 from v_slots where outcome = 'ran'" 1
kill -9 $pid; { wait $pid; } 2> /dev/null
"$MLOPS" backfill resume 1 > second.out 2>&1 & pid=$!
wait_for 20 says "select count(*) > 12 from v_slots where outcome = 'ran'" 1
kill -INT $pid; { wait $pid; code=$?; } 2> /dev/null; expect_exit 130
grep -q 'backfill 1 is paused' second.out || fail "not paused: $(cat second.out)"
grep -q 'mlops backfill resume 1' second.out || fail "no word on how to go on"
wait_for 10 says "select running from v_backfills" 0
ran=$(sql "select count(*) from v_slots where outcome = 'ran'")
mlops worker --once > /dev/null; expect_equal "$(sql "select count(*) from v_slots where outcome = 'ran'")" "$ran"
mlops queue list; expect_ok; expect_out "backfill 1 is paused"
mlops backfill list; expect_out "1  p         main      2026-01-01T03:00:00+00:00  2026-01-30T03:00:00+00:00  paused"
mlops backfill show 1; expect_out "begun $(date +%Y)-"; expect_out "$(date +%:z) by $(id -un)"
mlops backfill resume 1 --jobs 4 --json; expect_exit 1
expect_equal "$(json 'j["state"], j["progress"]["done"], j["progress"]["failed"], j["jobs"]')" "('failed', 28, 1, 4)"
expect_equal "$(sort witness | uniq -d)" ""; expect_equal "$(wc -l < witness)" 30
expect_equal "$(sql "select count(distinct run_id) from v_slots where outcome = 'ran' and reason = 'backfill 1'")" 29
expect_equal "$(sql "select max(n) from (select count(*) n from slots group by schedule, slot_at)")" 1

# What is live was not touched.
expect_equal "$(sql "select cursor, since from schedules")" "$cursor"
mlops schedule audit p.yaml --last all --json; expect_equal "$(json 'j["without_outcome"]')" 0
python3 - <<'P' || fail "the slot that had been run before looks different"
import json
before, now = (json.load(open(f))["slots"] for f in ("audit.before", ".out"))
assert [s for s in now if not s["reason"].startswith("backfill")] == before, (before, now)
P

# Only what failed, and what is stale after an edit; a comment is no change.
mlops backfill p.yaml $window --dry-run --json; expect_equal "$(states)" "failed=1 fresh=29"
mlops backfill p.yaml $window --only missing; expect_ok; expect_out "nothing is left to run"
touch mended
mlops backfill p.yaml $window; expect_ok; expect_out "1 failed, 29 fresh"; expect_out "backfill 2 is done: 1 done of 1"
expect_equal "$(sql "select reason from v_slots where slot like '2026-01-13%'" | cut -d' ' -f1-5)" "\"backfill 2, before it run"
mlops backfill p.yaml $window; expect_ok; expect_out "30 fresh"; expect_equal "$(sql "select count(*) from backfills")" 2
echo '# a remark' >> p.yaml
mlops backfill p.yaml $window --dry-run --json; expect_equal "$(states)" "fresh=30"
sed -i 's/sleep 0.1/sleep 0.01/' p.yaml
mlops backfill p.yaml $window --dry-run --json; expect_equal "$(states)" "stale=30"
mlops backfill p.yaml --from 2026-01-01 --to 2026-01-03 --order newest; expect_ok
expect_equal "$(tail -n 3 witness | tr '\n' ' ')" "20260103T030000Z 20260102T030000Z 20260101T030000Z "
mlops backfill p.yaml --from 2026-01-01 --to 2026-01-05 --dry-run --json; expect_equal "$(states)" "fresh=3 stale=2"
mlops backfill p.yaml --from 2026-01-01 --to 2026-01-02 --set +x=1 --dry-run --json; expect_equal "$(states)" "stale=2"

# A slot that somebody else has run meanwhile, and one that was asked for twice, is not run again.
mlops backfill p.yaml --from 2026-01-10 --to 2026-01-12 --detach; expect_ok; expect_out "backfill 4 waits"
mlops backfill p.yaml --from 2026-01-09 --to 2026-01-12 --dry-run --json; expect_equal "$(states)" "stale=1 waiting=3"
mlops backfill p.yaml --from 2026-02-01 --to 2026-02-03 --detach; expect_ok
mlops run p.yaml --slot 2026-02-02T03:00:00Z --quiet; expect_ok
mlops backfill cancel 4; expect_ok; expect_out "backfill 4 is cancelled: 3 cancelled of 3"
mlops backfill resume 4; expect_exit 2; expect_err "was cancelled"
mlops worker --once; expect_ok
mlops backfill show 5; expect_ok; expect_out "has it (succeeded)"; expect_out "2 done, 1 cancelled"
expect_equal "$(grep -c 202602 witness)" 3

# A live slot is run beside a backfill, and not skipped for it.
cat > live.yaml <<'Y'
name: live
schedule: {cron: "0 3 * * *", timezone: UTC}
steps: {a: {run: 'touch began; while [ ! -e on ] && [ ${slot.id} = 20260105T030000Z ]; do sleep 0.05; done'}}
Y
"$MLOPS" backfill live.yaml --from 2026-01-05 --to 2026-01-05 > live.out 2>&1 & pid=$!
wait_for 10 test -e began
mlops run live.yaml --slot now --quiet; expect_ok
touch on; wait $pid || fail "the backfill beside it: $(cat live.out)"
mlops schedule audit live.yaml --last all --json; expect_equal "$(json 'j["summary"]')" "{'ran': 2}"

# --quiet: nothing of what succeeds, and of what fails what failed.
mkdir quiet; cd quiet
printf 'name: hush\nschedule: {cron: "0 3 * * *", timezone: UTC}\nsteps: {a: {run: "echo out; [ ${slot.start} != 2026-01-03T03:00:00+00:00 ] || [ -e go ]"}}\n' > hush.yaml
mlops backfill hush.yaml --from 2026-01-01 --to 2026-01-02 --quiet; expect_ok; expect_equal "$out$err" ""
mlops backfill hush.yaml --from 2026-01-01 --to 2026-01-02 -q; expect_ok; expect_equal "$out$err" ""
mlops backfill hush.yaml --from 2026-01-01 --to 2026-01-05 --quiet; expect_exit 1; expect_no_out "done of"
expect_err "2026-01-04T03:00:00+00:00 failed: run "; expect_err "is failed: 2 done, 1 failed of 3"; expect_err "the same command again"
mlops backfill hush.yaml --from 2026-01-01 --to 2026-01-05 --quiet --json; expect_exit 1; expect_equal "$(json 'j["progress"]["failed"]')" 1
touch go; mlops backfill hush.yaml --from 2026-01-04 --to 2026-01-04 --quiet --detach; expect_ok; expect_equal "$out" ""
mlops backfill hush.yaml --from 2026-01-04 --to 2026-01-04 --quiet; expect_exit 75; expect_equal "$out$err" ""
mlops backfill resume "$(sql "select max(id) from backfills")" --quiet; expect_ok; expect_equal "$out$err" ""
printf 'name: over\nschedule: {cron: "0 3 * * *", timezone: UTC}\nsteps: {a: {run: "true"}}\n' > over.yaml
mlops backfill over.yaml --from 2026-01-01 --to 2026-01-02 --quiet; expect_ok
mlops backfill pause "$(sql "select max(id) from backfills")"; expect_ok; expect_out "nothing to pause: backfill "; expect_out " is done: 2 done of 2"
cd ..
