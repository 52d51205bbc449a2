# The ledger: each slot is run once, whoever asks, and everyone can tell what became of it. SLOTS and RACERS make it longer.
. "$(dirname "$0")/common.sh"
says() { [ "$(sql "$1")" = "$2" ]; }
cat > p.yaml <<'Y'
name: p
schedule: {cron: "@yearly", timezone: UTC}
steps: {a: {run: 'echo "$MLOPS_RUN_ID $MLOPS_FENCE" >> witness'}}
Y
year=$(date -u +%Y)
mkdir -m 700 .mlops; mlops schedule list; expect_ok; expect_equal "$out" ""
mlops run p.yaml --slot now; expect_ok; expect_out "p succeeded"
[[ "$(head -n 1 .out)" == "p run "*" for the slot $year-01-01T00:00:00+00:00 of main, 1 step, "* ]] || fail "the first line"
mlops run p.yaml --slot now; expect_exit 75; expect_err "the slot $year-01-01T00:00:00+00:00 of p main is not run: run"; expect_err "(succeeded)"
mlops run p.yaml --slot now --quiet; expect_exit 75; expect_equal "$out$err" ""
mlops run p.yaml --slot now --json; expect_exit 75
expect_equal "$(json 'j["claimed"], j["slot"], j["schedule"]')" "(False, '$year-01-01T00:00:00+00:00', 'main')"
expect_equal "$(wc -l < witness)" 1
expect_equal "$(cut -d' ' -f2 witness)" 1
mlops run p.yaml; expect_ok; expect_equal "$(tail -n 1 witness | cut -d' ' -f2)" ""
mlops run p.yaml --slot "$year-01-01T00:00:00Z"; expect_exit 75
mlops run p.yaml --slot "$year-01-02T00:00:00Z"; expect_exit 2; expect_err "has no slot at"
mlops run p.yaml --slot "$((year + 1))-01-01T00:00:00Z"; expect_exit 2; expect_err "is yet to come"
mlops run p.yaml --slot yesterday; expect_exit 2; expect_err "cannot read the time"
mlops run p.yaml --slot now --dry-run; expect_exit 2
mlops run --resume latest --slot now; expect_exit 2
printf 'steps: {a: {run: "true"}}\n' > none.yaml; mlops run none.yaml --slot now; expect_exit 2; expect_err "has no schedule"

mlops schedule audit --last all; expect_ok; expect_out "$year-01-01T00:00:00+00:00"; expect_out "1 ran"
mlops schedule audit --last 1s; expect_ok; expect_out "no slot was due within --last 1s; the newest was $year-01-01T00:00:00+00:00 of p main: --last all looks further back"
mlops schedule audit p.yaml --last all --why "$year"; expect_ok; expect_out "p main: ran"; expect_out "succeeded, begun"
mlops schedule audit --last all --why 1999; expect_exit 2; expect_err "no slot of the ledger begins with"
# Also by its instant, in whatever zone that is given.
for same in "$year-01-01T00:00:00Z" "$year-01-01T00:00Z" "$year-01-01T05:30:00+05:30" "$((year - 1))-12-31 19:00:00-05:00"; do
    mlops schedule audit --last all --why "$same"; expect_ok; expect_out "$year-01-01T00:00:00+00:00  p main: ran"
done
for other in "$year-01-01T00:00:00+01:00" "$year-01-01T00:00:01Z"; do
    mlops schedule audit --last all --why "$other"; expect_exit 2; expect_err "no slot of the ledger is at '$other'"
