#!/usr/bin/env python3
"""Files, names and owners: what mlops makes is its owner's only, and nothing that has a name makes it write elsewhere.

Under the umasks 000, 022 and 077 the modes of all that a workspace holds; workspaces that others own or may write to, or whose
parts are links, pipes, devices; NAMES names (500) of the kind that lead out of a directory, in every place where a file
or a user can give a name; records on a remote that were written to do harm. A directory around the project is compared
before and after each.
"""
import hashlib
import itertools
import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

from harness import Suite, number

suite = Suite("modes", ("NAMES", "PARTS"))
chance = suite.chance
NAMES = number("NAMES", 500)
PARTS = number("PARTS", 0)
place = Path(suite.place)
outside = place / "outside"
NOBODY = 65534
cases = 0


def make_outside():
    shutil.rmtree(outside, ignore_errors=True)
    (outside / "folder").mkdir(parents=True)
    for name in ("canary", "canary.yaml", "folder/canary", "passwd"):
        (outside / name).write_text("untouched\n")


def look(but):
    """All that lies in the suite's place, without what is below `but`: kinds, modes, contents."""
    seen = {}
    for root, folders, files in os.walk(place):
        folders[:] = [f for f in folders if Path(root) / f not in but]
        for name in folders + files:
            path = Path(root) / name
            if path in but:
                continue
            st = os.lstat(path)
            content = hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(st.st_mode) else os.readlink(path) if path.is_symlink() else ""
            seen[str(path)] = (stat.S_IFMT(st.st_mode), stat.S_IMODE(st.st_mode), content)
    return seen


def compare(before, after, what):
    changed = {p: (before.get(p), after.get(p)) for p in before.keys() | after.keys() if before.get(p) != after.get(p)}
    suite.expect(not changed, lambda: f"{what}: changed outside: {changed}")


def run(*arguments, cwd, codes=None, user=None, **more):
    global cases
    cases += 1
    words = [suite.mlops, *arguments]
    if user:
        words = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *words]
    try:
        done = subprocess.run([os.fsencode(w) for w in words], cwd=cwd, capture_output=True, timeout=60, stdin=subprocess.DEVNULL, **more)
    except subprocess.TimeoutExpired:
        suite.fail(f"mlops {arguments} in {cwd} does not end")
    said = lambda: f"mlops {arguments} in {cwd}: exit code {done.returncode}: {done.stdout[-300:]!r} {done.stderr[-600:]!r}"
    suite.expect(0 <= done.returncode < 126 and done.returncode not in (70, 99), said)
    suite.expect(codes is None or done.returncode in codes, said)
    if done.returncode != 0:
        suite.expect(done.stdout or done.stderr, lambda: said() + ": without a word")
    return done


# --- Modes ---

ALL = """name: all
schedule: "@yearly"
triggers: {files: in, name: f}
notify: {command: 'cat > told', on: [success]}
steps:
  a:
    run: 'umask > mask; cp in/x out; mkdir -p d; echo 1 > d/f; chmod +x d/f; seq 3000; echo k=v >> $MLOPS_OUTPUT; echo "{\\"name\\":\\"x\\",\\"value\\":1}" >> $MLOPS_METRICS'
    inputs: [in]
    outputs: [out, d]
"""


