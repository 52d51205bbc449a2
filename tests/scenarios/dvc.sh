# A dvc.yaml without DVC: what only mlops does, and what is wrong.
. "$(dirname "$0")/common.sh"
new() { cd "$here" && rm -rf p && mkdir -p p/.dvc/tmp && cd p && git init -q . && printf '/cache\n/tmp\n' > .dvc/.gitignore; }
md5() { md5sum < "$1" | cut -d' ' -f1; }
object() { local m; m=$(md5 "$1"); echo ".dvc/cache/files/md5/${m:0:2}/${m:2}"; }

# A run, a second one, a change; why, plan, graph, show.
new
cat > dvc.yaml <<'Y'
stages:
  count:
    cmd: wc -l < words.txt > count.txt
    deps: [words.txt]
    params: [least, most]
    outs: [count.txt]
  report:
    cmd:
    - cp count.txt report.txt
    - 'printf "{\"n\": %s}" $(cat count.txt) > metrics.json'
    deps: [count.txt]
    outs: [report.txt]
    metrics: [{metrics.json: {cache: false}}]
Y
printf 'a\nb\n' > words.txt; printf 'least: 1\nmost: 5\n' > params.yaml
mlops plan dvc.yaml; expect_ok; expect_out "run count: it has no earlier result"; expect_missing .mlops
mlops run dvc.yaml; expect_ok; expect_out "2 succeeded"
expect_file .gitignore "$(printf '/count.txt\n/report.txt')"
expect_equal "$(stat -c %a "$(object count.txt)")" 444
mlops show latest --json; expect_ok
expect_equal "$(json '[m["value"] for m in j["metrics"] if m["name"] == "n"]')" "[2.0]"
mlops run dvc.yaml; expect_ok; expect_out "2 cached"
mlops validate dvc.yaml; expect_ok; expect_out "2 steps"
mlops graph dvc.yaml; expect_ok; expect_out "report"
sed -i '/most/d' params.yaml; sed -i 's/, most//' dvc.yaml
mlops plan dvc.yaml; expect_ok; expect_out "param most is gone (it was 5)"
mlops run dvc.yaml; expect_ok; mlops why count; expect_ok; expect_out "param most is gone"
echo c >> words.txt
mlops run dvc.yaml; expect_ok; mlops why count; expect_out "input words.txt"
# Back to what was: the run cache has it.
printf 'a\nb\n' > words.txt
mlops run dvc.yaml; expect_ok; expect_out "2 cached"; expect_file count.txt 2
mlops why count; expect_out "run cache"
mlops run dvc.yaml --force count; expect_ok; expect_out "1 succeeded, 1 cached"
mlops run dvc.yaml --set least=2; expect_exit 2; expect_err "--set has no place with a dvc.yaml"

# Outputs and objects that are gone or damaged.
rm count.txt; mlops run dvc.yaml; expect_ok; expect_out "2 cached"; expect_file count.txt 2
rm -f "$(object report.txt)"; rm -f report.txt
[ -e "$(object count.txt)" ] || mlops run dvc.yaml
printf 'a\nb\nc\nd\n' > words.txt; mlops run dvc.yaml; expect_ok
o=$(object count.txt); chmod 644 "$o"; echo evil > "$o"; chmod 444 "$o"; rm count.txt
mlops run dvc.yaml; expect_ok; expect_out "count"; expect_file count.txt 4
o=$(object count.txt); expect_equal "$(md5 "$o")" "$(md5 count.txt)"

# A failing stage keeps what was good, and leaves dvc.lock alone; resuming goes on.
cp dvc.lock before.lock
sed -i 's/cmd: wc -l.*/cmd: echo half > count.txt; exit 3/' dvc.yaml
mlops run dvc.yaml; expect_exit 1; expect_file count.txt 4; cmp dvc.lock before.lock || fail "dvc.lock changed"
# As frozen: an edit of the file does not reach a run that is resumed.
cat > dvc.yaml <<'Y'
stages:
  a: {cmd: 'echo a > a.txt', deps: [words.txt], outs: [a.txt]}
  b: {cmd: 'test -e go && cp a.txt b.txt', deps: [a.txt], outs: [b.txt]}
