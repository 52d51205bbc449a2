# Looking ahead: simulate, warnings of valid files; promises that are told before they are broken, once; a dead-man check.
. "$(dirname "$0")/common.sh"
says() { [ "$(sql "$1")" = "$2" ]; }
told() { [ "$(grep -c "$1" daemon.log)" = "$2" ]; }
tamper() { python3 -c 'import sqlite3,sys; c=sqlite3.connect(".mlops/mlops.db"); c.execute(sys.argv[1]); c.commit()' "$1"; }
start() { "$MLOPS" daemon "$@" >> daemon.log 2>&1 & pid=$!; cleanups[0]="kill -9 $pid 2>/dev/null"; wait_for 20 grep -q "serving" daemon.log; }
stop() { { kill -"$1" $pid; wait $pid; } 2> /dev/null; }

# What is valid and seldom meant: a warning with its place.
cat > odd.yaml <<'Y'
name: odd
schedule:
  - "*/7 0 13 * 5"
  - {every: 5, name: five}
  - {cron: '0 0 31 2 *', name: never}
  - cron: "0 3 * * *"
    name: daily
    fresh_within: 20h
steps: {a: {run: "true"}}
Y
mlops validate odd.yaml; expect_ok; expect_out "odd.yaml: ok"
expect_err "odd.yaml:3:6: warning: schedule: '*/7' is not every 7 minutes"
expect_err "odd.yaml:3:12: warning: schedule: both day fields are set"
expect_err "odd.yaml:4:13: warning: schedule: '5' is 5 seconds"
expect_err "odd.yaml:5:17: warning: schedule: there is no such day: '31 2' never comes"
expect_err "odd.yaml:8:19: warning: schedule: 'fresh_within' is 20h00m, and slots lie up to 1d0h apart"
expect_err "odd.yaml:6:5: warning: schedule: 'daily' is due when 'five' is"
mlops validate odd.yaml --strict; expect_exit 3
mlops validate odd.yaml --json; expect_ok
expect_equal "$(json 'j["valid"], j["files"][0]["valid"], len(j["files"][0]["warnings"]), j["files"][0]["warnings"][0]["column"]')" "(True, True, 7, 6)"
mlops lint odd.yaml; expect_ok; expect_err "odd.yaml:3:6: warning:"; expect_no_out "nothing to suggest"
mlops lint odd.yaml --strict --json; expect_exit 3; expect_equal "$(json 'len(j["warnings"])')" 7
printf 'steps: {a: {run: "true"}}\n' > plain.yaml
mlops validate plain.yaml --strict; expect_ok; expect_equal "$err" ""
printf 'schedule: {cron: "0 3 * * *", deadline: 6, fresh_within: 0s}\nsteps: {a: {run: "true"}}\n' > bad.yaml
mlops validate bad.yaml odd.yaml --strict; expect_exit 2; expect_err "bad.yaml:1:41: error: deadline: expected a time of day"; expect_err "fresh_within: expected"
mlops validate --strict bad.yaml --json; expect_exit 2; expect_equal "$(json 'j["valid"]')" False

# A look ahead: fires, what they meet, load, and what to move.
for name in a b c; do printf 'name: %s\nschedule: {cron: "0 3 * * *", timezone: Europe/Berlin}\nsteps: {a: {run: "true"}}\n' $name > $name.yaml; done
mlops schedule simulate; expect_exit 2
mlops schedule simulate a.yaml b.yaml c.yaml --from 2026-03-28 --to 2026-03-30 --runs 2; expect_ok
expect_out "each is taken to end at once: a, b, c"; expect_out "run 3 at once, of 2"; expect_out "most runs at once: 3, at 2026-03-28T03:00:00+01:00"
expect_out 'with these moved, most runs at once: 1 instead of 3'; expect_out 'cron: "2 3 * * *"'
mlops run a.yaml --quiet; expect_ok
tamper "update runs set duration_ms = 5400000"
printf 'name: a\nschedule: {cron: "30 1-4 * * *", timezone: Europe/Berlin, deadline: "05:00"}\nsteps: {a: {run: "true"}}\n' > a.yaml
mlops schedule simulate a.yaml b.yaml --from 2026-03-29 --to 24h -n 3 --json; expect_ok
expect_equal "$(json '[(f["time"][11:16], f["outcome"], f["note"][:22], bool(f["meets"])) for f in j["fires"]]')" \
    "[('01:30', 'runs', '', False), ('03:00', 'skipped', 'in place of 02:30, whi', True), ('03:00', 'runs', '', False)]"
