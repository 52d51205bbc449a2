#!/usr/bin/env python3
"""Secrets that must be found nowhere: canaries by environment, file and command, in steps that do all they can to show them.

ROUNDS rounds (3), each with canaries of its own: steps print them in one piece, across writes and the borders of reads, as
base64, in URLs, in JSON, in hex, and hand them to later steps; they fail, abort and are killed; runs are verbose, traced, killed, resumed,
reproduced, compared, sent to a remote, told to webhooks; every command that shows something shows it. Then all that was
printed, every file below .mlops, what was sent, the command lines of all processes while that went on, are searched for the
canaries as they are, as base64, as in a URL, and in hex. A step that does not name a secret looks for it in its environment.
"""
import base64
import contextlib
import http.server
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
from pathlib import Path

from harness import Suite, number

suite = Suite("canaries", ("ROUNDS",))
chance = suite.chance
ROUNDS = number("ROUNDS", 3)


def word(size):
    return "".join(chance.choices("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", k=size))


def forms(secret):
    """What is searched for. Of base64 the digits that do not depend on what stands around."""
    raw = secret.encode()
    found = {raw, urllib.parse.quote(secret).encode(), urllib.parse.quote(secret, safe="").encode(), urllib.parse.quote_plus(secret).encode(),
             json.dumps(secret)[1:-1].encode(), json.dumps(secret, ensure_ascii=False)[1:-1].encode(), raw.hex().encode(), raw.hex().upper().encode()}
    found |= {line.encode() for line in secret.splitlines() if len(line) >= 8}
    for shift in range(3):
        for altchars in (b"+/", b"-_"):
            encoded = base64.b64encode(b"\0" * shift + raw, altchars)
            found.add(encoded[-(-shift * 8 // 6):(shift + len(raw)) * 8 // 6])
    return found


SHOW = r'''
import base64, json, os, sys, time, urllib.parse
how, names = sys.argv[1], sys.argv[2:]
out = sys.stdout.buffer
def put(*pieces):
    for piece in pieces:
        out.write(piece)
        out.flush()
        time.sleep(0.002)
for name in names:
    s = os.environb[name.encode()]
    t = s.decode()
    if how == "plain":
        put(b"the secret is " + s + b".\n", s, s, b"\n")
        sys.stderr.write(t + "\n")
    elif how == "split":
        step = max(1, len(s) // 12)
        for at in range(0, len(s), step): put(s[:at], s[at:])
        put(*[s[i:i + 1] for i in range(len(s))])
    elif how == "border":
        for before in (65536 - len(s) // 2, 4096 - 1, 65536 - 1):
            put(b"." * before + s + b"\n")
    elif how == "streams":
        half = len(s) // 2
        put(s[:half]); sys.stderr.write("between\n"); sys.stderr.flush(); put(s[half:])
    elif how == "base64":
        for before in (b"", b"x", b"xy"):
            put(base64.b64encode(before + s) + b"\n", base64.urlsafe_b64encode(before + s + b"tail") + b"\n")
        put(base64.encodebytes(s))
    elif how == "url":
        put(*(("https://example.org/?token=" + f(t) + "&x=1\n").encode() for f in (urllib.parse.quote, urllib.parse.quote_plus, lambda x: urllib.parse.quote(x, safe=""))))
        put(urllib.parse.quote(t, safe="").lower().encode() if t.islower() else b"")
    elif how == "json":
        put(json.dumps({"token": t}).encode(), json.dumps({"token": t}, ensure_ascii=False).encode())
    elif how == "hex":
        put(s.hex().encode() + b"\n" + s.hex().upper().encode())
    elif how == "files":
        with open(os.environ["MLOPS_OUTPUT"], "a") as f: f.write(name + "<<EOV\n" + t + "\nEOV\nencoded" + name + "=" + base64.b64encode(s).decode() + "\n")
        with open(os.environ["MLOPS_METRICS"], "a") as f: f.write(json.dumps({"name": t, "value": 1}) + "\n")
    elif how == "open":
        for path in (t, urllib.parse.quote(t, safe="")):
            try: open("in/" + path)
            except OSError: pass
'''
LOOK = r'''
import os, sys
wanted = [bytes.fromhex(w) for w in open("wanted").read().split()]
environment = open("/proc/self/environ", "rb").read() + open(f"/proc/{os.getppid()}/cmdline", "rb").read()
sys.exit(9 if any(w in environment for w in wanted) else 0)
'''
NAMES = "CAN_ENV CAN_FILE CAN_CMD CAN_OTHER"
HOWS = ("plain", "split", "border", "streams", "base64", "url", "json", "hex", "files", "open")


def pipeline(port):
    steps = "".join(f"  {how}: {{run: [{sys.executable}, show.py, {how}, {', '.join(NAMES.split())}], secrets: [{', '.join(NAMES.split())}]}}\n"
                    for how in HOWS)
    return f"""name: canaries
params: {{x: 1}}
secrets:
  CAN_ENV: ~
  CAN_OTHER: {{env: OUTER_CANARY}}
  CAN_FILE: {{file: secret.txt}}
  CAN_CMD: {{command: [cat, secret.cmd]}}
  HOOK: ~
notify:
  - {{webhook: {{secret: HOOK}}, on: [failure, success], text: "${{headline}} ${{failures}}"}}
  - {{command: 'echo "$MLOPS_TEXT"; echo $CAN_ENV; cat', on: [failure, success], name: script}}
steps:
{steps}  traced: {{run: 'set -x; : "$CAN_ENV" $CAN_CMD', secrets: [CAN_ENV, CAN_CMD]}}
  later: {{run: 'echo ${{steps.files.outputs.CAN_CMD}}', secrets: [CAN_CMD]}}
  made: {{run: 'cat in/data > out.txt; echo "{{\\"m\\": 1}}" > m.json; echo "$CAN_ENV"', inputs: [in/data], outputs: [out.txt], metrics: [m.json], secrets: [CAN_ENV]}}
  innocent: {{run: [{sys.executable}, look.py], needs: made}}
  innocent_shell: {{run: '{sys.executable} look.py'}}
"""


BAD = """name: bad
secrets: {CAN_ENV: ~, CAN_FILE: {file: secret.txt}, CAN_CMD: {command: [cat, secret.cmd]}, HOOK: ~}
notify:
  - {webhook: {secret: HOOK}, on: [failure, success]}
steps:
  fails: {run: 'echo "$CAN_ENV"; echo "$CAN_FILE" >&2; exit 7', secrets: [CAN_ENV, CAN_FILE], on_failure: continue}
  aborts: {run: 'echo "$CAN_CMD"; kill -ABRT $$', secrets: [CAN_CMD], on_failure: continue}
  killed: {run: 'printf %s "$CAN_CMD"; kill -9 $$', secrets: [CAN_CMD], on_failure: continue}
  late: {run: 'printf %s "$CAN_ENV"; sleep 60', timeout: 200ms, grace: 100ms, secrets: [CAN_ENV], on_failure: continue}
  unset: {run: 'echo ${steps.fails.outputs.nothing}', secrets: [CAN_ENV], needs: fails}
"""
SLOW = """name: slow
secrets: {CAN_ENV: ~, CAN_CMD: {command: [cat, secret.cmd]}}
steps:
  slow: {run: 'echo "$CAN_ENV"; echo "$CAN_CMD"; touch begun; i=0; while [ ! -e go ] && [ $i -lt 300 ]; do sleep 0.1; i=$((i+1)); done; echo "$CAN_ENV"', secrets: [CAN_ENV, CAN_CMD]}
  after: {run: 'echo "$CAN_CMD"', secrets: [CAN_CMD], needs: slow}
"""


class Round:
    def __init__(self, index):
        self.place = Path(suite.place) / f"r{index}"
        (self.place / "in").mkdir(parents=True)
        self.printed = 0
        self.outputs = self.place / "outputs"
        self.outputs.mkdir()
        special = word(6) + "+/ü\"'\\& " + word(14)
        pem = "-----BEGIN " + word(10) + "-----\n" + "\n".join(word(64) for _ in range(3)) + "\n-----END " + word(10) + "-----"
        self.canaries = {"CAN_ENV": special, "CAN_OTHER": word(24), "CAN_FILE": pem, "CAN_CMD": word(40), "HOOK": "token-" + word(20)}
        self.wanted = set().union(*map(forms, self.canaries.values()))
        self.received, self.seen_lines = [], []
        self.server = self.serve()
        port = self.server.server_address[1]
        self.environment = {**os.environ, "CAN_ENV": special, "OUTER_CANARY": self.canaries["CAN_OTHER"],
                            "HOOK": f"http://127.0.0.1:{port}/hook/{self.canaries['HOOK']}?key={self.canaries['HOOK']}"}
        for name, text in {"secret.txt": pem + "\n", "secret.cmd": self.canaries["CAN_CMD"] + "\n", "show.py": SHOW, "look.py": LOOK, "in/data": "1\n",
                           "p.yaml": pipeline(port), "bad.yaml": BAD, "slow.yaml": SLOW,
                           # What the innocent look for, not as it is written.
                           "wanted": " ".join(c.encode().hex() for n, c in self.canaries.items() if n != "HOOK")}.items():
            (self.place / name).write_text(text)
        (self.place / ".mlops").mkdir(mode=0o700)
        (self.place / ".mlops/config.yaml").write_text("notify: {allow_private: [127.0.0.1]}\n")
        self.watching = True
        self.watcher = threading.Thread(target=self.watch)
        self.watcher.start()

    def serve(self):
        received = self.received

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                received.append(b"\n".join([bytes(str(self.headers), "utf-8", "replace"), body]))
                answer = ("no, " + self.path).encode()  # it says the secret again
                self.send_response(404 if len(received) % 2 else 200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *arguments):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def watch(self):
        """Command lines of all processes, over and over."""
        seen = set()
        while self.watching:
            for name in os.listdir("/proc"):
                if name.isdigit():
                    with contextlib.suppress(OSError):
                        seen.add(Path(f"/proc/{name}/cmdline").read_bytes())
            time.sleep(0.01)
        self.seen_lines = seen

    def mlops(self, *arguments, codes=(0,), **more):
        done = subprocess.run([suite.mlops, *arguments], cwd=self.place, env={**self.environment, **more}, capture_output=True, timeout=120,
                              stdin=subprocess.DEVNULL, preexec_fn=cores)
        self.keep(done.stdout + done.stderr)
        suite.expect(codes is None or done.returncode in codes, lambda: f"mlops {' '.join(arguments)}: exit code {done.returncode}: {done.stderr[-600:]!r}")
        return done.stdout.decode(errors="replace")

    def keep(self, text):
        self.printed += 1
        (self.outputs / str(self.printed)).write_bytes(text)

    def run(self):
        debug = {"MLOPS_LOG": "debug"}
        self.mlops("run", "p.yaml", "--output", "live", **debug)
        self.mlops("run", "p.yaml", "-v", "--json", "--trace-reads", "--set", "x=2", codes=(0,))
        for command in (["show", "--inputs", "--environment"], ["show", "--json"], ["logs", "latest"], ["logs", "--json"], ["why", "made"], ["why", "plain"],
                        ["plan", "p.yaml"], ["lint", "p.yaml"], ["graph", "p.yaml"], ["validate", "p.yaml"], ["runs"], ["status"], ["lineage", "out.txt"],
                        ["run", "p.yaml", "--dry-run"], ["notify", "list"], ["notify", "list", "--json"], ["notify", "test", "p.yaml"], ["doctor"],
                        ["sql", "--json", "select * from step_outputs"], ["db", "snapshot"], ["db", "backup", ".mlops/copy.db"], ["reproduce", "latest", "-v"]):
            self.mlops(*command, codes=None, **debug)
        self.mlops("run", "bad.yaml", "--output", "failed", codes=(1, 124), **debug)
        self.mlops("run", "bad.yaml", "--trace-reads", codes=(1, 124))
        self.mlops("show", "latest")
        ids = self.mlops("runs", "--ids").split()
        self.mlops("diff", ids[-1], ids[0])
        self.mlops("submit", "p.yaml", "--set", "x=3")
        self.mlops("worker", "--once", "-v")
        self.mlops("remote", "add", "away", str(self.place / ".mlops/away"), codes=None)
        self.mlops("push", "-v", codes=None)
        self.cannot_be_had()
        self.killed()

    def cannot_be_had(self):
        """Errors say which secret, and never what it is."""
        for name, secrets in {"gone": "CAN_ENV: {env: NOT_SET}", "nul": "CAN_ENV: {file: nul}", "code": "CAN_ENV: {command: [sh, -c, 'cat secret.cmd secret.cmd >&2; cat secret.cmd; exit 3']}"}.items():
            (self.place / "nul").write_bytes(self.canaries["CAN_CMD"].encode() + b"\0")
            (self.place / "x.yaml").write_text(f"name: {name}\nsecrets: {{{secrets}}}\nsteps: {{a: {{run: 'true', secrets: [CAN_ENV]}}}}\n")
            self.mlops("run", "x.yaml", codes=(2,), MLOPS_LOG="debug")

    def killed(self):
        """The runner aborts while it holds them, its keeper goes on; the run is resumed."""
        for number in (signal.SIGABRT, signal.SIGSEGV):
            for name in ("begun", "go"):
                (self.place / name).unlink(missing_ok=True)
            with open(self.place / "outputs/slow", "ab") as file:
                child = subprocess.Popen([suite.mlops, "run", "slow.yaml", "-v"], cwd=self.place, env=self.environment, stdout=file, stderr=file,
                                         stdin=subprocess.DEVNULL, preexec_fn=cores)
                suite.wait("the slow step runs", (self.place / "begun").exists)
                child.send_signal(number)
                child.wait()
            (self.place / "go").touch()
            self.mlops("run", "--resume", "latest", "-v")
            self.mlops("logs", "latest")

    def search(self):
        self.watching = False
        self.watcher.join()
        self.server.shutdown()
        cores = [str(p) for p in self.place.rglob("core*")]
        suite.expect(not cores, lambda: f"a core was dumped: {cores}")
        count = 0
        for root in (self.place / ".mlops", self.outputs):
            for path in root.rglob("*"):
                # What a step of a reproduced run wrote is its work tree, and so are the files that it was given.
                if path.is_file() and not path.is_symlink() and path.name not in ("secret.txt", "secret.cmd"):
                    count += 1
                    self.look_at(path.read_bytes(), str(path))
        for body in self.received:
            self.look_at(body, "what a webhook got")
        for line in self.seen_lines:
            self.look_at(line, "a command line")
        suite.expect(self.received, "nothing was sent to the webhook")
        text = b"".join(p.read_bytes() for p in (self.place / ".mlops/runs").rglob("logs/*"))
        suite.expect(text.count(b"***") > 100, "the logs have nothing that is masked")
        suite.expect(b"SQLite" in (self.place / ".mlops/mlops.db").read_bytes(), "the database was not searched")
        return count, len(self.seen_lines)

    def look_at(self, data, where):
        for wanted in self.wanted:
            at = data.find(wanted)
            suite.expect(at < 0, lambda: f"a canary is in {where}: {data[max(0, at - 60):at + len(wanted) + 20]!r}")


def cores():
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)


def main():
    files, lines = 0, 0
    for index in range(ROUNDS):
        this = Round(index)
        try:
            this.run()
        finally:
            this.watching = False
        found = this.search()
        files, lines = files + found[0], lines + found[1]
    suite.passed(cases=ROUNDS * len(HOWS) * 4, files_searched=files, command_lines_searched=lines)


main()
