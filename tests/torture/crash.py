#!/usr/bin/env python3
"""Kills at random moments: the runner, its keeper, both, a step, the daemon; a keeper that is stopped for a while.

Usage: crash.py MLOPS      KILLS: how many of each mode (default 50); MODES: which, of those below (default mixed,daemon);
                           STEPS: of the pipeline (default 200); STOP_SECONDS: longest time that a keeper is stopped;
                           SEED: the pipeline and what happens when

Every attempt of a step appends a line when it begins and one when it ends to a file outside of the workspace. What these
say is compared with the database: every result once, exit codes as they were, what is lost is no success, what was told
as done stays done, no process is left, and a resume is back at work soon.
"""
import collections
import hashlib
import json
import os
import signal
import time
from pathlib import Path

from harness import Suite, alive, comm, number, percentiles, send

MODES = ("runner", "keeper", "both", "step", "stop", "mixed", "daemon")
SETTLED = ("succeeded", "failed", "cancelled", "interrupted")
BACK_SECONDS = float(os.environ.get("BACK_SECONDS", "1"))

suite = Suite("crash", ("KILLS", "MODES", "STEPS", "STOP_SECONDS", "BACK_SECONDS"))
chance = suite.chance

# --- The pipeline -------------------------------------------------------------------------------------------------------


class Step:
    """One step: its text, and what each of its attempts is to end with."""

    def __init__(self, name, kind, needs):
        self.name, self.kind, self.needs = name, kind, needs
        self.bad = 0        # exit code of its bad attempts
        self.bad_until = 0  # up to this attempt it ends with that
        self.tries = 1
        self.state = "succeeded"
        self.output = None

    def code(self, attempt):
        return self.bad if attempt <= self.bad_until else 0

    def text(self):
        body, keys = [], []
        if self.needs:
            keys.append(f"needs: [{', '.join(self.needs)}]")
        if self.kind == "slow":
            body.append(f"sleep {chance.choice(['0.02', '0.05', '0.1'])}")
        elif self.kind in ("flaky", "forgiven"):
            self.bad, self.bad_until = chance.randrange(1, 126), chance.randrange(1, 3)
            self.tries = 5
            keys.append(f"retry: {{times: {self.tries - 1}, delay: 5ms}}")
            if self.kind == "forgiven":
                keys.append("on_failure: continue")
        elif self.kind == "tolerated":
            self.bad, self.bad_until, self.state = chance.randrange(1, 126), 1 << 30, "failed"
            keys.append("on_failure: continue")
            if chance.random() < 0.5:
                self.tries = 2
                keys.append("retry: 1")
        elif self.kind == "signalled":
            self.bad, self.bad_until, self.state = -signal.SIGKILL, 1 << 30, "failed"
            keys.append("on_failure: continue")
        elif self.kind == "maker":
            self.output = f"made/{self.name}"
            keys.append(f"outputs: {self.output}")
            body += ["mkdir -p made", f"echo begun > {self.output}", f"echo {self.name} of $ROUND > {self.output}"]
        elif self.kind == "giver":
            body.append(f'echo "v={self.name}.$ROUND" >> "$MLOPS_OUTPUT"')
        elif self.kind == "taker":
            giver = self.needs[-1]
            keys.append(f'env: {{V: "${{steps.{giver}.outputs.v}}"}}')
            body.append(f'[ "$V" = "{giver}.$ROUND" ] || exit 99')
        elif self.kind == "reader":
            keys.append(f"inputs: made/{self.needs[-1]}")
            body.append(f'[ "$(cat made/{self.needs[-1]})" = "{self.needs[-1]} of $ROUND" ] || exit 98')
        elif self.kind == "leaver":
            body.append("sleep 60 &")
        elif self.kind == "meter":
            body.append("echo '{\"name\": \"m\", \"value\": 1}' >> \"$MLOPS_METRICS\"")
        elif self.kind == "skipped":
            self.state = "skipped"
            keys.append("when: params.never")
        me = "$MLOPS_RUN_ID $MLOPS_STEP $MLOPS_ATTEMPT $$"
        lines = [f'echo B {me} >> "$WITNESS"', *body, "code=0"]
        if self.bad:
            lines.append(f'[ "$MLOPS_ATTEMPT" -gt {self.bad_until} ] || code={self.bad}')
        lines.append(f'echo E {me} $code >> "$WITNESS"')
        lines.append("[ $code -ge 0 ] || kill -9 $$")
        lines.append("exit $code")
        return "\n".join([f"  {self.name}:", "    run: |", *("      " + line for line in lines), *("    " + key for key in keys)])