def modes(mask):
    project = place / f"mask{mask:03o}"
    (project / "in").mkdir(parents=True)
    (project / "in/x").write_text("1\n")
    (project / "all.yaml").write_text(ALL)
    (project / "bad.yaml").write_text("name: bad\nsteps: {a: {run: 'exit 1'}}\n")
    under = {"cwd": project, "umask": mask}
    for command in (["init", "."], ["run", "all.yaml"], ["run", "all.yaml", "--trace-reads", "--force"], ["run", "all.yaml"], ["run", "all.yaml", "--slot", "now"],
                    ["run", "bad.yaml"], ["submit", "all.yaml"], ["worker", "--once"], ["data", "add", "in", "--name", "in"], ["pin", "latest"],
                    ["remote", "add", "r", "../away"], ["push"], ["fetch"], ["db", "snapshot"], ["db", "backup", "copy.db"], ["reproduce", "latest:all"],
                    ["schedule", "add", "all.yaml"], ["schedule", "pause", "all.yaml"], ["daemon", "--once"], ["store", "gc"], ["backfill", "all.yaml", "--dry-run"],
                    ["doctor"], ["status"]):
        run(*command, codes=(0, 1, 2, 3), **under)
    with open(project / "daemon.log", "wb") as log:
        daemon = subprocess.Popen([suite.mlops, "daemon", "all.yaml"], cwd=project, umask=mask, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        suite.wait("the daemon is up", lambda: (project / ".mlops/daemon.lock").exists() and (project / ".mlops/daemon.lock").stat().st_size > 0)
        check_modes(project, mask)
        daemon.terminate()
        daemon.wait()
    check_modes(project, mask)
    suite.expect((project / "mask").read_text().strip() == f"{mask:04o}", "a step has another umask than mlops was started with")
    suite.expect(stat.S_IMODE((project / "copy.db").stat().st_mode) == 0o600, "a backup can be read by others")


def check_modes(project, mask):
    state = project / ".mlops"
    count = 0
    for root, folders, files in os.walk(state):
        # A work tree of reproduce, and what steps write by themselves, are as their umask has it, in a directory that is its owner's only.
        if Path(root).parent == state / "reproduce":
            folders[:] = [f for f in folders if f == ".mlops"]
            files = []
        for name in folders + files + (["."] if Path(root) == state else []):
            path = Path(root) / name
            mode = stat.S_IMODE(path.lstat().st_mode)
            if path.parent == state / "reproduce" or path.name.endswith((".output", ".metrics")):
                continue
            count += 1
            wanted = (0o700,) if path.is_dir() else (0o444, 0o400) if "objects" in path.parts else (0o600, 0o400, 0o444) if "store" in path.parts else (0o600,)
            suite.expect(mode in wanted, lambda: f"umask {mask:03o}: {path} has mode {mode:04o}")
    suite.expect(count > 40, f"only {count} files were looked at")


# --- Workspaces of others, and hostile ones ---

GOOD = "name: good\nsteps:\n  a: {run: 'echo 1 > out', inputs: [p.yaml], outputs: [out]}\n"


def project_at(path, user=None):
    path.mkdir(parents=True)
    (path / "p.yaml").write_text(GOOD)
    if user:
        os.chown(path, user, user)
    return path


def owners():
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        return False
    os.chmod(place, 0o755)
    attempts = 0
    for what, owner, mode in (("of root", 0, 0o755), ("of root, for all", 0, 0o777), ("own, for all", NOBODY, 0o777), ("own, for the group", NOBODY, 0o770)):
        project = project_at(place / f"owner{attempts}", NOBODY)
        (project / ".mlops").mkdir()
        os.chown(project / ".mlops", owner, owner)
        os.chmod(project / ".mlops", mode)
        before = look(())
        for command in (["run", "p.yaml"], ["submit", "p.yaml"], ["worker", "--once"], ["daemon", "--once", "p.yaml"], ["store", "gc"], ["rm", "latest"], ["data", "add", "p.yaml"], ["db", "snapshot"]):
            done = run(*command, cwd=project, user=NOBODY)
            suite.expect(done.returncode != 0, lambda: f"{command} works in a workspace {what}")
        compare(before, look(()), f"a workspace {what}")
        attempts += 1
    # Its own, reached by a link that somebody else made.
    project = project_at(place / "linked", NOBODY)
    theirs = place / "theirs"
    theirs.mkdir(mode=0o755)
    os.symlink(theirs, project / ".mlops")
    before = look(())
    suite.expect(run("run", "p.yaml", cwd=project, user=NOBODY).returncode != 0, "a link to somebody else's directory is used as a workspace")
    compare(before, look(()), "a workspace that is a link")
    return True


STATE = ("mlops.db", "mlops.db.lock", "mlops.db-wal", "mlops.db-shm", "runs", "claims", "claims/lock", "daemon", "daemon.lock", "daemon.bell", "queue.bell", "runs.bell",
         "workers", "outbox.lock", "repeats", "snapshots", "config.yaml", ".gitignore", "store", "store/index.db", "store/use.lock", "store/objects", "store/tmp",
         "store/leases", "store/gc.lock", "")
KINDS = ("link to a file", "link to nothing", "link to a device", "pipe", "folder", "text", "locked")


def hostile():
    combinations = list(itertools.product(STATE, KINDS))
    if PARTS:
        combinations = chance.sample(combinations, min(PARTS, len(combinations)))
    for index, (part, kind) in enumerate(combinations):
        project = project_at(place / f"hostile{index}")
        path = project / ".mlops" / part if part else project / ".mlops"
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if part:
            os.chmod(project / ".mlops", 0o700)
        make_outside()
        if kind == "link to a file":
            os.symlink(outside / "canary", path)
        elif kind == "link to nothing":
            os.symlink(outside / "new", path)
        elif kind == "link to a device":
            os.symlink(chance.choice(["/dev/zero", "/dev/full", "/dev/null", "/dev/tty"]), path)
        elif kind == "pipe":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
            (path / "x").write_text("x")
        elif kind == "text":
            path.write_text("\0nothing\n" * 1000)
        else:
            path.mkdir()
            os.chmod(path, 0)
        before = look((project,))
        for command in (["status"], ["runs"], ["doctor"], ["run", "p.yaml", "-q"], ["run", "p.yaml"], ["submit", "p.yaml"], ["worker", "--once"], ["daemon", "--once", "p.yaml"], ["store", "gc"], ["db", "snapshot"]):
            run(*command, cwd=project)
        after = look((project,))
        if kind == "link to nothing":  # a disk that was put elsewhere: followed, where nothing is overwritten
            after = {p: entry for p, entry in after.items() if not p.startswith(str(outside / "new"))}
        compare(before, after, f".mlops/{part} is a {kind}")
        shutil.rmtree(project, ignore_errors=True)


# --- Names ---

def corpus():
    up = ["..", "%2e%2e", "%252e%252e", "%2E%2E", "..%2f..", "..%5c..", "..\\", "\\..\\", "..;", "....//", ".%2e", "..%00", "..%c0%af", "..%u2215", "．．", "․․", "..∕", "..⁄",
          "..／", ".. ", "..\t", "..\n", "..\x1b[2J", "..\x7f", "..#", "..?", "#/..", "?/..", "./..", "a/../..", "file:..", "..\u202e", "..\u200b"]
    tails = ["canary", "outside/canary", "new", ""]
    names = {"/".join([step] * depth + ([tail] if tail else [])) for step in up for depth in (1, 3, 8) for tail in tails}
    names |= {prefix + str(outside) + "/" + tail for prefix in ("", "/", "file://", "file:", "./", "a/..", "~", "C:", "\\\\", "//localhost") for tail in ("canary", "new", "folder/", "")}
    names |= {"~", "~/x", "~root", "~root/x", "C:/x", "C:\\x", "//x/y", "/", "//", ".", "..", "...", "./", "", " ", "-", "--", "-rf", "--help", "-x/../../canary", "@{u}", "x@../../canary",
              "in@../../canary", "latest/../../x", "latest:../../x", "a" * 300, "a/" * 200, "../" * 200 + "x", "\x01", "\n", "a\nb", "a\rb", "\x1b]0;x\x07", "a\u2028b", "*", "?", "[a]", "$HOME", "$(id)", "`id`",
              ".git/hooks/x", ".mlops/mlops.db", "../.mlops/x", "%", "%s%n", "nul", "con", "x\0y", "../x\0.yaml", "\udcff"}
    return sorted(names)


def yaml(text):
    return '"' + "".join(c if c.isalnum() and c.isascii() else f"\\x{ord(c):02x}" if ord(c) < 256 else f"\\u{ord(c):04x}" for c in text) + '"'


# What a file says, and what is done with it.
FILES = {
    "a step": "steps: {%s: {run: 'true'}}", "a pipeline": "name: %s\nsteps: {a: {run: 'true'}}", "an output": "steps: {a: {run: 'true', outputs: [%s], cache: true}}",
    "an output with kind": "steps: {a: {run: 'true', outputs: [{path: %s, kind: %s}]}}", "an input": "steps: {a: {run: 'true', inputs: [%s]}}",
    "metrics": "steps: {a: {run: 'true', metrics: [%s]}}", "code": "steps: {a: {run: 'true', code: [%s]}}", "a workdir": "steps: {a: {run: 'true', workdir: %s}}",
    "a secret's file": "secrets: {S: {file: %s}}\nsteps: {a: {run: 'true', secrets: [S]}}", "a secret": "secrets: [%s]\nsteps: {a: {run: 'true', secrets: [%s]}}",
    "an item": "steps: {a: {run: 'true', foreach: [%s]}}", "a key": "steps: {a: {run: 'true', foreach: {%s: 1}}}", "a cell": "steps: {a: {run: 'true', matrix: {x: [%s]}}}",
    "an axis": "steps: {a: {run: 'true', matrix: {%s: [1]}}}", "a pool": "pools: {%s: 1}\nsteps: {a: {run: 'true', resources: {pools: [%s]}}}",
    "a variable": "env: {%s: x}\nsteps: {a: {run: 'true'}}", "a param": "params: {%s: 1}\nsteps: {a: {run: 'true', params: [%s]}}",
    "a schedule": "schedule: {cron: '@yearly', name: %s}\nsteps: {a: {run: 'true'}}", "days": "schedule: {cron: '@yearly', except: %s}\nsteps: {a: {run: 'true'}}",
    "a trigger": "triggers: {files: x, name: %s}\nsteps: {a: {run: 'true'}}", "watched files": "triggers: {files: %s}\nsteps: {a: {run: 'true'}}",
    "a hook": "secrets: [H]\ntriggers: {webhook: H, name: %s}\nsteps: {a: {run: 'true'}}",
    "one who is told": "notify: {command: 'true', name: %s, on: [success]}\nsteps: {a: {run: 'true'}}", "a kind": "steps: {a: {run: 'true', kind: %s}}",
    "a need": "steps: {a: {run: 'true', needs: %s}}", "a time zone": "schedule: {cron: '@yearly', timezone: %s}\nsteps: {a: {run: 'true'}}",
    "a program": "steps: {a: {run: [%s]}}",
}
PATHS_OF_THE_AUTHOR = ("an output", "an output with kind", "metrics")
ARGUMENTS = [["show", "%s"], ["logs", "%s"], ["logs", "latest", "%s"], ["why", "%s"], ["why", "a", "%s"], ["diff", "%s", "latest"], ["cancel", "%s"], ["rm", "%s"], ["pin", "%s"], ["unpin", "%s"],
             ["reproduce", "%s"], ["run", "--resume", "%s"], ["run", "p.yaml", "--only", "%s"], ["run", "p.yaml", "--force", "%s"], ["run", "p.yaml", "--slot", "%s"],
             ["run", "p.yaml", "--set", "%s=1"], ["data", "add", "in", "--name", "%s"], ["data", "add", "in", "--name", "in", "--note", "%s"], ["data", "show", "%s"], ["data", "checkout", "%s"],
             ["data", "checkout", "in@%s"], ["data", "diff", "in", "%s"], ["data", "versions", "%s"], ["remote", "add", "%s", "away"], ["remote", "rm", "%s"], ["push", "%s"], ["fetch", "%s"], ["pull", "%s"],
             ["push", "--remote", "%s"], ["submit", "p.yaml", "--queue", "%s"], ["submit", "p.yaml", "--key", "%s"], ["queue", "cancel", "%s"], ["worker", "--once", "--queue", "%s"],
             ["runs", "tag", "latest", "%s=1"], ["runs", "--tag", "%s"], ["lineage", "%s"], ["store", "where", "%s"], ["db", "restore", "%s"], ["schedule", "pause", "%s"], ["schedule", "resume", "%s"], ["schedule", "remove", "%s"],
             ["trigger", "fire", "p.yaml", "%s"], ["notify", "retry", "%s"], ["graph", "%s"], ["validate", "%s"], ["plan", "%s"], ["sql", "%s"]]


def names():
    chosen = corpus()
    if NAMES < len(chosen):
        chosen = chance.sample(chosen, NAMES)
    project = project_at(place / "w/deep/er/project")
    (project / "in").mkdir()
    (project / "in/x").write_text("x")
    (project / "dvc").mkdir()
    (project / "dvc/.dvc").mkdir()
    make_outside()
    for command in (["init", "."], ["run", "p.yaml"], ["data", "add", "in", "--name", "in"], ["remote", "add", "away", "away"], ["push"]):
        run(*command, cwd=project, codes=(0, 2))
    environment = {**os.environ, "HOME": str(outside), "H": "a secret of the hook"}
    before = look((project,))
    for name in chosen:
        shown = name.encode("utf-8", "surrogateescape")
        if "\udcff" not in name:
            for what, text in FILES.items():
                (project / "x.yaml").write_text(text.replace("%s", yaml(name)) + "\n")
                run("run", "x.yaml", "--trace-reads", cwd=project, env=environment)
                after = look((project,))
                if what in PATHS_OF_THE_AUTHOR:  # may lead out: folders are made for it, what is there stays
                    after = {p: entry for p, entry in after.items() if p in before or entry[0] != stat.S_IFDIR}
                compare(before, after, f"{what} called {shown!r}")
                before = look((project,))
            (project / "x.yaml").write_text("name: x\nsteps: {a: {run: 'cat key >> $MLOPS_OUTPUT; cat metric >> $MLOPS_METRICS'}}\n")
            (project / "key").write_text(name + "=1\n")
            (project / "metric").write_text(json.dumps({"name": name, "value": 1}) + "\n")
            run("run", "x.yaml", cwd=project, env=environment)
            (project / "dvc/dvc.yaml").write_text(f"stages: {{{yaml(name)}: {{cmd: 'true'}}}}\n")
            run("run", "dvc.yaml", "--trace-reads", cwd=project / "dvc", env=environment)
            compare(before, look((project,)), f"a key, metric or stage called {shown!r}")
        if "\0" in name:
            continue
        for words in ARGUMENTS:
            run(*[w.replace("%s", name) for w in words], cwd=project, env=environment)
        run("runs", cwd=project, env={**environment, "MLOPS_WORKSPACE": name})
        compare(before, look((project,)), f"an argument {shown!r}")
        suite.expect((project / "in/x").exists() and (project / "p.yaml").exists(), lambda: f"files are gone after {shown!r}")
    return len(chosen)


# --- What a remote says ---

def foreign():
    """A remote that was written to do harm: the paths of results lead out, into git, through a link that another result brings."""
    maker = place / "maker"
    (maker).mkdir()
    (maker / "p.yaml").write_text(f"""name: evil
steps:
  links: {{run: 'mkdir d; ln -s {outside} d/l; ln -s ../.git d/g; ln -s ../.mlops d/m; echo 1 > d/x', inputs: [p.yaml], outputs: [d]}}
  file: {{run: 'echo pwned > fileout', inputs: [p.yaml], outputs: [fileout]}}
""")
    make_outside()
    run("run", "p.yaml", cwd=maker, codes=(0,))
    run("remote", "add", "r", str(place / "evil"), cwd=maker, codes=(0,))
    run("push", cwd=maker, codes=(0,))
    records = list((place / "evil").rglob("runs/*.json"))
    suite.expect(len(records) == 1, "the remote has no record")
    text = records[0].read_text()
    record = text[text.index('"record": ') + len('"record": '):text.rindex("}")]
    signed = lambda r: text.replace(record, r).replace(hashlib.sha256(record.encode()).hexdigest(), hashlib.sha256(r.encode()).hexdigest())
    suite.expect('"fileout"' in record and signed(record) == text and signed("{}") != text.replace(record, "{}"), "the form of records is another one")
    made = accepted = 0
    targets = ["../outside/canary", "../new", "../../new", str(outside / "canary"), str(outside / "new"), ".git/hooks/pre-commit", ".git/config", "sub/.git/hooks/x", "d/l/canary", "d/l/new", "d/l/folder/new", "d/g/hooks/x", "d/m/config.yaml",
               "./../new", "x/../../new", ".mlops/config.yaml", ".mlops/runs/x", "./.mlops/x", "", ".", "/", "d/../../new", "x\0y", "~/x", "a" * 5000, *chance.sample(corpus(), 10)]
    for index, target in enumerate(targets):
        if "\udcff" in target:
            continue
        records[0].write_text(signed(record.replace('"fileout"', json.dumps(target, ensure_ascii=False))))
        taker = place / f"taker{index}"
        (taker / ".git/hooks").mkdir(parents=True)
        (taker / ".git/config").write_text("[core]\n")
        (taker / ".mlops").mkdir(mode=0o700)
        run("remote", "add", "r", str(place / "evil"), cwd=taker, codes=(0,))
        config = (taker / ".mlops/config.yaml").read_bytes()
        before, git = look((taker,)), look([p for p in taker.iterdir() if p.name != ".git"])
        for command in (["pull"], ["pull", "--force"], ["show"], *([["fetch"], ["reproduce", "latest"], ["lineage", "x"]] if NAMES > 50 else [])):
            run(*command, cwd=taker)
            accepted += command == ["show"] and bool(json.loads(run("runs", "--json", cwd=taker).stdout)["runs"])
        compare(before, look((taker,)), f"a remote's result at {target!r}")
        compare(git, look([p for p in taker.iterdir() if p.name != ".git"]), f"a remote's result at {target!r}, in .git")
        suite.expect((taker / ".mlops/config.yaml").read_bytes() == config, f"a remote's result at {target!r} wrote the configuration")
        shutil.rmtree(taker)
        made += 1
    suite.expect(accepted > made / 2, lambda: f"of {made} records only {accepted} were looked at any closer")
    return made


def main():
    for mask in (0o000, 0o077, *([0o022] if NAMES > 50 else [])):
        modes(mask)
    owned = owners()
    hostile()
    tried = names()
    records = foreign()
    suite.passed(cases=cases, names=tried, records_of_others=records, other_owners=owned)


main()
