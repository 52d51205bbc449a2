# Commands that look at a workspace or tidy it: init, validate, runs, logs, cancel, rm, doctor, and output that nobody
# can take.
. "$(dirname "$0")/common.sh"

# The first line of the file that init writes leads an editor to a schema that is there.
mlops init; expect_ok
schema=$(sed -n '1s/^# yaml-language-server: \$schema=//p' pipeline.yaml)
expect_exists "$schema"
python3 -c 'import json, sys; json.load(open(sys.argv[1]))["properties"]["steps"]' "$schema" > /dev/null || fail "no schema"
expect_equal "$(ls -a .mlops . | grep -c tmp)" 0
mlops runs; expect_ok; expect_err "there are no runs yet"

# A command that a group does not have.
mlops store frob; expect_exit 2; expect_err "\`mlops store\` has no command 'frob'"; expect_err "it has stat, verify, gc, where"
mlops data lst; expect_exit 2; expect_err "did you mean 'list'?"
mlops import; expect_exit 2; expect_err "\`mlops import\` needs a command"; expect_err "it has dvc, crontab"
mlops import dvc --help; expect_ok; expect_out "mlops import dvc churn"; expect_no_out "mlops init"
mlops data pin --json; expect_exit 2; expect_equal "$(json 'j["error"]["message"]')" "\`mlops data\` has no command 'pin'"

# Problems as JSON
printf 'steps:\n  a: {run: "true", ouputs: [x]}\n' > broken.yaml
mlops validate pipeline.yaml broken.yaml --json; expect_exit 2
expect_equal "$(json 'j["valid"], [f["valid"] for f in j["files"]]')" "(False, [True, False])"
expect_equal "$(json 'j["files"][0]["name"], j["files"][0]["steps"]')" "('starter', 4)"
expect_equal "$(json '[(p["file"], p["line"], "outputs" in p["hint"]) for p in j["files"][1]["problems"]]')" "[('broken.yaml', 2, True)]"
mlops validate pipeline.yaml --json; expect_ok; expect_equal "$(json 'j["valid"]')" True

# Whether a time zone is there is asked of this machine
printf 'schedule: {cron: "0 3 * * *", timezone: Berlin}\nsteps: {a: {run: "true"}}\n' > zone.yaml
mlops validate zone.yaml; expect_exit 2; expect_err "zone.yaml:1:"; expect_err "there is no time zone 'Berlin'"; expect_err "did you mean 'Europe/Berlin'?"
# … and hides nothing else that is wrong, nor is hidden by it
printf '2026-01-01\n1.2.2026\n' > days.txt
cat > entry.yaml <<'Y'
schedule: {cron: "0 3 * *", timezone: Mars, start: noon, end: late, except: [2026-13-01, 2026-01-01, days.txt], jitter: 1x}
steps: {a: {run: "true", nope: 1}}
Y
mlops validate entry.yaml; expect_exit 2
for problem in "1:18: error: schedule: '0 3 * *' has 4 fields" "1:39: error: schedule: there is no time zone 'Mars'" "1:52: error: schedule: cannot read the time 'noon'" \
    "1:63: error: schedule: cannot read the time 'late'" "1:78: error: schedule: '2026-13-01' is no day" "1:102: error: schedule: days.txt:2: '1.2.2026' is no day" \
    "a day on each line, such as 2026-12-24" "1:121: error: jitter: expected a duration" "2:26: error: unknown key 'nope'" "8 problems found"; do
    expect_err "$problem"
done
printf 'schedule: {every: 1h, start: 2026-01-02, end: 2026-01-01}\nsteps: {a: {run: "true"}}\n' > entry.yaml
mlops validate entry.yaml; expect_exit 2; expect_err "1:47: error: schedule: 'end' comes before 'start'"; expect_err "1 problem found"
printf 'schedule: [{at: 2020-01-01 10:00}, {every: 5m, jitter: 10m}]\nsteps: {a: {run: "true"}}\n' > entry.yaml
mlops validate entry.yaml --strict; expect_exit 3; expect_err "1:17: warning: schedule: 'at' is past: 2020-01-01 10:00"; expect_err "1:56: warning: schedule: 'jitter' is 10m00s, and slots lie 5m00s apart"
mlops schedule explain "@every 5m"; expect_exit 2; expect_err "write 'every: 5m'"
mlops submit entry.yaml --param lr=1; expect_exit 2; expect_err "there is no option '--param'"; expect_err "params are set with --set"

for time in 2026-01-01T00:00:00+ab:cd 2026-01-01T00:00:00+1:0 2026-13-01 noon; do
    mlops schedule next @daily --tz UTC --from "$time"; expect_exit 2; expect_err "cannot read the time"
done
mlops schedule next @daily --tz UTC --from 2026-01-01T00:00:00+09:00 -n 1; expect_ok; expect_equal "$out" 2026-01-01T00:00:00+00:00

