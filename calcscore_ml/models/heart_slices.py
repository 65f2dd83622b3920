"""Training of the slice classifiers that `heart.slicewise` finds the heart box with.

Each scan is seen several times: cropped at random, stretched, shifted in HU and noisy, around a centre that is off, as
in a search that has not ended. So the classifiers learn neither field of view nor position in the scan.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import LogisticRegression

from calcscore_ml.heart.roi import Chest
from calcscore_ml.heart.slice_features import CoarseScan, thumbnails, tissues_of
from calcscore_ml.heart.slice_model import SliceModel
from calcscore_ml.scan import Scan

VIEWS = 6
"""Views of each scan; our choice."""

CENTRE_SD_MM = 12.0
"""Spread of the thumbnails' centre about the heart's [mm]; our choice."""

STRETCH = 0.1
"""Lengths vary by this share; our choice."""

SHIFT_SD_HU, NOISE_HU = 15.0, 30.0
"""Spread of a scan's shift, and the most noise added to coarse voxels [HU]; our choice."""

CROP_SHARE = 0.7
"""Share of the sides that are cut, anywhere from the scan's edge to `CROP_INTO` past the heart's; our choice."""

CROP_INTO = 0.3
"""A crop takes at most this share of the heart's length along z; across, at most a third of that; our choice."""

EVERY_MM = 8.0
"""Slices learned from are about this far apart [mm]; our choice."""

C = 0.02
"""Inverse strength of the L2 penalty, as in scikit-learn; our choice. Of 0.002, 0.01, 0.02, 0.03 and 0.1 the weaker
penalties fit digital patients better (0.1: 0.890 of the union), the stronger ones are smoother on real scans."""


def fit_slice_model(scans: Iterable[tuple[Scan, ArrayLike]], seed: int = 0, c: float = C) -> SliceModel:
    """Fit a classifier per direction.

    Parameters
    ----------
    scans : iterable of (Scan, (2, 3) array-like)
        Scans and the corners of the true box, (z, y, x) in the array's millimetres; it may reach beyond the scan.
    seed : int
        Of the views.
    c : float
        Inverse strength of the penalty.

    Returns
    -------
    SliceModel
        For `find_heart_box_by_slices`.
    """
    rng = np.random.default_rng(seed)
    features: list[list[NDArray[np.float32]]] = [[], [], []]
    held: list[list[NDArray[np.bool_]]] = [[], [], []]
    for scan, box in scans:
        chest = Chest.of(scan)
        corners = np.asarray(box, dtype=float) + np.asarray(scan.geometry.spacing) / 2
        for _ in range(VIEWS):
            view, true = _view(chest.hu, chest.step_mm, corners, rng)
            centre = np.clip(true, 0, view.size_mm).mean(axis=0) + rng.normal(0, CENTRE_SD_MM, 3)
            for axis in (0, 1, 2):
                middles = (np.arange(view.known.shape[axis]) + 0.5) * view.step_mm[axis]
                chosen = slice(None, None, max(1, round(EVERY_MM / float(view.step_mm[axis]))))
                features[axis].append(thumbnails(view, axis, centre)[chosen])
                held[axis].append((middles > true[0, axis])[chosen] & (middles < true[1, axis])[chosen])
    fitted = [_fit(np.concatenate(f), np.concatenate(h), c) for f, h in zip(features, held, strict=True)]
    mean, weight, bias = (np.stack([np.asarray(part[i], np.float32) for part in fitted]) for i in range(3))
    return SliceModel(mean, weight, bias)


def _fit(
    features: NDArray[np.float32], held: NDArray[np.bool_], c: float
) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """Mean, weights and bias of one direction."""
    known = np.isfinite(features)
    mean = np.where(known, features, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    away = np.nan_to_num(features - mean, nan=0.0).astype(np.float32)
    model = LogisticRegression(C=c, class_weight="balanced", max_iter=300, tol=1e-3).fit(away, held)
    return mean.astype(np.float32), model.coef_[0].astype(np.float32), float(model.intercept_[0])


def _view(
    coarse: NDArray[np.float32], step_mm: NDArray[np.float64], box: NDArray[np.float64], rng: np.random.Generator
) -> tuple[CoarseScan, NDArray[np.float64]]:
    """One view of a coarse scan, and the heart box in it."""
    noisy = coarse + rng.normal(0, SHIFT_SD_HU) + rng.normal(0, rng.uniform(0, NOISE_HU), coarse.shape)
    # What is no tissue stays what it is, whatever the noise.
    tissues = tissues_of(Chest(np.where(coarse < -900, coarse, noisy).astype(np.float32), step_mm))
    heart = np.clip(box, 0, tissues.size_mm)
    length = heart[1] - heart[0]
    into = CROP_INTO * length * (1.0, 1 / 3, 1 / 3)
    low = np.where(rng.random(3) < CROP_SHARE, rng.random(3) * (heart[0] + into), 0.0)
    high = np.where(
        rng.random(3) < CROP_SHARE, tissues.size_mm - rng.random(3) * (tissues.size_mm - heart[1] + into), np.inf
    )
    first = np.floor(low / step_mm).astype(int)
    last = np.minimum(np.ceil(np.minimum(high, tissues.size_mm) / step_mm), coarse.shape).astype(int)
    cut = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
    stretch = 1 + STRETCH * rng.uniform(-1, 1) + STRETCH / 2 * rng.uniform(-1, 1, 3)
    cropped = replace(tissues, shares=tissues.shares[(slice(None), *cut)], known=tissues.known[cut])
    return replace(cropped, step_mm=step_mm * stretch), (box - first * step_mm) * stretch
