"""The error of each patient that is left when lesions at or above a threshold are decided by an expert."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from calcscore_ml.anatomy import ARTERIES, Label, merge_left_main
from calcscore_ml.errors import ResultError
from calcscore_ml.evaluation.lesions import label_numbers, need_columns
from calcscore_ml.evaluation.patients import find_patients
from calcscore_ml.referral.promise import SMALL_AGATSTON, Loss
from calcscore_ml.scores.risk import RiskScheme

POINTS = 500
"""Thresholds at which losses are computed."""


@dataclass(frozen=True, slots=True, eq=False)
class Left:
    """What is left of an error, and what it took; arrays are (n_patients, n_thresholds), means over a patient's scans.

    Parameters
    ----------
    losses : array of float
        0 to 1.
    referred : array of float
        Lesions referred per scan.
    """

    losses: NDArray[np.float64]
    referred: NDArray[np.float64]


def losses_left(
    lesions: pd.DataFrame,
    scans: pd.DataFrame,
    *,
    stake: NDArray[np.float64],
    thresholds: NDArray[np.float64],
    loss: Loss,
    scheme: RiskScheme,
    expert: NDArray[np.integer] | None = None,
    left_main_as_lad: bool = False,
) -> Left:
    """Compute the loss of every patient at every threshold.

    Parameters
    ----------
    lesions : DataFrame
        One row per candidate: `scan_id`, `truth`, `predicted` (label numbers), and `agatston`, what it adds if it is
        coronary. Candidates that add nothing are not scored lesions: they are never referred, and never wrong.
    scans : DataFrame
        One row per scan, those without a candidate too: `patient_id`, `scan_id`, `agatston_truth`.
    stake : (n_lesions,) array of float
        A lesion is referred where this is at least the threshold.
    thresholds : (n_thresholds,) array of float
        In any order.
    loss : {'lesions', 'category', 'agatston'}
        Share of the lesions that are coronary, or are taken to be, whose artery is wrong; 1 when the risk category is
        wrong; error of the Agatston score over its reference, at least `SMALL_AGATSTON`, at most 1.
    scheme : RiskScheme
        Risk categories.
    expert : (n_lesions,) array of int, optional
        The label an expert gives each lesion; the truth when not given.
    left_main_as_lad : bool
        Count the left main as LAD on all sides.

    Returns
    -------
    Left
        Patients in the order of their ids.

    Examples
    --------
    >>> from calcscore_ml.scores.risk import find_scheme
    >>> lesions = pd.DataFrame({"truth": [1, 0], "predicted": [0, 1], "agatston": [50.0, 200.0]}).assign(scan_id="a")
    >>> scans = pd.DataFrame({"patient_id": ["p"], "scan_id": ["a"], "agatston_truth": [50.0]})
    >>> found = losses_left(
    ...     lesions, scans, stake=np.array([0.2, 0.9]), thresholds=np.array([0.1, 0.5, 1.0]), loss="agatston",
    ...     scheme=find_scheme("standard"))
    >>> found.losses.tolist(), found.referred.tolist()
    ([[0.0, 1.0, 1.0]], [[2.0, 1.0, 0.0]])
    """
    need_columns(lesions, ["scan_id", "truth", "predicted", "agatston"], "a lesion table")
    need_columns(scans, ["agatston_truth"], "a table of scans")
    if stake.shape != (len(lesions),) or not np.isfinite(stake).all():
        raise ResultError(f"every lesion needs a finite stake, got shape {stake.shape} for {len(lesions)} lesions")
    who = find_patients(scans, lesions)
    truth = _artery(label_numbers(lesions["truth"], "reference"), left_main_as_lad)
    predicted = _artery(label_numbers(lesions["predicted"], "predicted"), left_main_as_lad)
    said = truth if expert is None else _artery(np.asarray(expert), left_main_as_lad)
    effect = lesions["agatston"].to_numpy(dtype=float)
    of_scan = pd.Index(scans["scan_id"]).get_indexer(pd.Index(lesions["scan_id"]))
    scored = effect > 0
    members = pd.Series(np.flatnonzero(scored)).groupby(of_scan[scored]).indices
    left, referred = np.zeros((2, len(scans), len(thresholds)))
    for scan, reference in enumerate(scans["agatston_truth"].to_numpy(dtype=float)):
        own = np.flatnonzero(scored)[members.get(scan, np.zeros(0, dtype=np.intp))]
        own = own[np.argsort(-stake[own], kind="stable")]
        k = np.searchsorted(-stake[own], -thresholds, side="right")
        referred[scan] = k
        if loss == "lesions":
            left[scan] = _wrong_share(truth[own], predicted[own], said[own])[k]
        else:
            totals = _totals(effect[own], predicted[own] > 0, said[own] > 0)[k]
            if loss == "category":
                left[scan] = scheme.categories(totals) != scheme.category(reference)
            else:
                left[scan] = np.minimum(np.abs(totals - reference) / max(reference, SMALL_AGATSTON), 1)
    weight = 1 / who.scans[who.of_scan][:, None]
    out = np.zeros((2, len(who.ids), len(thresholds)))
    for target, values in zip(out, (left, referred), strict=True):
        np.add.at(target, who.of_scan, values * weight)
    return Left(np.clip(out[0], 0, 1), out[1])


def rising_thresholds(stakes: NDArray[np.float64], points: int = POINTS) -> NDArray[np.float64]:
    """Return thresholds from one that every lesion reaches to one that none does, denser where few do.

    Nearly all lesions of a cohort have next to nothing at stake, so steps are even in the logarithm of the number of
    lesions referred, not in that number.

    Parameters
    ----------
    stakes : (n,) array of float
        At least 0.
    points : int
        How many thresholds, about.

    >>> rising_thresholds(np.array([0.0, 0.2, 0.0, 0.7])).tolist()
    [0.0, 0.2, 0.7, 1.7]
    """
    values = np.unique(stakes)[::-1]
    if len(values) > points:
        values = values[np.unique(np.geomspace(1, len(values), points).astype(np.intp) - 1)]
    return np.unique(np.concatenate([[0.0], values, [1.0 + values.max(initial=0.0)]]))


def simulated_expert(
    truth: NDArray[np.integer], likeliest: NDArray[np.integer], error: float, seed: int = 0
) -> NDArray[np.intp]:
    """Return the labels of an expert who errs, (n,).

    Parameters
    ----------
    truth : (n,) array of int
        True labels.
    likeliest : (n,) array of int
        The artery a lesion lies in if it lies in one.
    error : float
        Probability of an error: a coronary lesion is taken for none, another for one of the likeliest artery.
    seed : int
        Of the draw.
    """
    errs = np.random.default_rng(seed).random(len(truth)) < error
    wrong = np.where(np.isin(truth, ARTERIES), int(Label.OTHER), likeliest)
    return np.where(errs, wrong, truth).astype(np.intp)


def _artery(labels: NDArray[np.integer], left_main_as_lad: bool) -> NDArray[np.intp]:
    merged = merge_left_main(labels) if left_main_as_lad else labels
    return np.where(np.isin(merged, ARTERIES), merged, int(Label.OTHER)).astype(np.intp)


def _wrong_share(truth: NDArray[np.intp], predicted: NDArray[np.intp], said: NDArray[np.intp]) -> NDArray[np.float64]:
    """Share of wrong lesions when the first k of n are decided, for k = 0 to n."""
    named = (truth > 0) | (predicted > 0)
    # What nobody but an expert who errs calls calcified is a lesion from then on.
    counted = np.count_nonzero(named) + np.concatenate([[0], np.cumsum(~named & (said > 0))])
    before, after = (truth != predicted).astype(float), (truth != said).astype(float)
    wrong = before.sum() + np.concatenate([[0.0], np.cumsum(after - before)])
    return np.asarray(wrong / np.maximum(counted, 1))


def _totals(effect: NDArray[np.float64], now: NDArray[np.bool_], said: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Agatston score when the first k of n lesions are decided, for k = 0 to n; what rounds to nothing is nothing."""
    moves = effect * (said.astype(float) - now.astype(float))
    totals = effect[now].sum() + np.concatenate([[0.0], np.cumsum(moves)])
    return np.where(np.abs(totals) < 1e-9, 0.0, totals)
