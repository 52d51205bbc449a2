#!/usr/bin/env python3
"""Files of the database that go astray: its log is deleted, it is copied, moved, put back from a copy, cut off to nothing.

Usage: strays.py MLOPS     COMMANDS: how many that write, all answered (default 200; a night takes 10,000); SEED

After about ten commands, one of which may have been killed with -9, something is done to mlops.db or what lies beside
it. Then, whatever a command prints as done must be all that was answered as done, or it says a word on stderr: nobody
sees an empty or an older history without being told. After `fsck --repair` (where there is no database, --rebuild) each
run that had ended is there as it was. Deleting the log of a workspace in which nothing works loses nothing at all, requests, tags
and pins too; so does `mlops db restore` of what was in the copy.
"""
import json
import os
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path

from harness import Suite, number

suite = Suite("strays", ("COMMANDS",))
chance = suite.chance
COMMANDS = number("COMMANDS", 200)
seen, words = Counter(), Counter()

FILE = """name: shop
params: {n: 0}
steps:
  a: {run: 'echo ${params.n} > a.txt', outputs: [a.txt]}
  b: {run: 'wc -c < a.txt > b.txt', inputs: [a.txt], outputs: [b.txt]}
"""
SLOW = "name: slow\nsteps: {a: {run: 'echo 1 > s1'}, b: {run: 'sleep 0.2; echo 2 > s2', needs: a, outputs: [s2]}, c: {run: 'echo 3 > s3', needs: b}}\n"
# Wide enough that a run which finds nothing to do is repeated as a whole.
WIDE = "name: wide\nsteps:\n" + "".join(f"  s{i}: {{run: 'echo {i} > w{i}', inputs: [shop.yaml], outputs: [w{i}]}}\n" for i in range(55))


class Project:
    """A directory with a workspace, and what was answered in it."""

    def __init__(self, path):
        self.path, self.state = path, path / ".mlops"
        path.mkdir()
        (path / "shop.yaml").write_text(FILE)
        (path / "slow.yaml").write_text(SLOW)
        (path / "wide.yaml").write_text(WIDE)
        self.runs, self.requests, self.tags, self.pins = {}, set(), {}, set()
        self.answered = 0

    def mlops(self, *arguments):
        return suite.run(*arguments, timeout=20, cwd=self.path)

    def ok(self, *arguments):
        self.answered += 1
        return suite.ok(*arguments, cwd=self.path)

    def work(self, killed):
        """Some commands, all of which are answered; then perhaps one that is not."""
        for _ in range(chance.randrange(4, 12)):
            what = chance.choice(("run", "run", "run", "submit", "tag", "pin"))
            if what == "run" or not self.runs:
                run = json.loads(self.ok("run", "shop.yaml", "--json", "--force", "--set", f"n={chance.randrange(1 << 30)}"))
                self.runs[run["id"]] = run["state"]
            elif what == "submit":
                self.requests.add(json.loads(self.ok("submit", "shop.yaml", "--json", "--set", f"n={self.answered}"))["id"])
            elif what == "tag":
                name, value = chance.choice(list(self.runs)), str(chance.randrange(1 << 30))
                self.ok("runs", "tag", name, f"t={value}")
                self.tags[name] = value
            else:
                name = chance.choice(list(self.runs))
                self.ok("pin", name)
                self.pins.add(name)
        if killed:
            child = suite.start("run", "slow.yaml", cwd=self.path)
            time.sleep(chance.uniform(0, 0.3))
            child.kill()
            child.wait()
            suite.nobody_left("a run that was killed")

    # --- What commands say of it ---

    def have(self):
        """What the database knows, without a command that would settle anything."""
        rows = lambda query: suite.rows(query, cwd=self.path)
        return {"runs": {r["id"]: r["state"] for r in rows("select id, state from runs where pipeline = 'shop'")},
                "requests": {r["id"] for r in rows("select id from requests")},
                "tags": {r["run_id"]: r["value"] for r in rows("select run_id, value from tags where key = 't'")},
                "pins": {r["run_id"] for r in rows("select run_id from pinned_runs")}}

    def complete(self, what):
        have = self.have()
        for kind, wanted in (("runs", self.runs), ("requests", self.requests), ("tags", self.tags), ("pins", self.pins)):
            suite.expect(have[kind] == wanted, lambda: f"{what}: of {kind} there are {have[kind]}, answered were {wanted}")

    def look(self, what):
        """True when all runs are shown. What is not all is shown with a word only."""
        all_shown = True
        every_one = ["runs", "--json", "--pipeline", "shop", "--limit", "1000000"]
        runs = [["run", "slow.yaml", "--quiet"], ["run", "wide.yaml", "--quiet"]][:chance.randrange(3)]
        for arguments in (every_one, ["status"], ["runs"], *runs, every_one, ["status"]):
            done = self.mlops(*arguments)
            said = f"{what}: mlops {' '.join(arguments)}: exit code {done.returncode}: {done.stdout[-300:]}{done.stderr[-500:]}"
            suite.expect(done.returncode in (0, 74), said)
            shown = set()
            if arguments[:2] == ["runs", "--json"] and done.returncode == 0:
                shown = {r["id"] for r in json.loads(done.stdout)["runs"]}
                all_shown = shown == set(self.runs)
            elif done.returncode != 0:
                all_shown = False
            suite.expect(all_shown or done.stderr, lambda: said + ": without a word")
            if done.stderr and not all_shown:
                words[next((w for w in ("does not know", "is gone", "malformed", "there is nothing in it", "no such file") if w in done.stderr), "other")] += 1
        return all_shown

    def mend(self, what):
        for step in ("--repair", "--rebuild"):
            done = self.mlops("fsck", step)
            if self.mlops("fsck").returncode == 0:
                break
        suite.expect(self.mlops("fsck").returncode == 0, lambda: f"{what}: fsck {step} does not mend it: {done.stdout[-1000:]}{done.stderr[-500:]}")
        runs = self.have()["runs"]
        missing = {i: s for i, s in self.runs.items() if runs.get(i) != s}
        suite.expect(not missing, lambda: f"{what}: mended, and still without {missing}")
        # The rest of what was nowhere else is gone: what is there now is what is gone on with.
        have = self.have()
        self.requests, self.tags, self.pins = have["requests"], have["tags"], have["pins"]


