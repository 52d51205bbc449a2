#!/usr/bin/env python3
"""Damage: bits that turn, files that are cut off, pages of zeroes, in the database, its log, and the store.

Usage: damage.py MLOPS        CASES: how many (default 60; a night takes 10,000), CASE: one by its number

Each case damages a copy of one small workspace, looks at it with a handful of commands, and runs a pipeline. No command
crashes, or takes more than five seconds. One that ends well and names no damage says what is true, as the workspace that was
not damaged shows it; where it does not, the value is one that SQLite cannot know to be wrong (its pages have no checksums), and
`mlops fsck` has to find it. Then the workspace is mended, by --repair or --rebuild, and all that has a directory is as it was:
rows, artifacts, results that are taken again; and fsck finds nothing any more.
"""
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

from harness import Suite, number

HANG = 5.0
CASES, ONE = number("CASES", 60), os.environ.get("CASE")
KNOWN = {0, 1, 2, 3, 5, 69, 74, 75, 124}
suite = Suite("damage", ("CASES", "CASE"))
codes, kinds, seen = Counter(), Counter(), Counter()

PIPELINE = """
name: shop
params: {rate: 0.1, name: "%s"}
steps:
  load: {run: "cat rows.csv > raw.csv; echo rows=4 >> $MLOPS_OUTPUT", inputs: [rows.csv], outputs: [raw.csv]}
  train:
    run: "(cat raw.csv; echo ${params.name}) > model.bin; echo '{\\"loss\\": 0.25, \\"acc\\": 0.75}' > m.json; mkdir -p parts; for i in 1 2 3; do echo $i > parts/$i; done"
    inputs: [raw.csv]
    outputs: [{path: model.bin, kind: model}, parts]
    metrics: [m.json]
  large: {run: "head -c 30000 /dev/zero | tr '\\\\0' x > large.bin", cache: true, outputs: [large.bin]}
"""
FAILING = 'name: bad\nsteps:\n  a: {run: "exit 3"}\n  b: {run: "true", needs: a}\n'
LOOKS = (["runs", "--json"], ["show", "FIRST", "--json"], ["show", "BAD", "--json"], ["why", "train", "--json"],
         ["sql", "--json", "select id, pipeline, state, exit_code from runs order by id"],
         ["sql", "--json", "select run_id, step, path, sha256 from v_artifacts order by run_id, step, path"],
         ["store", "stat", "--json"], ["status", "--json"])
TRUTHS = (
    "select id, pipeline, file, definition, state, reason, exit_code, created_at, ended_at, duration_ms, steps, jobs, resumes, git_commit from runs order by id",
    "select run_id, step, name, kind, command, state, reason, attempts, started_at, ended_at, cache_key, because, source_run, source_step from steps order by 1, 2",
    "select run_id, step, attempt, cause, exit_code, signal, started_at, ended_at, log_bytes, note from attempts order by 1, 2, 3",
    "select run_id, step, direction, path, form, sha256, size, files from artifacts order by 1, 2, 3, 4",
    "select run_id, step, name, at, seq, value from metrics order by 1, 2, 3, 4, 5",
    "select run_id, step, name, value, points from metric_latest order by 1, 2, 3",
    "select run_id, step, name, value from step_outputs order by 1, 2, 3",
    "select run_id, name, value from run_params order by 1, 2",
    "select sha256, source from definitions where sha256 in (select definition from runs) order by 1",
)


def command(*arguments, cwd):
    try:
        done = subprocess.run([suite.mlops, *arguments], cwd=cwd, capture_output=True, text=True, errors="replace",
                              stdin=subprocess.DEVNULL, timeout=4 * HANG)
    except subprocess.TimeoutExpired:
        raise Wrong(f"mlops {' '.join(arguments)} hangs")
    codes[done.returncode] += 1
    said = done.stderr[-600:]
    if done.returncode not in KNOWN or "unexpected:" in done.stderr:
        raise Wrong(f"mlops {' '.join(arguments)} ends with {done.returncode}: {said}")
    if done.returncode and not done.stderr.strip() and arguments[0] != "fsck":
        raise Wrong(f"mlops {' '.join(arguments)} ends with {done.returncode} and says nothing")
    return done


