# kill -9 of the runner at random moments: the next command tells the truth, resume repeats nothing that ended,
# and every exit code is learnt. An outside witness file is compared with the database. KILLS sets how many.
. "$(dirname "$0")/common.sh"
kills=${KILLS:-50}
seed=${SEED:-$RANDOM}
RANDOM=$seed
echo "seed $seed, $kills kills"

{
    echo "name: k"
    echo "steps:"
    for i in $(seq 0 11); do
        echo "  s$i:"
        echo "    run: 'echo s$i.\$MLOPS_ATTEMPT >> \$WITNESS; sleep 0.0$((RANDOM % 4)); echo end.s$i.\$MLOPS_ATTEMPT >> \$WITNESS'"
        [ "$i" -gt 1 ] && echo "    needs: s$((i - 2))"
    done
    echo "  last: {run: 'exit 3', needs: s11, on_failure: continue}"
} > p.yaml

# A database to look at, however soon the first run is killed.
printf 'steps: {a: {run: "true"}}\n' > first.yaml
"$MLOPS" run first.yaml --quiet > run.out && "$MLOPS" rm latest > /dev/null || fail "the first run"

# A sanitized binary takes its time to begin; killed before that it would never get anywhere.
before=$(date +%s%N); "$MLOPS" --version > /dev/null; span=$((100 + ($(date +%s%N) - before) / 1000000 * 5)); [ $span -lt 1000 ] || span=999

done_kills=0 rounds=0
while [ "$done_kills" -lt "$kills" ]; do
    rounds=$((rounds + 1))
    export WITNESS=$here/witness.$rounds
    : > "$WITNESS"
    "$MLOPS" run p.yaml --quiet > run.out 2>&1 & pid=$!
    while true; do
        sleep "$(printf '0.%03d' $((RANDOM % span)))"
        if ! kill -9 $pid 2>/dev/null; then wait $pid; break; fi
        wait $pid 2>/dev/null
        [ $? = 137 ] || break   # it was just done
        done_kills=$((done_kills + 1))
        before=$(date +%s%N)
        mlops runs --limit 1 --json; expect_ok
        [ $((($(date +%s%N) - before) / 1000000)) -lt 1000 ] || fail "telling the truth took more than a second"
        [ "$(json 'len(j["runs"])')" = 1 ] || { rounds=$((rounds + 1)); break; }   # killed before it was recorded
        state=$(json 'j["runs"][0]["state"]')
        [ "$state" = succeeded ] && break
        "$MLOPS" run --resume latest --quiet > run.out 2>&1 & pid=$!
    done
    [ -s "$WITNESS" ] || continue
    mlops runs --limit 1 --json
    if [ "$(json 'j["runs"][0]["state"]')" != succeeded ]; then
        "$MLOPS" run --resume latest --quiet > run.out 2>&1 || fail "resume failed: $(cat run.out)"
    fi
    id=$("$MLOPS" runs --ids --limit 1)
    for i in $(seq 0 11); do
        ended=$(grep -c "^end\.s$i\." "$WITNESS")
        [ "$ended" = 1 ] || fail "run $id (seed $seed): step s$i ended $ended times"
    done
    expect_equal "$(sql "select count(*) from v_steps where run_id='$id' and state='succeeded'")" 12
    expect_equal "$(sql "select exit_code from v_attempts where run_id='$id' and step='last'")" 3
    expect_equal "$(sql "select count(*) from v_attempts where run_id='$id' and cause in ('lost','running')")" 0
    wait_for 5 nobody_left "$id"
    "$MLOPS" rm "$id" > /dev/null
done
echo "$done_kills kills in $rounds rounds: nothing lost, nothing doubled"

