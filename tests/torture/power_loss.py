#!/usr/bin/env python3
"""The power goes at a random moment of a real workload, and everything that was answered as done is still there.

Usage: power_loss.py MLOPS SHIM              STATES: how many, default 5000; SEED: which, default by the clock
       power_loss.py MLOPS SHIM --self-test  must find losses when syncs are left out on purpose
       power_loss.py MLOPS SHIM --bad-syncs  one sync fails before the power does; ROUNDS: how many workloads;
                                             CALL=fdatasync: one of SQLite's, which cannot be survived

The workload runs with shim.cpp preloaded. Of its tape, tape.py makes states of the disk; each is looked at here, and one
of EACH (default 50) by the binary too: it recovers twice, verifies the store, resumes what was interrupted and runs
again. A failure prints TAPE=… SEED=… STATE=…, which repeats it; TAPE alone uses a tape again, MODEL=ordered or strict takes one model only.
"""
import hashlib
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tape as tapes

MLOPS, SHIM = (os.path.realpath(path) for path in sys.argv[1:3])
STATES = int(os.environ.get("STATES", "5000"))
SEED = int(os.environ.get("SEED", "0")) or int(time.time()) % 1_000_000
EACH = int(os.environ.get("EACH", "50"))
MODEL = os.environ.get("MODEL")  # only this one
ONLY = os.environ.get("STATE")
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None

# --- The workload -------------------------------------------------------------------------------------------------------

FILES = {
    "shop.yaml": """
name: shop
params: {seed: 1}
steps:
  ingest: {run: 'echo rows ${params.seed} > raw.csv', outputs: [raw.csv], cache: true}
  parts:
    run: |
      mkdir -p parts; i=0
      while [ $i -lt 30 ]; do echo $i ${params.seed} > parts/$i; i=$((i+1)); done
    inputs: [raw.csv]
    outputs: [parts]
  train:
    run: |
      read row < raw.csv; i=0
      while [ $i -lt 900 ]; do echo "$row weight $i of the model"; i=$((i+1)); done > model.bin
      echo '{"loss":' ${params.seed} '}' > m.json
    inputs: [raw.csv]
    outputs: [{path: model.bin, kind: model}]
    metrics: [m.json]
""",
    "fail.yaml": "name: fail\nsteps:\n  one: {run: 'echo half > half.txt; exit 3', outputs: [half.txt]}\n",
    "slot.yaml": "name: slot\nschedule: '* * * * *'\nsteps: {one: {run: 'echo CLAIM $MLOPS_FENCE $MLOPS_RUN_ID'}}\n",
    "tick.yaml": "name: tick\nschedule: {every: 1s, catchup: all}\nsteps: {one: {run: 'echo CLAIM $MLOPS_FENCE $MLOPS_RUN_ID'}}\n",
    "job.yaml": """
name: job
params: {n: 0}
steps:
  one: {run: 'echo CLAIM $MLOPS_FENCE $MLOPS_RUN_ID; echo job ${params.n} > job.txt', outputs: [job.txt], cache: true}
""",
}


def made_of(seed):
    """What shop.yaml makes."""
    files = {"raw.csv": f"rows {seed}\n"}
    files.update({f"parts/{i}": f"{i} {seed}\n" for i in range(30)})
    files["model.bin"] = "".join(f"rows {seed} weight {i} of the model\n" for i in range(900))
    return files


# Each with the exit codes it may end with; `sh -c` for what users do by hand.
WORKLOAD = [
    (["run", "shop.yaml", "--quiet"], (0,)),
    (["run", "shop.yaml", "--quiet"], (0,)),
    (["run", "shop.yaml", "--quiet", "--set", "seed=2"], (0,)),
    (["run", "fail.yaml", "--quiet"], (1,)),
    (["run", "slot.yaml", "--slot", "now", "--quiet"], (0,)),
    (["run", "slot.yaml", "--slot", "now", "--quiet"], (75, 0)),
    (["schedule", "add", "tick.yaml"], (0,)),
    (["submit", "job.yaml", "--set", "n=1", "--key", "k1"], (0,)),
    (["submit", "job.yaml", "--set", "n=2", "--priority", "3"], (0,)),
    (["submit", "job.yaml", "--set", "n=2", "--in", "1h"], (0,)),
    (["worker", "--once", "-j", "2"], (0,)),
    (["sh", "sleep 1.2"], (0,)),
    (["daemon", "--once"], (0,)),
    (["schedule", "pause", "tick.yaml", "--note", "the source moves"], (0,)),
    (["data", "add", "parts", "--name", "parts"], (0,)),
    (["sh", "echo more > parts/30; echo other > parts/1"], (0,)),
    (["data", "add", "parts", "--name", "parts", "--note", "more"], (0,)),
    (["pin", "latest:shop", "--note", "the good one"], (0,)),
    (["pin", "parts@1"], (0,)),
    (["queue", "cancel", "3"], (0,)),
    (["rm", "latest:fail"], (0,)),
    (["run", "shop.yaml", "--quiet", "--set", "seed=3"], (0,)),
    (["rm", "latest:shop"], (0,)),
    (["store", "gc", "--grace", "0"], (0,)),
    (["sh", "rm -f raw.csv model.bin"], (0,)),
    (["run", "shop.yaml", "--quiet"], (0,)),
    (["run", "shop.yaml", "--quiet", "--set", "seed=3"], (0,)),
]
SHORT = WORKLOAD[:5] + WORKLOAD[14:19]


