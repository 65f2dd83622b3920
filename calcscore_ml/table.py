"""Candidates become rows of features: the one place that asks `calcscore_features`."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import calcscore_features
from calcscore_ml.candidates import Candidates
from calcscore_ml.errors import GeometryError
from calcscore_ml.heart.roi import HeartBox
from calcscore_ml.scan import Scan

MIN_LABELLED_SHARE = 0.3
"""A candidate takes a label when at least this share of its voxels carries one; below, it is bone touching calcium."""


def feature_table(
    scan: Scan,
    candidates: Candidates,
    settings: calcscore_features.Settings,
    families: tuple[str, ...] = calcscore_features.FAMILIES,
    heart_box: HeartBox | None = None,
    place: calcscore_features.Place | None = None,
) -> pd.DataFrame:
    """Describe every candidate by its features.

    Parameters
    ----------
    scan : Scan
        Where the candidates were found.
    candidates : Candidates
        L lesions.
    settings : calcscore_features.Settings
        How features are computed.
    families : tuple of str
        Which of them.
    heart_box : HeartBox or None
        What location is relative to; without one, location features are NaN.
    place : calcscore_features.Place or None
        What was measured about the candidates' places; without it, atlas and artery features are NaN.

    Returns
    -------
    pandas.DataFrame
        L rows indexed by lesion id; a column per feature, in the catalogue's order.
    """
    lesions = calcscore_features.Lesions(scan.hu, scan.geometry.spacing, candidates.voxels, candidates.offsets)
    box = heart_box.as_array() if heart_box is not None else None
    columns = calcscore_features.compute(lesions, settings=settings, heart_box_mm=box, place=place, families=families)
    return pd.DataFrame(columns, index=pd.Index(candidates.ids, name="lesion"))


def truth_labels(candidates: Candidates, labels: NDArray[np.integer]) -> NDArray[np.intp]:
    """Read each candidate's label off a reference label volume.

    Parameters
    ----------
    candidates : Candidates
        L lesions.
    labels : (nz, ny, nx) array of int
        `calcscore_ml.anatomy.Label` numbers, 0 elsewhere.

    Returns
    -------
    (L,) array of int
        The label with the most voxels, when at least `MIN_LABELLED_SHARE` of the candidate is labelled; else 0.

    Raises
    ------
    GeometryError
        When the label volume does not fit the candidates' scan.
    """
    if labels.shape != candidates.geometry.shape:
        raise GeometryError(
            f"a label volume must have the scan's shape {candidates.geometry.shape}, got {labels.shape}"
        )
    if len(candidates) == 0:
        return np.zeros(0, dtype=np.intp)
    of_voxel = labels[tuple(candidates.voxels.T)].astype(np.intp)
    kinds = int(of_voxel.max()) + 1
    counts = np.bincount(candidates.owner * kinds + of_voxel, minlength=len(candidates) * kinds)
    counts = counts.reshape(len(candidates), kinds)
    counts[:, 0] = 0
    labelled = counts.sum(axis=1) >= MIN_LABELLED_SHARE * candidates.sizes
    return np.where(labelled, counts.argmax(axis=1), 0).astype(np.intp)
