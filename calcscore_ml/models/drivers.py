"""Which features drove what a model says of a lesion.

Each feature in turn is given its typical value, that of the median lesion learnt from, and the model is asked again:
what the probability of being coronary loses by it is the feature's effect. It asks the model itself, so it holds for
every estimator; features that say the same stand in for each other, and each of them looks smaller for it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from calcscore_ml.anatomy import ARTERIES
from calcscore_ml.models.bundle import Bundle, predict

STRONGEST = 6
"""Drivers that are told of a lesion."""

Effects = tuple[str, float, float, float]
"""Name of a feature, the lesion's value, the typical value, and the effect."""


def find_drivers(bundle: Bundle, table: pd.DataFrame, strongest: int = STRONGEST) -> list[tuple[Effects, ...]]:
    """Find the features that drove the probability of each lesion being coronary.

    Parameters
    ----------
    bundle : Bundle
        The model; one that does not know what it learnt from names none.
    table : pandas.DataFrame
        n lesions, as `calcscore_ml.models.bundle.predict` takes them.
    strongest : int
        How many are told.

    Returns
    -------
    list of tuple of (str, float, float, float)
        For each lesion feature, value, typical value and effect, strongest first; features without any are left out.
    """
    if bundle.reach is None or not len(table):
        return [() for _ in range(len(table))]
    names, typical = list(bundle.card.features), bundle.reach.median
    values = table.loc[:, names].to_numpy(dtype=np.float64)
    n, d = values.shape
    asked = np.repeat(values, d, axis=0)
    asked[np.arange(n * d), np.tile(np.arange(d), n)] = np.tile(typical, n)
    effect = _coronary(bundle, values)[:, None] - _coronary(bundle, asked).reshape(n, d)
    order = np.argsort(-np.abs(effect), axis=1, kind="stable")[:, :strongest]
    return [
        tuple((names[j], float(values[i, j]), float(typical[j]), float(effect[i, j])) for j in order[i] if effect[i, j])
        for i in range(n)
    ]


def _coronary(bundle: Bundle, values: NDArray[np.float64]) -> NDArray[np.float64]:
    probabilities, _ = predict(bundle, pd.DataFrame(values, columns=list(bundle.card.features)))
    return np.asarray(probabilities[:, np.array(ARTERIES)].sum(axis=1), dtype=np.float64)
