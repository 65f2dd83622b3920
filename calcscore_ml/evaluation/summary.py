"""A whole evaluation: every metric with its interval, to print or to store."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from calcscore_ml.anatomy import ARTERIES, Label
from calcscore_ml.errors import ResultError
from calcscore_ml.evaluation.bootstrap import RESAMPLES, resample_sums
from calcscore_ml.evaluation.intervals import LEVEL, Interval, Method
from calcscore_ml.evaluation.lesions import N_LABELS, LesionReport, need_columns
from calcscore_ml.evaluation.metrics import COUNTS, SCANS, VOLUMES, contributions
from calcscore_ml.scores.risk import SCHEMES, RiskScheme

SCHEMA_VERSION = 1
"""Raised when a key of the stored form changes its meaning."""

_ARTERY_WORDS = {artery.name.lower() for artery in ARTERIES}


@dataclass(frozen=True, slots=True)
class Result:
    """One metric: its name (``group.metric``), unit, and value with interval."""

    name: str
    unit: str
    interval: Interval


@dataclass(frozen=True, slots=True)
class Settings:
    """How an evaluation was made: bootstrap, risk scheme, treatment of the left main."""

    n_resamples: int = RESAMPLES
    level: float = LEVEL
    method: Method = "bca"
    seed: int = 0
    scheme: str = SCHEMES[0].name
    left_main_as_lad: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What a system is worth on a set of patients. It names no patient.

    Parameters
    ----------
    n_patients, n_scans : int
        Patients (the unit of resampling) and scans.
    results : tuple of Result
        Every metric.
    lesions : LesionReport
        The table of lesions behind them.
    category_titles : tuple of str
        Risk categories, mildest first; empty when there were none to compare.
    category_counts : (k, k) array of int
        Scans by reference (row) and measured (column) category.
    settings : Settings
        How it was made.
    subgroups : tuple of (str, Evaluation)
        The same for each value of each column asked for.
    """

    n_patients: int
    n_scans: int
    results: tuple[Result, ...]
    lesions: LesionReport
    category_titles: tuple[str, ...]
    category_counts: NDArray[np.int64]
    settings: Settings
    subgroups: tuple[tuple[str, Evaluation], ...] = ()

    def __getitem__(self, name: str) -> Interval:
        for result in self.results:
            if result.name == name:
                return result.interval
        raise KeyError(name)

    def to_json(self) -> str:
        """Return the evaluation as JSON; what is undefined is null."""
        return json.dumps(_plain(self), indent=2, allow_nan=False) + "\n"

    def to_text(self) -> str:
        """Return the evaluation as plain aligned tables; subgroups without the scores of single arteries."""
        parts = [_heading(self), _results_text(self.results), _categories_text(self)]
        for name, group in self.subgroups:
            brief = tuple(r for r in group.results if not _ARTERY_WORDS & set(r.name.split(".")[0].split("_")))
            parts += [f"--- {name}: {_count(group)} ---", _results_text(brief), _categories_text(group)]
        return "\n\n".join(part for part in parts if part) + "\n"


def evaluate(
    lesions: pd.DataFrame,
    patients: pd.DataFrame,
    *,
    missed: pd.DataFrame | None = None,
    by: str | Sequence[str] = (),
    scheme: RiskScheme = SCHEMES[0],
    left_main_as_lad: bool = False,
    n: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
    method: Method = "bca",
) -> Evaluation:
    """Compare a system's lesions and scores with the reference.

    Parameters
    ----------
    lesions : DataFrame
        One row per candidate: `scan_id`, `truth` and `predicted` (label numbers), `volume_mm3`.
    patients : DataFrame
        One row per scan, those without a candidate too: `patient_id`, `scan_id`, and any scores ``x`` beside their
        reference ``x_truth`` (`agatston`, `volume_mm3`, `mass_mg`, `volume_lad_mm3` ...). Risk categories are
        `category` and `category_truth`, numbers from 0; without them they are taken from the Agatston scores. A scan
        that is true in the column `no_score`, where there is one, found nothing and has the category farthest from its
        reference.
    missed : DataFrame or None
        Reference lesions that no candidate covers: `scan_id`, `truth`, `volume_mm3`.
    by : str or sequence of str
        Columns of `patients` (`protocol`, say), of each of which to evaluate every value on its own, too.
    scheme : RiskScheme
        Of the risk categories.
    left_main_as_lad : bool
        Count the left main as LAD on both sides, as orCaScore's reference does: of lesions, and of scores
        (``agatston_lm`` is added to ``agatston_lad``).
    n, seed, level, method
        Of the bootstrap over patients, see `calcscore_ml.evaluation.bootstrap.patient_bootstrap`.

    Returns
    -------
    Evaluation
        The same for any order of the rows.

    Raises
    ------
    ResultError
        When a column is missing, a scan is unknown or repeated, a label, score or category is out of range.

    Examples
    --------
    >>> lesions = pd.DataFrame({"scan_id": ["a", "b"], "truth": [1, 3], "predicted": [1, 0], "volume_mm3": [30, 10]})
    >>> patients = pd.DataFrame({"patient_id": ["p", "q"], "scan_id": ["a", "b"]})
    >>> evaluate(lesions, patients)["lesion_volume.sensitivity"].value
    0.75
    """
    added = contributions(lesions, patients, missed=missed, scheme=scheme, left_main_as_lad=left_main_as_lad)
    samples = resample_sums(added.sums, n=n, seed=seed)
    results = [Result(m.name, m.unit, samples.interval(m.statistic, level=level, method=method)) for m in added.metrics]
    total = samples.total
    side = len(scheme.titles) if added.categories.stop > added.categories.start else 0
    whole = Evaluation(
        n_patients=len(added.patient_ids),
        n_scans=int(total[SCANS]),
        results=tuple(results),
        lesions=LesionReport(
            np.rint(total[COUNTS]).astype(np.int64).reshape(N_LABELS, N_LABELS),
            total[VOLUMES].reshape(N_LABELS, N_LABELS),
            int(total[SCANS]),
        ),
        category_titles=scheme.titles[:side],
        category_counts=np.rint(total[added.categories]).astype(np.int64).reshape(side, side),
        settings=Settings(n, level, method, seed, scheme.name, left_main_as_lad),
    )
    columns = [by] if isinstance(by, str) else list(by)
    need_columns(patients, columns, "a table of scans to split")
    groups = []
    for column in columns:
        if patients[column].isna().any():
            raise ResultError(
                f"every scan needs a {column} to be split by, got {int(patients[column].isna().sum())} without"
            )
        for value, scans in patients.groupby(column, sort=True):
            mine = lesions[lesions["scan_id"].isin(scans["scan_id"])]
            unseen = None if missed is None else missed[missed["scan_id"].isin(scans["scan_id"])]
            group = evaluate(
                mine,
                scans,
                missed=unseen,
                scheme=scheme,
                left_main_as_lad=left_main_as_lad,
                n=n,
                seed=seed,
                level=level,
                method=method,
            )
            groups.append((f"{column} {value}", group))
    return replace(whole, subgroups=tuple(groups))


