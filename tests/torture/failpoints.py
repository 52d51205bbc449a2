#!/usr/bin/env python3
"""Kills at every named place of the program, and again while what that left is recovered.

Usage: failpoints.py MLOPS      a binary with failpoints (presets dev, asan, tsan)
                                CASES: how many, by chance (default 12; 0: all of them); PASSES: passes of each place that
                                are tried (default 3); SEED

A case is a command, a place and a pass: the command dies there. Then another command dies somewhere in recovery, or not.
After that the command is given once more and has to do its work, with the database whole, the store sound, no run without
an end, nothing left over, and outputs as they should be.
"""
import json
import os
import re
import shutil
import signal
import time
from pathlib import Path

from harness import Suite, number

SOURCE = Path(__file__).resolve().parents[2] / "src"
suite = Suite("failpoints", ("CASES", "PASSES"))
chance = suite.chance


def points():
    found = set()
    for file in SOURCE.rglob("*.cpp"):
        found |= set(re.findall(r'\bfailpoint\("(\w+)"\)', file.read_text()))
    return sorted(found)


# --- What is being done when it dies ------------------------------------------------------------------------------------

PIPELINE = """name: p
steps:
  small: {run: 'echo small > small.out; echo "{\\"m\\": 1}" >> "$MLOPS_METRICS"; echo v=7 >> "$MLOPS_OUTPUT"', inputs: in, outputs: small.out}
  folder: {run: 'mkdir -p folder; for i in 1 2 3 4 5 6 7 8; do echo $i > folder/$i; done; head -c 40000 /dev/zero > folder/large', inputs: small.out, outputs: folder}
  again: {run: 'test $MLOPS_ATTEMPT -gt 1', retry: 1, env: {V: "${steps.small.outputs.v}"}}
  last: {run: 'test $(ls folder | wc -l) = 9', needs: again, inputs: folder}
"""


def make_place():
    Path("p.yaml").write_text(PIPELINE)
    Path("told.yaml").write_text("name: told\nnotify: {command: 'cat >> told.txt', on: [success]}\nsteps: {a: {run: 'true'}}\n")
    Path("in").write_text("in\n")
    os.mkdir("data")
    for i in range(30):
        Path(f"data/{i}").write_text(f"{i}\n" * 20)
    Path("data/large").write_bytes(b"l" * 50000)
    suite.ok("run", "told.yaml", "--quiet")


def outputs_are_good():
    suite.expect(Path("small.out").read_text() == "small\n", "small.out is not what its step made")
    suite.expect(sorted(os.listdir("folder")) == sorted([str(i) for i in range(1, 9)] + ["large"]), "folder is not what its step made")


class Work:
    """A command, what is there before, and what has to be there when it has been given again."""

    def __init__(self, command, before=(), good=None, code=0, again=None):
        self.command, self.before, self.good, self.code, self.again = command, before, good, code, again or command


def data_is_back():
    suite.expect(sorted(os.listdir("data")) == sorted([str(i) for i in range(30)] + ["large"]), "data is not what was added")


def queue_is_done():
    """Each process of the daemon dies at the place; after three of them the request is given up, as the manual says."""
    if suite.rows("select 1 from requests where state = 'rejected'"):
        suite.ok("submit", "p.yaml")
        suite.ok("daemon", "--once", "--quiet")
    outputs_are_good()


def forget_outputs():
    os.unlink("small.out")
    shutil.rmtree("folder")


def drop_data():
    shutil.rmtree("data")


def change_data():
    for i in range(10):
        os.unlink(f"data/{i}")


def damage():
    pack = next(Path(".mlops/store/packs").glob("*.pack"))
    os.chmod(pack, 0o600)
    with open(pack, "r+b") as file:
        file.seek(40)
        file.write(b"X")


def three_sets():
    """Dead packs, packs of which a part is dead, files that nobody wants."""
    for name, first in (("a", 0), ("b", 1000), ("c", 2000)):
        os.mkdir(name)
        for i in range(first, first + 300):
            Path(f"{name}/f{i}").write_text(f"{name} {i:0400d}\n")
        for i in range(3):
            Path(f"{name}/l{first + i}").write_bytes(bytes([65 + i]) * 30000 + name.encode())
        suite.ok("data", "add", name)
    for name, count in (("a", 10), ("b", 280)):
        for file in sorted(os.listdir(name))[:count]:
            os.unlink(f"{name}/{file}")
        suite.ok("data", "add", name)
        suite.ok("data", "rm", f"{name}@1")
    suite.ok("data", "rm", "c")


def sets_are_good():
    for name in "ab":
        shutil.rmtree("copy", ignore_errors=True)
        suite.ok("data", "checkout", name, "--to", "copy")
        suite.expect(sorted(os.listdir("copy")) == sorted(os.listdir(name)), f"{name} does not come back as it was")


