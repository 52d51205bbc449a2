# Words for scenarios. Each script gets a directory of its own; $MLOPS is the binary under test.
# The last command's output is in $out (stdout) and $err (stderr), its exit code in $code.

set -u
: "${MLOPS:?set MLOPS to the mlops binary}"
: "${SOURCE_DIR:=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}"
MLOPS=$(readlink -f "$MLOPS")
unset MLOPS_WORKSPACE MLOPS_RUN_ID NO_COLOR CLICOLOR_FORCE MLOPS_LOG
export LC_ALL=C.UTF-8
here=$(mktemp -d "${TMPDIR:-/tmp}/mlops-scenario-XXXXXX")
cd "$here" || exit 1
cleanups=()
on_exit() {
    local status=$?
    for command in "${cleanups[@]:-}"; do [ -n "$command" ] && eval "$command"; done
    cd /
    # What a failed scenario left running may still write: the test's verdict is not about that.
    rm -rf "$here" 2>/dev/null || { sleep 1; rm -rf "$here"; }
    exit $status
}
trap on_exit EXIT

fail() {
    echo "FAILED: $*" >&2
    echo "  at $(caller 1 || caller 0)" >&2
    echo "--- exit code ${code:-none}, stdout:" >&2; head -c 4000 "$here/.out" >&2 2>/dev/null
    echo "--- stderr:" >&2; head -c 4000 "$here/.err" >&2 2>/dev/null
    exit 1
}
skip() { echo "SKIPPED: $*"; exit 77; }

# run CMD…: runs it and takes note of what it said.
run() {
    "$@" >"$here/.out" 2>"$here/.err"
    code=$?
    out=$(tr -d '\000' <"$here/.out")
    err=$(tr -d '\000' <"$here/.err")
}
mlops() { run "$MLOPS" "$@"; }
expect_exit() { [ "$code" = "$1" ] || fail "exit code $code instead of $1"; }
expect_ok() { expect_exit 0; }
expect_out() { [[ "$out" == *"$1"* ]] || fail "stdout does not contain: $1"; }
expect_err() { [[ "$err" == *"$1"* ]] || fail "stderr does not contain: $1"; }
expect_no_out() { [[ "$out" != *"$1"* ]] || fail "stdout contains: $1"; }
expect_equal() { [ "$1" = "$2" ] || fail "'$1' is not '$2'"; }
expect_file() { [ "$(cat "$1" 2>/dev/null)" = "$2" ] || fail "$1 holds '$(head -c 400 "$1" 2>/dev/null)' instead of '$2'"; }
expect_exists() { [ -e "$1" ] || fail "$1 does not exist"; }
expect_missing() { [ ! -e "$1" ] || fail "$1 exists"; }
# json EXPRESSION: evaluates Python over the JSON in the last stdout, as `j`.
json() { python3 -c 'import json,sys; j=json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$here/.out" "$1" || fail "no such JSON: $1"; }
sql() { "$MLOPS" sql --csv "$1" | tail -n +2; }
# wait_for SECONDS CMD…: until the command succeeds.
wait_for() {
    local limit=$(($(date +%s) + $1)); shift
    until "$@" 2>/dev/null; do
        [ "$(date +%s)" -lt "$limit" ] || fail "did not come true: $*"
        sleep 0.02
    done
}
# nobody_left RUN_ID: no process carries the run's id any more.
nobody_left() {
    ! grep -lsz "^MLOPS_RUN_ID=$1\$" /proc/[0-9]*/environ >/dev/null 2>&1
}
