# An old run again, in a tree of its own: equal to the byte, or told where not.
. "$(dirname "$0")/common.sh"
mkdir project; cd project || exit 1   # some of it writes beside the project
mkdir code
cat > code/train.py <<'P'
import json, sys, helper
text = open("data.csv").read() + helper.suffix() + sys.argv[1]
open("model.bin", "w").write(text)
open("random.bin", "wb").write(open("/dev/urandom", "rb").read(8))
json.dump({"length": len(text)}, open("metrics.json", "w"))
P
printf 'def suffix():\n    return "-v1-"\n' > code/helper.py
cat > p.yaml <<'Y'
name: r
params: {lr: 0.1}
steps:
  clean: {run: 'grep -v "^#" raw.csv > data.csv', inputs: raw.csv, outputs: data.csv}
  train:
    run: 'PYTHONPATH=code PYTHONDONTWRITEBYTECODE=1 python3 code/train.py ${params.lr}'
    inputs: data.csv
    code: code/train.py
    outputs: [{path: model.bin, kind: model}]
    metrics: [metrics.json]
  ship: {kind: deploy, run: 'echo shipped >> ../shipped.log; cp model.bin live.bin', inputs: model.bin, outputs: live.bin}
Y
printf '1\n#\n2\n' > raw.csv
have_git=; git init -q . 2> /dev/null && have_git=1
commit() { git add -A && git -c user.name=t -c user.email=t@t commit -qm "$1"; }
printf '.mlops\n*.bin\ndata.csv\nmetrics.json\n' > .gitignore
[ -z "$have_git" ] || commit one
mlops run p.yaml -q --set lr=0.5; expect_ok; old=$(sql "select max(id) from runs"); old_model=$(sha256sum < model.bin)
rm -f ../shipped.log

if [ -n "$have_git" ]; then
    # Everything changes: data, declared code, what it imports, the file, params.
    printf '9\n' > raw.csv; echo '# new' >> code/train.py; printf 'def suffix():\n    return "-v2-"\n' > code/helper.py
    sed -i 's/lr: 0.1/lr: 0.9/' p.yaml; commit two
    mlops run p.yaml -q; expect_ok; new_model=$(sha256sum < model.bin); [ "$new_model" != "$old_model" ] || fail "no change"; rm ../shipped.log
    mlops reproduce "$old"; expect_ok
    expect_out "from git: code/train.py, raw.csv"; expect_out "ship not run"; expect_out "= model.bin"; expect_out "= data.csv"
    expect_out "reproduced: 3 of 3 outputs are byte for byte equal, 1 of 1 metrics"
    expect_equal "$(sha256sum < model.bin)" "$new_model"    # the real tree is untouched
    expect_missing ../shipped.log; expect_missing .mlops/reproduce
    # Without its history in git the store has what was declared; what was imported is missing.
    mv .git ../git-away; mlops reproduce "$old"; mv ../git-away .git
    expect_exit 1; expect_out "from the store: code/train.py, raw.csv"; expect_out "is not in this repository"; expect_out "No module named 'helper'"
    # Changes that were never committed: declared files come from the store.
    printf '5\n' > raw.csv; mlops run p.yaml -q; expect_ok; dirty=$(sql "select max(id) from runs"); printf '6\n' > raw.csv
    mlops reproduce "$dirty"; expect_ok; expect_out "from the store: raw.csv"; expect_out "had changes that are not in it"
fi

# A script that a step makes is no input, though another's command names it.
cat > made.yaml <<'Y'
name: made
steps:
  write: {run: 'mkdir -p o && echo "echo hi" > o/x.sh', inputs: raw.csv, outputs: o}
  use: {run: 'sh o/x.sh > hi.txt', needs: write, inputs: raw.csv, outputs: hi.txt}
Y
mlops run made.yaml -q; expect_ok
mlops reproduce latest; expect_ok; expect_no_out "for want of a record"; expect_out "2 of 2 outputs are byte for byte equal"

# Not the same each time: says which outputs and which figures.
cat > n.yaml <<'Y'
name: n
steps:
  a: {run: 'date +%N > time.txt; echo same > same.txt; echo "{\"ns\": $(date +%s%N)}" > f.json', inputs: raw.csv, outputs: [time.txt, same.txt], metrics: f.json}
