# Never twice: what is taken from an earlier run, what is made again, and that everyone can say why.
. "$(dirname "$0")/common.sh"
cat > p.yaml <<'Y'
name: c
params: {lr: 0.1, other: 1, train: {epochs: 3}}
env: {MODE: fast}
steps:
  fetch: {kind: ingest, run: 'echo fetched >> fetches; echo "1 2 3" > raw.txt', outputs: raw.txt}
  clean:
    run: 'echo clean >> log; sort raw.txt > clean.txt; echo "rows=$(wc -l < clean.txt)" >> $MLOPS_OUTPUT'
    inputs: raw.txt
    outputs: clean.txt
  train:
    run: 'echo train >> log; echo "lr "${params.lr}" rows "${steps.clean.outputs.rows} > model.txt; cp -r model.txt dir.out 2>/dev/null || { mkdir -p dir.out; cp model.txt dir.out/; }'
    inputs: clean.txt
    code: train.py
    params: [lr, train]
    outputs: [{path: model.txt, kind: model}, dir.out]
  evaluate:
    run: 'echo evaluate >> log; echo "{\"score\": 0.9}" > metrics.json'
    inputs: [model.txt]
    metrics: [metrics.json]
  gate: {kind: gate, run: 'test 1 = 1', when: steps.evaluate.metrics.score > 0.5, needs: evaluate}
  ship: {kind: deploy, run: 'echo ship >> log; cp model.txt live.txt', inputs: model.txt, outputs: live.txt}
Y
echo 'print()' > train.py
ran() { tr '\n' ' ' < log 2>/dev/null; : > log; }
states() { sql "select group_concat(name || '=' || state, ' ') from (select * from v_steps where run_id = (select max(id) from runs) order by step)"; }
because() { mlops why "$1"; expect_ok; expect_out "$2"; }

mlops run p.yaml -q; expect_ok; ran > /dev/null
because train "it has no earlier result"
mlops run p.yaml; expect_ok; expect_out "= train cached"
expect_equal "$(ran)" "ship "
expect_equal "$(states)" "fetch=succeeded clean=cached train=cached evaluate=cached gate=succeeded ship=succeeded"
because train "nothing has changed since run"
because fetch "always, as it declares no inputs"
because ship "it deploys"
mlops runs --limit 1; expect_out "score=0.9"
mlops show --json; expect_equal "$(json '[m["value"] for m in j["metrics"] if m["name"] == "score"][0]')" 0.9
expect_equal "$(json '[a["path"] for a in j["artifacts"] if a["step"] == "train" and a["direction"] == "out"]')" "['dir.out', 'model.txt']"

# Each kind of change, told by its name; `plan` says the same before the run.
changed() {   # changed WHAT-IS-SAID [OPTION…]: the step train runs because of it
    local said=$1; shift
    mlops plan p.yaml "$@"; expect_ok
    [[ $(grep '^run train' <<< "$out") == *"$said"* ]] || fail "the plan does not say: $said"
    mlops run p.yaml -q "$@"; expect_ok
    [[ " $(ran)" == *" train "* ]] || fail "train did not run"
    because train "$said"
    mlops run p.yaml -q "$@"; expect_ok
    [[ " $(ran)" != *" train "* ]] || fail "train ran again"
}
changed 'command: "lr "0.1" → "lr "0.2"' --set lr=0.2
changed "param train.epochs: 3 → 4" --set lr=0.2 --set train.epochs=4
changed "param train.size is new (1)" --set lr=0.2 --set 'train={size: 1}'
mlops run p.yaml -q; ran > /dev/null
echo '# v2' >> train.py; changed "code train.py: "
sed -i 's/MODE: fast/MODE: slow/' p.yaml; changed "env MODE: fast → slow"
sed -i 's/MODE: slow/MODE: slow, EXTRA: "1"/' p.yaml; changed "env EXTRA is new (1)"
sed -i 's/, EXTRA: "1"//' p.yaml; mlops run p.yaml -q; expect_equal "$(ran)" "ship "   # back to what was
sed -i 's/outputs: \[{path: model.txt, kind: model}, dir.out\]/outputs: [{path: model.txt, kind: model}]/' p.yaml
changed "output dir.out: declared → not declared"
sed -i 's/    params: \[lr, train\]/    params: [lr]/' p.yaml; changed "param train.epochs is gone (it was 3)"
sed -i 's/    code: train.py/    code: [train.py, extra.py]/' p.yaml; echo > extra.py; changed "code extra.py is new"
echo > extra2.py; sed -i 's/extra.py\]/extra2.py]/' p.yaml; changed "code extra2.py is new"
sed -i "s/echo train >> log; echo/echo train >> log;  echo/" p.yaml; changed "command"
mlops run p.yaml -q --force train; ran > /dev/null; because train "forced by --force"
mlops run p.yaml -q --jobs 1 --force; expect_equal "$(ran)" "clean train evaluate ship "
mlops run p.yaml -q --jobs 1 --no-cache; expect_equal "$(ran)" "clean train evaluate ship "

