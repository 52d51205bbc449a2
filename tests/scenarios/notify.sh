# Notifications: who is told how runs end, by a real web and mail server on this machine, and what happens when these hang,
# refuse, or the sender dies.
. "$(dirname "$0")/common.sh"
command -v openssl > /dev/null && openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 \
    -subj /CN=localhost > /dev/null 2>&1
mkdir peer; mv ./*.pem peer 2> /dev/null
python3 "$SOURCE_DIR/tests/scenarios/notify_peer.py" "$here/peer" 2> peer.log & peer=$!
# Processes that still try to deliver are ended with the test.
senders() { grep -lsz -- "^$here\$" /proc/[0-9]*/cmdline | cut -d / -f 3; }
cleanups=('kill $peer $(senders) 2> /dev/null')
wait_for 20 test -e peer/ports; . peer/ports; touch peer/got
# got EXPRESSION: evaluates Python over the messages that have arrived, as `m`.
got() { python3 -c 'import json,sys; m=[json.loads(l) for l in open(sys.argv[1])]; print(eval(sys.argv[2]))' peer/got "$1"; }
arrived() { [ "$(got "sum(x.get('path') == '$1' for x in m)")" = "$2" ]; }
mkdir .mlops; chmod 700 .mlops
printf 'notify: {allow_private: [127.0.0.1]}\nsmtp: {url: "smtp://127.0.0.1:%s", from: "Müller <ml@example.org>", user: ml, password: {env: SMTP_PASSWORD}}\n' "$SMTP" > .mlops/config.yaml
export SMTP_PASSWORD=geheim HOOK=http://127.0.0.1:$HTTP/ok/T0P53CR3T

# One who is told of everything, in each way; a failure, another one, a recovery, and nothing more to tell.
cat > churn.yaml << 'EOF'
name: churn
secrets: [HOOK]
params: {team: "ml <ops>"}
notify:
  - {webhook: {secret: HOOK}, preset: slack, text: "*${headline}* for ${params.team}: ${run.reason} (${failures}) acc=${metrics.acc}"}
  - {email: [a@example.org, b@example.org]}
  - {command: 'cat > "told.json"; echo "$MLOPS_OCCASION $MLOPS_RUN_ID $MLOPS_MESSAGE_ID: $MLOPS_TEXT" > told', name: script, on: [failure, recovery, success]}
steps:
  m: {run: "echo '{\"acc\": 0.5}' > m.json", metrics: [m.json], cache: false}
  a: {run: test ! -e '<broken>', needs: m}
EOF
touch '<broken>'
mlops run churn.yaml --quiet; expect_exit 1; [[ $err != *notif* ]] || fail "something was not delivered"
id=$("$MLOPS" runs --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["runs"][0]["id"])')
expect_equal "$(got "m[0]['path'], json.loads(m[0]['body'])['text']" )" \
    "('/ok/T0P53CR3T', '*churn failed* for ml &lt;ops&gt;: step a failed: exit code 1 (1) acc=0.5')"
expect_equal "$(got "[(x['to'], x['sender'], x['user']) for x in m if x['kind'] == 'mail'][0]")" \
    "(['<a@example.org>', '<b@example.org>'], '<ml@example.org>', 'ml')"
mail() { got "[x['text'] for x in m if x['kind'] == 'mail'][-1]"; }
for line in "From: =?UTF-8?Q?M=C3=BCller?= <ml@example.org>" "Subject: churn failed" "Auto-Submitted: auto-generated" "run $id on" "Message-ID: <0"; do
    [[ "$(mail)" == *"$line"* ]] || fail "the mail has no '$line': $(mail)"
