# What `mlops run` shows on a terminal: a status that moves and goes, nothing left behind by ^C; and none of it in a pipe.
. "$(dirname "$0")/common.sh"
export TERM=xterm
printf 'name: live\nsteps:\n  first: {run: "echo hello; sleep 0.6"}\n  second: {run: "sleep 0.3", needs: first}\n' > p.yaml
mlops run p.yaml; expect_ok
case "$out$err" in *$'\033'*) fail "escape codes in a pipe" ;; esac

# terminal OUTPUT SECONDS_BEFORE_^C CMD…: runs the command in a pseudo-terminal; prints how it ended.
cat > terminal.py <<'P'
import fcntl, os, pty, select, struct, sys, termios, time
output, interrupt, command = sys.argv[1], float(sys.argv[2]), sys.argv[3:]
pid, fd = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))  # before anybody asks
    os.execvp(command[0], command)
before = termios.tcgetattr(fd)
start, sent = time.time(), False
with open(output, "wb") as out:
    while True:
        if interrupt > 0 and not sent and time.time() - start > interrupt:
            os.write(fd, b"\x03")
            sent = True
        if not select.select([fd], [], [], 0.05)[0]:
            continue
        try:
            data = os.read(fd, 65536)
        except OSError:
            break
        if not data:
            break
        out.write(data)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
P
# screen FILE: what a terminal shows in the end, as far as our codes go.
cat > screen.py <<'P'
import re, sys
lines, row = [""], 0
for part in re.findall(r"\x1b\[[0-9;?]*[a-zA-Z]|[^\x1b]|\x1b", open(sys.argv[1], encoding="utf-8", errors="replace", newline="").read()):
    if part == "\n":
        row += 1
        if row == len(lines):
            lines.append("")
    elif part == "\r":
        pass
    elif re.fullmatch(r"\x1b\[\d+A", part):
        row = max(0, row - int(part[2:-1]))
    elif part == "\x1b[J":
        lines[row:] = [""]
    elif part.startswith("\x1b["):
        assert part.endswith("m"), part
    else:
        lines[row] += part
print("\n".join(lines))
P

code=$(python3 terminal.py raw.txt 0 "$MLOPS" run p.yaml); expect_exit 0
grep -q "0/2 steps, " raw.txt || fail "no status: $(cat -v raw.txt)"
grep -q "1/2 steps, " raw.txt || fail "the status does not move"
grep -q $'\033\[2A\033\[J' raw.txt || fail "the status is not erased"
python3 screen.py raw.txt > screen.txt || fail "a code that is not ours: $(cat -v raw.txt)"
grep -q "hello" screen.txt || fail "the step's output is not shown"
grep -q "live succeeded" screen.txt || fail "no last line"
grep -q "/2 steps, " screen.txt && fail "a status is left on the screen: $(cat screen.txt)"

# ^C: steps end, the status goes, colours are off and the cursor stands at the beginning of a line.
printf 'name: long\nsteps:\n  first: {run: "echo hello; sleep 30"}\n' > long.yaml
code=$(python3 terminal.py raw.txt 1 "$MLOPS" run long.yaml); expect_exit 130
python3 screen.py raw.txt > screen.txt || fail "a code that is not ours"
grep -q "long cancelled" screen.txt || fail "no last line: $(cat screen.txt)"
grep -qE "/1 steps, |^. first [0-9]+ms$" screen.txt && fail "a status is left on the screen: $(cat screen.txt)"
expect_equal "$(tail -c 1 raw.txt | od -An -c | tr -d ' ')" '\n'
expect_equal "$(grep -o $'\033\[[0-9;]*m' raw.txt | tail -1)" $'\033[0m'
wait_for 5 nobody_left "$("$MLOPS" runs --ids --limit 1)"

# Who wants no colours still sees what is running; who has no terminal to move about in gets plain lines.
NO_COLOR=1 python3 terminal.py raw.txt 0 "$MLOPS" run p.yaml > code.txt; expect_file code.txt 0
grep -q $'\033\[[0-9;]*m' raw.txt && fail "colours although NO_COLOR is set"
grep -q "/2 steps, " raw.txt || fail "no status without colours"
TERM=dumb python3 terminal.py raw.txt 0 "$MLOPS" run p.yaml > code.txt; expect_file code.txt 0
grep -q $'\033' raw.txt && fail "escape codes on a dumb terminal"
exit 0