expect_equal "$(json 'j["left_out"], j["load"]["peak"], j["schedules"][0]["usual"]["median_ms"], j["schedules"][1]["usual"], j["cut"]')" "(2, 2, 5400000, None, None)"
mlops schedule simulate a.yaml --from 2026-03-29 --to 24h; expect_out "it is skipped"; expect_out "may be 1h00m late for its deadline of 05:00"
mlops schedule simulate a.yaml --from 2026-03-29 --to 2026-03-28; expect_exit 2; expect_err "--to comes before --from"
cat > jitter.yaml <<'Y'
schedule: [{cron: "0 3 * * *", timezone: Europe/Berlin, jitter: 30m}, {every: 12h, name: b, timezone: UTC, jitter: 1h}, {every: 1d, name: c, timezone: UTC}]
steps: {a: {run: "true"}}
Y
mlops schedule simulate jitter.yaml --from 2026-03-30 --to 24h --json; expect_ok
starts=$(json '[f["starts_at"] for f in j["fires"] if f["schedule"] == "main"]'); [[ $starts == *"T03:"*":"*"+02:00"* && $starts != *"T03:00:00"* ]] || fail "$starts"
expect_equal "$(json 'all(f["starts_at"] == f["begins"] > f["time"] for f in j["fires"] if f["schedule"] != "c")')" True
mlops schedule simulate jitter.yaml --from 2026-03-30 --to 24h; expect_out "starts at 2026-03-30T03:"; expect_out "times are in the zone of each schedule: Europe/Berlin, UTC"
mlops schedule next jitter.yaml --from 2026-03-30 -n 5; expect_out "main, starts at 2026-03-30T03:"
mlops schedule next jitter.yaml --from 2026-03-30 -n 5 --json
expect_equal "$starts" "$(json '[n["starts_at"] for n in j["next"] if n["schedule"] == "main"][:1]')"
expect_equal "$(json '[(e["schedule"], e["timezone"]) for e in j["entries"]], j["timezone"], all(n["starts_at"] == n["time"] for n in j["next"] if n["schedule"] == "c")')" \
    "([('main', 'Europe/Berlin'), ('b', 'UTC'), ('c', 'UTC')], None, True)"
mlops schedule next "{every: 6h, jitter: 1h}" --tz UTC --json; expect_equal "$(json 'j["next"][0]["starts_at"], j["timezone"], j["expression"]')" "(None, 'UTC', 'every 6h')"
mlops schedule explain jitter.yaml; expect_out "up to 30m00s later, each time by the same "
mlops schedule simulate a.yaml b.yaml --to 24h; expect_out "times are in Europe/Berlin"
mlops schedule simulate a.yaml --to soon; expect_exit 2; expect_err "cannot read the time 'soon'"
printf 'schedule: {every: 1s}\nsteps: {a: {run: "true"}}\n' > often.yaml
mlops schedule simulate often.yaml --to 365d -n 1; expect_ok; expect_out "199999 later ones are not shown"; expect_out "is left out: more than 200000 times"