Y
mlops run dvc.yaml; expect_exit 1
cp dvc.yaml saved.yaml; echo 'stages: {other: {cmd: "true"}}' > dvc.yaml; touch go
mlops run --resume latest; expect_ok; expect_file b.txt a
grep -q '^  b:' dvc.lock || fail "b is not in dvc.lock"
mv saved.yaml dvc.yaml; mlops run dvc.yaml; expect_ok; expect_out "2 cached"

# What is put back counts as there for the stages after it, in a plan too; so does what lies in it or around it.
new
cat > dvc.yaml <<'Y'
stages:
  s: {cmd: 'mkdir -p out/d/e && cat in > out/s && cp in out/d/x && cp in out/d/e/y', deps: [in], outs: [out/s, out/d]}
  j: {cmd: 'cat out/s > j', deps: [out/s], outs: [j]}
  x: {cmd: 'cat out/d/x out/d/e/y > x', deps: [out/d/x, out/d/e], outs: [x]}
  all: {cmd: 'cat out/s out/d/x > all', deps: [out], outs: [all]}
Y
echo in > in; mkdir out; echo mine > out/more
mlops plan dvc.yaml; expect_ok; expect_out "run s: it has no earlier result"
expect_out "run j: it has no earlier result"; expect_no_out "missing"; expect_no_out "is new"
mlops run dvc.yaml; expect_ok
for damage in 'rm out/s' 'echo manual > out/s' 'rm -r out/d' 'echo more > out/d/y; rm out/s j'; do
    eval "$damage"
    mlops plan dvc.yaml; expect_ok; expect_out "would run 0 of 4 steps; 4 cached"; expect_out "is put back from DVC's cache"
    mlops plan dvc.yaml --json; planned=$(json '[s["action"] for s in j["steps"]]')
    mlops run dvc.yaml; expect_ok; expect_out "4 cached"; expect_file out/s in; expect_missing out/d/y
    expect_equal "$planned" "['cached', 'cached', 'cached', 'cached']"
done
echo less > out/more; rm out/s
mlops plan dvc.yaml; expect_out "cached s: "; expect_out "cached j: "; expect_out "run all: input out: "
rm -rf .dvc/cache; mlops plan dvc.yaml; expect_out "run s: "; expect_out "maybe j: waits for s"
# A frozen stage's outputs too.
new
echo 'stages: {s: {cmd: cat in > s, deps: [in], outs: [s]}, j: {cmd: cat s > j, deps: [s], outs: [j]}}' > dvc.yaml
echo in > in; mlops run dvc.yaml; expect_ok
sed -i 's/outs: \[s\]/&, frozen: true/' dvc.yaml; rm s
mlops plan dvc.yaml; expect_ok; expect_out "its output s is put back"; expect_out "cached j"
mlops run dvc.yaml; expect_ok; expect_out "2 cached"

