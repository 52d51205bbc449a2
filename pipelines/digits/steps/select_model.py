"""Takes the candidate with the best cross-validated accuracy; of equals, the one that was named first."""
from __future__ import annotations

import argparse
from pathlib import Path

from common import load_model, log_metric, save_model, set_output, write_json


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--best", type=Path, required=True)
    parser.add_argument("--ranking", type=Path, required=True)
    parser.add_argument("candidates", type=Path, nargs="+")
    args = parser.parse_args()

    candidates = sorted(map(load_model, args.candidates), key=lambda one: -one["metrics"]["cv_accuracy"])
    best = candidates[0]
    save_model(args.best, best)
    write_json(args.ranking, [{"name": one["name"], **one["metrics"]} for one in candidates])
    log_metric("best_cv_accuracy", best["metrics"]["cv_accuracy"])
    set_output(chosen=best["name"])
    for one in candidates:
        print(f"{one['name']:16} {one['metrics']['cv_accuracy']:.4f}{'  <- chosen' if one is best else ''}")


if __name__ == "__main__":
    main()