def make_pipeline(count):
    """Chains, fans, diamonds and a loose net, of steps of all kinds."""
    kinds = ["plain"] * 9 + ["slow"] * 3 + ["flaky"] * 3 + ["maker"] * 3 + ["forgiven", "forgiven", "tolerated", "signalled", "giver", "giver", "leaver", "meter", "skipped"]
    steps, plain = [], []  # plain: those that others may need
    while len(steps) < count:
        shape, tail = chance.choice(["chain", "fan", "diamond", "net"]), chance.sample(plain, min(len(plain), chance.randrange(0, 2)))
        size = chance.randrange(2, 12)
        first = None
        for i in range(size):
            kind = chance.choice(kinds)
            needs = list(tail)
            if shape == "fan" and first:
                needs = [first]
            elif shape == "net" and plain:
                needs = chance.sample(plain, min(len(plain), 3))
            elif shape == "diamond" and first:
                needs = [first] if i < size - 1 else [s.name for s in steps[-(size - 2):] if s.kind != "skipped"]
            if kind in ("plain", "slow") and chance.random() < 0.4:
                givers = [s.name for s in steps if s.kind in ("giver", "maker")]
                if givers:
                    giver = chance.choice(givers)
                    kind = "taker" if next(s for s in steps if s.name == giver).kind == "giver" else "reader"
                    needs = [n for n in needs if n != giver] + [giver]
            step = Step(f"s{len(steps)}", kind, needs)
            steps.append(step)
            if kind != "skipped":
                plain.append(step.name)
                first = first or step.name
                if shape == "chain":
                    tail = [step.name]
    steps = steps[:count]
    names = {s.name for s in steps}
    for s in steps:
        s.needs = [n for n in dict.fromkeys(s.needs) if n in names]
    head = ["name: torture", "params: {never: false, round: 0}", 'env: {ROUND: "${params.round}"}', "steps:"]
    Path("p.yaml").write_text("\n".join(head + [s.text() for s in steps]) + "\n")
    return {s.name: s for s in steps}


# --- What the steps themselves say --------------------------------------------------------------------------------------


class Witness:
    """The lines of the file, and what they must be whatever happens."""

    def __init__(self, path):
        self.path = os.path.realpath(path)
        Path(self.path).touch()
        os.environ["WITNESS"] = self.path

    def lines(self):
        text = Path(self.path).read_text()
        suite.expect(not text or text.endswith("\n"), "the witness was torn")
        return [line.split() for line in text.splitlines()]

    def begun(self):
        return Path(self.path).read_bytes().count(b"B ")

    def running(self):
        """(step, attempt, pid) of what has begun and not ended."""
        open_ones = {}
        for what, _, step, attempt, pid, *_ in self.lines():
            if what == "B":
                open_ones[step, int(attempt)] = int(pid)
            else:
                open_ones.pop((step, int(attempt)), None)
        return [(step, attempt, pid) for (step, attempt), pid in open_ones.items()]

    def attempts(self):
        """By (run, step, attempt): [pid, code or None]. Fails where a line comes twice, or attempts of a step overlap."""
        found, last = {}, {}
        for what, run, step, attempt, pid, *code in self.lines():
            key = (run, step, int(attempt))
            if what == "B":
                suite.expect(key not in found, f"{key} was started twice")
                suite.expect(last.get((run, step), 0) < key[2], f"{key} was started after attempt {last.get((run, step))}")
                last[run, step] = key[2]
                found[key] = [int(pid), None]
            else:
                suite.expect(key in found and found[key] == [int(pid), None], f"{key} ended twice, or without a begin")
                suite.expect(last[run, step] == key[2], f"{key} went on beside attempt {last[run, step]}")
                found[key][1] = int(code[0])
        return found


