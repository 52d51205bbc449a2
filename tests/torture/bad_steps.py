#!/usr/bin/env python3
"""Steps that do not behave: what they do, and what a run has to make of it.

Usage: bad_steps.py MLOPS      FLOOD: bytes that one step writes (default 300 MB); LINE: bytes of one line (default 50 MB);
                               ONLY: names of steps, to try these alone

Of each: how it ended by the database, a time-out within its grace and a second, and not one process left. The keeper
stays small whatever is written.
"""
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from harness import Suite, comm, number, peak_kib, send

KEEPER_KIB = 8 * 1024
SLACK = 1.0  # seconds after time-out and grace
suite = Suite("bad_steps", ("FLOOD", "LINE", "ONLY"))
LONG = f"98{os.getpid() % 1000}.{suite.seed}"  # how long the sleepers sleep: tells ours, whatever their environment
PYTHON = f"'{sys.executable}' -S -c"


class Bad:
    """`end`: exit code, -signal, or cause; `state` of the step if it does not follow; `more`: further keys."""

    def __init__(self, name, script, end, state=None, timeout=1.0, grace=0.4, more="", least=0.0, check=None):
        self.name, self.script, self.end, self.timeout, self.grace = name, script, end, timeout, grace
        self.state = state or ("succeeded" if end == 0 else "failed")
        self.more, self.least, self.check = more, least, check

    def text(self):
        lines = [f"  {self.name}:", "    run: |", *("      " + line for line in self.script.replace("LONG", LONG).strip().split("\n"))]
        lines += [f"    timeout: {int(self.timeout * 1000)}ms", f"    grace: {int(self.grace * 1000)}ms"]
        lines += ["    " + key for key in self.more.split("\n") if key]
        return "\n".join(lines) + "\n"

    def most(self):
        """Seconds that it may take. What is left behind a step that has ended has two more at most."""
        if self.end in ("timeout", "no_output"):
            return self.timeout + self.grace + SLACK
        return self.timeout + 2 + SLACK


def log_is(content):
    return lambda run, row: Path(f".mlops/runs/{run}/logs/{row['step']}.1.log").read_bytes() != content() and "its log is not what it wrote"


def no_file(pattern):
    return lambda run, row: list(Path(".").glob(pattern))


TREE = """
cat > tree.sh <<'SH'
if [ "$1" -gt 0 ]; then
  n=$(($1 - 1))
  setsid sh tree.sh $n & sh tree.sh $n &
fi
exec sleep LONG
SH
sh tree.sh 9
"""
HOP = """
cat > hop.sh <<'SH'
sleep 0.01
setsid sh hop.sh &
SH
"""

