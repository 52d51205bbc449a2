# kill -9 at every point of publishing, restoring and collecting where a crash leaves another state.
. "$(dirname "$0")/common.sh"
[ "${BUILD_TYPE:-}" = Debug ] || skip "failpoints are in debug builds only (presets dev, asan, tsan)"

files() { mkdir -p "$1"; for i in $(seq "$2" "$3"); do printf '%s %0400d\n' "$1" "$i" > "$1/f$i"; done; }
large() { for i in $(seq "$2" "$3"); do head -c 30000 /dev/zero | tr '\0' x > "$1/l$i"; echo "$i" >> "$1/l$i"; done; }
dies_at() {   # dies_at POINT COMMAND…
    local point=$1; shift
    MLOPS_FAILPOINT=$point run "$MLOPS" "$@"
    expect_exit 137
}
whole() {     # whole NAME DIRECTORY: the newest version is what lies there
    rm -rf copy; mlops data checkout "$1" --to copy; expect_ok
    diff -r --no-dereference "$2" copy > /dev/null || fail "$1 does not come back as it was"
}
clean() {     # the store is sound, gc has an end
    mlops store verify; expect_ok; expect_out "0 damaged"
    mlops store gc --grace 0; expect_ok
    mlops store gc --grace 0; expect_ok; expect_out "removed 0 objects"
    [ -z "$(ls .mlops/store/tmp .mlops/store/leases | grep -v :)" ] || fail "leftovers in the store"
    [ ! -e .mlops/store/incomplete ] || fail "still incomplete"
}

# --- Publishing
for point in objects_written objects_synced object_renamed object_renamed:3 objects_renamed pack_written pack_synced \
             pack_renamed pack_indexed commit commit:2 commit:3; do
    rm -rf .mlops data; echo seed > seed; mlops data add seed; expect_ok
    files data 1 300; large data 1 5
    dies_at $point data add data
    mlops store verify; expect_ok
    mlops data add data; expect_ok; whole data data
    # Once more over a version that is there.
    echo changed > data/f7; large data 6 8; files data 301 400
    dies_at $point data add data
    mlops data add data; expect_ok; whole data data; clean; whole data data
done

# --- Publishing more than one turn holds: over 512 files of their own, over 8 MiB of packed ones, read by all threads.
# A file index that knows them all makes the list the first thing that a later add asks the store for.
rm -rf .mlops data; mkdir data
head -c 24000000 /dev/urandom | split -a 4 -b 16500 - data/l
head -c 18000000 /dev/urandom | split -a 4 -b 15500 - data/s
cp -r data all
printf "name: p\nsteps: {a: {run: 'ls data | wc -l > n', inputs: data, outputs: n}}\n" > p.yaml
for point in objects_synced:2 object_renamed:700 objects_renamed objects_renamed:2 pack_renamed pack_renamed:2 pack_indexed commit; do
    rm -rf .mlops; mlops run p.yaml -q --no-cache; expect_ok
    dies_at $point data add data
    mlops data add data; expect_ok; expect_out "added data@1"; whole data all
    mlops store verify; expect_ok
done
# While the files of the first turn are synced, nothing of the second appears.
if command -v strace > /dev/null && strace -qq -o /dev/null true 2> /dev/null; then
    rm -rf .mlops; mlops run p.yaml -q --no-cache; expect_ok
    strace -f -qq -o /dev/null -e trace=syncfs -e inject=syncfs:delay_enter=2000000 "$MLOPS" data add data > /dev/null 2>&1 & tracer=$!
    wait_for 20 test -d .mlops/store/packs
    sleep 1.5
    pid=$(pgrep -P $tracer); kill -9 $pid; wait $tracer 2> /dev/null
    mlops data add data; expect_ok; whole data all; mlops store verify; expect_ok
else
    echo "SKIPPED: strace is needed to delay a sync"
fi

# --- A version that is not whole is told of, and made whole by adding its files again
rm -rf .mlops data; cp -r all data; mlops data add data; expect_ok
lost=$(find .mlops/store/objects -type f | head -1); rm -f "$lost"
mlops data add data; expect_ok; expect_out "unchanged"     # nobody has noticed
mlops store verify; expect_exit 3; expect_out "data@1 is not whole: 1 content is not in the store"; expect_out "mlops data add data"
mlops store verify --json; expect_equal "$(json '[(w["name"], w["missing"]) for w in j["not_whole"]]')" "[('data@1', 1)]"
mlops data add data; expect_ok; expect_out "made data@1 whole"; whole data all; clean
find .mlops/store/objects -type f -newer p.yaml | head -3 | xargs rm -f
mlops data checkout data --to copy2; expect_exit 74; expect_err "not whole"
mlops data add data; expect_ok; expect_out "made data@1 whole"; whole data all; clean

# --- Restoring: the old directory or the new one, never a mixture, and nothing left beside it
rm -rf .mlops data; files data 1 100; large data 1 3; mlops data add data; expect_ok; cp -r data first
echo second > data/f1; rm data/f2; mlops data add data; expect_ok; cp -r data second
for point in restore_file_made restore_file_made:50 restore_made restore_placed; do
    dies_at $point data checkout data@1
    diff -r data first > /dev/null || diff -r data second > /dev/null || fail "$point left a mixture"
    mlops data checkout data@1; expect_ok; diff -r data first > /dev/null || fail "$point: not checked out"
    [ -z "$(ls -d .mlops-* 2> /dev/null)" ] || fail "$point left something in the work tree"
    mlops data checkout data@2; expect_ok
done
clean

# --- Collecting: dead packs, packs that are rewritten, packs of which a part is forgotten, files
rm -rf .mlops a b c data; files a 1 300; files b 1 300; large b 1 2; files c 1 300; large c 3 6
for name in a b c; do cp -r $name $name.all; done
for point in gc_objects_forgotten gc_pack_rewritten gc_packs_forgotten gc_packs_forgotten:2 gc_pack_removed gc_pack_removed:2 \
             gc_object_removed gc_object_removed:3 gc_swept pack_written pack_synced pack_renamed pack_indexed commit:2 commit:3; do
    rm -rf .mlops; for name in a b c; do rm -rf $name; cp -r $name.all $name; mlops data add $name; expect_ok; done
    for i in $(seq 10); do rm a/f$i; done; mlops data add a; mlops data rm a@1; expect_ok
    for i in $(seq 280); do rm b/f$i; done; mlops data add b; mlops data rm b@1; expect_ok
    mlops data rm c; expect_ok
    dies_at $point store gc --grace 0
    mlops store verify; expect_ok
    whole a a; whole b b
    # What was going away comes back whole.
    for name in a b c; do mlops data add $name.all --name $name; expect_ok; whole $name $name.all; done
    clean
    for name in a b c; do whole $name $name.all; done
done

# --- Damage that is found by a process which dies while it says so
rm -rf .mlops; mlops data add a; expect_ok
object=$(find .mlops/store/packs -name '*.pack'); chmod u+w "$object"
printf X | dd of="$object" bs=1 seek=40 conv=notrunc 2> /dev/null
dies_at quarantine_marked store verify
mlops store verify; expect_exit 3
mlops data add a; expect_ok; whole a a; clean; whole a a
