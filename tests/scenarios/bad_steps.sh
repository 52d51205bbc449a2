# A bad place to start from, and steps that do not behave: closed streams, small limits, what will not end.
. "$(dirname "$0")/common.sh"
printf 'name: p\nsteps:\n  a: {run: echo hello}\n' > p.yaml
mlops run p.yaml; expect_ok

# Closed standard streams are not taken for the keeper's socket or the database.
close_and_run() {
    case $1 in
        0) timeout -k 5 20 "$MLOPS" run p.yaml <&- ;;
        1) timeout -k 5 20 "$MLOPS" run p.yaml >&- ;;
        2) timeout -k 5 20 "$MLOPS" run p.yaml 2>&- ;;
        all) timeout -k 5 20 "$MLOPS" run p.yaml >&- 2>&- <&- ;;
    esac
}
for which in 0 1 2 all; do
    close_and_run $which > out.txt 2> err.txt; code=$?
    expect_ok
done
expect_equal "$(sql 'pragma integrity_check')" ok
expect_equal "$(sql "select count(*) from runs where state = 'succeeded'")" 5

# Who starts us may ignore the ends of children; exit codes are not lost.
printf 'name: code\nsteps:\n  a: {run: exit 7}\n' > code.yaml
run python3 -c 'import os, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
os.execv(sys.argv[1], sys.argv[1:])' "$MLOPS" run code.yaml --propagate-exit-code
expect_exit 7

# 400 steps at a time with 1,024 descriptors, soft and hard; each step gets the soft limit that we got.
{
    printf 'name: wide\nsteps:\n'
    for i in $(seq 400); do printf '  s%s: {run: "ulimit -Sn; sleep 1"}\n' "$i"; done
} > wide.yaml
for limits in "ulimit -n 1024" "ulimit -Sn 1024"; do
    run bash -c "$limits; exec '$MLOPS' run wide.yaml --jobs 400"
    expect_ok
    expect_equal "$(sql "select count(*) from v_attempts where run_id = (select max(id) from runs) and exit_code = 0")" 400
    "$MLOPS" logs latest s400 | tail -1 > limit.txt; expect_file limit.txt 1024
done

# A limit of file sizes costs the rest of a log and says so; the run goes on.
printf 'name: big\nsteps:\n  a: {run: "head -c 30000000 /dev/zero"}\n  b: {run: exit 0, needs: a}\n' > big.yaml
run bash -c "ulimit -f 8192; exec '$MLOPS' run big.yaml --output failed"
expect_ok
expect_out "File too large"
expect_equal "$(sql "select log_dropped from attempts where run_id = (select max(id) from runs) and step = 0")" $((30000000 - (8192 << 10)))

# A zombie that somebody else keeps in the step's group does not hold up its end.
printf 'name: zombie\nsteps:\n  z:\n    run: |\n      (sleep 0.1 & exec env -i setsid sleep 1000) >/dev/null 2>&1 &\n      echo $! > foreign\n      sleep 0.4\n' > zombie.yaml
cleanups+=('kill "$(cat "$here/foreign")" 2>/dev/null')
run timeout -k 5 10 "$MLOPS" run zombie.yaml
expect_ok

# What ignores everything but SIGKILL is gone when the run ends.
printf 'name: deaf\nsteps:\n  d: {run: "(trap \\"\\" TERM HUP INT; sleep 1000) & exit 0", grace: 1s}\n' > deaf.yaml
run timeout -k 5 20 "$MLOPS" run deaf.yaml
expect_ok
nobody_left "$(sql "select max(id) from runs")" || fail "a process was left"
