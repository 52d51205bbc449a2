# Datasets: versions, differences, checkouts that destroy nothing, odd names, full disks, many at once.
. "$(dirname "$0")/common.sh"
mkdir -p data/sub
for i in $(seq 300); do echo "file $i" > "data/f$i"; done
head -c 50000 /dev/zero | tr '\0' L > data/sub/large
printf '#!/bin/sh\n' > data/run.sh; chmod +x data/run.sh
ln -s /etc data/etc; ln -s f1 data/alias

# --- Versions
mlops data list; expect_exit 2; expect_err "no workspace"
mlops data add data; expect_ok; expect_out "made a workspace"; expect_out "added data@1: 304 files"
mlops data list; expect_ok; expect_out "data"
mlops data add data; expect_ok; expect_out "data is unchanged: data@1"
expect_equal "$(sql 'select count(*) from v_dataset_versions')" 1
rm data/f1 data/f2; echo changed > data/f3; chmod +x data/f4; echo new > "data/sub/new"
mlops data add data --note "two gone" --json; expect_ok
expect_equal "$(json '(j["version"], j["files"], j["added"], j["removed"], j["changed"], j["unchanged"], j["note"])')" \
    "(2, 303, 1, 2, 2, False, 'two gone')"
expect_equal "$(sql "select version, added, removed, changed, pinned from v_dataset_versions where dataset = 'data' order by version")" \
    "$(printf '1,304,0,0,0\n2,1,2,2,0')"
expect_equal "$(sql "select latest, versions, files from v_datasets")" "2,2,303"
mlops data versions data; expect_ok; expect_out "two gone"
mlops data show data; expect_ok; expect_out "data@2"; expect_out "as in this version"
mlops data show data@1 --files --limit 3 --json; expect_ok
expect_equal "$(json '(j["work_tree"], [f["path"] for f in j["listing"]])')" "('differs', ['alias', 'etc', 'f1'])"
digest=$(sql "select sha256 from v_dataset_versions where version = 1")
mlops data show "data@${digest:0:6}"; expect_ok; expect_out "data@1"
mlops data show data@latest --json; expect_equal "$(json 'j["version"]')" 2

# --- Differences
mlops data diff data@1 data@2; expect_ok
for line in "- f1  7 B" "~ f3  7 B → 8 B" "~ f4  " "+ sub/new  4 B" "added 1 file" "removed 2 files" "changed 2 files"; do expect_out "$line"; done
mlops data diff data@1 2 --stat; expect_ok; expect_no_out "f3"; expect_out "changed 2 files"
mlops data diff data@1 data@2 --limit 2; expect_ok; expect_out "and 3 more"
mlops data diff data@1 data@2 --json; expect_ok
expect_equal "$(json '[(c["change"], c["path"], c["size_before"], c["size_after"]) for c in j["changes"]][:2]')" \
    "[('removed', 'f1', 7, None), ('removed', 'f2', 7, None)]"
mlops data diff data; expect_ok; expect_out "data@2 and data are the same"
echo unsaved > data/f5; rm data/alias
mlops data diff data; expect_ok; expect_out "~ f5"; expect_out "- alias"

# --- Checkouts
mlops data checkout data@1; expect_exit 3; expect_err "is in no version"; expect_err "mlops data add"
expect_file data/f5 unsaved
mlops data checkout data@1 --force; expect_ok; expect_file data/f5 "file 5"; expect_file data/f1 "file 1"
mlops data diff data@1; expect_out "the same"
[ -x data/run.sh ] && [ ! -x data/f4 ] && [ "$(readlink data/etc)" = /etc ] || fail "bits and links"
mlops data checkout data@1; expect_ok; expect_out "already"
mlops data checkout data@2; expect_ok; expect_out "checked out data@2"
mlops data checkout data@1 --to elsewhere/copy; expect_ok
mlops data checkout data@1 --to data; expect_ok
diff -r --no-dereference data elsewhere/copy || fail "two checkouts differ"
mlops data checkout data@1 --to .; expect_exit 2; expect_err "records of this workspace"
mlops data checkout data@1 --to .mlops/store; expect_exit 2

