# Names that hold control characters: what is printed for people shows them, and hands none to the terminal.
. "$(dirname "$0")/common.sh"
title=$'\e]0;pwn\a'; lines=$'two\nlines'; second=$'c1\xc2\x9b31m'
# clean COMMAND…: does what it should, and no byte of it is a control character but the end of a line.
clean() {
    mlops "$@"; expect_ok
    for file in .out .err; do
        ! LC_ALL=C grep -qP '[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]' "$here/$file" || fail "mlops $* prints raw bytes: $(cat -v "$here/$file")"
        ! grep -qx 'lines.*' "$here/$file" || fail "mlops $* breaks a name into lines"
    done
}
mkdir "in$title" "$lines"
for name in "$title" "$lines" "$second"; do echo 1 > "in$title/f$name"; done
cat > p.yaml <<'Y'
name: names
params: {"odd\e[31m": 1}
env: {"E": "v\e[31m"}
steps:
  a:
    run: 'mkdir "$(printf "out\033]0;pwn\007")"; echo 1 > "$(printf "out\033]0;pwn\007/f\nx")"; echo "m=1" > "$(printf "two\nlines/o")"'
    inputs: ["in\e]0;pwn\a"]
    outputs: ["out\e]0;pwn\a", "two\nlines/o"]
    params: ["odd\e[31m"]
  b: {run: 'exit 4', inputs: ["two\nlines/o"], outputs: ["never\e[31m"], on_failure: continue}
Y
clean validate p.yaml
clean plan p.yaml
clean run p.yaml --dry-run
mlops run p.yaml; expect_ok
! LC_ALL=C grep -qP '[\x00-\x08\x0b-\x1f]' .err || fail "mlops run prints raw bytes: $(cat -v .err)"
first=$("$MLOPS" runs --ids)
clean show --inputs --environment
expect_out 'out\x1b]0;pwn\x07'; expect_out 'two\nlines/o'
clean runs; clean status; clean why a; clean why $'never\e[31m'; clean graph p.yaml; clean lint p.yaml
clean lineage "out$title"; clean store stat; clean store where "$lines/o"
echo 2 > "in$title/f$title"; mlops run p.yaml -q --set $'odd\e[31m=2'
clean show; clean why a; expect_out 'f\x1b]0;pwn\x07'; clean plan p.yaml; clean diff "$first" latest
mlops tag latest "note=$title" 2>/dev/null; clean runs
clean data add "in$title" --name odd --note "$title"
echo 3 > "in$title/new$lines"; clean data add "in$title" --name odd
clean data list; expect_out 'in\x1b]0;pwn\x07'
clean data show odd --files; clean data versions odd; clean data diff odd@1 odd@2; clean data checkout odd@1
clean pin odd@1 --note "$title"; clean pin
clean sql "select path from v_artifacts"
# Schedules and triggers, their files, names and notes.
cat > "s$title.yaml" << 'Y'
name: s
schedule: {cron: "@yearly", name: "odd\e[31m"}
triggers: {files: x, name: "odd\e[31m"}
steps: {a: {run: "true"}}
Y
clean schedule add "s$title.yaml"; clean schedule pause "s$title.yaml" --note "$title"; clean schedule list; expect_out 'odd\x1b[31m: paused: \x1b]0;pwn\x07'
clean trigger pause "s$title.yaml" --note "$title"; clean trigger list; clean trigger resume "s$title.yaml"; clean schedule resume "s$title.yaml"
clean trigger test "s$title.yaml"; clean trigger fire "s$title.yaml"; clean trigger events; clean daemon --once; clean schedule remove "s$title.yaml"
for what in "nothing$title" "no${second}thing"; do
    mlops why "$what"; expect_exit 2
    ! LC_ALL=C grep -qP '[\x00-\x08\x0b-\x1f]|\xc2[\x80-\x9f]' .err || fail "an error prints raw bytes: $(cat -v .err)"
done
