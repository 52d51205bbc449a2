# Slots that were claimed and cannot begin at once: for want of room, or because the process that was to run them died.
. "$(dirname "$0")/common.sh"
says() { [ "$(sql "$1")" = "$2" ]; }
# child_of PID…: a process that PID has started for a run.
child_of() { cut -d' ' -f1 "/proc/$1/task/$1/children"; }

# `daemon --once` that waits for room looks at what becomes due meanwhile: nobody else may.
printf 'name: slow\nschedule: {at: "%s"}\nsteps: {a: {run: sleep 3}}\n' "$(date -d '+2 seconds' '+%F %T')" > one.yaml
sed 's/slow/slow2/' one.yaml > two.yaml
printf 'name: fast\nschedule: {every: 1s, catchup: none, overlap: allow}\nsteps: {a: {run: "true"}}\n' > fast.yaml
mlops schedule add one.yaml two.yaml fast.yaml; expect_ok
sleep 2.2
"$MLOPS" daemon --once --runs 1 > once.log 2>&1 & once=$!
wait_for 20 grep -q "run .* for slow" once.log
mlops daemon --once --quiet; expect_exit 75; expect_equal "$out$err" ""
wait $once || fail "daemon --once: $(cat once.log)"
expect_equal "$(sql "select count(*) from v_slots where pipeline glob 'slow*' and outcome = 'ran'")" 2
# A slow machine may be late for some: those are missed, and on record.
[ "$(sql "select sum(slots) from v_slots where pipeline = 'fast'")" -ge 5 ] || fail "$("$MLOPS" schedule audit)"
[ "$(sql "select count(*) from v_slots where pipeline = 'fast' and outcome = 'ran'")" -ge 2 ] || fail "$("$MLOPS" schedule audit)"
for file in one.yaml two.yaml fast.yaml; do mlops schedule remove $file; expect_ok; done

# A process that dies before its run begins, here while it waits for a secret, costs no slot: another one is started for it,
# three times in all. After that the slot is given up, and whoever wants to hear of failures is told.
printf 'name: wait\nsecrets: {SLOW: {command: [sh, -c, "until [ -e go ]; do sleep 0.05; done; echo slow"]}}\nnotify: {command: "cat > told", on: [failure]}\nschedule: {at: "%s"}\nsteps: {a: {run: "true", secrets: SLOW}}\n' \
    "$(date -d '+2 seconds' '+%F %T')" > wait.yaml
cleanups+=("touch '$here/go'")
"$MLOPS" daemon wait.yaml > daemon.log 2>&1 & daemon=$!
cleanups+=("kill $daemon 2> /dev/null")
for death in 1 2 3; do
    wait_for 20 eval '[ "$(grep -c "^.* run .* for wait" daemon.log)" -ge '$death' ] && [ -n "$(child_of $daemon)" ]'
    kill -9 "$(child_of $daemon)"
    [ $death = 3 ] || wait_for 10 eval '[ "$(grep -c "ended by Killed; it is tried again" daemon.log)" = '$death' ]'
done
wait_for 20 says "select outcome from v_slots where pipeline = 'wait'" rejected
expect_equal "$(sql "select reason from v_slots where pipeline = 'wait'")" "it was ended by Killed"
wait_for 20 test -s told

# One that is tried again runs when it can.
sed "s/at: \"[^\"]*\"/at: \"$(date -d '+3 seconds' '+%F %T')\"/;s/wait/later/;s/: {at/: {name: again, at/" wait.yaml > later.yaml
mlops schedule add later.yaml; expect_ok
wait_for 20 eval 'grep -q "run .* for later" daemon.log && [ -n "$(child_of $daemon)" ]'
kill -9 "$(child_of $daemon)"
wait_for 10 grep -q "later.*ended by Killed; it is tried again" daemon.log
touch go
wait_for 20 says "select s.outcome || ' ' || r.state from v_slots s join runs r on r.id = s.run_id where s.pipeline = 'later'" "ran succeeded"

# Entries that take turns and that replace, in one file; and a priority that is edited while slots wait.
mkdir -m 700 -p mixed/.mlops; cd mixed
printf 'name: mixed\nschedule: [{name: a, every: 2s, overlap: queue}, {name: b, every: 3s, overlap: replace}]\nsteps: {a: {run: sleep 1.5}}\n' > mixed.yaml
printf 'name: first\nschedule: {every: 1s, overlap: queue}\nsteps: {a: {run: sleep 1.5}}\n' > first.yaml
"$MLOPS" daemon mixed.yaml first.yaml --runs 4 > daemon.log 2>&1 & other=$!; cleanups+=("kill -9 $other 2> /dev/null")
enough() { [ "$(sql "select count(*) >= $2 from v_slots where pipeline = '$1' and run_state = 'succeeded'")" = 1 ]; }
wait_for 30 enough first 2; sed -i '1a priority: 5' first.yaml; wait_for 30 enough first 6
wait_for 60 says "select count(*) >= 4 from v_slots where pipeline = 'mixed' and outcome = 'ran'" 1
kill $other; wait $other; mlops schedule remove mixed.yaml; mlops schedule remove first.yaml; expect_ok; cd ..

# Who takes turns holds no room while a run goes on that somebody else has started.
rm go
printf 'name: turns\nschedule: {every: 1s, overlap: queue}\nsteps: {a: {run: "until [ -e go ]; do sleep 0.05; done"}}\n' > turns.yaml
"$MLOPS" run turns.yaml > hand.log 2>&1 & hand=$!
mlops schedule add turns.yaml; expect_ok
waits() { [ "$(sql "select count(*) > 0 from v_slots where pipeline = 'turns' and reason like 'waits for run % of the same pipeline'")" = 1 ]; }
wait_for 20 waits
grep -q "run .* for turns" daemon.log && fail "it holds room: $(cat daemon.log)"
touch go; wait $hand || fail "$(cat hand.log)"
wait_for 20 says "select count(*) > 0 from v_slots where pipeline = 'turns' and outcome = 'ran'" 1
mlops schedule remove turns.yaml; expect_ok

kill $daemon; wait $daemon || fail "the daemon ended with $?: $(cat daemon.log)"

# One that replaces another takes its place, also where no more runs may go on.
mkdir full; cd full
printf 'name: full\nschedule: {every: 2s, overlap: replace}\nsteps: {a: {run: sleep 30}}\n' > p.yaml
"$MLOPS" -w "$PWD" init > /dev/null; "$MLOPS" -w "$PWD" daemon p.yaml --runs 1 > daemon.log 2>&1 & daemon=$!; cleanups+=("kill -9 $daemon 2>/dev/null")
replaced() { [ "$("$MLOPS" -w "$PWD" sql --csv "select count(*) > 1 from v_slots where run_state = 'cancelled' and reason like '%replaced its run'" | tail -1)" = 1 ]; }
wait_for 30 replaced
kill $daemon; wait $daemon; "$MLOPS" -w "$PWD" cancel latest > /dev/null
exit 0
