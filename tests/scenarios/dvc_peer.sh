# Projects of DVC beside the real DVC: each program makes the same files and finds the other's work done. The projects
# lie in tests/dvc: setup.sh makes what is not in git, change.sh changes something, `always` names stages that run
# each time.
. "$(dirname "$0")/common.sh"
DVC=${DVC:-$SOURCE_DIR/build/venv-dvc/bin/dvc}
"$DVC" --version > /dev/null 2>&1 || skip "there is no DVC at $DVC"
export PATH="$(dirname "$(readlink -f "$DVC")"):$PATH" DVC_NO_ANALYTICS=1 DVC_SITE_CACHE_DIR=$here/site HOME=$here/home
mkdir "$HOME"
git config --global user.email t@example.org && git config --global user.name t && git config --global init.defaultBranch main
dvc() { run "$DVC" "$@"; }
shapes=${SHAPES:-$(ls "$SOURCE_DIR/tests/dvc")}

# make DIR SHAPE: a project as somebody would have it.
make() {
    mkdir -p "$1" && cp -r "$SOURCE_DIR/tests/dvc/$2/." "$1" && cd "$1" || fail "no project $2"
    git init -q && run "$DVC" init -q && expect_ok
    "$DVC" config core.analytics false
    PATH=$PATH sh -e setup.sh > "$here/setup" 2>&1 || { cat "$here/setup"; fail "setup of $2"; }
    git add -A > /dev/null 2>&1 && git commit -qm start
}
locks() { find . -name dvc.lock -not -path './.dvc/*' | sort | while read -r f; do echo "== $f"; cat "$f"; done; }
tracked() { find . -name '*.dvc' -type f | sort | while read -r f; do echo "== $f"; cat "$f"; done; }
ignores() { find . -name .gitignore -not -path './.dvc/*' -not -path './.mlops/*' | sort | while read -r f; do echo "== $f"; cat "$f"; done; }
objects() { find .dvc/cache -type f | sort; }
# What the two have made, but for times and what is written at each run.
same() {
    local what
    for what in locks tracked ignores objects; do
        (cd "$here/a" && $what) > "$here/a.$what" && (cd "$here/b" && $what) > "$here/b.$what"
        diff -u "$here/a.$what" "$here/b.$what" || fail "$shape: $what differ $1"
    done
    (cd "$here/a" && find . -type f -not -path './.git/*' -not -path './.dvc/*' -not -path './.mlops/*' -not -name .gitignore -print0 | sort -z | xargs -0 md5sum) > "$here/a.files"
    (cd "$here/b" && find . -type f -not -path './.git/*' -not -path './.dvc/*' -not -path './.mlops/*' -not -name .gitignore -print0 | sort -z | xargs -0 md5sum) > "$here/b.files"
    diff "$here/a.files" "$here/b.files" || fail "$shape: files differ $1"
}
# up_to_date: DVC says so, and runs nothing.
up_to_date() {
    dvc status; expect_ok
    if [ -e always ]; then
        expect_equal "$(grep -c '^[^[:space:]]' "$here/.out")" "$(wc -l < always)"
        expect_out "always changed"; expect_no_out "changed outs"; expect_no_out "modified"
    else
        expect_out "Data and pipelines are up to date."
    fi
}
# all_cached: mlops runs nothing but what always runs.
all_cached() {
    mlops run dvc.yaml --json; expect_ok
    expect_equal "$(json '" ".join(sorted(s["name"] for s in j["steps"] if s["state"] != "cached"))')" "$(cat always 2> /dev/null)"
}

