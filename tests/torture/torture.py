#!/usr/bin/env python3
"""Runs the suites that put a build under fire, and prints a table of them.

Usage: torture.py BUILD [--quick|--night] [--seed N] [--write PAGE] [SUITE...]

--quick (default): a slice of each, minutes in all, by a fixed seed; the tests do the same. --night: full sizes, hours.
--write puts the rows of the suites that were run into the table of PAGE. A variable that a suite takes its size from goes
before its size here: `KILLS=5 torture.py BUILD crash`. Exit codes: 0 all held, 1 something did not, 77 all that was asked
for cannot be run here.
"""
import argparse
import datetime
import os
import re
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SCENARIOS = HERE.parent / "scenarios"
CASES = r'"cases": (\d+)'  # in what a suite prints
BEGIN, END = "<!-- figures: scripts/torture --night -->", "<!-- end of figures -->"


class Suite:
    """One row. `words` are its command; sizes are (quick, night) by variable, or {} for those that have one size. `cases` finds
    their number in what the suite prints, or names the variable that is it."""

    def __init__(self, what, words, sizes=None, cases=CASES, needs=(), night_only=False):
        self.what, self.words, self.sizes, self.cases = what, words, sizes or {}, cases
        self.needs, self.night_only = needs, night_only


def script(name, *more):
    return [sys.executable, str(HERE / f"{name}.py"), "BUILD/mlops", *more]


SHIM = "BUILD/tests/libtorture_shim.so"
SUITES = {
    "crash": Suite("kill -9 at random moments of runs and of the daemon", script("crash"), {"KILLS": (25, 500)}),
    "crash_modes": Suite("kill -9 of runner, keeper, both, a step; a stopped keeper", script("crash"),
                         {"MODES": ("runner,keeper,both,step,stop",) * 2, "KILLS": (5, 300)}, night_only=True),
    "failpoints": Suite("death at every named place, and again while that is recovered", script("failpoints"),
                        {"CASES": (12, 0)}, needs=("failpoints",), night_only=True),
    "pid_reuse": Suite("process numbers that pass to others", script("pid_reuse"), {"REUSES": (100, 1000)}),
    "power_loss": Suite("power cuts", script("power_loss", SHIM), {"STATES": (5000, 100_000)}, r"(\d+) states", (SHIM,)),
    "power_loss_self_test": Suite("syncs that are left out are found", script("power_loss", SHIM, "--self-test"), {},
                                  r"of (\d+) states are bad", (SHIM,)),
    "bad_syncs": Suite("one sync fails, then the power does", script("power_loss", SHIM, "--bad-syncs"), {"ROUNDS": (3, 200)},
                       r"bad syncs: (\d+) workloads", (SHIM,), night_only=True),
    "faults": Suite("the N-th system call or allocation fails", script("faults", SHIM), {"CASES": (80, 0), "ALLOCATIONS": (0, 4000)}, r"faults: (\d+) of", (SHIM,)),
    "damage": Suite("bits, pages and files of the database and the store that are damaged", script("damage"), {"CASES": (60, 10_000)}),
    "strays": Suite("files of the database that are deleted, copied, moved, put back", script("strays"), {"COMMANDS": (150, 10_000)}),
    "rot": Suite("one bit of each content of the store that rots", script("rot"), {"BLOBS": (100, 1000)}),
    "crowd": Suite("runs at once in one workspace", script("crowd"), {"ROUNDS": (1, 10), "SERVED": (40, 1000)}),
    "bad_steps": Suite("steps that do not behave, floods of output", script("bad_steps"),
                       {"FLOOD": (300_000_000, 5_000_000_000), "LINE": (50_000_000, 1_000_000_000)}),
    "injection": Suite("values that try to become code", script("injection"), {"STRINGS": (500, 10_000)}),
    "canaries": Suite("secrets that must be found nowhere", script("canaries"), {"ROUNDS": (1, 10)}),
    "modes": Suite("modes and owners, hostile workspaces, names and remotes", script("modes"), {"NAMES": (3, 500), "PARTS": (10, 0)}),
    "racers": Suite("slots that schedulers race for, with kill -9", ["bash", str(SCENARIOS / "schedule.sh")],
                    {"SLOTS": (30, 2000), "RACERS": (8, 20)}, "SLOTS", night_only=True),
    "soak": Suite("a daemon at 10 runs a second", [sys.executable, str(HERE.parent / "soak/rate.py"), "BUILD/mlops"],
                  {"RATE": (10, 10), "SECONDS": (20, 3600)}, night_only=True),
    "simulation": Suite("runs and schedules on a virtual clock", ["BUILD/simulate", "--jobs", "2", "--seeds", "$SEEDS", "--from", "$FROM"],
                        {"SEEDS": (20_000, 1_000_000)}, r"^(?:runs): (\d+) seeds"),
}