done
[[ "$(head -n 1 told)" == "failure $id 0"*": step a failed: exit code 1" ]] || fail "the script was told '$(cat told)'"
expect_equal "$(python3 -c 'import json; j = json.load(open("told.json")); print(j["run"]["id"], j["run"]["exit_code"], j["metrics"])')" "$id 1 {'acc': 0.5}"
mlops run churn.yaml --quiet; expect_exit 1; [[ "$(cat told)" == *"2 failures in a row since"* ]] || fail "told: $(cat told)"
rm '<broken>'; mlops run churn.yaml --quiet; expect_ok
[[ "$(cat told)" == recovery* && "$(mail)" == *"Subject: churn works again"* ]] || fail "no recovery: $(cat told)"
before=$(got 'len(m)'); mlops run churn.yaml --quiet; expect_ok
[[ "$(cat told)" == success* ]] || fail "no success: $(cat told)"; expect_equal "$(got 'len(m)')" "$before"
mlops notify list --json; expect_ok
expect_equal "$(json 'sorted({(x["occasion"], x["state"]) for x in j["messages"]})')" "[('failure', 'sent'), ('recovery', 'sent'), ('success', 'sent')]"
grep -rqs -e T0P53CR3T -e geheim .mlops && fail "a secret is in $(grep -rls -e T0P53CR3T -e geheim .mlops)"

