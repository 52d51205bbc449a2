# Copies of the database: made while others write, put back, merged.
. "$(dirname "$0")/common.sh"
printf 'name: p\nparams: {n: 1}\nsteps:\n  a: {run: "echo log of a; echo ${params.n} > o", outputs: [o]}\n' > p.yaml
mlops run p.yaml; expect_ok
mlops run p.yaml --set n=2; expect_ok
count() { python3 -c 'import sqlite3, sys; print(sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True).execute("select count(*) from runs").fetchone()[0])' "$1"; }

# A backup, also while runs are recorded; never over something that is there, and never half of one.
mlops db backup b.db; expect_ok; expect_out "wrote b.db"
expect_equal "$(count b.db)" 2
expect_equal "$(stat -c %a b.db)" 600
mlops db backup b.db; expect_exit 2; expect_err "it exists"
mlops db backup nowhere/b.db; expect_exit 74; expect_err "nowhere"
( for n in 3 4 5 6 7 8; do "$MLOPS" run p.yaml --set n=$n > /dev/null || exit 1; done ) & busy=$!
for i in 1 2 3 4 5; do mlops db backup busy$i.db; expect_ok; done
wait $busy || fail "runs beside backups"
for i in 1 2 3 4 5; do python3 -c 'import sqlite3, sys; sys.exit(sqlite3.connect(sys.argv[1]).execute("pragma integrity_check").fetchone()[0] != "ok")' busy$i.db || fail "busy$i.db"; done
ls ./*.partial > /dev/null 2>&1 && fail "a partial copy is left"

# Snapshots: the newest few stay.
for i in 1 2 3; do mlops db snapshot --keep 2; expect_ok; done
expect_out "removed 1 older one"
mlops db snapshot --list --json; expect_ok; expect_equal "$(json 'len(j["snapshots"])')" 2

# Restored: what came later is gone from the record, and what was there is kept.
mlops run p.yaml --set n=9; expect_ok
mlops db restore latest --json; expect_ok; expect_equal "$(json 'j["runs"]')" 8
aside=$(json 'j["aside"]'); expect_equal "$(count "$aside")" 9
expect_equal "$("$MLOPS" runs --ids | wc -l)" 8
mlops run p.yaml; expect_ok
mlops db restore b.db; expect_ok; expect_out "2 runs"; mlops doctor --json > /dev/null
mlops db restore p.yaml; expect_exit 74; expect_err "p.yaml"
mlops db restore none.db; expect_exit 74; expect_err "no such file"
expect_equal "$("$MLOPS" runs --ids | wc -l)" 2

# Not below a run, a daemon, or whoever has it open.
printf 'steps: {a: {run: sleep 30}}\n' > long.yaml
"$MLOPS" run long.yaml > /dev/null & long=$!
goes_on() { [ "$(sql "select count(*) from runs where state = 'running'")" = 1 ]; }
wait_for 10 goes_on
mlops db restore b.db; expect_exit 5; expect_err "goes on"
kill -INT $long; wait $long
printf 'schedule: "@yearly"\nsteps: {a: {run: "true"}}\n' > yearly.yaml
"$MLOPS" daemon yearly.yaml > daemon.log 2>&1 & daemon=$!; cleanups+=("kill -9 $daemon 2>/dev/null")
wait_for 10 grep -q serving daemon.log
mlops db restore b.db; expect_exit 5; expect_err "a daemon serves"
kill $daemon; wait $daemon
python3 -c '
import sqlite3, time
db = sqlite3.connect(".mlops/mlops.db"); db.execute("select count(*) from runs").fetchone(); open("open", "w").close(); time.sleep(60)' & reader=$!
cleanups+=("kill -9 $reader 2>/dev/null"); wait_for 10 test -e open
mlops db restore b.db; expect_exit 5; expect_err "process $reader has it open"
kill -9 $reader; { wait $reader; } 2> /dev/null
mlops db restore b.db; expect_ok

# A damaged copy is refused, and the database stays as it is.
cp busy5.db bad.db; python3 -c '
data = bytearray(open("bad.db", "rb").read())
for at in range(8192, len(data), 4096): data[at:at + 64] = b"\xff" * 64
open("bad.db", "wb").write(data)'
mlops db restore bad.db; expect_exit 74; expect_err "it is damaged"
mlops db merge bad.db; expect_exit 74; expect_err "it is damaged"
expect_equal "$("$MLOPS" runs --ids | wc -l)" 2

# A merge: runs of both, with tags and logs; the same again changes nothing.
mkdir other; cp p.yaml other; cd other; export MLOPS_WORKSPACE=$here/other
mlops init > /dev/null; mlops run p.yaml --set n=77; expect_ok; theirs=$("$MLOPS" runs --ids)
mlops db merge .; expect_exit 2; expect_err "with itself"
cd ..; unset MLOPS_WORKSPACE
mlops db merge other --dry-run; expect_ok; expect_out "would merge 1 run"
expect_equal "$("$MLOPS" runs --ids | wc -l)" 2
mlops db merge other; expect_ok; expect_out "merged 1 run of other: 1 added"
expect_equal "$("$MLOPS" runs --ids | wc -l)" 3
mlops logs "$theirs"; expect_ok; expect_out "log of a"
mlops show "$theirs" --json; expect_ok; expect_equal "$(json 'j["state"]')" succeeded
before=$("$MLOPS" sql "select * from v_steps order by run_id")
mlops db merge other --json; expect_ok; expect_equal "$(json 'j["added"], j["updated"], j["known"], j["logs"]')" "(0, 0, 1, 0)"
expect_equal "$("$MLOPS" sql "select * from v_steps order by run_id")" "$before"
# Of an earlier version of the schema, and from a copy alone: a copy is brought up to date, not the source.
mlops db merge busy5.db; expect_ok
cp other/.mlops/mlops.db old.db; python3 -c 'import sqlite3; db = sqlite3.connect("old.db"); db.execute("pragma user_version = 99"); db.commit()'
mlops db merge old.db; expect_exit 74; expect_err "schema is version 99"
mlops db merge p.yaml; expect_exit 74; mlops db merge nowhere; expect_exit 2
mkdir empty; mlops db merge empty; expect_exit 2; expect_err "no workspace"
expect_equal "$(find .mlops -name 'merge.*' | wc -l)" 0
exit 0
