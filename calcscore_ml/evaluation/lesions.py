"""How well lesions are found and given to their artery.

A lesion is a candidate: reference and prediction share the same components of 130 HU and more, so matching is equality
of labels. Two tables of truth by prediction, one in lesions and one in mm3, hold everything there is to know; each
metric is a function of such a table, of one scan or of many at once. A lesion the candidates never offered is counted
as predicted "other".
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from calcscore_ml.anatomy import ARTERIES, Label, merge_left_main
from calcscore_ml.errors import ResultError

N_LABELS = len(Label)
"""Side of a table of truth by prediction."""

_CORONARY = np.isin(np.arange(N_LABELS), ARTERIES)


@dataclass(frozen=True, slots=True, eq=False)
class LesionReport:
    """Found, missed and invented lesions of a set of scans.

    A coronary lesion is found when it is given to any coronary artery; whether to the right one is `artery_accuracy`.
    What a set does not define (the sensitivity of a set without lesions) is NaN.

    Parameters
    ----------
    counts : (8, 8) array
        Lesions with the reference label of the row and the predicted label of the column, by label number.
    volumes_mm3 : (8, 8) array
        Their volume [mm3].
    n_scans : int
        Scans read, those without any lesion too.
    """

    counts: NDArray[np.int64]
    volumes_mm3: NDArray[np.float64]
    n_scans: int

    def __post_init__(self) -> None:
        for name in ("counts", "volumes_mm3"):
            table = np.array(getattr(self, name))
            if table.shape != (N_LABELS, N_LABELS):
                raise ResultError(f"{name} must be {N_LABELS} x {N_LABELS}, got shape {table.shape}")
            table.flags.writeable = False
            object.__setattr__(self, name, table)

    @property
    def sensitivity(self) -> float:
        """Share of the coronary lesions that are found."""
        return float(sensitivity(self.counts))

    @property
    def ppv(self) -> float:
        """Share of the lesions called coronary that are (positive predictive value)."""
        return float(ppv(self.counts))

    @property
    def f1(self) -> float:
        """Harmonic mean of sensitivity and positive predictive value."""
        return float(f1(self.counts))

    @property
    def volume_sensitivity(self) -> float:
        """Share of the coronary calcium's volume that is found."""
        return float(sensitivity(self.volumes_mm3))

    @property
    def volume_ppv(self) -> float:
        """Share of the volume called coronary that is."""
        return float(ppv(self.volumes_mm3))

    @property
    def volume_f1(self) -> float:
        """Harmonic mean of the two volume shares; the Dice overlap of all coronary calcium."""
        return float(f1(self.volumes_mm3))

    @property
    def false_positives_per_scan(self) -> float:
        """Lesions wrongly called coronary, per scan."""
        return float(ratio(false_positives(self.counts), self.n_scans))

    @property
    def false_positive_mm3_per_scan(self) -> float:
        """Volume wrongly called coronary, per scan [mm3]."""
        return float(ratio(false_positives(self.volumes_mm3), self.n_scans))

    @property
    def artery_accuracy(self) -> float:
        """Share of the found coronary lesions that are given to their own artery."""
        return float(artery_accuracy(self.counts))

    @property
    def artery_table(self) -> NDArray[np.int64]:
        """Found coronary lesions, reference by predicted artery, (4, 4) in the order of `ARTERIES`."""
        return np.asarray(self.counts[np.ix_(ARTERIES, ARTERIES)])

    def label_sensitivity(self, label: Label) -> float:
        """Return the share of the lesions of one label that are given that label."""
        return float(label_sensitivity(self.counts, label))

    def label_ppv(self, label: Label) -> float:
        """Return the share of the lesions given one label that carry it."""
        return float(label_ppv(self.counts, label))


