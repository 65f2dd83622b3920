"""Lesions of two readers who share no candidates, matched by their voxels.

A system and its reference share the components of 130 HU and more; two people who outline calcium do not. A lesion is a
component of one label's voxels, as `calcscore_ml.scores.from_label_volume` makes them (26-connected unless told
otherwise). It is found when enough of it lies in what the other reader gave to the same site, where the coronary
arteries are one site: the artery is judged apart. Its pieces may lie in any number of the other's lesions, so a lesion
split in two is found once, and two merged into one are both found.

The definition is ours, as orCaScore's is not known to us: "any" asks for one voxel, which is lenient where a lesion
runs into bone or the aorta's wall; "half" asks for half the volume. Where both readers took the same components, the
two agree. Report both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from calcscore_ml.anatomy import ARTERIES, Label
from calcscore_ml.errors import GeometryError, ResultError
from calcscore_ml.evaluation.lesions import N_LABELS
from calcscore_ml.scores import Calcium

Rule = Literal["any", "half"]
"""A lesion is found with at least one voxel, or at least half of its voxels, in the other's."""

_SITE = np.where(np.isin(np.arange(N_LABELS), ARTERIES), int(ARTERIES[0]), np.arange(N_LABELS))


@dataclass(frozen=True, slots=True, eq=False)
class LesionMatch:
    """The lesions of two readers, each with what the other says of it.

    Parameters
    ----------
    reference, measured : DataFrame
        One row per lesion of each: `lesion` (id), `label` (number), `volume_mm3`, `overlap_mm3` (of it, in the other's
        calcium of the same site), `found` (whether that is enough), `other_label` (the label most of the overlap has,
        the lower number of equals; 0 when it is not found). A measured lesion that is not found is a false positive.
    """

    reference: pd.DataFrame
    measured: pd.DataFrame

    def lesions(self, scan_id: str) -> pd.DataFrame:
        """Return the rows that `calcscore_ml.evaluation.summary.evaluate` takes.

        Every reference lesion is a row, predicted 0 when it is not found; every false positive is a row of truth 0.
        A lesion therefore counts by the reference's voxels, a false positive by the measured ones.
        """
        false = self.measured[~self.measured["found"]]
        return pd.DataFrame(
            {
                "scan_id": scan_id,
                "truth": np.concatenate([self.reference["label"], np.zeros(len(false), dtype=np.intp)]),
                "predicted": np.concatenate([self.reference["other_label"], false["label"]]),
                "volume_mm3": np.concatenate([self.reference["volume_mm3"], false["volume_mm3"]]),
            }
        )


def match_lesions(reference: Calcium, measured: Calcium, *, rule: Rule = "any") -> LesionMatch:
    """Match the lesions of two label volumes of one scan.

    Parameters
    ----------
    reference, measured : Calcium
        What each reader labelled, as `calcscore_ml.scores.from_label_volume` takes it from a label volume.
    rule : {'any', 'half'}
        How much overlap finds a lesion.

    Returns
    -------
    LesionMatch
        With the two swapped, its tables are swapped.

    Raises
    ------
    GeometryError
        When the two are of different grids.
    ResultError
        When the rule is unknown.
    """
    if not reference.geometry.matches(measured.geometry):
        raise GeometryError(
            f"two readers are compared on one scan, got grids of shape {reference.geometry.shape} and "
            f"{measured.geometry.shape} or of another place; read both label volumes with the scan's geometry"
        )
    if rule not in ("any", "half"):
        raise ResultError(f"a lesion is found by the rule 'any' or 'half', got {rule!r}")
    return LesionMatch(_matched(reference, measured, rule), _matched(measured, reference, rule))


def _matched(own: Calcium, other: Calcium, rule: Rule) -> pd.DataFrame:
    """Describe one reader's lesions by what the other gave their voxels to."""
    theirs, mine = (np.ravel_multi_index(tuple(c.voxels.T), c.geometry.shape) for c in (other, own))
    given = pd.Series(other.label, index=theirs).reindex(mine, fill_value=int(Label.OTHER)).to_numpy()
    ids, first, place = np.unique(own.lesion, return_index=True, return_inverse=True)
    labels = own.label[first]
    same = _SITE[given] == _SITE[own.label]
    cell = place * N_LABELS + given
    counts = np.bincount(cell, weights=same, minlength=len(ids) * N_LABELS).reshape(len(ids), N_LABELS)
    overlap, size = counts.sum(axis=1), np.bincount(place, minlength=len(ids))
    found = overlap > 0 if rule == "any" else 2 * overlap >= size
    volume = own.geometry.voxel_volume_mm3
    return pd.DataFrame(
        {
            "lesion": ids,
            "label": labels,
            "volume_mm3": size * volume,
            "overlap_mm3": overlap * volume,
            "found": found,
            "other_label": np.where(found, counts.argmax(axis=1), int(Label.OTHER)),
        }
    )
