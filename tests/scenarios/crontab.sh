# From a crontab and back: import, install, shadow, export. The programs `crontab` and `systemctl` are stand-ins that keep
# a file, so that nobody's crontab is touched; crontab_peer.sh does it with the real ones.
. "$(dirname "$0")/common.sh"
mkdir -p bin home "work 100%"
home=$here/home
cat > bin/crontab <<'S'
#!/bin/sh
case $1 in
    -l) [ -e "$TAB" ] || { echo "no crontab for me" >&2; exit 1; }; cat "$TAB" ;;
    -r) rm "$TAB" ;;
    -) cat > "$TAB.in"; mv "$TAB.in" "$TAB" ;;
    *) if grep -q "^refuse" "$1"; then echo '"-":1: bad minute' >&2; exit 1; fi
       cat "$1" > "$TAB"; if [ -e "$TAB.intruder" ]; then cat "$TAB.intruder" >> "$TAB"; rm "$TAB.intruder"; fi ;;
esac
S
cat > bin/systemctl <<'S'
#!/bin/sh
echo "$*" >> "$CALLS"
[ -e "$MANAGER" ] || { echo "Failed to connect to bus" >&2; exit 1; }
wants=$HOME/.config/systemd/user/default.target.wants
[ "$2" != enable ] || { mkdir -p "$wants"; ln -sf "../$3" "$wants/$3"; }
[ "$2" != disable ] || rm -f "$wants/$4"
S
chmod +x bin/*
ln -s "$MLOPS" bin/mlops
export TAB=$here/tab CALLS=$here/calls MANAGER=$here/manager HOME=$here/home
unset XDG_CONFIG_HOME XDG_CACHE_HOME TZ
export PATH=$here/bin:$PATH

# --- import: what cron would have run, with cron's variables ---
cat > old <<T
HOME=$home
T
cat >> old <<'T'
# Trains the model
SHELL=/bin/bash
A="x y"
30 3 * * 1-5 cd /srv/churn && ./train.sh
*/5 * * * * cat > out.; echo $A ${A} >> out.; [[ $0 == /bin/bash ]] && pwd >> out.%line 1%50\%
@reboot true
0 22-2 * * * never
T
mlops import crontab old --out jobs --cron debian; expect_exit 3
expect_out "jobs/train.yaml"; expect_out "line 8: left out: its times cannot be read: hour '22-2'"; expect_out "line 7: @reboot is no time"
expect_missing jobs/never.yaml
next=$(sed -n 's/^then: mlops schedule install --crontab //p' <<< "$out"); expect_equal "$(eval "echo $next" | tr ' ' '\n' | grep -c yaml)" "$(grep -l ^schedule: jobs/*.yaml | wc -l)"
mlops validate jobs/*.yaml; expect_ok
(cd jobs && env -i "$MLOPS" run cat.yaml --quiet) > /dev/null || fail "the job of the crontab"
expect_file "$home/out." "line 1
50%
x y x y
$home"
rm "$home/out."
mlops import crontab old --out jobs --cron debian; expect_exit 2; expect_err "it exists"
mlops import crontab old --out jobs --cron debian --force --dry-run --json; expect_exit 3
expect_equal "$(json '[(x["line"], x["name"], x["times"]) for x in j["jobs"]]')" "[(5, 'train', '30 3 * * 1-5'), (6, 'cat', '*/5 * * * *'), (7, 'true', '')]"
printf '0 3 * * * nobody-at-all ls\n* * * * * %s echo hi\n' "$(id -un)" > system
mlops import crontab system --system --out sys; expect_exit 3; expect_out "there is no user 'nobody-at-all' here"; expect_exists sys/echo.yaml
mlops import crontab system --dry-run; expect_ok; [[ $err != *--system* ]] || fail "$err"
printf '0 3 * * * root ls\n* * * * * %s echo hi\n' "$(id -un)" > system
mlops import crontab system --dry-run; expect_ok; expect_err "each command begins with the name of a user"; expect_err "with --system"
mlops import crontab missing; expect_exit 2; expect_err "there is no file 'missing'"
mlops import crontab; expect_exit 2; expect_err "you have no crontab"
printf 'CRON_TZ=Europe/Berlin\nRANDOM_DELAY=5\n0 3 * * * x\n' > piped; mlops import crontab - --cron cronie --out cronie < piped; expect_ok
grep -q 'timezone: "Europe/Berlin", jitter: 5m' cronie/x.yaml || fail "CRON_TZ"

