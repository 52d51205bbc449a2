#!/usr/bin/env python3
"""The N-th system call fails, once or from then on, for each N until a command ends as if nothing was.

Usage: faults.py MLOPS SHIM [SCENARIO...]   CASES: how many, drawn by SEED, default 400; 0: all
                                            CALLS=malloc,open: these only
                                            ALLOCATIONS: how many cases of malloc at the most, default all
                                            CASE=SCENARIO:CALL:ERRNO:N[:persist] repeats one

After each: the exit code is one of docs/exit-codes.md, nothing crashed or hung, the database is sound and has what was
answered as done, and without the fault the command does its work.
"""
import collections
import os
import random
import shutil
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MLOPS, SHIM = (os.path.realpath(path) for path in sys.argv[1:3])
CASES = int(os.environ.get("CASES", "400"))
SEED = int(os.environ.get("SEED", "0")) or int(time.time()) % 1_000_000
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
HANG = 5  # seconds

FAULTS = {
    "write": ("ENOSPC", "EIO", "EDQUOT", "SHORT", "EINTR"),
    "pwrite": ("ENOSPC", "EIO", "SHORT"),
    "fsync": ("EIO", "ENOSPC"),
    "fdatasync": ("EIO", "ENOSPC"),
    "rename": ("ENOSPC", "EIO", "EROFS"),
    "open": ("EMFILE", "ENOSPC", "EROFS", "EIO"),
    "mkdir": ("ENOSPC", "EROFS"),
    "ftruncate": ("EIO",),
    "unlink": ("EIO", "EROFS"),
    "link": ("EIO",),
    "mmap": ("ENOMEM",),
    "malloc": ("ENOMEM",),
}
ONCE = ("SHORT", "EINTR")  # for ever, nobody could go on
CODES = {0, 1, 69, 74}     # of docs/exit-codes.md, those that fit

SHOP = """
name: shop
steps:
  ingest: {run: 'echo rows > raw.csv; echo row | while read r; do echo "got $r"; done', outputs: [raw.csv], cache: true}
  parts:
    run: 'mkdir -p parts; for i in 1 2 3 4 5 6 7 8 9 10; do echo $i > parts/$i; done'
    inputs: [raw.csv]
    outputs: [parts]
  train:
    run: 'i=0; while [ $i -lt 900 ]; do echo "weight $i of the model"; i=$((i+1)); done > model.bin; echo "{}" > m.json'
    inputs: [raw.csv]
    outputs: [model.bin]
    metrics: [m.json]
"""
MADE = {"raw.csv": "rows\n", "model.bin": "".join(f"weight {i} of the model\n" for i in range(900)),
        **{f"parts/{i}": f"{i}\n" for i in range(1, 11)}}
TICK = "name: tick\nschedule: {every: 1s, catchup: last}\nsteps: {one: {run: 'echo ran >> witness'}}\n"


def environment(home, **more):
    return {"PATH": os.environ["PATH"], "HOME": home, "LC_ALL": "C.UTF-8", "NO_COLOR": "1",
            "GIT_CEILING_DIRECTORIES": "/", **more}


def mlops(work, *words, **more):
    return subprocess.run([MLOPS, *words], cwd=work, env=environment(work, **more), capture_output=True, text=True,
                          errors="replace", timeout=60)


def must(work, *words, codes=(0,)):
    done = mlops(work, *words)
    if done.returncode not in codes:
        raise Wrong(f"afterwards '{' '.join(words)}' ends with {done.returncode}: {(done.stdout + done.stderr)[-500:]}")
    return done.stdout


class Wrong(Exception):
    pass


# --- What is done, and how it has to look afterwards --------------------------------------------------------------------


def check_files(work):
    for name, text in MADE.items():
        path = Path(work, name)
        if not path.exists() or path.read_text() != text:
            raise Wrong(f"a run that succeeded leaves a wrong {name}")


def check_run(work, code):
    """The command was `mlops run shop.yaml`."""
    states = sql(work, "SELECT id, state, exit_code FROM runs ORDER BY id")
    if code == 0:
        if not states or states[-1][1] != "succeeded":
            raise Wrong(f"it ended with 0, and on record is {states[-1:]}")
        check_files(work)
    for run, state, _ in states:
        if state == "succeeded":
            continue
        done = mlops(work, "run", "--resume", run, "--quiet")
        if done.returncode != 0 and "start a new run" not in done.stderr:
            raise Wrong(f"the run is not resumed: {done.returncode}: {(done.stdout + done.stderr)[-500:]}")
    must(work, "run", "shop.yaml", "--quiet")
    check_files(work)


def still_there(work, code):
    """What was answered as done before the command."""
    runs = sql(work, "SELECT state FROM runs WHERE pipeline = 'shop' ORDER BY id")
    if not runs or runs[0][0] != "succeeded":
        raise Wrong(f"the run of before is gone: {runs}")