done
mlops schedule audit --last all --json
expect_equal "$(json 'j["summary"], j["without_outcome"], j["slots"][0]["outcome"], j["slots"][0]["fence"]')" "({'ran': 1}, 0, 'ran', 1)"
mlops schedule audit other; expect_exit 2; expect_err "the ledger has no schedule of 'other'"
(mkdir -m 700 -p empty/.mlops && cd empty && "$MLOPS" schedule audit | grep -q "^no slot has been due yet\$") || fail "an empty ledger"
mlops schedule audit --outcome lost; expect_exit 2
# Why there is no next time.
mlops schedule next "at: 2020-01-01T00:00:00Z" --tz UTC; expect_ok; expect_err 'it has no next time: `at` is a single time, 2020-01-01T00:00:00+00:00, and that is before 20'
mlops schedule next "at: 2020-01-01T00:00:00Z" --json; expect_ok; expect_equal "$(json 'j["next"], j["never"] == j["entries"][0]["never"], j["never"][:4]')" "([], True, '\`at\`')"
mlops schedule next @reboot; expect_ok; expect_err "it has no next time: @reboot is no time"
mlops schedule explain @reboot; expect_ok; expect_out "next:   never: @reboot is no time"
mlops schedule next "{cron: '@daily', end: 2020-01-01, timezone: UTC}"; expect_ok; expect_err 'it has no next time: `end` is 2020-01-01, and that is before 20'
mlops schedule next "0 0 31 2 *"; expect_ok; expect_err "no such time comes until the end of 2199"
printf 'schedule: [{at: "2020-01-01 00:00", name: once}, {cron: "@daily"}]\nsteps: {a: {run: "true"}}\n' > both.yaml
mlops schedule next both.yaml -n 1; expect_ok; expect_err 'once has no next time: `at` is a single time'; expect_out "@daily"
mlops schedule next both.yaml -n 1 --json; expect_equal "$(json '[e["never"] is None for e in j["entries"]], len(j["next"])')" "([False, True], 1)"
for empty in "" " "; do mlops schedule next "$empty"; expect_exit 2; expect_err "an empty text is neither a pipeline file nor an expression"; done
# Settings without braces.
mlops schedule next "every: 30s, jitter: 10s"; expect_exit 2; expect_err "has several settings and no braces around them"; expect_err 'write "{every: 30s, jitter: 10s}"'
mlops schedule next "every 30s, jitter: 10s"; expect_exit 2; expect_err 'write "{every: 30s, jitter: 10s}"'
mlops schedule next "{every: 30s, jitter: 10s}"; expect_ok; expect_err "start up to 10.0s later"; expect_err "depends on the pipeline's name"
mlops schedule next "{every: 30s, jitter: 10s}" --json; expect_equal "$(json '[(n["starts_at"]) for n in j["next"]][:1], j["entries"][0]["no_start"][:19]')" "([None], 'runs start up to 10')"
mlops schedule next "every: 30s" --json; expect_equal "$(json 'j["entries"][0]["no_start"]')" None
printf 'schedule: "every: 30s, jitter: 10s"\nsteps: {a: {run: "true"}}\n' > braces.yaml
mlops validate braces.yaml; expect_exit 2; expect_err "braces.yaml:1:11: error: schedule: 'every: 30s, jitter: 10s' is a text"; expect_err "in braces: schedule: {every: 30s, jitter: 10s}"
mlops schedule next "0 3 * * *" --tz Mars/Base; expect_exit 2; expect_err "such as Europe/Berlin"
for zone in ../zoneinfo/Europe/Berlin ../../../etc/passwd /etc/passwd; do
    mlops schedule next "0 3 * * *" --tz $zone; expect_exit 2; expect_err "there is no time zone '$zone'"; [[ $err != *"did you mean"* ]] || fail "$err"
done
mlops schedule next "{cron: '0 3 * * *', timezone: Mars/X}" --tz UTC; expect_exit 2; expect_err "there is no time zone 'Mars/X'"
mlops schedule list; expect_ok; expect_out "$((year + 1))-01-01T00:00:00+00:00"; expect_out "no daemon runs"
expect_equal "$(sql "select outcome, slots from v_slots")" "ran,1"

# A file of days is a file, of a size that people write; so is one of a secret, and what DVC reads.
mkfifo fifo; mkdir days; truncate -s 1G big
for file in /dev/zero fifo days big gone; do
    printf 'schedule: {cron: "@daily", except: [%s]}\nsteps: {a: {run: "true"}}\n' "$file" > except.yaml
    run timeout 10 "$MLOPS" validate except.yaml; expect_exit 2; expect_err "except.yaml:1:"; expect_err "$file"
    run timeout 10 "$MLOPS" daemon --once except.yaml -w "$here/.mlops/none"; expect_exit 2
    printf 'secrets: {S: {file: %s}}\nsteps: {a: {run: "true", secrets: [S]}}\n' "$file" > secret.yaml
    run timeout 10 "$MLOPS" run secret.yaml --quiet -w "$(mktemp -d "$here/x.XXXX")"; expect_exit 2; expect_err "cannot get secret 'S'"
done
printf 'schedule: {cron: "@daily", except: [first, 2026-01-02]}\nsteps: {a: {run: "true"}}\n' > except.yaml
echo 2026-01-01 > first; mlops schedule next except.yaml --tz UTC --from 2026-01-01 -n 1; expect_equal "$out" 2026-01-03T00:00:00+00:00
rm -r fifo days big

