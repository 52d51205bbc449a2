"""What the steps share: the table's columns, small files, and the three ways a step talks to mlops.

Every step is an ordinary program. Outside a run the MLOPS_* variables are missing and the calls below do nothing,
so each can be started by hand: `python3 steps/ingest.py --help`.
"""
from __future__ import annotations

import csv
import json
import os
import sys
from pathlib import Path
from typing import Any, Iterable, NoReturn, Sequence

SPECIES = ("Adelie", "Chinstrap", "Gentoo")
FEATURES = ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g", "male")
COLUMNS = ("species", *FEATURES)

Row = Sequence[float]


def log_metric(name: str, value: float, step: int | None = None) -> None:
    """Records one value; with `step`, a point of a curve. One JSON object a line, appended."""
    line: dict[str, Any] = {"name": name, "value": value}
    if step is not None:
        line["step"] = step
    _append("MLOPS_METRICS", json.dumps(line))


def set_output(**values: Any) -> None:
    """Hands values to later steps, which read them as ${steps.NAME.outputs.KEY}."""
    for key, value in values.items():
        _append("MLOPS_OUTPUT", f"{key}={value}")


def _append(variable: str, line: str) -> None:
    path = os.environ.get(variable)
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(line + "\n")


def fail(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(1)


def write_file(path: Path, text: str) -> None:
    """All or nothing: a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def write_json(path: Path, value: Any) -> None:
    write_file(path, json.dumps(value, indent=2) + "\n")


def write_rows(path: Path, rows: Iterable[Sequence[object]]) -> None:
    write_file(path, "".join(",".join(map(str, row)) + "\n" for row in (COLUMNS, *rows)))


def read_rows(path: Path) -> tuple[list[Row], list[str]]:
    """Features and species of a table that ingest has cleaned."""
    with open(path, newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    return [[float(line[name]) for name in FEATURES] for line in table], [line["species"] for line in table]
