"""Puts a model live: a folder of its own under releases/, then one rename that switches `current` to it.

Whoever opens releases/current/model.json gets the old model or the new one, never something between. The releases
before stay for a while: `ln -sfn OLD releases/next && mv -T releases/next releases/current` is the way back.
"""
from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
from datetime import datetime, timezone
from pathlib import Path

from common import set_output, write_file, write_json


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--releases", type=Path, required=True)
    parser.add_argument("--accuracy", type=float, required=True)
    parser.add_argument("--keep", type=int, required=True, help="how many releases stay, the new one included")
    args = parser.parse_args()

    now = datetime.now(timezone.utc)
    release = os.environ.get("MLOPS_RUN_ID") or now.strftime("by-hand-%Y%m%dT%H%M%S")
    current = args.releases / "current"
    previous = os.readlink(current) if current.is_symlink() else None

    # Filled under a hidden name first: a folder that is called a release is complete.
    args.releases.mkdir(parents=True, exist_ok=True)
    model = args.model.read_text(encoding="utf-8")
    staging = args.releases / f".{release}.{os.getpid()}"
    write_file(staging / "model.json", model)
    write_json(staging / "manifest.json", {
        "release": release,
        "created": now.isoformat(timespec="milliseconds"),
        "model": json.loads(model)["kind"],
        "sha256": hashlib.sha256(model.encode()).hexdigest(),
        "accuracy": args.accuracy,
        "previous": previous,
    })
    target = args.releases / release
    if target.exists():  # a retry of this step in the same run
        shutil.rmtree(target)
    os.rename(staging, target)

    switch = args.releases / f".current.{os.getpid()}"
    switch.symlink_to(release)
    os.replace(switch, current)

    old = sorted((path for path in args.releases.iterdir()
                  if not path.is_symlink() and not path.name.startswith(".") and path != target
                  and (path / "manifest.json").is_file()), key=created, reverse=True)
    for path in old[max(args.keep - 1, 0):]:
        shutil.rmtree(path)

    set_output(release=release)
    print(f"current -> {release}" + (f" (was {previous})" if previous and previous != release else ""))


def created(release: Path) -> str:
    return str(json.loads((release / "manifest.json").read_text(encoding="utf-8"))["created"])


if __name__ == "__main__":
    main()
