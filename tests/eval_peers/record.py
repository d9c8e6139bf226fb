"""Records what scikit-learn, SciPy and statsmodels say about small data sets.

The C tests compare with the JSON files written here (tests/eval/data). To run it again:
    python3 -m venv V && V/bin/pip install numpy scipy scikit-learn statsmodels
    V/bin/python tests/eval_peers/record.py
"""
import json
import pathlib

import numpy as np
from scipy import optimize, special, stats
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


def debiased(confidence, correct, bin_of, bins=15):
    """Each bin's gap less the excess of a folded normal's mean over it (scipy.stats.foldnorm)."""
    total = 0.0
    for b in range(bins):
        inside = bin_of == b
        if not inside.any():
            continue
        share = correct[inside].mean()
        gap = abs(share - confidence[inside].mean())
        spread = np.sqrt(share * (1 - share) / inside.sum())
        seen = stats.foldnorm.mean(gap / spread, scale=spread) if spread > 0 else gap
        total += inside.mean() * (2 * gap - seen)
    return max(total, 0.0)


def calibration(probabilities, labels):
    confidence = probabilities.max(1).astype(np.float32).astype(np.float64)
    correct = (probabilities.argmax(1) == labels).astype(np.float64)
    equal = np.clip(np.ceil(confidence * 15).astype(int) - 1, 0, 14)
    place = np.empty(len(labels), dtype=int)
    place[np.argsort(confidence, kind="stable")] = np.arange(len(labels))
    return (debiased(confidence, correct, equal),
            debiased(confidence, correct, np.floor(15 * (place / len(labels))).astype(int)))


def over_classes(score, probabilities, labels):
    """Class 1 of two; the mean over classes that are there and not alone for more."""
    rounded = probabilities.astype(np.float32)
    if rounded.shape[1] == 2:
        return score(labels == 1, rounded[:, 1])
    found = [score(labels == c, rounded[:, c]) for c in range(rounded.shape[1])
             if 0 < (labels == c).sum() < len(labels)]
    return float(np.mean(found))


def classification(name, logits, labels):
    logits = logits.astype(np.float32)
    k = logits.shape[1]
    wide = logits.astype(np.float64)
    probabilities = special.softmax(wide, axis=1)
    prediction = wide.argmax(1)
    equal, adaptive = calibration(probabilities, labels)
    values = {
        "accuracy": sk.accuracy_score(labels, prediction),
        "micro_f1": sk.f1_score(labels, prediction, average="micro"),
        "log_loss": float(-special.log_softmax(wide, axis=1)[np.arange(len(labels)), labels].mean()),
        "brier": float(((probabilities - np.eye(k)[labels]) ** 2).sum(1).mean()),
        "macro_f1": sk.f1_score(labels, prediction, average="macro", zero_division=0),
        "macro_precision": sk.precision_score(labels, prediction, average="macro", zero_division=0),
        "balanced_accuracy": float(np.mean([np.mean(prediction[labels == c] == c)
                                            for c in np.unique(labels)])),
        "mcc": sk.matthews_corrcoef(labels, prediction),
        "ece": ece(probabilities, labels),
        "ece_debiased": equal,
        "adaptive_ece": adaptive,
    }
    assert k < 3 or len(np.unique(labels)) < k or np.isclose(
        values["brier"], sk.brier_score_loss(labels, probabilities, labels=np.arange(k),
                                             scale_by_half=False))
    if k > 5:
        values["top_k"] = sk.top_k_accuracy_score(labels, wide, k=5, labels=np.arange(k))
    if len(np.unique(labels)) > 1:
        values["roc_auc"] = over_classes(sk.roc_auc_score, probabilities, labels)
    if k > 2 and len(np.unique(labels)) > 1 or 1 in labels:
        values["pr_auc"] = over_classes(sk.average_precision_score, probabilities, labels)
    if (prediction == 1).any():
        values["precision"] = sk.precision_score(labels == 1, prediction == 1)
    if (labels == 1).any():
        values["recall"] = sk.recall_score(labels == 1, prediction == 1)
    if (labels == 1).any() or (prediction == 1).any():
        values["f1"] = sk.f1_score(labels == 1, prediction == 1)
    return {"name": name, "task": "classification", "k": k, "outputs": logits.ravel().tolist(),
            "labels": labels.tolist(), "values": {key: float(v) for key, v in values.items()}}