STEPS = [
    # Ends that it does not want.
    Bad("deaf", "trap '' TERM; sleep LONG", "timeout"),
    Bad("deaf_to_all", "trap '' TERM HUP INT QUIT USR1 USR2 PIPE ALRM; while :; do sleep 0.1 || :; done", "timeout"),
    Bad("stops_itself", "kill -STOP $$", "timeout"),
    Bad("stops_itself_deaf", "trap '' TERM; kill -STOP $$; sleep LONG", "timeout"),
    Bad("stops_its_group", "kill -STOP 0", "timeout"),
    Bad("restarts_on_term", "trap 'sleep LONG' TERM; sleep LONG & wait; sleep LONG", "timeout"),
    Bad("ends_well_too_late", "trap 'exit 0' TERM; sleep LONG & wait", "timeout", "failed"),
    Bad("silent", "echo x; sleep LONG", "no_output", timeout=30, more="no_output_timeout: 500ms"),
    Bad("spins", "while :; do :; done", "timeout"),
    # Processes that it leaves.
    Bad("background", "sleep LONG & exit 0", 0),
    Bad("background_deaf", "(trap '' TERM HUP INT; sleep LONG) & exit 3", 3, grace=0.3),
    Bad("daemonises", f"""{PYTHON} '
import os, sys
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
os.chdir("/"); os.umask(0)
for fd in range(3): os.close(fd)
os.execvp("sleep", ["sleep", sys.argv[1]])' LONG""", 0),
    Bad("own_session", "setsid sleep LONG & wait", "timeout"),
    Bad("own_group", f"{PYTHON} 'import os; os.setpgid(0, 0); os.execvp(\"sleep\", [\"sleep\", \"LONG\"])'", "timeout"),
    Bad("no_environment", "env -i setsid sleep LONG & sleep 0.1; wait", "timeout"),
    Bad("holds_stdout", "setsid sleep LONG & exit 6", 6),
    Bad("writes_on", "(while :; do echo x; sleep 0.01; done) & exit 0", 0),
    Bad("thousand", "i=0; while [ $i -lt 1000 ]; do sleep LONG & i=$((i + 1)); done; wait", "timeout", timeout=4, grace=2),
    Bad("thousand_sessions", "i=0; while [ $i -lt 1000 ]; do setsid sleep LONG & i=$((i + 1)); done; wait", "timeout", timeout=5, grace=2),
    Bad("tree", TREE + "wait", "timeout", timeout=4, grace=2),
    Bad("hops", HOP + "sh hop.sh; sleep LONG", "timeout"),
    Bad("hops_behind", HOP + "sh hop.sh; exit 0", 0),
    # Streams.
    Bad("closes_all", "exec <&- >&- 2>&-; sleep 0.2; exit 4", 4),
    Bad("closes_and_stays", "exec <&- >&- 2>&-; sleep LONG", "timeout"),
    Bad("reads_stdin", "cat; exit 5", 5),
    Bad("reads_terminal", "cat < /dev/tty", 2, check=None),
    Bad("binary", "head -c 300000 /dev/urandom > random.bin; cat random.bin", 0, check=log_is(lambda: Path("random.bin").read_bytes())),
    Bad("escapes", "printf '\\033[2J\\033]0;x\\007\\r\\000\\377\\n'", 0, check=log_is(lambda: b"\033[2J\033]0;x\007\r\0\377\n")),
    Bad("broken_pipe", "yes | head -1", 0),
    # Ends of all kinds.
    Bad("code_255", "exit 255", 255),
    Bad("code_143", "exit 143", 143),
    Bad("kills_itself", "kill -9 $$", -9),
    Bad("kills_its_group", "kill -TERM 0; sleep LONG", -15),
    Bad("dumps_core", "ulimit -c unlimited 2> /dev/null || :; cd dumps; kill -SEGV $$", -signal.SIGSEGV),
    Bad("aborts", "kill -ABRT $$", -signal.SIGABRT, check=no_file("core*")),
    # Limits.
    Bad("no_descriptors", f"ulimit -n 20; {PYTHON} 'import os\nwhile True: os.dup(0)' 2> /dev/null", 1),
    Bad("no_memory", f"ulimit -v 200000; {PYTHON} 'x = bytearray(1 << 30)' 2> /dev/null", 1),
    Bad("no_time", "ulimit -S -t 1; while :; do :; done", -signal.SIGXCPU, timeout=8),
    Bad("no_room", "ulimit -f 100; head -c 1000000 /dev/zero > large", 153, "failed"),
    # Its place.
    Bad("deletes_its_directory", 'rm -rf "$PWD"; exit 7', 7, more="workdir: away1"),
    Bad("deletes_its_output", 'echo x > o; rm -rf "$PWD"; exit 0', 0, "failed", more="workdir: away2\noutputs: o"),
    Bad("makes_nothing", ":", 0, "failed", more="outputs: nothing"),
    Bad("link_to_nowhere", "ln -sf /nowhere dangling", 0, "failed", more="outputs: dangling"),
    Bad("link_to_itself", "ln -sf loop loop", 0, "failed", more="outputs: loop"),
    Bad("link_outside", "ln -sf /etc/hostname outside", 0, None, more="outputs: outside"),
    Bad("pipe_as_output", "rm -f fifo; mkfifo fifo", 0, "failed", more="outputs: fifo"),
    Bad("pipe_in_output", "mkdir -p withfifo; rm -f withfifo/p; mkfifo withfifo/p; echo x > withfifo/x", 0, "any", more="outputs: withfifo"),
    Bad("device_as_output", "ln -sf /dev/zero zero", 0, "any", more="outputs: zero"),
    Bad("odd_names", "mkdir -p odd; cd odd; touch \"$(printf 'a\\nb')\" \"$(printf '\\377')\" ' ' -- -x", 0, more="outputs: odd"),
    # What belongs to mlops.
    Bad("bad_metrics", "head -c 100000 /dev/urandom >> $MLOPS_METRICS", 0),
    Bad("pipe_as_metrics", "rm -f $MLOPS_METRICS; mkfifo $MLOPS_METRICS", 0, "any"),
    Bad("bad_values", "head -c 1000 /dev/urandom >> $MLOPS_OUTPUT; exit 0", 0, "failed"),
    Bad("pipe_as_values", "rm -f $MLOPS_OUTPUT; mkfifo $MLOPS_OUTPUT", 0, "any"),
    Bad("folder_as_values", "rm -f $MLOPS_OUTPUT; mkdir $MLOPS_OUTPUT", 0, "any"),
    Bad("endless_values", "rm -f $MLOPS_OUTPUT; ln -s /dev/zero $MLOPS_OUTPUT", 0, "any"),
    Bad("endless_metrics", "rm -f $MLOPS_METRICS; ln -s /dev/zero $MLOPS_METRICS", 0, "any"),
]
# These hurt the run that they are in, so each has one of its own: what becomes of the step, and of the run.
ALONE = [
    Bad("kills_its_keeper", "kill -9 $PPID; sleep LONG", "lost", "lost"),
    Bad("stops_its_keeper", "kill -STOP $PPID; sleep LONG", "timeout"),
    Bad("terminates_its_keeper", "kill -TERM $PPID; sleep LONG", "stopped", "any"),
    Bad("kills_the_runner", "kill -9 $(cut -d' ' -f1 $MLOPS_RUN_DIR/runner.lock); sleep 0.2; exit 0", 0, "succeeded"),
    Bad("deletes_its_log", 'rm -f $MLOPS_RUN_DIR/logs/*; echo x; exit 3', 3),
    Bad("deletes_the_logs", 'rm -rf $MLOPS_RUN_DIR/logs; echo x; exit 3', 3),
    Bad("writes_the_journal", "head -c 5000 /dev/urandom >> $MLOPS_RUN_DIR/attempts; exit 3", 3),
    Bad("deletes_the_run", "rm -rf $MLOPS_RUN_DIR; exit 3", 3),
    Bad("sheds_all", "env -i setsid sleep LONG > /dev/null 2>&1 & sleep 0.1; exit 0", 0),
    Bad("sheds_all_and_lingers", "env -i setsid sleep LONG > /dev/null 2>&1 & sleep LONG", "timeout"),
    Bad("empties_the_lock", ": > $MLOPS_RUN_DIR/keeper.lock; : > $MLOPS_RUN_DIR/runner.lock; exit 3", 3),
]


