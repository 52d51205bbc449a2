# SIGINT once and twice, SIGTERM, SIGTSTP and SIGCONT, cancel from another process.
. "$(dirname "$0")/common.sh"
set -m   # children in groups of their own, with SIGINT not ignored
cat > p.yaml <<'Y'
name: sig
steps:
  a: {run: 'touch started; sleep 30 & wait'}
  b: {run: 'touch never', needs: a}
  clean: {run: 'touch cleaned', always: true}
Y
start() { rm -f started cleaned; "$MLOPS" run "${1:-p.yaml}" > run.out 2>&1 & pid=$!; wait_for 10 test -e started; }
# Under job control `wait` also returns, with 128 + SIGSTOP or SIGTSTP, when the shell learns that the child was stopped.
ended() { while wait $pid; code=$?; [ $code = 147 ] || [ $code = 148 ]; do :; done; }

start; kill -INT $pid; ended; expect_exit 130; expect_exists cleaned; expect_missing never
expect_equal "$(sql "select state from v_runs order by id desc limit 1")" cancelled
start; kill -TERM $pid; ended; expect_exit 143; expect_exists cleaned
start; kill -HUP $pid; ended; expect_exit 143

# A step that ignores TERM is killed after its grace, or at once on a second signal.
printf 'name: stubborn\nsteps:\n  a: {run: "trap : TERM INT; touch started; while :; do sleep 0.05 || :; done", grace: 30s}\n  clean: {run: touch cleaned, always: true}\n' > stubborn.yaml
start stubborn.yaml; before=$(date +%s)
kill -INT $pid; sleep 0.3; kill -INT $pid; ended; expect_exit 130; expect_missing cleaned
[ $(($(date +%s) - before)) -lt 10 ] || fail "a second SIGINT did not kill at once"
wait_for 5 nobody_left "$("$MLOPS" runs --ids --limit 1)"
sed -i 's/30s/300ms/' stubborn.yaml
start stubborn.yaml; kill -TERM $pid; ended; expect_exit 143; expect_exists cleaned

# Stopped and continued: steps are frozen meanwhile and clocks stand still.
printf 'name: tick\nsteps:\n  a: {run: "touch started; for i in 1 2 3 4 5 6 7 8; do echo $i >> ticks; sleep 0.1; done", timeout: 2s}\n' > tick.yaml
start tick.yaml; kill -TSTP $pid; sleep 0.3; before=$(cat ticks); sleep 2.5
expect_equal "$(cat ticks)" "$before"
kill -CONT $pid; ended; expect_exit 0; expect_equal "$(wc -l < ticks)" 8

# What whoever started the run has ignored stays ignored, as `nohup` wants it.
rm -f started; (trap '' HUP INT; exec "$MLOPS" run tick.yaml > run.out 2>&1) & pid=$!
wait_for 10 test -e started; kill -HUP $pid; kill -INT $pid; ended; expect_exit 0

# One that is suspended hears `cancel`.
start; kill -TSTP $pid; sleep 0.3
mlops cancel latest; expect_ok; expect_out "ended as cancelled"; ended; expect_exit 143

# Killed while a step that has ended well is being tidied up after: no waiting for ever.
printf 'name: tidy\nsteps:\n  a: {run: "(trap \\"\\" TERM; sleep 60) & touch o started", outputs: o, grace: 3s}\n' > tidy.yaml
start tidy.yaml; sleep 0.3; kill -QUIT $pid; before=$(date +%s); ended; expect_exit 143
[ $(($(date +%s) - before)) -lt 20 ] || fail "a run that was killed waited"

# Cancel from outside, by any name of the run.
start; mlops status; expect_ok; expect_out "sig"; expect_out "0 of 3 steps done"
mlops cancel latest; expect_ok; expect_out "ended as cancelled"; ended; expect_exit 143
mlops cancel latest; expect_ok; expect_out "is not running"
mlops status; expect_out "nothing is running"

# Of a run whose runner died, the keeper's steps are stopped.
start; kill -9 $pid; ended; mlops status; expect_out "its runner died"
mlops cancel latest; expect_ok; expect_out "its steps were stopped"
wait_for 5 nobody_left "$("$MLOPS" runs --ids --limit 1)"
expect_equal "$(sql "select state from v_runs order by id desc limit 1")" cancelled

# A reader that goes away does not end the run.
"$MLOPS" run tick.yaml | head -1 > /dev/null
wait_for 10 sh -c "'$MLOPS' runs --limit 1 --state succeeded --pipeline tick --ids | grep -q ."

# logs --follow ends with the run and shows all of it.
printf 'name: f\nsteps:\n  a: {run: "touch started; for i in 1 2 3; do echo line$i; sleep 0.2; done"}\n' > f.yaml
start f.yaml; mlops logs latest a --follow; expect_ok; expect_equal "$out" "$(printf 'line1\nline2\nline3')"; ended
