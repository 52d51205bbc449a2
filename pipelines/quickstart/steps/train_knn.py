"""Trains nearest neighbours. k is the one that tells most training rows right when each is left out in turn."""
from __future__ import annotations

import argparse
from pathlib import Path

from common import SPECIES, fail, log_metric, read_rows, set_output, write_json
from models import NeighboursModel, Scaler, dump, squared_distance


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--max-k", type=int, required=True)
    args = parser.parse_args()

    rows, labels = read_rows(args.train)
    if not 1 <= args.max_k < len(rows):
        fail(f"--max-k must be from 1 to {len(rows) - 1}")
    scaler = Scaler.fit(rows)
    points = [scaler(row) for row in rows]

    # Each row's neighbours once; every k is then a matter of counting votes.
    right = {k: 0 for k in range(1, args.max_k + 1, 2)}
    for i, point in enumerate(points):
        others = sorted((squared_distance(point, other), labels[j]) for j, other in enumerate(points) if j != i)
        votes = {name: 0 for name in SPECIES}
        for k, (_, label) in enumerate(others[: args.max_k], start=1):
            votes[label] += 1
            if k in right:
                right[k] += max(votes, key=lambda name: votes[name]) == labels[i]

    for k, count in right.items():
        log_metric("loo_accuracy", count / len(rows), k)
    best = max(right, key=lambda k: (right[k], k))  # of equals, the smoother one
    write_json(args.model, dump(NeighboursModel(SPECIES, scaler, best, points, labels)))
    set_output(k=best)
    print(f"k = {best}: {right[best]} of {len(rows)} right when left out; tried {', '.join(map(str, right))}")
    print(f"wrote {args.model}")


if __name__ == "__main__":
    main()
