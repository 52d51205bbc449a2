# Records that were damaged: found, mended, made anew.
. "$(dirname "$0")/common.sh"
cat > p.yaml <<'Y'
name: p
params: {n: 1}
steps:
  a: {run: "echo log of a; echo ${params.n} > a.out; echo '{\"loss\": 0.5}' > m.json", outputs: [a.out], metrics: [m.json], cache: true}
  b: {run: "cat a.out > b.out; echo rows=5 >> $MLOPS_OUTPUT", inputs: [a.out], outputs: [b.out]}
Y
printf 'name: bad\nsteps:\n  a: {run: "exit 3"}\n' > bad.yaml
# all: what is known of the runs, for comparing.
all() {
    "$MLOPS" sql "select id, pipeline, state, reason, exit_code, duration_ms, resumes from runs order by id"
    "$MLOPS" sql "select run_id, step, name, state, attempts, source_run from v_steps order by run_id, step"
    "$MLOPS" sql "select run_id, step, attempt, cause, exit_code from v_attempts order by run_id, step, attempt"
    "$MLOPS" sql "select run_id, step, path, size, sha256 from v_artifacts order by run_id, step, path"
    "$MLOPS" sql "select run_id, step, name, value from v_metrics order by run_id, step, name"
    "$MLOPS" sql "select * from step_outputs order by run_id, step"
    "$MLOPS" sql "select * from run_params order by run_id, name"
}
sqlite() { python3 - "$@" <<'P'
import sqlite3, sys
db = sqlite3.connect(".mlops/mlops.db"); db.execute("pragma writable_schema = off")
for statement in sys.argv[1:]: db.execute(statement)
db.commit(); db.close()
P
}
mlops fsck; expect_exit 2; expect_err "no workspace"
mlops init > /dev/null; rm -f pipeline.yaml; mlops fsck; expect_ok
mlops run p.yaml; expect_ok; first=$("$MLOPS" runs --ids | head -1)
mlops run p.yaml; expect_ok                     # both steps are cached
mlops run p.yaml --set n=2; expect_ok
mlops run bad.yaml; expect_exit 1
fourth=$("$MLOPS" runs --ids | head -1)
mlops fsck; expect_ok; expect_out "nothing is wrong"; expect_out "4 runs, 4 compared"
mlops fsck --full --json; expect_ok; expect_equal "$(json 'j["sound"], j["findings"], j["compared"]')" "(True, [], 4)"
truth=$(all)
is_whole() { mlops fsck; expect_ok; expect_out "nothing is wrong"; is_true; }
is_true() { diff <(echo "$truth") <(all) > "$here/.diff" || { head -20 "$here/.diff" >&2; fail "the records are not what they were"; }; }
taken() { rm -f b.out; mlops run p.yaml; expect_ok; expect_out "2 cached"; mlops rm latest; expect_ok; }

# What another program has changed or deleted is found by the records in the directories, and put back.
sqlite "update attempts set exit_code = 0 where exit_code = 3" "update runs set state = 'succeeded' where state = 'failed'"
mlops fsck; expect_exit 3; expect_out "run $fourth: is not as its directory has it"; expect_out "mlops fsck --repair"
mlops fsck --repair; expect_ok; expect_out "mended: run $fourth"; is_whole
mlops fsck --repair; expect_ok; expect_no_out mended
sqlite "update metric_latest set value = 0.25" "update metrics set value = 0.25"
mlops fsck --json; expect_exit 3; expect_out "metrics"; mlops fsck --repair; expect_ok; is_whole
sqlite "delete from runs where id = '$first'"   # without a care for what refers to it
mlops fsck; expect_exit 74; expect_out "a row of"; expect_out "run $first: is in .mlops/runs/$first, but not in the database"
mlops fsck --repair; expect_ok; is_whole; taken
sqlite "pragma foreign_keys = on" "delete from runs where id = '$first'"
mlops fsck; expect_exit 3; mlops fsck --repair; expect_ok; is_whole; taken
sqlite "update runs set state = 'running', exit_code = null where id = '$fourth'"
mlops fsck; expect_exit 3; mlops fsck --repair; expect_ok; is_whole
mlops runs tag "$first" keep=1; mlops pin "$first"
sqlite "update steps set state = 'failed' where run_id = '$first'"
mlops fsck --repair; expect_ok; is_whole
expect_equal "$(sql "select count(*) from tags")$(sql "select count(*) from pinned_runs")" 11
mlops unpin "$first"; mlops runs untag "$first" keep