# --- Files as datasets, and other forms under one name
echo one > raw.csv; mlops data add raw.csv --name raw; expect_ok; expect_out "added raw@1: 1 file, 4 B"
echo more >> raw.csv; mlops data add raw.csv --name raw; expect_out "0 files added, 0 removed, 1 changed"
mlops data diff raw@1 raw@2; expect_out "~ raw.csv"
rm raw.csv; mkdir raw.csv; echo x > raw.csv/part
mlops data add raw.csv --name raw; expect_ok; expect_out "1 file added, 1 removed, 0 changed"
mlops data checkout raw@1; expect_ok; expect_file raw.csv one

# --- What is wrong is told
mlops data add nothing; expect_exit 2; expect_err "no such file"
mlops data add .; expect_exit 2; expect_err "records of this workspace"
mlops data add .mlops/store --name s; expect_exit 2
mlops data add data --name 'a@b'; expect_exit 2; expect_err "cannot be the name"
mkdir -p 'with space' other/data; mlops data add 'with space'; expect_exit 2; expect_err "--name NAME"
echo 1 > other/data/x; mlops data add other/data; expect_exit 2; expect_err "there is a dataset 'data' already"
mlops data show dat; expect_exit 2; expect_err "did you mean 'data'?"
mlops data show data@9; expect_exit 2; expect_err "no version '9'"; expect_err "1 to 2"
mlops data show data@ffff; expect_exit 2
mlops data show data@; expect_exit 2
mlops data show nothing --json; expect_exit 2; expect_equal "$(json 'j["error"]["exit_code"]')" 2
mkfifo pipe; mlops data add pipe; expect_exit 74; expect_err "neither a file nor a directory"
mlops data add 'with space' --name empty; expect_ok; expect_out "0 files"

mlops data add data --name ''; expect_exit 2; expect_err "--name"; expect_err "empty"
mlops data checkout data@1 --to ''; expect_exit 2; expect_err "--to"

# --- Pins and deleting
mlops pin data@1 --note "for the paper"; expect_ok; expect_out "pinned data@1"
mlops pin; expect_ok; expect_out "for the paper"
mlops data rm data; expect_exit 3; expect_err "it is pinned"
mlops data rm data@2 --dry-run; expect_ok; expect_out "would delete data@2"
mlops unpin data@1 data@2; expect_ok; expect_out "unpinned data@1"; expect_out "was not pinned: data@2"
echo third > data/f9; mlops data add data; expect_ok
mlops data rm data@2; expect_ok; expect_out "deleted data@2"
expect_equal "$(sql "select version, added, removed, changed from v_dataset_versions where dataset = 'data' order by version")" \
    "$(printf '1,304,0,0\n3,0,0,1')"
mlops store gc --grace 0; expect_ok; expect_out "versions of datasets"
rm -r data; mlops data checkout data@1; expect_ok; mlops data checkout data@3; expect_ok; expect_file data/f9 third
mlops store verify; expect_ok; expect_out "0 damaged"
mlops data rm data@3; mlops data add data; expect_out "added data@4"
printf 'name: p\nsteps:\n  a: {run: "echo out > o", inputs: data, outputs: o}\n' > p.yaml
mlops run p.yaml -q; expect_ok
run_id=$("$MLOPS" runs --ids)
mlops pin latest; expect_ok
mlops runs; expect_out "pinned"; mlops show; expect_out "pinned"; mlops show --json; expect_equal "$(json 'j["pinned"]')" True
mlops rm latest; expect_exit 3; expect_err "it is pinned"
mlops rm --keep 0; expect_ok; expect_out "nothing to delete"
mlops store gc --grace 0 --keep 0 --json; expect_ok
expect_equal "$(json 'j["kept"]["pins"]["objects"] > 0 and j["missing_objects"] == 0')" True
rm o; mlops run p.yaml -q; expect_ok; expect_equal "$(sql "select state from v_steps where run_id > '$run_id'")" cached
mlops rm "$run_id" --force; expect_ok
mlops pin nobody; expect_exit 2; expect_err "there is no run"

