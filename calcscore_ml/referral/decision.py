"""What a lesion counts as before an expert has spoken."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calcscore_ml.anatomy import ARTERIES, Label

CORONARY_THRESHOLD = 0.5
"""A lesion is coronary when its arteries together reach this probability: wrong least often if it is calibrated."""


def decide(probabilities: NDArray[np.float64], coronary_threshold: float = CORONARY_THRESHOLD) -> NDArray[np.intp]:
    """Give each lesion a label.

    Whether a lesion is coronary is asked first, of all arteries together: one that is 30 % LM, 30 % LAD and 40 % other
    is coronary. Then the most probable artery, or the most probable of the other labels, is its label.

    Parameters
    ----------
    probabilities : (n, 8) array of float
        Per `Label`.
    coronary_threshold : float
        Probability of being coronary from which a lesion is.

    Returns
    -------
    (n,) array of int
        `Label` numbers.

    >>> decide(np.array([[0.4, 0.3, 0, 0, 0.3, 0, 0, 0], [0.5, 0.2, 0, 0, 0, 0.3, 0, 0]])).tolist()
    [1, 0]
    """
    elsewhere = np.array([t for t in Label if t not in ARTERIES], dtype=np.intp)
    coronary = probabilities[:, np.array(ARTERIES)].sum(axis=1) >= coronary_threshold
    other = elsewhere[probabilities[:, elsewhere].argmax(axis=1)]
    return np.where(coronary, most_probable_artery(probabilities), other).astype(np.intp)


def arteries_by_map(
    probabilities: NDArray[np.float64], by_map: NDArray[np.float64], *, left_main_as_lad: bool = False
) -> NDArray[np.float64]:
    """Let maps of probability alone say which artery a coronary lesion lies in, as Shahzad 2013 does.

    Whether a lesion is coronary stays with the ensemble; its arteries share that probability as the maps do.

    Parameters
    ----------
    probabilities : (n, 8) array of float
        Per `Label`.
    by_map : (n, 4) array of float
        Probability that each of `ARTERIES` passes at the lesion; where it is NaN or nowhere above 0, nothing changes.
    left_main_as_lad : bool
        Whether the LAD gets what the maps say of the left main, as orCaScore counts it.

    Returns
    -------
    (n, 8) array of float
        Per `Label`, each row with the same sum.

    >>> arteries_by_map(np.array([[0.2, 0.5, 0.3, 0, 0, 0, 0, 0]]), np.array([[0, 0.1, 0.3, 0]])).round(2).tolist()
    [[0.2, 0.2, 0.6, 0.0, 0.0, 0.0, 0.0, 0.0]]
    """
    if left_main_as_lad:
        lm, lad = ARTERIES.index(Label.LM), ARTERIES.index(Label.LAD)
        by_map = by_map.copy()
        by_map[:, lad] += by_map[:, lm]
        by_map[:, lm] = 0
    out = probabilities.copy()
    total = by_map.sum(axis=1)
    known = np.flatnonzero(np.isfinite(total) & (total > 0))
    columns = np.array(ARTERIES)
    coronary = probabilities[np.ix_(known, columns)].sum(axis=1)
    out[np.ix_(known, columns)] = coronary[:, None] * by_map[known] / total[known, None]
    return out


def most_probable_artery(probabilities: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the label of each lesion if it is coronary: the artery with the highest probability; ties go to LAD."""
    arteries = np.sort(np.array(ARTERIES, dtype=np.intp))
    return np.asarray(arteries[probabilities[:, arteries].argmax(axis=1)])
