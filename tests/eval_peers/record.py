"""Records what scikit-learn, SciPy and statsmodels say about small data sets.

The C tests compare with the JSON files written here (tests/eval/data). To run it again:
    python3 -m venv V && V/bin/pip install numpy scipy scikit-learn statsmodels
    V/bin/python tests/eval_peers/record.py
"""
import json
import pathlib

import numpy as np
from scipy import special, stats
from sklearn import metrics as sk
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

DATA = pathlib.Path(__file__).resolve().parent.parent / "eval" / "data"


def ece(probabilities, labels, bins=15):
    """Guo et al. 2017: bins (0, 1/15], ..., (14/15, 1]."""
    confidence = probabilities.max(1).astype(np.float32).astype(np.float64)
    correct = probabilities.argmax(1) == labels
    total = 0.0
    for b in range(bins):
        inside = (confidence > b / bins) & (confidence <= (b + 1) / bins)
        if inside.any():
            total += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    return total


def classification(name, logits, labels):
    logits = logits.astype(np.float32)
    k = logits.shape[1]
    wide = logits.astype(np.float64)
    probabilities = special.softmax(wide, axis=1)
    prediction = wide.argmax(1)
    values = {
        "accuracy": sk.accuracy_score(labels, prediction),
        "log_loss": float(-special.log_softmax(wide, axis=1)[np.arange(len(labels)), labels].mean()),
        "macro_f1": sk.f1_score(labels, prediction, average="macro", zero_division=0),
        "ece": ece(probabilities, labels),
    }
    if k > 5:
        values["top_k"] = sk.top_k_accuracy_score(labels, wide, k=5, labels=np.arange(k))
    return {"name": name, "task": "classification", "k": k, "outputs": logits.ravel().tolist(),
            "labels": labels.tolist(), "values": {key: float(v) for key, v in values.items()}}


def regression(name, predicted, target):
    predicted, target = predicted.astype(np.float32), target.astype(np.float32)
    values = {"mse": sk.mean_squared_error(target.astype(np.float64), predicted.astype(np.float64)),
              "mae": sk.mean_absolute_error(target.astype(np.float64), predicted.astype(np.float64))}
    return {"name": name, "task": "regression", "k": predicted.shape[1],
            "outputs": predicted.ravel().tolist(), "targets": target.ravel().tolist(),
            "values": {key: float(v) for key, v in values.items()}}


def record_metrics(rng):
    cases = []
    for name, n, k, sharp in [("three classes", 60, 3, 1.0), ("ten classes", 80, 10, 2.0),
                              ("confident", 50, 7, 12.0), ("two classes", 40, 2, 0.5),
                              ("one row", 1, 10, 1.0)]:
        labels = rng.integers(0, k, n)
        logits = rng.normal(size=(n, k)) * sharp
        logits[np.arange(n), labels] += sharp
        cases.append(classification(name, np.round(logits, 4), labels))
    labels = np.array([0, 0, 1, 1, 1])
    cases.append(classification("absent classes", np.eye(8)[[0, 1, 1, 1, 2]] * 3.0 - np.arange(8) * 0.01, labels))
    cases.append(classification("all right", np.eye(4)[[0, 1, 2, 3]] * 30.0, np.arange(4)))
    cases.append(classification("all wrong", np.eye(4)[[1, 2, 3, 0]] * 30.0, np.arange(4)))
    for name, n, t in [("one target", 40, 1), ("three targets", 25, 3)]:
        target = np.round(rng.normal(size=(n, t)), 4)
        cases.append(regression(name, np.round(target + rng.normal(size=(n, t)) * 0.3, 4), target))
    cases.append(regression("exact", np.ones((3, 2)), np.ones((3, 2))))
    return cases


def main():
    DATA.mkdir(exist_ok=True)
    rng = np.random.default_rng(20240501)
    (DATA / "metrics.json").write_text(json.dumps(record_metrics(rng)) + "\n")


if __name__ == "__main__":
    main()