# --- Tags: what --keep lets go of stays for a tag that is asked for
mkdir -p "$here/tags/.mlops" && cd "$here/tags" || exit 1
printf 'name: t\nparams: {x: 0}\nsteps: {a: {run: "echo ${params.x} > o; head -c 20000 /dev/zero >> o", outputs: o}}\n' > t.yaml
for x in 1 2 3; do mlops run t.yaml -q --set x=$x; expect_ok; done
mlops runs tag "$("$MLOPS" runs --ids | tail -1)" release=1.0 first; expect_ok; expect_out "has first, release=1.0"
mlops runs --tag release --ids; expect_equal "$out" "$("$MLOPS" runs --ids | tail -1)"
mlops runs --tag release=2 --ids; expect_equal "$out" ""
mlops runs --json; expect_equal "$(json '[r["tags"] for r in j["runs"]][2]["release"]')" 1.0
mlops store gc --grace 0 --keep 1 --keep-tag release=2 --dry-run --json
expect_equal "$(json '[j["removed_objects"], j["kept"]["tags"]["objects"]]')" "[2, 0]"
mlops store gc --grace 0 --keep 1 --keep-tag release --json; expect_ok
expect_equal "$(json '[j["removed_objects"], j["kept"]["tags"]["objects"], j["kept"]["runs"]["objects"]]')" "[1, 1, 1]"
mlops runs untag "$("$MLOPS" runs --ids | tail -1)" release nosuch; expect_ok; expect_out "had no tag nosuch"
mlops store gc --grace 0 --keep 1 --keep-tag release --json; expect_equal "$(json 'j["removed_objects"]')" 1
mlops runs tag latest 'two words'; expect_exit 2; expect_err "is no tag"
mlops runs tag nosuch a; expect_exit 2; expect_err "there is no run"
mlops store gc --keep-tag ''; expect_exit 2
cd "$here" || exit 1

mlops store gc --older-than 90; expect_exit 2; expect_err "with its unit"
printf 'name: u\nsteps: {a: {run: "mkdir -p not/kept; echo x > not/kept/x", outputs: not/kept, cache: false}}\n' > u.yaml
mlops run u.yaml -q --no-cache; expect_ok
mlops store gc --grace 0; expect_ok; expect_no_out "not here"

# --- Odd names: in text and in JSON
mkdir odd
printf a > "odd/$(printf 'new\nline')"; printf b > 'odd/"quotes"'; printf c > "odd/$(printf '\377\376')"; printf d > 'odd/-n '
mlops data add odd; expect_ok
mlops data show odd --files; expect_ok
[ "$(wc -l <<< "$out")" = 12 ] || fail "a newline in a name breaks the listing"
mlops data show odd --files --json; expect_ok
expect_equal "$(json 'sorted(f["path"] for f in j["listing"])[:2]')" "['\"quotes\"', '-n ']"
rm -r odd; mlops data checkout odd; expect_ok
[ -e "odd/$(printf '\377\376')" ] && [ -e "odd/$(printf 'new\nline')" ] || fail "odd names do not come back"

