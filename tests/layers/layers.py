#!/usr/bin/env python3
"""Fails on an include that points up, or on a second home of a wrapped library.

The rules are the tables of docs/architecture.md; a public header counts as the folder named on its first line.
Usage: layers.py ROOT
"""
import re
import sys
from pathlib import Path


def read_rules(text: str):
    """Folder -> row number (from the top), allowed edges inside rows, and library prefix -> allowed homes."""
    row_of, edges, homes = {}, set(), {}
    for number, line in enumerate(text.splitlines()):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) == 3 and cells[0] in ("faces", "services", "work", "means", "model", "base"):
            for folder in re.findall(r"`(\w+)`", cells[1]):
                row_of[folder] = number
            edges.update(re.findall(r"(\w+)→(\w+)", cells[2]))
        if len(cells) == 2 and re.fullmatch(r"`[\w./-]+`", cells[0]) and ("/" in cells[0] or ".h" in cells[0]):
            homes[cells[0].strip("`")] = re.findall(r"`([\w/]+)`", cells[1])
    return row_of, edges, homes


def folder_of_public(root: Path, name: str) -> str:
    first = (root / "include/mlops" / name).read_text().splitlines()[0]
    return re.search(r"src/(\w+)", first).group(1)


def main() -> int:
    root = Path(sys.argv[1])
    row_of, edges, homes = read_rules((root / "docs/architecture.md").read_text())
    problems = []
    if len(row_of) < 15 or len(homes) < 5:
        problems.append("docs/architecture.md: the tables of layers and homes were not found")
    files = sorted((root / "src").rglob("*.[ch]pp")) + sorted((root / "include/mlops").glob("*.hpp"))
    checked = 0
    for path in files:
        public = "include" in path.relative_to(root).parts
        folder = folder_of_public(root, path.name) if public else path.relative_to(root / "src").parts[0]
        home = f"{folder}/{path.stem}"
        if folder not in row_of:
            problems.append(f"{path}: folder '{folder}' is not in the table")
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', line)
            if not match:
                continue
            target = match.group(1)
            checked += 1
            where = f"{path.relative_to(root)}:{number}: {line.strip()}"
            for prefix, allowed in homes.items():
                if target.startswith(prefix) and not any(home == a or (a.endswith("/") and home.startswith(a)) for a in allowed):
                    problems.append(f"{where}\n    {prefix} has its home in {', '.join(allowed)}")
            if target.startswith("mlops/"):
                other = folder_of_public(root, target.removeprefix("mlops/"))
            elif (root / "src" / target).exists():
                other = target.split("/")[0]
                if public:
                    problems.append(f"{where}\n    a public header includes no private one")
            else:
                continue
            if other == folder or (folder, other) in edges:
                continue
            if row_of[other] <= row_of[folder]:
                problems.append(f"{where}\n    '{folder}' may not include '{other}'")
    for problem in problems:
        print(problem)
    print(f"{checked} includes in {len(files)} files, {len(problems)} against the rules")
    return 1 if problems or checked < 100 else 0


if __name__ == "__main__":
    sys.exit(main())