# A change that comes to nothing is cut off: clean makes what it made before.
sed -i 's/1 2 3" > raw/1 2 3" > raw/; s/echo "1 2 3" > raw.txt/echo "1 2 3" > raw.txt; echo >> raw.txt/' p.yaml
sed -i 's/sort raw.txt > clean/grep . raw.txt | sort > clean/' p.yaml
mlops run p.yaml -q; expect_equal "$(ran)" "clean ship "
because clean "input raw.txt: "

# Outputs that are gone or were changed by hand come back from the store.
rm -r model.txt; echo tampered > clean.txt
mlops run p.yaml -q; expect_ok; expect_equal "$(ran)" "ship "
expect_exists model.txt; expect_file clean.txt "1 2 3"

# A damaged object is no result: the step runs again.
rm model.txt
object=$(sql "select sha256 from v_artifacts where path = 'model.txt' and direction = 'out' order by run_id desc limit 1")
file=.mlops/store/objects/${object:0:2}/${object:2}
chmod u+w "$file"; printf X | dd of="$file" bs=1 conv=notrunc 2> /dev/null
mlops store verify; expect_exit 3; expect_out "$object"
mlops run p.yaml -q; expect_ok; expect_equal "$(ran)" "train ship "
because train "its output model.txt as it was made is neither in place nor in the store"
mlops store verify; expect_ok

# A step that fails leaves its old outputs as they were; one that persists is handed its own.
before=$(cat model.txt)
sed -i 's/  train:/  broken: {run: "echo half > half.txt; echo half > model2.txt; exit 1", inputs: clean.txt, outputs: [half.txt, model2.txt], on_failure: continue}\n  train:/' p.yaml
echo good > half.txt
mlops run p.yaml -q; expect_ok; expect_file half.txt good; expect_file model2.txt half
expect_file model.txt "$before"
printf 'name: d\nsteps:\n  s: {run: "touch all.txt; echo x >> all.txt", outputs: [{path: all.txt, persist: true}]}\n' > d.yaml
mlops run d.yaml; mlops run d.yaml; expect_ok; expect_file all.txt "$(printf 'x\nx')"

# An output that holds the pipeline or an input is never moved away.
printf 'name: e\nsteps:\n  s: {run: "echo > sub/out", inputs: [sub/in], outputs: [sub], cache: true}\n' > e.yaml
mkdir sub; echo in > sub/in; mlops run e.yaml; expect_ok; expect_exists sub/in

# kill -9 while a step makes new outputs: the old ones come back.
printf 'name: k\nsteps:\n  s: {run: "echo new > k.txt; touch started; sleep 30", outputs: [k.txt]}\n' > k.yaml
echo old > k.txt
"$MLOPS" run k.yaml > /dev/null 2>&1 & pid=$!
wait_for 10 test -e started; expect_file k.txt new
kill -9 $pid; wait $pid 2> /dev/null; kill -9 "$(cut -d' ' -f1 ".mlops/runs/$("$MLOPS" runs --ids --limit 1)/keeper.lock")" 2> /dev/null
wait_for 5 sh -c "'$MLOPS' runs --limit 1 --json | grep -q interrupted"
expect_file k.txt old