# --- One run, disturbed -------------------------------------------------------------------------------------------------

figures = collections.Counter()
back_at_work, truth_told, stopped_answers = [], [], []


class Round:
    def __init__(self, mode, numeral, steps, limit, full):
        self.mode, self.steps, self.limit, self.full = mode, steps, limit, full
        self.numeral, self.id, self.kills = numeral, None, 0
        self.witness = Witness(f"witness.{numeral}")
        self.told, self.ended, self.killed_steps, self.keepers_killed = set(), {}, set(), 0
        self.before = {r["id"] for r in suite.rows("select id from runs")}

    def run(self):
        self.begin()
        alone = 0
        while True:
            if self.kills < self.limit:
                self.disturb()
            else:
                self.process.wait()
            if self.process.poll() is None:
                continue
            self.hear()
            code = self.process.returncode
            if code == 0 or self.look() == "succeeded":
                break
            alone += self.kills >= self.limit
            suite.expect(alone < 5, lambda: f"run {self.id} does not come to an end: {Path('out').read_text()[:800]}")
            # More than three keepers that die are more than a run puts up with.
            given_up = code == 74 and self.keepers_killed > 3
            suite.expect(code in (-signal.SIGKILL, 1) or given_up, lambda: f"the run ended with {code}: {Path('out').read_text()[-800:]}")
            if self.kills < self.limit and chance.random() < 0.4:
                self.kill_a_look()
            self.resume()
        return self.check()

    def begin(self):
        self.process = self.start("p.yaml", "--set", f"round={self.numeral}")
        self.due = time.monotonic()

    def start(self, *arguments):
        Path("out").unlink(missing_ok=True)
        return suite.start("run", *arguments, "--quiet", "--jobs", "6", start_new_session=True)

    def resume(self):
        begun, start = self.witness.begun(), time.monotonic()
        if self.id:
            self.process = self.start("--resume", self.id)
        else:
            self.begin()
        self.due = start
        if self.kills < self.limit and chance.random() < 0.4:
            return  # it may be killed before it is back
        while self.process.poll() is None and self.witness.begun() == begun:
            time.sleep(0.001)
        self.due = time.monotonic()
        back_at_work.append(self.due - start)

    # --- What is done to it ---

    def disturb(self):
        """Waits for a moment, and does one thing, unless the run ends before."""
        moment = self.due + chance.uniform(0, 0.04 if chance.random() < 0.3 else self.full / 4)
        while time.monotonic() < moment and self.process.poll() is None:
            time.sleep(0.001)
        if self.process.poll() is not None:
            return
        what = self.mode if self.mode != "mixed" else chance.choice(["runner", "runner", "keeper", "both", "step", "stop"])
        if getattr(self, "do_" + what)():
            self.kills += 1
            figures[what] += 1
        self.due = time.monotonic()

    def keepers(self):
        return [p for p in suite.survivors() if comm(p) == "mlops-keeper"]

    def kill_runner(self):
        sent = send(self.process.pid, signal.SIGKILL)
        return self.process.wait() == -signal.SIGKILL and sent

    def kill_keepers(self):
        killed = [p for p in self.keepers() if send(p, signal.SIGKILL)]
        self.keepers_killed += len(killed)
        return bool(killed)

    def do_runner(self):
        return self.kill_runner()

    def do_keeper(self):
        return self.kill_keepers()

    def do_both(self):
        acts = [self.kill_runner, self.kill_keepers]
        chance.shuffle(acts)
        first = acts[0]()
        time.sleep(chance.choice([0, 0, 0.001, 0.01]))
        return acts[1]() or first

    def do_step(self):
        running = self.witness.running()
        if not running:
            return False
        step, attempt, pid = chance.choice(running)
        if pid not in suite.survivors():
            return False
        self.killed_steps.add((step, attempt))
        return send(pid, signal.SIGKILL)

    def do_stop(self):
        """Stopped, looked at, and continued; a runner that is there lets it go on before."""
        alone = chance.random() < 0.5
        keepers = self.keepers()
        if alone:
            self.kill_runner()
        stopped = [p for p in keepers if send(p, signal.SIGSTOP)]
        if not stopped:
            return False
        end = time.monotonic() + chance.uniform(0.05, float(os.environ.get("STOP_SECONDS", "1")))
        start = time.monotonic()
        suite.ok("runs", "--json", "--limit", "1")
        stopped_answers.append(time.monotonic() - start)
        if not alone and chance.random() < 0.3:
            self.kill_runner()
            suite.ok("runs", "--limit", "1")
        time.sleep(max(0, end - time.monotonic()))
        for pid in stopped:
            send(pid, signal.SIGCONT)
        return True

    def kill_a_look(self):
        """Whoever recovers the run is killed too."""
        for _ in range(chance.randrange(1, 3)):
            command = ["runs"] if chance.random() < 0.5 or not self.id else ["run", "--resume", self.id, "--quiet"]
            process = suite.start(*command, output="look.out", start_new_session=True)
            time.sleep(chance.uniform(0, 0.05))
            send(process.pid, signal.SIGKILL)
            figures["in_recovery"] += process.wait() == -signal.SIGKILL

    # --- What is said of it ---

    def hear(self):
        """What the runner told as done."""
        for line in Path("out").read_text(errors="replace").splitlines():
            words = line.split()
            if len(words) > 1 and words[0] == "✔" and words[1] in self.steps:
                self.told.add(words[1])

    def look(self):
        """What `runs` says when the runner is dead, held against the processes that there are."""
        keepers = self.keepers()
        start = time.monotonic()
        newest = json.loads(suite.ok("runs", "--json", "--limit", "1"))["runs"]
        if newest[0]["state"] == "running":
            # What the runner was just starting has its lock until it is another program; on a busy machine that takes longer
            # than `runs` waits for it.
            figures["told_late"] += 1
            time.sleep(1)
            newest = json.loads(suite.ok("runs", "--json", "--limit", "1"))["runs"]
        truth_told.append(time.monotonic() - start)
        if not self.id:
            new = [r for r in newest if r["id"] not in self.before]
            if not new:
                suite.expect(not self.witness.lines(), "steps ran of a run that is not on record")
                suite.expect(not self.told, "steps were told as done of a run that is not on record")
                return "unknown"
            self.id = new[0]["id"]
        state = newest[0]["state"]
        suite.expect(newest[0]["id"] == self.id, f"another run is the newest: {newest[0]['id']}")
        if state == "orphaned":
            suite.expect(keepers, "`runs` says orphaned, and there is no keeper")
        else:
            suite.expect(state in SETTLED, f"`runs` says {state} of a run without a runner")
            suite.nobody_left(f"run {self.id}, which `runs` calls {state}", f"MLOPS_RUN_ID={self.id}", 2)
            self.compare()
        return state

    def compare(self):
        """Nothing that has an end gets another one; what was told as done is done."""
        for r in suite.rows(f"select step, attempt, cause, exit_code, signal from v_attempts where run_id = '{self.id}'"):
            key, end = (r["step"], r["attempt"]), (r["cause"], r["exit_code"], r["signal"])
            if key in self.ended:
                suite.expect(self.ended[key] == end, f"{key} ended as {self.ended[key]}, and now as {end}")
            if end[0] != "running":
                self.ended[key] = end
        states = {r["name"]: r["state"] for r in suite.rows(f"select name, state from v_steps where run_id = '{self.id}'")}
        undone = [n for n in self.told if states[n] not in ("succeeded", "cached")]
        suite.expect(not undone, f"told as done and undone: {[(n, states[n]) for n in undone]}")

    def check(self):
        """At the end of the run: the witness and the database tell the same story."""
        self.hear()
        if not self.id:
            self.id = suite.ok("runs", "--ids", "--limit", "1").strip()
        suite.nobody_left(f"run {self.id}")
        self.compare()
        run = suite.rows(f"select state, exit_code, steps, resumes from runs where id = '{self.id}'")[0]
        resumes = run.pop("resumes")
        suite.expect(run == {"state": "succeeded", "exit_code": 0, "steps": len(self.steps)}, f"the run ended as {run}")
        seen = self.witness.attempts()
        suite.expect({run for run, _, _ in seen} == {self.id}, "the witness knows another run")
        known = {(r["step"], r["attempt"]): r for r in suite.rows(f"select * from v_attempts where run_id = '{self.id}'")}
        pids = {(r["name"], r["attempt"]): r["pid"] for r in suite.rows(
            f"select s.name, a.attempt, a.pid from attempts a join steps s using (run_id, step) where run_id = '{self.id}'")}
        good, bad, losses = collections.Counter(), collections.Counter(), collections.Counter()
        for (_, step, attempt), (pid, code) in seen.items():
            suite.expect((step, attempt) in known, f"{step}.{attempt} ran and is not on record")
        for (step, attempt), row in known.items():
            where = f"{step}.{attempt}: witness {seen.get((self.id, step, attempt))}, database {dict(row)}"
            pid, code = seen.get((self.id, step, attempt), (None, None))
            if row["cause"] == "lost":
                suite.expect(self.keepers_killed, f"lost, and no keeper was killed: {where}")
                figures["lost"] += 1
                losses[step] += 1
                continue
            suite.expect(row["cause"] == "exited", f"another cause than there was: {where}")
            suite.expect(pid == pids[step, attempt] or (pid is None and (step, attempt) in self.killed_steps), f"another process: {where}")
            killed = (step, attempt) in self.killed_steps and row["signal"] == signal.SIGKILL
            ended = -row["signal"] if row["signal"] is not None else row["exit_code"]
            suite.expect(killed or (code is not None and code == ended == self.steps[step].code(attempt)), f"another end: {where}")
            if not killed:
                suite.expect(code is not None, f"an end that nobody saw: {where}")
                good[step] += ended == 0
                bad[step] += ended != 0
            figures["attempts"] += 1
        for r in suite.rows(f"select name, state, reason from v_steps where run_id = '{self.id}'"):
            step = self.steps[r["name"]]
            # A resume begins to count anew: of a step that had tries left when the runner died, or that was lost.
            given_up = step.kind in ("tolerated", "signalled", "forgiven") and losses[step.name] and r["state"] in ("lost", "failed")
            suite.expect(r["state"] == step.state or given_up, f"{r['name']} ({step.kind}) is {r['state']}")
            suite.expect(good[r["name"]] == (r["state"] == "succeeded"), f"{r['name']} succeeded {good[r['name']]} times")
            most = step.tries if step.bad_until > step.tries else step.bad_until
            most = max(most, (step.tries - 1) * resumes + step.tries if step.bad_until > step.tries else 0)
            suite.expect(bad[r["name"]] <= most * (1 + losses[r["name"]]), f"{r['name']} ({step.kind}) failed {bad[r['name']]} times")
        self.check_outputs()
        figures["steps"] += len(self.steps)
        figures["runs"] += 1
        return self.kills

    def check_outputs(self):
        sums = {r["path"]: r["sha256"] for r in suite.rows(
            f"select path, sha256 from v_artifacts where run_id = '{self.id}' and direction = 'out'")}
        for step in self.steps.values():
            if step.output:
                content = Path(step.output).read_text()
                suite.expect(content == f"{step.name} of {self.numeral}\n", f"{step.output} holds {content!r}")
                suite.expect(sums.get(step.output) == hashlib.sha256(content.encode()).hexdigest(),
                             f"{step.output}: the database has the digest {sums.get(step.output)}")