# A path near the limit of the system, and one beyond it.
part=$(printf 'd%.0s' $(seq 200)) deep=long
while [ $((${#deep} + ${#PWD})) -lt 3600 ]; do deep=$deep/$part; done
mkdir -p "$deep"; echo deep > "$deep/file"
mlops data add long; expect_ok
rm -r long; mlops data checkout long; expect_ok; expect_file "$deep/file" deep
(cd "$deep" && for i in 1 2 3; do mkdir "$part" && cd "$part" || exit; done; echo > beyond)
mlops data add long; expect_exit 74; expect_err "too long"
rm -r long

# --- Files that go and change while they are added: all of it, or an error, but never half
mkdir churn; for i in $(seq 2000); do echo "$i" > churn/$i; done
(for i in $(seq 1 3 2000); do rm -f churn/$i; echo more >> churn/$((i + 1)); done) & pid=$!
for i in 1 2 3 4 5; do
    mlops data add churn
    case $code in 0) ;; 74) expect_err "churn" ;; *) fail "adding what changes ended with $code" ;; esac
done
wait $pid
mlops data add churn; expect_ok
mlops data checkout churn --to churn2; expect_ok; diff -r churn churn2 || fail "what was added is not what is there"

# --- The same content from eight processes at once
rm -rf fresh && mkdir -p fresh/same && cd fresh
for i in $(seq 400); do echo "same $i" > same/$i; done; head -c 100000 /dev/urandom > same/large
"$MLOPS" init > /dev/null
for i in 1 2 3 4 5 6 7 8; do "$MLOPS" data add same --name d$i > add.$i 2>&1 & done
wait
for i in 1 2 3 4 5 6 7 8; do grep -q "added d$i@1" add.$i || fail "$(cat add.$i)"; done
for i in 1 2 3 4 5 6 7 8; do "$MLOPS" data add same --name one > add.$i 2>&1 & done
wait
expect_equal "$(sql "select count(*) from v_dataset_versions where dataset = 'one'")" 1
expect_equal "$(sql 'select count(distinct sha256) from v_dataset_versions')" 1
mlops store verify; expect_ok
mlops store gc --grace 0; expect_ok
for i in 1 5 8; do rm -rf copy; mlops data checkout d$i --to copy; expect_ok; diff -r same copy || fail "copy $i"; done
[ -z "$(ls .mlops/store/tmp)" ] || fail "something is left in tmp"
[ -z "$(ls .mlops/store/leases)" ] || fail "a lease outlived its process"
cd ..

# --- A full disk
if [ "$(id -u)" = 0 ] && mkdir -p mnt && mount -t tmpfs -o size=12m none mnt 2> /dev/null; then
    cleanups+=("umount -l '$here/mnt' 2> /dev/null")
    mkdir mnt/d && head -c 1000000 /dev/urandom > mnt/d/a
    ( cd mnt && "$MLOPS" init > /dev/null && mlops data add d && expect_ok
      for i in 1 2 3 4; do head -c 1000000 /dev/urandom > d/$i; done
      for i in $(seq 200); do head -c 9000 /dev/urandom > d/s$i; done
      mlops data add d; expect_exit 74; expect_err "No space left"
      mlops data versions d --json; expect_equal "$(json 'len(j["versions"])')" 1
      mlops store verify; expect_ok
      mv d/a ../a; rm d/*; mv ../a d/a; echo small > d/small
      mlops store gc --grace 0; expect_ok
      mlops data add d; expect_ok; expect_out "added d@2"
      rm -r d; mlops data checkout d; expect_ok; expect_file d/small small
    ) || exit 1
    umount mnt
else
    echo "SKIPPED: mounting needs root; the full disk was not tried"
fi

# --- Hardlinks: the objects themselves, which a run does not write into
mkdir -p hard/in && cd hard && "$MLOPS" init > /dev/null
head -c 40000 /dev/zero > in/a; cp in/a in/x; chmod +x in/x; echo small > in/s
mlops data add in; expect_ok; rm -r in
MLOPS_LINK=hardlink,copy mlops data checkout in; expect_ok
expect_equal "$(stat -c '%h %a' in/a)" "2 444"
expect_equal "$(stat -c '%h' in/x)" 1
[ -x in/x ] || fail "an executable file lost its bit"
printf 'name: h\nsteps:\n  keep: {run: "echo more >> in/a", outputs: [{path: in, persist: true}], cache: false}\n' > h.yaml
mlops run h.yaml -q; expect_ok
expect_equal "$(stat -c '%s %h' in/a)" "40005 1"
mlops store verify; expect_ok
printf 'name: w\nsteps:\n  make: {run: "head -c 30000 /dev/zero > made", outputs: made, inputs: h.yaml}\n' > w.yaml
mlops run w.yaml -q; rm made; MLOPS_LINK=hardlink mlops run w.yaml -q; expect_ok; expect_equal "$(stat -c %h made)" 2
MLOPS_LINK=hardlink mlops run w.yaml -q --force; expect_ok
echo '# v2' >> h.yaml; sed -i 's/30000/30001/' w.yaml; mlops run w.yaml -q; expect_ok; expect_equal "$(stat -c '%s %h' made)" "30001 1"
mlops store verify; expect_ok
MLOPS_LINK=symlink mlops data checkout in@1 --to y; expect_exit 2; expect_err "reflink, hardlink, copy"
