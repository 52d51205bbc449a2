# What else than time makes pipelines run: each kind of trigger, by the real daemon; then events under kill -9, each of
# which must run once (EVENTS makes it longer), and a flood of webhooks.
. "$(dirname "$0")/common.sh"
hooks() { python3 "$SOURCE_DIR/tests/scenarios/hooks.py" "$@"; }
says() { [ "$(sql "$1")" = "$2" ]; }
serving() { [ "$(grep -c " serving " daemon.log 2> /dev/null)" = "$starts" ]; }
export WITNESS=$here/witness HOOK_SECRET="a secret of the hook"
: > witness
starts=0 web=0
start() {
    "$MLOPS" daemon --http 127.0.0.1:0 "$@" >> daemon.log 2>&1 & pid=$!
    cleanups=("kill -9 $pid 2>/dev/null" "kill $web 2>/dev/null")
    starts=$((starts + 1))
    wait_for 20 serving
    port=$(sed -n 's|.* takes webhooks at http://127.0.0.1:\([0-9]*\)/.*|\1|p' daemon.log | tail -n 1)
    echo "$port" > port
}
stop() { kill -"$1" $pid; { wait $pid; } 2> /dev/null; }
ran() { says "select count(*) from runs where pipeline = '$1' and state = 'succeeded'" "$2"; }
events() { says "select count(*) from v_events where pipeline = '$1' and outcome = '$2'" "$3"; }
insert() { python3 -c 'import sqlite3, sys, time
d = sqlite3.connect("app.db", timeout=20)
for n in range(int(sys.argv[1]), int(sys.argv[2]) + 1):
    d.execute("insert into t values (?)", [n]); d.commit(); time.sleep(float(sys.argv[3]))' "$@"; }
quiet() { sleep "${1:-0.6}"; }

cat > files.yaml <<'YAML'
name: files
triggers: {files: [data, "!data/tmp*"], debounce: 100ms}
steps:
  told: {run: 'cat "${MLOPS_EVENT:-fixed}" >> told.txt; echo x > copy.txt', inputs: [fixed], outputs: [copy.txt]}
  not_told: {run: sh look.sh, inputs: [fixed], outputs: [other.txt]}
YAML
cat > after.yaml <<'YAML'
name: after
triggers: [{succeeded: [files, other]}, {metric: {pipeline: other, when: drift.psi > 0.2}, name: drift}]
steps: {a: {run: 'echo after >> $WITNESS'}}
YAML
cat > other.yaml <<'YAML'
name: other
params: {psi: 0.1}
steps: {drift: {run: 'printf "{\"name\": \"psi\", \"value\": %s}\n" ${params.psi} >> "$MLOPS_METRICS"'}}
YAML
cat > rows.yaml <<'YAML'
name: rows
triggers: {sql: {database: app.db, query: "SELECT n, 'sql' || n AS mark FROM t"}}
steps: {a: {run: 'sed -n "s/.*\"mark\": \"\(.*\)\".*/\1/p" "$MLOPS_EVENT" >> $WITNESS'}}
YAML
cat > push.yaml <<'YAML'
name: push
secrets: [HOOK_SECRET]
triggers: {webhook: HOOK_SECRET}
steps: {a: {run: 'sed -n "s/.*\"n\": \"\(.*\)\".*/\1/p" "$MLOPS_EVENT" >> $WITNESS'}}
YAML
cat > web.py <<'PY'
import hashlib, http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/slow":
            import time; time.sleep(600)
        body = open("page", "rb").read(); tag = '"' + hashlib.md5(body).hexdigest() + '"'
        same = self.headers.get("If-None-Match") == tag
        open("asked", "a").write("304\n" if same else "200\n")
        self.send_response(304 if same else 200); self.send_header("ETag", tag)
        self.send_header("Content-Length", "0" if same else str(len(body))); self.end_headers()
        if not same: self.wfile.write(body)
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True); server.serve_forever()
PY
echo one > page; python3 web.py > web.port 2> web.err & web=$!
cleanups=("kill $web")
wait_for 10 test -s web.port
printf 'name: poll\ntriggers: [{http: "http://127.0.0.1:%s/page", every: 1s, name: page}, {http: "http://127.0.0.1:%s/slow", every: 1s, name: slow}, {http: "http://127.0.0.1:%s/slow", every: 1s, name: slower}, {http: "http://127.0.0.1:%s/slow", every: 1s, name: slowest}]\nsteps: {a: {run: "true"}}\n' "$(cat web.port)" "$(cat web.port)" "$(cat web.port)" "$(cat web.port)" > poll.yaml
cat > astray.yaml <<'YAML'
name: astray
secrets: [FEED_URL]
triggers: [{http: {url: "https://example.org/x"}}, {http: {secret: FEED_URL, every: 5m}}, {sql: {database: app.db, query: "SELECT 1", debounce: 1s}}]
steps: {a: {run: "true"}}
YAML
mlops validate astray.yaml; expect_exit 2; expect_err "3 problems found"; expect_err 'write  http: "https://example.org/x"'
expect_err "it goes one level up: {http: …, every: …}"; expect_err "it goes one level up: {sql: …, debounce: …}"
mkdir data; echo 1 > data/a; echo 1 > fixed; echo 'echo "${MLOPS_EVENT:-none}" >> untold.txt; echo x > other.txt' > look.sh
python3 -c 'import sqlite3; d = sqlite3.connect("app.db"); d.execute("pragma journal_mode = wal"); d.execute("create table t (n integer primary key)"); d.execute("insert into t values (0)"); d.commit()'

