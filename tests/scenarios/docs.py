#!/usr/bin/env python3
"""Keeps the pages of the manual true: runs the commands they show and compares what they print.

    docs.py run MLOPS SOURCE_DIR PAGE     runs a page's commands in the current, empty directory
    docs.py facts MLOPS SOURCE_DIR        names, links and tables that pages must hold

What a page may use:

  * A fence ```console holds commands and what they print, stdout and stderr together. A command begins with "$ ", its
    further lines with "> " (or ">" where they are empty). "# exit code N" after it says how it ends; otherwise it must
    end with 0. Where no output is shown, none is looked at; where some is shown, all of it must be, except what "…"
    stands for: a part of a line, or any number of lines where it is alone.
  * A fence of any language whose first line is "# FILE: name" makes that file, with that line in it.
  * A fence ```yaml that has steps and is no such file must be a pipeline that `mlops graph` can read.
  * Other fences are only read.

Ids, times, durations, sizes, ports, process numbers and digests may differ, and so may the number of spaces. The
directory is called /srv/demo.
"""
import difflib
import json
import os
import re
import shutil
import subprocess
import sys

FENCE = re.compile(r"^```(\w*)\s*$")


def fences(text):
    """(line, language, lines) of every fence that is not indented."""
    found, language, start, lines = [], None, 0, []
    for number, line in enumerate(text.split("\n"), 1):
        fence = FENCE.match(line)
        if language is None:
            if fence:
                language, start, lines = fence.group(1), number, []
        elif line.startswith("```"):
            found.append((start, language, lines))
            language = None
        else:
            lines.append(line)
    if language is not None:
        raise SystemExit(f"the fence of line {start} does not end")
    return found


def commands(start, lines):
    """(line, command, exit code, shown lines) of a console fence."""
    found, continues = [], False
    for number, line in enumerate(lines, start + 1):
        if line.startswith("$ "):
            found.append([number, line[2:], 0, []])
            continues = True
        elif not found:
            raise SystemExit(f"line {number}: a console fence begins with a command")
        elif continues and (line == ">" or line.startswith("> ")):
            found[-1][1] += "\n" + line[2:]
        elif re.fullmatch(r"# exit code \d+", line):
            found[-1][2] = int(line.split()[-1])
            continues = False
        else:
            found[-1][3].append(line)
            continues = False
    for entry in found:
        while entry[3] and not entry[3][-1]:
            entry[3].pop()
    return found


PATTERNS = [
    (r"\b0[0-9a-hjkmnp-tv-z]{15}\b", "<id>"),
    (r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?Z?", "<time>"),
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "<uuid>"),
    (r"\b[0-9a-f]{12,64}\b", "<digest>"),
    (r"(?<![\w.])\d+(\.\d+)?(ms|s)\b|(?<![\w.])\d+[mh]\d\d[sm]\b", "<duration>"),
    (r"(?<![\w.])\d+(\.\d+)? (B|KiB|MiB|GiB|TiB)(?!\w)", "<size>"),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:<port>"),
    (r"process \d+", "process <pid>"),
    (r"[ \t]+", " "),
]


def normal(line, directory):
    line = line.replace(directory, "/srv/demo")
    for pattern, word in PATTERNS:
        line = re.sub(pattern, word, line)
    return line.strip()


def fits(shown, real):
    """Whether the real lines are the shown ones, with '…' for what is left out."""
    pattern = ""
    for line in shown:
        if line == "…":
            pattern += r"(?:[^\n]*\n)*?"
        else:
            pattern += "[^\n]*".join(re.escape(part) for part in line.split("…")) + "\n"
    return re.fullmatch(pattern, "".join(line + "\n" for line in real)) is not None


