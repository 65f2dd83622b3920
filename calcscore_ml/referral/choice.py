"""Which scans to label next: those from which a model has most to learn."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from calcscore_ml.errors import ModelError
from calcscore_ml.referral.uncertainty import Uncertainty

WORTH_LEARNING = 0.02
"""Lesions less probably coronary are left out: a scan has hundreds, which together would drown the others."""


def scan_value(uncertainty: Uncertainty) -> float:
    """Return what a model would learn from the labels of a scan: the disagreement of its members, over all its lesions.

    Disagreement is what labels resolve; ambiguity, which all members share, would stay.

    Parameters
    ----------
    uncertainty : Uncertainty
        Of the candidates of a scan.

    Raises
    ------
    ModelError
        When the model has no members that could disagree.

    References
    ----------
    Houlsby 2011, see `calcscore_ml.referral.uncertainty.measure`; summed over a scan, as a scan is what is labelled.
    """
    asked = uncertainty.coronary >= WORTH_LEARNING
    if np.isnan(uncertainty.disagreement[asked]).any():
        raise ModelError("scans are chosen by the disagreement of a model's members, got a model without members")
    return float(uncertainty.disagreement[asked].sum())


def choose_scans(values: Mapping[str, float], count: int) -> tuple[str, ...]:
    """Return the scans of highest value, the highest first; ties by name.

    >>> choose_scans({"b": 1.0, "a": 1.0, "c": 0.5}, 2)
    ('a', 'b')
    """
    return tuple(sorted(values, key=lambda name: (-values[name], name))[:count])


def of_scans(scan_id: NDArray[np.str_], uncertainty: Uncertainty) -> dict[str, float]:
    """Return the value of each scan of a table of lesions.

    Parameters
    ----------
    scan_id : (n,) array of str
        Scan of each lesion.
    uncertainty : Uncertainty
        Of the same lesions.
    """
    arrays = {name: getattr(uncertainty, name) for name in Uncertainty.__dataclass_fields__}
    return {
        str(scan): scan_value(Uncertainty(**{name: values[scan_id == scan] for name, values in arrays.items()}))
        for scan in np.unique(scan_id)
    }