# A look before anything is served, and what cannot be served.
mlops trigger test files.yaml; expect_exit 2; expect_err "no workspace"
mkdir -m 700 .mlops
mlops trigger test files.yaml; expect_ok; expect_out "sees: 1 file, digest"; expect_out "would be no event"
mlops trigger test push.yaml; expect_ok; expect_out "can be had"; expect_out "X-Hub-Signature-256"
env -u HOOK_SECRET "$MLOPS" trigger test push.yaml 2> .err && fail "a secret that is not there"
mlops daemon other.yaml; expect_exit 2; expect_err "neither a schedule nor triggers"
mlops daemon files.yaml --http 0.0.0.0:0; expect_exit 2; expect_err "other machines"

mlops trigger test poll.yaml page; expect_exit 69; expect_err "loopback address"; expect_err "allow_private"
echo 'notify: {allow_private: [127.0.0.1]}' > .mlops/config.yaml
mlops trigger test poll.yaml page; expect_ok; expect_out "ETag"

# A URL that is a secret: its name is shown and recorded, and nothing else, whatever the server says.
printf 'name: feed\nsecrets: [FEED]\ntriggers: {http: {secret: FEED}, every: 1s}\nsteps: {a: {run: "cat $MLOPS_EVENT"}}\n' > feed.yaml
export FEED="http://127.0.0.1:$(cat web.port)/page?token=T0K3N5ECRET"
mlops trigger test feed.yaml; expect_ok; expect_out "feed FEED: http secret FEED"; expect_out "ETag"
FEED=ftp://T0K3N5ECRET mlops trigger test feed.yaml; expect_exit 2; expect_err "the secret 'FEED' is not an http or https URL"
FEED=http://127.0.0.1:1/T0K3N5ECRET mlops trigger test feed.yaml; expect_exit 69; expect_err "cannot look at 'secret FEED'"; [[ $err != *T0K3* ]] || fail "the secret is shown"

start feed.yaml files.yaml after.yaml rows.yaml push.yaml poll.yaml
grep -q "serving 0 schedules and 10 triggers of 6 files" daemon.log || fail "what is served"
mlops daemon --http "127.0.0.1:$port" -w "$(mktemp -d "$here/x.XXXX")"; expect_exit 5; expect_err "cannot listen"

