# A run of many steps that found nothing to do is repeated without asking step by step, and only then.
. "$(dirname "$0")/common.sh"
python3 - > p.yaml <<'PY'
print("name: many\nparams: {lr: 1}\nenv: {MODE: '${env.MODE:-plain}'}\nsteps:")
for i in range(60):
    before = "source" if i % 20 == 0 else f"out/m{i - 1}"
    after = f"cp {before} out/m{i}; echo s{i} >> {{log}}"
    more = ""
    if i == 30:
        after += "; echo n=$(wc -c < out/m30) >> $MLOPS_OUTPUT; echo ${params.lr} > /dev/null"
        more = ", params: lr"
    if i == 31:
        after += "; echo ${steps.s30.outputs.n} > size"
        more = ", metrics: []"
    print(f"  s{i}: {{run: '{after}', inputs: {before}, outputs: out/m{i}{more}}}".replace("{log}", "$LOG"))
PY
export LOG=$here/log
mkdir out; echo hello > source; : > log
ran() { wc -l < log | tr -d ' '; : > log; }
rows() { sql "select step, name, kind, command, state, reason, attempts, coalesce(started_at,''), cache_key, because, source_run, source_step from steps where run_id = (select max(id) from runs) order by step"; }
# ordinary: the next run looks at its steps; repeated: it need not.
repeated() { mlops -v run p.yaml -q "$@"; expect_ok; expect_err "nothing has changed since run"; expect_equal "$(ran)" 0; }
ordinary() { mlops -v run p.yaml -q "$@"; expect_ok; [[ "$err" != *"nothing has changed since run"* ]] || fail "repeated: $*"; }
settle() { mlops run p.yaml -q; expect_ok; mlops run p.yaml -q; expect_ok; ran > /dev/null; repeated; }

ordinary; expect_equal "$(ran)" 60
first=$(sql "select max(id) from runs")
ordinary; expect_equal "$(ran)" 0
before=$(rows)
repeated
expect_equal "$(rows)" "$before"
expect_equal "$(sql "select count(*) from v_runs where state = 'succeeded' and steps = 60")" 3
mlops run p.yaml; expect_out "= s59 cached"; expect_out "60 cached"
mlops run p.yaml --json; expect_ok; expect_equal "$(json 'j["state"], len(j["steps"])')" "('succeeded', 60)"
mlops show --json; expect_equal "$(json 'j["pipeline"], len(j["steps"])')" "('many', 60)"
mlops why s7; expect_ok; expect_out "nothing has changed since run $first"
mlops lineage out/m19; expect_ok; expect_out "source"
mlops diff "$first" latest; expect_ok
mlops logs latest s3; expect_ok
mlops reproduce latest; expect_ok; ran > /dev/null
mlops doctor; expect_ok

# All that a step depends on is noticed, and what is not as it was is made so again.
touch -r source stamp; echo jello > source; touch -r stamp source
ordinary; expect_equal "$(ran)" 60; expect_file out/m59 jello; settle
rm out/m40; ordinary; expect_equal "$(ran)" 0; expect_file out/m40 jello; settle
echo edited > out/m10; ordinary; expect_equal "$(ran)" 0; expect_file out/m10 jello; settle
chmod +x source; ordinary; [ "$(ran)" -ge 3 ] || fail "an executable input"; chmod -x source; settle
MODE=other ordinary; expect_equal "$(ran)" 60; settle
ordinary --set lr=2; [ "$(ran)" -ge 1 ] || fail "--set"; settle
ordinary --force s5; [ "$(ran)" -ge 1 ] || fail "--force"; settle
ordinary --no-cache; expect_equal "$(ran)" 60; settle
ordinary --only s5; settle
sed -i 's/cp source out.m20/cat source > out\/m20/' p.yaml; ordinary; expect_equal "$(ran)" 1; settle
"$MLOPS" run /dev/stdin -q < p.yaml > run.out || fail "from stdin"
# A descriptor has the same name in every directory.
mkdir -p x/out y/out; echo x > x/source; echo y > y/source
( cd x && for _ in 1 2 3; do "$MLOPS" run /dev/stdin -q < ../p.yaml > ../run.out || exit 1; done ) || fail "from stdin in x"
( cd y && "$MLOPS" run /dev/stdin -q < ../p.yaml > ../run.out ) || fail "from stdin in y"
expect_file y/out/m59 y; ran > /dev/null
cat p.yaml | "$MLOPS" run /dev/stdin -q > run.out || fail "from a pipe"
mlops rm --keep 1 --yes > /dev/null 2>&1 || mlops rm --keep 1; settle
mlops store gc; expect_ok; repeated

# What is remembered may be damaged or lost.
damage() { for file in .mlops/repeats/*; do "$@" "$file" || fail "cannot damage $file"; done; }
flip() { printf '\377' | dd of="$1" bs=1 seek=200 conv=notrunc 2> /dev/null; }
damage flip; ordinary; expect_equal "$(ran)" 0; repeated
damage truncate -s -40; ordinary; repeated
damage truncate -s 0; ordinary; repeated
rm -r .mlops/repeats; ordinary; repeated
rm .mlops/repeats/*; mkdir "$(ls -d .mlops/repeats)/x"; ordinary; repeated
noted=$(sql "select max(id) from runs"); for run in .mlops/runs/*; do : > "$run/run.json"; done
ordinary; repeated

# Killed in the middle, it has not been; and nothing is half recorded.
RANDOM=7
for _ in $(seq 20); do
    "$MLOPS" run p.yaml -q > /dev/null 2>&1 & pid=$!
    sleep "0.0$((RANDOM % 3))"; kill -9 $pid 2> /dev/null; wait $pid 2> /dev/null
done
expect_equal "$(sql "select count(*) from runs r where state = 'succeeded' and (select count(*) from steps s where s.run_id = r.id) <> 60")" 0
expect_equal "$(sql "select count(*) from runs where state not in ('succeeded', 'interrupted')")" 0
repeated

# The log of the database stays short, however many runs there are: 64 pages and what one run writes.
longest=0
for _ in $(seq 40); do
    "$MLOPS" run p.yaml -q > /dev/null
    now=$(stat -c %s .mlops/mlops.db-wal)
    [ "$now" -le "$longest" ] || longest=$now
done
[ "$longest" -le 350000 ] || fail "the database's log has had $longest bytes"
exit 0
