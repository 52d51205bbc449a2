# Every kind of change has its words, before the run (`plan`) and after it (`why`), in text and in JSON.
. "$(dirname "$0")/common.sh"
mkdir data lib bulk
cat > p.yaml <<'Y'
name: w
params: {lr: 0.1, train: {epochs: 3, size: 1}, unused: 1}
env: {MODE: fast}
steps:
  fetch: {kind: ingest, run: 'cat seed > raw.txt', outputs: raw.txt}
  clean: {run: 'grep -v "^#" raw.txt > clean.txt', inputs: raw.txt, outputs: clean.txt}
  train:
    run: |
      echo start
      cat clean.txt data/* bulk/* > model.txt; echo lr ${params.lr} >> model.txt
    inputs: [clean.txt, data, bulk]
    code: [train.py, lib]
    params: [train]
    outputs: [model.txt]
  ship: {kind: deploy, run: 'cp model.txt live.txt', inputs: model.txt, outputs: live.txt}
  fresh: {run: 'cat clean.txt > fresh.txt', inputs: clean.txt, outputs: fresh.txt, cache: false}
  maybe: {run: 'cat clean.txt > maybe.txt', inputs: clean.txt, outputs: maybe.txt, when: params.unused > 5}
  after: {run: 'cat maybe.txt > after.txt', inputs: maybe.txt, outputs: after.txt}
  tidy: {run: 'echo tidy', always: true, needs: train}
Y
echo '1 2' > seed; echo a > data/a.csv; echo b > data/b.csv; echo 'print()' > train.py; echo 'x = 1' > lib/m.py
for i in $(seq 20); do echo $i > bulk/$i; done

because() {   # because STEP WORDS: why the step ran, or did not, in the newest run
    mlops why "$1"; expect_ok; expect_out "$2"
    mlops why "$1" --json; expect_ok
    [[ "$(json '"\n".join(j["steps"][0]["words"])')" == *"$2"* ]] || fail "the JSON does not say: $2"
}
again() { mlops run p.yaml -q "$@"; expect_ok; }
ran() { sql "select state from v_steps where name = '$1' and run_id = (select max(id) from runs)"; }
# changed STEP WORDS [OPTION…]: the plan and `why` say so, and the next run has nothing to do.
changed() {
    local step=$1 words=$2; shift 2
    mlops plan p.yaml "$@"; expect_ok
    [[ $(grep "^run $step" <<< "$out") == *"$words"* ]] || fail "the plan does not say of $step: $words"
    again "$@"; expect_equal "$(ran "$step")" succeeded; because "$step" "$words"
    again "$@"; expect_equal "$(ran "$step")" cached
    because "$step" "nothing has changed since run"
}

# 1 first run; 2 no inputs declared; 3 kind deploy; 4 cache: false; 5 when is false; 6 what waits for that; 7 clean-up
again
because train "it has no earlier result"
because fetch "always, as it declares no inputs"
because ship "always, as it deploys"
because fresh "always, as it says cache: false"
because maybe "params.unused > 5"
because after "maybe"
because tidy "always"
# 8 nothing
again; because train "nothing has changed since run"
# 9–11 params: another value, new, gone
changed train "param train.epochs: 3 → 4" --set train.epochs=4
changed train "param train.deep is new (true)" --set +train.deep=true
sed -i 's/, size: 1}/}/' p.yaml; changed train "param train.size is gone (it was 1)"
# 12 the command: through a param, and by itself, with its line
changed train "command, line 2: lr 0.1 → lr 0.2" --set lr=0.2
sed -i 's/echo start/echo begin/' p.yaml; changed train "command, line 1: echo start → echo begin"
sed -i 's/      echo begin/      echo begin\n      echo more/' p.yaml; changed train "command, line 2: "
# 13 the environment
sed -i 's/MODE: fast/MODE: slow/' p.yaml; changed train "env MODE: fast → slow"
# 14–17 files of a folder, by name: changed, new, gone, executable
echo a2 > data/a.csv; changed train "input data/a.csv: "
because train "nothing"
echo c > data/c.csv; changed train "input data/c.csv is new ("
rm data/b.csv; changed train "input data/b.csv is gone (it was "
chmod +x data/c.csv; changed train " executable"
echo 'x = 2' > lib/m.py; changed train "code lib/m.py: "
for i in $(seq 12); do echo x$i > bulk/$i; done
mlops plan p.yaml; expect_out "input bulk/1: "; expect_out "and 7 more files of bulk"
changed train "and 7 more files of bulk"
# 18 a file of the code; its executable bit; an input that is new in the file, and one that is gone
echo '# v2' >> train.py; changed train "code train.py: "
chmod +x train.py; changed train " executable"
echo e > extra; sed -i 's/\[clean.txt, data, bulk\]/[clean.txt, data, bulk, extra]/' p.yaml
changed train "input extra is new ("
sed -i 's/, bulk, extra\]/, bulk]/' p.yaml; again; because train "nothing has changed since run"   # as it was before
# 19 a step before it made something else, or ran and made the same
printf '1 2\n#\n' > seed; again; expect_equal "$(ran clean)" succeeded; because clean "input raw.txt: "
because clean "made by fetch"; expect_equal "$(ran train)" cached
echo '3 4' > seed; again; because train "input clean.txt: "; because train "made by clean"
# 20 outputs: gone and kept, tampered with, gone and not kept
rm model.txt; again; expect_equal "$(ran train)" cached; because train "model.txt is put back from the store"
echo tampered > model.txt; again; because train "model.txt is put back from the store"
rm -r model.txt .mlops/store/objects .mlops/store/packs .mlops/store/index.db*; again
expect_equal "$(ran train)" succeeded; because train "its output model.txt as it was made is neither in place nor in the store"
# 21 asked for
again --force train; because train "forced by --force"
again --no-cache; because train "forced by --no-cache"
# 22 left out by the selection
again --only train; because clean "not in --only"
# 23 another name, other outputs, another order, another folder
sed -i 's/^  clean: /  tidied: /' p.yaml; again; expect_equal "$(ran tidied)" cached; because tidied "there it is called clean"
sed -i 's/outputs: \[model.txt\]/outputs: [model.txt, log.txt]/; s/echo begin/echo begin > log.txt/' p.yaml
again; because train "output log.txt is new (declared)"
sed -i 's/\[clean.txt, data, bulk\]/[data, clean.txt, bulk]/' p.yaml; changed train "declared in another order"
cat > q.yaml <<'Y'
name: q
steps:
  a: {run: 'cat "$PWD"/x > y', inputs: x, outputs: y}
Y
mkdir sub; echo 1 > x; echo 1 > sub/x
mlops run q.yaml -q; expect_ok
sed -i 's/outputs: y/outputs: y, workdir: sub/' q.yaml; mlops run q.yaml -q; expect_ok
because a "workdir is new (sub)"
# 24 results that were made, but not kept
echo 2 > sub/x; mlops run q.yaml -q --no-cache; expect_ok
mlops run q.yaml -q; expect_ok; because a "were not kept"
# A change that was undone is told against the run before, also if that one was cached.
echo 3 > sub/x; mlops run q.yaml -q; echo 2 > sub/x; mlops run q.yaml -q; echo 4 > sub/x
was=$(printf '2\n' | sha256sum | cut -c1-12)
mlops run q.yaml -q; because a "input sub/x: $was → "

# A value of `env:` that changed is told by diff, too; files of `code:` are code.
printf 'name: e\nenv: {E: "${env.EE}"}\nsteps: {a: {run: "echo $E > ea", inputs: p.yaml, code: q.yaml, outputs: ea}}\n' > e.yaml
EE=one mlops run e.yaml -q; expect_ok; EE=two mlops run e.yaml -q; expect_ok
mlops diff "$("$MLOPS" runs --ids --limit 2 | tail -n 1)" latest --json; expect_ok
expect_equal "$(json '[r for r in j["environment"] if r["name"] == "a E"][0]["after"]')" two

# What a deleted run had made is found as long as it is needed, however many runs did not need it.
cat > two.yaml <<'Y'
name: two
steps:
  a: {run: 'cp source a.out; echo n=7 >> $MLOPS_OUTPUT', inputs: source, outputs: a.out}
  b: {run: 'echo ${steps.a.outputs.n} > b.out', outputs: b.out, cache: false}
Y
echo hi > source; mlops run two.yaml -q; made=$("$MLOPS" runs --ids --limit 1); mlops run two.yaml -q; mlops rm "$made"; expect_ok
for _ in $(seq 120); do "$MLOPS" run two.yaml --only b -q > run.out || fail "the value of a step whose maker was deleted: $(cat run.out)"; done
echo other > source; mlops plan two.yaml; expect_out "run a: input source"

# An output that was not made: who was to make it, and why that did not come about.
mkdir -p broken/sub
cat > broken/p.yaml <<'Y'
name: broken
steps:
  a: {run: exit 3, outputs: a.txt}
  b: {run: 'cat a.txt > sub/b.txt', inputs: a.txt, outputs: sub, metrics: m.json}
Y
mlops run broken/p.yaml -q; expect_exit 1
mlops why broken/a.txt; expect_ok; expect_out "a ran in run"; expect_out "exit code 3"
for file in broken/sub broken/sub/b.txt broken/m.json "$PWD/broken/sub"; do
    mlops why "$file"; expect_ok; expect_out "b did not run in run"; expect_no_out "(not_run)"; expect_out "needs a, which failed"
done
cd broken/sub; mlops why b.txt --json; expect_ok; cd ../..
expect_equal "$(json '[s["name"] + " " + s["reason"] for s in j["steps"]]')" "['b needs a, which failed']"
mlops run broken/p.yaml -q --only a; mlops why broken/m.json; expect_ok; expect_out "not in --only"
mlops why broken/other; expect_exit 2; expect_err "no step or output"

# Bad questions.
mlops why nothing; expect_exit 2; expect_err "no step or output 'nothing'"
mlops why train nosuchrun; expect_exit 2