# What does not get through: each for its reason, retried or not.
url() { echo "http://127.0.0.1:$HTTP/$1"; }
pipeline() { printf 'name: %s\nsecrets: [LEAK]\nnotify:\n%s\nsteps: {a: {run: "false"}}\n' "$1" "$2" > "$1.yaml"; }
why() { sql "select state || ' ' || attempts || ' ' || error from v_messages where pipeline = '$1' and notification = '$2'" | tr -d '"'; }
expect_why() { [[ "$(why "$1" "$2")" == $3 ]] || fail "$1 $2: '$(why "$1" "$2")' is not '$3'"; }
export LEAK; LEAK=$(url 404/5ECRET5)
touch peer/later
pipeline bad "  - {webhook: {secret: LEAK}, name: gone}
  - {webhook: $(url 500), name: broken}
  - {webhook: $(url redirect), name: moved}
  - {webhook: $(url big), name: big}
  - {webhook: http://127.0.0.2:$HTTP/ok, name: private}
  - {webhook: http://no-such-host.invalid/, name: nowhere}
  - {webhook: https://127.0.0.1:${HTTPS:-1}/ok, name: tls}
  - {email: nobody@example.org, name: nobody}
  - {email: busy@example.org, name: busy}
  - {command: [no-such-program-xyz], name: missing}
  - {command: 'echo \"went wrong\" >&2; exit 7', name: script}
  - {command: 'echo \"no login with \$LEAK\"; echo \"nor with \$(basename \$LEAK)\"; exit 3', name: says}
  - {command: 'exit 75', name: tempfail}"
mlops run bad.yaml --quiet; expect_exit 1; expect_err "notification 'gone' of failure was not delivered: HTTP 404: you asked for …"
expect_why bad gone "failed 1 HTTP 404: you asked for …"
expect_why bad broken "waiting 1 HTTP 500: you asked for /500"
expect_why bad moved "failed 1 HTTP 302: it leads elsewhere*"
expect_why bad big "sent 1 "
expect_why bad private "failed 1 nothing was sent: 127.0.0.2 is a loopback address;*allow_private*"
expect_why bad nowhere "waiting 1 Could not resolve host*"
expect_why bad tls "waiting 1 *"
expect_why bad nobody "failed 1 *550*"
expect_why bad busy "waiting 1 *451*"
expect_why bad missing "failed 1 no program 'no-such-program-xyz' on PATH"
expect_why bad script "failed 1 exit code 7: went wrong"
expect_why bad says "failed 1 exit code 3: nor with …"
expect_why bad tempfail "waiting 1 exit code 75"
expect_equal "$(got "sum(x.get('path') == '/ok' for x in m)")" 0
grep -rqs 5ECRET5 .mlops && fail "a secret is in $(grep -rls 5ECRET5 .mlops)"
rm peer/later; mlops notify retry --json; expect_exit 69
expect_equal "$(json '{x["notification"]: x["state"] for x in j["messages"]}["busy"]')" sent
mlops notify retry nobody; expect_exit 2; expect_err "there is no message 'nobody'"
kill $(senders) 2> /dev/null

# Asked to come again in a second, it does, by itself; the same message, under the same key.
touch peer/later; pipeline later "  - {webhook: $(url later/1)}"
mlops run later.yaml --quiet; expect_exit 1; expect_err "HTTP 503: not now; it is tried again at"
rm peer/later; waits() { [[ "$(sql "select state from outbox where pipeline = 'later'")" == sent ]]; }
wait_for 10 waits
expect_equal "$(got "len({x['headers']['idempotency-key'] for x in m if x.get('path') == '/later/1'})")" 1
expect_equal "$(got "[x['headers'].get('mlops-attempt') for x in m if x.get('path') == '/later/1'][-1] != None")" True

# A sender that dies while it sends: the message is sent again, and says so.
pipeline dies "  - {command: 'echo \$MLOPS_MESSAGE_ID >> ids; test -e died || { touch died; kill -9 \$PPID; }'}"
mlops run dies.yaml --quiet; expect_exit 1
mlops notify deliver; expect_ok
expect_equal "$(wc -l < ids) $(sort -u ids | wc -l)" "2 1"; expect_why dies command "sent 2 a process that was sending it has died: it may arrive twice*"

# A runner that dies: the failure is told by whichever command looks next.
pipeline dead "  - {command: 'echo \$MLOPS_HEADLINE > dead'}"; sed -i 's/"false"/sleep 60/' dead.yaml
"$MLOPS" run dead.yaml --quiet > /dev/null 2>&1 & runner=$!
running() { [ "$(sql "select count(*) from runs r join attempts a on a.run_id = r.id where r.pipeline = 'dead'")" = 1 ]; }
wait_for 10 running
kill -9 $runner $(grep -lsz "^MLOPS_PIPELINE=dead\$" /proc/[0-9]*/environ | cut -d / -f 3); wait $runner 2> /dev/null
ended() { "$MLOPS" runs > /dev/null 2>&1; grep -q "dead" dead; }
wait_for 10 ended

# No more than one in an hour; a gate that says no is told to who asks for it.
printf 'name: often\nnotify: [{webhook: "%s", every: 1h}, {webhook: "%s", on: refused, name: no, preset: ntfy}]\nsteps: {check: {kind: gate, run: exit 1}}\n' \
    "$(url ok/often)" "$(url ok/gate)" > often.yaml
mlops run often.yaml --quiet; expect_exit 3; arrived /ok/often 0 || fail "a refusal is no failure"
expect_equal "$(got "[(x['headers']['title'], x['headers']['priority'], x['body'].split(chr(10))[0]) for x in m if x.get('path') == '/ok/gate']")" \
    "[('often was refused', 'high', 'gate check said no: exit code 1')]"
sed -i 's/kind: gate, //' often.yaml; for _ in 1 2 3; do mlops run often.yaml --quiet; expect_exit 1; done
arrived /ok/often 1 || fail "the limit was not kept"
expect_equal "$(sql "select state, count(*) from outbox where notification = '127.0.0.1:$HTTP' and pipeline = 'often' group by state")" "sent,1
suppressed,2"

# A slot whose run cannot begin: nobody else would tell.
printf 'name: never\nschedule: "@yearly"\nsecrets: [NOT_SET]\nnotify: {command: "cat > never"}\nsteps: {a: {run: "true", secrets: [NOT_SET]}}\n' > never.yaml
mlops run never.yaml --slot now --quiet; expect_exit 2
wait_for 10 grep -q 'the run could not begin: cannot get secret .*NOT_SET' never

# Lateness: ahead, and when it has come, each once, also by a daemon that is started again; one an hour to who asks for that.
printf 'name: tardy\nschedule: {cron: "@yearly", fresh_within: 3s}\nnotify: [{webhook: "%s", on: late}, {webhook: "%s", on: late, every: 1h, name: seldom}]\nsteps: {a: {run: "true"}}\n' \
    "$(url ok/late)" "$(url ok/seldom)" > tardy.yaml
serve() { "$MLOPS" daemon "$@" > tardy.log 2>&1 & daemon=$!; cleanups=("kill $daemon 2> /dev/null" "${cleanups[@]}"); wait_for 20 grep -q "serving 1 schedule" tardy.log; }
serve tardy.yaml; wait_for 20 arrived /ok/late 2; kill -9 $daemon; { wait $daemon; } 2> /dev/null; serve; sleep 1.5
arrived /ok/late 2 || fail "lateness was told again"; arrived /ok/seldom 1 || fail "the limit was not kept"
expect_equal "$(got "[(j['headline'], j['pipeline']['file'], j['run']) for j in [json.loads(x['body']) for x in m if x.get('path') == '/ok/late']]")" \
    "[('tardy will be late', 'tardy.yaml', None), ('tardy is late', 'tardy.yaml', None)]"
kill $daemon; { wait $daemon; } 2> /dev/null; mlops schedule remove tardy.yaml; expect_ok

# An endpoint that hangs holds up a run for a few seconds, no other message, and not the daemon.
touch peer/hang
printf 'name: hang\nschedule: {every: 1s, overlap: allow}\nnotify: [{webhook: "%s", on: success}, {webhook: "%s", on: success, name: other}]\nsteps: {a: {run: "true"}}\n' \
    "$(url hang)" "$(url ok/other)" > hang.yaml
start=$(date +%s); mlops run hang.yaml --quiet; expect_ok; expect_err "still trying"; took=$(($(date +%s) - start))
[ $took -ge 4 ] && [ $took -le 9 ] || fail "it took $took s"; arrived /ok/other 1 || fail "one waited for another"
"$MLOPS" daemon hang.yaml --runs 4 > daemon.log 2>&1 & daemon=$!; cleanups=("kill $daemon 2> /dev/null" "${cleanups[@]}")
many() { [ "$(sql "select count(*) from v_slots where pipeline = 'hang' and outcome = 'ran' and late_seconds < 2")" -ge 3 ]; }
wait_for 10 many
mlops schedule remove hang.yaml; expect_ok
sleep 1; kill -9 $(senders | grep -vx $daemon) 2> /dev/null; rm peer/hang
# The daemon goes on from where these were killed.
sql_wait() { [ "$(sql "select count(*) from outbox where pipeline = 'hang' and state = 'waiting'")" = 0 ]; }
mlops notify deliver > /dev/null 2>&1; wait_for 20 sql_wait
kill $daemon; wait $daemon; expect_equal "$?" 0

# It can be tried out, and a file says what is wrong with it.
mlops notify test churn.yaml; expect_ok; expect_out "sent HOOK to secret HOOK"; expect_out "sent a@example.org to a@example.org, b@example.org"
[[ "$(mail)" == *"this is a test of mlops"* ]] || fail "no test: $(mail)"
mlops notify test bad.yaml gone; expect_exit 69; expect_out "not sent gone to secret LEAK: HTTP 404"
mlops notify test bad.yaml gon; expect_exit 2; expect_err "did you mean 'gone'?"
(unset LEAK; "$MLOPS" notify test bad.yaml gone > out; [ $? = 69 ] && grep -q "the environment variable LEAK is not set" out) || fail "a secret that is not there"
SMTP_PASSWORD=wrong mlops notify test churn.yaml a@example.org; expect_exit 69; expect_out "Login denied (535"
printf 'notify: [\n' > .mlops/config.yaml; mlops notify test bad.yaml broken; expect_exit 69; expect_out ".mlops/config.yaml:"
rm .mlops/config.yaml; mlops notify test bad.yaml nobody; expect_exit 69; expect_out "no mail server is known"
mlops notify test bad.yaml broken; expect_exit 69; expect_out "127.0.0.1 is a loopback address"
printf 'notify: {webhook: x}\nsteps: {a: {run: "true"}}\n' > wrong.yaml
mlops run wrong.yaml; expect_exit 2; expect_err "wrong.yaml:1:19: error: webhook: expected an http or https URL"
mlops notify list --state gone; expect_exit 2; mlops notify list --state failed --limit 1; expect_ok; expect_out "failed"
exit 0
