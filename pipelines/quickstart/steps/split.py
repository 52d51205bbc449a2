"""Deals rows into training, validation and test sets, each with the same share of every species."""
from __future__ import annotations

import argparse
import random
from pathlib import Path

from common import SPECIES, Row, fail, read_rows, set_output, write_rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--into", type=Path, required=True, help="folder of the three files")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--validation", type=float, required=True, help="share of the rows, 0 to 1")
    parser.add_argument("--test", type=float, required=True, help="share of the rows, 0 to 1")
    args = parser.parse_args()
    if not (args.validation > 0 and args.test > 0 and args.validation + args.test < 1):
        fail("--validation and --test must be above 0 and leave something to train on")

    rows, species = read_rows(args.data)
    shuffle = random.Random(args.seed).shuffle
    sets: dict[str, list[tuple[str, Row]]] = {"train": [], "validation": [], "test": []}
    for name in SPECIES:
        group = [(name, row) for row, label in zip(rows, species) if label == name]
        shuffle(group)
        first = round(len(group) * args.validation)
        second = first + round(len(group) * args.test)
        sets["validation"] += group[:first]
        sets["test"] += group[first:second]
        sets["train"] += group[second:]

    for part, group in sets.items():
        shuffle(group)
        write_rows(args.into / f"{part}.csv", [(name, *row) for name, row in group])
    sizes = {part: len(group) for part, group in sets.items()}
    set_output(**sizes)
    print(", ".join(f"{size} {part}" for part, size in sizes.items()) + f" (seed {args.seed})")


if __name__ == "__main__":
    main()