# --- install --crontab ---
cd "work 100%"
printf 'name: p\nschedule: [{cron: "0 3 * * 1-5"}, {every: 15m}]\nsteps: {a: {run: "true"}}\n' > p.yaml
printf 'name: q\nschedule: [{cron: "0 3 L * *"}, {cron: "0 4 * * *", timezone: America/New_York}, {every: 15s}]\nsteps: {a: {run: "true"}}\n' > q.yaml
printf 'MAILTO=me\n0 1 * * * mine # 100\\%%\n\n' > "$TAB"; cp "$TAB" "$TAB.before"
mlops schedule install --crontab; expect_exit 2
mlops init > /dev/null 2>&1; rm -f pipeline.yaml
mlops schedule install --crontab --print p.yaml; expect_ok; expect_out '* * * * * /usr/bin/env'; cmp -s "$TAB" "$TAB.before" || fail "--print wrote"
expect_equal "$(sql "select count(*) from schedules")" 0
mlops schedule install --crontab p.yaml; expect_ok; expect_out "daemon --once --quiet"
expect_equal "$(sql "select count(*) from schedules where served")" 2
head -n 3 "$TAB" | cmp -s - "$TAB.before" || fail "other lines were touched"
line=$(grep "daemon --once" "$TAB")
[[ $line == *"$here/bin/mlops"* ]] || fail "the name on PATH is not used: $line"
[[ $line == *'work 100\%'* ]] || fail "the line: $line"
mlops schedule install --crontab; expect_ok
expect_equal "$(grep -c "BEGIN mlops" "$TAB")" 1

# The line does what it says, from an empty environment, through a shell.
command=$(printf '%s' "${line#\* \* \* \* \* }" | sed 's/\\%/%/g')
(cd / && env -i /bin/sh -c "$command") > said 2>&1 || fail "the line: $(cat said)"
expect_file said ""
"$MLOPS" daemon > daemon.log 2>&1 & pid=$!; cleanups+=("kill $pid 2> /dev/null"); wait_for 20 grep -q serving daemon.log
run env -i /bin/sh -c "$command"; expect_exit 75; expect_equal "$out$err" ""
kill $pid; wait $pid

# A line for each entry, where a crontab can say it.
mlops schedule install --crontab --lines p.yaml q.yaml; expect_ok
expect_out "0 3 * * 1-5 "; expect_out "*/15 * * * * "; expect_out "p.yaml' --slot now --quiet"; expect_out "daemon --once"
expect_err "q main: its times cannot be said exactly in a crontab (a crontab has no words for its days)"
expect_err "q 0 4 * * *: its times cannot be said"; expect_err "q every 15s: cron looks once a minute only"
mlops schedule install --crontab --lines --no-path p.yaml q.yaml --print --json; expect_ok; expect_equal "$(json '["PATH=" in line for line in j["lines"]], len(j["gone"])')" "([False, False, False], 3)"
sed -i '1iCRON_TZ=Asia/Seoul' "$TAB"
mlops schedule install --crontab --lines p.yaml --print; expect_err "the crontab sets a time zone of its own"
sed -i 1d "$TAB"
TZ=Asia/Seoul mlops schedule install --crontab p.yaml --print; expect_err "TZ is Asia/Seoul here"
mlops schedule install --crontab --reboot; expect_ok; expect_out "@reboot "; grep -q "^@reboot" "$TAB" || fail "@reboot"
long=$(printf 'x%.0s' {1..1200}) mlops schedule install --crontab --env long; expect_exit 2; expect_err "too long for cron"
mlops schedule install --crontab --env nothing_of_this_name; expect_exit 2

# What somebody edited is not lost, and neither is what they write meanwhile.
sed -i 's/^@reboot/@daily/' "$TAB"; cp "$TAB" edited
mlops schedule install --crontab; expect_exit 5; expect_err "somebody has edited lines 4 to 7"
mlops schedule install --crontab --remove; expect_exit 5; cmp -s "$TAB" edited || fail "an edit was lost"
mlops schedule install --crontab --force; expect_ok
echo '@hourly theirs' > "$TAB.intruder"
mlops schedule install --crontab --reboot; expect_ok; grep -q theirs "$TAB" || fail "a line of somebody else was lost"
mlops schedule install --crontab --remove; expect_ok; expect_out "daemon --quiet"
expect_equal "$(cat "$TAB")" "$(cat "$TAB.before"; echo '@hourly theirs')"
mlops schedule install --crontab --remove; expect_exit 2; expect_err "has no lines of mlops"
grep -v END "$TAB" > t; printf '# BEGIN mlops %s\n* * * * * x\n' "$PWD" >> t; cp t "$TAB"
mlops schedule install --crontab; expect_exit 5; expect_err "do not go together, at line 5"
cp t "$TAB"; printf 'refuse\n' > "$TAB"; mlops schedule install --crontab; expect_exit 69; expect_err "bad minute"
rm "$TAB"; mlops schedule install --crontab; expect_ok; mlops schedule install --crontab --remove; expect_ok; expect_missing "$TAB"
run env PATH=/nonexistent "$MLOPS" schedule install --crontab; expect_exit 69; expect_err "install cron"