def disturbed_runs(mode, kills):
    steps = make_pipeline(number("STEPS", 200))
    # One that is left alone: how long it takes, and that the pipeline is what it is meant to be.
    start = time.monotonic()
    figures.clear()
    Round(mode, f"{mode}-0", steps, 0, 1).run()
    full = time.monotonic() - start
    figures.clear()
    done, numeral = 0, 0
    while done < kills:
        numeral += 1
        done += Round(mode, f"{mode}-{numeral}", steps, min(12, kills - done), full).run()
    return done


# --- The daemon ---------------------------------------------------------------------------------------------------------


def disturbed_daemon(kills):
    """A daemon with slots and requests, killed alone, with its runs, or with their keepers too."""
    witness = Witness("witness.daemon")
    lines = ["name: slots", "schedule: {every: 1s, catchup: {mode: all, max: 100000}, overlap: allow}", "steps:"]
    for i in range(8):
        lines += [f"  s{i}:", "    run: |", '      echo B $MLOPS_RUN_ID $MLOPS_STEP $MLOPS_ATTEMPT $$ >> "$WITNESS"',
                  f"      sleep 0.0{chance.randrange(1, 9)}", '      echo E $MLOPS_RUN_ID $MLOPS_STEP $MLOPS_ATTEMPT $$ 0 >> "$WITNESS"']
        if i > 1:
            lines.append(f"    needs: s{i - 2}")
    Path("slots.yaml").write_text("\n".join(lines) + "\n")
    Path("asked.yaml").write_text("\n".join(["name: asked", *lines[2:]]) + "\n")
    begin = int(time.time()) + 1
    suite.ok("schedule", "add", "slots.yaml")
    asked, done, tries = [], 0, 0
    daemon = None
    while done < kills:
        if daemon is None:
            daemon = suite.start("daemon", "--runs", "8", output="daemon.log", start_new_session=True)
        end = time.monotonic() + chance.uniform(0, 0.1 if chance.random() < 0.3 else 1.5)
        while time.monotonic() < end:
            if chance.random() < 0.1:
                submitted = suite.run("submit", "asked.yaml", "--json")
                if submitted.returncode == 0:
                    asked.append(json.loads(submitted.stdout)["id"])
            time.sleep(0.02)
        if daemon.poll() is not None:
            # The processes of one that was killed may hold its lock for a moment.
            suite.expect(daemon.returncode == 75 and tries < 20, lambda: f"the daemon ended with {daemon.returncode}: {Path('daemon.log').read_text()[-800:]}")
            tries, daemon = tries + 1, None
            continue
        tries = 0
        with_runs, with_keepers = chance.random() < 0.4, chance.random() < 0.2
        send(daemon.pid, signal.SIGKILL)
        if with_runs or with_keepers:
            for pid in suite.survivors():
                if comm(pid) == "mlops" and with_runs and chance.random() < 0.7:
                    figures["daemon_runs"] += send(pid, signal.SIGKILL)
                elif comm(pid) == "mlops-keeper" and with_keepers:
                    figures["daemon_keepers"] += send(pid, signal.SIGKILL)
        daemon.wait()
        daemon = None
        done += 1
        figures["daemon"] += 1
    last = int(time.time())
    time.sleep(1.1)

    def all_done():
        suite.run("daemon", "--once", "--runs", "8")
        return not suite.rows("select 1 from runs where state = 'running'") and not suite.rows(
            "select 1 from requests where state in ('waiting', 'claimed')")

    suite.wait("all slots and requests have ended", all_done, 120)
    suite.nobody_left("the daemon and its runs", seconds=10)
    slots = suite.rows("select slot_at, slots, outcome, run_id, fence from slots where outcome <> 'gap' order by slot_at")
    instants = [s["slot_at"] for s in slots]
    suite.expect(all(s["slots"] == 1 for s in slots) and len(set(instants)) == len(instants), "a slot is there twice")
    missing = sorted(set(range(begin, last)) - set(instants))
    suite.expect(len([m for m in missing if m > begin + 1]) == 0, f"{len(missing)} slots are missing, such as {missing[:3]}")
    odd = [s for s in slots if s["outcome"] not in ("ran", "rejected")]
    suite.expect(not odd, f"slots that have another outcome: {odd[:3]}")
    requests = {r["id"]: r for r in suite.rows("select id, state, run_id, reason from requests")}
    suite.expect(set(asked) <= set(requests), "a request that was answered for is gone")
    wrong = [requests[i] for i in asked if requests[i]["state"] not in ("started", "rejected")]
    suite.expect(not wrong, f"requests without an end: {wrong[:3]}")
    rejected = [s for s in slots if s["outcome"] == "rejected"] + [requests[i] for i in asked if requests[i]["state"] == "rejected"]
    suite.expect(len(rejected) == 0 or figures["daemon_runs"], f"rejected, and no run was killed: {rejected[:3]}")
    ids = [s["run_id"] for s in slots if s["outcome"] == "ran"] + [requests[i]["run_id"] for i in asked if requests[i]["state"] == "started"]
    suite.expect(len(set(ids)) == len(ids), "a run stands for two")
    states = {r["id"]: r["state"] for r in suite.rows("select id, state from runs where pipeline in ('slots', 'asked')")}
    suite.expect(set(ids) == set(states), f"runs that nobody asked for: {sorted(set(states) - set(ids))[:3]}, without a record: {sorted(set(ids) - set(states))[:3]}")
    known = {(r["run_id"], r["step"], r["attempt"]): r for r in suite.rows(
        "select a.* from v_attempts a join runs r on r.id = a.run_id where r.pipeline in ('slots', 'asked')")}
    seen = witness.attempts()
    suite.expect(set(seen) <= set(known), f"ran and is not on record: {sorted(set(seen) - set(known))[:3]}")
    for key, row in known.items():
        code = seen.get(key, (None, None))[1]
        suite.expect(row["cause"] == "lost" or (row["cause"] == "exited" and code == row["exit_code"] == 0), f"{key}: witness {seen.get(key)}, database {row}")
        suite.expect(row["cause"] != "lost" or figures["daemon_keepers"], f"lost, and no keeper was killed: {row}")
    for run, state in states.items():
        ended = sum(1 for (r, _, _), (_, code) in seen.items() if r == run and code == 0)
        suite.expect(state != "succeeded" or ended == 8, f"run {run} succeeded, and {ended} of 8 steps ended")
        suite.expect(state in ("succeeded", "interrupted", "failed"), f"run {run} is {state}")
        suite.expect(state == "succeeded" or figures["daemon_runs"] or figures["daemon_keepers"], f"run {run} is {state}, and only the daemon was killed")
    figures.update(slots=len(slots), requests=len(asked), daemon_succeeded=sum(s == "succeeded" for s in states.values()),
                   rejected=len(rejected))
    return done


