"""Takes the candidate with the best accuracy on the validation set; of equals, the one with the lower log loss."""
from __future__ import annotations

import argparse
from pathlib import Path

from common import log_metric, read_rows, set_output, write_file
from models import load, score


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--validation", type=Path, required=True)
    parser.add_argument("--best", type=Path, required=True)
    parser.add_argument("candidates", type=Path, nargs="+")
    args = parser.parse_args()

    rows, labels = read_rows(args.validation)
    ranking = []
    for path in args.candidates:
        accuracy, loss = score(load(path), rows, labels)
        log_metric(f"{path.stem}.validation_accuracy", accuracy)
        log_metric(f"{path.stem}.validation_loss", loss)
        ranking.append((-accuracy, loss, path))
    ranking.sort()

    best = ranking[0][2]
    write_file(args.best, best.read_text(encoding="utf-8"))
    set_output(chosen=best.stem)
    for accuracy, loss, path in ranking:
        print(f"{path.stem:10} accuracy {-accuracy:.3f}  log loss {loss:.4f}{'  <- chosen' if path == best else ''}")


if __name__ == "__main__":
    main()