for shape in $shapes; do
    echo "== $shape"
    rm -rf "$here/a" "$here/b"
    make "$here/a" "$shape"; make "$here/b" "$shape"

    # mlops fetches tracked data from the cache by itself.
    cd "$here/a" && find . -name '*.dvc' -type f -exec "$DVC" checkout -q {} +
    dvc repro; expect_ok
    cd "$here/b" && mlops run dvc.yaml --jobs 4; expect_ok
    same "after the first run"
    cd "$here/b" && up_to_date
    cd "$here/a" && locks > "$here/before" && all_cached && locks | diff "$here/before" - || fail "$shape: the lock changed though nothing ran"

    # The other way round: mlops goes on in DVC's project, DVC in that of mlops.
    (cd "$here/a" && sh -e change.sh) && (cd "$here/b" && sh -e change.sh)
    cd "$here/a" && mlops plan dvc.yaml; expect_ok; expect_out "run "
    mlops run dvc.yaml; expect_ok
    cd "$here/b" && dvc repro; expect_ok
    same "after the change"
    cd "$here/a" && up_to_date
    cd "$here/b" && all_cached

    # Without lock and outputs, each takes the results of the other from the run cache.
    [ -e always ] || [ "$shape" = expansion ] || {
        for side in a b; do
            cd "$here/$side" && find . -name dvc.lock -not -path './.dvc/*' -delete
            git ls-files -z -o -i --exclude-standard --directory | grep -zv '^[.]dvc/\|^[.]mlops/' | xargs -0 rm -rf
        done
        cd "$here/a" && find . -name '*.dvc' -type f -exec "$DVC" checkout -q {} +
        dvc repro; expect_ok; expect_no_out "Running stage"
        cd "$here/b"
        all_cached
        same "after the run cache"
    }
done

# --- What a stage reads is traced, its lineage shown, its run reproduced from DVC's cache
echo "== records"
mkdir "$here/records" && cd "$here/records" || exit 1
git init -q . && "$DVC" init -q && echo 1 > one && echo h > hidden && "$DVC" add -q one
printf 'stages:\n  a: {cmd: "cat one > a.txt; cat hidden >> a.txt", deps: [one], outs: [a.txt]}\n  b: {cmd: cat a.txt > b.txt, deps: [a.txt], outs: [b.txt]}\n' > dvc.yaml
mlops run dvc.yaml --trace-reads; expect_ok; expect_out "a: it read 1 file that it does not declare: hidden"
mlops lineage b.txt; expect_ok; expect_out "one"; expect_out "not declared"; expect_no_out "no run made"; expect_equal "$err" ""
echo 2 > one
mlops reproduce latest; expect_ok; expect_out "cache of DVC: one"; expect_out "2 of 2 outputs are byte for byte equal"
echo 1 > one

# --- What persists and was added to by hand is gone on with, as by DVC
for tool in mlops dvc; do
    mkdir "$here/persist-$tool" && cd "$here/persist-$tool" || exit 1
    git init -q . && "$DVC" init -q && echo one > f
    printf 'stages: {g: {cmd: cat f >> op.db, deps: [f], outs: [{op.db: {persist: true}}]}}\n' > dvc.yaml
    again() { if [ "$tool" = dvc ]; then dvc repro; else mlops run dvc.yaml; fi; expect_ok; }
    again; echo hand >> op.db; again
    expect_file op.db "$(printf 'one\nhand\none')"
    cp dvc.lock "$here/lock-$tool"
done
cmp -s "$here/lock-dvc" "$here/lock-mlops" || fail "the locks differ"

# --- What one refuses, the other does, and leaves the files as they are
mkdir "$here/refused" && cd "$here/refused" || exit 1
git init -q . && "$DVC" init -q
printf 'stages: {a: {cmd: echo hi > o.log, outs: [o.log]}}\n' > dvc.yaml; echo '*.log' > .dvcignore
dvc repro; expect_exit 255; expect_missing o.log
mlops run dvc.yaml; expect_exit 2; expect_missing o.log
rm .dvcignore; printf "schema: '3.0'\nstages: {a: {how: new}}\n" > dvc.lock; cp dvc.lock before
dvc repro; expect_exit 255; cmp -s dvc.lock before || fail "DVC wrote dvc.lock"
mlops run dvc.yaml; expect_exit 2; cmp -s dvc.lock before || fail "mlops wrote dvc.lock"