Y
mlops run n.yaml -q; expect_ok
mlops reproduce latest; expect_exit 3
expect_out "≠ time.txt"; expect_out "= same.txt"; expect_out "metrics that differ"; expect_out "not reproduced: 1 of 3 outputs"
mlops reproduce latest --json --into again; expect_exit 3
expect_equal "$(json '[(o["path"], o["same"]) for o in j["outputs"]]')" "[('f.json', False), ('same.txt', True), ('time.txt', False)]"
expect_equal "$(json 'j["reproduced"], len(j["metrics"])')" "(False, 1)"
expect_exists again/time.txt; expect_exists again/n.yaml
mlops reproduce latest --into again; expect_exit 2; expect_err "not an empty directory"

# Cached steps, folders, names that are odd, executable bits, links.
mkdir 'in dir'; echo 1 > 'in dir/a b'; printf '#!/bin/sh\necho tool\n' > 'in dir/tool'; chmod +x 'in dir/tool'; ln -s 'a b' 'in dir/link'
cat > d.yaml <<'Y'
name: d
params: {n: 1}
steps:
  a: {run: 'cp -r "in dir" out; "in dir/tool" > out/said; ls -l out/tool | cut -c1-4 > out/mode', inputs: in dir, outputs: out}
  b: {run: 'cat out/* > b.txt; echo ${params.n} >> b.txt', inputs: out, outputs: b.txt}
Y
mlops run d.yaml -q; expect_ok; mlops run d.yaml -q --set n=2; expect_ok
rm -r 'in dir' out b.txt; mkdir 'in dir'
mlops reproduce latest; expect_ok; expect_out "from the store: in dir"; expect_out "2 of 2 outputs"
mlops reproduce latest:d --keep --json; expect_ok; kept=$(json 'j["directory"]'); expect_exists "$kept/out/said"; rm -r "$kept"

# What is large is not kept unasked; while it is unchanged the work tree has it.
head -c 9000000 /dev/zero | tr '\0' x > big.bin
printf 'name: big\nsteps: {a: {run: "wc -c big.bin > size.txt", inputs: big.bin, outputs: size.txt}}\n' > big.yaml
mlops run big.yaml -q; expect_ok; expect_equal "$(sql "select kept from v_artifacts where path = 'big.bin'")" 0
mlops reproduce latest; expect_ok; expect_out "from the work tree: big.bin"
echo more >> big.bin
mlops reproduce latest; expect_exit 1; expect_out "not restored big.bin"; expect_out "--keep-inputs all"
mlops run big.yaml -q --keep-inputs all; expect_ok; echo more >> big.bin
mlops reproduce latest; expect_ok; expect_out "from the store: big.bin"
sed -i '1a keep_inputs: none' big.yaml; echo x > big.bin; mlops run big.yaml -q; expect_ok
expect_equal "$(sql "select kept from v_artifacts where path = 'big.bin' order by run_id desc limit 1")" 0
sed -i 's/keep_inputs: none/keep_inputs: everything/' big.yaml; mlops run big.yaml; expect_exit 2; expect_err "keep_inputs"
# Garbage collection leaves what recorded runs read.
mlops store gc; expect_ok; mlops reproduce latest:d; expect_ok

# A failure is reproduced too; a run that works outside of its project is not.
printf 'name: x\nsteps: {a: {run: "cat raw.csv; exit 4", inputs: raw.csv, outputs: o}}\n' > x.yaml
mlops run x.yaml -q; expect_exit 1
mlops reproduce latest; expect_ok; expect_out "it fails as it did then"
printf 'name: o\nsteps: {a: {run: "echo > %s/outside.txt", outputs: %s/outside.txt}}\n' "$here" "$here" > o.yaml
mlops run o.yaml -q; expect_ok; rm -f ../outside.txt
mlops reproduce latest; expect_exit 2; expect_err "outside of the project"; expect_missing ../outside.txt
mlops reproduce nosuchrun; expect_exit 2
mlops reproduce; expect_exit 2
