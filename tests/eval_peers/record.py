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


def record_exact():
    """One-sided bounds at alpha are two-sided ones at 2 alpha."""
    proportions = []
    for hits, n in [(0, 1), (1, 1), (0, 20), (20, 20), (7, 20), (178, 200), (9231, 10000),
                    (1, 10000), (919000, 1000000), (3, 4)]:
        for alpha in (0.05, 0.01):
            low, high = proportion_confint(hits, n, alpha=2 * alpha, method="beta")
            proportions.append({"hits": hits, "n": n, "alpha": alpha, "low": float(low),
                                "high": float(high)})
    pairs = []
    for only, other in [(0, 0), (5, 0), (0, 5), (10, 4), (4, 10), (60, 41), (300, 260), (1, 1)]:
        better = stats.binomtest(only, only + other, 0.5, "greater").pvalue if only + other else 1
        worse = stats.binomtest(only, only + other, 0.5, "less").pvalue if only + other else 1
        both = mcnemar([[50, only], [other, 20]], exact=True).pvalue
        pairs.append({"only": only, "other": other, "better": float(better), "worse": float(worse),
                      "two_sided": float(both)})
    holm = []
    for p in ([0.01, 0.04, 0.03, 0.005], [0.2], [0.05, 0.05], [0.001, 0.001, 0.9, 0.012],
              [0.0001, 0.5, 0.02, 0.03, 0.011]):
        rejected = multipletests(p, alpha=0.05, method="holm")[0]
        holm.append({"p": p, "rejected": [bool(r) for r in rejected]})
    return {"proportions": proportions, "pairs": pairs, "holm": holm}


def record_quantiles(rng):
    """Order-statistic bounds straight from their definition."""
    cases = []
    for n, q in [(5, 0.5), (4, 0.5), (15, 0.5), (299, 0.99), (298, 0.99), (400, 0.99), (400, 0.5)]:
        samples = np.sort(np.round(rng.gamma(3.0, size=n), 6))
        ranks = np.arange(1, n + 1)
        covers_above = stats.binom.cdf(ranks - 1, n, q) >= 0.95
        covers_below = stats.binom.sf(ranks - 1, n, q) >= 0.95
        high = samples[np.argmax(covers_above)] if covers_above.any() else None
        low = samples[n - 1 - np.argmax(covers_below[::-1])] if covers_below.any() else None
        value = float(np.quantile(samples, q, method="averaged_inverted_cdf" if q == 0.5
                                  else "inverted_cdf"))
        cases.append({"samples": samples.tolist(), "q": q, "value": value,
                      "low": None if low is None else float(low),
                      "high": None if high is None else float(high)})
    return cases


def record_bca(rng):
    """SciPy's BCa with its own resamples: bounds agree up to the noise of resampling, which is
    given as the standard deviation over ten seeds."""
    cases = []
    for name, x in [("skewed", rng.gamma(0.8, size=300)), ("normal", rng.normal(size=120)),
                    ("rare", (rng.random(400) < 0.03) * 3.0 + rng.random(400) * 0.1),
                    ("differences", rng.integers(-1, 2, 500).astype(float))]:
        x = np.round(x, 5)
        lows, highs = [], []
        for seed in range(10):
            found = stats.bootstrap((x,), np.mean, confidence_level=0.9, method="BCa",
                                    n_resamples=4000, rng=np.random.default_rng(seed))
            lows.append(found.confidence_interval.low)
            highs.append(found.confidence_interval.high)
        cases.append({"name": name, "x": x.tolist(), "low": float(np.mean(lows)),
                      "high": float(np.mean(highs)), "noise": float(max(np.std(lows),
                                                                        np.std(highs)))})
    return cases


def main():
    DATA.mkdir(exist_ok=True)
    rng = np.random.default_rng(20240501)
    (DATA / "metrics.json").write_text(json.dumps(record_metrics(rng)) + "\n")
    found = record_exact()
    found["quantiles"] = record_quantiles(rng)
    found["bca"] = record_bca(rng)
    (DATA / "intervals.json").write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
