#!/usr/bin/env python3
"""A dvc.yaml of many stages: mlops beside DVC, first run and a run with nothing to do.

    dvc.py MLOPS DVC [STAGES]

Each stage reads the output of the one before it in its chain and writes a file; there are ten chains.
"""
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def project(path: Path, stages: int) -> None:
    path.mkdir()
    subprocess.run(["git", "init", "-q"], cwd=path, check=True)
    lines = ["stages:"]
    for i in range(stages):
        chain, place = i % 10, i // 10
        dep = "seed.txt" if place == 0 else f"out/{chain}-{place - 1}.txt"
        out = f"out/{chain}-{place}.txt"
        lines += [f"  s{i}:", f"    cmd: cat {dep} > {out}; echo {i} >> {out}", f"    deps: [{dep}]",
                  "    params: [rate]", f"    outs: [{out}]"]
    (path / "dvc.yaml").write_text("\n".join(lines) + "\n")
    (path / "params.yaml").write_text("rate: 0.1\n")
    (path / "seed.txt").write_text("seed\n")
    (path / "out").mkdir()


def timed(command, cwd) -> float:
    start = time.monotonic()
    subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - start


def main() -> None:
    mlops, dvc = (os.path.realpath(p) if i == 0 else os.path.abspath(p) for i, p in enumerate(sys.argv[1:3]))
    stages = int(sys.argv[3]) if len(sys.argv) > 3 else 200
    with tempfile.TemporaryDirectory() as directory:
        os.environ["DVC_SITE_CACHE_DIR"] = directory + "/site"
        os.environ["DVC_NO_ANALYTICS"] = "1"
        figures = {}
        for name in ("mlops", "dvc"):
            path = Path(directory) / name
            project(path, stages)
            subprocess.run([dvc, "init", "-q"], cwd=path, check=True)
            command = [mlops, "run", "dvc.yaml", "--quiet"] if name == "mlops" else [dvc, "repro", "-q"]
            first = timed(command, path)
            again = min(timed(command, path) for _ in range(5))
            figures[name] = first, again
        same = (Path(directory) / "mlops/dvc.lock").read_bytes() == (Path(directory) / "dvc/dvc.lock").read_bytes()
        print(f"{stages} stages, dvc.lock {'equal' if same else 'DIFFERENT'}")
        for what, i in (("first run", 0), ("nothing to do", 1)):
            ours, theirs = figures["mlops"][i], figures["dvc"][i]
            print(f"{what:14} mlops {ours:8.3f} s   dvc {theirs:8.3f} s   {theirs / ours:6.1f} times")


main()