# A second file joins what is there, in whatever way either is served; only --remove takes away.
mkdir ../join; cd ../join; mlops init > /dev/null 2>&1; rm -f pipeline.yaml
for name in a "b's" c; do printf 'name: %s\nschedule: "0 3 * * *"\nsteps: {x: {run: "true"}}\n' "${name%%\'*}" > "$name.yaml"; done
block() { grep -c -- "$1" "$TAB"; }
mlops schedule install --crontab --lines a.yaml; expect_ok; expect_out "serving a.yaml"
mlops schedule install --crontab --lines "b's.yaml"; expect_ok; expect_out "serving a.yaml, b's.yaml"; expect_no_out "no longer"
expect_equal "$(block "BEGIN mlops")$(block --slot)" 12
mlops schedule install --crontab --lines --json; expect_ok; expect_equal "$(json 'len(j["lines"]), j["gone"], j["serves"]')" "(2, [], ['a.yaml', \"b's.yaml\"])"
mlops schedule install --crontab c.yaml; expect_ok; expect_out "serving a.yaml, b's.yaml, c.yaml"; expect_equal "$(block --slot)$(block once)" 21
mlops schedule install --crontab --print a.yaml; expect_ok; expect_out "instead of:"; expect_equal "$(block --slot)" 2
mlops schedule install --crontab --no-path a.yaml; expect_ok; expect_out "and no longer:
0 3 * * * "; expect_out "env PATH="; expect_equal "$(block --slot)$(block once)" 11
mlops schedule install --crontab --lines c.yaml; expect_ok; expect_out "serving a.yaml, b's.yaml, c.yaml"; expect_equal "$(block --slot)$(block once)" 21
mlops schedule remove "b's.yaml"; expect_ok; expect_err "b's.yaml has lines of its own in the crontab, which go on"; expect_err "--remove 'b'\\''s.yaml'"
cp "$TAB" "$TAB.before"; mlops schedule install --crontab --remove --print "b's.yaml"; expect_ok; expect_out "b's.yaml would not be served any more"; cmp -s "$TAB" "$TAB.before" || fail "--print wrote"
mlops schedule install --crontab --remove "b's.yaml" c.yaml; expect_ok; expect_out "serving a.yaml"; expect_equal "$(block --slot)$(block once)" 01
expect_equal "$(sql "select group_concat(name || served) from (select replace(file, '.yaml', '') as name, served from schedules order by 1)")" "\"a1,b's0,c0\""
mlops schedule install --crontab --remove c.yaml; expect_exit 2; expect_err "does not serve 'c.yaml'"; expect_err "it serves a.yaml"
mlops schedule install --crontab c.yaml; expect_ok; mlops schedule install --crontab --remove a.yaml; expect_ok; expect_out "stays as it is"; expect_out "serving c.yaml"
mlops schedule install --crontab --remove c.yaml; expect_ok; expect_missing "$TAB"
# The one line serves triggers as well, so that it stays for them.
printf 'name: t\ntriggers: {files: "*.csv"}\nsteps: {x: {run: "true"}}\n' > t.yaml
mlops schedule add t.yaml; expect_ok; mlops schedule install --crontab a.yaml; expect_ok
mlops schedule install --crontab --lines a.yaml; expect_ok; expect_equal "$(block --slot)$(block once)" 11
mlops schedule install --crontab --remove; expect_ok; expect_missing "$TAB"
cd "../work 100%"
[ -z "$(ls -A "$HOME/.cache/mlops" | grep -v lock)" ] || fail "a draft was left"
cd ..