def check_daemon(work, code):
    if code == 0:
        open_slots = sql(work, "SELECT slot_at FROM slots WHERE outcome = 'claimed'")
        if open_slots or not sql(work, "SELECT 1 FROM slots WHERE outcome IN ('ran', 'rejected')"):
            raise Wrong(f"it ended with 0, and on record is {sql(work, 'SELECT slot_at, outcome, reason FROM slots ORDER BY slot_at DESC LIMIT 3')}")
    must(work, "schedule", "audit", "tick.yaml")
    claims = sql(work, "SELECT slot_at, count(*) FROM slots WHERE outcome = 'ran' GROUP BY schedule, slot_at")
    if any(count > 1 for _, count in claims):
        raise Wrong(f"a slot ran twice: {claims}")
    time.sleep(max(0.0, 1.05 - time.time() % 1))  # a run that failed for the fault had its slot: the next one is due then
    must(work, "daemon", "--once", "--quiet")
    if not Path(work, "witness").exists():
        raise Wrong("nothing has run, even afterwards")
    if sql(work, "SELECT count(*) FROM slots WHERE outcome = 'claimed'")[0][0]:
        raise Wrong("a slot is claimed for ever")


def check_gc(work, code):
    still_there(work, code)
    must(work, "store", "gc", "--grace", "0")
    for name in ("raw.csv", "model.bin"):
        os.unlink(os.path.join(work, name))
    said = must(work, "run", "shop.yaml")
    if "cached" not in said:
        raise Wrong("gc has removed results that are needed")
    check_files(work)


def check_push(work, code):
    still_there(work, code)
    if code != 0:  # what was answered as pushed has to be there without another push
        must(work, "push")
    other = os.path.join(work, "other")
    os.makedirs(other)
    shutil.copy(os.path.join(work, "shop.yaml"), other)
    must(other, "init")
    must(other, "remote", "add", "share", os.path.join(work, "remote"), "--default")
    must(other, "pull", "--help")
    must(other, "fetch")
    if sql(other, "SELECT count(*) FROM runs WHERE state = 'succeeded'")[0][0] != 1:
        raise Wrong("what was pushed is not there for others")
    must(other, "store", "verify")


def prepare(work, scenario):
    Path(work, "shop.yaml").write_text(SHOP)
    if scenario == "run":
        return
    if scenario == "daemon":
        Path(work, "tick.yaml").write_text(TICK)
        must(work, "schedule", "add", "tick.yaml")
        time.sleep(1.1)
        return
    must(work, "run", "shop.yaml", "--quiet")
    if scenario == "cached":
        for name in ("raw.csv", "model.bin", "parts/3"):
            os.unlink(os.path.join(work, name))
    if scenario == "gc":
        Path(work, "other.yaml").write_text(SHOP.replace("name: shop", "name: other").replace("weight", "other")
                                            .replace("echo $i >", "echo o$i >"))
        must(work, "run", "other.yaml", "--quiet")
        must(work, "rm", "latest:other")
        must(work, "run", "shop.yaml", "--quiet")
    if scenario == "push":
        must(work, "remote", "add", "share", os.path.join(work, "remote"), "--default")


SCENARIOS = {
    "run": (["run", "shop.yaml", "--quiet"], check_run),
    "cached": (["run", "shop.yaml", "--quiet"], check_run),
    "daemon": (["daemon", "--once"], check_daemon),
    "gc": (["store", "gc", "--grace", "0"], check_gc),
    "push": (["push"], check_push),
}


def sql(work, text):
    database = os.path.join(work, ".mlops/mlops.db")
    if not os.path.exists(database):
        return []
    with tempfile.TemporaryDirectory(dir=MEMORY) as scratch:
        for ending in ("", "-wal"):
            if os.path.exists(database + ending):
                shutil.copy(database + ending, os.path.join(scratch, "db" + ending))
        db = sqlite3.connect(os.path.join(scratch, "db"))
        try:
            if not db.execute("PRAGMA user_version").fetchone()[0]:
                return []
            bad = [row[0] for row in db.execute("PRAGMA integrity_check") if row[0] != "ok"]
            if bad:
                raise Wrong(f"integrity of the database: {bad[:3]}")
            return db.execute(text).fetchall()
        except sqlite3.Error as error:
            raise Wrong(f"the database: {error}") from error
        finally:
            db.close()


# --- One case -----------------------------------------------------------------------------------------------------------