# A look at a database is no reason for another one.
looked() { sql "select looked_at from triggers where kind = 'sql'"; }
last=$(looked); quiet 1; expect_equal "$(looked)" "$last"

# Files: a touch is no change; a new folder is followed; what is taken out is; each change is an event.
wait_for 20 says "select count(*) from triggers where state <> ''" 6
touch data/a; echo 2 > data/tmp1; quiet; ran files 0 || fail "a touch is no change"
echo 2 > data/a; wait_for 20 ran files 1
mkdir -p data/new/er; echo 1 > data/new/er/b; wait_for 20 ran files 2
mv data/new data/moved; wait_for 20 ran files 3
echo 2 > data/moved/er/b; wait_for 20 ran files 4
mlops trigger events files.yaml; expect_ok; expect_out "1 changed: data/a"; expect_out "1 new: data/new/er/b"; expect_out "succeeded"
expect_out "1 renamed: data/new/er/b to data/moved/er/b"
# What happened is told before the run that it led to, and once.
events_first() { python3 - "$1" "$(sql "select request from events where trigger_id = (select id from triggers where file = '$1') and request is not null")" <<'PY'
import re, sys
log = open("daemon.log").read().splitlines()
name = sys.argv[1].split(".")[0]
for number in sys.argv[2].split():
    told = [i for i, line in enumerate(log) if line.endswith("(request %s)" % number)]
    began = [i for i, line in enumerate(log) if re.search(r" run \w+ for .*, request %s$" % number, line)]
    assert len(told) == 1 and began and told[0] < began[0], (number, told, began)
PY
}
events_first files.yaml || fail "the log: $(cat daemon.log)"

# A step that names MLOPS_EVENT gets it, and runs for each event; one that does not name it does not see it, and one whose
# text names it runs without an event as well.
expect_equal "$(grep -c '"what"' told.txt)" 4
expect_file untold.txt none
mlops run files.yaml; expect_ok; expect_equal "$(grep -c '"what"' told.txt)" 4
mlops run files.yaml; expect_ok; expect_out "2 cached"

# While the daemon is away: noticed at its start.
stop KILL; echo 3 > data/a; quiet 0.2; ran files 6 || fail "runs by hand"
start; wait_for 20 ran files 7

# Other pipelines, also run by hand; a metric.
mlops run other.yaml; expect_ok; wait_for 20 ran after 1
mlops run other.yaml --set psi=0.3; expect_ok; wait_for 20 ran after 2
mlops run other.yaml --set psi=0.4; expect_ok; quiet; ran after 2 || fail "a metric that stays beyond the line"
mlops trigger events after.yaml drift; expect_ok; expect_out "drift.psi > 0.2"

# HTTP, while other servers hang.
wait_for 20 grep -q 304 asked; echo two > page; wait_for 20 ran poll 1
wait_for 20 ran feed 1
quiet 1.2; ran poll 1 || fail "a page that stays"
mlops trigger events feed.yaml; expect_out "secret FEED changed"
grep -rqs T0K3N5ECRET .mlops daemon.log && fail "a secret is in $(grep -rls T0K3N5ECRET .mlops daemon.log)"

# Rows, noticed without waiting for the next look; a webhook, once.
insert 1 1 0
wait_for 5 ran rows 1; wait_for 5 grep -q "^sql1$" witness
expect_equal "$(hooks post "$port" '{"n": "one"}' d0 | cut -c1-3)" 202
expect_equal "$(hooks post "$port" '{"n": "one"}' d0)" '200 {"again":true,"event":'"$(sql "select id from v_events where kind = 'webhook'")"'}'
expect_equal "$(hooks post "$port" '{"n": "two"}' d1 "another secret" | cut -c1-3)" 401
wait_for 5 grep -q "^one$" witness