# A killed keeper is noticed; what it ran counts as lost and follows the retry policy.
printf 'steps:\n  a: {run: "echo x >> tries; sleep 0.5", retry: {times: 1, on: [lost]}}\n' > l.yaml
"$MLOPS" run l.yaml > l.out 2>&1 & pid=$!
wait_for 5 test -s tries
keeper=$(cut -d' ' -f1 .mlops/runs/*/keeper.lock)
kill -9 "$keeper"
wait $pid; code=$?; expect_equal "$code" 0
expect_equal "$(wc -l < tries)" 2
expect_equal "$(sql "select group_concat(cause) from v_attempts where run_id=(select max(id) from runs)")" '"lost,exited"'

# A step that waits to be tried again when the runner dies has not failed yet, whatever its failure would mean.
printf 'steps:\n  a: {run: "echo x >> again; test $MLOPS_ATTEMPT -gt 1", retry: {times: 1, delay: 30s}, on_failure: continue}\n' > w.yaml
"$MLOPS" run w.yaml > w.out 2>&1 & pid=$!
wait_for 5 grep -q "trying again" w.out; kill -9 $pid; wait $pid 2>/dev/null
over() { [ "$(sql "select state from runs where id = (select max(id) from runs)")" != running ]; }
wait_for 5 over  # its keeper may still be ending
mlops show latest:w --json; expect_ok; expect_equal "$(json 'j["state"], j["steps"][0]["state"]')" "('interrupted', 'pending')"
expect_out "it was to be tried again"
mlops run --resume latest:w; expect_ok; expect_equal "$(wc -l < again)" 2
expect_equal "$(sql "select state from v_steps where run_id = (select max(id) from runs)")" succeeded

# So has one that was not tried again because the run stopped for the sake of another.
printf 'steps:\n  a: {run: "echo x >> stopped; test $MLOPS_ATTEMPT -gt 1", retry: {times: 1, delay: 30s}, on_failure: continue}\n  b: {run: "sleep 0.5; test -e mended"}\n' > v.yaml
mlops run v.yaml --jobs 2; expect_exit 1; touch mended
mlops run --resume latest:v; expect_ok; expect_equal "$(wc -l < stopped)" 2
expect_equal "$(sql "select group_concat(state) from v_steps where run_id = (select max(id) from runs)")" '"succeeded,succeeded"'

# One that has failed for good stays so, however often its run is resumed.
printf 'steps:\n  a: {run: "echo x >> bad; exit 1", retry: 1, on_failure: continue}\n' > g.yaml
for i in 1 2 3; do printf '  s%s: {run: "touch at%s; sleep 0.3", needs: %s}\n' $i $i "$([ $i = 1 ] && echo a || echo s$((i - 1)))"; done >> g.yaml
"$MLOPS" run g.yaml > g.out 2>&1 & pid=$!
for i in 1 2; do
    wait_for 5 test -e at$i; kill -9 $pid; wait $pid 2>/dev/null
    "$MLOPS" run --resume latest:g > g.out 2>&1 & pid=$!
done
wait $pid; code=$?; expect_exit 0; expect_equal "$(wc -l < bad)" 2

# Old outputs come back although the folder they were in is gone; where they cannot, every command works on.
printf 'steps:\n  a: {run: "touch started; sleep 30", outputs: out/model}\n' > o.yaml
both_killed() {
    rm -f started; "$MLOPS" run "$1" > o.out 2>&1 & pid=$!
    wait_for 5 test -e started
    id=$("$MLOPS" runs --ids --limit 1)
    keeper=$(cut -d' ' -f1 ".mlops/runs/$id/keeper.lock")
    kill -9 $pid "$keeper"
    wait $pid 2>/dev/null
    wait_for 10 sh -c "! kill -0 $keeper"
}
mkdir out; echo good > out/model; both_killed o.yaml
rm -r out; mlops runs; expect_ok; expect_file out/model good
both_killed o.yaml; rm -r out; touch out
mlops show "$id"; expect_ok; expect_out "its old outputs wait in"; mlops doctor; expect_ok
expect_file ".mlops/runs/$id/aside/a/0" good
rm out

# A resume decides by the environment of the run's start, whoever types it.
printf 'steps:\n  a: {run: "touch started; sleep 2"}\n  d: {run: touch deployed, needs: a, when: "env.DEPLOY == '"'yes'"'"}\n' > e.yaml
rm -f started; DEPLOY=yes "$MLOPS" run e.yaml > e.out 2>&1 & pid=$!
wait_for 5 test -e started; kill -9 $pid; wait $pid 2>/dev/null
mlops run --resume latest; expect_ok; expect_exists deployed

# The last step ends when the runner is dead: a resume reads its outputs, and nothing is run for them.
printf 'steps:\n  a: {run: "echo x >> runs; touch started; sleep 1; echo weights > model", inputs: in, outputs: model}\n' > m.yaml
echo 1 > in; rm -f started; "$MLOPS" run m.yaml > m.out 2>&1 & pid=$!
wait_for 5 test -e started; sleep 0.3; kill -9 $pid; wait $pid 2>/dev/null
wait_for 10 sh -c "! '$MLOPS' runs --state orphaned --ids | grep -q ."
mlops show latest:m --json; expect_ok; expect_equal "$(json 'j["state"]')" interrupted; expect_out "the outputs of one were recorded"
mlops run --resume latest:m; expect_ok; expect_equal "$(wc -l < runs)" 1
mlops lineage model --json; expect_ok
mlops run m.yaml -q; expect_ok; expect_equal "$(wc -l < runs)" 1
expect_equal "$(sql "select state from v_steps where run_id = (select max(id) from runs)")" cached

# Runner and keeper both killed: never success by mistake.
printf 'steps:\n  a: {run: "touch started; sleep 30"}\n' > b.yaml
both_killed b.yaml
mlops show "$id" --json; expect_ok
expect_equal "$(json 'j["state"]')" interrupted
expect_equal "$(json 'j["steps"][0]["state"]')" lost
wait_for 5 nobody_left "$id"

# After a power loss what was not synced may be empty, or end in the middle of a command: the definition is known from
# the database, what steps read is written anew. How the run was asked for is known from its directory only.
printf 'params: {lr: 0.5}\nsteps:\n  a: {run: "touch started; test -e on || sleep 30"}\n  b: {run: "cp $MLOPS_PARAMS seen; echo whole > end", needs: a}\n' > torn.yaml
touch_on() { touch on; mlops run --resume "$id" "$@"; rm -f on; }
for damage in ': > "$file"' 'truncate -s $(($(stat -c %s "$file") - 9)) "$file"' 'rm "$file"'; do
    rm -f end seen; both_killed torn.yaml
    for file in ".mlops/runs/$id/pipeline.yaml" ".mlops/runs/$id/params.json"; do eval "$damage"; done
    touch_on; expect_ok; expect_file end whole
    expect_equal "$(python3 -c 'import json; print(json.load(open("seen")))')" "{'lr': 0.5}"
    both_killed torn.yaml
    file=".mlops/runs/$id/run.json"; eval "$damage"
    touch_on; expect_exit 74; expect_err "run.json': it is"; expect_err "start a new run"
done

# A workspace that was moved meanwhile: the run goes on where it is now.
mkdir -p before; printf 'steps:\n  a: {run: "touch started; test -e on || sleep 30"}\n  b: {run: "pwd > where", needs: a}\n' > before/moved.yaml
rm -f started; (cd before && exec "$MLOPS" run -w . moved.yaml) > moved.out 2>&1 & pid=$!
wait_for 5 test -e before/started
keeper=$(cut -d' ' -f1 before/.mlops/runs/*/keeper.lock); kill -9 $pid "$keeper"; wait $pid 2>/dev/null
wait_for 10 sh -c "! kill -0 $keeper"
mv before after; mkdir before; touch after/on
run "$MLOPS" run -w after --resume latest; expect_ok; expect_file after/where "$here/after"

# A finished run has nothing to resume, a running one is busy.
mlops run --resume latest:l; expect_exit 2; expect_err "nothing is left to resume"
printf 'steps:\n  a: {run: sleep 3}\n' > r.yaml
"$MLOPS" run r.yaml > /dev/null & pid=$!
wait_for 5 sh -c "'$MLOPS' runs --pipeline r --ids | grep -q ."
mlops run --resume latest:r; expect_exit 5; expect_err "is still running"
mlops rm latest:r; expect_exit 5
kill $pid; wait $pid; code=$?; expect_exit 143
