"""Trains multinomial logistic regression by gradient descent and logs its loss after every epoch."""
from __future__ import annotations

import argparse
from pathlib import Path

from common import FEATURES, SPECIES, fail, log_metric, read_rows, write_json
from models import Scaler, SoftmaxModel, dump, score, softmax


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--validation", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--lr", type=float, required=True, help="learning rate")
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--l2", type=float, required=True, help="strength of the pull of weights towards 0")
    args = parser.parse_args()
    if args.epochs < 1:
        fail("--epochs must be at least 1")

    rows, labels = read_rows(args.train)
    validation = read_rows(args.validation)
    scaler = Scaler.fit(rows)
    inputs = [[1.0, *scaler(row)] for row in rows]
    targets = [SPECIES.index(label) for label in labels]
    weights = [[0.0] * (1 + len(FEATURES)) for _ in SPECIES]
    model = SoftmaxModel(SPECIES, scaler, weights)

    for epoch in range(1, args.epochs + 1):
        gradient = [[args.l2 * w for w in row] for row in weights]
        for x, target in zip(inputs, targets):
            chances = softmax([sum(w * value for w, value in zip(row, x)) for row in weights])
            for index, chance in enumerate(chances):
                error = (chance - (index == target)) / len(inputs)
                slope = gradient[index]
                for j, value in enumerate(x):
                    slope[j] += error * value
        for row, slope in zip(weights, gradient):
            for j, value in enumerate(slope):
                row[j] -= args.lr * value

        _, loss = score(model, rows, labels)
        accuracy, validation_loss = score(model, *validation)
        log_metric("loss", loss, epoch)
        log_metric("validation_loss", validation_loss, epoch)
        if epoch == 1 or epoch % 40 == 0 or epoch == args.epochs:
            print(f"epoch {epoch:3}  loss {loss:.4f}  validation loss {validation_loss:.4f}  accuracy {accuracy:.3f}")

    write_json(args.model, dump(model))
    print(f"wrote {args.model}")


if __name__ == "__main__":
    main()