def environment(home, **more):
    return {"PATH": os.environ["PATH"], "HOME": home, "LC_ALL": "C.UTF-8", "NO_COLOR": "1",
            "GIT_CEILING_DIRECTORIES": "/", **more}


def record(directory, workload, weaken="", fault=""):
    """Runs the workload; leaves the tape in the directory, with what was on record after each command."""
    root, log = os.path.join(directory, "work"), os.path.join(directory, "tape")
    os.makedirs(root)
    tapes.mark(log, f"root {os.stat(root).st_ino} {root}")
    env = environment(directory, LD_PRELOAD=SHIM, TORTURE_ROOT=root, TORTURE_LOG=log, TORTURE_WEAKEN=weaken, TORTURE_FAULT=fault,
                      TORTURE_STATE=os.path.join(directory, "page"))
    files = "".join(f"cat > {name} <<'END'\n{text}END\nsync {name}\n" for name, text in FILES.items())
    subprocess.run(["dash", "-c", files + "sync ."], cwd=root, env={**env, "TORTURE_FAULT": ""}, check=True)
    seen, good = [], []
    for i, (words, codes) in enumerate(workload):
        command = ["dash", "-c", words[1]] if words[0] == "sh" else [MLOPS, *words]
        tapes.mark(log, f"begin {i}")
        with open(os.path.join(directory, f"out.{i}"), "w") as out:
            done = subprocess.run(command, cwd=root, env=env, stdout=out, stderr=subprocess.STDOUT, timeout=120)
        tapes.mark(log, f"end {i}")
        good.append(done.returncode in codes)
        if not good[-1] and not fault:
            said = Path(directory, f"out.{i}").read_text()
            raise SystemExit(f"FAILED: the workload itself: '{' '.join(words)}' ended with {done.returncode}:\n{said}")
        database = Path(root, ".mlops/mlops.db")
        log_of_it = Path(root, ".mlops/mlops.db-wal")
        found = look_at(database.read_bytes() if database.exists() else b"", log_of_it.read_bytes() if log_of_it.exists() else b"", directory)
        if found.problems:
            raise SystemExit(f"FAILED: after '{' '.join(words)}': {found.problems}")
        seen.append(sorted(found.facts))
    Path(directory, "seen.json").write_text(json.dumps({"seen": seen, "good": good, "commands": [w for w, _ in workload]}))


# --- What is on record --------------------------------------------------------------------------------------------------

# Facts that are there for good, or until a command takes them away. Of runs, what was answered when they ended.
ENDED = "(SELECT id FROM runs WHERE state <> 'running')"
FACTS = {
    "run": "SELECT id, state, exit_code, reason, steps, resumes FROM runs WHERE state <> 'running'",
    "step": f"SELECT run_id, step, name, state FROM steps WHERE run_id IN {ENDED}",
    "attempt": f"SELECT run_id, step, attempt, cause, exit_code FROM attempts WHERE run_id IN {ENDED}",
    "artifact": f"SELECT run_id, step, direction, path, sha256, size, kept FROM artifacts WHERE run_id IN {ENDED}",
    "metric": f"SELECT run_id, step, name, value FROM metric_latest WHERE run_id IN {ENDED}",
    "slot": "SELECT schedule, slot_at, outcome, run_id, fence FROM slots WHERE outcome <> 'claimed'",
    "claim": "SELECT fence, run_id FROM slots WHERE fence IS NOT NULL "
             "UNION ALL SELECT fence, run_id FROM requests WHERE fence IS NOT NULL",
    "request": "SELECT id, file, options, dedupe, priority FROM requests",
    "decision": "SELECT id, state, run_id FROM requests WHERE state IN ('started', 'cancelled', 'rejected')",
    "dataset": "SELECT dataset, version, sha256, form, note FROM dataset_versions",
    "pin": "SELECT run_id, 0, note FROM pinned_runs UNION ALL SELECT dataset, version, note FROM pinned_versions",
    "pause": "SELECT file, name, paused_at, pause_note FROM schedules WHERE paused_at IS NOT NULL",
    "schedule": "SELECT file, name FROM schedules WHERE served",
}
# What the store has to have: of running runs too, as results are only put on record when they are there.
CONTENTS = """SELECT sha256, form FROM artifacts WHERE kept = 1 AND form <> 'listing'
              UNION SELECT sha256, form FROM dataset_versions"""