# Exit records decide where there is no other record; without records there is nothing to be said but that.
rm .mlops/runs/*/record.json
mlops fsck; expect_ok; expect_out "4 runs have no record"
sqlite "update attempts set exit_code = 0 where exit_code = 3"
mlops fsck; expect_exit 3; expect_out "attempt 1 of step 0 ended otherwise"
mlops fsck --repair; expect_ok; expect_out "wrote the records"; is_whole; expect_exists ".mlops/runs/$first/record.json"
echo '{}' > ".mlops/runs/$first/record.json"
mlops fsck; expect_exit 3; expect_out "is damaged"; mlops fsck --repair; expect_ok; is_whole

# The database is gone, cut off, or something else.
damage_whole() { case $1 in
    gone) rm -f .mlops/mlops.db* ;;
    empty) rm -f .mlops/mlops.db-*; : > .mlops/mlops.db ;;
    cut) rm -f .mlops/mlops.db-*; truncate -s 9000 .mlops/mlops.db ;;
    text) rm -f .mlops/mlops.db-*; echo "not a database, whatever its name says" > .mlops/mlops.db ;;
    zeroes) rm -f .mlops/mlops.db-*; dd if=/dev/zero of=.mlops/mlops.db bs=4096 seek=1 count=20 conv=notrunc 2> /dev/null ;;
    esac; }
for how in gone empty cut text zeroes; do
    damage_whole $how
    for command in runs "show latest" "why a" "rm latest"; do
        # shellcheck disable=SC2086
        mlops $command; expect_exit 74; expect_err "mlops fsck"
    done
    mlops sql "select id from runs"; expect_exit 74; expect_err "mlops fsck"
    mlops fsck; expect_exit 74; expect_out "mlops fsck --rebuild"
    mlops fsck --repair; expect_exit 74; expect_err "mlops fsck --rebuild"
    mlops fsck --rebuild; expect_ok; expect_out "4 runs and"
    if [ $how = gone ]; then expect_out "not back: what is in no directory of a run"; else ls .mlops/mlops.db.damaged-* > /dev/null || fail "$how: nothing is set aside"; fi
    is_whole; taken
    mlops show "$first"; expect_ok; expect_out "loss"
    mlops logs "$first" a; expect_ok; expect_out "log of a"
    mlops fsck --rebuild; expect_ok; is_whole
    rm -f .mlops/mlops.db.damaged-*
done

# What could still be read stays, though it is in no directory of a run.
mlops runs tag "$first" keep=1
printf 'schedule: "@yearly"\nsteps: {a: {run: "true"}}\n' > yearly.yaml
mlops schedule add yearly.yaml; expect_ok
python3 - <<'P'
import sqlite3
db = sqlite3.connect(".mlops/mlops.db"); db.execute("pragma wal_checkpoint(truncate)")
root, = db.execute("select rootpage from sqlite_schema where name = 'attempts'").fetchone(); size, = db.execute("pragma page_size").fetchone(); db.close()
data = bytearray(open(".mlops/mlops.db", "rb").read()); data[(root - 1) * size:root * size] = b"\xff" * size
open(".mlops/mlops.db", "wb").write(data)
P
mlops show latest; expect_exit 74; expect_err "mlops fsck"
mlops fsck --rebuild --json; expect_ok; expect_equal "$(json 'j["rebuilt"]["read"], j["rebuilt"]["runs"], j["sound"]')" "(4, 4, True)"
is_whole
expect_equal "$(sql "select count(*) from tags")$(sql "select count(*) from schedules")" 11
mlops runs untag "$first" keep

# Indexes alone are made again from the rows.
python3 - <<'P'
import sqlite3
db = sqlite3.connect(".mlops/mlops.db")
db.execute("pragma writable_schema = on")
db.execute("update sqlite_schema set sql = replace(sql, 'runs(state, id)', 'runs(host, id)') where name = 'runs_by_state'"); db.commit(); db.close()
db = sqlite3.connect(".mlops/mlops.db"); db.execute("reindex runs_by_state"); db.execute("pragma writable_schema = on")
db.execute("update sqlite_schema set sql = replace(sql, 'runs(host, id)', 'runs(state, id)') where name = 'runs_by_state'"); db.commit()
P
mlops fsck; expect_exit 74; expect_out "index runs_by_state"; expect_out "mlops fsck --repair"
mlops fsck --repair; expect_ok; expect_out "indexes were made again"; is_whole

# A run whose runner was killed when nothing else knew of it: its exit records tell.
printf 'name: two\nsteps:\n  a: {run: "true"}\n  b: {run: sleep 30, needs: a}\n' > two.yaml
"$MLOPS" run two.yaml > /dev/null 2>&1 & runner=$!
begun() { [ "$(sql "select count(*) from attempts a join runs r on r.id = a.run_id where r.pipeline = 'two'")" = 2 ]; }
sees_b() { [ "$("$MLOPS" status | grep -c '^  b')" = 1 ]; }
wait_for 10 sees_b
two=$("$MLOPS" runs --ids | head -1)
mlops fsck; expect_ok
mlops fsck --repair; expect_exit 5; expect_err "run $two goes on"
mlops fsck --rebuild; expect_exit 5; expect_err "run $two goes on"
kill -9 "$(cut -d' ' -f1 ".mlops/runs/$two/runner.lock")" "$(cut -d' ' -f1 ".mlops/runs/$two/keeper.lock")"; { wait $runner; } 2> /dev/null
rm -f .mlops/mlops.db*
mlops fsck --rebuild; expect_ok; expect_out "1 put together from exit records"
expect_equal "$(sql "select state from runs where id = '$two'")" interrupted
expect_equal "$(sql "select group_concat(state) from steps where run_id = '$two'")" '"succeeded,lost"'
mlops fsck; expect_ok
mlops rm "$two"; expect_ok; is_whole

# A run that was deleted does not come back, whatever was left of it.
cp -a ".mlops/runs/$fourth" kept; mlops rm "$fourth"; expect_ok; cp -a kept ".mlops/runs/$fourth"
mlops fsck; expect_ok; expect_out "is left of a run that was deleted"
rm -f .mlops/mlops.db*; mlops fsck --rebuild; expect_ok; expect_missing ".mlops/runs/$fourth"
expect_equal "$("$MLOPS" runs --ids | wc -l)" 3
# What it handed over to others comes back with those.
mlops rm "$first"; expect_ok; truth=$(all)
mlops fsck; expect_ok; rm -f .mlops/mlops.db*; mlops fsck --rebuild; expect_ok; is_whole; taken
# A run without its directory keeps its row.
second=$("$MLOPS" runs --ids | tail -1); rm -r ".mlops/runs/$second"
mlops fsck; expect_ok; expect_out "1 run has no directory"; mlops fsck --repair; expect_ok
mlops rm "$second"; expect_ok

# The store: an object of the wrong size, a pack that is gone, an index that is none.
head -c 40000 /dev/urandom > large; printf 'name: l\nsteps:\n  c: {run: "cp large copy", inputs: [large], outputs: [copy]}\n' > l.yaml
mlops run l.yaml; expect_ok
object=$(find .mlops/store/objects -type f -size +30k | head -1); chmod u+w "$object"; truncate -s 100 "$object"
mlops fsck; expect_exit 3; expect_out "has not the size"; mlops fsck --repair; expect_ok; expect_out "was set aside"
rm copy; mlops run l.yaml; expect_ok; cmp -s large copy || fail "copy is not what it was"
object=$(find .mlops/store/objects -type f -size +30k | head -1); chmod u+w "$object"
printf X | dd of="$object" bs=1 seek=20000 conv=notrunc 2> /dev/null
mlops fsck; expect_ok; mlops fsck --full; expect_exit 3; expect_out "was damaged"; mlops fsck --full; expect_ok
rm copy; mlops run l.yaml; expect_ok; cmp -s large copy || fail "copy is not what it was"
for pack in .mlops/store/packs/*.pack; do rm -f "$pack"; break; done
if [ -n "${pack:-}" ] && [ "$pack" != '.mlops/store/packs/*.pack' ]; then
    mlops fsck; expect_exit 3; expect_out "is gone or cut off"; mlops fsck --repair; expect_ok; mlops fsck; expect_ok
fi
dd if=/dev/urandom of=.mlops/store/index.db bs=4096 seek=1 count=3 conv=notrunc 2> /dev/null
mlops fsck; expect_exit 3; expect_out "index of the store"; mlops fsck --repair; expect_ok; mlops fsck; expect_ok

# Many steps that found nothing to do: a record that refers to another one, which may go.
python3 -c '
print("name: many\nsteps:")
for i in range(60): print(f"  s{i}: {{run: \"echo {i} > many{i}\", outputs: [many{i}], cache: true}}")' > many.yaml
mlops run many.yaml; expect_ok; maker=$("$MLOPS" runs --ids | head -1)
mlops run many.yaml; expect_ok; basis=$("$MLOPS" runs --ids | head -1)
mlops run many.yaml; expect_ok; mlops run many.yaml; expect_ok
grep -q '"repeats"' ".mlops/runs/$("$MLOPS" runs --ids | head -1)/record.json" || fail "a repeat has a record of its own"
[ "$(stat -c %s ".mlops/runs/$("$MLOPS" runs --ids | head -1)/record.json")" -lt 3000 ] || fail "a repeat's record is large"
mlops rm "$basis"; expect_ok; mlops rm "$maker"; expect_ok; truth=$(all)
mlops fsck; expect_ok; rm -f .mlops/mlops.db*; mlops fsck --rebuild; expect_ok; is_whole
exit 0