class Wrong(Exception):
    pass


def ok(*arguments, cwd):
    done = command(*arguments, cwd=cwd)
    if done.returncode:
        raise Wrong(f"mlops {' '.join(arguments)} ends with {done.returncode}: {done.stdout[-1500:]}{done.stderr[-600:]}")
    return done.stdout


def truth(work):
    """Read with SQLite itself, whatever mlops says."""
    db = sqlite3.connect(f"file:{work}/.mlops/mlops.db", uri=True)
    try:
        return [db.execute(query).fetchall() for query in TRUTHS]
    finally:
        db.close()


def prepare(work, copy):
    os.makedirs(work)
    Path(work, "rows.csv").write_text("a,b\n1,2\n3,4\n")
    for name in ("one", "two"):
        Path(work, "shop.yaml").write_text(PIPELINE % name)
        ok("run", "shop.yaml", "--quiet", cwd=work)
    ok("run", "shop.yaml", "--quiet", cwd=work)  # all of it is cached
    Path(work, "bad.yaml").write_text(FAILING)
    # Somebody reads meanwhile, so that the last run stays in the log; whoever leaves last would take it into the database.
    reader = sqlite3.connect(f"{work}/.mlops/mlops.db")
    reader.execute("begin")
    reader.execute("select count(*) from runs").fetchone()
    command("run", "bad.yaml", "--quiet", cwd=work)
    ok("fsck", cwd=work)
    subprocess.run(["cp", "-a", work, copy], check=True)
    Path(copy, ".mlops/mlops.db-shm").unlink()
    reader.close()
    first, *_, bad = ok("runs", "--ids", cwd=work).split()[::-1]
    return {"FIRST": first, "BAD": bad}


def look(work, names):
    """(command, exit code, what it printed as JSON, its words) of each."""
    answers = []
    for arguments in LOOKS:
        done = command(*[names.get(a, a) for a in arguments], cwd=work)
        answers.append((" ".join(arguments), done.returncode, done.stdout, done.stderr))
    return answers