# Output that cannot be written is no success.
if [ -w /dev/full ]; then
    for command in --help --version "runs --help" "validate pipeline.yaml" "schema" "version --json" man "completion bash"; do
        "$MLOPS" $command > /dev/full 2> "$here/.err"; code=$?
        expect_exit 74; grep -q "cannot write" "$here/.err" || fail "mlops $command says nothing"
    done
    "$MLOPS" validate broken.yaml > /dev/full 2> /dev/null; code=$?; expect_exit 2
fi

# Runs by time, state and number
printf 'name: good\nsteps: {a: {run: "echo good"}}\n' > good.yaml
printf 'name: bad\nsteps: {a: {run: "echo try $MLOPS_ATTEMPT; exit 1", retry: {times: 1, delay: 1ms}}}\n' > bad.yaml
for file in good bad good; do "$MLOPS" run $file.yaml --quiet > /dev/null; done
ids() { "$MLOPS" runs --ids "$@" 2> /dev/null | wc -l; }
expect_equal "$(ids) $(ids --limit 2) $(ids --state failed) $(ids --state succeeded --limit 1)" "3 2 1 1"
expect_equal "$(ids --since 1h) $(ids --since 2099-01-01) $(ids --since 2020-01-01T00:00:00Z --state failed)" "3 0 1"
sleep 1.2; expect_equal "$(ids --since 1s)" 0
mlops runs --state faild; expect_exit 2; expect_err "did you mean 'failed'"
mlops runs --since tomorrow; expect_exit 2; expect_err "cannot read the time"
id=$("$MLOPS" runs --ids --state failed)
mlops show "${id: -4}"; expect_ok; mlops show "${id: -7}"; expect_ok

# Logs of one attempt
mlops logs latest:bad a --attempt 1; expect_equal "$out" "try 1"
mlops logs latest:bad a; expect_equal "$out" "try 2"
mlops logs latest:bad a --attempt 1 --follow; expect_equal "$out" "try 1"
mlops logs latest:bad a --follow --times; expect_out " out try 2"
[[ "$out" =~ ^20[0-9][0-9]-.*\ out\ try\ 2$ ]] || fail "no time: $out"
mlops logs latest:bad a --attempt 3; expect_exit 2; expect_err "it has 2"

# A condition whose words look like those of a selection is still told.
printf 'name: no\nparams: {publish: true}\nsteps: {a: {run: "true", when: not params.publish}, b: {run: "true"}}\n' > no.yaml
mlops run no.yaml; expect_ok; expect_out "a skipped: "
mlops run no.yaml --only b; expect_ok; expect_no_out "a skipped"

# Cancel at once, and without waiting
printf 'name: slow\nsteps:\n  a: {run: "trap : TERM; touch started; while :; do sleep 0.05 || :; done", grace: 30s}\n  clean: {run: touch cleaned, always: true}\n' > slow.yaml
start() { rm -f started cleaned; "$MLOPS" run slow.yaml > run.out 2>&1 & pid=$!; wait_for 10 test -e started; }
start; before=$(date +%s)
mlops cancel latest --now --json; expect_ok
expect_equal "$(json 'j["runs"][0]["cancelled"]')" True
wait $pid; [ $(($(date +%s) - before)) -lt 10 ] || fail "cancel --now waited for the grace"
expect_missing cleaned
wait_for 5 nobody_left "$("$MLOPS" runs --ids --limit 1)"
mlops cancel latest --json; expect_ok; expect_equal "$(json 'j["runs"][0]["cancelled"]')" False
start; before=$(date +%s)
mlops cancel latest --no-wait; expect_ok; expect_out "was asked to stop"
[ $(($(date +%s) - before)) -lt 10 ] || fail "cancel --no-wait waited"
kill -0 $pid || fail "the run has ended before its grace"
mlops rm good; expect_exit 2
mlops rm latest "$id"; expect_exit 5; expect_exists ".mlops/runs/$id"
mlops cancel latest --now; expect_ok; wait $pid

# A resume that waits for the steps of a dead runner does not go on with a run that is cancelled.
printf 'name: two\nsteps:\n  a: {run: "touch started; sleep 30"}\n  b: {run: touch never, needs: a}\n' > slow.yaml
start; kill -9 $pid; wait $pid 2> /dev/null
"$MLOPS" run --resume latest > resume.out 2>&1 & pid=$!
wait_for 10 grep -q waiting resume.out
mlops cancel latest; expect_ok; expect_out "its steps were stopped"
wait $pid; expect_missing never
wait_for 5 nobody_left "$("$MLOPS" runs --ids --limit 1)"

# Deleting by age
mlops rm --older-than 1h; expect_ok; expect_out "nothing to delete"
mlops rm --older-than soon; expect_exit 2; expect_err "cannot read the age"
sleep 1.1
all=$(ids)
mlops rm --older-than 1s --pipeline good --dry-run --json; expect_ok; expect_equal "$(json 'len(j["deleted"]), j["dry_run"]')" "(2, True)"
mlops rm --older-than 1s --pipeline good --keep 1; expect_ok
expect_equal "$(ids) $(ids --pipeline good)" "$((all - 1)) 1"

