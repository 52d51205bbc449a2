# Where a file comes from and what became of it, through runs and pipelines.
. "$(dirname "$0")/common.sh"
mkdir data
cat > prep.yaml <<'Y'
name: prep
params: {keep: 3}
steps:
  fetch: {kind: ingest, run: 'cp source.csv data/raw.csv', outputs: data/raw.csv}
  clean:
    run: head -n ${params.keep} data/raw.csv > data/clean.csv
    inputs: data/raw.csv
    code: clean.py
    params: [keep]
    outputs: data/clean.csv
Y
cat > train.yaml <<'Y'
name: model
params: {lr: 0.1, seed: 7}
steps:
  train:
    run: 'cat data/clean.csv config.json > model.bin; echo ${params.lr} >> model.bin; mkdir -p parts; cp model.bin parts/a; echo > parts/b'
    inputs: [data/clean.csv, config.json]
    outputs: [{path: model.bin, kind: model}, parts]
  report: {run: 'wc model.bin > report.txt', inputs: model.bin, outputs: report.txt}
Y
seq 10 > source.csv; echo '# clean' > clean.py; echo '{}' > config.json
git init -q . 2> /dev/null && git -c user.name=t -c user.email=t@t add -A && git -c user.name=t -c user.email=t@t commit -qm one
commit=$(git rev-parse --short=12 HEAD 2> /dev/null)
mlops run prep.yaml -q; expect_ok; prep=$(sql "select max(id) from runs")
mlops run train.yaml -q; expect_ok; first=$(sql "select max(id) from runs")
mlops run train.yaml -q --set lr=0.2; expect_ok; second=$(sql "select max(id) from runs")
mlops run train.yaml -q; expect_ok     # cached: taken from the first

# Up, over both pipelines, down to what nobody made, with params and commit.
mlops lineage model.bin --up; expect_ok
expect_out "└ train  run $first of model, "; expect_out "taken over by 1 run"
expect_out "params lr=0.1, seed=7"; expect_out "params keep=3"
[ -z "$commit" ] || expect_out "git $commit"
expect_out "clean  run $prep of prep"; expect_out "fetch  run $prep"; expect_out "clean.py  "; expect_out "config.json  "
expect_no_out "$second"
widest=$(python3 -c 'print(max(map(len, open(".out", encoding="utf-8").read().splitlines())))'); [ "$widest" -le 90 ] || fail "$widest columns wide"
# Down.
mlops lineage data/raw.csv --down; expect_ok
expect_out "made of data/raw.csv"; expect_out "clean  run $prep"; expect_out "train  run $second"; expect_out "report.txt"
mlops lineage config.json; expect_ok; expect_out "no step made it"; expect_out "train  run $first"
# By digest, by run, by what a file held last, by a file in a folder.
digest=$(sha256sum report.txt | cut -c1-16)
mlops lineage "$digest" --up; expect_ok; expect_out "report.txt  ${digest:0:12}"; expect_out "fetch  run $prep"
mlops lineage "$second" --up --json; expect_ok
expect_equal "$(json 'sorted(s["step"] for s in j["steps"] if s["run"] == "'"$second"'")')" "['report', 'train']"
expect_equal "$(json 'sorted(f["path"] for f in j["files"] if f["made_by"] is None)')" "['clean.py', 'config.json']"
mlops lineage latest --up; expect_ok; expect_out "train  run $first"
mlops lineage parts/b; expect_ok; expect_out "lies in the folder 'parts', which is recorded as a whole"
echo changed >> model.bin; mlops lineage model.bin; expect_ok; expect_out "no run made or read what 'model.bin' holds now"
rm model.bin; mlops lineage model.bin; expect_ok; expect_out "'model.bin' is not there now"; expect_out "train  run $second"
# For programs.
mlops lineage report.txt --dot; expect_ok; expect_out "digraph lineage {"; expect_out " -> "
mlops lineage report.txt --mermaid; expect_ok; expect_out "flowchart LR"; expect_out " --> "
mlops lineage report.txt --up --depth 1; expect_ok; expect_out "…"; expect_out "there is more"; expect_no_out "fetch"
mlops lineage report.txt --dot --json; expect_exit 2

# A content in two places, an empty file that many have, a file that a run updates: no wrong kin, no end without end.
cat > odd.yaml <<'Y'
name: odd
params: {n: 1}
steps:
  copy: {run: 'cp data/clean.csv copy.csv; : > empty1', inputs: data/clean.csv, outputs: [copy.csv, empty1]}
  other: {run: ': > empty2; cat empty0', inputs: empty0, outputs: empty2}
  grow: {run: 'echo ${params.n} >> state', inputs: clean.py, outputs: [{path: state, persist: true}]}
Y
: > empty0; mlops run odd.yaml -q; expect_ok
for n in 2 3 4; do mlops run odd.yaml -q --set n=$n; expect_ok; done
mlops lineage copy.csv --up; expect_ok; expect_out "copy  run"; expect_out "clean  run $prep"
mlops lineage empty2 --up; expect_ok; expect_out "other  run"; expect_no_out "copy  run"
mlops lineage empty1 --down; expect_ok; expect_no_out "other  run"

# What was read without being declared is part of it where reads were traced.
printf 'name: h\nsteps: {a: {run: "cat hidden.txt > h.out", outputs: h.out}}\n' > h.yaml; echo h > hidden.txt
mlops run h.yaml --trace-reads -q; expect_ok
if [ -z "$(sql "select 1 from step_traces where problem <> ''")" ]; then
    mlops lineage h.out --up; expect_ok; expect_out "hidden.txt"; expect_out "not declared"
    mlops lineage hidden.txt --down; expect_ok; expect_out "a  run"
fi

# A deleted run takes its edges with it, and its results to its heir.
mlops rm "$first"; expect_ok; git checkout -q . 2> /dev/null
mlops run train.yaml -q; expect_ok; mlops lineage model.bin --up; expect_ok; expect_out "train  run"; expect_no_out "run $first"

mlops lineage nosuch.file; expect_exit 2; expect_err "there is no file, run or recorded digest 'nosuch.file'"
mlops lineage train.yaml; expect_exit 2; expect_err "no run is known to have made or read 'train.yaml'"
mlops lineage 00000000; expect_exit 2
mlops lineage ''; expect_exit 2; expect_err "nothing was named"
mlops lineage .; expect_exit 2
mlops lineage; expect_exit 2

# A copy is no reader of itself, nor is who made it from the original.
printf 'name: cp\nsteps:\n  copy: {run: "cp original.txt second.txt", inputs: original.txt, outputs: second.txt}\n  use: {run: "wc second.txt > used.txt", inputs: second.txt, outputs: used.txt}\n' > cp.yaml
seq 100 > original.txt; mlops run cp.yaml -q; expect_ok
mlops lineage second.txt --down; expect_ok; expect_out "use  run"; expect_no_out "copy  run"
mlops lineage original.txt --down; expect_ok; expect_out "copy  run"; expect_out "use  run"