# --- A dependency that changes while its stage runs: dvc.lock does not vouch for what came out
mkdir "$here/mid" && cd "$here/mid" || exit 1
git init -q . && "$DVC" init -q && echo old > r
printf 'stages: {s: {cmd: "until [ -e go ]; do sleep 0.02; done; cat r > out.txt", deps: [r], outs: [out.txt]}}\n' > dvc.yaml
"$MLOPS" run dvc.yaml > mid.out 2>&1 & running=$!
wait_for 20 bash -c '"$MLOPS" status --json | grep -q "\"s\""'
echo new > r; touch go; wait "$running" || fail "the run failed: $(cat mid.out)"
grep -q "changed while it ran" mid.out || fail "nothing was said: $(cat mid.out)"
echo old > r
dvc status; expect_out "changed"
mlops run dvc.yaml; expect_ok; expect_file out.txt old
dvc status; expect_out "up to date"

# --- What is made of a project runs the commands of DVC, and leaves its cache alone
for type in symlink hardlink; do
    mkdir "$here/converted-$type" && cd "$here/converted-$type" || exit 1
    git init -q . && "$DVC" init -q && "$DVC" config cache.type "$type"
    printf 'import json, sys\njson.dump(sys.argv[2:], open(sys.argv[1], "w"))\n' > argv.py
    cat > params.yaml <<'Y'
t: {name: "my run", q: "it's $HOME", l: ["a b", c], e: "", g: "*", neg: -1, b: true, deep: {s: "x y", n: 1}}
Y
    echo one > in
    cat > dvc.yaml <<'Y'
stages:
  grow:
    cmd: cat in >> log; mkdir -p folder/sub; cat in >> folder/sub/f
    deps: [in]
    outs: [{log: {persist: true}}, {folder: {persist: true}}]
  args: {cmd: "python3 argv.py args.json ${t}", deps: [argv.py, in], outs: [args.json]}