def _plain(evaluation: Evaluation) -> dict[str, Any]:
    settings = evaluation.settings
    return {
        "schema_version": SCHEMA_VERSION,
        "patients": evaluation.n_patients,
        "scans": evaluation.n_scans,
        "bootstrap": {
            "unit": "patient",
            "resamples": settings.n_resamples,
            "level": settings.level,
            "method": settings.method,
            "seed": settings.seed,
        },
        "risk_scheme": settings.scheme,
        "left_main_as_lad": settings.left_main_as_lad,
        "metrics": {result.name: {**result.interval.to_plain(), "unit": result.unit} for result in evaluation.results},
        "labels": [label.title for label in Label],
        "lesion_counts": evaluation.lesions.counts.tolist(),
        "lesion_volumes_mm3": evaluation.lesions.volumes_mm3.tolist(),
        "categories": list(evaluation.category_titles),
        "category_counts": evaluation.category_counts.tolist(),
        "subgroups": {name: _plain(group) for name, group in evaluation.subgroups},
    }


def _count(evaluation: Evaluation) -> str:
    return f"{evaluation.n_scans} scans of {evaluation.n_patients} patients"


def _heading(evaluation: Evaluation) -> str:
    s = evaluation.settings
    lines = [
        f"{_count(evaluation)}",
        f"{s.level:.0%} intervals: {s.method} bootstrap over patients, {s.n_resamples} samples, seed {s.seed}",
    ]
    if s.left_main_as_lad:
        lines.append("the left main is counted as LAD")
    if any(r.interval.low == r.interval.high for r in evaluation.results):
        lines.append("an interval without width means that no patient differed, not that the value is certain")
    return "\n".join(lines)


def _results_text(results: tuple[Result, ...]) -> str:
    width = max(len(r.name.split(".", 1)[1]) for r in results)
    lines: list[str] = []
    group = ""
    for result in results:
        head, name = result.name.split(".", 1)
        if head != group:
            lines += [""] * bool(lines) + [f"{head:<{width + 2}}{'value':>11}{'low':>11}{'high':>11}"]
            group = head
        cells = (result.interval.value, result.interval.low, result.interval.high)
        lines.append(f"  {name:<{width}}" + "".join(f"{_number(v):>11}" for v in cells) + f"  {result.unit}".rstrip())
    return "\n".join(lines)


def _number(value: float) -> str:
    if not np.isfinite(value):
        return "-"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def _categories_text(evaluation: Evaluation) -> str:
    titles = evaluation.category_titles
    if not titles:
        return ""
    width = max(len(title) for title in titles) + 2
    lines = [
        f"risk category ({evaluation.settings.scheme}), reference down, measured across: scans",
        "  " + " " * width + "".join(f"{title:>{width}}" for title in titles),
    ]
    silent = [r.interval.value for r in evaluation.results if r.name == "scan.no_score" and r.interval.value > 0]
    if silent:
        lines.insert(
            1, f"  {silent[0]:.0%} of scans have no score: they stand in the category farthest from the reference"
        )
    for title, row in zip(titles, evaluation.category_counts.tolist(), strict=True):
        lines.append(f"  {title:<{width}}" + "".join(f"{count:>{width}}" for count in row))
    return "\n".join(lines)
