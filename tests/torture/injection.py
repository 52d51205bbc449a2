#!/usr/bin/env python3
"""Values that try to become code: random strings through every form in which a value reaches a step.

STRINGS strings (10000) of quotes, newlines, `$(…)`, backticks, semicolons, globs, control characters, leading dashes, some of
them very long, are params in the file, `--set`, environment variables, items of `foreach`, cells of a `matrix`, values that a
step hands to later ones, and settings of a request in the queue. Steps get them as words of a list, in the text of a shell, in
`env:`, in `MLOPS_PARAMS` and `MLOPS_MATRIX`. A witness writes down what it was called with: each has to be the string, byte
for byte. Each string that could run a command would leave a file, and of some runs strace counts the programs.
"""
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from harness import Suite, number

suite = Suite("injection", ("STRINGS",))
chance = suite.chance
STRINGS = number("STRINGS", 10_000)
BATCH = 100
MARK = f"{suite.place}/PWNED"
WITNESS = f"{suite.place}/witness"

Path(WITNESS).write_text(f"""#!{sys.executable} -IS
import os, sys
name = sys.argv[1]
with open(os.environ["WITNESSES"] + "/" + name, "a") as out:
    words = ["x" + os.fsencode(w).hex() for w in sys.argv[2:]]
    env = [k.hex() + "=" + v.hex() for k, v in os.environb.items() if k[:2] in (b"V_", b"E_") or k == b"MLOPS_MATRIX"]
    file = open(os.environb[b"MLOPS_PARAMS"], "rb").read().hex() if name == "params" else ""
    out.write(" ".join(words) + "|" + " ".join(env) + "|" + file + "\\n")
""")
os.chmod(WITNESS, 0o755)

PIECES = [f"$(touch {MARK})", f"`touch {MARK}`", f"; touch {MARK};", f"| touch {MARK} |", f"&& touch {MARK} &&", f"\ntouch {MARK}\n",
          f"' ; touch {MARK} ; '", f'" ; touch {MARK} ; "', f"'\"; touch {MARK} #", f"\\'; touch {MARK}; \\'", f"> {MARK}", f"$({{touch,{MARK}}})",
          f"}}; touch {MARK}; {{", f"\r\ntouch {MARK}\r\n", f"$IFS;touch$IFS{MARK}", f"<(touch {MARK})", f"\nEOF\ntouch {MARK}\n", f"a=b touch {MARK}",
          "'", '"', "\\", "\\\\", "`", "$", "${", "}", "$$", "${HOME}", "${params.s0}", "$${params.s1}", "${env.HOME}", "${steps.give.outputs.k0}", "%s", "%n",
          "*", "?", "[a-z]", "~", "~root", "{a,b}", "!", "!!", "#", "#!", "&", "|", ";", "<", ">", "(", ")", "\n", "\t", "\r", " ", "  ", "\x01", "\x1b[31m", "\x7f",
          "\x85", "\u2028", "\ufeff", "é", "日本", "😀", "--", "-", "--set", "-rf", "--help", "=", ":", ",", "/", "..", "../../etc/passwd", "if", "then", "done",
          "time", "null", "true", "1e3", "0x10", "*.yaml", "&a", "*a", "<<: *b", "- x", "{", "[", "@", "%", ": ", "? ", "EOF", "<<EOF", "\\n", "\\0", "x", "word", "ß"]


def a_string():
    kind = chance.random()
    if kind < 0.02:
        return ""
    if kind < 0.05:
        return chance.choice(["-", "--"]) + "".join(chance.choices(PIECES, k=2))
    if kind < 0.07:
        return "".join(chance.choices(PIECES, k=chance.randint(100, 300)))
    if kind < 0.4:
        return "".join(chr(code) for code in chance.choices([*range(1, 256), *range(0x2000, 0x2070), 0x1f600], k=chance.randint(1, 12)))
    return "".join(chance.choices(PIECES, k=chance.randint(1, 5)))


def quoted(text):
    """A scalar of YAML: JSON, with what a file may not hold as it is written with escapes."""
    return "".join(f"\\u{ord(c):04x}" if 0x7f <= ord(c) <= 0xa0 or ord(c) in (0x2028, 0x2029, 0xfeff) else c
                   for c in json.dumps(text, ensure_ascii=False))


def in_file(text):
    """Of a pipeline file, where `${` is that of a reference."""
    return quoted(text.replace("${", "$${"))


def records(batch, name):
    path = Path(f"{batch}/witnesses/{name}")
    found = []
    for line in path.read_text().splitlines() if path.exists() else []:
        words, env, file = line.split("|")
        found.append(([bytes.fromhex(w[1:]) for w in words.split()],
                      dict(map(bytes.fromhex, pair.split("=")) for pair in env.split()), bytes.fromhex(file)))
    return found


checked = 0


