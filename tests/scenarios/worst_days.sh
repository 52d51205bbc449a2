# Full disks, read-only workspaces, floods of output, foreign owners.
. "$(dirname "$0")/common.sh"
printf 'name: p\nsteps:\n  a: {run: echo hello}\n' > p.yaml
mlops run p.yaml; expect_ok
mlops --version; expect_ok

# Read-only, as another user sees it and on a read-only mount.
if [ "$(id -u)" = 0 ] && command -v unshare > /dev/null && mkdir -p mnt && mount -t tmpfs -o size=64m none mnt 2>/dev/null; then
    cleanups+=("umount -l '$here/mnt' 2>/dev/null")
    export MLOPS_WORKSPACE=$here/mnt
    printf 'steps:\n  copy: {run: cp p.yaml o, inputs: [p.yaml], outputs: [o]}\n' > mnt/kept.yaml
    cp p.yaml mnt && ( cd mnt && "$MLOPS" run kept.yaml && "$MLOPS" run p.yaml ) > /dev/null || fail "run on tmpfs"
    mount -o remount,ro "$here/mnt" || fail remount
    for command in runs "show latest" "logs latest" status "sql select(1)" "plan p.yaml" "run kept.yaml --dry-run" "why a latest" "lineage o" "store stat"; do
        ( cd mnt && run "$MLOPS" $command; [ $code = 0 ] || fail "read-only: $command" ) || exit 1
    done
    ( cd mnt && mlops plan kept.yaml; expect_ok; expect_out "1 cached" ) || exit 1
    ( cd mnt && mlops run p.yaml; [ $code = 74 ] || fail "run on a read-only file system ended with $code"; expect_err "ead-only" ) || exit 1
    rm -f mnt/.mlops/mlops.db-wal 2>/dev/null
    umount mnt

    # A log that fills the disk: the step goes on, the run says what is missing, nothing else is lost.
    mount -t tmpfs -o size=24m none mnt || fail "mount"
    printf 'name: fill\nsteps:\n  a: {run: "head -c 60000000 /dev/zero; touch /tmp/mlops-filled-$$; rm /tmp/mlops-filled-$$"}\n  b: {run: echo ok, needs: a}\n' > mnt/fill.yaml
    cp p.yaml mnt
    ( cd mnt && mlops run p.yaml && expect_ok
      # The step itself is not hurt by a full disk, and the room that was kept for it is enough for the run's end.
      mlops run fill.yaml --quiet; expect_ok
      rm -f .mlops/runs/*/logs/a.1.log .mlops/runs/*/logs/a.1.log.tail
      mlops runs --json; expect_ok
      expect_equal "$(sql 'pragma integrity_check')" ok
      mlops show latest:fill --json; expect_ok
      expect_equal "$(json '["log incomplete: No space left" in a["note"] for a in j["steps"][0]["attempts"]]')" "[True]"
      mlops run p.yaml; expect_ok; expect_out "p succeeded"
    ) || exit 1
    umount mnt

    # Steps that fill even the smallest disk, and fail: that is recorded when it happens. When there is room again, all goes on.
    printf 'name: full\nsteps:\n  a: {run: "cat /dev/zero > big || exit 3"}\n' > full.yaml
    for size in 3m 16m; do
        mount -t tmpfs -o size=$size none mnt || fail "mount"
        cp p.yaml full.yaml mnt
        ( cd mnt && mlops run p.yaml && expect_ok; [ -s .mlops/ballast ] || fail "no ballast"
          mlops run full.yaml --quiet; expect_exit 1; expect_missing .mlops/ballast
          mlops show latest:full; expect_ok; expect_out "failed"; expect_out "exit code 3"
          cat /dev/zero > more 2> /dev/null; mlops run p.yaml; expect_exit 74; expect_err "free some space"
          expect_equal "$(ls .mlops/runs | wc -l)" 2
          rm big more; mlops run p.yaml; expect_ok; [ -s .mlops/ballast ] || fail "no ballast again"
          mlops fsck; expect_ok; expect_equal "$(sql "select state from runs where pipeline = 'full'")" failed
        ) || exit 1
        umount mnt
    done
    unset MLOPS_WORKSPACE
else
    echo "SKIPPED: mounts need root; full and read-only file systems were not tried"
    chmod -R a-w .mlops
    mlops runs; expect_ok
    chmod -R u+w .mlops
fi

# A workspace of another user is read and left as it is, also where one's own eyes see a dead run.
if [ "$(id -u)" = 0 ] && command -v setpriv > /dev/null; then
    stranger="setpriv --reuid=65534 --regid=65534 --clear-groups"
    $stranger test -x "$MLOPS" || { cp "$MLOPS" "$here/mlops"; MLOPS=$here/mlops; }
    chmod 755 "$here" .mlops .mlops/runs .mlops/runs/*; chmod 644 .mlops/mlops.db*
    before=$(cd .mlops && find . -printf '%p %T@ %s\n' | sort)
    for command in runs "show latest" "logs latest" status "sql select(1)"; do
        run $stranger "$MLOPS" $command; expect_ok
    done
    for command in "rm latest" "cancel latest" "store gc" "run --resume latest"; do
        run $stranger "$MLOPS" $command; expect_exit 74; expect_err "belongs to another user"
    done
    expect_equal "$(cd .mlops && find . -printf '%p %T@ %s\n' | sort)" "$before"
fi

# A workspace that others may write to is refused.
chmod o+w .mlops; mlops run p.yaml; expect_exit 74; expect_err "others may write"; chmod o-w .mlops

# A flood: head and tail are kept exactly, the middle is counted.
size=${FLOOD:-150000000}
printf 'name: flood\nsteps:\n  f: {run: "head -c %s /dev/zero | tr \\\\\\\\0 x; echo; echo the end"}\n' "$size" > flood.yaml
mlops run flood.yaml --quiet; expect_ok
expect_equal "$(sql "select log_bytes from v_attempts where step = 'f'")" $((size + 9))
expect_equal "$(stat -c %s .mlops/runs/*/logs/f.1.log)" $((64 << 20))
"$MLOPS" logs latest f | tail -1 > tail.txt; expect_file tail.txt "the end"
"$MLOPS" logs latest f | grep -c "bytes were not kept" > count.txt; expect_file count.txt 1

# One line without an end, shown live.
printf 'name: line\nsteps:\n  l: {run: "head -c 3000000 /dev/zero | tr \\\\\\\\0 y"}\n' > line.yaml
mlops run line.yaml; expect_ok

# A damaged database is reported, not trusted.
cp -r .mlops broken.mlops && mkdir dam && mv broken.mlops dam/.mlops
printf 'garbage garbage garbage garbage' | dd of=dam/.mlops/mlops.db conv=notrunc 2>/dev/null; rm -f dam/.mlops/mlops.db-wal dam/.mlops/mlops.db-shm
( cd dam; mlops runs; expect_exit 74; expect_err "fsck --rebuild" ) || exit 1
