"""What the steps share: the data file, small JSON files, and the ways a step talks to mlops."""
from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import joblib
import numpy as np


def log_metric(name: str, value: float, step: int | None = None) -> None:
    """Records one value; with `step`, a point of a curve. One JSON object a line, appended."""
    line: dict[str, Any] = {"name": name, "value": float(value)}
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


def write_file(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def write_json(path: Path, value: Any) -> None:
    write_file(path, json.dumps(value, indent=2) + "\n")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def load_data(path: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and digits of "train" or "test"."""
    with np.load(path, allow_pickle=False) as data:
        return data[f"{part}_images"], data[f"{part}_digits"]


# joblib files are pickles: loading one can run any code that is in it. Load only what this pipeline has written
# itself, and with the scikit-learn that wrote it. For models that travel, use a format that is only data (ONNX, skops,
# or JSON as in the quickstart).
def save_model(path: Path, candidate: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    joblib.dump(candidate, temporary, compress=3)
    os.replace(temporary, path)


def load_model(path: Path) -> dict[str, Any]:
    candidate: dict[str, Any] = joblib.load(path)
    return candidate