def same(got, wanted, form, batch):
    global checked
    if got != wanted:
        wrong = next(((g, w) for g, w in zip(got, wanted) if g != w), (len(got), len(wanted)))
        suite.fail(f"{form} of batch {batch}: got {wrong[0]!r}, wanted {wrong[1]!r}")
    checked += len(wanted)


def run_batch(index, strings, traced):
    batch = f"{suite.place}/b{index}"
    os.makedirs(f"{batch}/witnesses")
    encoded = [s.encode() for s in strings]
    count = range(len(strings))
    few = strings[:5]
    # One in ten comes by --set, in place of what the file says, once as a text in quotes and once as it is.
    by_set = [i for i in count if i % 10 == 3]
    plain = [i for i in count if i % 10 == 4 and strings[i] == strings[i].strip() and strings[i][:1] not in ("[", "{", '"', "'")
             and strings[i].lower() not in ("null", "~")]
    params = "".join(f"  s{i}: {in_file('not yet' if i in by_set or i in plain else strings[i])}\n" for i in count)
    words = lambda form: ", ".join(f'"{form}"'.replace("#", str(i)) for i in count)
    shell = " ".join(f"${{params.s{i}}}" for i in count)
    stuck = " ".join(f'"<"${{params.s{i}}}">"' for i in count)
    later = " ".join(f"${{steps.give.outputs.k{i}}}" for i in count)
    # What a step hands on has no line END, and no end of a line that is not a line's.
    can_hand = [i for i in count if "\nEOV" not in strings[i]]
    hand = b"".join(b"k%d<<EOV\n%s\nEOV\n" % (i, encoded[i] if i in can_hand else b"") for i in count)
    Path(f"{batch}/hand").write_bytes(hand)
    names = "".join(f"      E_{i}: \"${{params.s{i}}}\"\n" for i in count)
    handed = "".join(f"      E_{i}: \"${{steps.give.outputs.k{i}}}\"\n" for i in count)
    Path(f"{batch}/p.yaml").write_text(f"""name: injection
params:
{params}  few: [{", ".join(map(in_file, few))}]
steps:
  list: {{run: [{WITNESS}, list, {words("${params.s#}")}]}}
  part: {{run: [{WITNESS}, part, {words("a${params.s#}b")}]}}
  shell: {{run: '{WITNESS} shell {shell}'}}
  stuck: {{run: '{WITNESS} stuck {stuck}'}}
  substituted:
    run: |
      : $({WITNESS} substituted {shell})
  env:
    run: [{WITNESS}, env]
    env:
{names}  params: {{run: [{WITNESS}, params]}}
  outside: {{run: [{WITNESS}, outside, {words("${env.V_#}")}]}}
  outside_shell: {{run: '{WITNESS} outside_shell {" ".join(f"${{env.V_{i}}}" for i in count)}'}}
  item: {{foreach: "${{params.few}}", run: [{WITNESS}, item, "${{item}}"]}}
  item_shell: {{foreach: "${{params.few}}", run: '{WITNESS} item_shell ${{item}}'}}
  cell: {{matrix: {{x: [{", ".join(map(in_file, few))}]}}, run: '{WITNESS} cell ${{matrix.x}}'}}
  give: {{run: 'cat hand >> "$MLOPS_OUTPUT"'}}
  taken: {{run: [{WITNESS}, taken, {words("${steps.give.outputs.k#}")}]}}
  taken_shell: {{run: '{WITNESS} taken_shell {later}'}}
  taken_env:
    run: [{WITNESS}, taken_env]
    env:
{handed}""")
    environment = {**os.environb, b"WITNESSES": f"{batch}/witnesses".encode(), **{b"V_%d" % i: encoded[i] for i in count}}
    # What is not UTF-8 passes a step's environment as it is.
    raw = bytes(chance.choices(range(1, 256), k=40)) + b"\xff"
    environment[b"V_raw"] = raw
    settings = [word for i in by_set for word in ("--set", f"s{i}={quoted(strings[i])}")]
    settings += [word for i in plain for word in ("-s", f"s{i}={strings[i]}")]
    command = [suite.mlops, "run", "p.yaml", "-q", "-j4", *settings]
    if traced:
        command = ["strace", "-f", "-qq", "-e", "trace=execve", "-e", "signal=none", "-o", f"{batch}/trace", *command]
    done = subprocess.run(command, cwd=batch, env=environment, capture_output=True, timeout=300, stdin=subprocess.DEVNULL)
    suite.expect(done.returncode == 0, lambda: f"batch {index}: exit code {done.returncode}: {done.stderr[:1500]!r}")
    suite.expect(not os.path.exists(MARK), lambda: f"batch {index}: a value ran a command")

    # --set without quotes reads a number as one; where it does not, the text is what it was.
    known = json.loads(records(batch, "params")[0][2])
    for i in plain:
        value = known[f"s{i}"]
        if not isinstance(value, str):
            same([json.loads(json.dumps(value))], [value], "--set of a number", index)
            strings[i] = value if isinstance(value, str) else None
    typed = [i for i in count if strings[i] is None]
    rest = [i for i in count if i not in typed]
    pick = lambda values: [values[i] for i in rest]
    want = pick(encoded)
    for form in ("list", "shell", "substituted"):
        same(pick(records(batch, form)[0][0]), want, form, index)
    same(pick(records(batch, "part")[0][0]), [b"a" + w + b"b" for w in want], "part", index)
    same(pick(records(batch, "stuck")[0][0]), [b"<" + w + b">" for w in want], "stuck", index)
    for form in ("outside", "outside_shell"):
        same(records(batch, form)[0][0], encoded, form, index)
    same([records(batch, "env")[0][1][b"E_%d" % i] for i in rest], want, "env", index)
    same([records(batch, "env")[0][1][b"V_%d" % i] for i in count] + [records(batch, "env")[0][1][b"V_raw"]], encoded + [raw], "inherited env", index)
    same([known[f"s{i}"].encode() for i in rest], want, "MLOPS_PARAMS", index)
    for form in ("item", "item_shell", "cell"):
        same(sorted(r[0][0] for r in records(batch, form)), sorted(f.encode() for f in few), form, index)
    same(sorted(json.loads(r[1][b"MLOPS_MATRIX"])["item"].encode() for r in records(batch, "item")), sorted(f.encode() for f in few), "MLOPS_MATRIX", index)
    for form in ("taken", "taken_shell"):
        same([records(batch, form)[0][0][i] for i in can_hand], [encoded[i] for i in can_hand], form, index)
    same([records(batch, "taken_env")[0][1][b"E_%d" % i] for i in can_hand], [encoded[i] for i in can_hand], "taken_env", index)
    if traced:
        count_programs(batch, index)
    if index % 10 == 0:
        run_request(batch, index, strings, by_set, environment)
    shutil.rmtree(batch)