# The doctor: a good workspace, a stranger's directory, a damaged database
mlops doctor --json
expect_equal "$(json '[f["state"] for f in j["findings"] if f["name"] in ("database", "runs")]')" "['ok', 'ok']"
mkdir ".mlops/runs/not a run" .mlops/runs/0123456789abcdef
mlops doctor; expect_out "2 run directories are not in the database"
rmdir ".mlops/runs/not a run" .mlops/runs/0123456789abcdef
cp -r .mlops good.mlops
dd if=/dev/zero of=.mlops/mlops.db bs=4096 seek=1 count=3 conv=notrunc 2> /dev/null; rm -f .mlops/mlops.db-wal .mlops/mlops.db-shm
mlops doctor --json; expect_exit 74
expect_equal "$(json 'j["state"]')" broken
rm -rf .mlops; mv good.mlops .mlops

# A look brings no database of before up to date, a run does.
rm -f .mlops/mlops.db*
python3 - "$SOURCE_DIR/src/db/migrations" <<'P'
import glob, sqlite3, sys
db = sqlite3.connect(".mlops/mlops.db")
for migration in sorted(glob.glob(sys.argv[1] + "/0*.sql"))[:2]:
    db.executescript(open(migration, encoding="utf-8").read())
db.execute("pragma user_version = 2")
P
mlops runs; expect_exit 74; expect_err "any \`mlops run\`"
mlops run good.yaml --quiet; expect_ok; mlops runs; expect_ok

# What others may write to is read and not written; nothing in it is brought up to date.
printf 'name: two\nsteps:\n  a: {run: "touch started; sleep 1"}\n' > slow.yaml
start; kill -9 $pid; wait $pid 2> /dev/null
chmod o+w .mlops
sleep 1.5
mlops runs --state running --ids; expect_ok; [ -n "$out" ] || fail "a run in a place that others may write to was recovered"
mlops rm latest; expect_exit 74; expect_err "others may write"
chmod o-w .mlops
mlops runs --state running --ids; expect_ok; expect_equal "$out" ""

# --- Whoever asks for JSON gets a document, whatever is wrong
cd "$here" && mkdir json && cd json || exit 1
printf 'steps: {a: {run: "true", ouputs: [x]}}\n' > broken.yaml
printf 'steps: {a: {run: "true"}}\n' > good.yaml
for line in "graph broken.yaml" "graph nofile.yaml" "run good.yaml --bogus" "run good.yaml --jobs 0" "runs --limit x" "runs extra" \
    "diff latest" "graph good.yaml --dot" "store" "version extra" "plan" "why" "data list --nope"; do
    mlops $line --json; expect_exit 2
    expect_equal "$(json 'j["error"]["exit_code"]')" 2
done
mlops graph broken.yaml --json; expect_equal "$(json 'j["error"]["message"]')" "1 problem found"
mlops data list --nope; expect_exit 2; expect_err "there is no option '--nope'"; expect_err 'mlops data list --help'

# --- A workspace in which nothing has run is empty; one that has lost its database is not
mlops init fresh; expect_ok
cd fresh || exit 1
mlops runs; expect_ok; expect_equal "$out" ""; expect_err "there are no runs yet"
mlops runs --json; expect_ok; expect_equal "$(json 'j["runs"]')" "[]"
mlops status; expect_ok
mlops show; expect_exit 2; expect_err "there are no runs yet"
cp ../good.yaml . && mlops run good.yaml; expect_ok
rm .mlops/mlops.db*
mlops runs; expect_exit 74; expect_err "is gone"; expect_err "backup"
mlops doctor; expect_exit 74; expect_out "it is gone"; expect_no_out "deleted"
mlops run good.yaml; expect_ok; expect_err "is gone"
mlops doctor; expect_out "1 run directory is not in the database"

# --- What is printed as the next command works where it is printed
cd "$here/json" || exit 1
mlops run fresh/good.yaml; expect_ok
next=$(printf '%s\n' "$out" | sed -n 's/^ *see: //p')
run bash -c "\"\$MLOPS\" ${next#mlops }"; expect_ok

# --- Slips that a shell would only find while it runs, and a program that it does not find
cd "$here" && mkdir slips && cd slips || exit 1
printf 'params: {a: 1}\nsteps:\n  x: {run: "echo ${ params.a }"}\n  y: {run: "echo ${{ params.a }}"}\n  z: {run: "echo ${params.a"}\n' > slips.yaml
mlops validate slips.yaml; expect_exit 2; expect_err "3 problems found"; expect_err 'write ${params.a}'; expect_err "without its '}'"
printf 'steps: {a: {run: no-such-program-here}}\n' > lost.yaml
mlops run lost.yaml; expect_exit 1; expect_out "as when the shell finds no such program (PATH is "
mlops logs latest --json --follow; expect_exit 2
mlops run lost.yaml -q --output live; expect_exit 2
mlops runs --state orphaned; expect_ok; expect_err "no runs fit"
mlops version --deps; expect_ok; expect_out "toml++"
mlops run --help; expect_ok; expect_no_out "{false}"
