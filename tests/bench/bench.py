#!/usr/bin/env python3
"""Measures mlops beside ninja in one run and prints ratios.

Usage: bench.py MLOPS [--quick] [--json FILE] [NAME...]
Names: start validate steps flat memory log runs noop tree lineage trace remotes
       large million gc schedule (the last ones take minutes)
Each time is the median of several repetitions, mlops and its peer taking turns.
"""
import hashlib
import json
import os
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPEAT = 7


def timed(command, cwd, repeat=1):
    start = time.perf_counter()
    for _ in range(repeat):
        subprocess.run(command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - start) / repeat


def take_turns(ours, theirs, rounds):
    """Median times of two callables that alternate."""
    a, b = [], []
    for _ in range(rounds):
        a.append(ours())
        b.append(theirs())
    return statistics.median(a), statistics.median(b)


def write_pipeline(path: Path, steps: int, chain: bool):
    lines = ["name: bench", "steps:"]
    for i in range(steps):
        lines.append(f"  s{i}:\n    run: 'true'")
        if chain and i:
            lines.append(f"    needs: s{i - 1}")
    path.write_text("\n".join(lines) + "\n")


def write_ninja(path: Path, steps: int, chain: bool):
    lines = ["rule t\n  command = true"]
    for i in range(steps):
        lines.append(f"build o{i}: t" + (f" o{i - 1}" if chain and i else ""))
    path.write_text("\n".join(lines) + "\n")


