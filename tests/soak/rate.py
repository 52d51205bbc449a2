#!/usr/bin/env python3
"""A daemon that starts RATE runs a second for SECONDS, and what becomes of it meanwhile.

Usage: rate.py MLOPS     (RATE: default 10; SECONDS: default 3600)

RATE pipelines have a slot each second, which wait for nobody. Each twentieth of the time its memory, descriptors and
processor time are noted, with the size of the database, the runs' directories and how late runs begin. What would make
it fail: a slot without a run, a run that did not succeed, memory of its own or descriptors that still grow after a
quarter of the time, runs that cost or wait more at the end than they did then, children that are left.
"""
import json
import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "torture"))
from harness import Suite, number, percentiles  # noqa: E402

suite = Suite("soak", ("RATE", "SECONDS"))
RATE, SECONDS = number("RATE", 10), number("SECONDS", 3600)
PARTS = 20
TICK = os.sysconf("SC_CLK_TCK")


def size(path):
    return sum(f.stat().st_size for f in Path(path).glob("mlops.db*"))


def sample(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    value = lambda name: int(next(line.split()[1] for line in status.splitlines() if line.startswith(name + ":")))
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    # Of its own and of the children it has waited for: user and system time.
    return {"rss_kib": value("VmRSS"), "own_kib": value("RssAnon"), "fds": len(os.listdir(f"/proc/{pid}/fd")),
            "own_cpu_s": sum(map(int, stat[11:13])) / TICK, "cpu_s": sum(map(int, stat[11:15])) / TICK, "database_kib": size(".mlops") // 1024,
            "runs": suite.rows("select count(*) as n from runs where state = 'succeeded'")[0]["n"]}


def main():
    for i in range(RATE):
        Path(f"p{i}.yaml").write_text(f"name: p{i}\nschedule: {{every: 1s, overlap: allow, catchup: all}}\nsteps: {{a: {{run: 'echo {i} > out{i}', outputs: [out{i}]}}}}\n")
    daemon = suite.start("daemon", "--runs", "64", *(f"p{i}.yaml" for i in range(RATE)))
    suite.wait("the daemon serves", lambda: " serving " in Path("out").read_text())
    began = time.monotonic()
    samples = [sample(daemon.pid)]
    for part in range(1, PARTS + 1):
        time.sleep(max(0, began + SECONDS * part / PARTS - time.monotonic()))
        suite.expect(daemon.poll() is None, lambda: f"the daemon ended with {daemon.returncode}: " + Path("out").read_text()[-500:])
        samples.append({"at_s": round(time.monotonic() - began), **sample(daemon.pid)})
        print(json.dumps(samples[-1]), flush=True)
    daemon.send_signal(signal.SIGTERM)
    suite.wait("the daemon ends", lambda: daemon.poll() is not None, 60)
    suite.expect(daemon.returncode == 0, f"the daemon ended with {daemon.returncode}: " + Path("out").read_text()[-500:])
    suite.nobody_left("the daemon")

    outcomes = {r["outcome"]: r["n"] for r in suite.rows("select outcome, count(*) as n from slots group by outcome")}
    states = {r["state"]: r["n"] for r in suite.rows("select state, count(*) as n from runs group by state")}
    suite.expect(not json.loads(suite.ok("schedule", "audit", "--last", "all", "--limit", "0", "--json"))["without_outcome"], "a slot has no outcome")
    suite.expect(set(outcomes) <= {"ran", "missed"} and outcomes["ran"] >= RATE * (SECONDS - 2), lambda: f"slots: {outcomes}")
    # What was going on when the daemon was told to end may have been interrupted.
    suite.expect(states.get("succeeded", 0) >= outcomes["ran"] - RATE and set(states) <= {"succeeded", "cancelled", "interrupted"}, lambda: f"runs: {states}")
    late = [r["late_ms"] for r in suite.rows("select late_ms from slots where outcome = 'ran' order by slot_at")]
    quarter = samples[PARTS // 4]
    last = samples[-1]

    def per_run(name, since, until):
        return (until[name] - since[name]) / max(1, until["runs"] - since["runs"])

    parts = ((samples[0], quarter), (samples[-1 - PARTS // 4], last))
    own_cpu, cpu = ([round(per_run(name, *part) * 1000, 2) for part in parts] for name in ("own_cpu_s", "cpu_s"))
    figures = {"cases": states["succeeded"], "rate": RATE, "outcomes": outcomes, "own_kib": [s["own_kib"] for s in (samples[0], quarter, last)],
               "rss_kib": [s["rss_kib"] for s in (samples[0], quarter, last)], "fds": [s["fds"] for s in (samples[0], quarter, last)],
               "cpu_ms_a_run": cpu, "of_these_the_daemon": own_cpu, "database_bytes_a_run": round(per_run("database_kib", quarter, last) * 1024),
               "late_ms_first": percentiles(late[:len(late) // 4], 0), "late_ms_last": percentiles(late[-len(late) // 4:], 0)}
    suite.expect(last["own_kib"] - quarter["own_kib"] <= 1024, "its memory has grown")
    suite.expect(last["fds"] - quarter["fds"] <= RATE, "its descriptors have grown")
    early, late_ones = (figures[name]["p50"] for name in ("late_ms_first", "late_ms_last"))
    suite.expect(late_ones <= 2 * early + 200, lambda: f"runs begin later and later: {early} and {late_ones} ms")
    suite.expect(cpu[1] <= 2 * cpu[0] + 2, lambda: f"a run costs more and more: {cpu} ms")
    suite.expect(own_cpu[1] <= 2 * own_cpu[0] + 1, lambda: f"the daemon does more and more for a run: {own_cpu} ms")
    suite.passed(**figures)


main()
