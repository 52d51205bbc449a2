#!/usr/bin/env python3
"""A daemon with fifty mixed schedules, killed with -9 again and again while files are edited, broken and paused.

Usage: daemon.py MLOPS     (SECONDS: how long, default 3600; SEED: what happens when, default by the clock)

At the end the ledger is compared with the slots that this program itself expects of each entry, and with what the runs
wrote down; memory and descriptors of the daemon may not have grown.
"""
import collections
import datetime
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from zoneinfo import ZoneInfo

MLOPS = os.path.realpath(sys.argv[1])
SECONDS = int(os.environ.get("SECONDS", "3600"))
SEED = int(os.environ.get("SEED", "0")) or int(time.time()) % 1_000_000
LONG = SECONDS >= 600
CHANCE = random.Random(SEED)
BEGIN = int(time.time())
WITNESS = "witness"

# --- What is to run when ------------------------------------------------------------------------------------------------


class Entry:
    """An entry of a schedule: its text, and a function that tells whether it has a slot at an instant."""

    def __init__(self, name, text, fires, times=""):
        self.name, self.text, self.fires, self.times = name, text, fires, times
        jitter = re.search(r"jitter: (\d+)s", text)
        self.latest = int(jitter[1]) if jitter else 0

    def slots(self, after, until):
        return {at for at in range(after + 1, until + 1) if self.fires(at)}


def every(seconds, name=None, more="", anchor=0, start=None, end=None):
    def fires(at):
        return (at - anchor) % seconds == 0 and (start is None or at >= start) and (end is None or at < end)

    return Entry(name or f"every {seconds}s", f"every: {seconds}s{more}", fires, f"{seconds}s")


def values(field, least, most):
    """The values of one field of cron, of the plain forms that are used here."""
    found = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        low, _, high = (f"{least}-{most}" if span == "*" else span).partition("-")
        found.update(range(int(low), int(high or low) + 1, int(step or 1)))
    return found


def cron(expression, zone, name=None, more=""):
    minutes, hours, days, months, weekdays = (
        values(f, *limits) for f, limits in zip(expression.split(), [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)]))
    where = ZoneInfo(zone)

    def fires(at):
        if at % 60:
            return False
        t = datetime.datetime.fromtimestamp(at, where)
        return t.minute in minutes and t.hour in hours and t.day in days and t.month in months and t.isoweekday() % 7 in weekdays

    return Entry(name or expression, f"cron: '{expression}', timezone: {zone}{more}", fires, expression)


def iso(at):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def day(at):
    return time.strftime("%Y-%m-%d", time.gmtime(at))