def lesion_report(
    table: pd.DataFrame,
    *,
    scan: str = "scan_id",
    truth: str = "truth",
    predicted: str = "predicted",
    volume: str = "volume_mm3",
    missed: pd.DataFrame | None = None,
    n_scans: int | None = None,
    left_main_as_lad: bool = False,
) -> LesionReport:
    """Compare predicted with reference labels, lesion by lesion.

    Parameters
    ----------
    table : DataFrame
        One row per candidate.
    scan, truth, predicted, volume : str
        Its columns: scan, reference label, predicted label, volume [mm3].
    missed : DataFrame or None
        Reference lesions that no candidate covers, with the columns `scan`, `truth` and `volume`.
    n_scans : int or None
        Scans read. Give it whenever a scan may have no candidate at all; by default, the scans of the tables.
    left_main_as_lad : bool
        Count the left main as LAD on both sides, as orCaScore's reference does.

    Returns
    -------
    LesionReport
        Over all scans.

    Raises
    ------
    ResultError
        When a column is missing, a label is unknown, or a volume is negative or not finite.

    Examples
    --------
    >>> table = pd.DataFrame({"scan_id": "a", "truth": [1, 3, 0], "predicted": [1, 0, 2], "volume_mm3": [9.0, 1.0, 2]})
    >>> report = lesion_report(table)
    >>> report.sensitivity, report.volume_sensitivity, report.false_positive_mm3_per_scan
    (0.5, 0.9, 2.0)
    """
    lesions = with_missed(table, missed, scan=scan, truth=truth, predicted=predicted, volume=volume)
    named = int(lesions[scan].nunique())
    if n_scans is not None and n_scans < named:
        raise ResultError(f"n_scans counts every scan of the lesion table, got {n_scans} for {named} scans")
    one = np.zeros(len(lesions), dtype=np.int64)
    counts, volumes = label_tables(
        one, lesions[truth], lesions[predicted], lesions[volume], 1, left_main_as_lad=left_main_as_lad
    )
    return LesionReport(counts[0], volumes[0], named if n_scans is None else n_scans)


def with_missed(
    table: pd.DataFrame,
    missed: pd.DataFrame | None,
    *,
    scan: str = "scan_id",
    truth: str = "truth",
    predicted: str = "predicted",
    volume: str = "volume_mm3",
    unseen: float = int(Label.OTHER),
) -> pd.DataFrame:
    """Return the four columns, with reference lesions that no candidate covers added, their prediction `unseen`."""
    wanted = [scan, truth, predicted, volume]
    need_columns(table, wanted, "a lesion table")
    if missed is None or missed.empty:
        return table[wanted]
    need_columns(missed, [scan, truth, volume], "a table of missed lesions")
    added = missed[[scan, truth, volume]].assign(**{predicted: unseen})[wanted]
    return added if table.empty else pd.concat([table[wanted], added], ignore_index=True)