# --- All of it ----------------------------------------------------------------------------------------------------------


def main():
    kills = number("KILLS", 50)
    modes = (os.environ.get("MODES") or "mixed,daemon").split(",")
    suite.expect(set(modes) <= set(MODES), f"MODES are of {', '.join(MODES)}")
    # A database to look at, however soon the first run is killed.
    Path("first.yaml").write_text("steps: {a: {run: 'true'}}\n")
    suite.ok("run", "first.yaml", "--quiet")
    result, done = {}, 0
    for mode in modes:
        done += disturbed_daemon(kills) if mode == "daemon" else disturbed_runs(mode, kills)
        result[mode] = dict(figures)
        figures.clear()
    suite.expect(suite.rows("pragma integrity_check") == [{"integrity_check": "ok"}], "the database is not whole")
    suite.ok("doctor")
    late = sum(s > BACK_SECONDS for s in back_at_work)
    print(f"resume is back at work after {percentiles(back_at_work)} s; later than {BACK_SECONDS:g} s: {late}")
    # A busy machine is late now and then; a product that is late is so as a rule.
    suite.expect(late <= len(back_at_work) // 20, f"{late} of {len(back_at_work)} resumes took longer than {BACK_SECONDS:g} s")
    suite.passed(cases=done, modes=result, back_at_work_s=percentiles(back_at_work), truth_told_s=percentiles(truth_told),
                 answers_while_stopped_s=percentiles(stopped_answers), late=late)


main()
