"""Writes what was tried and what came of it, as Markdown."""
from __future__ import annotations

import argparse
from pathlib import Path

from common import read_json, write_file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ranking", type=Path, required=True)
    parser.add_argument("--confusion", type=Path, required=True)
    parser.add_argument("--accuracy", type=float, required=True)
    parser.add_argument("--min", type=float, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    ranking, confusion = read_json(args.ranking), read_json(args.confusion)
    verdict = "passes" if args.accuracy >= args.min else "does not pass"
    digits = range(len(confusion))
    lines = [
        "# Handwritten digits",
        "",
        f"**{ranking[0]['name']}** has an accuracy of **{args.accuracy:.4f}** on the test set and {verdict} the gate "
        f"of {args.min:.4g}.",
        "",
        "## Candidates",
        "",
        "| model | cross-validated accuracy | deviation | fitted in |",
        "|---|---:|---:|---:|",
        *(f"| {one['name']} | {one['cv_accuracy']:.4f} | {one['cv_deviation']:.4f} | {one['fit_seconds']:.2f} s |"
          for one in ranking),
        "",
        "## Which digit was taken for which",
        "",
        "| is | " + " | ".join(map(str, digits)) + " |",
        "|---|" + "---:|" * len(confusion),
        *(f"| **{digit}** | " + " | ".join(str(count or "") for count in confusion[digit]) + " |" for digit in digits),
        "",
    ]
    write_file(args.out, "\n".join(lines))
    print(f"wrote {args.out}")


if __name__ == "__main__":
    main()
