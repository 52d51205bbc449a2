# What `mlops run` does with the keys of a pipeline file.
. "$(dirname "$0")/common.sh"

cat > p.yaml <<'Y'
name: demo
params: {n: 3, publish: false, who: "it's; $(touch pwned) `x`"}
env: {GREETING: hello}
steps:
  first:
    kind: ingest
    run: 'echo "rows=5" >> $MLOPS_OUTPUT; echo "{\"name\": \"loss\", \"value\": 0.5, \"step\": 1}" >> $MLOPS_METRICS; echo $GREETING; mkdir -p data; echo abc > data/raw.txt'
    outputs: [data/raw.txt]
  argv:
    run: [printf, '%s|', "${params.who}", "n=${params.n}", "${steps.first.outputs.rows}"]
  shell:
    run: 'printf "%s|" ${params.who} n=${params.n} ${steps.first.outputs.rows}'
  reads:
    run: cat data/raw.txt; echo '{"acc":0.75}' > m.json
    inputs: data/raw.txt
    metrics: m.json
  flaky:
    run: 'test $MLOPS_ATTEMPT = 3'
    retry: {times: 3, delay: 20ms}
  optional: {run: 'touch never', when: params.publish}
  after_optional: {run: 'touch never', needs: optional}
  good: {run: 'touch reached', when: "steps.reads.metrics.acc > 0.7 and steps.first.outputs.rows == 5"}
  each: {run: 'echo ${item} >> list', foreach: [x, y], needs: good}
  grid: {run: 'echo ${matrix.a}${matrix.b} >> grid', matrix: {a: [1, 2], b: [p, q]}}
  tolerated: {run: exit 9, on_failure: continue}
  after_tolerated: {run: touch tolerated, needs: tolerated}
  cleanup: {run: touch cleaned, always: true}
Y
mlops run p.yaml
expect_ok
expect_out "made a workspace"
expect_out "✔ demo succeeded"
expect_out "optional skipped: params.publish is false"
expect_missing never
expect_missing pwned
expect_exists reached
expect_exists cleaned
expect_exists tolerated
expect_equal "$(sort list | tr '\n' ' ')" "x y "
expect_equal "$(sort grid | tr '\n' ' ')" "1p 1q 2p 2q "
mlops logs latest argv; expect_equal "$out" 'it'"'"'s; $(touch pwned) `x`|n=3|5|'
mlops logs latest shell; expect_equal "$out" 'it'"'"'s; $(touch pwned) `x`|n=3|5|'
mlops show --json
expect_ok
expect_equal "$(json 'j["state"]')" succeeded
expect_equal "$(json '[len(s["attempts"]) for s in j["steps"] if s["name"]=="flaky"][0]')" 3
expect_equal "$(json '[m["value"] for m in j["metrics"] if m["name"]=="acc"][0]')" 0.75
expect_equal "$(json '[a["sha256"] for a in j["artifacts"] if a["path"]=="data/raw.txt" and a["direction"]=="out"][0]')" "$(sha256sum < data/raw.txt | cut -d' ' -f1)"
expect_equal "$(json 'j["params"]["n"]')" 3
expect_equal "$(json 'any(n=="PATH" for n in j["environment_names"])')" True
mlops runs; expect_out "demo"; expect_out "acc=0.75"
expect_equal "$(sql 'select state from v_runs')" succeeded

# Overrides, selection, dry run
mlops run p.yaml --set n=4 --only argv; expect_ok
mlops logs latest argv; expect_out "n=4|5|"   # rows come from the run before
mlops run p.yaml --set nn=4; expect_exit 2; expect_err "did you mean"
mlops run p.yaml --only frist; expect_exit 2; expect_err "did you mean 'first'?"
mlops run p.yaml --from reads --dry-run --no-cache; expect_ok
expect_out "run reads"; expect_out "skip first"
expect_equal "$("$MLOPS" runs --ids | wc -l)" 2
mlops run p.yaml --until reads --skip first --no-cache; expect_ok
mlops show --json
expect_equal "$(json '[s["name"] for s in j["steps"] if s["state"]=="succeeded"]')" "['reads']"

# The plan of --dry-run is what runs
"$MLOPS" run p.yaml --dry-run --json --until good --no-cache > plan.json
mlops run p.yaml --until good --json --no-cache; expect_ok
expect_equal "$(json 'sorted(s["name"] for s in j["steps"] if s["state"]!="skipped")')" \
    "$(python3 -c 'import json; print(sorted(s["name"] for s in json.load(open("plan.json"))["steps"] if s["action"] in ("run", "maybe")))')"

# Conditions that no step can change are decided, and what needs a skipped step is skipped as well
cat > dry.yaml <<'Y'
params: {n: 3}
steps:
  a: {run: echo v=1 >> "$MLOPS_OUTPUT"}
  never: {run: "true", when: params.n > 100}
  after: {run: "true", needs: never}
  mx: {run: "true", matrix: {k: [1, 2]}, when: matrix.k == 2}
  open: {run: "true", when: steps.a.outputs.v == 1}
  behind: {run: "true", needs: open}
  tidy: {run: "true", needs: never, always: true}