def files(project, *names):
    return [project.state / f"mlops.db{name}" for name in names]


def lose(project, *names):
    for path in files(project, *names):
        path.unlink(missing_ok=True)


def stray(project, what, backups):
    """Does it. Returns the project that is gone on with, and whether nothing may be missing."""
    if what == "log deleted":
        lose(project, "-wal")
    elif what == "log and its memory deleted":
        lose(project, "-wal", "-shm")
    elif what == "memory deleted":
        lose(project, "-shm")
    elif what == "log emptied":
        for path in files(project, "-wal"):
            if path.exists():
                os.truncate(path, 0)
    elif what == "database copied alone":
        copy = Path(f"{project.path}-copy")
        copy.mkdir()
        (copy / ".mlops").mkdir(mode=0o700)
        shutil.copy(project.state / "mlops.db", copy / ".mlops/mlops.db")
        before, project.path, project.state = (project.path, project.state), copy, copy / ".mlops"
        project.complete(what)
        project.path, project.state = before
        shutil.rmtree(copy)
    elif what == "workspace moved":
        project.path.rename(f"{project.path}m")
        project.path = Path(f"{project.path}m")
        project.state = project.path / ".mlops"
    elif what == "restored":
        backup, then = chance.choice(backups)
        project.ok("db", "restore", str(backup))
        have = project.have()
        for kind in ("requests", "tags", "pins"):
            suite.expect(have[kind] == then[kind], lambda: f"{what}: of {kind} there are {have[kind]}, the copy had {then[kind]}")
        return False
    elif what == "an older copy put in place":
        shutil.copy(chance.choice(backups)[0], project.state / "mlops.db")
        return False
    elif what == "an older copy moved into place":
        shutil.copy(chance.choice(backups)[0], project.state / "new")
        os.rename(project.state / "new", project.state / "mlops.db")
        return False
    elif what == "database deleted":
        lose(project, "")
        return False
    elif what == "all deleted":
        lose(project, "", "-wal", "-shm")
        return False
    elif what == "database emptied":
        os.truncate(project.state / "mlops.db", 0)
        return False
    return True


WHOLE = ("log deleted", "log and its memory deleted", "memory deleted", "log emptied", "database copied alone", "workspace moved")
BEHIND = ("restored", "an older copy put in place", "an older copy moved into place", "database deleted", "all deleted", "database emptied")


def moved_while_it_runs(index):
    """The project is moved away under a run: it ends, and is told truthfully where it is now."""
    project = Project(Path(suite.place) / f"moving{index}")
    project.work(False)
    child = suite.start("run", "slow.yaml", cwd=project.path)
    time.sleep(chance.uniform(0.02, 0.3))
    project.path.rename(f"{project.path}-away")
    project.path = Path(f"{project.path}-away")
    try:
        child.wait(20)
    except subprocess.TimeoutExpired:
        suite.fail("a run whose project was moved does not end")
    suite.nobody_left("a run whose project was moved")
    states = {r["state"] for r in json.loads(project.mlops("runs", "--json", "--pipeline", "slow").stdout)["runs"]}
    suite.expect("running" not in states and len(states) <= 1, lambda: f"a run whose project was moved is {states}")
    suite.expect((child.returncode == 0) == (states == {"succeeded"}), lambda: f"a run whose project was moved ended with {child.returncode}, and is {states}")
    project.complete("a project that was moved while it ran")
    shutil.rmtree(project.path)
    shutil.rmtree(Path(suite.place) / f"moving{index}", ignore_errors=True)
    return project.answered


def main():
    answered, index = 0, 0
    while answered < COMMANDS:
        index += 1
        project = Project(Path(suite.place) / f"p{index}")
        backups = []
        if chance.random() < 0.5:
            for _ in range(3):
                project.ok("run", "wide.yaml", "--quiet")
        for _ in range(8):
            killed = chance.random() < 0.3
            project.work(killed)
            have = project.have()
            what = chance.choice(WHOLE + (BEHIND if backups else BEHIND[3:]))
            backup = Path(suite.place) / f"backup{index}-{len(backups)}.db"
            project.ok("db", "backup", str(backup))
            project.work(killed)
            seen[what] += 1
            whole = stray(project, what, backups)
            label = f"{what}{', after a kill' if killed else ''}"
            shown = project.look(label)
            if whole:
                suite.expect(shown, lambda: f"{label}: not all runs are shown")
                project.complete(label)
            else:
                project.mend(label)
            backups.append((backup, have))
        answered += project.answered
        shutil.rmtree(project.path)
        for backup, _ in backups:
            backup.unlink()
        if index % 3 == 0:
            answered += moved_while_it_runs(index)
            seen["moved while it runs"] += 1
    suite.passed(cases=answered, strays=dict(seen), words=dict(words))


main()