# --- install --systemd ---
cd "work 100%"
unit=$HOME/.config/systemd/user/mlops-work-100.service
mlops schedule install --systemd --print p.yaml; expect_ok; expect_out "KillMode=process"; expect_missing "$unit"
mlops schedule install --systemd p.yaml; expect_exit 69; expect_out "wrote $unit"; expect_exists "$unit"
expect_err "'mlops-work-100.service' is written, but not started, so that nothing serves p.yaml, q.yaml yet: \`systemctl --user daemon-reload\`: Failed to connect to bus"
expect_err "enable --now mlops-work-100.service"; expect_err "where none does: mlops schedule install --crontab"
mlops schedule install --systemd p.yaml --json; expect_exit 69; expect_equal "$(json 'j["done"], j["serves"], len(j["to_type"])')" "(False, ['p.yaml', 'q.yaml'], 2)"
mlops schedule list; expect_out "what is on is started by mlops-work-100.service of your systemd, once it is enabled"; : > "$CALLS"
mlops schedule install --systemd p.yaml; expect_exit 69
expect_equal "$(cat "$CALLS")" "--user daemon-reload"
touch "$MANAGER"; : > "$CALLS"
A='a "b" $c %d \e' mlops schedule install --systemd p.yaml --env A; expect_ok; expect_out "enabled and runs"
expect_equal "$(cat "$CALLS")" "--user daemon-reload
--user enable mlops-work-100.service
--user restart mlops-work-100.service"
grep -qF 'Environment="A=a \"b\" $c %%d \\e"' "$unit" || fail "$(grep A= "$unit")"
grep -qF "\"$here/work 100%%\" daemon" "$unit" || fail "$(grep Exec "$unit")"
mlops schedule install --systemd q.yaml; expect_ok; expect_out 'no longer in it:
Environment="A='; expect_out "serving p.yaml, q.yaml"
mlops schedule install --systemd p.yaml; expect_ok; expect_no_out "no longer"; expect_out "serving p.yaml, q.yaml"
mlops schedule install --systemd --remove p.yaml; expect_exit 2; expect_err "schedule remove p.yaml"; expect_exists "$unit"
echo "# mine" >> "$unit"
mlops schedule install --systemd p.yaml; expect_exit 5; expect_err "somebody has edited"
mlops schedule install --systemd --remove; expect_exit 5
mkdir ../other; (cd ../other && "$MLOPS" init > /dev/null 2>&1); cp p.yaml ../other/
run "$MLOPS" schedule install --systemd ../other/p.yaml --name mlops-work-100; expect_exit 5; expect_err "belongs to another workspace"
mlops schedule install --systemd --remove --force; expect_ok; expect_out "its runs go on"; expect_missing "$unit"
expect_out "p.yaml, q.yaml: on still, but nothing starts what is due any more"
mlops schedule install --systemd --remove; expect_exit 2

# A workspace has one unit: another name takes the place of the one that was there, and stays.
mlops schedule install --systemd p.yaml; expect_ok; : > "$CALLS"
mlops schedule install --systemd --name mine; expect_ok; expect_out "took $unit away: a workspace has one daemon"; expect_missing "$unit"
expect_equal "$(head -n 2 "$CALLS")" "--user disable --now mlops-work-100.service
--user daemon-reload"
mlops schedule install --systemd p.yaml; expect_ok; expect_out "mine.service is enabled and runs"; expect_missing "$unit"
mlops schedule list; expect_out "what is on is started by mine.service of your systemd"; expect_no_out "once it"
echo "# mine" >> "$HOME/.config/systemd/user/mine.service"
mlops schedule install --systemd p.yaml --name third; expect_exit 5; expect_err "somebody has edited"; expect_missing "$HOME/.config/systemd/user/third.service"
mlops schedule install --systemd p.yaml --name third --force; expect_ok
"$MLOPS" daemon --quiet > /dev/null 2>&1 & pid=$!; cleanups+=("kill $pid 2> /dev/null"); wait_for 20 grep -q . .mlops/daemon.lock
wait_for 20 eval '"$MLOPS" schedule list | grep -q "a daemon serves"'
mlops schedule install --systemd p.yaml; expect_ok; expect_err "process $pid is a daemon of this workspace already"; expect_err "kill $pid; systemctl --user restart third.service"
kill $pid; wait $pid
mlops schedule install --systemd --remove; expect_ok
cd ..