Y
for pass in first again; do
    mlops run dry.yaml --dry-run --json; expect_ok
    expect_equal "$(json '" ".join(s["name"] + ":" + s["action"] for s in j["steps"])')" \
        "a:run never:skip after:skip mx@1:skip mx@2:run open:maybe behind:maybe tidy:run"
    mlops run dry.yaml -q; expect_ok
    mlops show --json
    expect_equal "$(json '" ".join(sorted(s["name"] for s in j["steps"] if s["state"] == "succeeded"))')" "a behind mx@2 open tidy"
done

# Failures and their exit codes
cat > f.yaml <<'Y'
steps:
  bad: {run: exit 7}
  other: {run: sleep 0.2; touch other}
  later: {run: touch later, needs: other}
  needs_bad: {run: touch never, needs: bad}
  clean: {run: touch clean2, always: true}
Y
mlops run f.yaml; expect_exit 1
expect_out "bad"; expect_out "exit code 7"; expect_missing later; expect_missing never; expect_exists clean2
mlops run f.yaml --keep-going --propagate-exit-code; expect_exit 7
expect_exists later; expect_missing never
printf 'steps:\n  g: {kind: gate, run: exit 1}\n' > g.yaml; mlops run g.yaml; expect_exit 3; expect_out "said no"
printf 'steps:\n  t: {run: sleep 60, timeout: 200ms}\n' > t.yaml; mlops run t.yaml; expect_exit 124; expect_out "timed out after 200ms"
printf 'steps:\n  t: {run: sleep 60, no_output_timeout: 200ms}\n' > t.yaml; mlops run t.yaml; expect_exit 124; expect_out "wrote nothing for 200ms"
printf 'steps:\n  p: {run: [no-such-program-x]}\n' > m.yaml; mlops run m.yaml; expect_exit 1; expect_out "no such program on PATH (/"
printf 'steps:\n  p: {run: kill -9 $$}\n' > m.yaml; mlops run m.yaml; expect_exit 1; expect_out "killed by SIGKILL"
printf 'steps:\n  p: {run: "true", outputs: [x.bin]}\n' > m.yaml; mlops run m.yaml; expect_exit 1; expect_out "did not make its output 'x.bin'"
printf 'steps:\n  p: {run: "true", resources: {gpus: 64}}\n' > m.yaml; mlops run m.yaml; expect_exit 2; expect_err "asks for 64 gpus"
printf 'steps:\n  p: {run: "echo $CUDA_VISIBLE_DEVICES", resources: {gpus: 2}}\n' > m.yaml
CUDA_VISIBLE_DEVICES=3,5,7 mlops run m.yaml; expect_ok; expect_out "3,5"
printf 'pools: {db: 1}\nsteps:\n  a: {run: "mkdir lock && sleep 0.1 && rmdir lock", resources: {pools: {db: 1}}, foreach: [1,2,3,4]}\n' > pool.yaml
mlops run pool.yaml --jobs 4; expect_ok

# Secrets reach only the steps that name them
cat > s.yaml <<'Y'
secrets: {TOKEN: {env: MY_TOKEN}, KEY: {file: key.txt}, MADE: {command: [printf, abc]}}
steps:
  with: {run: 'echo "$TOKEN $KEY $MADE" > with.txt', secrets: [TOKEN, KEY, MADE]}
  without: {run: 'echo "<$TOKEN$KEY$MY_TOKEN>" > without.txt'}
Y
echo s3cretfile > key.txt
MY_TOKEN=s3cretenv mlops run s.yaml; expect_ok
expect_file with.txt "s3cretenv s3cretfile abc"
expect_file without.txt "<>"
if grep -rqs s3cret .mlops; then fail "a secret lies in the workspace"; fi
mlops run s.yaml; expect_exit 2; expect_err "MY_TOKEN is not set"

# A clean environment
printf 'env: {inherit: false, A: "1"}\nsteps:\n  e: {run: "env | sort"}\n' > e.yaml
CANARY=1 mlops run e.yaml; expect_ok; expect_out "A=1"; expect_no_out CANARY

# Output that is no text
printf 'steps:\n  o: {run: "printf \\"\\\\377\\\\376x\\\\033[2Jy\\\\n\\""}\n' > o.yaml
mlops run o.yaml; expect_ok; expect_out "xy"
mlops logs latest o --json; expect_ok; json 'j["logs"][0]["lines"][0]["text"]' > /dev/null

# Names of runs
mlops show nothing-like-it; expect_exit 2; expect_err "there is no run"
id=$("$MLOPS" runs --ids --limit 1); mlops show "${id: -5}"; expect_ok
mlops show latest:demo; expect_ok; mlops show latest:dmeo; expect_exit 2; expect_err "did you mean 'demo'"

