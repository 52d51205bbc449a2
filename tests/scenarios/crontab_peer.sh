# With Debian's cron itself, in a mount namespace of its own: its spool, its pid file and the system's crontabs are empty
# there, so that nobody's jobs run and nobody's crontab is touched. What cron runs once a minute is waited for: up to 130 s.
. "$(dirname "$0")/common.sh"
PATH=$PATH:/usr/sbin:/sbin
if [ -z "${INSIDE:-}" ]; then
    [ "$(id -u)" = 0 ] || skip "the real cron can be tried by root only"
    command -v cron > /dev/null && command -v crontab > /dev/null || skip "there is no cron here (package cron)"
    cron -h 2>&1 | grep -q -- "-f" || grep -q 3.0pl1 <(dpkg-query -W cron 2> /dev/null) || skip "this cron is not Debian's"
    unshare --mount true 2> /dev/null || skip "no mount namespaces here (unshare --mount)"
    INSIDE=1 MLOPS=$MLOPS SOURCE_DIR=$SOURCE_DIR unshare --mount bash "$SOURCE_DIR/tests/scenarios/$(basename "$0")"
    exit
fi
spool=/var/spool/cron
mount -t tmpfs none $spool && mkdir -m 1730 $spool/crontabs && chgrp crontab $spool/crontabs || skip "the spool of cron cannot be replaced"
mount -t tmpfs none /etc/cron.d && mount -t tmpfs none /run && : > /run/empty && mount --bind /run/empty /etc/crontab || skip "/etc cannot be replaced"
printf 'LANG="C.UTF-8"\nFROM_PAM="of the machine"\nPATH="/never"\n' > /run/environment
[ -e /etc/environment ] && mount --bind /run/environment /etc/environment
unset LANG LC_ALL TZ XDG_CACHE_HOME XDG_CONFIG_HOME
export HOME=$here/home
says() { [ "$(env LC_ALL=C.UTF-8 "$MLOPS" -w "${1%%:*}" sql --csv "${1#*:}" | tail -n +2)" = "$2" ]; }
mkdir -p home "in stalled%d" jobs w
cron=; cleanups=('[ -z "$cron" ] || kill $cron')

# What cron runs at its start shows each variable, and the bytes that a job gets.
cat > tab <<T
# of the machine
HOME=$here/home
A = "x  y"
EMPTY=""
@reboot env > $here/cron.env; pwd > $here/cron.pwd
@reboot printf '[\\%s]' 'a\\\\b' "c\\%d" \\\\\\% > $here/cron.bytes
@reboot cat > $here/cron.input%line 1%%li\\%ne 3\\\\x\\\\%y
SHELL=/bin/bash
@reboot [[ \$0 = /bin/bash ]] && echo \$BASH > $here/cron.shell
T
sed "s/cron\\.\\([a-z]*\\)/mlops.\\1/g" tab > again
crontab again || fail "crontab does not take the table"
mlops import crontab --cron debian --out jobs; expect_ok; crontab tab
for job in jobs/*.yaml; do (cd / && env -i "$MLOPS" run "$here/$job" --quiet) > /dev/null || fail "$job"; done

# The schedule of a workspace whose path needs care, served by the block that is written for it; and a watched job.
printf 'name: tick\nschedule: {cron: "* * * * *"}\nsteps: {a: {run: "echo $PATH >> witness"}}\n' > "in stalled%d/p.yaml"
printf 'name: line\nschedule: {cron: "*/1 * * * *"}\nsteps: {a: {run: "echo x >> witness"}}\n' > w/p.yaml
mlops schedule install --crontab "in stalled%d/p.yaml"; expect_ok
mlops schedule install --crontab --lines w/p.yaml; expect_ok
# A second file joins it, and is taken out again.
sed 's/name: line/name: other/' w/p.yaml > w/o.yaml
mlops schedule install --crontab --lines w/o.yaml; expect_ok; expect_out "serving o.yaml, p.yaml"; expect_equal "$(crontab -l | grep -c "w/[op].yaml --slot")" 2
mlops schedule install --crontab --remove w/o.yaml; expect_ok; expect_equal "$(crontab -l | grep -c "w/[op].yaml --slot")" 1; rm w/o.yaml
printf '* * * * * echo beat >> %s/beat\n' "$here" > beat.tab
(crontab -l; cat beat.tab) | crontab - || fail "crontab"
mkdir shadow; mlops import crontab --shadow --out shadow --cron debian; expect_ok; expect_out "the start of 1 job is noted"
crontab -l > watched; expect_equal "$(grep -c internal-shadow watched)" 1

cron -f > /dev/null 2>&1 & cron=$!
for what in env pwd bytes input shell; do wait_for 20 test -s cron.$what; done
for what in pwd bytes input shell; do cmp cron.$what mlops.$what || fail "$what: cron '$(cat cron.$what)', mlops '$(cat mlops.$what)'"; done
# PWD is the shell's; mlops adds its own.
clean() { grep -vE '^(PWD|SHLVL|_|MLOPS_[A-Z_]*)=' "$1" | sort; }
[ "$(clean cron.env)" = "$(clean mlops.env)" ] || fail "variables: $(diff <(clean cron.env) <(clean mlops.env))"

# Two minutes of cron.
wait_for 130 says "in stalled%d:select count(*) >= 2 from v_slots where outcome = 'ran'" 1
wait_for 60 says "w:select count(*) >= 2 from v_slots where outcome = 'ran'" 1
for place in "in stalled%d" w; do
    mlops -w "$place" schedule audit --last all --json; expect_ok
    expect_equal "$(json 'set(s["outcome"] for s in j["slots"]), j["without_outcome"]')" "({'ran'}, 0)"
    expect_equal "$(sort "$place/witness" | wc -l)" "$("$MLOPS" -w "$place" sql --csv "select count(*) from v_slots where outcome = 'ran'" | tail -n 1)"
done
expect_equal "$(wc -l < beat)" "$(wc -l < shadow/.mlops/shadow/starts)"
mlops import crontab --shadow --report --out shadow --json
expect_equal "$(json '[d for l in j["lines"] for d in l["differences"]]')" "[]"
[ "$(json 'j["lines"][0]["same"]')" -le "$(wc -l < beat)" ] || fail "the report"
mlops import crontab --shadow --remove --out shadow; expect_ok; expect_equal "$(crontab -l | grep -c internal-shadow)" 0
mlops -w "in stalled%d" schedule install --crontab --remove; expect_ok
mlops -w w schedule install --crontab --remove; expect_ok
expect_equal "$(crontab -l)" "$(cat tab beat.tab)"

# The cut-over: the line that goes on beside mlops is told, and what is told takes it out.
mkdir over; mlops -w over init; mlops import crontab --out over/jobs --cron debian; expect_ok
way_out=$(sed -n 's/.* beside mlops: //p' <<< "$out")
mlops schedule install --crontab over/jobs/beat.yaml; expect_exit 2
beat=$(basename "$(grep -l "echo beat" over/jobs/*.yaml)" .yaml)
mlops -w over schedule install --crontab "over/jobs/$beat.yaml"; expect_ok; expect_err "of the crontab runs $beat as well"; expect_err "$way_out"
eval "$way_out"; mlops -w over schedule install --crontab; expect_ok; expect_equal "$err" ""
expect_equal "$(crontab -l | sed '/BEGIN mlops/,$d')" "$(cat tab; sed 's/^/# /' beat.tab)"
mlops -w over schedule install --crontab --remove; expect_ok
exit 0