# Where a sync failed, outputs of a step may not be kept; then nobody takes them for a later run.
PROMISED = """SELECT a.sha256, a.form FROM artifacts a JOIN cache c ON c.run_id = a.run_id AND c.step = a.step
              WHERE a.direction = 'out' AND a.form <> 'listing' UNION SELECT sha256, form FROM dataset_versions"""


class Found:
    def __init__(self, problems=(), facts=(), contents=()):
        self.problems, self.facts, self.contents = list(problems), frozenset(facts), list(contents)


def look_at(database, log, directory, index=False):
    """What a database and its log say, by SQLite itself."""
    if not database and not log:
        return Found()
    path = os.path.join(directory, "look.db")
    for ending, content in (("", database), ("-wal", log)):
        with open(path + ending, "wb") as file:
            file.write(content)
    db = None
    try:
        db = sqlite3.connect(path, isolation_level=None)
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA synchronous = OFF")
        bad = [row[0] for row in db.execute("PRAGMA integrity_check") if row[0] != "ok"]
        bad += [f"foreign key of {row[0]}" for row in db.execute("PRAGMA foreign_key_check")]
        if bad:
            return Found([f"integrity: {'; '.join(bad[:3])}"])
        if db.execute("PRAGMA user_version").fetchone()[0] == 0:
            return Found()
        if index:
            return Found()
        facts = {(kind, *row) for kind, sql in FACTS.items() for row in db.execute(sql)}
        return Found(facts=facts, contents=db.execute(PROMISED if "--bad-syncs" in sys.argv else CONTENTS).fetchall())
    except sqlite3.Error as error:
        return Found([f"the database does not open: {error}"])
    finally:
        if db is not None:
            db.close()
        for ending in ("", "-wal", "-shm", "-journal"):
            if os.path.exists(path + ending):
                os.unlink(path + ending)


class Answers:
    """Which facts were answered as done at which operation of the tape, and until when they hold."""

    def __init__(self, tape, directory):
        noted = json.loads(Path(directory, "seen.json").read_text())
        begin, end = {}, {}
        said = []
        for at, op in enumerate(tape.ops):
            if op[0] == "mark":
                (begin if op[1].startswith("begin") else end)[int(op[1].split()[1])] = at
            elif op[0] == "said":
                said.append((at, op[2]))
        self.spans = {}  # fact: [(from, until)]
        open_, doubtful = {}, set()
        for i, facts in enumerate(noted["seen"]):
            facts = {tuple(fact) for fact in facts}
            if not noted["good"][i]:
                doubtful |= facts - open_.keys()
            for fact in facts - open_.keys() - doubtful:
                open_[fact] = self._told(fact, said, begin[i], end[i])
            for fact in open_.keys() - facts:
                self.spans.setdefault(fact, []).append((open_.pop(fact), begin[i]))
        for fact, at in open_.items():
            self.spans.setdefault(fact, []).append((at, len(tape.ops)))
        # Runs that were deleted stay so.
        self.gone = []
        for fact, spans in self.spans.items():
            if fact[0] == "run" and spans[-1][1] < len(tape.ops):
                until = next(i for i in sorted(begin) if begin[i] == spans[-1][1])
                if noted["commands"][until][0] == "rm":
                    self.gone.append((end[until], fact[1]))
        self.changes = sorted([(a, True, fact) for fact, spans in self.spans.items() for a, _ in spans] +
                              [(b, False, fact) for fact, spans in self.spans.items() for _, b in spans],
                              key=lambda change: change[:2])
        self.next, self.must = 0, set()

    @staticmethod
    def _told(fact, said, begin, end):
        """The end of the command, or what it said before: a step that its claim was made, or how its run ended."""
        if fact[0] == "claim":
            text = f"CLAIM {fact[1]} {fact[2]}\n"
            return next((at for at, words in said if text in words), end)
        if fact[0] in ("run", "step", "artifact", "metric", "attempt"):
            return next((at for at, words in said if begin < at < end and f"mlops show {fact[1]}" in words
                         and (" succeeded in " in words or " failed in " in words)), end)
        return end

    def at(self, point):
        """What must be there when the power goes after so many operations."""
        while self.next < len(self.changes) and self.changes[self.next][0] < point:
            _, begins, fact = self.changes[self.next]
            (self.must.add if begins else self.must.discard)(fact)
            self.next += 1
        return self.must

    def deleted(self, point):
        return [run for at, run in self.gone if at < point]