def label_tables(
    group: NDArray[np.int64],
    truth: ArrayLike,
    predicted: ArrayLike,
    volume_mm3: ArrayLike,
    n_groups: int,
    *,
    left_main_as_lad: bool = False,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Tabulate truth by prediction, once per group of lesions (a patient, say).

    Parameters
    ----------
    group : (n,) array of int
        Each lesion's group, 0 to `n_groups` - 1.
    truth, predicted : (n,) array-like of int
        Label numbers.
    volume_mm3 : (n,) array-like
        Volumes [mm3].
    n_groups : int
        Groups, those without a lesion too.
    left_main_as_lad : bool
        Count label 4 as 1.

    Returns
    -------
    counts : (n_groups, 8, 8) array of int
        Lesions.
    volumes_mm3 : (n_groups, 8, 8) array of float
        Their volumes [mm3].
    """
    rows, columns = label_numbers(truth, "reference"), label_numbers(predicted, "predicted")
    sizes = checked_volumes(volume_mm3)
    if left_main_as_lad:
        rows, columns = np.asarray(merge_left_main(rows), np.int64), np.asarray(merge_left_main(columns), np.int64)
    cell = (group * N_LABELS + rows) * N_LABELS + columns
    shape, length = (n_groups, N_LABELS, N_LABELS), n_groups * N_LABELS * N_LABELS
    counts = np.bincount(cell, minlength=length).reshape(shape).astype(np.int64)
    return counts, np.bincount(cell, weights=sizes, minlength=length).reshape(shape).astype(np.float64)


def sensitivity(table: NDArray[np.number]) -> NDArray[np.float64]:
    """Return the share of coronary truth called coronary, (...) for (..., 8, 8) tables."""
    return ratio(_found(table), table[..., _CORONARY, :].sum(axis=(-2, -1)))


def ppv(table: NDArray[np.number]) -> NDArray[np.float64]:
    """Return the share of what is called coronary that is, (...) for (..., 8, 8) tables."""
    return ratio(_found(table), table[..., :, _CORONARY].sum(axis=(-2, -1)))


def f1(table: NDArray[np.number]) -> NDArray[np.float64]:
    """Return the harmonic mean of `sensitivity` and `ppv`, (...) for (..., 8, 8) tables."""
    both = table[..., _CORONARY, :].sum(axis=(-2, -1)) + table[..., :, _CORONARY].sum(axis=(-2, -1))
    return ratio(2 * _found(table), both)


def false_positives(table: NDArray[np.number]) -> NDArray[np.float64]:
    """Return what is called coronary and is not, (...) for (..., 8, 8) tables."""
    return np.asarray(table[..., ~_CORONARY, :][..., _CORONARY].sum(axis=(-2, -1)), dtype=float)


def artery_accuracy(table: NDArray[np.number]) -> NDArray[np.float64]:
    """Return the share of found coronary truth given to its own artery, (...) for (..., 8, 8) tables."""
    right = np.diagonal(table, axis1=-2, axis2=-1)[..., _CORONARY].sum(axis=-1)
    return ratio(right, _found(table))


def label_sensitivity(table: NDArray[np.number], label: Label) -> NDArray[np.float64]:
    """Return the share of one label's truth given that label, (...) for (..., 8, 8) tables."""
    return ratio(table[..., label, label], table[..., label, :].sum(axis=-1))


def label_ppv(table: NDArray[np.number], label: Label) -> NDArray[np.float64]:
    """Return the share of what is given one label that has it, (...) for (..., 8, 8) tables."""
    return ratio(table[..., label, label], table[..., :, label].sum(axis=-1))


def label_f1(table: NDArray[np.number], label: Label) -> NDArray[np.float64]:
    """Return the harmonic mean of `label_sensitivity` and `label_ppv`, (...) for (..., 8, 8) tables."""
    both = table[..., label, :].sum(axis=-1) + table[..., :, label].sum(axis=-1)
    return ratio(2 * table[..., label, label], both)


def label_false_positives(table: NDArray[np.number], label: Label) -> NDArray[np.float64]:
    """Return what is given one label and has another, (...) for (..., 8, 8) tables."""
    return np.asarray(table[..., :, label].sum(axis=-1) - table[..., label, label], dtype=float)


def ratio(part: ArrayLike, whole: ArrayLike) -> NDArray[np.float64]:
    """Divide; nothing by nothing is NaN, without a warning.

    >>> ratio([1, 0], [2, 0]).tolist()
    [0.5, nan]
    """
    top, bottom = np.broadcast_arrays(np.asarray(part, dtype=float), np.asarray(whole, dtype=float))
    return np.asarray(np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0))


def label_numbers(values: ArrayLike, whose: str) -> NDArray[np.int64]:
    """Return label numbers as integers; raise a ResultError that says `whose` when one is unknown."""
    given = np.asarray(values)
    known = np.isin(given, np.arange(N_LABELS))
    if not known.all():
        raise ResultError(f"{whose} labels must be 0 to {N_LABELS - 1}, got {given[~known][0]!r}")
    return np.asarray(given, dtype=np.int64)


def checked_volumes(values_mm3: ArrayLike) -> NDArray[np.float64]:
    """Return volumes as numbers; raise a ResultError when one is negative or not finite [mm3]."""
    sizes = np.asarray(values_mm3, dtype=float)
    if not (np.isfinite(sizes).all() and (sizes >= 0).all()):
        raise ResultError(
            f"volumes must be finite and not negative [mm3], got {sizes[~(sizes >= 0)][:1].tolist() or 'inf'}"
        )
    return sizes


def checked_probabilities(table: pd.DataFrame, column: str) -> NDArray[np.float64]:
    """Return a column of probabilities; raise a ResultError when one is not between 0 and 1."""
    if not table[column].between(0, 1).all():
        raise ResultError(f"probabilities lie between 0 and 1, got another in the column {column}")
    return table[column].to_numpy(dtype=float)


def need_columns(table: pd.DataFrame, names: Collection[str], what: str) -> None:
    """Raise a ResultError that names the columns a table lacks."""
    lacking = [name for name in names if name not in table.columns]
    if lacking:
        raise ResultError(f"{what} needs the columns {', '.join(names)}, got none called {', '.join(lacking)}")


def _found(table: NDArray[np.number]) -> NDArray[np.float64]:
    return np.asarray(table[..., _CORONARY, :][..., _CORONARY].sum(axis=(-2, -1)), dtype=float)
