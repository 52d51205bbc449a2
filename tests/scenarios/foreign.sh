# What was there before, and is not what it seems: other programs' files, damaged numbers, older histories, other users.
. "$(dirname "$0")/common.sh"
cat > p.yaml <<'END'
name: p
params: {rate: 4}
steps:
  a:
    run: echo ${params.rate} > o
    inputs: [p.yaml]
    outputs: [o]
END
for rate in 1 2; do mlops run p.yaml --set rate=$rate; expect_ok; done
cp -r .mlops sound
again() { rm -rf .mlops; cp -r sound .mlops; }
byte() { printf "$(printf '\\x%02x' "$2")" | dd of=.mlops/mlops.db bs=1 seek="$1" conv=notrunc 2> /dev/null; }

# A turned bit in the number of the schema: tables tell which it is.
byte 63 15; mlops runs; expect_exit 74; mlops fsck --rebuild; expect_ok; mlops runs --ids; expect_equal "$(echo "$out" | wc -l)" 2
# One that a later version has added to is not ours to take apart.
again; python3 -c 'import sqlite3; d = sqlite3.connect(".mlops/mlops.db"); d.execute("create table later(a)"); d.execute("pragma user_version = 15"); d.commit()'
mlops fsck --rebuild; expect_exit 74; expect_err "update mlops"; ls .mlops | grep -q damaged && fail "a later version's database was put aside"
again; byte 63 12; mlops run p.yaml; expect_exit 74; expect_err "fsck --rebuild"; mlops fsck --rebuild; expect_ok

# A database of another program is neither read nor written to.
again; rm -f .mlops/mlops.db*; python3 -c 'import sqlite3; d = sqlite3.connect(".mlops/mlops.db"); d.execute("create table x(a)"); d.commit()'
before=$(sha256sum < .mlops/mlops.db)
for command in runs "run p.yaml" status; do mlops $command; expect_exit 74; expect_err "none of mlops"; done
expect_equal "$(sha256sum < .mlops/mlops.db)" "$before"

# Something else where SQLite's files have to be.
again; rm -f .mlops/mlops.db-shm; ln -s /etc/hostname .mlops/mlops.db-shm
mlops fsck; expect_exit 74; expect_out "mlops.db-shm: is no regular file"; mlops doctor; expect_out "no regular file"

# An older copy, put in place by hand: told by each command until the runs are back, also by a run that repeats another.
again; cp .mlops/mlops.db old; mlops run p.yaml --set rate=3; expect_ok; cp old .mlops/mlops.db
for command in runs status "run p.yaml" runs "run p.yaml" "show latest"; do mlops $command; expect_ok; expect_err "the database does not know run"; done
mlops fsck --repair; expect_ok; mlops runs; expect_ok; expect_equal "$err" ""
python3 -c '
print("name: wide\nsteps:")
for i in range(60): print(f"  s{i}: {{run: echo {i} > w{i}, inputs: [p.yaml], outputs: [w{i}]}}")' > wide.yaml
for _ in 1 2 3; do mlops run wide.yaml; expect_ok; done
cp .mlops/mlops.db old; mlops run p.yaml --set rate=5; expect_ok; cp old .mlops/mlops.db
mlops run wide.yaml; expect_ok; expect_err "the database does not know run"; mlops runs; expect_err "the database does not know run"
mlops fsck --repair; expect_ok

# Without its ledger nobody knows which slots have run.
sed 's/^name: p/name: s\nschedule: "@hourly"/' p.yaml > s.yaml; mlops run s.yaml --slot now; expect_ok
rm -f .mlops/mlops.db*; mlops run s.yaml --slot now; expect_exit 74; expect_err "is gone"; mlops fsck --rebuild; expect_ok

# The row of an output that a damaged page took along: the step has that output all the same.
again; python3 -c 'import sqlite3; d = sqlite3.connect(".mlops/mlops.db"); d.execute("delete from artifacts where path = \"o\" and run_id = (select max(run_id) from artifacts)"); d.commit()'
rm o; mlops run p.yaml --set rate=2; expect_ok; expect_equal "$(cat o)" 2

# How a run was asked for, changed since: a resume does not run with other params than those on record.
again; printf 'name: y\nparams: {rate: 4}\nsteps:\n  a:\n    run: test -e ok && echo rate ${params.rate}\n' > y.yaml
mlops run y.yaml --set rate=6; expect_exit 1; id=$("$MLOPS" runs --ids | head -1); touch ok
sed -i 's/rate=6/rate=7/' ".mlops/runs/$id/run.json"; mlops run --resume "$id"; expect_exit 74; expect_err "other params"
sed -i 's/rate=7/rate=6/' ".mlops/runs/$id/run.json"; mlops run --resume "$id"; expect_ok; mlops logs "$id"; expect_out "rate 6"

# A clock that was ahead: the copy just made is not the one that goes.
mkdir -p .mlops/snapshots; for year in 2198 2199; do cp .mlops/mlops.db ".mlops/snapshots/$year-01-01T000000.000Z.db"; done
mlops db snapshot --keep 2; expect_ok; expect_equal "$(ls .mlops/snapshots | grep -vc 219)" 1; expect_equal "$(ls .mlops/snapshots | wc -l)" 2

# Pipes: nobody waits for them.
rm -f .mlops/removed; mkfifo .mlops/removed; run timeout 10 "$MLOPS" rm latest; expect_exit 74; run timeout 10 "$MLOPS" fsck; [ $code != 124 ] || fail "fsck waits for a pipe"
rm .mlops/removed; rm ".mlops/runs/$id/record.json"; mkfifo ".mlops/runs/$id/record.json"; run timeout 10 "$MLOPS" fsck; expect_exit 3
rm ".mlops/runs/$id/record.json"

# A user who may not look is told so, not that nothing is there.
if [ "$(id -u)" = 0 ] && command -v setpriv > /dev/null; then
    stranger="setpriv --reuid=65534 --regid=65534 --clear-groups"
    $stranger test -x "$MLOPS" || { cp "$MLOPS" "$here/mlops"; MLOPS=$here/mlops; }
    chmod 755 "$here"; chmod 700 .mlops
    for command in fsck runs status "show latest"; do run $stranger "$MLOPS" $command; expect_exit 74; expect_err "Permission denied"; done
fi
exit 0