# What an entry says, in the place of an expression.
next() { mlops schedule next "$@" --tz UTC --from 2026-01-02 -n 1; }
for entry in "every: 90s" "every 90s" "{every: 90s}" "[{every: 90s}, {cron: \"@daily\", name: b}]"; do next "$entry"; expect_ok; [[ $out == 2026-01-02T00:00:00+00:00* ]] || fail "$entry"; done
next "at: 2027-01-01 06:00"; expect_ok; expect_equal "$out" 2027-01-01T06:00:00+00:00
next "{cron: 0 3 * * *, timezone: Asia/Seoul}"; expect_equal "$out" 2026-01-02T03:00:00+00:00
mlops schedule explain "every 90s" --tz UTC --json; expect_equal "$(json 'j["expression"]')" "every 1m30s"
next "every: soon"; expect_exit 2; expect_err "cannot read the schedule: every: expected a duration"
next "every: 0s"; expect_exit 2; expect_err "whole seconds, at least one"
next "at: noon"; expect_exit 2; expect_err "cannot read the time 'noon'"
next "evry: 15s"; expect_exit 2
next "{every: 15s, jiter: 5s}"; expect_exit 2; expect_err "did you mean 'jitter'"
next "{cron: '0 3 * * *', except: gone}"; expect_exit 2; expect_err "gone"
next "[]"; expect_exit 2; next "{"; expect_exit 2; next "every: "; expect_exit 2

# A pause is told, and what was due meanwhile; a slot that was not run can be asked for by its time.
mlops schedule pause p.yaml --note "the source moves"; expect_ok
sed -i 's/@yearly/@monthly/' p.yaml
month=$(date -u +%Y-%m)
mlops run p.yaml --slot now; expect_exit 75; expect_err "paused: the source moves"
mlops schedule list --json; expect_equal "$(json 'j["schedules"][0]["state"], j["schedules"][0]["note"]')" "('paused', 'the source moves')"
mlops schedule resume p; expect_ok; expect_out "resumed p main: next at"
mlops run p.yaml --slot now; expect_exit 75; expect_err "it was paused"
mlops run p.yaml --slot "$month-01T00:00:00Z"; expect_ok
mlops schedule audit --last all --why "$month"; expect_out "was paused, then asked for"

# What is paused and not served, and what such a pipeline gets anew.
printf 'name: held\nschedule: {cron: "@yearly", timezone: UTC}\nsteps: {a: {run: "true"}}\n' > held.yaml
mlops schedule add held.yaml; mlops schedule pause held.yaml --note "it moves"; expect_ok
mlops schedule remove held.yaml; expect_ok; expect_out "it is paused still: its slots are not run until \`mlops schedule resume held.yaml\`"
mlops schedule list held.yaml; expect_out "by hand, paused"; expect_out "held.yaml main: paused: it moves"
mlops schedule list held.yaml --json; expect_equal "$(json 'j["schedules"][0]["state"], j["schedules"][0]["served"]')" "('paused', False)"
sed -i 's/@yearly/@monthly/; s/{cron/{name: other, cron/' held.yaml
mlops schedule add held.yaml; expect_out "serving held other: @monthly, paused: its slots are not run until"
mlops schedule list held.yaml; expect_out "removed"; expect_out "held.yaml other: paused: it moves"; expect_no_out "held.yaml main: "
mlops schedule list held.yaml --json; expect_equal "$(json '[(s["state"], s["served"], s["note"]) for s in j["schedules"]]')" "[('removed', False, ''), ('paused', True, 'it moves')]"
mlops schedule resume held.yaml; mlops schedule add held.yaml; expect_out "serving held other: @monthly, next at"
mlops schedule audit no-such-thing; expect_exit 2; expect_err "known: "; expect_err "held.yaml"; [[ $err != *"held.yaml, held.yaml"* ]] || fail "$err"

