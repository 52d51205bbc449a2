"""Puts a model live: a folder of its own under releases/, a few digits read with it, then one rename of `current`.

The check comes before the switch: a release that cannot be loaded or reads nonsense never becomes current.
"""
from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
from datetime import datetime, timezone
from pathlib import Path

import sklearn

from common import load_data, load_model, set_output, write_json

SAMPLE = 50
ENOUGH = 45  # of them right: not a measurement, only a sign of life


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--releases", type=Path, required=True)
    parser.add_argument("--keep", type=int, required=True, help="how many releases stay, the new one included")
    args = parser.parse_args()

    now = datetime.now(timezone.utc)
    release = os.environ.get("MLOPS_RUN_ID") or now.strftime("by-hand-%Y%m%dT%H%M%S")
    current = args.releases / "current"
    previous = os.readlink(current) if current.is_symlink() else None

    # Filled and tried under a hidden name: a folder that is called a release is complete.
    staging = args.releases / f".{release}.{os.getpid()}"
    staging.mkdir(parents=True)
    try:
        shutil.copyfile(args.model, staging / "model.joblib")
        candidate = load_model(staging / "model.joblib")
        images, digits = load_data(args.data, "test")
        right = int((candidate["model"].predict(images[:SAMPLE]) == digits[:SAMPLE]).sum())
        if right < ENOUGH:
            sys.exit(f"refused: only {right} of {SAMPLE} digits were read right")
        write_json(staging / "manifest.json", {
            "release": release,
            "created": now.isoformat(timespec="milliseconds"),
            "model": candidate["name"],
            "sha256": hashlib.sha256((staging / "model.joblib").read_bytes()).hexdigest(),
            "scikit-learn": sklearn.__version__,  # a pickle is at home only in the version that made it
            "previous": previous,
        })
        target = args.releases / release
        if target.exists():  # a retry of this step in the same run
            shutil.rmtree(target)
        os.rename(staging, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)

    switch = args.releases / f".current.{os.getpid()}"
    switch.symlink_to(release)
    os.replace(switch, current)

    old = sorted((path for path in args.releases.iterdir()
                  if not path.is_symlink() and not path.name.startswith(".") and path != target
                  and (path / "manifest.json").is_file()), key=created, reverse=True)
    for path in old[max(args.keep - 1, 0):]:
        shutil.rmtree(path)

    set_output(release=release)
    print(f"{right} of {SAMPLE} digits read right; current -> {release}")


def created(release: Path) -> str:
    return str(json.loads((release / "manifest.json").read_text(encoding="utf-8"))["created"])


if __name__ == "__main__":
    main()
