# Results on a remote: a directory here; ssh and S3 have scenarios of their own, with the same core.
. "$(dirname "$0")/common.sh"
. "$SOURCE_DIR/tests/scenarios/remotes_common.sh"

make_project
remote_core "$here/remote"

# --- What is asked for badly
cd "$here/one" || exit 1
for url in ftp://h/x ssh://h s3:// 's3://K:S@bucket' ssh://u:p@h/x; do
    mlops remote add bad "$url"; expect_exit 2
done
mlops remote add -x /x; expect_exit 2
mlops remote add "a b" /x; expect_exit 2; expect_err "cannot call a remote"
mlops remote add first /x; expect_exit 2; expect_err "already"
mlops remote rm nosuch; expect_exit 2; expect_err "no remote 'nosuch'"
mlops push --remote frist; expect_exit 2; expect_err "did you mean 'first'"
mlops push nosuch; expect_exit 2; expect_err "no run 'nosuch'"
mlops fetch nosuch; expect_exit 2; expect_err "neither here nor there"
mlops push --all latest; expect_exit 2
mlops push --jobs 0; expect_exit 2
mkdir "$here/fresh" && cd "$here/fresh" && mlops fetch; expect_exit 2; expect_err "no remote to get anything from"
expect_err "mlops remote add NAME URL"; expect_missing .mlops; cd "$here/one"
mlops remote add second "$here/second"; expect_ok; expect_out "first stays the one that push, fetch and pull take"
mlops remote list; expect_ok; expect_out second
mlops push --dry-run; expect_ok; expect_out "to first"
sed -i '/^default_remote/d' .mlops/config.yaml
mlops push; expect_exit 2; expect_err "say which"
mlops remote add second "$here/second" --force --default; expect_ok
mlops push; expect_ok; expect_out "to second"
mlops remote list --json; expect_equal "$(json '[r["default"] for r in j["remotes"]]')" "[False, True]"
mlops store where model.bin; expect_ok; expect_out "in the store"; expect_out "on first"; expect_out "on second"
mlops store where "$(sha256sum < model.bin | cut -d' ' -f1)" --json; expect_ok
expect_equal "$(json '[p["remote"] for p in j["places"]]')" "[None, 'first', 'second']"
mlops store where tree; expect_ok; expect_out "contents"
mlops store where "$(printf %064d 0)"; expect_exit 3; expect_out nowhere
mlops store where nosuch; expect_exit 2
echo 'remotes: {first: {path: /x}}' > broken.yaml
cp .mlops/config.yaml good.yaml; cp broken.yaml .mlops/config.yaml
mlops push; expect_exit 2; expect_err ".mlops/config.yaml:1:19"
mlops push --json; expect_exit 2; expect_equal "$(json 'j["error"]["exit_code"]')" 2
cp good.yaml .mlops/config.yaml

# --- A run that failed is sent by its name, shown elsewhere, and resumed only where it ran
printf 'name: f\nsteps:\n  good: {run: "echo good > good.txt", inputs: [f.yaml], outputs: [good.txt]}\n  bad: {run: "exit 1", needs: good}\n' > f.yaml
mlops run f.yaml -q; expect_exit 1
id=$("$MLOPS" runs --ids --limit 1)
mlops runs tag "$id" sent=yes; expect_ok
mlops push "${id: -6}" --remote first --json; expect_ok; expect_equal "$(json 'j["runs"]')" 1
cd "$here/two" || exit 1
mlops fetch "${id: -6}"; expect_ok; expect_out "1 run"
mlops runs --tag sent=yes --ids; expect_equal "$out" "$id"
mlops show "$id"; expect_ok; expect_out failed
mlops run --resume "$id"; expect_exit 2; expect_err "only its record is here"
mlops pull "$id"; expect_ok; expect_file good.txt good
mlops rm "$id"; expect_ok
cd "$here/one" || exit 1

# --- Git takes the configuration, and nothing else of the workspace; a clone finds the remote
git init -q . && git add -A && git -c user.name=x -c user.email=x commit -qm x
expect_equal "$(git ls-files .mlops | tr '\n' ' ')" ".mlops/.gitignore .mlops/config.yaml "
(umask 022; git clone -q . "$here/clone"); cd "$here/clone" || exit 1
rm -rf model.bin tree values.txt
mlops pull --remote first; expect_ok; expect_exists model.bin
expect_equal "$(git status --porcelain | wc -l)" 0

# --- Wrong bytes on the remote are refused, and the rest is taken
mkdir "$here/three"; cd "$here/three" || exit 1
mlops remote add first "$here/remote"
digest=$(sha256sum < "$here/one/model.bin" | cut -d' ' -f1); large=$here/remote/objects/${digest:0:2}/${digest:2}
cp "$large" "$here/saved"; chmod u+w "$large"; printf X | dd of="$large" bs=1 seek=9 conv=notrunc 2> /dev/null
mlops fetch; expect_exit 74; expect_out "refused"; expect_out "the bytes there are not those of its name"
mlops store verify; expect_ok; expect_out " 0 damaged"
cp "$here/saved" "$large"
mlops fetch; expect_ok; expect_out "fetched 1 object"
record=$(find "$here/remote/runs" -type f | head -n 1)
sed -i 's/"succeeded"/"cancelled"/' "$record"
mkdir "$here/four"; cd "$here/four" || exit 1
mlops remote add first "$here/remote"
mlops fetch --json; expect_exit 74
expect_equal "$(json 'len(j["problems"])')" 1
expect_out "not those that were written"
# Whoever has it whole mends it.
rm "$record"; cd "$here/one" || exit 1
mlops push --all --remote first; expect_ok; expect_out "1 run"
cd "$here/four" && mlops fetch && expect_ok