def as_stranger():
    """A step that hands its work to another user, where there is one to hand it to."""
    if os.geteuid() == 0 and subprocess.run(["setpriv", "--version"], capture_output=True).returncode == 0:
        return [Bad("other_user", "setpriv --reuid=65534 --clear-groups sleep LONG", "timeout")]
    print("SKIPPED: root is needed for a step that becomes another user")
    return []


def full_disk(steps):
    """A step that fills a disk which is not the one of the workspace, as /tmp may be."""
    os.mkdir("small")
    if os.geteuid() == 0 and subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", "small"], capture_output=True).returncode == 0:
        steps.append(Bad("fills_tmp", f"export TMPDIR={suite.place}/small; head -c 100000000 /dev/zero > small/x", 1))
        return True
    print("SKIPPED: mounts need root: no disk was filled")
    return False


problems = []  # all of them are worth knowing


def check_row(bad, row, state, run):
    ended = row["cause"] if row["cause"] != "exited" else -row["signal"] if row["signal"] is not None else row["exit_code"]
    told = f"{bad.name} ended as {ended} ({state['state']}: {state['reason']}) after {row['seconds']} s"
    # A shell tells the signal that ended its command by its own exit code.
    if ended != bad.end and not (isinstance(bad.end, int) and bad.end < 0 and ended == 128 - bad.end):
        problems.append(f"{told}, not as {bad.end}")
    elif bad.state not in ("any", state["state"]):
        problems.append(f"{told}, not as {bad.state}")
    elif row["seconds"] is not None and row["seconds"] > bad.most():
        problems.append(f"{told}, not within {bad.most():.1f} s")
    elif bad.check and (wrong := bad.check(run, row)):
        problems.append(f"{told}: {wrong}")


def nobody_sleeps(what):
    def sleepers():
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    if LONG.encode() in Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0") and comm(name) == "sleep":
                        found.append(name)
                except OSError:
                    pass
        return found

    suite.wait(f"no process is left of {what}: {sleepers()}", lambda: not sleepers(), 3)


def rows_of(run):
    attempts = suite.rows("select step, cause, exit_code, signal, round((julianday(ended_at) - julianday(started_at)) * 86400, 2) as seconds, "
                          f"note from v_attempts where run_id = '{run}'")
    states = {r["name"]: r for r in suite.rows(f"select name, state, reason from v_steps where run_id = '{run}'")}
    return {r["step"]: r for r in attempts}, states


def run_together(steps, name="bad"):
    Path(f"{name}.yaml").write_text(f"name: {name}\nsteps:\n" + "".join(s.text() + "    on_failure: continue\n" for s in steps))
    for bad in steps:
        for key in bad.more.split("\n"):
            if key.startswith("workdir: "):
                os.makedirs(key[9:], exist_ok=True)
    begin = time.monotonic()
    done = suite.run("run", f"{name}.yaml", "--quiet", "--jobs", "3", timeout=240)
    run = suite.ok("runs", "--ids", "--limit", "1").strip()
    attempts, states = rows_of(run)
    suite.expect(len(attempts) == len(steps), lambda: f"{len(attempts)} of {len(steps)} steps have an attempt: {done.stdout[-900:]}{done.stderr[-500:]}")
    suite.expect(done.returncode == 0, lambda: f"the run ended with {done.returncode}: {done.stdout[-900:]}{done.stderr[-500:]}")
    for bad in steps:
        check_row(bad, attempts[bad.name], states[bad.name], run)
    suite.nobody_left("the bad steps", f"MLOPS_RUN_ID={run}", 3)
    nobody_sleeps("the bad steps")
    return time.monotonic() - begin