ALL = ", catchup: {mode: all, max: 100000}"
FREE = ", overlap: allow"
never = Entry("leap", "cron: '0 0 29 2 *', timezone: Pacific/Apia", lambda at: False)
mid = BEGIN + max(5, SECONDS // 3)
files = {
    "fast": ([every(1)], ""),
    "three": ([every(3, more=ALL + FREE)], ""),
    "none": ([every(5, more=", catchup: none")], ""),
    "queue": ([every(9, more=", overlap: queue"), every(30, more=", overlap: queue")], "sleep 1"),
    "replace": ([every(5, more=", overlap: replace")], "sleep 7"),
    "slow": ([every(6)], "sleep 9"),
    "fails": ([every(15)], "exit 1"),
    "late": ([every(14, more=", start_within: 5s, catchup: none")], ""),
    "jitter": ([every(20, more=f", jitter: 15s" + ALL + FREE), every(30, more=", jitter: 9s")], ""),
    "window": ([every(7, more=f", start: '{iso(mid)}', end: '{iso(mid + SECONDS // 4)}'", anchor=mid, start=mid, end=mid + SECONDS // 4)], ""),
    "days": ([Entry("off", f"every: 5s, timezone: UTC, except: ['{day(BEGIN)}', '{day(BEGIN + 86400)}']", lambda at: False), never], ""),
    "once": ([Entry(f"at {i}", f"at: '{iso(BEGIN + d)}', timezone: UTC{ALL}{FREE}", lambda at, t=BEGIN + d: at == t)
              for i, d in enumerate((SECONDS // 5, SECONDS // 3, SECONDS // 2))], ""),
    "many": ([every(n, more=more) for n, more in [(10, ALL + FREE), (11, ""), (12, FREE), (13, ", catchup: none" + FREE),
                                                   (16, ", catchup: {mode: all, max: 3, window: 1m}" + FREE), (17, FREE), (19, ", overlap: queue"), (22, ALL + FREE), (25, ""), (28, FREE), (29, ALL + FREE)]], ""),
    "zones": ([cron(f"{m} * * * *", z, more=ALL + FREE) for m, z in [("*", "Asia/Kathmandu"), ("*/2", "America/New_York"), ("1-59/2", "Australia/Lord_Howe"),
                                                                    ("*/3", "Africa/Casablanca"), ("*/5", "Antarctica/Troll"), ("7,17,27,37,47,57", "Asia/Seoul")]], ""),
    "crons": ([cron("* * * * *", "Europe/Berlin"), cron("*/4 * * * *", "America/Havana", more=", overlap: queue"), cron("0-30/2 * * 11,12 *", "UTC", more=FREE),
               cron("*/10 * * * 1-5", "Pacific/Apia", more=FREE), cron("*/6 */2 * * *", "Europe/Dublin", more=", catchup: none" + FREE)], ""),
}
# Of these the times are edited: the first and the second text take turns.
edited = {
    "edit1": ([every(4, "main", FREE)], [every(6, "main", FREE)]),
    "edit2": ([cron("*/2 * * * *", "UTC", "main", FREE), every(8, "other", ALL + FREE)], [cron("* * * * *", "Asia/Seoul", "main", FREE), every(8, "other", FREE)]),
    "edit3": ([every(5, "main", FREE)], [every(5, "main", FREE), every(7, "second", FREE)]),
}
# These are made unreadable for a while, and these paused.
broken = {"broken1": [every(5, more=FREE)], "broken2": [every(13, more=ALL + FREE), cron("* * * * *", "UTC", more=FREE)]}
paused = {"paused1": [every(4, more=ALL + FREE)], "paused2": [every(9, more=FREE), every(10, more=", catchup: none" + FREE)], "paused3": [cron("* * * * *", "UTC", more=FREE)]}

entries = sum(len(e) for e, _ in files.values()) + sum(len(e[0]) for e in edited.values()) + sum(len(e) for e in [*broken.values(), *paused.values()])

# --- The daemon, and what is done to it ---------------------------------------------------------------------------------


def fail(message):
    print(f"FAILED (seed {SEED}): {message}", file=sys.stderr)
    print(f"  kept: {os.getcwd()}", file=sys.stderr)
    sys.exit(1)


def mlops(*arguments, ok=(0,)):
    done = subprocess.run([MLOPS, *arguments], capture_output=True, text=True)
    if done.returncode not in ok:
        fail(f"mlops {' '.join(arguments)}: exit code {done.returncode}: {done.stderr}")
    return done.stdout


def rows(query):
    return json.loads(mlops("sql", "--json", query))["rows"]


def write(name, list_of_entries, more=""):
    step = f'echo "$MLOPS_PIPELINE $MLOPS_RUN_ID $MLOPS_FENCE" >> {os.getcwd()}/{WITNESS}' + ("; " + more if more else "")
    text = "\n".join([f"name: {name}", "schedule:", *(f"  - {{{e.text}, name: {e.name!r}}}" for e in list_of_entries), f"steps: {{a: {{run: '{step}'}}}}"])
    Path(name + ".new").write_text(text + "\n")
    os.rename(name + ".new", name + ".yaml")


def wait_until(what, condition):
    end = time.time() + 60
    while not condition():
        if time.time() > end:
            fail("did not come true: " + what)
        time.sleep(0.1)


class Daemon:
    def __init__(self):
        self.process, self.starts, self.samples = None, 0, []

    def start(self, *names):
        with open("daemon.log", "a") as log:
            self.process = subprocess.Popen([MLOPS, "daemon", "--runs", "16", *names], stdout=log, stderr=log)
        self.starts += 1
        self.samples.append([])
        # It says this when it has looked at all that was due.
        wait_until("the daemon serves", lambda: Path("daemon.log").read_text().count(" serving ") == self.starts or self.process.poll() is not None)
        if self.process.poll() is not None:
            fail("the daemon ended: " + Path("daemon.log").read_text()[-500:])

    def kill(self, with_children):
        # Runs that it started are sessions of their own; some of their processes die with it.
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split() if with_children else []
        self.process.kill()
        self.process.wait()
        for child in children:
            if CHANCE.random() < 0.7:
                try:
                    os.kill(int(child), signal.SIGKILL)
                except ProcessLookupError:
                    pass

    def sample(self):
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
            rss, own = (int(re.search(rf"{name}:\s+(\d+)", status)[1]) for name in ("VmRSS", "RssAnon"))
            self.samples[-1].append((time.time(), own, len(os.listdir(f"/proc/{self.process.pid}/fd")), rss))
        except (FileNotFoundError, TypeError):
            pass


windows = collections.defaultdict(list)  # by file: (what, from, until) of edits, pauses and breaks


def times_of(definition):
    return definition["cron"] or f"{definition['every_s']}s"


def is_known(name, list_of_entries):
    """Whether the ledger has these entries of the file, with these times."""
    known = [json.loads(r["definition"]) for r in rows(f"select definition from schedules where file = '{name}.yaml' and removed_at is null")]
    return {d["name"]: times_of(d) for d in known} == {e.name: e.times for e in list_of_entries}


state = {name: 0 for name in edited}
good = {}


def edit(name):
    state[name] ^= 1
    now = edited[name][state[name]]
    begin = int(time.time())
    write(name, now)
    wait_until(f"the edit of {name} is known", lambda: is_known(name, now))
    windows[name].append((state[name], begin, int(time.time()) + 1))


def break_or_mend(name):
    if name in good:
        write(name, broken[name])
        windows[name].append(("broken", good.pop(name), int(time.time()) + 3))
    else:
        good[name] = int(time.time())
        Path(name + ".yaml").write_text("name: [" + "x" * CHANCE.randrange(100))


def pause_or_resume(name):
    if name in good:
        begin, after = good.pop(name)
        before = int(time.time())
        mlops("schedule", "resume", name)
        windows[name].append(("paused", begin, after, before, int(time.time()) + 1))
    else:
        begin = int(time.time())
        mlops("schedule", "pause", name, "--note", "soak")
        good[name] = (begin, int(time.time()) + 1)


def live(daemon):
    """The time itself. In its last part nothing is killed, so that growth would be seen."""
    calm = BEGIN + SECONDS * (0.85 if LONG else 0.8)
    pause = (60, 240) if LONG else (2, 5)
    next_kill = time.time() + CHANCE.uniform(*pause)
    next_act = time.time() + 2
    while time.time() < BEGIN + SECONDS:
        time.sleep(0.2)
        daemon.sample() if not LONG or int(time.time() * 5) % 10 == 0 else None
        if next_kill < time.time() < calm:
            daemon.kill(CHANCE.random() < 0.5)
            time.sleep(CHANCE.choice([0, 0, 1, 5, 20, 90] if LONG else [0, 0, 0.5, 1.5]))
            # While it is down files change as well.
            if CHANCE.random() < 0.5:
                break_or_mend(CHANCE.choice(list(broken)))
            daemon.start()
            next_kill = time.time() + CHANCE.uniform(*pause)
        if next_act < time.time() < calm + SECONDS * 0.1:
            what = CHANCE.randrange(3)
            (edit, break_or_mend, pause_or_resume)[what](CHANCE.choice(list((edited, broken, paused)[what])))
            next_act = time.time() + CHANCE.uniform(*(5, 25) if LONG else (0.5, 2))
    for name in list(good):
        (break_or_mend if name in broken else pause_or_resume)(name)


# --- What must have come of it ------------------------------------------------------------------------------------------


def expand(slot, fires):
    """The instants of a row, which may stand for many."""
    if slot["slots"] == 1:
        return [slot["slot_at"]]
    instants = [at for at in range(slot["slot_at"], slot["until_at"] + 1) if fires(at)]
    if len(instants) != slot["slots"]:
        fail(f"a row of {slot['slots']} slots stands for {len(instants)}: {slot}")
    return instants


def changed_at(versions, name, have, change):
    """A moment of an edit which explains what the ledger has around it, if there is one."""
    number, begin, until = change
    old, new = ({e.name: e for e in edited[name][v]} for v in (number ^ 1, number))
    for moment in range(begin, until + 1):
        if all(have[key] & set(range(begin, until + 1)) ==
               (old[key].slots(begin - 1, moment) if key in old else set()) |
               (new[key].slots(moment, until) if key in new else set()) for key in versions):
            return moment
    fail(f"{name}: no moment between {begin} and {until} explains the slots around an edit: "
         + str({k: sorted(v & set(range(begin, until + 1))) for k, v in have.items()}))


def expected_of_edited(name, since, end, have):
    """By name of the entry: the slots of an edited file."""
    versions = {e.name: e for pair in edited[name] for e in pair}
    result = {key: set() for key in versions}
    now, at = edited[name][0], since
    for change in windows[name]:
        moment = changed_at(versions, name, have, change)
        for e in now:
            result[e.name] |= e.slots(at, moment)
        now, at = edited[name][change[0]], moment
    for e in now:
        result[e.name] |= e.slots(at, end)
    return result


def check(began, ended):
    audit = json.loads(mlops("schedule", "audit", "--last", "all", "--limit", "0", "--json"))
    if audit["without_outcome"] or audit["summary"].get("claimed"):
        fail(f"slots without an outcome: {audit['without_outcome']}, claimed: {audit['summary'].get('claimed')}")
    schedules = {r["id"]: r for r in rows("select id, file, name, cursor, created_at from schedules")}
    slots = collections.defaultdict(list)
    for r in rows("select * from slots where outcome <> 'gap' order by slot_at"):
        slots[r["schedule"]].append(r)
    all_files = {**{n: e for n, (e, _) in files.items()}, **broken, **paused, **{n: e[0] for n, e in edited.items()}}
    expected_count = 0
    for name, list_of_entries in all_files.items():
        of_file = {s["name"]: i for i, s in schedules.items() if s["file"] == name + ".yaml"}
        by_entry = {e.name: e for e in list_of_entries}
        have, outcome = {}, {}
        for key, number in of_file.items():
            variants = [e for v in edited.get(name, ()) for e in v if e.name == key]
            fires = by_entry[key].fires if name not in edited else lambda at, v=variants: any(e.fires(at) for e in v)
            instants = [(at, s) for s in slots[number] for at in expand(s, fires)]
            have[key] = {at for at, _ in instants}
            outcome[key] = dict(instants)
            if len(have[key]) != len(instants):
                fail(f"{name} {key}: a slot is there twice")
        # The ledger heard of it between `began` and the daemon's first word: it begins with one of these moments.
        first = min((at for h in have.values() for at in h), default=ended)
        for since in range(began[0], began[1] + 1):
            want = expected_of_edited(name, since, ended, have) if name in edited else {e.name: e.slots(since, ended) for e in list_of_entries}
            missing = {k: w - have.get(k, set()) for k, w in want.items()}
            if not any(at <= began[1] for m in missing.values() for at in m) and not any(have[k] - want.get(k, set()) and min(have[k] - want[k]) <= began[1] for k in have):
                break
        for key, w in want.items():
            # What is due by jitter only may be there or not.
            latest = by_entry[key].latest if key in by_entry else 0
            holes = sorted(at for at in w - have.get(key, set()) if at <= ended - latest)
            strays = sorted(at for at in have.get(key, set()) - w if at <= ended)
            if holes or strays:
                fail(f"{name} {key}: {len(holes)} slots are missing, such as {holes[:3]}; {len(strays)} are too many, such as {strays[:3]} (since {since}, first {first})")
            expected_count += len(w)
            text = by_entry[key].text if key in by_entry else ""
            if "max: 100000" in text and name not in paused and name not in broken and name not in edited:
                bad = [s for s in outcome[key].values() if s["outcome"] != "ran"]
                if bad:
                    fail(f"{name} {key}: all are made up for, and this was not run: {bad[0]}")
        for window in windows[name]:
            if window[0] != "paused":
                continue
            _, _, after, before, _ = window
            bad = [s for o in outcome.values() for at, s in o.items() if after < at < before and s["outcome"] != "paused"]
            if bad:
                fail(f"{name}: a slot of a pause was not paused: {bad[0]}, {window}")
        for o in outcome.values():
            for at, s in o.items():
                # One that waited when the pause began may be older than that.
                when = instant(s["decided_at"]) if "it waited" in s["reason"] else at
                if s["outcome"] == "paused" and not any(w[0] == "paused" and w[1] <= when <= w[4] for w in windows[name]):
                    fail(f"{name}: paused outside of any pause: {s}")
                if "cannot be read" in s["reason"] and name not in broken:
                    fail(f"{name}: refused, and its file was never broken: {s}")

    ran = rows("select s.run_id, s.fence, r.state from slots s left join runs r on r.id = s.run_id where s.outcome = 'ran'")
    if len({r["run_id"] for r in ran}) != len(ran):
        fail("a run has two slots")
    fences = [r["fence"] for r in rows("select fence from slots where fence is not null")]
    if len(set(fences)) != len(fences):
        fail("a fence was given twice")
    lines = collections.Counter(line.split()[1] for line in open(WITNESS))
    twice = [r for r, n in lines.items() if n > 1]
    if twice:
        fail(f"run twice: {twice[:3]}")
    stray = set(lines) - {r["run_id"] for r in ran}
    if stray:
        fail(f"runs without a slot: {sorted(stray)[:3]}")
    silent = [r["run_id"] for r in ran if r["state"] == "succeeded" and r["run_id"] not in lines]
    if silent:
        fail(f"succeeded, and nobody saw it: {silent[:3]}")
    open_runs = rows("select id from runs where state = 'running'")
    if open_runs:
        fail(f"runs without an end: {open_runs[:3]}")
    return audit["summary"], expected_count, len(lines), ran


def instant(text):
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.timezone.utc).timestamp()


def growth(samples):
    """KiB and descriptors by which the daemon has grown, the longest lives taken, once it had warmed up. Its own memory
    counts: pages of its program, and of the index that all users of the database share, come in as they are touched."""
    worst, fds = 0, 0
    for life in samples:
        if len(life) < 2 or life[-1][0] - life[0][0] < 60:
            continue
        warm = [s for s in life if s[0] - life[0][0] >= 30]
        worst = max(worst, max(s[1] for s in warm[-5:]) - max(s[1] for s in warm[:5]))
        fds = max(fds, min(s[2] for s in warm[-5:]) - min(s[2] for s in warm[:5]))
    return worst, fds


def main():
    print(f"soak: {entries} schedules, {SECONDS} s, seed {SEED}", flush=True)
    for name, (list_of_entries, more) in files.items():
        write(name, list_of_entries, more)
    for name, versions in edited.items():
        write(name, versions[0])
    for name, list_of_entries in [*broken.items(), *paused.items()]:
        write(name, list_of_entries)
    Path(WITNESS).touch()
    began = [int(time.time())]
    daemon = Daemon()
    try:
        daemon.start(*sorted(p.name for p in Path(".").glob("*.yaml")))
        began.append(int(time.time()) + 1)
        live(daemon)
    finally:
        daemon.process.send_signal(signal.SIGTERM)
        code = daemon.process.wait()
    if code != 0:
        fail(f"the daemon ended with {code}")
    time.sleep(1)
    ended = int(time.time())
    mlops("daemon", "--once", "--runs", "16")
    wait_until("all runs have ended", lambda: not rows("select id from runs where state = 'running'"))
    summary, expected, witnesses, ran = check(began, ended)
    rss, fds = growth(daemon.samples)
    every_sample = [s for life in daemon.samples for s in life]
    late = sorted(r["late_ms"] for r in rows("select late_ms from slots where outcome = 'ran' and overlap = 'allow' and late_ms is not null"))
    figures = {"seconds": SECONDS, "schedules": entries, "kills": daemon.starts - 1,
               "edits": sum(len(windows[n]) for n in edited), "breaks": sum(len(windows[n]) for n in broken), "pauses": sum(len(windows[n]) for n in paused),
               "slots_expected": expected, "outcomes": summary, "witnesses": witnesses,
               "run_states": collections.Counter(r["state"] for r in ran),
               "late_ms_median": late[len(late) // 2] if late else None, "rss_kib_most": max(s[3] for s in every_sample),
               "own_kib_most": max(s[1] for s in every_sample), "own_kib_growth": rss, "fds_most": max(s[2] for s in every_sample), "fds_growth": fds,
               "database_kib": os.path.getsize(".mlops/mlops.db") // 1024}
    print(json.dumps(figures, indent=1))
    # A page of the allocator more or less is no growth.
    if rss > 1024 or fds > 0:
        fail(f"the daemon has grown by {rss} KiB and {fds} descriptors")
    if witnesses < SECONDS // 5:
        fail("hardly anything ran")


if __name__ == "__main__":
    place = tempfile.mkdtemp(prefix="mlops-soak-")
    os.chdir(place)
    for variable in ("MLOPS_WORKSPACE", "MLOPS_RUN_ID"):
        os.environ.pop(variable, None)
    main()
    os.chdir("/")
    shutil.rmtree(place)
