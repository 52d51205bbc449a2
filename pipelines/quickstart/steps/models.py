"""The two kinds of model, kept as JSON: readable, and safe to load from anywhere."""
from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Sequence, Union

from common import FEATURES, Row


class Scaler:
    """Brings every feature to mean 0 and deviation 1, as the training set had them."""

    def __init__(self, mean: Sequence[float], deviation: Sequence[float]) -> None:
        self.mean, self.deviation = list(mean), list(deviation)

    @classmethod
    def fit(cls, rows: Sequence[Row]) -> "Scaler":
        columns = list(zip(*rows))
        mean = [sum(column) / len(column) for column in columns]
        deviation = [
            math.sqrt(sum((value - centre) ** 2 for value in column) / len(column)) or 1.0
            for column, centre in zip(columns, mean)
        ]
        return cls(mean, deviation)

    def __call__(self, row: Row) -> list[float]:
        return [(value - centre) / width for value, centre, width in zip(row, self.mean, self.deviation)]


def softmax(scores: Sequence[float]) -> list[float]:
    top = max(scores)
    powers = [math.exp(score - top) for score in scores]
    total = sum(powers)
    return [power / total for power in powers]


class SoftmaxModel:
    """Multinomial logistic regression. One list of weights per class, the constant first."""

    kind = "softmax"

    def __init__(self, classes: Sequence[str], scaler: Scaler, weights: Sequence[Sequence[float]]) -> None:
        self.classes, self.scaler, self.weights = list(classes), scaler, weights

    def probabilities(self, row: Row) -> list[float]:
        x = [1.0, *self.scaler(row)]
        return softmax([sum(w * value for w, value in zip(weights, x)) for weights in self.weights])

    def content(self) -> dict[str, Any]:
        return {"weights": self.weights}


class NeighboursModel:
    """k nearest neighbours: the share of each class among the k known rows that lie closest."""

    kind = "knn"

    def __init__(self, classes: Sequence[str], scaler: Scaler, k: int,
                 points: Sequence[Sequence[float]], labels: Sequence[str]) -> None:
        self.classes, self.scaler, self.k, self.points, self.labels = list(classes), scaler, k, points, labels

    def probabilities(self, row: Row) -> list[float]:
        x = self.scaler(row)
        nearest = sorted(range(len(self.points)), key=lambda i: squared_distance(x, self.points[i]))[: self.k]
        votes = [sum(self.labels[i] == name for i in nearest) for name in self.classes]
        return [vote / self.k for vote in votes]

    def content(self) -> dict[str, Any]:
        return {"k": self.k, "points": self.points, "labels": self.labels}


def squared_distance(a: Sequence[float], b: Sequence[float]) -> float:
    return sum((x - y) ** 2 for x, y in zip(a, b))


Model = Union[SoftmaxModel, NeighboursModel]


def likeliest(model: Model, chances: Sequence[float]) -> str:
    return model.classes[chances.index(max(chances))]


def predict(model: Model, row: Row) -> str:
    return likeliest(model, model.probabilities(row))


def score(model: Model, rows: Sequence[Row], labels: Sequence[str]) -> tuple[float, float]:
    """Accuracy, and mean log loss: how surprised the model was by the truth."""
    right, loss = 0, 0.0
    for row, label in zip(rows, labels):
        chances = model.probabilities(row)
        right += likeliest(model, chances) == label
        loss -= math.log(max(chances[model.classes.index(label)], 1e-3))  # no votes is not a certainty
    return right / len(rows), loss / len(rows)


def dump(model: Model) -> dict[str, Any]:
    return {
        "kind": model.kind,
        "features": list(FEATURES),
        "classes": model.classes,
        "mean": model.scaler.mean,
        "deviation": model.scaler.deviation,
        **model.content(),
    }


def load(path: Path) -> Model:
    data = json.loads(path.read_text(encoding="utf-8"))
    if data["features"] != list(FEATURES):
        raise ValueError(f"{path}: made for other features: {data['features']}")
    scaler = Scaler(data["mean"], data["deviation"])
    if data["kind"] == SoftmaxModel.kind:
        return SoftmaxModel(data["classes"], scaler, data["weights"])
    if data["kind"] == NeighboursModel.kind:
        return NeighboursModel(data["classes"], scaler, data["k"], data["points"], data["labels"])
    raise ValueError(f"{path}: unknown kind of model: {data['kind']}")
