"""Can a classifier tell real candidates from digital ones? The classifier two-sample test, patient by patient.

Rows of features of both kinds are pooled, and a classifier learns to tell them apart. On held-out patients its AUC is
0.5 when it cannot, and 1 when every candidate gives its scan away. A *set* is one real patient with the digital
patients scanned like it. `two_sample_test` holds out a whole set at a time, so the classifier is asked about patients
of both kinds it has never seen. `within_sets` holds out only slabs of a set: it can also learn what is peculiar to the
one real patient, and therefore stands beside the same question asked of each digital patient of the set.

References
----------
Lopez-Paz and Oquab, "Revisiting classifier two-sample tests", ICLR 2017 (arXiv:1610.06545).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.integrate import trapezoid
from sklearn.ensemble import ExtraTreesClassifier

from calcscore_ml.errors import ResultError
from calcscore_ml.evaluation.intervals import Interval, interval

CAP = 600
"""Candidates taken of a scan at most, drawn by chance: a noisy scan has thousands, most of them alike; our choice."""

TREES = 200
"""Trees of the classifier; our choice. More do not move the AUC by 0.01."""

LEAF = 3
"""Rows in a leaf at least; our choice."""

SLABS = 4
"""Parts along the body that `within_sets` holds out one at a time; our choice."""

RESAMPLES = 1000
"""Bootstrap samples of patients."""

SIGNIFICANT_DIGITS = 4
"""Features are rounded to this many digits: two grids that differ by rounding only must not tell scans apart."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Candidates of real and digital patients, a row each.

    Parameters
    ----------
    features : DataFrame
        n rows; a column per feature. NaN is allowed.
    real : (n,) array of bool
        Whether the patient is real.
    patient : (n,) array of str
        Whose candidate it is.
    matched : (n,) array of str
        The set a patient belongs to: one real patient and those scanned like it.
    height : (n,) array of float
        Height along the body, in any unit; what slabs are cut by.
    """

    features: pd.DataFrame
    real: NDArray[np.bool_]
    patient: NDArray[np.str_]
    matched: NDArray[np.str_]
    height: NDArray[np.float64]

    def __post_init__(self) -> None:
        lengths = {len(v) for v in (self.features, self.real, self.patient, self.matched, self.height)}
        if len(lengths) != 1:
            raise ResultError(f"every candidate needs all of its columns, got lengths {sorted(lengths)}")
        for name in np.unique(self.patient):
            mine = self.patient == name
            if len(np.unique(self.matched[mine])) > 1 or len(np.unique(self.real[mine])) > 1:
                raise ResultError(f"a patient is real or digital and belongs to one set, got more for {name!r}")

    def take(self, rows: NDArray[np.generic]) -> Rows:
        """Return some of the rows, by mask or by index."""
        parts = (v[rows] for v in (self.real, self.patient, self.matched, self.height))
        return Rows(self.features.iloc[_index(rows)].reset_index(drop=True), *parts)

    def columns(self, names: Sequence[str]) -> Rows:
        """Return all rows with some of the features."""
        return Rows(self.features[list(names)], self.real, self.patient, self.matched, self.height)


@dataclass(frozen=True, slots=True, eq=False)
class TwoSample:
    """What a two-sample test found.

    Parameters
    ----------
    auc : Interval
        Mean over sets of the mean AUC of the set's pairs of a real and a digital patient. The interval draws sets, and
        digital patients within each; with two or three real patients it is a rough one.
    per_set : dict of str to float
        Of each set.
    importance : dict of str to float
        By how much the AUC of held-out patients falls when a feature is shuffled among them.
    group_importance : dict of str to float
        The same with all features of a group shuffled together; correlated features cannot cover for each other.
    """

    auc: Interval
    per_set: dict[str, float]
    importance: dict[str, float]
    group_importance: dict[str, float]


def two_sample_test(
    rows: Rows,
    *,
    groups: Mapping[str, str] | None = None,
    importance: bool = True,
    cap: int = CAP,
    seed: int = 0,
) -> TwoSample:
    """Ask a classifier about patients it has not seen, one matched set held out at a time.

    Parameters
    ----------
    rows : Rows
        At least two sets; a set without both kinds is only learnt from.
    groups : mapping of str to str or None
        The group of each feature, for `TwoSample.group_importance`.
    importance : bool
        Whether to shuffle features; it takes most of the time.
    cap : int
        Candidates of a scan at most.
    seed : int
        Of the draws and the classifier.

    Returns
    -------
    TwoSample

    Raises
    ------
    ResultError
        When fewer than two sets hold both kinds.
    """
    rows = thin(rows, cap, seed)
    table = _numbers(rows.features)
    names = list(rows.features.columns)
    sets = [s for s in np.unique(rows.matched) if len(np.unique(rows.real[rows.matched == s])) == 2]
    if len(sets) < 2:
        raise ResultError(f"a two-sample test needs two sets with real and digital patients, got {len(sets)}")
    pairs: dict[str, NDArray[np.float64]] = {}
    singles: list[NDArray[np.float64]] = []
    grouped: list[NDArray[np.float64]] = []
    labels = sorted({groups[n] for n in names}) if groups else []
    members = [np.flatnonzero([groups[n] == label for n in names]) for label in labels] if groups else []
    for held_out in sets:
        test = rows.matched == held_out
        forest = _fit(table[~test], rows.real[~test], rows.patient[~test], seed)
        asked, real, patient = table[test], rows.real[test], rows.patient[test]
        pairs[held_out] = pair_auc(_score(forest, asked), real, patient)
        if importance:
            falls = partial(_fall, forest, asked, real, patient, float(pairs[held_out].mean()), seed)
            singles.append(np.array([falls(np.array([i])) for i in range(len(names))]))
            grouped.append(np.array([falls(columns) for columns in members]))
    per_set = {s: float(pairs[s].mean()) for s in sets}
    mean_single = np.mean(singles, axis=0) if singles else np.zeros(0)
    mean_group = np.mean(grouped, axis=0) if grouped else np.zeros(0)
    return TwoSample(
        _bootstrap([pairs[s] for s in sets], seed),
        per_set,
        _descending(names, mean_single),
        _descending(labels, mean_group),
    )


def within_sets(rows: Rows, *, cap: int = CAP, seed: int = 0) -> dict[str, tuple[float, float]]:
    """Ask, within each set, how well slabs of one patient are told from slabs of the others.

    Parameters
    ----------
    rows : Rows
        Sets of one real and at least two digital patients.
    cap, seed
        As in `two_sample_test`.

    Returns
    -------
    dict of str to (float, float)
        By set: the AUC of the real patient against the digital ones, and the mean AUC of each digital patient against
        the other digital ones. What the first exceeds the second by is not a matter of any two patients being
        different people. Patients with too few candidates for slabs are left out.
    """
    rows = thin(rows, cap, seed)
    found = {}
    for name in np.unique(rows.matched):
        one = rows.take(rows.matched == name)
        people, of, count = np.unique(one.patient, return_inverse=True, return_counts=True)
        one = one.take(count[of] >= SLABS * LEAF)
        digital = one.take(~one.real)
        people = np.unique(digital.patient)
        if not one.real.any() or len(people) < 2:
            continue
        against = [_by_slab(digital, digital.patient == person, seed) for person in people]
        found[str(name)] = (_by_slab(one, one.real, seed), float(np.mean(against)))
    return found


def univariate(rows: Rows, *, cap: int = CAP, seed: int = 0) -> pd.DataFrame:
    """Compare one feature at a time.

    Parameters
    ----------
    rows : Rows
        Real and digital candidates.
    cap, seed
        As in `two_sample_test`.

    Returns
    -------
    DataFrame
        Indexed by feature, most telling first: auc (mean over pairs of a real and a digital patient of one set; above
        0.5 where real values are higher), per_set_low and per_set_high (its range over sets), and the medians of the
        real and the digital candidates (each patient's median, averaged).
    """
    rows = thin(rows, cap, seed)
    table = _numbers(rows.features)
    out = []
    for i, name in enumerate(rows.features.columns):
        known = np.isfinite(table[:, i])
        values = []
        for one in np.unique(rows.matched):
            mine = known & (rows.matched == one)
            if len(np.unique(rows.real[mine])) == 2:
                values.append(pair_auc(table[mine, i], rows.real[mine], rows.patient[mine]).mean())
        if not values:
            continue
        medians = [
            np.mean([np.median(table[known & (rows.patient == p), i]) for p in np.unique(rows.patient[known & kind])])
            for kind in (rows.real, ~rows.real)
        ]
        out.append((name, float(np.mean(values)), float(min(values)), float(max(values)), *map(float, medians)))
    columns = ["feature", "auc", "per_set_low", "per_set_high", "real_median", "digital_median"]
    frame = pd.DataFrame(out, columns=columns).set_index("feature")
    return frame.loc[(frame["auc"] - 0.5).abs().sort_values(ascending=False, kind="stable").index]


def pair_auc(score: NDArray[np.float64], real: NDArray[np.bool_], patient: NDArray[np.str_]) -> NDArray[np.float64]:
    """AUC of each pair of a real and a digital patient, (real patients, digital patients).

    >>> pair_auc(np.array([3.0, 1.0, 2.0, 0.0]), np.array([True, True, False, False]), np.array(["r", "r", "a", "b"]))
    array([[0.5, 1. ]])
    """
    kinds = [np.unique(patient[kind]) for kind in (real, ~real)]
    out = np.empty((len(kinds[0]), len(kinds[1])))
    for i, one in enumerate(kinds[0]):
        for j, other in enumerate(kinds[1]):
            both = (patient == one) | (patient == other)
            out[i, j] = _auc(real[both], score[both])
    return out


def _auc(real: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    """Area under the ROC curve: to the last bit scikit-learn's `roc_auc_score` of finite scores of both kinds.

    Tens of thousands of curves of a hundred rows are asked for; its checks of each take far longer than the curve.
    """
    order = np.argsort(-score, kind="stable")
    last = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    hits = np.cumsum(real[order])[last].astype(np.float64)
    alarms = 1 + last - hits
    corner = np.ones(len(last), dtype=np.bool_)
    corner[1:-1] = (np.diff(hits, 2) != 0) | (np.diff(alarms, 2) != 0)
    heights, widths = (np.concatenate([[0.0], counts[corner]]) / counts[-1] for counts in (hits, alarms))
    return float(trapezoid(heights, widths))


def thin(rows: Rows, cap: int, seed: int) -> Rows:
    """Keep at most `cap` candidates of each patient, drawn by chance; the draw of one does not depend on others."""
    kept = []
    for name in np.unique(rows.patient):
        mine = np.flatnonzero(rows.patient == name)
        rng = np.random.default_rng([seed, *str(name).encode()])
        kept.append(np.sort(rng.permutation(mine)[:cap]))
    return rows.take(np.sort(np.concatenate(kept)))


def _by_slab(rows: Rows, target: NDArray[np.bool_], seed: int) -> float:
    """AUC of one patient against the others, every slab of each patient asked of a classifier that has not seen it."""
    slab = np.zeros(len(target), dtype=int)
    for name in np.unique(rows.patient):
        mine = np.flatnonzero(rows.patient == name)
        slab[mine[np.argsort(rows.height[mine], kind="stable")]] = np.arange(len(mine)) * SLABS // len(mine)
    table = _numbers(rows.features)
    values = []
    for k in range(SLABS):
        test = slab == k
        if len(np.unique(target[test])) == 2 and len(np.unique(target[~test])) == 2:
            forest = _fit(table[~test], target[~test], rows.patient[~test], seed)
            values.append(pair_auc(_score(forest, table[test]), target[test], rows.patient[test]).mean())
    return float(np.mean(values)) if values else float("nan")


def balanced_weights(target: NDArray[np.bool_], patient: NDArray[np.str_]) -> NDArray[np.float64]:
    """Weigh rows so that both kinds count the same, and within each kind every patient.

    >>> balanced_weights(np.array([True, False, False, False]), np.array(["r", "a", "a", "b"])).tolist()
    [2.0, 0.5, 0.5, 1.0]
    """
    weight = np.zeros(len(target))
    for kind in (target, ~target):
        people, of = np.unique(patient[kind], return_inverse=True)
        weight[kind] = len(target) / 2 / len(people) / np.bincount(of)[of]
    return weight


def _fit(
    table: NDArray[np.float64], target: NDArray[np.bool_], patient: NDArray[np.str_], seed: int
) -> ExtraTreesClassifier:
    forest = ExtraTreesClassifier(TREES, min_samples_leaf=LEAF, random_state=seed, n_jobs=1)
    return forest.fit(table, target, sample_weight=balanced_weights(target, patient))


def _score(forest: ExtraTreesClassifier, table: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(forest.predict_proba(table)[:, 1])


def _fall(
    forest: ExtraTreesClassifier,
    table: NDArray[np.float64],
    real: NDArray[np.bool_],
    patient: NDArray[np.str_],
    auc: float,
    seed: int,
    columns: NDArray[np.intp],
) -> float:
    """By how much the AUC falls when some columns are shuffled among the rows, together."""
    shuffled = table.copy()
    order = np.random.default_rng([seed, *columns]).permutation(len(table))
    shuffled[:, columns] = table[order][:, columns]
    return auc - float(pair_auc(_score(forest, shuffled), real, patient).mean())


def _numbers(features: pd.DataFrame) -> NDArray[np.float64]:
    """Round to `SIGNIFICANT_DIGITS`, NaN kept; trees cut at float32, so nothing finer is lost."""
    values = features.to_numpy(dtype=float)
    size = np.zeros_like(values)
    np.log10(np.abs(values), out=size, where=np.isfinite(values) & (values != 0))
    scale = 10.0 ** (SIGNIFICANT_DIGITS - 1 - np.floor(size))
    return np.asarray(np.round(values * scale) / scale)


def _bootstrap(pairs: list[NDArray[np.float64]], seed: int) -> Interval:
    """Interval of the mean over sets, drawing sets and then the digital patients of each."""
    rng = np.random.default_rng(seed)
    of_set = [p.mean(axis=0) for p in pairs]

    def mean(sets: Sequence[NDArray[np.float64]]) -> float:
        return float(np.mean([v.mean() for v in sets]))

    def redraw(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return values[rng.integers(len(values), size=len(values))]

    picks = rng.integers(len(pairs), size=(RESAMPLES, len(pairs)))
    drawn = np.array([mean([redraw(of_set[i]) for i in row]) for row in picks])
    left_out = np.array([mean(of_set[:i] + of_set[i + 1 :]) for i in range(len(of_set))])
    return interval(mean(of_set), drawn, left_out, method="percentile")


def _descending(names: Sequence[str], values: NDArray[np.float64]) -> dict[str, float]:
    return {names[i]: float(values[i]) for i in np.argsort(-values, kind="stable")}


def _index(rows: NDArray[np.generic]) -> NDArray[np.intp]:
    return np.flatnonzero(rows) if rows.dtype == np.bool_ else np.asarray(rows, dtype=np.intp)
