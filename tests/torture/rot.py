#!/usr/bin/env python3
"""Contents of the store that rot: one bit is turned in each of BLOBS contents (1,000), half of them files of their own, half in packs.

Of a copy `store verify` must find each of them. Then the outputs are deleted, and the pipeline is run again: no content that has
rotted may come back, each step that made one must run again, and what it makes must be what it was. It would fail if one were put
back, or counted as cached.
"""
import json
import os
import shutil
import sqlite3
from pathlib import Path

from harness import Suite, number

suite = Suite("rot", ("BLOBS",))
BLOBS = max(number("BLOBS", 1000), 40)
IN_FOLDER = 20
STORE = Path(".mlops/store")
PIPELINE = f"""name: rot
steps:
  file:
    foreach: {list(range(BLOBS // 2))}
    run: "mkdir -p o; yes file $item | head -c 3000 > o/$item"
    env: {{item: "${{item}}"}}
    inputs: [seed]
    outputs: ["o/${{item}}"]
  folder:
    foreach: {list(range(BLOBS // 2 // IN_FOLDER))}
    run: "mkdir -p d/$item; for i in $(seq {IN_FOLDER}); do echo $item $i $(seq 30) > d/$item/$i; done"
    env: {{item: "${{item}}"}}
    inputs: [seed]
    outputs: ["d/${{item}}"]
"""


def contents():
    return {str(path): path.read_bytes() for folder in ("o", "d") for path in Path(folder).rglob("*") if path.is_file()}


def turn_a_bit(path, first, size):
    os.chmod(path, 0o644)
    with open(path, "r+b") as file:
        at = first + suite.chance.randrange(size)
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1 << suite.chance.randrange(8)]))


def rot():
    """Of every object; returns how many are files of their own, and how many are in packs."""
    alone = [path for path in (STORE / "objects").rglob("*") if path.is_file()]
    for path in alone:
        turn_a_bit(path, 0, path.stat().st_size)
    with sqlite3.connect(STORE / "index.db") as index:
        packed = index.execute("SELECT name, offset, size FROM packed JOIN packs ON packs.id = pack WHERE size > 0").fetchall()
    for name, offset, size in packed:
        turn_a_bit(STORE / "packs" / f"{name}.pack", offset, size)
    return len(alone), len(packed)


Path("p.yaml").write_text(PIPELINE)
Path("seed").write_text("1")
suite.ok("run", "p.yaml", "--quiet")
was = contents()
steps = BLOBS // 2 + BLOBS // 2 // IN_FOLDER
for folder in ("o", "d"):
    shutil.rmtree(folder)
alone, packed = rot()
suite.expect(alone + packed >= len(was) and packed >= BLOBS // 4, f"{alone} objects alone and {packed} in packs, of {len(was)} files")

shutil.copytree(".", "../" + Path.cwd().name + ".copy", symlinks=True)
copy = Path("../" + Path.cwd().name + ".copy").resolve()
try:
    verified = suite.run("store", "verify", "--json", cwd=copy, timeout=300)
    suite.expect(verified.returncode == 3, f"store verify: exit code {verified.returncode}: {verified.stdout[-300:]}{verified.stderr[-300:]}")
    found = json.loads(verified.stdout)
    suite.expect(len(found["damaged"]) == alone + packed, f"store verify finds {len(found['damaged'])} of {alone + packed}")
finally:
    shutil.rmtree(copy)

suite.ok("run", "p.yaml", "--quiet", timeout=300)
rows = suite.rows("SELECT state, count(*) AS n FROM v_steps WHERE run_id = (SELECT max(id) FROM runs) GROUP BY state")
states = {row["state"]: row["n"] for row in rows}
suite.expect(states == {"succeeded": steps}, f"steps of the second run: {states}, of {steps}")
suite.expect(contents() == was, "what was made again is not what it was")
suite.expect(json.loads(suite.ok("store", "verify", "--json", timeout=300))["damaged"] == [], "something is damaged still")
suite.passed(cases=alone + packed, alone=alone, packed=packed, steps=steps)