Y
    dvc repro; expect_ok; cp args.json args.before
    mlops import dvc; expect_ok; expect_out "t.b, t.deep.s, t.e, t.g, t.l, t.name, t.q"
    echo two > in
    mlops run pipeline.yaml; expect_ok
    cmp args.json args.before || fail "other arguments: $(cat args.json)"
    expect_file log "$(printf 'one\ntwo')"; expect_file folder/sub/f "$(printf 'one\ntwo')"
    find .dvc/cache/files/md5 -type f ! -name '*.dir' | while read -r o; do
        m=${o#.dvc/cache/files/md5/}
        [ "$(md5sum < "$o" | cut -d' ' -f1)" = "${m/\//}" ] || fail "$type: $o was written to"
    done || exit 1
done

# --- A frozen stage that dvc.lock does not know cannot do without what it depends on
mkdir "$here/frozen" && cd "$here/frozen" || exit 1
git init -q . && "$DVC" init -q && echo o > o
printf 'stages: {fr: {cmd: cat x > o, deps: [x], outs: [o], frozen: true}}\n' > dvc.yaml
dvc repro; expect_exit 255; expect_missing dvc.lock
mlops run dvc.yaml; expect_exit 1; expect_out "it is frozen and not in dvc.lock yet"; expect_missing dvc.lock
# project NAME: an empty one, with DVC.
project() { mkdir "$here/$1" && cd "$here/$1" && git init -q . && "$DVC" init -q || fail "no project $1"; }
# start OUT CMD…: in the background; its PID is in $started.
start() { local to=$1; shift; "$@" > "$to" 2>&1 & started=$!; }

# --- Both at once: who comes second waits, or is turned away by DVC; the outputs are not mixed
project once
printf 'stages: {slow: {cmd: "echo $$ start >> slow.out; until [ -e go ]; do sleep 0.02; done; echo $$ end >> slow.out", outs: [slow.out], always_changed: true}}\n' > dvc.yaml
start dvc.out "$DVC" repro; first=$started
wait_for 30 test -s slow.out
start mlops.out "$MLOPS" run dvc.yaml
wait_for 30 grep -q "slow waits for .*(PID $first), which writes 'slow.out'" mlops.out
touch go; wait "$first" || fail "dvc repro failed: $(cat dvc.out)"
wait "$started" || fail "mlops run failed: $(cat mlops.out)"
expect_equal "$(wc -l < slow.out)" 2; expect_equal "$(cut -d' ' -f1 slow.out | sort -u | wc -l)" 1
rm go
start mlops.out "$MLOPS" run dvc.yaml; first=$started
wait_for 30 bash -c 'grep -q slow.out .dvc/tmp/rwlock && [ "$(wc -l < slow.out)" = 1 ]'
dvc repro; expect_exit 255; expect_err "'$PWD/slow.out' is busy"; expect_err "mlops run dvc.yaml (run "
touch go; wait "$first" || fail "mlops run failed: $(cat mlops.out)"
expect_equal "$(wc -l < slow.out)" 2
! grep -q pid .dvc/tmp/rwlock || fail "the list is not empty: $(cat .dvc/tmp/rwlock)"
# The steps of a run whose process was killed are still at it, by their keeper.
rm go
start mlops.out "$MLOPS" run dvc.yaml
wait_for 30 bash -c 'grep -q slow.out .dvc/tmp/rwlock && [ "$(wc -l < slow.out)" = 1 ]'
{ kill -9 "$started" && wait "$started"; } 2> /dev/null
dvc repro; expect_exit 255; expect_err "is busy"
touch go; wait_for 30 bash -c '[ "$(wc -l < slow.out)" = 2 ]'
repro_is_done() { "$DVC" repro > dvc.out 2>&1; }
wait_for 60 repro_is_done
mlops run dvc.yaml; expect_ok

# --- Tracked data that is in place and was lost from the cache is kept there again, also that of DVC 2
project lost
mkdir raw && echo 1 > raw/a && echo 2 > raw/b && echo old > leg && "$DVC" add -q raw leg
sed -i '/hash: md5/d' leg.dvc
printf 'stages: {s: {cmd: cat raw/* leg > o, deps: [raw, leg], outs: [o]}}\n' > dvc.yaml
mlops run dvc.yaml; expect_ok
rm -rf .dvc/cache
mlops plan dvc.yaml; expect_ok; expect_out "raw, which raw.dvc tracks, is not in DVC's cache and would be kept there again"
expect_missing .dvc/cache
cp leg.dvc before
mlops run dvc.yaml; expect_ok; expect_out "raw, which raw.dvc tracks, was not in DVC's cache and is kept there again"
dvc status; expect_out "up to date"
mlops run dvc.yaml; expect_ok; expect_no_out "raw.dvc"

# --- Tracked data that has changed: what is done to its file is said, and done only where something runs
project changed
mkdir data && echo 1 > data/a && echo 2 > data/b && "$DVC" add -q data
printf 'stages: {s: {cmd: "cat data/* > o; exit $(cat code)", deps: [data, code], params: [p], outs: [o]}}\n' > dvc.yaml
echo 1 > code; echo 'q: 1' > params.yaml; rm data/b; cp data.dvc before
mlops run dvc.yaml; expect_exit 1; expect_out "params p are missing"; cmp data.dvc before || fail "data.dvc was rewritten for a run that could not begin"
echo 'p: 1' > params.yaml
mlops plan dvc.yaml; expect_ok; expect_out "data.dvc would be brought up to date: its data has changed (2 → 1 files)"
cmp data.dvc before || fail "a plan rewrote data.dvc"
mlops run dvc.yaml; expect_exit 1; expect_out "data.dvc is brought up to date: its data has changed (2 → 1 files)"
dvc status data.dvc; expect_out "up to date"

# --- A frozen import that was changed in place, as DVC has it
for tool in mlops dvc; do
    project "import-$tool"
    [ -e "$here/source" ] || echo src > "$here/source"
    "$DVC" import-url -q "$here/source" imp.txt
    printf 'stages: {g: {cmd: cat imp.txt > o, deps: [imp.txt], outs: [o]}}\n' > dvc.yaml
    echo changed > imp.txt
    if [ "$tool" = dvc ]; then dvc repro; else mlops run dvc.yaml; fi
    expect_ok
    dvc status; expect_out "up to date"
    cp imp.txt.dvc "$here/import.$tool"
done
diff "$here/import.dvc" "$here/import.mlops" || fail "the two have another imp.txt.dvc"

# --- A fresh clone whose data is on DVC's remote
project origin
echo in > in.txt && mkdir imgs && echo 1 > imgs/1 && "$DVC" add -q in.txt imgs
printf 'stages: {s: {cmd: cat in.txt imgs/1 > o, deps: [in.txt, imgs], outs: [o]}}\n' > dvc.yaml
mlops run dvc.yaml; expect_ok
mkdir "$here/store" && "$DVC" remote add -q -d r "$here/store" && "$DVC" push -q
git add -A && git commit -qm 1 && git clone -q . "$here/clone" && cd "$here/clone" || exit 1
for command in validate plan run; do
    mlops "$command" dvc.yaml; expect_exit 2
    expect_err "'in.txt' is not there: in.txt.dvc tracks it, and it is not in DVC's cache"
    expect_err "fetch it with \`dvc pull in.txt.dvc\`"; expect_err "imgs.dvc"
done
expect_missing .mlops
dvc pull -q in.txt.dvc imgs.dvc; expect_ok
mlops plan dvc.yaml; expect_out "nor in DVC's cache; \`dvc pull\` fetches it if it was pushed"
dvc pull -q; expect_ok
mlops run dvc.yaml; expect_ok; expect_out "1 cached"
rm -rf imgs && rm ".dvc/cache/files/md5/$(md5sum < "$here/origin/imgs/1" | sed 's/^\(..\)\(.*\) .*/\1\/\2/;s/ //g')"
mlops run dvc.yaml; expect_exit 1; expect_out "its input 'imgs' is not there: imgs.dvc tracks it, and it is not in DVC's cache, or not all of it; fetch it with \`dvc pull imgs.dvc\`"

# --- What mlops' own store does for it: nothing, and it says so
cd "$here/origin" || exit 1
mlops store where o; expect_ok; expect_out "in DVC's cache, $PWD/.dvc/cache; \`dvc push\` sends it"
mlops store where in.txt; expect_ok; expect_out "in DVC's cache"
rm o; mlops store where o; expect_ok; expect_out "md5:"; expect_out "in DVC's cache"
mlops remote add there "$here/there"; mlops push; expect_ok
expect_out "in DVC's cache, and not sent: 1 output of DVC's stages; \`dvc push\` sends them"
"$DVC" config cache.type symlink && "$DVC" checkout -q --relink
[ -L imgs/1 ] || fail "imgs holds no link"
mlops data add imgs; expect_exit 2; expect_err "'$PWD/imgs/1' is a link into DVC's cache"; expect_err "dvc unprotect $PWD/imgs"
"$DVC" unprotect "$PWD/imgs"; mlops data add imgs; expect_ok

# --- A dvc.yaml without stages stands for the whole project
for tool in mlops dvc; do
    project "umbrella-$tool"
    mkdir a b
    printf 'stages: {x: {cmd: "echo 1 > x", outs: [x]}}\n' > a/dvc.yaml
    printf 'stages: {y: {cmd: "cat ../a/x > y", deps: [../a/x], outs: [y]}}\n' > b/dvc.yaml
    mlops run .; expect_exit 2; expect_err "name one dvc.yaml below it"
    mlops run a/dvc.yaml b/dvc.yaml; expect_exit 2; expect_err "one file is run at a time: mlops run b/dvc.yaml"
    printf 'metrics: [a/x]\nplots: [b/y]\n' > dvc.yaml
    if [ "$tool" = dvc ]; then dvc repro; else mlops run dvc.yaml; fi
    expect_ok; expect_exists a/x; expect_exists b/y
    dvc status; expect_out "up to date"
    mlops run dvc.yaml; expect_ok; expect_out "2 cached"
done
project nothing
printf 'metrics: [m.json]\n' > dvc.yaml
dvc repro; expect_ok
mlops validate dvc.yaml; expect_ok
mlops run dvc.yaml; expect_ok; expect_out "nothing to run"
mlops plan dvc.yaml; expect_ok; expect_out "would run 0 of 0 steps"