class Bench:
    def __init__(self, mlops: str, quick: bool):
        self.mlops, self.quick = mlops, quick
        self.dir = Path(tempfile.mkdtemp(prefix="mlops-bench-"))
        self.rows = []
        self.started = []  # to be ended, whatever happens

    def row(self, what, ours, peer, ratio, bar, good):
        self.rows.append({"what": what, "mlops": ours, "peer": peer, "ratio": ratio, "bar": bar, "ok": good})
        print(f"{what:<46} {ours:>12} {peer:>12} {ratio:>8}  {bar:<14} {'ok' if good else 'MISSED'}", flush=True)

    def run_mlops(self, file):
        shutil.rmtree(self.dir / ".mlops", ignore_errors=True)
        (self.dir / ".mlops").mkdir()
        return timed([self.mlops, "run", file, "--jobs", "2", "--quiet"], self.dir)

    def run_ninja(self, file):
        for leftover in self.dir.glob(".ninja_*"):
            leftover.unlink()
        return timed(["ninja", "-j2", "-f", file], self.dir)

    def start(self):
        ours, ninja = take_turns(lambda: timed([self.mlops, "version"], self.dir, 40),
                                 lambda: timed(["ninja", "--version"], self.dir, 40), REPEAT)
        self.row("start: mlops version / ninja --version", f"{ours * 1e3:.2f} ms", f"{ninja * 1e3:.2f} ms",
                 f"{ours / ninja:.2f}", "<= 2", ours / ninja <= 2)

    def validate(self):
        for chain in (False, True):
            write_pipeline(self.dir / "v.yaml", 10_000, chain)
            ours = statistics.median(timed([self.mlops, "validate", "v.yaml"], self.dir) for _ in range(REPEAT))
            self.row(f"validate 10,000 steps{' in a chain' if chain else ''}", f"{ours * 1e3:.0f} ms", "", "", "<= 250 ms", ours <= 0.25)

    def steps(self):
        for chain in (False, True):
            write_pipeline(self.dir / "p.yaml", 1000, chain)
            write_ninja(self.dir / "p.ninja", 1000, chain)
            ours, ninja = take_turns(lambda: self.run_mlops("p.yaml"), lambda: self.run_ninja("p.ninja"),
                                     3 if self.quick else REPEAT)
            self.row(f"1,000 steps {'in a chain' if chain else 'side by side'}, per step", f"{ours:.3f} ms", f"{ninja:.3f} ms",
                     f"{ours / ninja:.2f}", "<= 1.5", ours / ninja <= 1.5)

    def flat(self):
        per_step = {}
        for steps in (10, 100, 1000, 10_000):
            write_pipeline(self.dir / "p.yaml", steps, False)
            rounds = max(1, min(15, 3000 // steps))
            per_step[steps] = statistics.median(self.run_mlops("p.yaml") for _ in range(rounds)) / steps * 1e3
        for steps, ms in per_step.items():
            self.row(f"{steps} steps side by side, per step", f"{ms:.3f} ms", "", f"{ms / per_step[1000]:.2f}", "", True)
        growth = per_step[10_000] / min(per_step[10], per_step[100], per_step[1000])
        self.row("growth of the cost per step, to 10,000 steps", "", "", f"{growth:.2f}", "<= 1.2", growth <= 1.2)

    def served(self, *files):
        """A daemon that has begun, and how long that took, in seconds."""
        log = open(self.dir / "daemon.log", "w")
        start = time.perf_counter()
        daemon = subprocess.Popen([self.mlops, "daemon", *files], cwd=self.dir, stdout=log, stderr=log)
        self.started.append(daemon)
        while "serving" not in (self.dir / "daemon.log").read_text():
            if daemon.poll() is not None:
                raise SystemExit((self.dir / "daemon.log").read_text())
            time.sleep(0.002)
        return daemon, time.perf_counter() - start

    def slots(self, query):
        out = subprocess.run([self.mlops, "sql", "--csv", query], cwd=self.dir, capture_output=True, text=True, check=True).stdout
        return [float(line) for line in out.splitlines()[1:] if line]

    def next_fire(self):
        """Microseconds from one time of `schedule next` to the next, text included: of the slowest expression."""
        slowest = (0, "")
        for expression in ["*/5 * * * *", "30 2 * * *", "0 9-17 * * 1-5", "0 0 L * *", "0 0 * * FRI#2"]:
            command = [self.mlops, "schedule", "next", expression, "--tz", "America/New_York", "--from", "2026-01-01"]
            count = len(subprocess.run([*command, "-n", "20000"], capture_output=True, check=True).stdout.splitlines())
            many, one = take_turns(lambda: timed([*command, "-n", "20000"], self.dir), lambda: timed([*command, "-n", "1"], self.dir), REPEAT)
            slowest = max(slowest, ((many - one) / (count - 1) * 1e6, expression))
        return slowest

    def schedule(self):
        """The next time of an expression; a daemon with 10,000 schedules; a thousand slots in one second; how late runs of `true` start."""
        took, expression = self.next_fire()
        self.row(f"next time of the slowest expression, {expression}", f"{took:.1f} us", "", "", "<= 10 us", took <= 10)

        def fresh(text):
            shutil.rmtree(self.dir / ".mlops", ignore_errors=True)
            (self.dir / ".mlops").mkdir(mode=0o700)
            for name, lines in text.items():
                (self.dir / name).write_text("\n".join([f"name: {name[:-5]}", "schedule:", *lines, "steps: {a: {run: 'true'}}"]) + "\n")

        files = {f"p{f}.yaml": [f"  - {{cron: '{i % 60} {i // 60} 1 1 *', timezone: UTC, name: s{i}}}" for i in range(1000)] for f in range(10)}
        fresh(files)
        self.served(*files)[0].terminate()
        time.sleep(0.5)
        daemon, took = self.served()
        self.row("daemon, start with 10,000 schedules", f"{took * 1e3:.0f} ms", "", "", "<= 300 ms", took <= 0.3)
        status = lambda: dict(line.split(":", 1) for line in Path(f"/proc/{daemon.pid}/status").read_text().splitlines())
        time.sleep(1)
        rss, before = int(status()["VmRSS"].split()[0]) / 1024, int(status()["voluntary_ctxt_switches"])
        time.sleep(3 if self.quick else 10)
        wakes = int(status()["voluntary_ctxt_switches"]) - before
        daemon.terminate(), daemon.wait()
        self.row("the same: memory, wake-ups while nothing is due", f"{rss:.0f} MiB", "", str(wakes), "<= 30 MB, 0", rss <= 30 and wakes == 0)

        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 4))
        fresh({"same.yaml": [f"  - {{at: '{at}', timezone: UTC, name: s{i}, overlap: allow}}" for i in range(1000)]})
        daemon, _ = self.served("same.yaml")
        while not self.slots("select count(*) from slots")[0]:
            time.sleep(0.05)
        claimed = max(self.slots("select (julianday(decided_at) - 2440587.5) * 86400 - slot_at from slots where outcome = 'claimed'")) * 1e3
        daemon.terminate(), daemon.wait()
        self.row("1,000 slots of the same second, all claimed after", f"{claimed:.0f} ms", "", "", "<= 200 ms", claimed <= 200)
        time.sleep(2)

        fresh({"often.yaml": ["  - {every: 1s}"]})
        daemon, _ = self.served("often.yaml")
        time.sleep(10 if self.quick else 120)
        daemon.terminate(), daemon.wait()
        late = sorted(self.slots("select late_ms from slots where outcome = 'ran'"))
        theirs = self.dagu_lateness()
        p99 = late[min(len(late) - 1, int(len(late) * 0.99))]
        self.row("start of a run after its slot: median, p99 / dagu", f"{statistics.median(late):.0f}, {p99:.0f} ms",
                 f"{theirs * 1e3:.0f} ms" if theirs else "", f"{statistics.median(late) / theirs / 1e3:.2f}" if theirs else "", "<= 50 ms", p99 <= 50)

    def queue(self):
        """Requests for runs of `true`: what a submit costs, how many a worker takes up in a second, how soon it begins."""
        shutil.rmtree(self.dir / ".mlops", ignore_errors=True)
        (self.dir / "true.yaml").write_text("name: 'true'\nsteps: {a: {run: ['true']}}\n")
        items = 100 if self.quick else 500
        submit = lambda: subprocess.run([self.mlops, "submit", "true.yaml"], cwd=self.dir, capture_output=True, check=True)
        start = time.perf_counter()
        for _ in range(items):
            submit()
        self.row("submit", f"{(time.perf_counter() - start) / items * 1e3:.1f} ms", "", "", "", True)
        cores = len(os.sched_getaffinity(0))
        start = time.perf_counter()
        subprocess.run([self.mlops, "worker", "--once", "-j", str(cores)], cwd=self.dir, capture_output=True, check=True)
        took = time.perf_counter() - start
        done = self.slots("select count(*) from v_requests where run_state = 'succeeded'")[0]
        self.row(f"a worker, {cores} runs of `true` at a time", f"{items / took:.0f} /s", "", "", f"all {items}", done == items)
        worker = subprocess.Popen([self.mlops, "worker"], cwd=self.dir, stdout=subprocess.DEVNULL)
        self.started.append(worker)
        time.sleep(0.5)
        for _ in range(20):
            submit()
            time.sleep(0.2)
        worker.terminate(), worker.wait()
        late = self.slots(f"select (julianday(decided_at) - julianday(submitted_at)) * 86400000 from v_requests where id > {items}")
        self.row("from submit to the start of the run, median", f"{statistics.median(late):.0f} ms", "", "", "<= 50 ms",
                 len(late) == 20 and statistics.median(late) <= 50)

    def dagu_lateness(self):
        """How late dagu starts a run, as it says itself: the first of two minutes. $DAGU is its program."""
        dagu = shutil.which(os.environ.get("DAGU", "dagu"))
        if not dagu:
            print("dagu is not installed (set DAGU to its path): its column is empty")
            return None
        home = self.dir / "dagu"
        (home / "dags").mkdir(parents=True)
        witness = home / "witness"
        (home / "dags" / "often.yaml").write_text(f'schedule: "* * * * *"\nsteps:\n  - name: a\n    command: sh -c "date +%s.%N >> {witness}"\n')
        env = dict(os.environ, DAGU_HOME=str(home))
        scheduler = subprocess.Popen([dagu, "scheduler", "--dags", str(home / "dags")], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.time() + 200
        # The slot of the minute in which it starts is run at once: only what comes after it is in time.
        while time.time() < end and (not witness.exists() or len(witness.read_text().split()) < 3):
            time.sleep(0.5)
        scheduler.kill(), scheduler.wait()
        late = [float(line) % 60 for line in witness.read_text().split()[1:]] if witness.exists() else []
        return statistics.median(late) if late else None

    def peak_rss(self, command):
        """Peak resident memory in MiB of a command itself, not of its children, and its time."""
        out = subprocess.run(["/usr/bin/env", "python3", "-c", RSS_PROBE, *command], cwd=self.dir, capture_output=True, text=True, check=True)
        peak, seconds = out.stdout.split()[-2:]
        return float(peak) / 1024, float(seconds)

    def memory(self):
        write_pipeline(self.dir / "p.yaml", 10_000, False)
        shutil.rmtree(self.dir / ".mlops", ignore_errors=True)
        peak, _ = self.peak_rss([self.mlops, "run", "p.yaml", "--jobs", "2", "--quiet"])
        self.row("peak memory of the runner, 10,000 steps", f"{peak:.0f} MiB", "", "", "<= 64 MiB", peak <= 64)

    def log(self):
        for mode in ("none", "live"):
            (self.dir / "l.yaml").write_text("name: l\nsteps:\n  a: {run: 'cat data'}\n")
            data = self.dir / "data"
            if not data.exists():
                line = b"epoch 17 loss 0.123456 accuracy 0.98 step 12345 lr 0.001 throughput 1234.5 samples/s, eta 00:12:34\n"
                data.write_bytes(line * (1_000_000_000 // len(line)))
            shutil.rmtree(self.dir / ".mlops", ignore_errors=True)
            cat = statistics.median(timed(["sh", "-c", "cat data | cat > /dev/null"], self.dir) for _ in range(3))
            watcher = subprocess.Popen([sys.executable, "-c", KEEPER_PROBE], stdout=subprocess.PIPE, text=True)
            peak, seconds = self.peak_rss([self.mlops, "run", "l.yaml", "--output", mode])
            watcher.terminate()
            keeper = float(watcher.communicate()[0] or 0) / 1024
            rate = 1000 / seconds
            self.row(f"1 GB of log, --output {mode}", f"{rate:.0f} MB/s", f"{1000 / cat:.0f} MB/s", f"{seconds / cat:.2f}", ">= 300 MB/s", rate >= 300)
            self.row("  peak memory of runner + keeper", f"{peak:.1f}+{keeper:.1f} MiB", "", "", "<= 16 MiB", peak + keeper <= 16)

    def runs(self):
        count = 100_000 if self.quick else 1_000_000
        shutil.rmtree(self.dir / ".mlops", ignore_errors=True)
        write_pipeline(self.dir / "p.yaml", 1, False)
        self.run_mlops("p.yaml")
        db = sqlite3.connect(self.dir / ".mlops/mlops.db")
        db.execute("PRAGMA journal_mode=WAL")
        names = [row[1] for row in db.execute("PRAGMA table_info(runs)")]
        template = list(db.execute("SELECT * FROM runs").fetchone())
        identity, pipeline, state = names.index("id"), names.index("pipeline"), names.index("state")
        created = names.index("created_at")

        def rows():
            for i in range(count):
                row = template.copy()
                row[identity] = f"00{i:014d}"
                row[pipeline] = f"pipeline{i % 50}"
                row[state] = "failed" if i % 100 == 0 else "succeeded"
                row[created] = f"2025-01-01 00:00:00.{i % 1000:03d}"
                yield row

        db.executemany(f"INSERT INTO runs VALUES ({','.join('?' * len(names))})", rows())
        db.executemany("INSERT INTO metric_latest VALUES (?, 0, 'accuracy', 0.9, 1)", ((f"00{i:014d}",) for i in range(count)))
        db.executemany("INSERT INTO steps (run_id, step, name, kind, command, state) VALUES (?, 0, 's0', '', 'true', 'succeeded')",
                       ((f"00{i:014d}",) for i in range(count)))
        db.commit()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.close()
        for arguments in ([], ["--state", "failed"], ["--pipeline", "pipeline7"], ["--pipeline", "pipeline7", "--state", "failed", "--json"]):
            ours = statistics.median(timed([self.mlops, "runs", *arguments], self.dir) for _ in range(REPEAT))
            self.row(f"runs {' '.join(arguments)} of {count:,}".replace("  ", " "), f"{ours * 1e3:.1f} ms", "", "", "<= 50 ms", ours <= 0.05)


    def lineage(self):
        """100,000 runs of three steps: all read one file, each also what the run before it made."""
        count = 10_000 if self.quick else 100_000
        shutil.rmtree(self.dir / ".mlops", ignore_errors=True)
        (self.dir / "raw").write_text("raw\n")
        (self.dir / "l.yaml").write_text(
            "name: l\nsteps:\n"
            "  a: {run: 'cat raw raw > a', inputs: raw, outputs: a}\n"
            "  b: {run: 'cat a a > b', inputs: a, outputs: b}\n"
            "  c: {run: 'cat b >> state', inputs: b, outputs: [{path: state, persist: true}]}\n")
        (self.dir / "state").write_text("")
        self.run_mlops("l.yaml")
        db = sqlite3.connect(self.dir / ".mlops/mlops.db")
        db.execute("PRAGMA journal_mode=WAL")
        names = [row[1] for row in db.execute("PRAGMA table_info(runs)")]
        template = list(db.execute("SELECT * FROM runs").fetchone())
        identity, created = names.index("id"), names.index("created_at")
        raw = hashlib.sha256(b"raw\n").hexdigest()

        def digest(i, what):
            return hashlib.sha256(f"{i} {what}".encode()).hexdigest()

        def runs():
            for i in range(count):
                row = template.copy()
                row[identity], row[created] = f"00{i:014d}", f"2025-01-01 00:00:00.{i % 1000:03d}"
                yield row

        def artifacts():
            for i in range(count):
                run = f"00{i:014d}"
                yield run, 0, "in", "raw", raw
                yield run, 0, "in", "state", digest(i - 1, "state")
                yield run, 0, "out", "a", digest(i, "a")
                yield run, 1, "in", "a", digest(i, "a")
                yield run, 1, "out", "b", digest(i, "b")
                yield run, 2, "in", "b", digest(i, "b")
                yield run, 2, "out", "state", digest(i, "state")

        db.executemany(f"INSERT INTO runs VALUES ({','.join('?' * len(names))})", runs())
        db.executemany("INSERT INTO steps (run_id, step, name, kind, command, state, attempts) VALUES (?, ?, ?, '', 'true', 'succeeded', 1)",
                       ((f"00{i:014d}", s, name) for i in range(count) for s, name in enumerate("abc")))
        db.executemany("INSERT INTO artifacts (run_id, step, direction, path, kind, sha256, size, files) VALUES (?, ?, ?, ?, '', ?, 99, 1)",
                       artifacts())
        db.commit()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.close()
        last, middle = digest(count - 1, "state"), digest(count // 2, "b")
        for arguments in ([last, "--up"], [last, "--up", "--depth", "100000"], ["raw", "--down"], [middle], [f"00{count // 2:014d}"]):
            ours = statistics.median(timed([self.mlops, "lineage", *arguments], self.dir) for _ in range(REPEAT))
            shown = " ".join(a[:8] if len(a) == 64 else a for a in arguments)
            self.row(f"lineage {shown} of {count:,} runs", f"{ours * 1e3:.1f} ms", "", "",
                     "<= 1000 ms" if "--depth" in arguments else "<= 250 ms", ours <= (1 if "--depth" in arguments else 0.25))

    def trace(self):
        """What tracing costs a step that opens 20,000 files, and one that starts 500 processes."""
        (self.dir / "many").mkdir(exist_ok=True)
        for i in range(20_000):
            (self.dir / f"many/{i}").write_text("x")
        (self.dir / "open.py").write_text("for i in range(20_000): open(f'many/{i}').close()\n")
        for name, command in (("20,000 opened files", "python3 -S open.py"), ("500 processes", "for i in $(seq 500); do /bin/true; done")):
            (self.dir / "trace.yaml").write_text(f"name: trace\nsteps:\n  a:\n    run: {command}\n")
            shutil.rmtree(self.dir / ".mlops", ignore_errors=True)
            run = [self.mlops, "run", "trace.yaml", "-q"]
            traced, plain = take_turns(lambda: timed([*run, "--trace-reads"], self.dir), lambda: timed(run, self.dir), 5)
            self.row(f"--trace-reads, {name} / without", f"{traced * 1e3:.0f} ms", f"{plain * 1e3:.0f} ms", f"{traced / plain:.2f}", "", True)

    def noop(self):
        """10,000 steps with a file in and a file out each, of which nothing has changed."""
        lines, ninja = ["name: noop", "steps:"], ["rule c\n  command = cp $in $out"]
        (self.dir / "out").mkdir(exist_ok=True)
        (self.dir / "source").write_text("x\n")
        for i in range(10_000):
            before = "source" if i % 100 == 0 else f"out/m{i - 1}"
            lines.append(f"  s{i}: {{run: cp {before} out/m{i}, inputs: {before}, outputs: out/m{i}}}")
            ninja.append(f"build out/n{i}: c " + ("source" if i % 100 == 0 else f"out/n{i - 1}"))
        (self.dir / "noop.yaml").write_text("\n".join(lines) + "\n")
        (self.dir / "noop.ninja").write_text("\n".join(ninja) + "\n")
        shutil.rmtree(self.dir / ".mlops", ignore_errors=True)
        (self.dir / ".mlops").mkdir()
        ours, theirs = [self.mlops, "run", "noop.yaml", "--jobs", "2", "--quiet"], ["ninja", "-j2", "-f", "noop.ninja"]
        first, first_ninja = timed(ours, self.dir), timed(theirs, self.dir)
        self.row("10,000 steps with files, first run", f"{first:.1f} s", f"{first_ninja:.1f} s", f"{first / first_ninja:.2f}", "", True)
        timed(ours, self.dir)
        again, ninja_again = take_turns(lambda: timed(ours, self.dir), lambda: timed(theirs, self.dir), 3)
        self.row("10,000 steps of which nothing has changed", f"{again * 1e3:.0f} ms", f"{ninja_again * 1e3:.0f} ms",
                 f"{again / ninja_again:.1f}", "<= 3", again / ninja_again <= 3)

    def tree(self):
        """A directory of 70,000 small files (the shape of MNIST as images) as input and as output, beside DVC."""
        count = 7_000 if self.quick else 70_000
        data = self.dir / "tree"
        for i in range(count):
            folder = data / ("train" if i % 7 else "test") / str(i % 10)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{i:05d}.png").write_bytes(b"%08d" % i * 34)
        shutil.rmtree(self.dir / ".mlops", ignore_errors=True)
        (self.dir / ".mlops").mkdir()
        (self.dir / "use.yaml").write_text("name: use\nsteps:\n  a: {run: touch used, inputs: tree, outputs: used}\n")
        use, add = [self.mlops, "run", "use.yaml", "-q"], [self.mlops, "data", "add", "tree"]
        dvc = shutil.which(os.environ.get("DVC", "dvc"))
        peer = {}
        if dvc:
            subprocess.run(["git", "init", "-q"], cwd=self.dir, check=True)
            subprocess.run([dvc, "init", "-q"], cwd=self.dir, check=True)
            peer["first"] = timed([dvc, "add", "-q", "tree"], self.dir)
            peer["status"] = timed([dvc, "status", "-q"], self.dir)
        else:
            print("dvc is not installed (set DVC to its path): its column is empty")
        timed(use, self.dir)
        noop, bare = take_turns(lambda: timed(use, self.dir), lambda: timed(["find", "tree", "-ls"], self.dir), REPEAT)
        self.row(f"no-op, {count:,} unchanged files / find -ls", f"{noop * 1e3:.0f} ms", f"{bare * 1e3:.0f} ms", f"{noop / bare:.2f}",
                 "<= 1.5", noop / bare <= 1.5)

        def beside(what, ours, key, bar):
            theirs = peer.get(key)
            ratio = theirs / ours if theirs else 0
            self.row(what, f"{ours:.2f} s", f"{theirs:.2f} s" if theirs else "-", f"1/{ratio:.0f}" if theirs else "-", f">= {bar} x faster",
                     not theirs or ratio >= bar)

        def first_add():
            shutil.rmtree(self.dir / ".mlops")
            (self.dir / ".mlops").mkdir()
            return timed(add, self.dir)

        beside("  the same / dvc status", noop, "status", 20)
        beside(f"first add of {count:,} files / dvc add", statistics.median(first_add() for _ in range(3)), "first", 10)
        again = []
        for i in range(3):
            (data / "train/1/00001.png").write_bytes(b"changed %d" % i)
            time.sleep(0.05)
            again.append(timed(add, self.dir))
        if dvc:
            peer["again"] = timed([dvc, "add", "-q", "tree"], self.dir)
        beside("add again after one change / dvc add", statistics.median(again), "again", 50)
        shutil.rmtree(data)
        back = timed([self.mlops, "data", "checkout", "tree"], self.dir)
        if dvc:
            shutil.rmtree(data)
            peer["back"] = timed([dvc, "checkout", "-q", "tree.dvc"], self.dir)
        beside("check out / dvc checkout", back, "back", 1)

    def large(self):
        """2,500 files of 800 KB: reading, digesting and a durable copy, beside digesting alone by two processes."""
        count = 250 if self.quick else 2_500
        data = self.dir / "large"
        data.mkdir()
        for i in range(count):
            (data / f"{i:04d}.bin").write_bytes(os.urandom(800_000))
        subprocess.run(["sync"], check=True)
        times = [[], []]
        for _ in range(3):
            shutil.rmtree(self.dir / ".mlops", ignore_errors=True)
            (self.dir / ".mlops").mkdir()
            times[0].append(timed([self.mlops, "data", "add", "large"], self.dir))
            subprocess.run(["sync"], check=True)
            times[1].append(timed(["sh", "-c", "find large -type f -print0 | xargs -0 -P2 -n 100 sha256sum"], self.dir))
        ours, theirs = map(statistics.median, times)
        self.row(f"first add of {count:,} files, {count * 0.8 / 1000:.1f} GB / sha256sum -P2", f"{ours:.2f} s", f"{theirs:.2f} s", f"{ours / theirs:.2f}",
                 "<= 1.11", ours / theirs <= 1.11)

    def million(self):
        """Memory must not grow with the number of files."""
        for count in (10_000, 100_000) if self.quick else (100_000, 1_000_000):
            data = self.dir / f"m{count}"
            for folder in range(count // 1_000):
                (data / f"d{folder:04d}").mkdir(parents=True)
                for i in range(1_000):
                    (data / f"d{folder:04d}/f{i:03d}").write_bytes(b"%d" % (folder * 1_000 + i) * 20)
            for what in ("first add", "add again", "diff with the work tree"):
                command = ["diff", data.name] if what.startswith("diff") else ["add", data.name]
                peak, seconds = self.peak_rss([self.mlops, "data", *command])
                self.row(f"{count:,} files, {what}", f"{seconds:.1f} s", "", f"{peak:.0f} MiB", "<= 100 MB", peak <= 95)
            shutil.rmtree(data)

    def gc(self):
        """1,000,000 objects, nine of ten in packs; half of all are not needed any more."""
        packed, alone = (90_000, 10_000) if self.quick else (900_000, 100_000)
        shutil.rmtree(self.dir / ".mlops", ignore_errors=True)
        (self.dir / ".mlops").mkdir()
        for name, keep in (("old", False), ("new", True)):
            data = self.dir / "objects"
            for i in range(packed // 2):
                if i % 1_000 == 0:
                    (data / f"d{i // 1_000:04d}").mkdir(parents=True)
                (data / f"d{i // 1_000:04d}/f{i % 1_000:03d}").write_bytes(b"%s %d" % (name.encode(), i) * 10)
            for i in range(alone // 2):
                (data / f"d{i % 40:04d}/large{i}").write_bytes(b"%s %08d" % (name.encode(), i) * 1_400)
            subprocess.run([self.mlops, "data", "add", "objects", "--name", name], cwd=self.dir, check=True, stdout=subprocess.DEVNULL)
            shutil.rmtree(data)
        subprocess.run([self.mlops, "data", "rm", "old"], cwd=self.dir, check=True, stdout=subprocess.DEVNULL)
        for options in (["--dry-run"], [], []):
            peak, seconds = self.peak_rss([self.mlops, "store", "gc", "--grace", "0", *options])
            self.row(f"gc of {packed + alone:,} objects {' '.join(options)}", f"{seconds:.1f} s", "", f"{peak:.0f} MiB", "<= 30 s", seconds <= 30)


    def remotes(self):
        """10,000 small files and 500 MB to a directory, and to an S3-compatible server (moto) on this machine. Peers: cp,
        `dvc push`, `s5cmd` (set DVC, S5CMD, MOTO_PYTHON to their paths)."""
        small, large = (1_000, 50) if self.quick else (10_000, 500)
        data = self.dir / "data"
        (data / "small").mkdir(parents=True)
        for i in range(small):
            (data / "small" / f"{i:05d}.json").write_bytes(b'{"i": %08d}\n' % i * 20)
        for i in range(5):
            (data / f"large{i}.bin").write_bytes(os.urandom(large * 200_000))
        shutil.rmtree(self.dir / ".mlops", ignore_errors=True)
        (self.dir / ".mlops").mkdir()
        (self.dir / "r.yaml").write_text("name: r\nsteps:\n  a: {run: 'true', inputs: r.yaml, outputs: [{path: data, persist: true}]}\n")
        timed([self.mlops, "run", "r.yaml", "-q"], self.dir)
        what = f"{small:,} small files + {large} MB"
        dvc, s5cmd = shutil.which(os.environ.get("DVC", "dvc")), shutil.which(os.environ.get("S5CMD", "s5cmd"))
        if dvc:
            subprocess.run(["git", "init", "-q"], cwd=self.dir, check=True)
            subprocess.run([dvc, "init", "-q"], cwd=self.dir, check=True)
            subprocess.run([dvc, "add", "-q", "data"], cwd=self.dir, check=True)
            subprocess.run([dvc, "remote", "add", "-q", "dir", self.dir / "dvc-dir"], cwd=self.dir, check=True)

        def push(name, *where):
            subprocess.run([self.mlops, "remote", "add", name, *where], cwd=self.dir, check=True, stdout=subprocess.DEVNULL)
            first = timed([self.mlops, "push", "--remote", name], self.dir)
            return first, timed([self.mlops, "push", "--remote", name], self.dir)

        def beside(what, ours, theirs, bar):
            self.row(what, f"{ours:.2f} s", f"{theirs:.2f} s" if theirs else "-", f"1/{theirs / ours:.1f}" if theirs else "-",
                     f">= {bar} x faster", not theirs or theirs / ours >= bar)

        ours, again = push("dir", str(self.dir / "dir"))
        copied = timed(["sh", "-c", f"cp -r data '{self.dir / 'copy'}' && sync -f '{self.dir / 'copy'}'"], self.dir)
        beside(f"push {what} to a directory / cp, sync", ours, copied, 0.5)
        beside("  the same / dvc push", ours, timed([dvc, "push", "-q", "-r", "dir"], self.dir) if dvc else None, 3)
        beside("  push again, nothing new / dvc push", again, timed([dvc, "push", "-q", "-r", "dir"], self.dir) if dvc else None, 10)
        moto = os.environ.get("MOTO_PYTHON", sys.executable)
        if subprocess.run([moto, "-c", "import moto.server, boto3"], stderr=subprocess.DEVNULL).returncode:
            print("moto is not installed (set MOTO_PYTHON): S3 is not measured")
            return
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        server = subprocess.Popen([moto, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            os.environ.update(AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="y", AWS_DEFAULT_REGION="us-east-1")
            endpoint = f"http://127.0.0.1:{port}"
            make = f"import boto3, time\nfor i in range(100):\n  try: boto3.client('s3', endpoint_url='{endpoint}').create_bucket(Bucket='bench'); break\n  except Exception: time.sleep(0.2)"
            subprocess.run([moto, "-c", make], check=True)
            ours, again = push("s3", "s3://bench/mlops", "--endpoint", endpoint)
            peer = timed([s5cmd, "--endpoint-url", endpoint, "cp", "data/", "s3://bench/s5cmd/"], self.dir) if s5cmd else None
            beside(f"push {what} to S3 here / s5cmd cp", ours, peer, 1)
            theirs = theirs_again = None
            if dvc:
                subprocess.run([dvc, "remote", "add", "-q", "s3", "s3://bench/dvc"], cwd=self.dir, check=True)
                subprocess.run([dvc, "remote", "modify", "-q", "s3", "endpointurl", endpoint], cwd=self.dir, check=True)
                theirs = timed([dvc, "push", "-q", "-r", "s3"], self.dir)
                theirs_again = timed([dvc, "push", "-q", "-r", "s3"], self.dir)
            beside("  the same / dvc push", ours, theirs, 3)
            beside("  push again, nothing new / dvc push", again, theirs_again, 10)
        finally:
            server.terminate()
            server.wait()

# RUSAGE_CHILDREN would count steps; the kernel's own record of the process is read just before it is reaped.
RSS_PROBE = """
import os, subprocess, sys, time
start = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
peak = 0
while True:
    try:
        for line in open(f'/proc/{process.pid}/status'):
            if line.startswith('VmHWM'): peak = max(peak, int(line.split()[1]))
    except OSError: pass
    if process.poll() is not None: break
    time.sleep(0.005)
print(peak, time.perf_counter() - start)
"""
KEEPER_PROBE = """
import os, signal, sys, time
peak = 0
def done(*_):
    print(peak); sys.stdout.flush(); os._exit(0)
signal.signal(signal.SIGTERM, done)
while True:
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            if open(f'/proc/{pid}/comm').read().strip() != 'mlops-keeper': continue
            for line in open(f'/proc/{pid}/status'):
                if line.startswith('VmHWM'): peak = max(peak, int(line.split()[1]))
        except OSError: pass
    time.sleep(0.02)
"""


def main():
    arguments = sys.argv[1:]
    quick = "--quick" in arguments
    target = arguments[arguments.index("--json") + 1] if "--json" in arguments else None
    names = [a for a in arguments[1:] if not a.startswith("--") and a != target]
    bench = Bench(str(Path(arguments[0]).resolve()), quick)
    print(f"{'':<46} {'mlops':>12} {'peer':>12} {'ratio':>8}  bar")
    try:
        for name in names or ["start", "validate", "steps", "flat", "memory", "log", "runs", "noop", "tree", "lineage", "trace", "remotes"]:
            getattr(bench, name)()
    finally:
        for process in bench.started:
            if process.poll() is None:
                process.terminate()
                process.wait()
        shutil.rmtree(bench.dir, ignore_errors=True)
    if target:
        Path(target).write_text(json.dumps({"rows": bench.rows}, indent=2) + "\n")
    return 0 if all(row["ok"] for row in bench.rows) else 1


if __name__ == "__main__":
    sys.exit(main())