# --- One state ----------------------------------------------------------------------------------------------------------


def pack_contents(bytes_):
    """{digest: bytes} of a pack, or None if it is not whole; see src/store/pack.cpp."""
    if len(bytes_) < 24 or bytes_[-8:] != b"mlopsPK1":
        return None
    count, table = int.from_bytes(bytes_[-24:-16], "little"), int.from_bytes(bytes_[-16:-8], "little")
    if table + count * 44 + 24 != len(bytes_):
        return None
    contents = {}
    for at in range(table, table + count * 44, 44):
        where, size = int.from_bytes(bytes_[at + 32:at + 40], "little"), int.from_bytes(bytes_[at + 40:at + 44], "little")
        content = bytes(bytes_[where:where + size])
        if hashlib.sha256(content).digest() != bytes(bytes_[at:at + 32]):
            return None
        contents[bytes(bytes_[at:at + 32]).hex()] = content
    return contents


class Looker:
    """Looks at states; remembers what it has looked at, as most states have much in common."""

    def __init__(self, answers, scratch):
        self.answers, self.scratch = answers, scratch
        self.databases = {}

    def database(self, state, path, index=False):
        node, log = state.find(path), state.find(path + "-wal")
        journal = state.find(path + "-journal")
        content = bytes(state.content(node)) if node else b""
        more = bytes(state.content(log)) if log else b""
        if journal is not None and state.content(journal):
            # Only while a database is being made, before there is anything in it: for the binary.
            return Found()
        key = hashlib.blake2b(content + b"|" + more, digest_size=16).digest()
        if len(self.databases) > 500:  # states come in the order of the tape
            self.databases.clear()
        if key not in self.databases:
            self.databases[key] = look_at(content, more, self.scratch, index)
        return self.databases[key]

    @staticmethod
    def _remembered(state, node, read):
        if node.pending:
            return read(state.content(node))
        if node.digest is None:
            node.digest = read(node.image)
        return node.digest

    def store(self, state, problems):
        """{digest: content} of what is in the store. Nothing that is half there may have its name already."""
        there = {}
        for prefix, directory in state.list(".mlops/store/objects").items():
            for name, node in state.names.of(directory).items():
                content = state.content(node)
                if self._remembered(state, node, lambda b: hashlib.sha256(b).hexdigest()) == prefix + name:
                    there[prefix + name] = content
                else:
                    problems.append(f"torn: object {prefix + name[:8]} has {len(content)} bytes of something else")
        for name, node in state.list(".mlops/store/packs").items():
            contents = self._remembered(state, node, pack_contents)
            if contents is None:
                problems.append(f"torn: {name} is no whole pack")
            else:
                there.update(contents)
        return there

    def check(self, state, point):
        """What is wrong with a state, and what the database says."""
        found = self.database(state, ".mlops/mlops.db")
        problems = list(found.problems)
        if not problems:
            problems += self.check_facts(found.facts, point)
        index = self.database(state, ".mlops/store/index.db", True)
        problems += [f"index of the store: {problem}" for problem in index.problems]
        there = self.store(state, problems)
        wanted = [(digest, form, "") for digest, form in found.contents]
        while wanted:
            digest, form, way = wanted.pop()
            if digest not in there:
                problems.append(f"the database names {way}{digest[:8]} ({form}), which is not in the store")
            elif form == "tree":
                lines = bytes(there[digest]).split(b"\n")
                node = lines[0].endswith(b" node")
                for line in lines[1:]:
                    words = line.split(b" ")
                    if len(words) > 2 and (node or words[0] in (b"f", b"x")):
                        wanted.append((words[2].decode(), "tree" if node else "file", f"{way}{digest[:8]}/"))
        return problems

    def check_facts(self, facts, point):
        lost = self.answers.at(point) - facts
        problems = [f"lost: {fact}" for fact in sorted(lost, key=str)[:5]]
        if len(lost) > 5:
            problems.append(f"and {len(lost) - 5} more facts")
        runs = {fact[1] for fact in facts if fact[0] == "run"}
        return problems + [f"deleted run {run} is back" for run in self.answers.deleted(point) if run in runs]


