# Files that are none, links that lead nowhere, pipes, odd names: said in words, and never waited for.
. "$(dirname "$0")/common.sh"
soon() { run timeout 10 "$MLOPS" "$@"; [ "$code" != 124 ] || fail "mlops $* hangs"; }

mkfifo fifo.yaml
for command in validate graph plan run; do
    soon $command fifo.yaml; expect_exit 2; expect_err "fifo.yaml: error: is a named pipe"
done
ln -s nowhere.yaml dangling.yaml; ln -s loop.yaml loop.yaml
soon validate dangling.yaml; expect_exit 2; expect_err "is a link to 'nowhere.yaml', which does not exist"
soon validate loop.yaml; expect_exit 2; expect_err "is a link that leads back to itself"
soon validate $'a\nb\e[31m.yaml'; expect_exit 2; expect_err 'a\nb\x1b[31m.yaml: error: there is no such file'
soon validate /dev/zero; expect_exit 2; expect_err "is a device"

# A pipe that is handed over is read, and paths are relative to the working directory.
printf 'name: piped\nsteps: {a: {run: "true", inputs: data}}\n' > p.yaml; : > data
run sh -c "sleep 0.2; cat p.yaml | '$MLOPS' validate /dev/stdin"; expect_ok; expect_out "/dev/stdin: ok (piped, 1 step)"
run bash -c "'$MLOPS' graph <(cat p.yaml)"; expect_ok; expect_out "piped: 1 step"
run "$MLOPS" validate /dev/stdin < p.yaml; expect_ok

# Only `run` says that nothing was run.
soon graph nope.yaml; expect_exit 2; expect_err "1 problem found"
[[ "$err" != *"nothing was run"* ]] || fail "graph says that nothing was run"
soon run nope.yaml; expect_exit 2; expect_err "1 problem found; nothing was run"

# Many files of other names are not all listed.
for i in $(seq 30); do : > "some-quite-long-name-of-a-file-$i.yaml"; done
soon validate x; expect_exit 2; [ ${#err} -lt 700 ] || fail "all files are listed: ${#err}"

# Conditions are checked and explained.
printf 'params: {m: 4}\nsteps: {a: {run: "true", when: not (params.m == 4)}}\n' > when.yaml
soon run when.yaml; expect_ok; expect_out "a skipped: not (params.m == 4) is false (4)"
printf 'steps: {a: {run: "true", when: 1}}\n' > when.yaml
soon validate when.yaml; expect_exit 2; expect_err "when: 1 is neither true nor false"

# Open brackets, also on the command line.
soon validate p.yaml --set 'x=[1,'; expect_exit 2; expect_err "a list is not closed"

# Figures of a training that diverged are kept as no numbers.
cat > nan.yaml <<'Y'
name: nan
steps:
  train:
    run: |
      echo '{"loss": NaN, "epoch": 3}' >> "$MLOPS_METRICS"
      echo '{"name": "x", "value": -Infinity}' >> "$MLOPS_METRICS"
      echo '{"m": NaN, "big": 1e400, "good": "0.5"}' > metrics.json
    metrics: metrics.json
Y
soon run nan.yaml -q; expect_ok
expect_equal "$(sql "select group_concat(name || '=' || coalesce(value, 'none'), ' ') from (select * from v_metrics where pipeline = 'nan' order by name)")" \
    "big=none good=0.5 loss=none m=none x=none"

# An output that is a link to elsewhere is not followed: nothing of it is kept, or put in its place.
mkdir elsewhere w; echo secret > elsewhere/x
printf 'name: w\nsteps: {a: {run: "ln -sfn ../elsewhere out; ln -sfn real in; echo 1 > real", inputs: p.yaml, outputs: [out, in, real]}}\n' > w/p.yaml
cd w || exit 1
mkdir -m 700 .mlops
mlops run p.yaml; expect_ok; expect_out "its output 'out' is a symbolic link to"
mlops store stat --json; expect_ok
grep -rqs secret .mlops/store && fail "what lies outside was kept"
mlops run p.yaml; expect_ok; [ -L out ] || fail "the link was replaced"

# Parts of a workspace that are pipes are not waited for, and what links lead to is not overwritten.
mkdir "$here/parts"; cd "$here/parts" || exit 1
echo precious > precious; printf 'name: w\nsteps: {a: {run: "echo 1 > out", outputs: [out]}}\n' > p.yaml
for part in mlops.db daemon.lock queue.bell runs.bell claims/lock; do
    for kind in pipe link; do
        rm -rf .mlops; mkdir -m 700 .mlops; mkdir .mlops/claims
        if [ $kind = pipe ]; then mkfifo ".mlops/$part"; else ln -s "$PWD/precious" ".mlops/$part"; fi
        soon status
        [ $part.$kind != mlops.db.pipe ] || { expect_exit 74; expect_err "it is no regular file"; }
        for command in "run p.yaml" "submit p.yaml" "worker --once" "daemon --once p.yaml" runs doctor; do soon $command; done
        expect_file precious precious
    done
done