# --- The remote is not there, or may not be written to
cd "$here/one" || exit 1
mv "$here/remote" "$here/away"
mlops push --remote first; expect_exit 69; expect_err "used before"; expect_missing "$here/remote"
mlops fetch --remote first; expect_exit 69
mv "$here/away" "$here/remote"
mlops remote add gone "$here/no/such/place"; mlops push --remote gone; expect_exit 69; expect_err "mounted"
expect_missing "$here/no"
touch "$here/file"; mlops remote add file "$here/file"; mlops push --remote file; expect_exit 69; expect_err "Not a directory"
mlops remote add empty "$here/empty"; mlops fetch --remote empty; expect_exit 69; expect_err "nothing at the remote"
mlops push --remote empty --dry-run; expect_ok; expect_out "would push"; expect_missing "$here/empty"
if [ "$(id -u)" != 0 ]; then
    mkdir "$here/locked"; chmod 555 "$here/locked"
    mlops remote add locked "$here/locked/r"; mlops push --remote locked; expect_exit 69; expect_err "Permission denied"
fi

# --- A full disk there: an error in words, and the next push goes on
if mount -t tmpfs -o size=3m none "$(mkdir "$here/small"; echo "$here/small")" 2> /dev/null; then
    cleanups+=("umount $here/small")
    mlops remote add small "$here/small/r"
    mlops push --remote small; expect_exit 69; expect_err "No space left"; expect_err "make room"
    expect_equal "$(find "$here/small/r/tmp" -type f | wc -l)" 0
    mount -o remount,size=64m "$here/small"
    mlops push --remote small; expect_ok
    mlops fetch --remote small; expect_ok; expect_out "fetched 0 objects"
fi

# --- A hostile record: what it names outside of the work tree is left alone
mkdir "$here/evil"; cp -r "$here/remote" "$here/evilremote"
python3 - "$here/evilremote/runs" "$here/evil/target" <<'PY'
import hashlib, json, os, sys
for name in os.listdir(sys.argv[1]):
    path = os.path.join(sys.argv[1], name)
    whole = json.load(open(path))
    for artifact in whole["record"]["artifacts"]:
        if artifact["path"] == "model.bin":
            artifact["path"] = sys.argv[2] if artifact["output"] else "../x"
    text = json.dumps(whole["record"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    whole["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    open(path, "w").write(json.dumps({"mlops_run": 1, "sha256": whole["sha256"], "record": json.loads(text)}))
PY
mkdir "$here/five"; cd "$here/five" || exit 1
mlops remote add first "$here/evilremote"
mlops pull; expect_ok; expect_out "left alone"; expect_missing "$here/evil/target"; expect_exists tree/a

# --- A link in one result, and another result behind it
mkdir "$here/linker" "$here/behind"; cd "$here/linker" || exit 1
printf 'name: l\nsteps: {a: {run: "mkdir d; ln -s %s d/l; ln -s ../.git d/g", inputs: [l.yaml], outputs: [d]}, b: {run: "echo 1 > file", inputs: [l.yaml], outputs: [file]}, c: {run: "echo 1 > good", inputs: [l.yaml], outputs: [good]}}\n' \
    "$here/behind" > l.yaml
mlops run l.yaml -q; expect_ok; mlops remote add first "$here/linkremote"; mlops push; expect_ok
for target in d/l/x d/g/x .git/x; do
    rm -rf "$here/six1"; mkdir -p "$here/six1/.git"; cd "$here/six1" || exit 1
    python3 - "$here/linkremote/runs" "$target" <<'PY'
import hashlib, json, os, sys
for name in os.listdir(sys.argv[1]):
    path = os.path.join(sys.argv[1], name)
    record = json.load(open(path))["record"]
    for artifact in record["artifacts"]:
        if artifact["output"] and artifact["path"] not in ("d", "good"):
            artifact["path"] = sys.argv[2]
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    open(path, "w").write(json.dumps({"mlops_run": 1, "sha256": hashlib.sha256(text.encode()).hexdigest(), "record": record}))
PY
    mlops remote add first "$here/linkremote"
    mlops pull --force; expect_ok; expect_out "left alone $target"; expect_exists good
    expect_missing "$here/behind/x"; expect_missing .git/x
done

# --- Two push and fetch at the same time
cd "$here/one" || exit 1
mlops remote add both "$here/both"
"$MLOPS" push --remote both > "$here/p1" 2>&1 & p1=$!
"$MLOPS" push --remote both > "$here/p2" 2>&1 & p2=$!
wait $p1 || fail "first of two pushes: $(cat "$here/p1")"
wait $p2 || fail "second of two pushes: $(cat "$here/p2")"
mkdir "$here/six"; cd "$here/six" || exit 1
mlops remote add both "$here/both"
"$MLOPS" fetch > "$here/p1" 2>&1 & p1=$!
"$MLOPS" fetch > "$here/p2" 2>&1 & p2=$!
wait $p1 || fail "first of two fetches: $(cat "$here/p1")"
wait $p2 || fail "second of two fetches: $(cat "$here/p2")"
mlops store verify; expect_ok; expect_out " 0 damaged"
mlops pull; expect_ok; expect_exists model.bin