# A pause, a file with an error, and by hand.
mlops trigger pause rows.yaml --note "moving"; expect_ok
insert 2 2 0
wait_for 10 events rows paused 1; mlops trigger list rows; expect_out "paused"; expect_out "moving"
mlops trigger fire rows.yaml; expect_exit 3; expect_out "paused: moving"
mlops trigger resume rows.yaml; expect_ok; ran rows 1 || fail "a paused trigger"
cp rows.yaml good; echo 'steps: [' >> rows.yaml; wait_for 10 grep -q "rows.yaml: its file cannot be read" daemon.log
mlops trigger list; expect_out "broken"
insert 3 3 0
quiet; cp good rows.yaml; wait_for 10 grep -q "^sql3$" witness
mlops trigger fire push.yaml --payload other.yaml; expect_exit 2; expect_err "is not JSON"
python3 -c 'print("[" * 200000 + "]" * 200000)' > deep; mlops trigger fire push.yaml --payload deep; expect_exit 2; expect_err "nested deeper than 200"
expect_equal "$(hooks post "$port" "$(python3 -c 'print("[" * 50000 + "]" * 50000)')" deep | cut -c1-3)" 202
grep -q "is started again" daemon.log && fail "what answers HTTP died of a body"
echo '{"n": "hand"}' > payload; mlops trigger fire push.yaml --payload payload --json; expect_ok
wait_for 10 grep -q "^hand$" witness
mlops trigger fire push.yaml nope; expect_exit 2; expect_err "no trigger 'nope'"

# Kill -9 again and again, while rows appear and webhooks are delivered.
each=$((${EVENTS:-120} / 2)) RANDOM=${SEED:-7}
hooks deliver port 1 $each & sender=$!
insert 1000 $((999 + each)) 0.03 & writer=$!
while kill -0 $sender 2> /dev/null || kill -0 $writer 2> /dev/null; do
    sleep "0.$((RANDOM % 9))"
    stop KILL; start
done
wait $sender || fail "the sender"
wait_for 60 says "select count(*) from v_events where pipeline = 'rows' and key like 'row 1___'" $each
wait_for 60 says "select count(*) from requests where state in ('waiting', 'claimed')" 0
wait_for 60 says "select count(*) from runs where state = 'running'" 0
python3 - "$each" <<'PY' || fail "each event once"
import collections, sys
each = int(sys.argv[1])
count = collections.Counter(line.strip() for line in open("witness"))
wanted = [f"hook{n}" for n in range(1, each + 1)] + [f"sql{n}" for n in range(1000, 1000 + each)]
lost = [w for w in wanted if count[w] == 0]
double = {w: n for w, n in count.items() if n > 1 and w != "after"}
print(len(wanted), "events,", len(lost), "lost,", len(double), "twice")
assert not lost and not double, (lost[:5], list(double.items())[:5])
PY

# A flood: others are served, the daemon answers, and memory stays where it is.
face() { pgrep -P $pid -f "trigger serve"; }
rss() { awk '/VmRSS/ {print $2}' /proc/"$1"/status; }
before=$(rss "$(face)")
hooks flood "$port" 8 100 > flood.txt 2>&1 & flood=$!
mlops trigger list; expect_ok
echo 4 > data/a; wait_for 10 ran files 8
wait $flood || fail "the flood: $(cat flood.txt)"
cat flood.txt; echo "memory: $before kB before, $(rss "$(face)") kB after"
# (A debug build may be a sanitized one, which keeps what was freed.)
[ "${BUILD_TYPE:-}" = Debug ] || [ "$(($(rss "$(face)") - before))" -lt 32768 ] || fail "the flood stays in memory: $before, then $(rss "$(face)") kB"
kill -9 "$(face)"; wait_for 10 grep -q "is started again" daemon.log
wait_for 10 face; expect_equal "$(hooks post "$port" '{"n": "one"}' d0 | cut -c1-3)" 200
mlops schedule remove files.yaml; expect_ok; wait_for 10 grep -q "files.yaml is not served any more" daemon.log
stop TERM
exit 0