RUN = ("run", "p.yaml", "--quiet")
ADD = ("data", "add", "data")
WORKS = {
    "run": Work(RUN, good=outputs_are_good),
    "restore": Work(RUN, [RUN, forget_outputs], outputs_are_good),
    "add": Work(ADD, good=lambda: suite.ok("data", "checkout", "data", "--to", "copy")),
    "checkout": Work(("data", "checkout", "data"), [ADD, drop_data], data_is_back),
    "collect": Work(("store", "gc", "--grace", "0"), [ADD, change_data, ADD, ("data", "rm", "data@1")]),
    "collect_packs": Work(("store", "gc", "--grace", "0"), [three_sets], sets_are_good),
    "settings": Work(("remote", "add", "there", "remote"), [("remote", "add", "here", "other")], code=None,
                     good=lambda: suite.expect({"here", "there"} <= set(suite.ok("remote", "list").split()), "a remote is gone")),
    "push": Work(("push", "--remote", "there", "latest:p"), [RUN, ("remote", "add", "there", "remote")]),
    "verify": Work(("store", "verify"), [ADD, damage], code=3),
    "tell": Work(("run", "told.yaml", "--quiet"), good=lambda: suite.expect(Path("told.txt").read_text().strip(), "nobody was told")),
    "queue": Work(("daemon", "--once", "--quiet"), [("submit", "p.yaml")], queue_is_done),
    "cancelled": Work(("cancel", "latest"), [RUN]),
}


# --- A case -------------------------------------------------------------------------------------------------------------


def dying(command, point, count):
    """Whether a process of the command died there."""
    done = suite.run(*command, env={**os.environ, "MLOPS_FAILPOINT": f"{point}:{count}"})
    text = done.stdout + done.stderr
    return done.returncode == -signal.SIGKILL or "keeper process" in text or "SIGKILL" in text or "ended by Killed" in text, done


def prepare(name):
    shutil.rmtree("place", ignore_errors=True)
    shutil.copytree("fresh", "place", symlinks=True)
    os.chdir("place")
    for act in WORKS[name].before:
        act() if callable(act) else suite.ok(*act)


def recovered(name, what, twice):
    work = WORKS[name]
    if twice:
        dying(chance.choice([("runs",), work.again]), chance.choice(["commit", "committed", "write", "open", "rename", "sync"]), chance.randrange(1, 4))
    suite.nobody_left(what, seconds=10)
    suite.ok("runs")
    suite.expect(not suite.rows("select 1 from runs where state = 'running'"), f"{what}: a run has no end")
    lies = suite.rows("select id from runs r where state = 'succeeded' and exists (select 1 from steps s where s.run_id = r.id and s.state not in ('succeeded', 'cached', 'skipped'))")
    suite.expect(not lies, f"{what}: {lies} succeeded without all of their steps")
    if name in ("run", "restore", "tell") and (unfinished := suite.rows("select id from runs where state in ('interrupted', 'failed') order by id desc limit 1")):
        done = suite.run("run", "--resume", unfinished[0]["id"], "--quiet")
        suite.expect(done.returncode == 0, lambda: f"{what}: resume ended with {done.returncode}: {done.stdout[-500:]}{done.stderr[-500:]}")
    if name == "queue":
        # Of a request whose run was interrupted, the run is what is left of it.
        for run in suite.rows("select id from runs where state in ('interrupted', 'failed')"):
            suite.ok("run", "--resume", run["id"], "--quiet")
    done = suite.run(*work.again)
    suite.expect(work.code is None or done.returncode == work.code, lambda: f"{what}: {' '.join(work.again)} ended with {done.returncode}: {done.stdout[-500:]}{done.stderr[-500:]}")
    if work.good:
        work.good()
    suite.expect(suite.rows("pragma integrity_check") == [{"integrity_check": "ok"}], f"{what}: the database is not whole")
    if os.path.isdir(".mlops/store") and name != "verify":
        suite.ok("store", "gc", "--grace", "0")
        verified = suite.run("store", "verify")
        suite.expect(verified.returncode == 0 and "0 damaged" in verified.stdout, f"{what}: {verified.stdout[-400:]}{verified.stderr[-400:]}")
        left = [p for d in ("tmp", "leases") for p in Path(f".mlops/store/{d}").glob("*")]
        suite.expect(not left, f"{what}: left in the store: {left[:3]}")
    suite.expect(not list(Path(".").glob(".mlops-*")), f"{what}: left in the work tree")
    suite.ok("doctor") if name != "verify" else None
    suite.nobody_left(what, seconds=10)


def main():
    os.mkdir("probe")
    Path("probe/probe.yaml").write_text("steps: {a: {run: 'true'}}\n")
    if suite.run("run", "probe/probe.yaml", env={**os.environ, "MLOPS_FAILPOINT": "commit:1"}).returncode != -signal.SIGKILL:
        suite.skip("this binary has no failpoints: they are in debug builds only (presets dev, asan, tsan)")
    os.mkdir("fresh")
    os.chdir("fresh")
    make_place()
    os.chdir("..")
    names, most = points(), number("CASES", 12)
    cases = [(work, point, count) for work in WORKS for point in names for count in range(1, number("PASSES", 3) + 1)]
    chance.shuffle(cases)
    died, silent, by_point = 0, set(), {}
    for work, point, count in cases:
        if most and died >= most:
            break
        if any((work, point, c) in silent for c in range(1, count + 1)):
            continue
        prepare(work)
        fired, done = dying(WORKS[work].command, point, count)
        twice = chance.random() < 0.5
        if fired:
            died += 1
            by_point[point] = by_point.get(point, 0) + 1
            recovered(work, f"{work} killed at {point}:{count}{' and again' if twice else ''}", twice)
        else:
            silent.add((work, point, count))
        os.chdir("..")
        shutil.rmtree("place")
    never = [p for p in names if p not in by_point]
    if not most:
        print(f"places where nothing died: {', '.join(never) or 'none'}")
    suite.passed(cases=died, places=len(by_point), of=len(names), by_place=by_point)


main()