# --- What is installed is known, and kept ---
mkdir known; cd known; mlops init > /dev/null 2>&1; rm -f pipeline.yaml
for name in p q; do printf 'name: %s\nschedule: "0 3 * * *"\nsteps: {x: {run: "true"}}\n' $name > $name.yaml; done
states() { run "$MLOPS" schedule list --json; json '[(x["file"], x["state"], x["crontab_line"]) for x in j["schedules"]], j["installed"]'; }
mlops schedule install --crontab --lines p.yaml; expect_ok
mlops schedule list; expect_out "by its crontab line"; expect_equal "$(states)" "([('p.yaml', 'by its crontab line', True)], [])"
mlops schedule pause p; mlops schedule list; expect_out "by its crontab line, paused"; mlops schedule resume p
sed -i 's/0 3/0 4/' p.yaml; "$MLOPS" run p.yaml --slot now > /dev/null 2>&1
mlops schedule list; expect_out "by an older crontab line"; expect_out "p.yaml: its line in the crontab has other times than the file: \`mlops schedule install --crontab --lines p.yaml\`"
mlops schedule install --crontab --lines p.yaml; expect_ok; mlops schedule list; expect_no_out "older"
# The daemon of systemd serves what is named; the line stays, and is told of.
mlops schedule install --systemd q.yaml; expect_ok; expect_err "p.yaml: served by lines of the crontab, as before"; expect_out "serving q.yaml"
expect_equal "$(states)" "([('p.yaml', 'by its crontab line', True), ('q.yaml', 'on', False)], ['mlops-known.service of your systemd'])"
# Without names it serves all that is served already.
mlops schedule install --systemd; expect_ok; expect_out "serving p.yaml, q.yaml"; expect_err "p.yaml: has lines of its own in the crontab as well, which stay"
mlops schedule list; expect_out "on, also by its crontab line"
mlops schedule install --crontab q.yaml; expect_ok; expect_err "mlops-known.service of your systemd runs a daemon of this workspace, too"
mlops schedule install --crontab --remove; expect_ok; expect_out "p.yaml, q.yaml: served still, by mlops-known.service of your systemd"
mlops schedule install --systemd --remove; expect_ok; expect_out "p.yaml, q.yaml: on still, but nothing starts what is due any more"
mlops schedule list; expect_out "nothing is installed that starts what is on"
mlops schedule remove p; mlops schedule install --crontab --lines p.yaml; expect_ok; mlops schedule install --crontab q.yaml; expect_ok
mlops schedule list; expect_out "what is on is started by a line of the crontab, each minute"
mlops schedule install --crontab --remove --print; expect_ok; expect_out "p.yaml: by hand only from now on"
mlops schedule install --crontab --remove; expect_ok; expect_out "p.yaml: by hand only from now on"; expect_out "q.yaml: on still, but nothing starts"
mlops schedule install --crontab --lines p.yaml; expect_ok; mlops schedule install --crontab --remove --json; expect_equal "$(json 'j["remaining"]')" "{'by_hand': ['p.yaml'], 'on': ['q.yaml'], 'started_by': []}"
cd "../work 100%"
mlops schedule install --systemd p.yaml --name ../../x; expect_exit 2; expect_err "no name for a unit"
cd ..

# --- export ---
cd "work 100%"
mlops export crontab p.yaml q.yaml; expect_exit 3
expect_out "0 3 * * 1-5 flock -n -E 75 "; expect_out "# not here: main (0 3 L * *)"; expect_err "not exported: q 0 4 * * *:"; expect_err "lost: p main: \`catchup\`"
# A file that cannot be exported hides nothing of the others.
printf 'name: none\nsteps: {a: {run: "true"}}\n' > none.yaml; printf 'name: boot\nschedule: [{cron: "@reboot"}, {cron: "0 3 * * *", name: x}]\nsteps: {a: {run: "true"}}\n' > boot.yaml
mlops export crontab boot.yaml p.yaml none.yaml; expect_exit 3; expect_out "0 3 * * 1-5 flock"; expect_out "# not here: none.yaml: it has no schedule"
expect_err "not exported: none.yaml: it has no schedule"; expect_err "not exported: boot.yaml: line 2: schedule: @reboot is no time, so it has no slots (let the system do it"
mlops export systemd none.yaml p.yaml --json; expect_exit 3; expect_equal "$(json 'len(j["units"]), [x["pipeline"] for x in j["losses"] if x["whole"]]')" "(3, ['none.yaml'])"
mlops export crontab boot.yaml; expect_exit 2; expect_err "@reboot is no time"
mlops export crontab none.yaml; expect_exit 2; mlops export crontab p.yaml missing.yaml; expect_exit 2; expect_err "missing.yaml"
rm none.yaml boot.yaml
mlops export systemd q.yaml; expect_ok; expect_out "OnCalendar=*-*~01 03:00:00"; expect_out "OnCalendar=*-*-* 04:00:00 America/New_York"
expect_out "OnCalendar=*-*-* *:*:00/15 UTC"; expect_err "lost: q 0 4 * * *: a time of day that clocks skip"
mlops export systemd p.yaml -o units; expect_ok; expect_exists units/mlops-p.timer
mlops export systemd p.yaml -o units; expect_exit 2; expect_err "it exists"
sed 's/^name: .*/name: first/' p.yaml > first.yaml; mlops export systemd first.yaml p.yaml -o units; expect_exit 2; expect_missing units/mlops-first.timer
mlops export systemd p.yaml -o p.yaml; expect_exit 74; expect_err "cannot create directory 'p.yaml': Not a directory"
if command -v systemd-analyze > /dev/null; then
    mkdir -p "$here/run"; export XDG_RUNTIME_DIR=$here/run
    run systemd-analyze --user verify units/mlops-p.service units/mlops-p.timer; expect_ok; expect_equal "$err" ""
    mlops schedule install --systemd p.yaml; expect_ok
    run systemd-analyze --user verify "$unit"; expect_ok; expect_equal "$err" ""
    python3 - <<'PY' || fail "systemd understands the exported times differently"