# A file that was edited and that nobody has looked at since; one that is gone and not served any more.
printf 'name: fresh\nschedule: {cron: "@yearly", timezone: UTC}\nsteps: {a: {run: "true"}}\n' > fresh.yaml
mlops schedule add fresh.yaml; mlops schedule list fresh.yaml; expect_no_out "says otherwise"
sed -i 's/"true"/"true "/' fresh.yaml; mlops schedule list fresh.yaml; expect_no_out "says otherwise"
sed -i 's/@yearly/@monthly/' fresh.yaml; mlops schedule list fresh.yaml; expect_out "@yearly"; expect_out "fresh.yaml says otherwise since 20"; expect_out ": the next look takes that up"
mlops schedule list fresh.yaml --json; expect_equal "$(json 'j["schedules"][0]["file_changed"][:2]')" 20
mlops daemon --once -q; mlops schedule list fresh.yaml; expect_out "@monthly"; expect_no_out "says otherwise"
rm fresh.yaml; mlops daemon --once; mlops schedule list fresh.yaml; expect_out "broken"; expect_out "there is no such file"
mlops schedule remove fresh.yaml; expect_ok; mlops schedule list fresh.yaml; expect_out "@monthly  removed"; expect_no_out "there is no such file"; expect_no_out broken
mlops schedule list fresh.yaml --json; expect_equal "$(json '[(s["state"], s["next"], s["note"]) for s in j["schedules"]]')" "[('removed', '', '')]"
printf 'name: fresh\nschedule: {cron: "@monthly", timezone: UTC}\nsteps: {a: {run: "true"}}\n' > fresh.yaml
mlops schedule list fresh.yaml; expect_out "@monthly  by hand"; expect_no_out "cannot be read"

# What is wrong is the schedule, and not that steps use it.
printf 'schedule: {every: 5s, catchup: {all: {max: 3}}}\nsteps: {a: {run: "echo ${slot.start}"}}\n' > wrong.yaml
mlops validate wrong.yaml; expect_exit 2; expect_err "2 problems found"; [[ $err != *"has no schedule"* ]] || fail "$err"
run timeout 10 "$MLOPS" daemon wrong.yaml; expect_exit 2; expect_err "catchup: 'mode' is missing (and 1 more)"

# An entry that is only renamed has nothing to run again.
mlops run held.yaml --slot now -q; expect_ok; sed -i 's/other/monthly/' held.yaml
mlops run held.yaml --slot now; expect_exit 75; expect_err "of held monthly is not run: run"

# Of a coalesced slot the run that was made for it is told, and the time in which nobody looked; also where many share a row.
printf 'name: often\nschedule: {every: 2s, timezone: Europe/Berlin}\nsteps: {a: {run: "true"}}\n' > often.yaml
mlops schedule add often.yaml; expect_ok
python3 -c 'import sqlite3; db = sqlite3.connect(".mlops/mlops.db"); db.execute("update schedules set cursor = cursor - 7200, since = since - 7200 where pipeline = ?", ("often",)); db.commit()'
mlops daemon --once; id=$(sql "select run_id from v_slots where pipeline = 'often' and outcome = 'ran' order by slot desc limit 1")
inside=$(TZ=Europe/Berlin date -d "-110 minutes" +%Y-%m-%dT%H:%M)
mlops schedule audit often.yaml --why "$inside"; expect_ok; expect_out " more  often main: coalesced"; expect_out "  all slots from 2"; expect_out "  run $id of that slot succeeded"
expect_out "  nobody looked at the time from "
mlops schedule audit often.yaml --why "$(date -u -d "-110 minutes" +%Y-%m-%dT%H:%M:00Z)"; expect_ok; expect_out " more  often main: coalesced"
mlops schedule audit often.yaml --outcome coalesced --limit 0 --json
expect_equal "$(json 'set((s["coalesced_into"]["run"], s["coalesced_into"]["run_state"]) for s in j["slots"])')" "{('$id', 'succeeded')}"
expect_equal "$(json '[s["last_slot"] > s["slot"] for s in j["slots"] if s["slots"] > 1]')" "[True]"
mlops schedule remove often.yaml

# A reason of several lines is told as text.
printf 'name: large\nschedule: "@yearly"\nsteps:\n  a: {run: x, resources: {cpus: 9999}}\n  b: {run: x, resources: {memory: 900TiB}}\n' > large.yaml
mlops run large.yaml --slot now; expect_exit 2
mlops schedule audit large.yaml --last all; expect_out "cpus, this machine has "; expect_out "; step 'b' can never"; expect_no_out '\n'
mlops schedule audit large.yaml --last all --why 2; expect_out "
  step 'b' can never"
mlops run large.yaml --slot now; expect_exit 75; [[ $err == *"; step 'b' can never"* && $err != *'\n'* ]] || fail "$err"

