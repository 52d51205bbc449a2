#!/usr/bin/env python3
"""Many `mlops run` at once in one workspace, and many runs of one daemon and one worker.

Usage: crowd.py MLOPS      RUNS: how many at once (default 50); ROUNDS of that (default 1);
                           SERVED: runs that the daemon and the worker do, each (default 40); SEED

No run fails for a lock, none is lost, no output is mixed with another's, what several share is computed no more than
twice, rows of steps that have ended are there soon, and the daemon and the worker keep no descriptor and no zombie.
"""
import collections
import datetime
import os
import signal
import sqlite3
import threading
import time
from pathlib import Path

from harness import Suite, number, peak_kib, percentiles

COMMIT_SECONDS = 2.0
suite = Suite("crowd", ("RUNS", "ROUNDS", "SERVED"))


class Onlooker(threading.Thread):
    """Notes when the row of an attempt that has ended can be read for the first time."""

    def __init__(self):
        super().__init__(daemon=True)
        self.seen, self.stopped = {}, False

    def run(self):
        connection = sqlite3.connect("file:.mlops/mlops.db?mode=ro", uri=True, isolation_level=None)
        last = ""
        while not self.stopped:
            for run, step, ended in connection.execute(
                    "select run_id, step, ended_at from attempts where ended_at is not null and run_id > ?", (last,)):
                self.seen.setdefault((run, step), (time.time(), ended))
            time.sleep(0.02)
        connection.close()

    def delays(self):
        at = lambda text: datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.timezone.utc).timestamp()
        return [max(0.0, seen - at(ended)) for seen, ended in self.seen.values()]


def write_pipelines(count):
    """One that many run, and others that have a step with the same key."""
    shared = "run: 'echo shared $ROUND >> \"$WITNESS\"; sleep 0.05; cat in > shared.out', inputs: in, outputs: shared.out, env: {ROUND: \"${params.round}\"}"
    own = ("  own%d: {run: 'echo \"$MLOPS_RUN_ID %d\" | tee -a own.%d; for i in 1 2 3 4 5 6 7 8; do echo \"$MLOPS_RUN_ID $i\"; done; "
           "echo \"v=$MLOPS_RUN_ID\" >> \"$MLOPS_OUTPUT\"'}\n"
           "  told%d: {run: '[ \"$V\" = \"$MLOPS_RUN_ID\" ] && echo \"$V\"', env: {V: \"${steps.own%d.outputs.v}\"}}\n")
    for i in range(count):
        Path(f"p{i}.yaml").write_text(f"name: p{i}\nparams: {{round: 0}}\nsteps:\n  shared: {{{shared}}}\n" + own % (i, i, i, i, i)
                                      + f"  last: {{run: 'true', needs: [shared, told{i}]}}\n")