# A deadline: it is said before it is missed. The slot was a minute ago, and nothing has begun.
rm -rf .mlops
slot=$(date -u -d '-1 minute' +'%-M %-H') due=$(date -u -d '+10 minutes' +%H:%M)
printf 'name: p\nschedule: {cron: "%s * * *", timezone: UTC, deadline: "%s", fresh_within: 30h}\nsteps: {a: {run: "true"}}\n' "$slot" "$due" > p.yaml
mlops schedule add p.yaml; expect_ok
mlops run p.yaml --quiet; expect_ok
tamper "update runs set duration_ms = 3300000, created_at = '2020-01-01 00:00:00.000', id = '0' || substr(id, 2)"
tamper "update schedules set since = since - 600, cursor = cursor - 600"
mlops schedule list; expect_ok; expect_out "! p main: will be late by about 4"; expect_out ", after $due: usual duration 55m00s, not begun yet"
mlops schedule list --json; expect_equal "$(json '[(p["promise"], p["state"]) for p in j["schedules"][0]["promises"]]')" "[('deadline', 'at_risk'), ('fresh_within', 'kept')]"
mlops status; expect_ok; expect_out "! p main: will be late"
mlops doctor; expect_out "will be late by about"
mlops doctor --if-stale --json; expect_exit 3
expect_equal "$(json 'j["stale"], [(f["kind"], f["pipeline"], f["ahead"]) for f in j["findings"]]')" "(True, [('promise', 'p', True)])"
mlops doctor --grace 1s; expect_exit 2
# A run that ends well keeps it.
mlops run p.yaml --slot now --quiet; expect_ok
mlops status; expect_no_out "p main"
mlops doctor --if-stale; expect_ok; expect_equal "$out$err" ""
mlops schedule list; expect_out "✔ p main: was done"
mlops schedule remove p.yaml

# The daemon says it once, also when it is started again, and whatever else it does meanwhile; so it is with pings.
python3 - > port <<'P' &
import http.server, socket, sys, threading
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        open("pings", "a").write(self.path + "\n")
        self.send_response(200); self.end_headers()
    def log_message(self, *a): pass
hang = socket.socket(); hang.bind(("127.0.0.1", 0)); hang.listen(50)
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, hang.getsockname()[1], flush=True)
server.serve_forever()
P
cleanups[1]="kill $! 2>/dev/null"
wait_for 10 test -s port; read -r port hanging < port
config() { printf 'ping: {url: "http://127.0.0.1:%s/secret", every: 1s}\n' "$1" > .mlops/config.yaml; }
config 1
touch broken
printf 'name: f\nnotify: {command: "echo \\"$MLOPS_HEADLINE: $MLOPS_REASON\\" >> late.txt", on: late}\nschedule: {every: 1s, fresh_within: 3s}\nsteps: {a: {run: "test ! -e broken"}}\n' > f.yaml
start f.yaml
wait_for 20 grep -q "f main: nothing has succeeded since the schedule was taken up, .* ago, and was never to be older than 3.0s" daemon.log
wait_for 20 grep -q "f is late: nothing has succeeded since" late.txt
wait_for 20 grep -q "cannot ping http://127.0.0.1:1: .*; trying on" daemon.log
stop KILL; mv daemon.log first.log; start; sleep 2.5
told "f main: nothing has succeeded" 0 || fail "it was told again: $(cat daemon.log)"
expect_equal "$(grep -c 'f main: nothing has succeeded' first.log)" 1
expect_equal "$(grep -c "nothing has succeeded" late.txt)" 1
told "cannot ping" 1 || fail "$(cat daemon.log)"
config "$port"; wait_for 20 grep -q "pinging http://127.0.0.1:$port every" daemon.log
wait_for 20 grep -q /secret pings
grep -q secret daemon.log first.log && fail "the log has the whole URL"
config "$hanging"; wait_for 20 grep -q "pinging http://127.0.0.1:$hanging" daemon.log
rm broken
wait_for 20 says "select count(*) > 1 from v_runs where state = 'succeeded' and pipeline = 'f'" 1
wait_for 20 "$MLOPS" doctor --if-stale > quiet; expect_equal "$(tail -n 1 quiet)" ""
touch broken; wait_for 20 grep -q "f main: will be older than 3.0s for about" daemon.log
wait_for 20 grep -q "f main: the last success is .* old, and was never to be older" daemon.log
wait_for 20 says "select count(distinct due) > 1 from v_promises where kind = 'fresh_within' and state = 'missed'" 1
says "select count(*) from (select schedule, kind, due, state from v_promises group by 1, 2, 3, 4 having count(*) > 1)" 0 || fail "told twice"
rm broken

# A scheduler that has stopped is noticed from outside.
stop KILL; sleep 3.2
mlops doctor --if-stale --grace 1s; expect_exit 3; expect_out "f main: nobody has looked at its slot of"; expect_out "no daemon runs"
mlops doctor; expect_exit 3
mlops schedule remove f.yaml; mlops schedule pause f.yaml
mlops doctor --if-stale --grace 1s; expect_ok; expect_equal "$out" ""
exit 0