class Bench:
    """Templates of workspaces, in which each case begins anew."""

    def __init__(self, directory):
        self.directory = directory
        self.work = os.path.join(directory, "work")
        self.made = {}
        self.codes = collections.Counter()

    def begin(self, scenario):
        shutil.rmtree(self.work, ignore_errors=True)
        if scenario not in self.made:
            os.makedirs(self.work)
            prepare(self.work, scenario)
            self.made[scenario] = os.path.join(self.directory, scenario)
            shutil.copytree(self.work, self.made[scenario], symlinks=True)
            return
        subprocess.run(["cp", "-a", self.made[scenario], self.work], check=True)

    def run(self, scenario, fault, call):
        """(exit code, what it said, calls of the kind, faults, what the first was about, seconds)"""
        page = os.path.join(self.directory, "page")
        Path(page).unlink(missing_ok=True)
        root = "/" if ":EMFILE:" in fault else self.work
        env = environment(self.work, LD_PRELOAD=SHIM, TORTURE_ROOT=root, TORTURE_STATE=page, TORTURE_FAULT=fault)
        began = time.monotonic()
        process = subprocess.Popen([MLOPS, *SCENARIOS[scenario][0]], cwd=self.work, env=env, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True)
        try:
            said, _ = process.communicate(timeout=4 * HANG)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise Wrong(f"hangs for {4 * HANG} s")
        took = time.monotonic() - began
        if not os.path.exists(page):  # not a single call of the library's own got through
            return process.returncode, said, 0, 0, "", took
        calls, faults = struct.unpack_from("<QQ", Path(page).read_bytes(), 56)
        about = Path(page).read_bytes()[72:328].split(b"\0")[0].decode(errors="replace")
        return process.returncode, said, calls, faults, about, took

    def count(self, scenario, call, error):
        self.begin(scenario)
        return self.run(scenario, f"{call}:{error}:0", call)[2]

    def check(self, scenario, fault):
        """None when no fault came; raises Wrong."""
        self.begin(scenario)
        call, error = fault.split(":")[:2]
        code, said, _, faults, about, took = self.run(scenario, fault, call)
        self.codes[code] += 1
        if took > HANG:  # the machine may have been busy
            self.begin(scenario)
            code, said, _, faults, about, took = self.run(scenario, fault, call)
        try:
            if took > HANG:
                raise Wrong(f"takes {took:.1f} s")
            if code not in CODES and not (call == "malloc" and code == -6):
                raise Wrong(f"ends with {code}")
            if code != 0 and not said.strip():
                raise Wrong(f"ends with {code} and says nothing")
            self._wait_for_keepers()
            sql(self.work, "SELECT 1")
            SCENARIOS[scenario][1](self.work, code)
            if os.path.exists(os.path.join(self.work, ".mlops/store")):
                must(self.work, "store", "verify")
            sql(self.work, "SELECT 1")
        except (Wrong, subprocess.TimeoutExpired) as error:
            raise Wrong(f"{error}\n      the fault: {about}\n      exit code {code}, said: {said.strip()[-700:]}") from error
        return faults > 0

    def _wait_for_keepers(self):
        """A keeper that outlives its runner ends by itself."""
        limit = time.monotonic() + HANG
        while time.monotonic() < limit:
            if "running" not in {row[0] for row in sql(self.work, "SELECT state FROM runs")}:
                return
            mlops(self.work, "status")
            time.sleep(0.02)


def all_cases(bench, scenarios):
    cases = []
    for scenario in scenarios:
        for call, errors in FAULTS.items():
            if call not in os.environ.get("CALLS", call).split(","):
                continue
            counts = {}
            for error in errors:
                wide = error == "EMFILE"
                if wide not in counts:
                    counts[wide] = bench.count(scenario, call, error)
                for n in range(1, counts[wide] + 2):
                    cases.append((scenario, f"{call}:{error}:{n}"))
                    if error not in ONCE:
                        cases.append((scenario, f"{call}:{error}:{n}:persist"))
    return cases


def drawn(cases, chance):
    """So many of each scenario, call and error as fit, evenly over N."""
    groups = collections.defaultdict(list)
    for scenario, fault in cases:
        call, error, _, *persist = fault.split(":")
        groups[scenario, call, error, bool(persist)].append((scenario, fault))
    picked, groups = [], list(groups.values())
    chance.shuffle(groups)
    for group in groups:
        chance.shuffle(group)
    while len(picked) < CASES and any(groups):
        for group in groups:
            if group and len(picked) < CASES:
                picked.append(group.pop())
    return picked


def main():
    began = time.monotonic()
    directory = tempfile.mkdtemp(prefix="faults-", dir=MEMORY)
    bench = Bench(directory)
    scenarios = sys.argv[3:] or list(SCENARIOS)
    if "CASE" in os.environ:
        scenario, fault = os.environ["CASE"].split(":", 1)
        cases = total = [(scenario, fault)]
    else:
        total = all_cases(bench, scenarios)
        if most := int(os.environ.get("ALLOCATIONS", "0")):
            memory = [case for case in total if case[1].startswith("malloc")]
            left_out = set(random.Random(SEED).sample(memory, max(0, len(memory) - most)))
            total = [case for case in total if case not in left_out]
        cases = drawn(total, random.Random(SEED)) if CASES else total
    failures, met = [], 0
    for scenario, fault in cases:
        try:
            met += bool(bench.check(scenario, fault))
        except Wrong as wrong:
            failures.append((scenario, fault))
            print(f"FAILED: CASE={scenario}:{fault}\n    {wrong}", flush=True)
    print(f"faults: {len(cases)} of {len(total)} cases, {met} with a fault, seed {SEED}, {len(failures)} failed, "
          f"exit codes {dict(sorted(bench.codes.items()))}, {time.monotonic() - began:.0f} s")
    if "CASE" in os.environ and failures:
        print(f"its workspace: {bench.work}")
    else:
        shutil.rmtree(directory)
    sys.exit(1 if failures else 0)


main()
