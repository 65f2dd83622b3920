"""The Agatston score, as the list of contributions it is the sum of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calcscore_ml.anatomy import Label
from calcscore_ml.components import sparse_components
from calcscore_ml.scores.calcium import Calcium
from calcscore_ml.scores.rules import AgatstonRule

SIZE_TOLERANCE = 1e-9
"""Relative slack of a smallest size, so that 4 pixels of 0.25 mm2 are 1 mm2 whatever the last bit says."""


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one lesion adds to the score in one slice.

    Parameters
    ----------
    slice_index : int
        Slice, 0 at the feet.
    z_mm : float
        Position of the slice's first voxel along the patient, LPS z [mm].
    lesion : int
        Id of the lesion.
    label : Label
        What the lesion is.
    area_mm2 : float
        Area in the slice [mm2].
    peak_hu : int
        Value that decides the weight [HU].
    weight : int
        Density weight, 0 to 4.
    spacing_factor : float
        Correction for slice spacing.
    score : float
        ``area_mm2 * weight * spacing_factor``, rounded where the rule rounds.
    """

    slice_index: int
    z_mm: float
    lesion: int
    label: Label
    area_mm2: float
    peak_hu: int
    weight: int
    spacing_factor: float
    score: float


def agatston(calcium: Calcium, rule: AgatstonRule) -> tuple[Contribution, ...]:
    """Compute the Agatston score of every lesion in every slice.

    Parameters
    ----------
    calcium : Calcium
        Voxels decided to be calcium; labels are scored apart.
    rule : AgatstonRule
        How.

    Returns
    -------
    tuple of Contribution
        In the order of slice, then lesion. The score is the sum of their `score`.

    Raises
    ------
    RecipeError
        When the rule needs a slice thickness the scan does not have.

    References
    ----------
    Agatston 1990, J Am Coll Cardiol 15:827-832.
    """
    factor = rule.spacing_factor(calcium.geometry.spacing[0], calcium.slice_thickness_mm)
    if len(calcium.hu) == 0:
        return ()
    component = sparse_components(calcium.voxels, calcium.label, rule.connectivity)
    counted = _large_enough(component, calcium, rule)[component]
    voxels, hu, component = calcium.voxels[counted], calcium.hu[counted], component[counted]
    if len(hu) == 0:
        return ()

    # One row per component, slice and lesion; a component in space has several, and so has one of lesions that touch.
    lesion_of = calcium.lesion[counted]
    pair, first, row, pixels = np.unique(
        np.stack([voxels[:, 0], component, lesion_of], axis=1),
        axis=0,
        return_index=True,
        return_inverse=True,
        return_counts=True,
    )
    row = row.reshape(-1)
    # The weight is the component's: where two lesions touch, both have it, and together they score as one.
    cut = np.unique(pair[:, :2], axis=0, return_inverse=True)[1].reshape(-1)
    peak = _maximum(hu, cut[row], len(pair))[cut]
    if rule.peak == "lesion":
        peak = _maximum(hu, component, int(component.max()) + 1)[pair[:, 1]]
    weight = np.searchsorted(rule.weight_edges_hu, peak, side="right")
    area = pixels * calcium.geometry.pixel_area_mm2
    score = np.asarray(area * weight * factor, dtype=float)
    if rule.rounding == "integer per lesion":
        score = _round_per_lesion(score, pair[:, 1])
    z_mm = calcium.geometry.to_world(np.stack([pair[:, 0], 0 * pair[:, 0], 0 * pair[:, 0]], axis=1))[:, 2]
    lesion, label = lesion_of[first], calcium.label[counted][first]
    return tuple(
        Contribution(
            int(pair[i, 0]),
            float(z_mm[i]),
            int(lesion[i]),
            Label(int(label[i])),
            float(area[i]),
            int(peak[i]),
            int(weight[i]),
            factor,
            float(score[i]),
        )
        for i in range(len(pair))
    )


def total(contributions: tuple[Contribution, ...], rule: AgatstonRule) -> float:
    """Add contributions up, with the rounding of the rule.

    >>> total((), AgatstonRule("agatston", ""))
    0.0
    """
    summed = float(sum(c.score for c in contributions))
    return round(summed, 3) if rule.rounding == "thousandth" else summed


def _large_enough(component: NDArray[np.intp], calcium: Calcium, rule: AgatstonRule) -> NDArray[np.bool_]:
    """Whether each component reaches every smallest size of the rule, (components,)."""
    pixels = np.bincount(component).astype(float)
    sizes = (
        (pixels, float(rule.min_pixels)),
        (pixels * calcium.geometry.pixel_area_mm2, rule.min_area_mm2),
        (pixels * calcium.geometry.voxel_volume_mm3, rule.min_volume_mm3),
    )
    enough = np.ones(len(pixels), dtype=bool)
    for size, smallest in sizes:
        if smallest == 0:
            continue
        slack = smallest * SIZE_TOLERANCE
        enough &= size > smallest + slack if rule.exclusive else size >= smallest - slack
    return enough


def _maximum(values: NDArray[np.int16], place: NDArray[np.intp], count: int) -> NDArray[np.int64]:
    """Highest value at each place, (count,)."""
    highest = np.full(count, np.iinfo(np.int64).min)
    np.maximum.at(highest, place, values.astype(np.int64))
    return highest


def _round_per_lesion(score: NDArray[np.float64], component: NDArray[np.intp]) -> NDArray[np.float64]:
    """Scale the rows of each component so that they add up to its rounded score."""
    _, place = np.unique(component, return_inverse=True)
    whole = np.bincount(place, weights=score)
    scale = np.divide(np.rint(whole), whole, out=np.zeros_like(whole), where=whole > 0)
    return np.asarray(score * scale[place])