def regression(name, predicted, target):
    predicted, target = predicted.astype(np.float32), target.astype(np.float32)
    y, p = target.astype(np.float64), predicted.astype(np.float64)
    values = {"mse": sk.mean_squared_error(y, p), "mae": sk.mean_absolute_error(y, p),
              "quantile_loss": sk.mean_pinball_loss(y, p, alpha=0.5)}
    if len(y) > 1:
        values["r2"] = sk.r2_score(y, p)
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
    cases.append(regression("constant target", np.array([[1.0], [2.0], [0.5]]), np.ones((3, 1))))
    labels = rng.integers(0, 2, 300)
    logits = np.round(rng.normal(size=(300, 2)), 1)  # many ties
    logits[np.arange(300), labels] += 1
    cases.append(classification("two classes with ties", logits, labels))
    labels = (rng.random(400) < 0.03).astype(int)
    logits = rng.normal(size=(400, 2))
    logits[:, 1] += 2.0 * labels - 2.5
    cases.append(classification("rare positives", np.round(logits, 4), labels))
    return cases


def record_more(rng):
    """Metrics whose options or columns metric_of_rows does not know."""
    tokens = rng.integers(5, 400, 50).astype(float)
    nll = np.round(tokens * rng.gamma(4.0, 0.7, 50), 5)
    size = np.round(tokens * rng.uniform(3, 5, 50))
    correct = np.floor(tokens * rng.uniform(0.2, 0.6, 50))
    target, predicted = np.round(rng.normal(size=30), 4), np.round(rng.normal(size=30), 4)
    narrow = target.astype(np.float32).astype(float), predicted.astype(np.float32).astype(float)
    labels, first, second = (rng.integers(0, 4, 80) for _ in range(3))
    return {
        "tokens": {"nll": nll.tolist(), "tokens": tokens.tolist(), "bytes": size.tolist(),
                   "correct": correct.tolist(),
                   "values": {"perplexity": float(np.exp(nll.sum() / tokens.sum())),
                              "bits_per_byte": float(nll.sum() / size.sum() / np.log(2)),
                              "token_accuracy": float(correct.sum() / tokens.sum())}},
        "quantile": {"target": target.tolist(), "predicted": predicted.tolist(),
                     "values": [{"q": q, "value": float(sk.mean_pinball_loss(*narrow, alpha=q))}
                                for q in (0.05, 0.5, 0.9)]},
        "classes": {"labels": labels.tolist(), "first": first.tolist(), "second": second.tolist(),
                    "churn": float(np.mean(first != second)),
                    "robustness_drop": float(np.mean(second == labels) - np.mean(first == labels)),
                    "values": [{"class": c,
                                "precision": float(sk.precision_score(labels == c, first == c)),
                                "recall": float(sk.recall_score(labels == c, first == c)),
                                "f1": float(sk.f1_score(labels == c, first == c))}
                               for c in range(4)]},
    }


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


def tango_score(only, other, n, margin):
    """The score with the nuisance share found by numerical maximisation of the likelihood."""
    def loss(share):  # of the rows that only the baseline gets right
        parts = [(only, share + margin), (other, share), (n - only - other, 1 - 2 * share - margin)]
        return -sum(count * np.log(max(p, 1e-300)) for count, p in parts if count)
    low, high = max(0.0, -margin), (1 - margin) / 2
    found = optimize.minimize_scalar(loss, bounds=(low, high), method="bounded",
                                     options={"xatol": 1e-14}).x
    for edge in (low, high):
        if loss(edge) <= loss(found):
            found = edge
    variance = n * (2 * found + margin - margin ** 2)
    return (only - other - n * margin) / np.sqrt(variance)


def record_pairs_with_margin():
    cases = []
    for only, other, n in [(10, 4, 100), (0, 0, 50), (7, 0, 40), (0, 9, 60), (60, 41, 1000),
                           (300, 260, 5000), (1, 1, 20)]:
        scores = [{"margin": m, "score": float(tango_score(only, other, n, m))}
                  for m in (-0.2, -0.05, -0.005, 0.005, 0.02, 0.1)]
        bounds = {}
        for name, z in (("low", stats.norm.ppf(0.95)), ("high", -stats.norm.ppf(0.95))):
            bounds[name] = float(optimize.brentq(lambda d: tango_score(only, other, n, d) - z,
                                                 -0.999, 0.999, xtol=1e-12))
        split = only + other
        mid = stats.binom.sf(only, split, 0.5) + 0.5 * stats.binom.pmf(only, split, 0.5)
        cases.append({"only": only, "other": other, "n": n, "scores": scores,
                      "mid_p": float(mid) if split else 1.0, **bounds})
    return cases


