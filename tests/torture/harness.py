"""What the torture suites have in common: a place to work in, the binary under test, processes, figures.

A suite is a program: SUITE.py MLOPS, with SEED and its sizes in the environment. It prints its figures as one JSON object
in its last lines, exits with 0 when all held, 1 when something did not (the place is kept then, and the line that repeats
it is printed), and 77 when it cannot be run here.
"""
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COOKIE = "MLOPS_TORTURE"  # in the environment of all that a suite starts


def number(name, default):
    return int(os.environ.get(name) or default)


class Suite:
    """A directory of its own below TMPDIR, a seed, and the binary."""

    def __init__(self, name, sizes=()):
        if len(sys.argv) < 2:
            sys.exit(f"usage: {sys.argv[0]} MLOPS")
        self.mlops = os.path.realpath(sys.argv[1])
        self.name = name
        self.seed = number("SEED", 0) or int(time.time()) % 1_000_000
        self.chance = random.Random(self.seed)
        self.sizes = [s for s in sizes if os.environ.get(s)]
        self.place = tempfile.mkdtemp(prefix=f"mlops-{name}-")
        self.cookie = f"{name}-{os.getpid()}-{self.seed}"
        os.environ[COOKIE] = self.cookie
        for variable in ("MLOPS_WORKSPACE", "MLOPS_RUN_ID", "MLOPS_FAILPOINT", "MLOPS_LOG"):
            os.environ.pop(variable, None)
        os.chdir(self.place)
        self.begin = time.monotonic()

    # --- How it ends ---

    def fail(self, what):
        sizes = "".join(f"{s}={os.environ[s]} " for s in self.sizes)
        print(f"FAILED: {what}\n  in {self.place}\n  to repeat: SEED={self.seed} {sizes}{sys.argv[0]} {self.mlops}", flush=True)
        self.end_all()
        sys.exit(1)

    def expect(self, condition, what):
        if not condition:
            self.fail(what() if callable(what) else what)

    def skip(self, why):
        print(f"SKIPPED {self.name}: {why}", flush=True)
        self.leave()
        sys.exit(77)

    def passed(self, **figures):
        figures = {"suite": self.name, "seed": self.seed, **figures, "seconds": round(time.monotonic() - self.begin, 1)}
        print(json.dumps(figures, indent=1), flush=True)
        self.leave()

    def leave(self):
        self.end_all()
        os.chdir("/")
        shutil.rmtree(self.place, ignore_errors=True)

    def end_all(self):
        """Nothing that this suite started stays behind."""
        for _ in range(20):
            left = self.survivors()
            if not left:
                return
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)

    # --- The binary ---

    def run(self, *arguments, timeout=60, **more):
        """Runs a command to its end and returns it, whatever its exit code."""
        try:
            return subprocess.run([self.mlops, *arguments], capture_output=True, text=True, errors="replace",
                                  timeout=timeout, stdin=subprocess.DEVNULL, **more)
        except subprocess.TimeoutExpired:
            self.fail(f"mlops {' '.join(arguments)} does not end in {timeout} s")

    def ok(self, *arguments, **more):
        done = self.run(*arguments, **more)
        self.expect(done.returncode == 0,
                    lambda: f"mlops {' '.join(arguments)}: exit code {done.returncode}: {done.stdout[-500:]}{done.stderr[-500:]}")
        return done.stdout

    def rows(self, query, **more):
        return json.loads(self.ok("sql", "--json", query, **more))["rows"]

    def start(self, *arguments, output="out", **more):
        with open(output, "ab") as file:
            return subprocess.Popen([self.mlops, *arguments], stdout=file, stderr=file, stdin=subprocess.DEVNULL, **more)

    # --- Processes ---

    def survivors(self, entry=None):
        """Processes that carry this suite's cookie (or `entry`) in their environment, without this one."""
        wanted = b"\0" + (entry or f"{COOKIE}={self.cookie}").encode() + b"\0"
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit() and int(name) != os.getpid():
                with contextlib.suppress(OSError):
                    if wanted in b"\0" + Path(f"/proc/{name}/environ").read_bytes() and alive(int(name)):
                        found.append(int(name))
        return found

    def wait(self, what, condition, seconds=30):
        end = time.monotonic() + seconds
        while not (value := condition()):
            self.expect(time.monotonic() < end, lambda: f"did not come true in {seconds} s: {what}")
            time.sleep(0.005)
        return value

    def nobody_left(self, what, entry=None, seconds=5):
        self.wait(f"no process is left of {what}", lambda: not self.survivors(entry), seconds)


def comm(pid):
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] not in "ZX"
    except (OSError, IndexError):
        return False


def send(pid, number):
    """False if it has gone."""
    try:
        os.kill(pid, number)
        return True
    except ProcessLookupError:
        return False


def peak_kib(pid):
    """VmHWM of a process, 0 if it has gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return 0


def percentiles(values, digits=3):
    values = sorted(values)
    if not values:
        return {}
    at = lambda share: round(values[min(len(values) - 1, int(share * len(values)))], digits)
    return {"p50": at(0.5), "p99": at(0.99), "max": round(values[-1], digits), "n": len(values)}
