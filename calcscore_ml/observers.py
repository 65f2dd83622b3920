"""Two observers of one scan, compared exactly as a system and a reference are.

Scores of both come from `calcscore_ml.pipeline.summarise_labels`, as a reference's do; their lesions, which need not be
the same components, are matched by `calcscore_ml.evaluation.matching`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from calcscore_ml.evaluation.matching import Rule, match_lesions
from calcscore_ml.pipeline import summarise_labels
from calcscore_ml.recipe import Recipe
from calcscore_ml.scan import Scan
from calcscore_ml.scan_row import scan_row


@dataclass(frozen=True, slots=True, eq=False)
class ObserverRows:
    """What `calcscore_ml.evaluation.summary.evaluate` needs of one scan.

    Parameters
    ----------
    lesions : pandas.DataFrame
        A row per reference lesion and per false positive: scan_id, truth, predicted, volume_mm3.
    scan : dict
        A row of scores and their references, see `calcscore_ml.scan_row.scan_row`.
    """

    lesions: pd.DataFrame
    scan: dict[str, object]


def compare_observers(
    scan: Scan,
    reference: NDArray[np.integer],
    measured: NDArray[np.integer],
    recipe: Recipe,
    *,
    patient_id: str,
    scan_id: str,
    protocol: str = "",
    rule: Rule = "any",
) -> ObserverRows:
    """Compare two label volumes of a scan.

    Concatenate the rows of many scans and give them to `evaluate`. Where one of the two counts the left main as LAD,
    let `calcscore_ml.anatomy.merge_left_main` do so in both volumes first.

    Parameters
    ----------
    scan : Scan
        What both observers read.
    reference, measured : (nz, ny, nx) arrays of int
        `Label` numbers, 0 elsewhere, of the observer taken for the truth and of the other.
    recipe : Recipe
        Threshold, connectivity and scores.
    patient_id, scan_id, protocol : str
        As in the manifest.
    rule : {'any', 'half'}
        How much overlap finds a lesion, see `calcscore_ml.evaluation.matching`.

    Raises
    ------
    GeometryError
        When a label volume does not fit the scan.
    """
    (true_calcium, wanted), (calcium, found) = (
        summarise_labels(scan, labels, recipe) for labels in (reference, measured)
    )
    return ObserverRows(
        lesions=match_lesions(true_calcium, calcium, rule=rule).lesions(scan_id),
        scan=scan_row(scan.acquisition, found, wanted, patient_id=patient_id, scan_id=scan_id, protocol=protocol),
    )