def independent_score(hits, n, margin):
    """Miettinen and Nurminen's score by numerical maximisation of the likelihood."""
    def loss(p2):
        parts = [(hits[0], p2 + margin), (n[0] - hits[0], 1 - p2 - margin), (hits[1], p2),
                 (n[1] - hits[1], 1 - p2)]
        return -sum(count * np.log(max(p, 1e-300)) for count, p in parts if count)
    low, high = max(0.0, -margin), min(1.0, 1 - margin)
    p2 = optimize.minimize_scalar(loss, bounds=(low, high), method="bounded",
                                  options={"xatol": 1e-14}).x
    for edge in (low, high):
        if loss(edge) <= loss(p2):
            p2 = edge
    p1, total = p2 + margin, n[0] + n[1]
    variance = (p1 * (1 - p1) / n[0] + p2 * (1 - p2) / n[1]) * total / (total - 1)
    return (hits[0] / n[0] - hits[1] / n[1] - margin) / np.sqrt(variance)


def record_independent():
    """statsmodels 0.15 has this score too, but its restricted estimate is not where the likelihood
    is largest (45/50 and 40/50 at a difference of 0.22: p1 0.9105 for 0.9291), and it gives NaN at
    the edges. The first two cases are in Newcombe (Statistics in Medicine 17, 1998, table II)."""
    cases = []
    for h1, n1, h2, n2 in [(56, 70, 48, 80), (9, 10, 3, 10), (45, 50, 40, 50), (0, 20, 3, 30), (20, 20, 30, 30), (178, 200, 900, 1000),
                           (5, 5, 0, 7), (4600, 5000, 4500, 5000)]:
        hits, n, z = (h1, h2), (n1, n2), stats.norm.ppf(0.95)
        scores = [{"margin": m, "score": float(independent_score(hits, n, m))}
                  for m in (-0.1, -0.02, 0.03, 0.15)]
        bounds = [float(optimize.brentq(lambda d: independent_score(hits, n, d) - at, -0.9999999,
                                        0.9999999, xtol=1e-12))
                  if independent_score(hits, n, 0.9999999) < at < independent_score(hits, n,
                                                                                  -0.9999999)
                  else None for at in (z, -z)]
        cases.append({"hits": hits, "n": n, "scores": scores, "low": bounds[0], "high": bounds[1]})
    return cases


def delong(scores, labels):
    """Areas and their covariance from all pairs, as in the paper (structural components)."""
    areas, tens, ones = [], [], []
    for score in scores:
        positive, negative = score[labels == 1], score[labels == 0]
        wins = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
        areas.append(wins.mean())
        tens.append(wins.mean(1))
        ones.append(wins.mean(0))
    covariance = (np.atleast_2d(np.cov(tens)) / (labels == 1).sum() +
                  np.atleast_2d(np.cov(ones)) / (labels == 0).sum())
    return np.array(areas), covariance


def record_areas(rng):
    cases = []
    for n, share, digits in [(60, 0.5, 3), (200, 0.1, 1), (400, 0.3, 2), (30, 0.2, 0)]:
        labels = (rng.random(n) < share).astype(int)
        labels[:2] = (0, 1)
        shared = rng.normal(size=n)
        scores = [np.clip(np.round(special.expit(shared + rng.normal(size=n) + lift * labels),
                                   digits + 1), 0, 1).astype(np.float32).astype(float)
                  for lift in (1.5, 1.0)]
        areas, covariance = delong(scores, labels)
        assert np.isclose(areas[0], sk.roc_auc_score(labels, scores[0]))
        difference = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
        z = stats.norm.ppf(0.95)
        logit = special.logit(areas[0])
        wide = np.sqrt(covariance[0, 0]) / (areas[0] * (1 - areas[0]))
        cases.append({"labels": labels.tolist(), "first": scores[0].tolist(),
                      "second": scores[1].tolist(), "area": float(areas[0]),
                      "error": float(np.sqrt(covariance[0, 0])),
                      "low": float(special.expit(logit - z * wide)),
                      "high": float(special.expit(logit + z * wide)),
                      "gain": float(areas[0] - areas[1]),
                      "gain_error": float(np.sqrt(difference))})
    return cases