def run_page(mlops, source, page):
    with open(os.path.join(source, page), encoding="utf-8") as file:
        text = file.read()
    directory = os.getcwd()
    bad = 0
    if "pipelines/" in text:  # as in a clone
        shutil.copytree(os.path.join(source, "pipelines"), "pipelines", ignore=shutil.ignore_patterns(
            ".mlops", "data", "models", "releases", "reports", "__pycache__"))
        os.mkdir(".git")
    tools = os.path.join(directory, ".tools")
    os.mkdir(tools)
    os.symlink(mlops, os.path.join(tools, "mlops"))
    environment = {**os.environ, "PATH": tools + ":" + os.environ["PATH"], "NO_COLOR": "1"}
    where, ran = directory, 0
    for start, language, lines in fences(text):
        if lines and lines[0].startswith("# FILE: "):
            path = os.path.join(where, lines[0][8:].strip())
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")
        elif language == "yaml" and any(line.startswith("steps:") for line in lines):
            with open(os.path.join(tools, "example.yaml"), "w", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")
            got = subprocess.run([mlops, "graph", os.path.join(tools, "example.yaml")], capture_output=True, text=True)
            if got.returncode != 0:
                bad += 1
                print(f"{page}:{start}: this pipeline cannot be read:\n{got.stderr}", file=sys.stderr)
        if language != "console":
            continue
        for number, command, code, shown in commands(start, lines):
            ran += 1
            with open(os.path.join(tools, "output"), "w+b") as output:
                script = f"{command}\ncode=$?\npwd > '{tools}/directory'\nexit $code\n"
                got = subprocess.run(["bash", "-c", script], cwd=where, env=environment, stdin=subprocess.DEVNULL,
                                     stdout=output, stderr=subprocess.STDOUT, timeout=120)
                output.seek(0)
                real = output.read().decode("utf-8", "replace")
            with open(os.path.join(tools, "directory"), encoding="utf-8") as file:
                where = file.read().strip()
            real = [normal(line, directory) for line in real.rstrip("\n").split("\n")] if real.strip() else []
            shown = [normal(line, "/srv/demo") for line in shown]
            if got.returncode != code:
                bad += 1
                print(f"{page}:{number}: `{command}` ended with {got.returncode} instead of {code}:", *real, sep="\n",
                      file=sys.stderr)
            elif shown and not fits(shown, real):
                bad += 1
                print(f"{page}:{number}: `{command}` prints something else:", file=sys.stderr)
                print(*difflib.unified_diff(shown, real, "shown", "real", lineterm="", n=1), sep="\n", file=sys.stderr)
    print(f"{page}: {ran} commands run")
    return bad == 0


# --- Facts ------------------------------------------------------------------------------------------


class Page:
    def __init__(self, source, name):
        self.name = name
        with open(os.path.join(source, name), encoding="utf-8") as file:
            self.text = file.read()

    def section(self, title):
        """The text below a heading, up to the next of the same or a higher level."""
        found = re.search(rf"^(#+) {re.escape(title)}$(.*?)(?=^#{{1,6}} |\Z)", self.text, re.M | re.S)
        return found.group(2) if found else None

    def rows(self, title):
        """The names in backticks in the first cells of the section's table."""
        section = self.section(title)
        if section is None:
            return None
        names = []
        for line in section.split("\n"):
            if line.startswith("| `"):
                names += re.findall(r"`([^`]+)`", re.split(r"(?<!\\)\|", line)[1])
        return names


def facts(mlops, source):
    problems = []

    def compare(page, title, real):
        shown = page.rows(title)
        if shown is None:
            problems.append(f"{page.name}: no section '{title}'")
            return
        for name in real:
            if name not in shown:
                problems.append(f"{page.name}: section '{title}' does not have `{name}`")
        for name in shown:
            if name not in real:
                problems.append(f"{page.name}: section '{title}' has `{name}`, which does not exist")
        for name in {n for n in shown if shown.count(n) > 1}:
            problems.append(f"{page.name}: section '{title}' has `{name}` twice")

    def ask(*arguments):
        return subprocess.run([mlops, *arguments], check=True, capture_output=True, text=True).stdout

    def read(name):
        with open(os.path.join(source, name), encoding="utf-8") as file:
            return file.read()

    # The database of the current directory and the page about it.
    workspace = Page(source, "docs/workspace.md")
    tables = json.loads(ask("sql", "--json", "select name, type from sqlite_schema where type in ('table', 'view')"))
    for row in tables["rows"]:
        columns = json.loads(ask("sql", "--json", f"pragma table_info({row['name']})"))["rows"]
        compare(workspace, f"`{row['name']}`", [c["name"] for c in columns])
    real = {row["name"] for row in tables["rows"]}
    for title in re.findall(r"^#+ `(\w+)`$", workspace.text, re.M):
        if title not in real:
            problems.append(f"docs/workspace.md: has `{title}`, which is no table or view")
    for name in re.findall(r'= "([^"]+)";', read("src/workspace/layout.hpp")):
        if f"`{name}`" not in workspace.text and f"`{name}/`" not in workspace.text:
            problems.append(f"docs/workspace.md: does not have `{name}` of src/workspace/layout.hpp")

    # Exit codes.
    enum = re.search(r"enum class ExitCode : int \{(.*?)\};", read("include/mlops/error.hpp"), re.S).group(1)
    codes = re.findall(r"=\s*(\d+),", enum)
    compare(Page(source, "docs/exit-codes.md"), "The table", codes)

    # The keys of a pipeline file.
    pipeline = Page(source, "docs/pipeline-file.md")
    schema = json.loads(ask("schema"))
    compare(pipeline, "Keys of the file", list(schema["properties"]))
    sections = {"step": "Keys of a step", "output": "Keys of an output", "retry": "Keys of `retry`",
                "resources": "Keys of `resources`", "schedule": "Keys of `schedule`",
                "catchup": "Keys of `catchup`", "dst": "Keys of `dst`", "trigger": "Keys of `triggers`",
                "succeeded": "Keys of `succeeded`", "webhook": "Keys of `webhook`", "sql": "Keys of `sql`", "metric": "Keys of `metric`",
                "notification": "Keys of `notify`", "secret_url": "Keys of a secret URL", "secret": "Keys of a secret"}
    for name, title in sections.items():
        compare(pipeline, title, list(schema["$defs"][name]["properties"]))
    for name, definition in schema["$defs"].items():
        if "properties" in definition and name not in {*sections, "defaults", "pipeline_env"}:
            problems.append(f"docs/pipeline-file.md: no section is known for the keys of '{name}'")
    marked = re.findall(r"^\| `(\w+)` D \|", pipeline.section("Keys of a step") or "", re.M)
    if sorted(marked) != sorted(schema["$defs"]["defaults"]["properties"]):
        problems.append("docs/pipeline-file.md: the keys marked D are not those that `defaults:` may hold: "
                        + ", ".join(sorted(schema["$defs"]["defaults"]["properties"])))

    # Every variable that a step gets.
    for name in sorted(set(re.findall(r'env\["(\w+)"\]', read("src/engine/job.cpp")))):
        if f"`{name}`" not in pipeline.text:
            problems.append(f"docs/pipeline-file.md: does not have `{name}`")

    # Links between pages.
    def anchors(text):
        titles = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
        return {re.sub(r"[^\w\- ]", "", t.lower()).replace(" ", "-") for t in titles}

    pages = ["README.md"] + sorted("docs/" + n for n in os.listdir(os.path.join(source, "docs")) if n.endswith(".md"))
    for name in pages:
        text = read(name)
        for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)):
            if re.match(r"\w+:", target):
                continue
            path, _, anchor = target.partition("#")
            file = os.path.normpath(os.path.join(os.path.dirname(name), path)) if path else name
            if not os.path.exists(os.path.join(source, file)):
                problems.append(f"{name}: links to {target}, which does not exist")
            elif anchor and anchor not in anchors(read(file)):
                problems.append(f"{name}: links to {target}, but there is no such heading")
        if "](docs/" in text and name == "README.md":
            for other in pages[1:]:
                if f"({other})" not in text:
                    problems.append(f"README.md: does not name {other}")
    for problem in problems:
        print(problem, file=sys.stderr)
    return not problems


def main():
    what, mlops, source = sys.argv[1], os.path.realpath(sys.argv[2]), os.path.realpath(sys.argv[3])
    good = facts(mlops, source) if what == "facts" else run_page(mlops, source, sys.argv[4])
    raise SystemExit(0 if good else 1)


main()