def run_alone(bad):
    Path("alone.yaml").write_text("name: alone\nsteps:\n" + bad.text())
    process = suite.start("run", "alone.yaml", "--quiet", output="alone.out")
    try:
        code = process.wait(timeout=bad.timeout + bad.grace + 15)
    except subprocess.TimeoutExpired:
        problems.append(f"{bad.name}: the run does not end")
        for pid in suite.survivors():
            send(pid, signal.SIGCONT)
            send(pid, signal.SIGKILL)
        process.wait()
        return
    run = suite.ok("runs", "--ids", "--limit", "1", "--pipeline", "alone").strip()
    suite.wait(f"{bad.name}: the run has an end", lambda: suite.rows(f"select 1 from runs where id = '{run}' and state <> 'running'"), 10)
    attempts, states = rows_of(run)
    suite.expect(bad.name in attempts, lambda: f"{bad.name} has no attempt; the run ended with {code}: {Path('alone.out').read_text()[-600:]}")
    check_row(bad, attempts[bad.name], states[bad.name], run)
    state = suite.rows(f"select state from runs where id = '{run}'")[0]["state"]
    suite.expect(state != "succeeded" or bad.state == "succeeded", f"{bad.name}: the run ended as {state}")
    suite.nobody_left(bad.name, f"MLOPS_RUN_ID={run}", 3)
    nobody_sleeps(bad.name)
    os.unlink("alone.out")
    # The workspace is as good as before.
    suite.ok("run", "good.yaml", "--quiet")


def flood(name, script, size):
    """Bytes without an end: the keeper stays small, the log knows how many there were."""
    Path(f"{name}.yaml").write_text(f"name: {name}\nsteps:\n  f: {{run: '{script}'}}\n")
    begin = time.monotonic()
    process = suite.start("run", f"{name}.yaml", "--quiet", output="flood.out")
    peak = 0
    while process.poll() is None:
        for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            if comm(pid) == "mlops-keeper":
                peak = max(peak, peak_kib(pid))
        time.sleep(0.02)
    seconds = time.monotonic() - begin
    suite.expect(process.returncode == 0, lambda: f"{name} ended with {process.returncode}: {Path('flood.out').read_text()[-500:]}")
    row = suite.rows(f"select log_bytes, exit_code from v_attempts a join v_runs r on r.id = a.run_id where r.pipeline = '{name}'")[0]
    suite.expect(row == {"log_bytes": size, "exit_code": 0}, f"{name}: {row}, and {size} were written")
    suite.expect(0 < peak <= KEEPER_KIB, f"{name}: the keeper took {peak} KiB")
    begin = time.monotonic()
    subprocess.run(["sh", "-c", f"{script} | cat > /dev/null"], check=True)
    return {"bytes": size, "keeper_kib": peak, "seconds": round(seconds, 2), "cat_seconds": round(time.monotonic() - begin, 2)}


def main():
    os.mkdir("dumps")
    Path("good.yaml").write_text("name: good\nsteps: {a: {run: 'true'}}\n")
    suite.ok("run", "good.yaml", "--quiet")
    only = set((os.environ.get("ONLY") or "").split(",")) - {""}
    together = STEPS + as_stranger()
    mounted = full_disk(together)
    alone = [b for b in ALONE if not only or b.name in only]
    together = [b for b in together if not only or b.name in only]
    try:
        # Hundreds of processes and the time of others do not go together.
        heavy = [b for b in together if b.name in ("thousand", "thousand_sessions", "tree")]
        light = [b for b in together if b not in heavy]
        if light:
            run_together(light)
        for bad in heavy:
            run_together([bad], "heavy")
        for bad in alone:
            run_alone(bad)
        figures = {}
        if not only:
            size = number("FLOOD", 300_000_000)
            figures["flood"] = flood("flood", f"head -c {size} /dev/zero", size)
            size = number("LINE", 50_000_000)
            figures["line"] = flood("line", f"head -c {size} /dev/zero | tr \\\\0 x", size)
        suite.expect(not problems, lambda: "\n  ".join(problems))
        suite.expect(suite.rows("pragma integrity_check") == [{"integrity_check": "ok"}], "the database is not whole")
    finally:
        if mounted:
            subprocess.run(["umount", "-l", f"{suite.place}/small"])
    suite.passed(cases=len(together) + len(alone) + len(figures), **figures)


main()