def steady(text):
    """Without what depends on when one looks."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return json.dumps(value, sort_keys=True)


# --- Damage -------------------------------------------------------------------------------------------------------------


def files_of(work, chance):
    state = Path(work, ".mlops")
    store = [p for p in state.glob("store/objects/*/*")] + [p for p in state.glob("store/packs/*")] + [state / "store/index.db"]
    which = chance.choice(("db", "db", "db", "wal", "store"))
    if which == "wal" and (state / "mlops.db-wal").exists() and (state / "mlops.db-wal").stat().st_size > 0:
        return "wal", state / "mlops.db-wal"
    if which == "store" and store:
        return "store", chance.choice(sorted(store))
    return "db", state / "mlops.db"


def damage(work, chance):
    kind, path = files_of(work, chance)
    data = bytearray(path.read_bytes())
    how = chance.choice(("bit", "bit", "bits", "page", "cut", "noise", "gone"))
    if how in ("bit", "bits"):
        for _ in range(1 if how == "bit" else chance.randint(2, 40)):
            at = chance.randrange(len(data))
            data[at] ^= 1 << chance.randrange(8)
    elif how == "page":
        at = chance.randrange(len(data)) // 4096 * 4096
        data[at:at + 4096] = bytes(len(data[at:at + 4096]))
    elif how == "noise":
        at = chance.randrange(len(data))
        part = data[at:at + chance.randint(1, 5000)]
        data[at:at + len(part)] = chance.randbytes(len(part))
    elif how == "cut":
        del data[chance.randrange(len(data)):]
    os.chmod(path, 0o600)
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(data)
    kinds[f"{kind} {how}"] += 1
    return f"{kind}: {how} in {path.relative_to(work)}"


# --- A case -------------------------------------------------------------------------------------------------------------


def is_as(work, template, name):
    path = Path(work, name)
    return path.is_file() and path.read_bytes() == Path(template, name).read_bytes()


def found_by_fsck(work):
    report = command("fsck", "--full", "--json", cwd=work)
    return report.returncode != 0


def mend(work):
    """By --repair, and where that says no, by --rebuild."""
    done = command("fsck", "--repair", cwd=work)
    if done.returncode:
        seen["rebuilt"] += 1
        done = command("fsck", "--rebuild", cwd=work)
    else:
        seen["repaired"] += 1
    if done.returncode:
        raise Wrong(f"after mending, fsck ends with {done.returncode}:\n{done.stdout[-2500:]}{done.stderr[-600:]}")


def case(index, template, names, answers, rows, work):
    chance = random.Random(f"{suite.seed}.{index}")
    shutil.rmtree(work, ignore_errors=True)
    subprocess.run(["cp", "-a", template, work], check=True)
    what = damage(work, chance)
    try:
        # Lies are told without a word: only those have to be found. What is said to be wrong is right.
        lies = [before[0] for before, now in zip(answers, look(work, names))
                if now[1] == 0 and not now[3].strip() and steady(now[2]) != steady(before[2])
                and not (before[0].startswith("store stat"))]
        if lies:
            seen["untrue"] += 1
            if not found_by_fsck(work):
                raise Wrong(f"fsck finds nothing, and untrue is what these say: {lies}")
        for name in ("model.bin", "raw.csv"):
            Path(work, name).unlink(missing_ok=True)
        ran = command("run", "shop.yaml", "--quiet", cwd=work)
        if ran.returncode == 0:
            for name in ("model.bin", "raw.csv", "large.bin", "parts/2"):
                if not is_as(work, template, name):
                    raise Wrong(f"a run succeeds, and {name} is wrong")
        mend(work)
        now = truth(work)
        old = {row[0] for row in rows[0]}
        for query, before, after in zip(TRUTHS, rows, now):
            after = [row for row in after if row[0] in old] if not query.startswith("select sha256") else [r for r in after if r in before]
            if after != before:
                missing, more = [r for r in before if r not in after], [r for r in after if r not in before]
                raise Wrong(f"after mending, '{query}' lacks {missing[:2]}, has {more[:2]}")
        for name in ("model.bin", "raw.csv", "large.bin"):
            Path(work, name).unlink(missing_ok=True)
        ok("run", "shop.yaml", "--quiet", cwd=work)
        for name in ("model.bin", "raw.csv", "large.bin", "parts/2"):
            if not is_as(work, template, name):
                raise Wrong(f"after mending, {name} is wrong")
        ok("fsck", cwd=work)
    except (Wrong, sqlite3.Error) as error:
        return f"{what}\n    {error}"
    return None


def main():
    template, work = os.path.join(suite.place, "template"), os.path.join(suite.place, "work")
    names = prepare(os.path.join(suite.place, "first"), template)
    subprocess.run(["cp", "-a", template, work], check=True)
    rows = truth(work)
    shutil.rmtree(work)
    subprocess.run(["cp", "-a", template, work], check=True)
    answers = look(work, names)
    failures = []
    for index in [int(ONE)] if ONE else range(CASES):
        if wrong := case(index, template, names, answers, rows, work):
            failures.append(index)
            print(f"FAILED: CASE={index} SEED={suite.seed}: {wrong}", flush=True)
            if len(failures) >= 10 or ONE:
                break
    if failures:
        suite.fail(f"{len(failures)} cases, such as CASE={failures[0]}")
    suite.passed(cases=CASES, damage=dict(sorted(kinds.items())), exit_codes=dict(sorted(codes.items())), **seen)


main()
