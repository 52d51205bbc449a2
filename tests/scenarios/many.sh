# Fifty runs at once in one new workspace: none fails for a lock, none is lost.
. "$(dirname "$0")/common.sh"
runs=${RUNS:-50}
mkdir w
printf 'name: many\nsteps:\n  a: {run: "echo $MLOPS_RUN_ID >> witness"}\n  b: {run: "echo v=1 >> $MLOPS_OUTPUT", needs: a}\n  c: {run: echo, foreach: [1, 2, 3]}\n' > w/p.yaml
for i in $(seq "$runs"); do
    ( "$MLOPS" run w/p.yaml --quiet > "out.$i" 2>&1; echo $? > "code.$i" ) &
done
wait
for i in $(seq "$runs"); do
    [ "$(cat "code.$i")" = 0 ] || { cat "out.$i" >&2; fail "run $i ended with $(cat "code.$i")"; }
done
cd w || exit 1
expect_equal "$(sort -u witness | wc -l)" "$runs"
expect_equal "$(sql "select count(*) from v_runs where state = 'succeeded'")" "$runs"
expect_equal "$(sql "select count(*) from v_steps where state = 'succeeded'")" $((runs * 5))
expect_equal "$(sql 'pragma integrity_check')" ok