def everything_in(database):
    with tempfile.TemporaryDirectory(dir=MEMORY) as scratch:
        for ending in ("", "-wal"):
            if os.path.exists(database + ending):
                shutil.copy(database + ending, os.path.join(scratch, "db" + ending))
        db = sqlite3.connect(os.path.join(scratch, "db"))
        tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1")]
        rows = {table: sorted(db.execute(f"SELECT * FROM {table}"), key=str) for table in tables}
        db.close()
        return rows


def check_with_binary(state, looker, point, scratch):
    """What the binary makes of a state."""
    work = os.path.join(scratch, "work")  # where it was recorded: paths are on record too
    shutil.rmtree(work, ignore_errors=True)
    state.write_to(work)
    boot = os.path.join(scratch, "boot_id")
    Path(boot).write_text("00000000-0000-4000-8000-000000000000\n")
    env = environment(scratch, LD_PRELOAD=SHIM, TORTURE_ROOT="/nowhere", TORTURE_BOOT_ID=boot,
                      TORTURE_STATE=os.path.join(scratch, "page"))
    problems = []

    def mlops(*words, codes=(0,)):
        try:
            done = subprocess.run([MLOPS, *words], cwd=work, env=env, capture_output=True, text=True, timeout=30)
        except subprocess.TimeoutExpired:
            problems.append(f"binary: '{' '.join(words)}' hangs")
            return ""
        if done.returncode not in codes:
            problems.append(f"binary: '{' '.join(words)}' ends with {done.returncode}: "
                            f"{(done.stdout + done.stderr).strip()[-600:]}")
        return done.stdout

    def facts():
        db, log = Path(work, ".mlops/mlops.db"), Path(work, ".mlops/mlops.db-wal")
        found = look_at(db.read_bytes(), log.read_bytes() if log.exists() else b"", scratch)
        problems.extend(f"after the binary: {problem}" for problem in found.problems)
        return found.facts

    database = os.path.join(work, ".mlops/mlops.db")
    must = looker.answers.at(point)
    if must or os.path.exists(database) and os.path.getsize(database) > 100_000:
        mlops("status", codes=(0,) if must else (0, 2, 74))
        if not problems and os.path.exists(database):
            before = everything_in(database)
            running = [row[0] for row in before.get("runs", []) if "running" in row]
            if running:
                problems.append(f"binary: {running} are running after recovery")
            mlops("status", codes=(0,) if must else (0, 2, 74))
            after = everything_in(database)
            problems.extend(f"recovery again changes {table}" for table in before if before[table] != after[table])
            if before.get("runs"):
                mlops("store", "verify")
                for run in sorted(row[0] for row in before["runs"] if "interrupted" in row):
                    # Or it says that nobody knows any more how it was asked for.
                    said = len(problems)
                    mlops("run", "--resume", run, "--quiet", codes=(0, 1))
                    if len(problems) > said and "start a new run" in problems[-1]:
                        problems.pop()
    if state.find("shop.yaml"):
        for seed in (3, 1):  # results that gc may have taken away, and such that it may not
            mlops("run", "shop.yaml", "--quiet", "--set", f"seed={seed}")
            for name, text in made_of(seed).items():
                path = Path(work, name)
                if not path.exists() or path.read_text() != text:
                    problems.append(f"a run that succeeded leaves a wrong {name}")
        mlops("store", "verify")
        # Runs that were interrupted and are resumed have another end.
        problems += [f"after the binary: {problem}" for problem in looker.check_facts(facts(), point)]
    shutil.rmtree(work)
    return problems


# --- All of them --------------------------------------------------------------------------------------------------------


def drawn(tape, seed, number):
    """(point, model, chance) of a state: anywhere, or shortly after something was answered, synced or renamed."""
    chance = random.Random(seed * 10_000_019 + number)
    point = chance.randint(tape.first, len(tape.ops))
    if chance.random() < 0.5:
        point = min(len(tape.ops), chance.choice(tape.turns) + chance.choice((0, 1, 1, 1, 2, 3, chance.randint(0, 30))))
    model = "strict" if chance.random() < 0.4 else "ordered"
    return point, MODEL or model, chance