def count_programs(batch, index):
    """Witnesses, one each; shells for texts; cat; mlops itself. Whatever else was run, a value ran."""
    programs, begun = {}, {}
    for line in Path(f"{batch}/trace").read_text(errors="replace").splitlines():
        pid = line.split()[0]
        if "execve(" in line:
            begun[pid] = line.partition('execve("')[2].partition('"')[0]
        if "execve" in line and line.endswith("= 0"):  # of an unfinished line, on one of its own
            programs[begun[pid]] = programs.get(begun[pid], 0) + 1
    witnesses = sum(len(records(batch, name)) for name in os.listdir(f"{batch}/witnesses"))
    run = programs.pop(WITNESS, 0)
    suite.expect(run == witnesses, lambda: f"batch {index}: {run} witnesses were run, and {witnesses} say so")
    others = {p: n for p, n in programs.items()
              if p not in ("/bin/sh", suite.mlops, "/proc/self/exe") and os.path.basename(p) not in ("cat", "git", "nvidia-smi")}
    suite.expect(not others, lambda: f"batch {index}: programs that nobody asked for: {others}")
    shells = 5 + 5 + 5 + 1  # texts of single steps, five items and five cells
    suite.expect(programs.get("/bin/sh") == shells, lambda: f"batch {index}: {programs.get('/bin/sh')} shells in place of {shells}")


def run_request(batch, index, strings, by_set, environment):
    """The same by way of the queue: settings are recorded, and a worker runs them."""
    for name in os.listdir(f"{batch}/witnesses"):
        os.unlink(f"{batch}/witnesses/{name}")
    settings = [word for i in by_set for word in ("--set", f"s{i}={quoted(strings[i])}")]
    for command in (["submit", "p.yaml", *settings], ["worker", "--once"]):
        done = subprocess.run([suite.mlops, *command], cwd=batch, env=environment, capture_output=True, timeout=120, stdin=subprocess.DEVNULL)
        suite.expect(done.returncode == 0, lambda: f"batch {index}: mlops {command[0]}: exit code {done.returncode}: {done.stderr[:1500]!r}")
    for form in ("list", "shell"):
        got = records(batch, form)
        suite.expect(got, f"batch {index}: the request was not run")
        same([got[0][0][i] for i in by_set], [strings[i].encode() for i in by_set], f"a request's {form}", index)
    suite.expect(not os.path.exists(MARK), lambda: f"batch {index}: a value ran a command")


def main():
    has_strace = shutil.which("strace") is not None
    batches = -(-STRINGS // BATCH)
    traced = 0
    for index in range(batches):
        trace = has_strace and index % 10 == 1
        traced += trace
        run_batch(index, [a_string() for _ in range(min(BATCH, STRINGS - index * BATCH))], trace)
    suite.passed(cases=STRINGS, comparisons=checked, runs_with_programs_counted=traced)


main()