# Everything that is wrong at once, with its place.
new
cat > dvc.yaml <<'Y'
stages:
  a:
    cmd: echo ${nothing.here}
    dep: [x]
    outs: [o]
  b:
    cmd: echo
    deps: [missing.txt]
    outs: [o]
  c: {outs: [s3://bucket/x]}
  d: {cmd: x, frozen: maybe, foreach: [1]}
what: 1
Y
mlops validate dvc.yaml; expect_exit 2
for words in "dvc.yaml:3:15:" "there is no value 'nothing.here'" "no key 'dep'" "did you mean 'deps'" "has no cmd" "lies elsewhere" "no key 'what'"; do expect_err "$words"; done
cat > dvc.yaml <<'Y'
stages:
  a: {cmd: x, outs: [o], deps: [missing.txt]}
  b: {cmd: x, outs: [o/p]}
Y
mlops run dvc.yaml; expect_exit 2; expect_err "'o/p' is made here and as part of 'o' by stage 'a'"; expect_err "nothing was run"
echo 'stages: {a: {cmd: x, deps: [b.txt], outs: [a.txt]}, b: {cmd: x, deps: [a.txt], outs: [b.txt]}}' > dvc.yaml
mlops run dvc.yaml; expect_exit 2; expect_err "in a circle"
echo 'stages: {a: {cmd: "true", params: [x, y.z]}}' > dvc.yaml; echo 'x: 1' > params.yaml
mlops run dvc.yaml; expect_exit 1; expect_out "its params y.z are missing from 'params.yaml'"
echo 'stages: {a: {cmd: "true", deps: [params.yaml], outs: [a]}}' > dvc.yaml
printf '<<<<<<< HEAD\nschema: x\n=======\n>>>>>>> other\n' > dvc.lock
mlops run dvc.yaml; expect_exit 2; expect_err "dvc.lock:1:1: error: a merge left both versions in this file"
echo 'schema: [' > dvc.lock; mlops run dvc.yaml; expect_exit 2; expect_err "dvc.lock"
printf "schema: '2.0'\nstages:\n  a: 5\n" > dvc.lock; mlops run dvc.yaml; expect_exit 2; expect_err "is no entry of a dvc.lock"
printf "schema: '3.0'\nstages:\n  a: {how: new}\n" > dvc.lock; cp dvc.lock before.lock
mlops run dvc.yaml; expect_exit 2; expect_err "dvc.lock:1:9: error: the schema of this dvc.lock is '3.0', and only '2.0' is known"
expect_err "a newer DVC"; cmp dvc.lock before.lock || fail "dvc.lock changed"
rm dvc.lock; printf '*.log\n!keep.log\nbuild/\n' > .dvcignore
echo 'stages: {a: {cmd: "echo > x.log; echo > keep.log", outs: [x.log, keep.log]}, b: {cmd: "mkdir build", outs: [build]}}' > dvc.yaml
mlops run dvc.yaml; expect_exit 2; expect_err "'x.log' is made here, and .dvcignore leaves it out"
expect_err "'build' is made here, and .dvcignore"; [[ "$err" != *"keep.log' is"* ]] || fail "keep.log is refused"; expect_missing x.log
rm .dvcignore; rm -r .dvc; mlops run dvc.yaml; expect_exit 2; expect_err "does not lie in a DVC project"

# Frozen: it never runs, and that is said; a dep that dvc.lock does not know has to be there.
new
echo 'stages: {fr: {cmd: cat in > o, deps: [in], outs: [o], frozen: true}}' > dvc.yaml; echo o > o
mlops run dvc.yaml; expect_exit 1; expect_out "it is frozen and not in dvc.lock yet, and '$PWD/in'"; expect_missing dvc.lock
echo i > in; mlops run dvc.yaml; expect_ok; echo new > in
mlops plan dvc.yaml; expect_ok; expect_out "cached fr: it is frozen: it never runs, whatever has changed"
mlops run dvc.yaml --force fr; expect_ok; expect_err "--force does not reach fr, which is frozen"; expect_out "1 cached"; expect_file o o
mlops why fr; expect_ok; expect_out "it is frozen"
cp dvc.yaml other.yaml
mlops validate other.yaml; expect_exit 2; expect_err "it is called 'steps' here; a file of DVC has to be called dvc.yaml"

# Integers of any size are kept as they are.
new
echo '{"big": 123456789012345678901234, "least": -9223372036854775809}' > p.json
echo 'stages: {a: {cmd: "echo ${big} > o", params: [p.json: []], outs: [o]}}' > dvc.yaml; sed -i '1s/^/vars: [p.json]\n/' dvc.yaml
mlops run dvc.yaml; expect_ok; expect_file o 123456789012345678901234
grep -q 'big: 123456789012345678901234' dvc.lock && grep -q 'least: -9223372036854775809' dvc.lock || fail "$(cat dvc.lock)"
mlops run dvc.yaml; expect_ok; expect_out "1 cached"

echo '{"big": 1e400}' > p.json; mlops run dvc.yaml; expect_exit 2; expect_err "p.json: error: number overflow parsing '1e400'"

# What persists and is a link to DVC's cache is a file of its own before a step of ours writes to it; other links stay.
for type in symlink hardlink; do
    new
    printf '[cache]\n    type = %s\n' $type > .dvc/config; echo 1 > in; echo far > far; mkdir d; ln -s ../far d/link
    echo 'stages: {a: {cmd: "cat in >> log; cat in >> d/f", deps: [in], outs: [{log: {persist: true}}]}}' > dvc.yaml
    mlops run dvc.yaml; expect_ok
    mlops import dvc; expect_ok; o=$(object log); echo 2 > in
    sed -i 's/^    - path: log/    - {path: d, persist: true}\n&/' pipeline.yaml
    rm d/f; ln $([ $type = hardlink ] || echo -s) "$PWD/$o" d/f
    mlops run pipeline.yaml; expect_ok
    expect_file log "$(printf '1\n2')"; expect_file d/f "$(printf '1\n2')"; expect_file "$o" 1; expect_equal "$(readlink d/link)" ../far
done

# Names with slashes, several commands, one shell a line, the user's shell.
new
cat > dvc.yaml <<'Y'
stages:
  each:
    foreach: [in/a.txt, in/b.txt]
    do:
      cmd: |
        cd in
        export X=1
        echo "${item} $X$DVC_STAGE" > ${item}.out
      deps: [in]
      outs: ["${item}.out"]
  gather: {cmd: 'cat in/*.out > all.txt', deps: [in/a.txt.out, in/b.txt.out], outs: [all.txt]}
Y
sed -i 's/deps: \[in\]/deps: ["${item}"]/' dvc.yaml
mkdir in; echo a > in/a.txt; echo b > in/b.txt
mlops run dvc.yaml; expect_ok; expect_file all.txt "$(printf 'in/a.txt each@in/a.txt\nin/b.txt each@in/b.txt')"
mlops logs latest each@in/a.txt; expect_ok
mlops run dvc.yaml --force each@in/a.txt; expect_ok; expect_out "1 succeeded, 2 cached"

# DVCLive's histories are metrics.
new
cat > live.py <<'P'
import json, os
os.makedirs("dvclive/plots/metrics/train", exist_ok=True)
open("dvclive/plots/metrics/train/loss.tsv", "w").write("step\tloss\n0\t2.5\n1\t1.5\n")
open("dvclive/plots/metrics/acc.tsv", "w").write("timestamp\tstep\tacc\n1700000000000\t0\t0.5\n1700000000100\t1\t0.75\n")
json.dump({"train": {"loss": 1.5}, "acc": 0.75, "best": 0.8, "step": 1}, open("dvclive/metrics.json", "w"), indent=4)
P
cat > dvc.yaml <<'Y'
stages:
  train:
    cmd: python3 live.py
    deps: [live.py]
    metrics: [{dvclive/metrics.json: {cache: false}}]
    plots: [{dvclive/plots/metrics: {cache: false, x: step}}]
Y
mlops run dvc.yaml; expect_ok
expect_equal "$(sql "SELECT name, at, value FROM v_metric_history ORDER BY name, at" | tr '\n' ' ')" "acc,0,0.5 acc,1,0.75 best,0,0.8 train.loss,0,2.5 train.loss,1,1.5 "

# Metrics in the other formats of DVC.
new
echo 'stages: {m: {cmd: "echo acc = 0.5 > m.toml; echo loss = 2 > m.py; echo f1: 0.25 > scores", metrics: [m.toml, m.py, scores]}}' > dvc.yaml
mlops run dvc.yaml; expect_ok; expect_no_out "not valid"
expect_equal "$(sql "SELECT name, value FROM v_metric_history ORDER BY name" | tr '\n' ' ')" "acc,0.5 f1,0.25 loss,2.0 "

# A pipeline of mlops' own from it: values that commands and paths name are params.
new
cat > params.yaml <<'Y'
n: 3
who: you and me
lr: 1.0e-05
train: {epochs: 4, fast: true, sizes: [1, 2], opt: adam}
Y
cat > dvc.yaml <<'Y'
vars: [{out: model, none: null}]
stages:
  train:
    cmd: 'echo --n ${n} --lr ${lr} "epochs ${train.epochs}" ${who} $${n} ${none} ${train} > ${out}-${n}.txt; mkdir -p live; echo "{\"a\": ${n}}" > live/metrics.json'
    outs: ["${out}-${n}.txt", live]
  use:
    foreach: [1, 2]
    do: {cmd: 'cat ${out}-${n}.txt > u${item}', deps: ["${out}-${n}.txt"], params: [n], outs: ["u${item}"]}
metrics: [live/metrics.json, other.json]
plots: [live/plot.csv]
Y
mlops run dvc.yaml; expect_ok; cp model-3.txt of-dvc.txt
mlops run dvc.yaml --set n=4; expect_exit 2; expect_err "params, which --set changes"
mlops import dvc; expect_ok; expect_out "change them in this file or with --set"; expect_out "'other.json' of the top-level metrics is not read"
expect_out "top-level plots have no equivalent: live/plot.csv"; expect_out "filled in for good, as no reference can stand there: n, none, train.fast, train.sizes, who"
grep -q 'metrics:' pipeline.yaml || fail "no metrics in $(cat pipeline.yaml)"
! grep -q '^  who:' pipeline.yaml || fail "a param that nothing names"
mlops validate pipeline.yaml; expect_ok
mlops plan pipeline.yaml; expect_ok; expect_out "run train: it last ran as a stage of DVC"; expect_no_out DVC_ROOT; expect_no_out md5:
mlops run pipeline.yaml; expect_ok; cmp model-3.txt of-dvc.txt || fail "$(cat of-dvc.txt) became $(cat model-3.txt)"
expect_equal "$(sql "SELECT m.value FROM v_metric_history m WHERE m.name = 'a' AND m.run_id = (SELECT max(id) FROM runs)")" 3.0
mlops run pipeline.yaml --set n=5 --set train.epochs=9 --set out=other; expect_ok
expect_file u1 '--n 5 --lr 1e-05 epochs 9 you and me None --epochs 9 --fast --sizes 1 2 --opt adam'
new
mkdir sub && cat > sub/dvc.yaml <<'Y'
vars: [{who: you}]
stages:
  hello:
    foreach: [a, b]
    do:
      cmd: ['cd /', 'echo ${who} \${HOME} > /dev/null', 'echo ${item} > ${item}.txt']
      deps: [../in.txt]
      outs: [{"${item}.txt": {cache: false}}]
  score:
    cmd: 'cat a.txt b.txt > c.txt; echo "{\"n\": 1}" > m.json'
    wdir: .
    deps: [a.txt, b.txt]
    outs: [c.txt]
    metrics: [m.json]
    always_changed: true
Y
echo in > in.txt
mlops import dvc sub; expect_ok; expect_out "sub/pipeline.yaml: 3 steps"
mlops validate sub/pipeline.yaml; expect_ok
mlops run sub/pipeline.yaml; expect_ok; expect_file sub/c.txt "$(printf 'a\nb')"
mlops import dvc sub; expect_exit 2; expect_err "it exists"
mlops import dvc sub -o - --json; expect_ok; expect_equal "$(json 'j["steps"]')" 3
mlops import dvc nowhere; expect_exit 2

# Without DVC: data that is nowhere, a dvc.yaml without stages, and a list of DVC's that nobody can read.
new
printf 'outs:\n- {md5: %s, size: 3, hash: md5, path: in}\n' "$(printf 'in\n' | md5sum | cut -d' ' -f1)" > in.dvc
echo 'stages: {s: {cmd: cat in > s, deps: [in], outs: [s]}}' > dvc.yaml
mlops run dvc.yaml; expect_exit 2; expect_err "dvc.yaml:1:38: error: 'in' is not there: in.dvc tracks it, and it is not in DVC's cache"
expect_err "dvc pull in.dvc"
echo in > in; mlops run dvc.yaml; expect_ok; expect_out "in, which in.dvc tracks, was not in DVC's cache"
mkdir all; touch all/dvc.yaml; rm s
mlops run all/dvc.yaml; expect_ok; expect_out "1 cached"; expect_file s in
echo '{' > .dvc/tmp/rwlock; echo more >> in; cp in.dvc before
mlops run dvc.yaml; expect_exit 1; expect_out "cannot read '$PWD/.dvc/tmp/rwlock'"; expect_out "if no dvc command runs, remove it"
cmp in.dvc before || fail "in.dvc was changed"
rm .dvc/tmp/rwlock; mlops run dvc.yaml; expect_ok; expect_out "in.dvc is brought up to date: its data has changed (3 → 8 bytes)"
# A run that waits for DVC can be ended.
printf '{"write": {"%s/s": {"pid": 1, "cmd": "dvc repro"}}}' "$PWD" > .dvc/tmp/rwlock; echo most >> in
"$MLOPS" run dvc.yaml > waits.out 2>&1 & running=$!
wait_for 20 grep -q "s waits for \`dvc repro\` (PID 1), which writes 's'" waits.out
kill -TERM "$running"; wait "$running"; expect_equal $? 143

# Names of stages are no paths: with slashes they have logs and traces, in the run's directory.
new; mkdir "$here/out"
printf 'stages:\n  a/b: {cmd: cat hidden}\n  ../../../../../out/x: {cmd: cat hidden}\n' > dvc.yaml; echo 1 > hidden
mlops run dvc.yaml --trace-reads; expect_ok; expect_out "a/b: it read 1 file that it does not declare: hidden"
expect_out "out/x: it read 1 file"; expect_equal "$(ls "$here/out")" ""