# Deleting
mlops rm "$id"; expect_ok; expect_missing ".mlops/runs/$id"
mlops rm --keep 1 --dry-run; expect_ok; expect_out "would delete"
mlops rm --keep 0; expect_ok; expect_equal "$("$MLOPS" runs --ids 2>/dev/null | wc -l)" 0

# Leaving steps out keeps the order of the others, and clean-up still comes last
cat > order.yaml <<'Y'
steps:
  a: {run: 'sleep 0.3; echo a >> order'}
  b: {run: 'echo b >> order', needs: a}
  c: {run: 'echo c >> order', needs: b}
  clean: {run: 'echo clean >> order', always: true}
Y
ordered() { rm -f order; mlops run order.yaml "$@"; expect_ok; expect_equal "$(tr '\n' ' ' < order)" "$out_order"; }
out_order="a b clean " ordered --skip c
out_order="a c clean " ordered --skip b
out_order="a c " ordered --only a,c
sed -i 's/sleep 0.3; echo a >> order/exit 1/' order.yaml
rm -f order; mlops run order.yaml --skip b --keep-going; expect_exit 1; expect_file order clean
mlops run order.yaml --only a --skip a; expect_exit 2; expect_err "leaves nothing to run"

# What does not fit beside --resume is refused; a resumed run knows what its earlier part found
mlops run --resume latest --set x=1; expect_exit 2; expect_err "--set has no place beside --resume"
mlops run --resume latest --dry-run; expect_exit 2
cat > again.yaml <<'Y'
steps:
  measure: {run: 'echo "{\"acc\": 0.7}" > acc.json', metrics: acc.json}
  odd: {run: exit 4, on_failure: continue}
  flaky: {run: test -e fixed, needs: [measure, odd]}
  good: {run: touch decided, needs: flaky, when: steps.measure.metrics.acc > 0.5 and steps.odd.exit_code == 4}
Y
mlops run again.yaml; expect_exit 1
mlops run --resume latest; expect_exit 1; expect_no_out "has changed since"
sed -i 's/touch decided/touch undecided/' again.yaml
touch fixed; mlops run --resume latest; expect_ok; expect_exists decided
expect_out "again.yaml has changed since run"

# A gate that cannot be run has not said no; all that is impossible is told at once, also by a dry run
printf 'steps:\n  g: {kind: gate, run: no-such-gate}\n' > g2.yaml; mlops run g2.yaml; expect_exit 1
printf 'steps:\n  a: {run: x, resources: {cpus: 9999, gpus: 64}}\n  b: {run: x, resources: {memory: 900TiB}}\n' > imp.yaml
mlops run imp.yaml --dry-run; expect_exit 2; expect_err "9999 cpus"; expect_err "64 gpus"; expect_err "step 'b'"

# What a step leaves at MLOPS_METRICS is no reason to hang, and a work tree that is swept away is noticed
printf 'steps:\n  f: {run: "mkfifo $MLOPS_METRICS"}\n' > fifo.yaml; mlops run fifo.yaml; expect_exit 1; expect_out "no regular file"
mkdir gone; printf 'steps:\n  s: {run: "rm -rf .mlops"}\n' > gone/p.yaml; mkdir gone/.mlops
mlops run gone/p.yaml; expect_exit 74; expect_err "was deleted while the run was going on"

# --quiet is for cron: nothing of a success, however it came about; of a failure what failed, on stderr
cat > q.yaml <<'Y'
params: {code: 0}
steps:
  fine: {run: "echo fine > fine.txt", inputs: q.yaml, outputs: fine.txt}
  tolerated: {run: echo tolerated; exit 9, on_failure: continue}
  skipped: {run: "true", when: params.code == 1}
  last: {run: "echo said; test $MLOPS_ATTEMPT = 2 && exit ${params.code}", needs: [fine, tolerated], retry: {times: 1, delay: 10ms}}
Y
quiet() { mlops -w "$here/quiet" run q.yaml --quiet "$@"; expect_equal "$out" ""; }
mkdir quiet; quiet; expect_ok; expect_equal "$err" ""
sed -i 's/; test .*exit/; exit/' q.yaml; for _ in 1 2; do quiet; expect_ok; expect_equal "$err" ""; done
expect_equal "$("$MLOPS" -w "$here/quiet" sql --csv "select count(*) from v_steps where state = 'cached'" | tail -n 1)" 1
quiet --set code=4; expect_exit 1; expect_err "q run "; expect_err "  │ said"; expect_err "✘ last "; expect_err "step last failed: exit code 4"
[[ $err != *"✔"* && $err != *skipped:* && $err != *made* ]] || fail "of what did not fail: $err"
mlops -w "$here/quiet" run --resume latest --quiet; expect_exit 1; expect_equal "$out" ""; expect_err "✘ last "
mlops -w "$here/quiet" run q.yaml --quiet --json; expect_ok; expect_equal "$(json 'j["state"], j["slot"]')" "('succeeded', None)"
