"""Measures a model on the test set: accuracy, macro F1, and which digit was taken for which."""
from __future__ import annotations

import argparse
from pathlib import Path

from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from common import load_data, load_model, set_output, write_json


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--metrics", type=Path, required=True)
    parser.add_argument("--confusion", type=Path, required=True)
    args = parser.parse_args()

    images, digits = load_data(args.data, "test")
    candidate = load_model(args.model)
    answers = candidate["model"].predict(images)
    accuracy = round(accuracy_score(digits, answers), 4)
    per_digit = f1_score(digits, answers, average=None)

    write_json(args.metrics, {
        "accuracy": accuracy,
        "macro_f1": round(per_digit.mean(), 4),
        "rows": len(digits),
        "f1": {str(digit): round(value, 4) for digit, value in enumerate(per_digit)},
    })
    write_json(args.confusion, confusion_matrix(digits, answers).tolist())
    set_output(accuracy=accuracy)
    print(f"{candidate['name']}: accuracy {accuracy:.4f}, macro F1 {per_digit.mean():.4f}, {len(digits)} images")
    weakest = int(per_digit.argmin())
    print(f"hardest digit: {weakest} (F1 {per_digit[weakest]:.3f})")


if __name__ == "__main__":
    main()