def record_lines(rng):
    cases = []
    for k in (3, 5, 8, 20):
        values = np.round(0.9 + 0.002 * np.arange(k) + 0.01 * rng.normal(size=k), 6)
        found = stats.linregress(np.arange(k), values)
        reach = stats.t.ppf(0.95, k - 2) * found.stderr
        cases.append({"values": values.tolist(), "slope": float(found.slope),
                      "error": float(found.stderr), "low": float(found.slope - reach),
                      "high": float(found.slope + reach),
                      "p": float(stats.t.sf(found.slope / found.stderr, k - 2))})
    return cases


def record_flips(rng):
    """Exact sign-flip p-values by enumeration."""
    cases = []
    for n, shift in [(8, 0.5), (12, 0.3), (14, -0.2)]:
        x = np.round(rng.normal(size=n) + shift, 4)
        found = stats.permutation_test((x,), np.sum, permutation_type="samples",
                                       alternative="greater", n_resamples=np.inf)
        cases.append({"x": x.tolist(), "p": float(found.pvalue)})
    return cases


def bca_of(data, statistic, seeds=8, resamples=4000, **options):
    lows, highs = [], []
    for seed in range(seeds):
        found = stats.bootstrap(data, statistic, confidence_level=0.9, method="BCa",
                                n_resamples=resamples, rng=np.random.default_rng(seed), **options)
        lows.append(found.confidence_interval.low)
        highs.append(found.confidence_interval.high)
    return {"low": float(np.mean(lows)), "high": float(np.mean(highs)),
            "noise": float(max(np.std(lows), np.std(highs)))}


def record_functions(rng):
    """BCa of a ratio of sums, of sums over clusters, and of a metric of all rows."""
    below = rng.integers(5, 200, 150).astype(float)
    above = np.round(below * rng.gamma(3.0, 0.8, 150), 3)
    ratio = {"above": above.tolist(), "below": below.tolist(),
             **bca_of((above, below), lambda a, b, axis: a.sum(axis) / b.sum(axis), paired=True)}
    cluster = np.sort(rng.integers(0, 60, 400))
    cluster[:60] = np.arange(60)
    x = np.round(rng.normal(size=400) ** 2 + rng.normal(size=60)[cluster] + 3, 4)
    sums = np.array([x[cluster == c].sum() for c in range(60)])
    sizes = np.array([(cluster == c).sum() for c in range(60)]).astype(float)
    clusters = {"x": x.tolist(), "cluster": (7 * cluster - 11).tolist(),
                **bca_of((sums, sizes), lambda a, b, axis: a.sum(axis) / b.sum(axis), paired=True)}
    labels = rng.integers(0, 3, 160)
    prediction = np.where(rng.random(160) < 0.75, labels, rng.integers(0, 3, 160))

    def macro_f1(rows):
        rows = rows.astype(int)
        return sk.f1_score(labels[rows], prediction[rows], average="macro", zero_division=0)
    corpus = {"labels": labels.tolist(), "prediction": prediction.tolist(),
              **bca_of((np.arange(160),), macro_f1, seeds=4, resamples=1500, vectorized=False)}
    return {"ratio": ratio, "clusters": clusters, "corpus": corpus}


def record_power():
    """The chance that the exact bound passes, from its definition."""
    cases = []
    for n, bar, truth in [(500, 0.9, 0.92), (2000, 0.91, 0.93), (100, 0.5, 0.7), (50, 0.95, 0.99)]:
        hits = np.arange(n + 1)
        bounds = stats.beta.ppf(0.05, hits, n - hits + 1)
        bounds[0] = 0
        fewest = int(np.argmax(bounds >= bar)) if (bounds >= bar).any() else n + 1
        cases.append({"n": n, "bar": bar, "truth": truth,
                      "chance": float(stats.binom.sf(fewest - 1, n, truth))})
    return cases


def main():
    DATA.mkdir(exist_ok=True)
    rng = np.random.default_rng(20240501)
    (DATA / "metrics.json").write_text(json.dumps(record_metrics(rng)) + "\n")
    found = record_exact()
    found["quantiles"] = record_quantiles(rng)
    found["bca"] = record_bca(rng)
    (DATA / "intervals.json").write_text(json.dumps(found) + "\n")
    rng = np.random.default_rng(20240502)
    more = {"metrics": record_more(rng), "margins": record_pairs_with_margin(),
            "independent": record_independent(), "areas": record_areas(rng),
            "lines": record_lines(rng), "flips": record_flips(rng),
            "functions": record_functions(rng), "power": record_power()}
    (DATA / "methods.json").write_text(json.dumps(more) + "\n")


if __name__ == "__main__":
    main()
