"""Every metric of an evaluation, as a function of what each patient adds up to.

`contributions` turns the lesion table and the table of scans into one row of sums per patient, and lists the metrics
those sums define. Intervals (`calcscore_ml.evaluation.summary`) and comparisons of two systems
(`calcscore_ml.evaluation.comparison`) both start there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from calcscore_ml.anatomy import ARTERIES, Label
from calcscore_ml.errors import ResultError
from calcscore_ml.evaluation import lesions as lesion_metrics
from calcscore_ml.evaluation.agreement import (
    category_sums,
    difference_sums,
    icc_of_sums,
    kappa_of_sums,
    limits_of_sums,
    rating_sums,
)
from calcscore_ml.evaluation.bootstrap import SumsStatistic
from calcscore_ml.evaluation.lesions import N_LABELS, label_tables, ratio, with_missed
from calcscore_ml.evaluation.patients import find_patients
from calcscore_ml.scores.risk import SCHEMES, RiskScheme

TRUTH_SUFFIX: Final = "_truth"
"""A column ``x`` of the table of scans is a score to evaluate when there is a column ``x_truth``."""

CATEGORY: Final = "category"
"""The column of the risk category, beside `TRUTH_SUFFIX`."""

NO_SCORE: Final = "no_score"
"""The column that says which scans have no score, where the table of scans has it. Such a scan found nothing, and its
category is as wrong as it can be, whatever the columns beside it hold."""

COUNTS: Final = slice(0, N_LABELS**2)
"""Where the sums hold the table of lesions, truth by prediction."""

VOLUMES: Final = slice(N_LABELS**2, 2 * N_LABELS**2)
"""Where the sums hold the same table in mm3."""

SCANS: Final = 2 * N_LABELS**2
"""Where the sums hold the number of scans."""

OTHER_SITES: Final = (Label.AORTA, Label.AORTIC_VALVE, Label.MITRAL_VALVE)
"""Calcium beside the coronaries that has labels of its own."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One number of an evaluation.

    Parameters
    ----------
    name : str
        ``group.metric``: ``lesion.sensitivity``.
    unit : str
        Empty for shares and scores.
    statistic : callable
        Takes (..., m) sums, returns (...) values.
    """

    name: str
    unit: str
    statistic: SumsStatistic


@dataclass(frozen=True, slots=True, eq=False)
class Contributions:
    """What each patient adds to every metric.

    Parameters
    ----------
    patient_ids : tuple of str
        In order, so that the order of the input tables changes nothing.
    sums : (n_patients, m) array
        `COUNTS`, `VOLUMES`, `SCANS`, the scores' sums, and last the table of categories.
    metrics : tuple of Metric
        What the sums define.
    categories : slice
        Where the sums hold the table of categories, truth by measured; empty without categories.
    """

    patient_ids: tuple[str, ...]
    sums: NDArray[np.float64]
    metrics: tuple[Metric, ...]
    categories: slice


def contributions(
    lesions: pd.DataFrame,
    patients: pd.DataFrame,
    *,
    missed: pd.DataFrame | None = None,
    scheme: RiskScheme = SCHEMES[0],
    left_main_as_lad: bool = False,
) -> Contributions:
    """Add up, patient by patient, what the metrics need.

    The parameters are those of `calcscore_ml.evaluation.summary.evaluate`.
    """
    if left_main_as_lad:
        patients = _left_main_to_lad(patients)
    found = with_missed(lesions, missed)
    who = find_patients(patients, found)
    names = who.ids
    silent = _without_score(patients)
    unseen = found["scan_id"].isin(patients["scan_id"][silent])
    tables = label_tables(
        who.of_lesion,
        found["truth"],
        found["predicted"].where(~unseen, int(Label.OTHER)),
        found["volume_mm3"],
        len(names),
        left_main_as_lad=left_main_as_lad,
    )
    blocks = [np.hstack([table.reshape(len(names), -1) for table in tables])]
    per_scan = [np.ones((len(patients), 1))]
    metrics = list(_lesion_metrics(left_main_as_lad))
    start = SCANS + 1
    if NO_SCORE in patients.columns:
        per_scan.append(silent[:, None].astype(float))
        metrics.append(Metric("scan.no_score", "", partial(_share_of_scans, at=start)))
        start += 1
    for score in score_columns(patients):
        sums = _score_sums(patients, score)
        per_scan.append(sums)
        metrics += _score_metrics(score, start)
        start += sums.shape[1]
    stop = start
    if pairs := _categories(patients, scheme):
        truth, measured = pairs
        pairs = truth, np.where(silent, _farthest(truth, len(scheme.titles)), measured)
        per_scan.append(category_sums(*pairs, len(scheme.titles)))
        stop = start + per_scan[-1].shape[1]
        metrics += _category_metrics(slice(start, stop))
    added = np.zeros((len(names), sum(block.shape[1] for block in per_scan)))
    np.add.at(added, who.of_scan, np.hstack(per_scan))
    return Contributions(names, np.hstack([*blocks, added]), tuple(metrics), slice(start, stop))


def score_columns(patients: pd.DataFrame) -> tuple[str, ...]:
    """Return the scores that have a reference, in the table's order.

    >>> score_columns(pd.DataFrame(columns=["scan_id", "agatston", "agatston_truth", "mass_mg"]))
    ('agatston',)
    """
    return tuple(
        str(name) for name in patients.columns if name != CATEGORY and f"{name}{TRUTH_SUFFIX}" in patients.columns
    )


def score_unit(score: str) -> str:
    """Return the unit that a score's name ends in, or nothing.

    >>> score_unit("volume_mm3"), score_unit("agatston")
    ('mm3', '')
    """
    ending = score.rsplit("_", 1)[-1]
    return ending if ending in ("mm3", "mg") else ""


def _left_main_to_lad(patients: pd.DataFrame) -> pd.DataFrame:
    """Add the left main's scores to the LAD's, reference and measured alike."""
    merged = patients.copy()
    for name in map(str, patients.columns):
        lad = name.replace("_lm", "_lad")
        if "lm" in name.split("_") and lad in patients.columns:
            merged[lad] = pd.to_numeric(patients[lad]) + pd.to_numeric(patients[name])
            merged = merged.drop(columns=name)
    return merged


def _lesion_metrics(left_main_as_lad: bool) -> list[Metric]:
    def of(
        function: Callable[[NDArray[np.number]], NDArray[np.float64]], part: slice = COUNTS
    ) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
        return lambda sums: function(sums[..., part].reshape(*sums.shape[:-1], N_LABELS, N_LABELS))

    def per_scan(
        part: slice, function: Callable[[NDArray[np.number]], NDArray[np.float64]] = lesion_metrics.false_positives
    ) -> SumsStatistic:
        false = of(function, part)
        return lambda sums: ratio(false(sums), sums[..., SCANS])

    metrics = [
        Metric("lesion.sensitivity", "", of(lesion_metrics.sensitivity)),
        Metric("lesion.ppv", "", of(lesion_metrics.ppv)),
        Metric("lesion.f1", "", of(lesion_metrics.f1)),
        Metric("lesion.false_positives_per_scan", "", per_scan(COUNTS)),
        Metric("lesion_volume.sensitivity", "", of(lesion_metrics.sensitivity, VOLUMES)),
        Metric("lesion_volume.ppv", "", of(lesion_metrics.ppv, VOLUMES)),
        Metric("lesion_volume.f1", "", of(lesion_metrics.f1, VOLUMES)),
        Metric("lesion_volume.false_positive_mm3_per_scan", "mm3", per_scan(VOLUMES)),
        Metric("artery.accuracy_of_found", "", of(lesion_metrics.artery_accuracy)),
    ]
    arteries = [label for label in ARTERIES if not (left_main_as_lad and label is Label.LM)]
    for group, labels in (("artery", arteries), ("other_site", OTHER_SITES)):
        for label in labels:
            key = f"{group}.{label.name.lower()}"
            own = partial(lesion_metrics.label_sensitivity, label=label)
            metrics += [
                Metric(f"{key}_sensitivity", "", of(own)),
                Metric(f"{key}_ppv", "", of(partial(lesion_metrics.label_ppv, label=label))),
                Metric(f"{key}_f1", "", of(partial(lesion_metrics.label_f1, label=label))),
            ]
            if label in OTHER_SITES:
                false = partial(lesion_metrics.label_false_positives, label=label)
                metrics += [
                    Metric(f"{key}_volume_sensitivity", "", of(own, VOLUMES)),
                    Metric(f"{key}_false_positive_mm3_per_scan", "mm3", per_scan(VOLUMES, false)),
                ]
    return metrics


def _score_sums(patients: pd.DataFrame, score: str) -> NDArray[np.float64]:
    truth = pd.to_numeric(patients[score + TRUTH_SUFFIX]).to_numpy(dtype=float)
    measured = pd.to_numeric(patients[score]).to_numpy(dtype=float)
    wrong = int((~(np.isfinite(truth) & np.isfinite(measured) & (truth >= 0) & (measured >= 0))).sum())
    if wrong:
        raise ResultError(f"scores must be finite and not negative, got {wrong} scans with another {score}")
    ratings = rating_sums(np.column_stack([truth, measured]))
    return np.hstack([ratings, difference_sums(truth, measured), difference_sums(np.log1p(truth), np.log1p(measured))])


def _score_metrics(score: str, start: int) -> list[Metric]:
    ratings, plain, logs = slice(start, start + 5), slice(start + 5, start + 8), slice(start + 8, start + 11)
    unit = score_unit(score)
    ends = ("bias", "limit_low", "limit_high")

    def limit(part: slice, end: int) -> SumsStatistic:
        return lambda sums: limits_of_sums(sums[..., part])[..., end]

    def ratio_limit(end: int) -> SumsStatistic:
        return lambda sums: np.exp(limits_of_sums(sums[..., logs])[..., end])

    return [
        Metric(f"{score}.icc_a1", "", lambda sums: icc_of_sums(sums[..., ratings], "A,1")),
        Metric(f"{score}.icc_c1", "", lambda sums: icc_of_sums(sums[..., ratings], "C,1")),
        Metric(f"{score}.icc_11", "", lambda sums: icc_of_sums(sums[..., ratings], "1,1")),
        *[Metric(f"{score}.{end}", unit, limit(plain, i)) for i, end in enumerate(ends)],
        *[Metric(f"{score}.ratio_{end}", "", ratio_limit(i)) for i, end in enumerate(ends)],
    ]


def _categories(patients: pd.DataFrame, scheme: RiskScheme) -> tuple[NDArray[np.int64], NDArray[np.int64]] | tuple[()]:
    truth, measured = CATEGORY + TRUTH_SUFFIX, CATEGORY
    if {truth, measured} <= set(patients.columns):
        return _whole(patients[truth]), _whole(patients[measured])
    if "agatston" in score_columns(patients):
        scores = (patients["agatston" + TRUTH_SUFFIX], patients["agatston"])
        first, second = (np.array([scheme.category(s) for s in column], dtype=np.int64) for column in scores)
        return first, second
    return ()


def _without_score(patients: pd.DataFrame) -> NDArray[np.bool_]:
    """Which scans have no score, (n_scans,); none where the table does not say."""
    if NO_SCORE not in patients.columns:
        return np.zeros(len(patients), dtype=bool)
    return patients[NO_SCORE].to_numpy(dtype=bool)


def _share_of_scans(sums: NDArray[np.float64], at: int) -> NDArray[np.float64]:
    return ratio(sums[..., at], sums[..., SCANS])


def _farthest(truth: NDArray[np.int64], categories: int) -> NDArray[np.int64]:
    """Return the category farthest from each, the highest of equals."""
    return np.where(truth <= (categories - 1) / 2, categories - 1, 0)


def _whole(column: pd.Series[Any]) -> NDArray[np.int64]:
    values = pd.to_numeric(column).to_numpy(dtype=float)
    wrong = values[~(values == np.rint(values))]
    if len(wrong):
        raise ResultError(f"risk categories must be whole numbers from 0, got {wrong[0]:g} in column {column.name}")
    return np.asarray(values, dtype=np.int64)


def _category_metrics(part: slice) -> list[Metric]:
    def accuracy(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        side = round(float(np.sqrt(part.stop - part.start)))
        table = sums[..., part]
        return ratio(table[..., :: side + 1].sum(axis=-1), table.sum(axis=-1))

    return [
        Metric("category.accuracy", "", accuracy),
        Metric("category.kappa_linear", "", lambda sums: kappa_of_sums(sums[..., part], "linear")),
        Metric("category.kappa_quadratic", "", lambda sums: kappa_of_sums(sums[..., part], "quadratic")),
        Metric("category.kappa_unweighted", "", lambda sums: kappa_of_sums(sums[..., part], "none")),
    ]