def find_build(build, name):
    """Failpoints are compiled into other builds than a release."""
    if name != "failpoints":
        return build
    for preset in ("dev", "asan", "tsan"):
        other = build.parent / preset
        if (other / "mlops").exists():
            return other
    return None


def run(name, build, night, seed):
    suite = SUITES[name]
    place = find_build(build, name)
    variables = {key: str(os.environ.get(key) or sizes[night]) for key, sizes in suite.sizes.items()}
    words = [word.replace("BUILD", str(place)).replace("$SEEDS", variables.get("SEEDS", "")).replace("$FROM", str(seed)) for word in suite.words]
    missing = [n for n in suite.needs if n != "failpoints" and not Path(n.replace("BUILD", str(place))).exists()]
    began = time.monotonic()
    if place is None or missing:
        print(f"SKIPPED {name}: there is no {', '.join(missing) or 'build with failpoints beside ' + str(build)}")
        return {"suite": name, "what": suite.what, "skipped": True}
    environment = {**os.environ, **variables, "SEED": str(seed), "MLOPS": str(place / "mlops"), "SOURCE_DIR": str(HERE.parents[1])}
    print(f"--- {name}: {' '.join(f'{k}={v}' for k, v in variables.items())}", flush=True)
    child = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    lines = []
    for line in child.stdout:
        lines.append(line)
        print(line, end="", flush=True)
    code = child.wait()
    text = "".join(lines)
    failed = len(re.findall(r"^FAILED", text, re.M))
    if code not in (0, 77) and not failed:
        failed = 1
    return {"suite": name, "what": suite.what, "skipped": code == 77, "failed": failed,
            "cases": int(variables[suite.cases]) if suite.cases in variables else sum(map(int, re.findall(suite.cases, text, re.M))),
            "seed": seed,
            "seconds": round(time.monotonic() - began)}


def cells(row):
    minutes, seconds = divmod(row["seconds"], 60)
    spent = f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    return [f"`{row['suite']}`", row["what"], f"{row['cases']:,}" if row["cases"] else "", str(row["failed"]), str(row["seed"]), spent,
            datetime.date.today().isoformat()]


HEADS = ["suite", "what", "cases", "failed", "seed", "time", "run on"]


def table(rows):
    return "\n".join("| " + " | ".join(row) + " |" for row in [HEADS, ["---"] * len(HEADS), *rows]) + "\n"


def write(page, rows):
    """Rows of suites that were not run stay as they are."""
    text = page.read_text()
    before, _, rest = text.partition(BEGIN + "\n")
    old, _, after = rest.partition(END)
    known = {}
    for line in old.splitlines()[2:]:
        row = [cell.strip() for cell in line.strip("|").split("|")]
        known[row[0].strip("`")] = row
    for row in rows:
        if not row["skipped"]:
            known[row["suite"]] = cells(row)
    page.write_text(before + BEGIN + "\n" + table([known[name] for name in SUITES if name in known]) + END + after)


def main():
    parser = argparse.ArgumentParser(usage=__doc__, add_help=False)
    parser.add_argument("build", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--night", action="store_true")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--write", type=Path)
    parser.add_argument("suites", nargs="*")
    wish = parser.parse_intermixed_args()
    unknown = [name for name in wish.suites if name not in SUITES]
    if unknown:
        sys.exit(f"there is no suite {', '.join(unknown)}: {', '.join(SUITES)}")
    names = wish.suites or [name for name, suite in SUITES.items() if wish.night or not suite.night_only]
    seed = wish.seed or int(os.environ.get("SEED") or 0) or (int(time.time()) % 1_000_000 if wish.night else 7)
    rows = [run(name, wish.build.resolve(), wish.night, seed) for name in names]
    done = [row for row in rows if not row["skipped"]]
    if len(rows) > 1:
        widths = [max(len(line[i]) for line in [HEADS, *map(cells, done)]) for i in range(len(HEADS))]
        for line in [HEADS, *map(cells, done)]:
            print("  ".join(cell.strip("`").ljust(width) for cell, width in zip(line, widths)).rstrip())
        for row in rows:
            if row["skipped"]:
                print(f"{row['suite']}  skipped")
    if wish.write:
        write(wish.write, rows)
    sys.exit(1 if any(row["failed"] for row in done) else 0 if done else 77)


main()