def crowd(runs, rounds):
    write_pipelines(runs // 2 + 1)
    Path("in").write_text("content\n")
    os.environ["WITNESS"] = os.path.realpath("witness")
    Path("witness").touch()
    suite.ok("run", "p0.yaml", "--quiet", "--set", "round=0")
    onlooker = Onlooker()
    onlooker.start()
    for numeral in range(1, rounds + 1):
        # Half of them run the same file.
        files = ["p0.yaml"] * (runs - runs // 2) + [f"p{i + 1}.yaml" for i in range(runs // 2)]
        suite.chance.shuffle(files)
        before = int(suite.rows("select count(*) as n from runs")[0]["n"])
        processes = [(suite.start("run", f, "--quiet", "--set", f"round={numeral}", output=f"out.{numeral}.{i}"), i)
                     for i, f in enumerate(files)]
        for process, i in processes:
            code = process.wait()
            text = Path(f"out.{numeral}.{i}").read_text(errors="replace")
            suite.expect(code == 0 and "locked" not in text, lambda: f"run {i} of {files[i]} ended with {code}: {text[-600:]}")
        after = suite.rows("select count(*) as n, sum(state = 'succeeded') as good from runs")[0]
        suite.expect(after["n"] == after["good"] == before + runs, f"{before} runs and {runs} more are {after}")
    time.sleep(0.1)
    onlooker.stopped = True
    onlooker.join()
    computed = collections.Counter(Path("witness").read_text().split("\n"))
    often = {k: n for k, n in computed.items() if k and n > 2}
    suite.expect(not often, f"computed more often than twice: {often}")
    for r in suite.rows("select a.run_id, a.step, a.exit_code, s.value from v_attempts a left join (select o.run_id, s.name, o.value "
                        "from step_outputs o join steps s using (run_id, step)) s on s.run_id = a.run_id and s.name = a.step "
                        "where a.step glob 'own*'"):
        run, step = r["run_id"], r["step"]
        log = Path(f".mlops/runs/{run}/logs/{step}.1.log").read_text()
        want = f"{run} {step[3:]}\n" + "".join(f"{run} {i}\n" for i in range(1, 9))
        suite.expect(log == want and r["value"] == run and r["exit_code"] == 0, f"the output of {step} of {run} is mixed: {log!r}, {r}")
    lines = collections.Counter(line for i in range(runs // 2 + 1) for line in Path(f"own.{i}").read_text().splitlines())
    suite.expect(len(lines) == 1 + runs * rounds and set(lines.values()) == {1}, "a step was lost, or run twice")
    delays = onlooker.delays()
    figures = percentiles(delays)
    suite.expect(len(delays) >= runs * rounds * 3, f"only {len(delays)} attempts were seen")
    suite.expect(figures["p99"] <= COMMIT_SECONDS, f"rows come late: {figures}")
    suite.expect(suite.rows("pragma integrity_check") == [{"integrity_check": "ok"}], "the database is not whole")
    return {"runs": runs * rounds, "commit_s": figures, "shared_computed": max(computed.values())}


def state_of(process):
    fds = len(os.listdir(f"/proc/{process.pid}/fd"))
    zombies = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
                zombies += fields[0] == "Z" and int(fields[1]) == process.pid
            except OSError:
                pass
    return fds, zombies


def served(command, count):
    """So many requests to a process that serves them: what it holds after a few is what it holds after all."""
    Path("tiny.yaml").write_text("name: tiny\nsteps: {a: {run: 'true'}}\n")

    def idle():
        return not suite.rows("select 1 from requests where state in ('waiting', 'claimed') union all select 1 from runs where state = 'running'")

    process = suite.start(*command, output=f"{command[0]}.log")
    fds, rss = [], []
    for part in (count // 6, count - count // 6):
        for _ in range(part):
            suite.ok("submit", "tiny.yaml")
        suite.wait(f"{command[0]} has done all", idle, 60 + count)
        # The ends of the last are still being taken note of.
        suite.wait(f"{command[0]} waits for its children", lambda: state_of(process)[1] == 0, 10)
        time.sleep(0.5)
        fds.append(state_of(process)[0])
        rss.append(peak_kib(process.pid))
    suite.expect(fds[1] <= fds[0], f"{command[0]} has {fds[1]} descriptors after {count} runs, and had {fds[0]}")
    suite.expect(rss[1] <= rss[0] + 2048, f"{command[0]} has grown from {rss[0]} to {rss[1]} KiB")
    process.send_signal(signal.SIGTERM)
    suite.expect(process.wait() == 0, lambda: f"{command[0]} ended with {process.returncode}")
    bad = suite.rows("select id, state from runs where pipeline = 'tiny' and state <> 'succeeded'")
    suite.expect(not bad, f"runs that did not succeed: {bad[:3]}")
    suite.nobody_left(command[0])
    return {"runs": count, "fds": fds, "peak_kib": rss}


def main():
    figures = {"at_once": crowd(number("RUNS", 50), number("ROUNDS", 1))}
    for command in (("daemon", "--runs", "8"), ("worker", "--runs", "8")):
        figures[command[0]] = served(command, number("SERVED", 40))
    suite.passed(cases=figures["at_once"]["runs"] + 2 * number("SERVED", 40), **figures)


main()
