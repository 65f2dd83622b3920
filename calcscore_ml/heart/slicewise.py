"""The heart box from classified slices: is the heart in this slice, asked in three directions (Gonzalez et al. 2016).

The paper gives neither classifier nor features. Ours are a logistic regression per direction over tissues in coarse
cells (`slice_features`), trained on digital patients; the box is the most likely interval of slices in each direction.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from calcscore_ml.heart.roi import Chest, HeartBox
from calcscore_ml.heart.slice_features import SLABS, CoarseScan, middle_of_chest, thumbnails, tissues_of
from calcscore_ml.heart.slice_model import MOST_LOG_ODDS, SliceModel, read_slice_model
from calcscore_ml.scan import Scan

STARTS_MM = ((0.0, 0.0), (-30.0, 0.0), (0.0, 30.0), (0.0, -30.0), (30.0, 0.0))
"""Where the search starts, (y, x) from the middle of the chest [mm]; the most likely box wins; our choice."""

PASSES = 4
"""The thumbnails' centre follows the box found at most this often; our choice."""

LEAST_QUALITY = 0.6
"""Below this mean probability inside less that outside, in any direction, the box is not trusted; our choice."""

LEAST_CHANGE = 0.05
"""Tissues change by at least this mean share from a quarter of the heart's height to three quarters: by 0.08 and more
in sixty digital and three real patients, by 0.016 in the QRM thorax phantom; our choice."""

SIZES_MM = ((60.0, 160.0), (80.0, 180.0), (80.0, 190.0))
"""Hearts are between these sizes along (z, y, x) [mm]; our choice."""

CUT_SHARE = 0.5
"""Where the scan ends first, at least this share of the least size is seen; our choice."""

DIRECTIONS = ("axial", "coronal", "sagittal")
"""Slices by the axis of their normal."""


def find_heart_box_by_slices(
    scan: Scan, model: SliceModel | None = None, chest: Chest | None = None
) -> HeartBox | None:
    """Find a box around the heart from slices classified in three directions.

    Parameters
    ----------
    scan : Scan
        A chest or cardiac CT; lungs may be cut off, and the heart may reach beyond the first or last slice.
    model : SliceModel, optional
        The classifiers; those of the package by default.
    chest : Chest, optional
        Of the scan, when it is at hand.

    Returns
    -------
    HeartBox or None
        Its quality is the mean probability inside less that outside, in the worst direction. None when there is no
        lung, or no slice of some direction holds a heart.
    """
    model = model or _shipped()
    chest = chest or Chest.of(scan)
    tissues = tissues_of(chest)
    middle = middle_of_chest(chest)
    if middle is None:
        return None
    asked: dict[tuple[float, ...], NDArray[np.float64]] = {}

    def odds(axis: int, centre_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        # Searches from several starts meet, and ask the same again.
        key = (axis, *np.delete(centre_mm, axis).tolist())
        if key not in asked:
            asked[key] = model.log_odds(tissues, axis, centre_mm)
        return asked[key]

    starts = (middle + np.array([0.0, y, x]) for y, x in STARTS_MM)
    found = [f for f in (_search(tissues.step_mm, odds, start) for start in starts) if f is not None]
    if not found:
        return None
    _, box, quality = max(found, key=lambda f: f[0])
    missing = [f"{n} slices are ambiguous" for n, q in zip(DIRECTIONS, quality, strict=True) if q < LEAST_QUALITY]
    missing += _odd_sizes(box, tissues.size_mm)
    if _change(tissues, box) < LEAST_CHANGE:
        missing.append("all slices are alike, as in a phantom")
    (z0, y0, x0), (z1, y1, x1) = (box - np.asarray(scan.geometry.spacing) / 2).tolist()
    return HeartBox((z0, y0, x0), (z1, y1, x1), not missing, "; ".join(missing), max(0.0, min(quality)))


def best_interval(log_odds: NDArray[np.float64]) -> tuple[int, int, float]:
    """Most likely interval [first, last) of slices that hold the heart, and its sum of log odds.

    A slice of which nothing is known (NaN) holds none; where none holds any, the interval is empty.

    >>> best_interval(np.array([-1.0, 2.0, -0.5, 2.0, -3.0, 1.0]))
    (1, 4, 3.5)
    """
    total = np.concatenate([[0.0], np.cumsum(np.nan_to_num(log_odds, nan=-MOST_LOG_ODDS))])
    gain = total - np.minimum.accumulate(total)
    last = int(np.argmax(gain))
    return int(np.argmin(total[: last + 1])), last, float(gain[last])


def _search(
    step_mm: NDArray[np.float64],
    log_odds: Callable[[int, NDArray[np.float64]], NDArray[np.float64]],
    start_mm: NDArray[np.float64],
) -> tuple[float, NDArray[np.float64], list[float]] | None:
    """Follow the box from a start: its sum of log odds per mm, corners from the volume's corner [mm], qualities."""
    centre, box = start_mm.copy(), np.zeros((2, 3))
    for _ in range(PASSES):
        before, likely, quality = box.copy(), 0.0, []
        for axis in (0, 1, 2):
            step = float(step_mm[axis])
            odds = log_odds(axis, centre)
            first, last, gain = best_interval(odds)
            if first == last:
                return None
            box[:, axis] = first * step, last * step
            centre[axis] = box[:, axis].mean()
            likely += gain * step
            quality.append(_quality(odds, first, last))
        if np.array_equal(box, before):
            break
    return likely, box, quality


def _quality(log_odds: NDArray[np.float64], first: int, last: int) -> float:
    """Mean probability inside the interval less that outside it."""
    probability = 1 / (1 + np.exp(-log_odds))
    inside = np.zeros(len(probability), dtype=bool)
    inside[first:last] = True
    outside = probability[~inside & np.isfinite(probability)]
    return float(np.nanmean(probability[inside]) - (outside.mean() if len(outside) else 0.0))


def _odd_sizes(box_mm: NDArray[np.float64], size_mm: NDArray[np.float64]) -> list[str]:
    """What is too small or too large for a heart."""
    odd = []
    for name, (low, high), whole, (least, most) in zip(DIRECTIONS, box_mm.T, size_mm, SIZES_MM, strict=True):
        cut = low <= 0 or high >= whole - 1e-6
        if high - low > most or high - low < (CUT_SHARE * least if cut else least):
            odd.append(f"{high - low:.0f} mm of {name} slices are no heart")
    return odd


def _change(tissues: CoarseScan, box_mm: NDArray[np.float64]) -> float:
    """Mean change of the tissues from a quarter of the box's height to three quarters of it."""
    heights = box_mm[0, 0] + np.array([0.25, 0.75]) * (box_mm[1, 0] - box_mm[0, 0])
    slices = thumbnails(tissues, 0, box_mm.mean(axis=0))[(heights / tissues.step_mm[0]).astype(int)]
    around = slices.reshape(2, len(SLABS), -1)[:, SLABS.index(0)]
    change = np.abs(around[1] - around[0])
    return float(change[np.isfinite(change)].mean()) if np.isfinite(change).any() else 0.0


@cache
def _shipped() -> SliceModel:
    return read_slice_model()