import datetime, json, os, re, subprocess, sys
mlops = os.environ["MLOPS"]
def run(*words, **more): return subprocess.run(words, capture_output=True, text=True, **more)
base, count, bad = "2026-02-27 22:58:31", 12, 0
cases = [("cron", text) for text in ("0 3 * * 1-5", "*/15 9-17 * * *", "5,35 */6 1,15 * *", "0 0 13 * 5", "0 12 L * *", "30 6 * * FRI#2", "0 6 * * MON#L",
         "0 0 */2 * 5", "@monthly", "0 0 1-7 jan,jul *", "H H * * *", "0 22 * * 0,6", "0 0 29 2 *", "15 10 L * 1")] + [("every", text) for text in ("15s", "7m", "90m", "6h", "25h", "1d", "36m")]
for zone in ("", "Asia/Seoul", "America/New_York"):
    for key, text in cases:
        if key == "every" and zone: continue
        entry = {key: text, **({"timezone": zone} if zone else {"timezone": "UTC"})}
        open("c.yaml", "w").write(json.dumps({"name": "c", "schedule": entry, "steps": {"a": {"run": "true"}}}))
        exported = json.loads(run(mlops, "export", "systemd", "c.yaml", "--json").stdout)
        lines = [line[11:] for unit in exported["units"] for line in unit["text"].split("\n") if line.startswith("OnCalendar=")]
        if not lines:
            assert text in ("25h", "7m"), text
            continue
        theirs = set()
        for line in lines:
            said = run("systemd-analyze", "calendar", f"--iterations={count}", f"--base-time={base}", line, env={**os.environ, "TZ": "UTC", "LC_ALL": "C"})
            assert said.returncode == 0, (line, said.stderr)
            for found in re.findall(r"(?:Next elapse|Iter\. #\d+|Iteration #\d+): \w+ (\S+ \S+) UTC", said.stdout): theirs.add(found)
        first = run(mlops, "schedule", "next", "c.yaml", "--from", base.replace(" ", "T") + "Z", "-n", str(count), "--json")
        ours = [datetime.datetime.fromisoformat(t["time"]).astimezone(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S") for t in json.loads(first.stdout)["next"]]
        if sorted(theirs)[:len(ours)] != ours: bad += 1; print(key, text, zone, lines, sorted(theirs)[:3], ours[:3], file=sys.stderr)
        assert len(ours) >= 5 or text == "0 0 29 2 *"
sys.exit(bad > 0)
PY
else
    echo "NOT TRIED: systemd-analyze is not here, so that nothing has read the units"
fi
cd ..

# --- shadow ---
mkdir shadow; cd shadow
# The daily one is half a day away: it has nothing to do in the hour that is compared.
printf '# BEGIN\n* * * * * %s\n@reboot x\n30 %s * * * echo 5\\%% %%in\n' "echo a; echo b" $((($(date +%-H) + 12) % 24)) > "$TAB"; cp "$TAB" before
mlops import crontab --shadow --report; expect_exit 2
mlops import crontab --shadow --out . --cron debian; expect_ok; expect_out "the start of 2 jobs is noted"
grep -q "^\* \* \* \* \* $here/bin/mlops internal-shadow $here/shadow/.mlops/shadow/starts 2-echo; echo a; echo b\$" "$TAB" || fail "$(cat "$TAB")"
mlops import crontab --shadow; expect_exit 5
watched=$(sed -n 's/^\* \* \* \* \* //p' "$TAB")
expect_equal "$(env -i /bin/sh -c "$watched" 2>&1)" "a
b"
grep -qE '^2-echo [0-9]{13}$' .mlops/shadow/starts || fail "the note"
mlops import crontab --shadow --report; expect_ok; expect_out "nothing can be told yet"
# As if it had begun an hour ago, on the full hour of a day long enough gone: cron missed one minute and began another twice.
python3 - <<'PY'
import json, time
state = json.load(open(".mlops/shadow/crontab.json")); now = int(time.time()) // 60 * 60
state["since"] = time.strftime("%Y-%m-%d %H:%M:%S.000", time.gmtime(now - 3600)); json.dump(state, open(".mlops/shadow/crontab.json", "w"))
with open(".mlops/shadow/starts", "w") as f:
    for minute in range(2, 60):
        at = now - 3600 + minute * 60
        if minute != 30: f.write(f"2-echo {at * 1000 + 700}\n")
        if minute == 40: f.write(f"2-echo {at * 1000 + 9000}\n")
    f.write("torn")
PY
mlops import crontab --shadow --report; expect_exit 3; expect_out "echo: only mlops"; expect_out "echo: twice by cron"; expect_out "2 differences"
mlops import crontab --shadow --report --json; expect_exit 3
expect_equal "$(json '[d["what"] for l in j["lines"] for d in l["differences"] if l["pipeline"] == "echo"]')" "['only mlops', 'twice by cron']"
sed -i 's/cron: "\* \* \* \* \*"/cron: "*\/2 * * * *"/' echo.yaml
mlops import crontab --shadow --report --json; expect_exit 3
# What cron began in an odd minute is its own now, but for one that stands in for an even one that cron missed.
odd_starts='sum(m % 2 and f <= m * 60 <= t for m in (int(line.split()[1]) // 60000 for line in open(".mlops/shadow/starts") if line != "torn")) - (f // 60 % 2 == 0)'
expect_equal "$(json 'sum(d["what"] == "only cron" for l in j["lines"] for d in l["differences"] if l["pipeline"] == "echo")')" \
    "$(json "(lambda f, t: $odd_starts)(*(__import__('datetime').datetime.fromisoformat(j[k]).timestamp() for k in ('from', 'to')))")"
sed -i 's/echo a/echo c/' "$TAB"; sed 's/echo a/echo c/' before > expected
mlops import crontab --shadow --report; expect_out "was changed or taken away since"
mlops import crontab --shadow --remove; expect_ok; cmp -s "$TAB" expected || fail "the crontab is not as it was: $(diff "$TAB" expected)"
mlops import crontab --shadow --remove; expect_ok; expect_out "nothing in the crontab"
run "$MLOPS" internal-shadow /nonexistent/x id; expect_exit 74; expect_err "cannot note"
# What is watched already, here or elsewhere, is imported as it is; what was put back by hand is not noted twice.
cp before "$TAB"; mlops import crontab --shadow --out . --cron debian --force; expect_ok; cp "$TAB" watched
mlops import crontab --out ../plain --cron debian; expect_ok; expect_out "echo a; echo b"; expect_out "line 2: a shadow notes its start"
! grep -rq internal-shadow ../plain || fail "a note was imported"
mkdir ../second; run "$MLOPS" -w ../second init; (cd ../second && "$MLOPS" import crontab --shadow --cron debian > /dev/null) || fail "a second shadow"
expect_equal "$(grep -o internal-shadow "$TAB" | wc -l)" 4; cmp -s echo.yaml ../second/echo.yaml || fail "$(diff echo.yaml ../second/echo.yaml)"
(cd ../second && "$MLOPS" import crontab --shadow --remove > /dev/null); cmp -s "$TAB" watched || fail "$(diff "$TAB" watched)"
mlops import crontab --shadow --remove; expect_ok; cmp -s "$TAB" before || fail "$(diff "$TAB" before)"
cp watched "$TAB"; mlops import crontab --shadow --out . --cron debian --force; expect_ok; expect_equal "$(grep -o internal-shadow "$TAB" | wc -l)" 2
rm -r .mlops/shadow; mlops import crontab --shadow --remove; expect_ok; cmp -s "$TAB" before || fail "$(diff "$TAB" before)"
mlops import crontab --shadow --remove; expect_exit 2; cd ..

# The steps of the manual, in a folder without a workspace.
mkdir steps; cd steps; printf '30 3 * * * echo hi\n0 22-2 * * * never\n' > "$TAB"; cp "$TAB" before
mlops import crontab --shadow --out jobs --cron debian; expect_exit 3; expect_out "line 2: left out"; expect_out "next: mlops -w jobs import crontab --shadow --report"
mlops import crontab --shadow --report; expect_exit 2; expect_err "no workspace in '$PWD'"; expect_err "there is one in 'jobs': say -w jobs"
mlops -w jobs import crontab --shadow --report; expect_ok
mlops -w jobs import crontab --shadow --remove; expect_ok; cmp -s "$TAB" before || fail "the crontab is not as it was"
mlops schedule install --crontab jobs/echo.yaml; expect_ok; expect_out "to see what becomes of its slots: mlops -w jobs schedule list"
mlops -w jobs schedule list; expect_ok; expect_out "echo.yaml"; mlops -w jobs schedule install --crontab --remove; expect_ok
mkdir -p "two more/.mlops"; mlops schedule list; expect_exit 2; expect_err "there are some in 'jobs', 'two more': name one, as -w jobs"
cd ..

# --- the cut-over ---
mkdir over; cd over; mlops init > /dev/null 2>&1; rm -f pipeline.yaml
cat > "$TAB" <<T
HOME=$here/over
30 3 * * 1-5 ./train.sh --all >> train.log 2>&1
@reboot ./serve
0 4 * * * ./sync.sh
0 5 * * * mlops run own.yaml --quiet
T
printf 'name: own\nschedule: "0 5 * * *"\nsteps: {x: {run: "true"}}\n' > own.yaml
mlops import crontab --out jobs; expect_ok
out_of="crontab -l | sed '2s/^/# /;4s/^/# /' | crontab -"; expect_out "then: take these lines out of the crontab, or cron goes on with them beside mlops: $out_of"
mlops import crontab --out jobs --dry-run --json; expect_equal "$(json 'j["way_out"]')" "$out_of"
mlops schedule install --crontab own.yaml jobs/train.yaml jobs/sync.yaml; expect_ok
expect_err "warning: line 2 of the crontab runs train as well, so that it runs twice: 30 3 * * 1-5 ./train.sh --all"
expect_err "line 4 of the crontab runs sync"; expect_err "line 5 of the crontab runs own"; expect_err "take them out: crontab -l | sed '2s/^/# /;4s/^/# /;5s/^/# /' | crontab -"
mlops schedule install --systemd own.yaml; expect_ok; expect_err "line 5 of the crontab runs own"; mlops schedule install --systemd --remove; expect_ok
mlops schedule add own.yaml; expect_ok; expect_err "line 5 of the crontab runs own"
"$MLOPS" daemon > daemon.log 2>&1 & pid=$!; cleanups+=("kill $pid 2> /dev/null"); wait_for 20 grep -q serving daemon.log; kill $pid; wait $pid
grep -q "line 2 of the crontab runs train as well" daemon.log || fail "$(cat daemon.log)"
mlops daemon --once; expect_ok; expect_no_out "runs twice"
mlops import crontab --shadow --out watched; expect_ok; mlops schedule install --crontab; expect_err "line 2 of the crontab runs train"; mlops import crontab --shadow --remove; expect_ok
eval "$out_of"; mlops schedule install --crontab; expect_ok; expect_err "take it out: crontab -l | sed '5s/^/# /' | crontab -"
eval "crontab -l | sed '5s/^/# /' | crontab -"
mlops schedule install --crontab; expect_ok; expect_equal "$err" ""
mlops import crontab --dry-run; expect_ok; expect_out "what \`mlops schedule install\` has written, down to line"; expect_out "would write 1 pipeline file"
mlops schedule install --crontab --remove; expect_ok
# Those of the system are looked at, too, as far as they can be read.
if unshare --mount true 2> /dev/null && [ -d /etc/cron.d ]; then
    mkdir "$here/cron.d"; printf 'X=1\n0 5 * * * root cd %s && mlops run own.yaml --quiet\n' "$PWD" > "$here/cron.d/own"
    within() { run unshare --mount sh -c 'mount --bind "$1" /etc/cron.d && shift && exec "$@"' - "$here/cron.d" "$MLOPS" "$@"; }
    within schedule add own.yaml; expect_ok; expect_err "warning: line 2 of /etc/cron.d/own runs own as well, as root, so that it runs twice: 0 5 * * * root cd $PWD"
    expect_err "take it out: sed -i '2s/^/# /' /etc/cron.d/own"
    within schedule install --crontab own.yaml --print --json; expect_ok; expect_equal "$(json '[(x["file"], x["user"], x["line"]) for x in j["twice"]["lines"]]')" "[('/etc/cron.d/own', 'root', 2)]"
    unshare --mount sh -c 'mount --bind "$1" /etc/cron.d && exec "$2" daemon' - "$here/cron.d" "$MLOPS" > daemon.log 2>&1 & pid=$!
    cleanups+=("kill $pid 2> /dev/null"); wait_for 20 grep -q serving daemon.log; kill $pid; wait $pid
    grep -q "line 2 of /etc/cron.d/own runs own as well" daemon.log || fail "$(cat daemon.log)"
else
    echo "NOT TRIED: crontabs of the system, which need a mount of one's own"
fi
exit 0
