"""Trains one candidate: cross-validates it, then fits it on the whole training set."""
from __future__ import annotations

import argparse
import time
from pathlib import Path

from sklearn.base import ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.svm import SVC

from common import load_data, log_metric, save_model, write_json


def main() -> None:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--data", type=Path, required=True)
    shared.add_argument("--model", type=Path, required=True)
    shared.add_argument("--metrics", type=Path, required=True)
    shared.add_argument("--folds", type=int, required=True)
    shared.add_argument("--seed", type=int, required=True)
    parser = argparse.ArgumentParser(description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    svm = kinds.add_parser("svm", parents=[shared])
    svm.add_argument("--c", type=float, required=True)
    svm.add_argument("--gamma", type=float, required=True)
    forest = kinds.add_parser("forest", parents=[shared])
    forest.add_argument("--trees", type=int, required=True)
    args = parser.parse_args()

    model: ClassifierMixin
    if args.kind == "svm":
        model = SVC(C=args.c, gamma=args.gamma)
    else:
        model = RandomForestClassifier(n_estimators=args.trees, random_state=args.seed)

    images, digits = load_data(args.data, "train")
    folds = StratifiedKFold(args.folds, shuffle=True, random_state=args.seed)  # the same folds for every candidate
    scores = cross_val_score(model, images, digits, cv=folds)
    for fold, score in enumerate(scores, start=1):
        log_metric("fold_accuracy", score, fold)

    start = time.perf_counter()
    model.fit(images, digits)
    seconds = time.perf_counter() - start

    name = args.model.stem
    metrics = {
        "cv_accuracy": round(scores.mean(), 4),
        "cv_deviation": round(scores.std(), 4),
        "fit_seconds": round(seconds, 3),
    }
    save_model(args.model, {"name": name, "model": model, "metrics": metrics})
    write_json(args.metrics, metrics)
    print(f"{name}: accuracy {scores.mean():.4f} ± {scores.std():.4f} in {args.folds} folds, fitted in {seconds:.2f} s")


if __name__ == "__main__":
    main()
