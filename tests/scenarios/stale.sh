# What must never be taken for a result that is there already.
. "$(dirname "$0")/common.sh"
mkdir w; cd w || exit 1

# --- An input that changes while its step runs: nobody knows which of the two it has read
printf 'name: mid\nsteps: {a: {run: "until [ -e go ]; do sleep 0.02; done; cat in.txt > out.txt", inputs: in.txt, outputs: out.txt}}\n' > mid.yaml
echo old > in.txt
"$MLOPS" run mid.yaml > mid.out 2>&1 & running=$!
wait_for 20 bash -c '"$MLOPS" status --json | grep -q "\"a\""'
echo new > in.txt; touch go; wait "$running" || fail "the run failed: $(cat mid.out)"
grep -q "in.txt changed while it ran" mid.out || fail "nothing was said of it: $(cat mid.out)"
echo old > in.txt
mlops run mid.yaml; expect_ok; expect_no_out "1 cached"; expect_file out.txt old
mlops run mid.yaml; expect_ok; expect_out "1 cached"

# --- Two runs that make the same file take turns
printf 'name: both\nparams: {p: 1}\nsteps: {a: {run: "echo ${params.p} > both.txt; sleep 0.5; cat both.txt > seen.${params.p}", params: p, inputs: both.yaml, outputs: [both.txt]}}\n' > both.yaml
"$MLOPS" run both.yaml --set p=1 > one 2>&1 & first=$!
wait_for 20 test -s both.txt
mlops run both.yaml --set p=2; expect_ok; expect_out "waits for run"; expect_out "which makes 'both.txt' as well"
wait "$first" || fail "the first run failed: $(cat one)"
expect_file seen.1 1; expect_file seen.2 2
mlops run both.yaml --set p=1; expect_ok; expect_out "1 cached"; expect_file both.txt 1
# A run within a step belongs to it; a runner that was killed is waited for as long as its step goes on
printf 'name: outer\nsteps: {a: {run: ["sh", "-c", "$MLOPS run inner.yaml -q"], inputs: outer.yaml, outputs: [made.txt]}}\n' > outer.yaml
printf 'name: inner\nsteps: {b: {run: echo x > made.txt, inputs: inner.yaml, outputs: made.txt}}\n' > inner.yaml
export MLOPS
mlops run outer.yaml; expect_ok; expect_file made.txt x
printf 'name: slow\nsteps: {a: {run: "echo begun > slow.txt; sleep 1; echo done > slow.txt", inputs: slow.yaml, outputs: slow.txt}}\n' > slow.yaml
"$MLOPS" run slow.yaml > slow.out 2>&1 & runner=$!
wait_for 20 test -s slow.txt
kill -9 "$runner"; wait "$runner" 2> /dev/null
printf 'name: other\nsteps: {a: {run: cat slow.txt > kept; echo mine > slow.txt, inputs: other.yaml, outputs: slow.txt, cache: false}}\n' > other.yaml
sed -i 's/outputs: slow.txt/outputs: [{path: slow.txt, persist: true}]/' other.yaml
mlops run other.yaml; expect_ok; expect_out "waits for run"; expect_file kept "done"
expect_equal "$(find .mlops/claims -type f ! -name lock | wc -l)" 0

# --- What a step finds in its environment besides: its item, and whether it has the caller's environment
cat > each.yaml <<'Y'
name: each
steps:
  a:
    foreach: [{name: a, lr: 1}]
    run: echo "$MLOPS_MATRIX" > out-${item.name}.txt
    inputs: in.txt
    outputs: out-${item.name}.txt
Y
mlops run each.yaml; expect_ok
sed -i 's/lr: 1/lr: 2/' each.yaml
mlops run each.yaml; expect_ok; expect_no_out "1 cached"; grep -q '"lr":2' out-a.txt || fail "the old item is still there"
mlops why a; expect_ok; expect_out "env MLOPS_MATRIX"
printf 'name: bare\nsteps: {a: {run: "env | sort > env.txt", inputs: in.txt, outputs: env.txt}}\n' > bare.yaml
CALLER=here mlops run bare.yaml; expect_ok
printf 'name: bare\nenv: {inherit: false}\nsteps: {a: {run: "env | sort > env.txt", inputs: in.txt, outputs: env.txt}}\n' > bare.yaml
mlops run bare.yaml; expect_ok; expect_no_out "1 cached"; grep -q CALLER env.txt && fail "the environment is inherited"

# --- What grows from run to run and was added to by hand is gone on with
printf 'name: grow\nsteps: {a: {run: cat in.txt >> op.db, inputs: in.txt, outputs: [{path: op.db, persist: true}]}}\n' > grow.yaml
mlops run grow.yaml; expect_ok; mlops run grow.yaml; expect_out "1 cached"
echo hand >> op.db
mlops plan grow.yaml; expect_out "op.db was changed since"
mlops run grow.yaml; expect_ok; expect_no_out "1 cached"; expect_file op.db "$(printf 'old\nhand\nold')"

# --- A plan knows that what is missing would be put back before the next step looks at it
printf 'name: words\nsteps:\n  clean: {run: cp in.txt clean.txt, inputs: in.txt, outputs: clean.txt}\n  count: {run: wc -l < clean.txt > count.txt, inputs: clean.txt, outputs: count.txt}\n' > words.yaml
mlops run words.yaml; expect_ok
rm clean.txt
mlops plan words.yaml; expect_ok; expect_out "2 cached"; expect_no_out "run count"
mlops run words.yaml; expect_ok; expect_out "2 cached"; expect_exists clean.txt

# --- A copy is not where a file comes from
printf 'name: copies\nsteps:\n  backup: {run: cp raw.csv backup.csv, inputs: raw.csv, outputs: backup.csv}\n  train: {run: sha256sum raw.csv > model.txt, inputs: raw.csv, outputs: model.txt}\n' > copies.yaml
echo 1,2,3 > raw.csv
mlops run copies.yaml; expect_ok
mlops lineage model.txt --up; expect_ok; expect_out raw.csv; expect_no_out backup
mlops lineage backup.csv --down; expect_ok; expect_no_out train

# --- Names of files do not write to the terminal
mkdir odd; echo x > "odd/$(printf 'a\033[31mb\nc')"
printf 'name: odd\nsteps: {a: {run: ls odd | wc -l > odd.txt, inputs: odd, outputs: odd.txt}}\n' > odd.yaml
mlops run odd.yaml; expect_ok
echo y > "odd/$(printf 'a\033[31mb\nc')"
mlops plan odd.yaml; expect_ok
printf '%s' "$out" | grep -q "$(printf '\033')" && fail "a file's name reached the terminal as it is"
expect_out 'odd/a\x1b[31mb\nc'