# Deleting the run that made results does not take them from the runs that use them.
mlops run p.yaml -q; ran > /dev/null
for id in $("$MLOPS" runs --pipeline c --ids | tail -n +2); do "$MLOPS" rm "$id" > /dev/null || fail "rm $id"; done
mlops run p.yaml -q; expect_ok; expect_equal "$(ran)" "ship "
mlops show --json; expect_equal "$(json '[m["value"] for m in j["metrics"] if m["name"] == "score"][0]')" 0.9
mlops store gc --dry-run; expect_ok
mlops diff "$("$MLOPS" runs --pipeline c --ids | sed -n 2p)" latest:c; expect_ok

# Results belong to a place: the same file in another folder makes its own, also where names are no text.
mkdir -p shared; echo 1 > shared/in
for folder in fa fb $'f\xff' $'f\xfe'; do
    mkdir -p "$folder"
    printf 'name: place\nsteps:\n  s: {run: "pwd > out", inputs: ../shared/in, outputs: out}\n' > "$folder/p.yaml"
    mlops run "$folder/p.yaml" -q; expect_ok; expect_exists "$folder/out"
    mlops run "$folder/p.yaml" --output failed; expect_ok; expect_out "1 cached"
done
mlops why s "$("$MLOPS" runs --pipeline place --ids | sed -n 6p)"; expect_out "workdir: fa → fb"

# An argument with a line break is not two arguments.
arguments() { printf 'name: argv\nsteps:\n  s: {run: [sh, -c, '"'"'printf "%%s|" "$@" > argv.txt'"'"', x, %s], inputs: shared/in, outputs: argv.txt}\n' "$1" > argv.yaml; }
arguments '"b\nc"'; mlops run argv.yaml -q; expect_ok; expect_file argv.txt "$(printf 'b\nc|')"
arguments 'b, c'; mlops run argv.yaml -q; expect_ok; expect_file argv.txt 'b|c|'
because s "command, argument 4: b"

# What an output is for counts: as a file of metrics it is read, as a model it is shown as one.
cat > role.yaml <<'Y'
name: role
steps:
  s: {run: 'echo "{\"acc\": 0.5}" > acc.json; echo m > role.bin', inputs: shared/in, outputs: [acc.json, role.bin]}
Y
mlops run role.yaml -q; expect_ok
sed -i 's/outputs: \[acc.json, role.bin\]/outputs: [role.bin], metrics: acc.json/' role.yaml
mlops run role.yaml -q; expect_ok; because s "metrics file acc.json is new"
expect_equal "$(sql "select value from v_metrics where run_id = (select max(id) from runs)")" 0.5
sed -i 's/\[role.bin\]/[{path: role.bin, kind: model}]/' role.yaml
mlops run role.yaml --output failed; expect_ok; expect_out "1 cached"
expect_equal "$(sql "select kind from v_artifacts where path = 'role.bin' and run_id = (select max(id) from runs)")" model

# A service that a step leaves running is not there because its files are.
printf 'name: serve\nsteps:\n  s: {run: "(sleep 300 & echo $! > pid.txt) > /dev/null 2>&1", inputs: shared/in, outputs: pid.txt, leave_running: true}\n' > serve.yaml
cleanups+=('kill "$(cat "$here/pid.txt")" 2>/dev/null')
mlops run serve.yaml -q; expect_ok
kill "$(cat pid.txt)"; mlops run serve.yaml -q; expect_ok; because s "what it leaves running cannot be put back"
kill -0 "$(cat pid.txt)" || fail "the service was not started again"

# An output on another file system cannot be moved aside, and stays where it is, also when the step is tried again.
if [ -w /dev/shm ] && [ "$(stat -c %d /dev/shm)" != "$(stat -c %d .)" ]; then
    far=$(mktemp -d /dev/shm/mlops-test.XXXXXX); cleanups+=("rm -rf '$far'")
    echo good > "$far/model.bin"
    printf 'name: far\nsteps:\n  s: {run: exit 1, inputs: shared/in, outputs: %s/model.bin, retry: 2}\n' "$far" > far.yaml
    mlops run far.yaml -q; expect_exit 1; expect_file "$far/model.bin" good
else
    echo "SKIPPED: no second file system to write to"
fi