def search(directory, seed, numbers, with_binary, enough=10):
    """[(number, point, model, problems)] of the states that are not right."""
    tape = tapes.Tape(os.path.join(directory, "tape"))
    tape.first = next(at for at, op in enumerate(tape.ops) if op[0] == "mark")
    tape.turns = [at for at, op in enumerate(tape.ops[tape.first:], tape.first)
                  if op[0] in ("said", "flushed", "sync", "sync all", "move", "gone", "mark")]
    looker = Looker(Answers(tape, directory), directory)
    disk = tapes.Disk(tape)
    todo = sorted(((drawn(tape, seed, n), n) for n in numbers), key=lambda one: (one[0][0], one[1]))
    failures, looked = [], 0
    for (point, model, chance), number in todo:
        disk.go_to(point)
        state = tapes.State(disk, chance, model)
        problems = looker.check(state, point)
        if not problems and with_binary(number):
            looked += 1
            problems = check_with_binary(state, looker, point, directory)
        if problems:
            failures.append((number, point, model, problems))
            if len(failures) >= enough:
                break
    return failures, looked, tape


def self_test():
    for weaken in ("", "fsync_file", "fsync_dir", "sqlite", "wal"):
        directory = tempfile.mkdtemp(prefix="power-", dir=MEMORY)
        try:
            record(directory, SHORT, weaken)
            failures, _, _ = search(directory, SEED, range(600), lambda number: False, 10_000)
        finally:
            shutil.rmtree(directory)
        print(f"self-test: {weaken or 'all syncs'}: {len(failures)} of 600 states are bad"
              + (f", as {failures[0][3][0]}" if failures else ""), flush=True)
        if bool(failures) != bool(weaken):
            sys.exit(f"FAILED: {weaken or 'nothing'} was left out, and {len(failures)} of 600 states are bad, seed {SEED}")


def bad_syncs():
    """One sync fails, and the power goes later: what was answered as done in between is there all the same.

    Not so for SQLite's own syncs: the kernel takes pages for clean that it could not write, and SQLite goes on with them.
    """
    global MODEL
    MODEL = "ordered"  # a directory whose one sync failed is synced by what comes later
    chance, rounds, bad, met = random.Random(SEED), int(os.environ.get("ROUNDS", "40")), 0, 0
    for i in range(rounds):
        fault = f"{os.environ.get('CALL', 'fsync')}:EIO:{chance.randint(1, 40)}"
        directory = tempfile.mkdtemp(prefix="power-", dir=MEMORY)
        record(directory, SHORT, fault=fault)
        failures, _, tape = search(directory, SEED, range(150), lambda number: False, 3)
        met += any(op[0] == "lost" for op in tape.ops)
        for number, point, model, problems in failures:
            print(f"FAILED: TAPE={directory} SEED={SEED} STATE={number}, {fault}: after {point} operations, {model}")
            for problem in problems:
                print(f"    {problem}")
        bad += bool(failures)
        if not failures:
            shutil.rmtree(directory)
    print(f"bad syncs: {rounds} workloads, {met} with a sync that failed, 150 states each, seed {SEED}, {bad} with losses")
    sys.exit(1 if bad else 0)


def main():
    began = time.monotonic()
    directory = os.environ.get("TAPE") or tempfile.mkdtemp(prefix="power-", dir=MEMORY)
    if "TAPE" not in os.environ:
        record(directory, WORKLOAD)
    recorded = time.monotonic() - began
    numbers = [int(ONLY)] if ONLY else range(STATES)
    failures, looked, tape = search(directory, SEED, numbers, lambda number: ONLY or number % EACH == 0)
    for number, point, model, problems in failures:
        print(f"FAILED: TAPE={directory} SEED={SEED} STATE={number}: after {point} of {len(tape.ops)} operations, {model}")
        for problem in problems:
            print(f"    {problem}")
    print(f"power loss: {len(numbers)} states of {len(tape.ops)} operations, {looked} with the binary, seed {SEED}, "
          f"{len(failures)} failed, {recorded:.0f} s to record, {time.monotonic() - began - recorded:.0f} s to look")
    if failures:
        sys.exit(1)
    if "TAPE" not in os.environ:
        shutil.rmtree(directory)


if __name__ == "__main__":
    if "--bad-syncs" in sys.argv:
        bad_syncs()
    self_test() if "--self-test" in sys.argv or "SELF_TEST" in os.environ else main()