# A run that is still going on.
cat > slow.yaml <<'Y'
name: slow
schedule: [{cron: "@yearly", timezone: UTC}, {cron: "@monthly", timezone: UTC, name: monthly}]
steps: {a: {run: 'touch began; while [ ! -e go ]; do sleep 0.05; done'}}
Y
"$MLOPS" run slow.yaml -q > run.out 2>&1 & pid=$!
wait_for 10 test -e began
mlops run slow.yaml --slot now; expect_exit 75; expect_err "is still going on"
touch go; wait $pid
mlops schedule audit slow.yaml --json --last all; expect_equal "$(json '[s["outcome"] for s in j["slots"]]')" "['skipped']"
sed -i 's/name: monthly/name: monthly, overlap: queue/' slow.yaml; rm -f go began
"$MLOPS" run slow.yaml -q > run.out 2>&1 & pid=$!
wait_for 10 test -e began
"$MLOPS" run slow.yaml --slot "$month-01T00:00:00Z" > queued.out 2>&1 & queued=$!
wait_for 10 grep -q "waiting for run" queued.out
touch go; wait $pid; wait $queued || fail "the run that waited: $(cat queued.out)"
grep -q "^! the slot $month-01T00:00:00+00:00 of monthly: waiting for run" queued.out || fail "$(cat queued.out)"
sed -i 's/overlap: queue/overlap: replace/; s/cron: "@monthly"/every: 1s/' slow.yaml; rm -f go began
"$MLOPS" run slow.yaml -q > run.out 2>&1 & pid=$!
wait_for 10 test -e began; touch go2
sed -i 's/! -e go /! -e go2 /' slow.yaml
mlops run slow.yaml --slot now; expect_ok; expect_out "ending run"
wait $pid; [ $? != 0 ] || fail "the run that was replaced succeeded"

# Of several entries, none makes slots of the time before the ledger knew of it: who comes second has nothing to run.
cat > several.yaml <<'Y'
name: several
schedule:
  - {cron: "* * * * *", timezone: UTC, overlap: allow}
  - {cron: "@yearly", timezone: UTC, name: yearly}
  - {at: "2020-01-01 00:00", timezone: UTC, name: once}
steps: {a: {run: "true"}}
Y
minute=$(date +%M)
mlops run several.yaml --slot now --json; expect_ok; expect_equal "$(json 'j["slot"][16:], j["schedule"]')" "(':00+00:00', 'main')"
mlops run several.yaml --slot now -q; expect_equal "$out$err" ""
if [ "$minute" = "$(date +%M)" ]; then expect_exit 75; fi
expect_equal "$(sql "select count(*) from v_slots where pipeline = 'several' and schedule != 'main'")" 0

# Many at once, some of them killed: each slot is run once.
cat > race.yaml <<'Y'
name: race
schedule: {cron: "* * * * *", timezone: UTC, overlap: allow}
steps: {a: {run: 'echo "$MLOPS_RUN_ID" >> racers'}}
Y
slots=${SLOTS:-30} racers=${RACERS:-8}
: > racers
for i in $(seq "$slots"); do
    slot=$(date -u -d "2026-01-01 00:00:00 UTC + $i minutes" +%Y-%m-%dT%H:%M:00Z)
    (
        RANDOM=$((i + ${SEED:-11})) pids=()
        for _ in $(seq "$racers"); do "$MLOPS" run race.yaml -q --slot "$slot" > /dev/null 2>&1 & pids+=($!); done
        for pid in "${pids[@]}"; do
            ((RANDOM % 3 == 0)) && kill -9 "$pid"
            ((RANDOM % 4 == 0)) && sleep "0.00$((RANDOM % 9))"
        done
        wait
    ) 2> /dev/null
    # Whoever was killed before its run began left the slot to others.
    mlops run race.yaml -q --slot "$slot"
    [ "$code" = 0 ] || [ "$code" = 75 ] || fail "the last one of slot $slot: $err"
done
wait_for 20 says "select count(*) from slots where outcome = 'claimed'" 0
expect_equal "$(sql "select count(*), count(distinct run_id) from v_slots where pipeline = 'race' and outcome = 'ran'")" "$slots,$slots"
[ "$(sort racers | uniq -d | wc -l)" = 0 ] || fail "a run was done twice"
[ "$(sort -u racers | grep -vcFf <("$MLOPS" sql --csv "select run_id from v_slots where outcome = 'ran'"))" = 0 ] || fail "a run without a slot"
[ "$(wc -l < racers)" -le "$slots" ] || fail "more runs than slots"
exit 0
