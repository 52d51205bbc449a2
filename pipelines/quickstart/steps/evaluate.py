"""Measures a model on the test set: accuracy, F1 of each species and their mean, and who was taken for whom."""
from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from common import SPECIES, read_rows, set_output, write_json
from models import load, predict, score


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--metrics", type=Path, required=True)
    args = parser.parse_args()

    rows, labels = read_rows(args.test)
    model = load(args.model)
    taken_for = Counter((label, predict(model, row)) for label, row in zip(labels, rows))
    right = sum(taken_for[name, name] for name in SPECIES)
    accuracy = right / len(rows)

    per_class = {}
    for name in SPECIES:
        actual = sum(taken_for[name, other] for other in SPECIES)
        predicted = sum(taken_for[other, name] for other in SPECIES)
        per_class[name] = {
            "precision": ratio(taken_for[name, name], predicted),
            "recall": ratio(taken_for[name, name], actual),
            "f1": ratio(2 * taken_for[name, name], actual + predicted),
        }
    macro_f1 = sum(values["f1"] for values in per_class.values()) / len(SPECIES)
    _, log_loss = score(model, rows, labels)

    write_json(args.metrics, {
        "accuracy": round(accuracy, 4),
        "macro_f1": round(macro_f1, 4),
        "log_loss": round(log_loss, 4),
        "rows": len(rows),
        "per_class": per_class,
    })
    set_output(accuracy=round(accuracy, 4), macro_f1=round(macro_f1, 4))

    print(f"{model.kind}: {right} of {len(rows)} right, accuracy {accuracy:.3f}, macro F1 {macro_f1:.3f}")
    print(f"{'is / taken for':16}" + "".join(f"{name:>11}" for name in SPECIES))
    for name in SPECIES:
        print(f"{name:16}" + "".join(f"{taken_for[name, other] or '.':>11}" for other in SPECIES))


def ratio(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0


if __name__ == "__main__":
    main()
