"""How far a model's knowledge reaches: what the lesions and scans it learnt from were like.

A lesion unlike all of those is one the model guesses at, however sure it says it is. Only centres of clusters, medians
and ranges are kept, so no patient's lesion is.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from io import BytesIO
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from calcscore_ml.errors import ModelError

COMPONENTS = 20
"""Directions in which lesions are compared; our choice."""

CENTRES = 48
"""Clusters that stand for the lesions of one label; our choice."""

CLIP = 6.0
"""Features count as at most so many interquartile ranges from their median: heavy tails are not news."""

ORDINARY = 0.99
"""Share of the lesions learnt from that lie nearer than a distance of 1."""

FEWEST = 1e-9
"""An interquartile range not above this belongs to a feature that hardly varies; it is compared on its own scale."""

DECIMALS = 6
"""Features are clustered rounded to so many decimals: k-means follows the last bit, which depends on units."""

RARE = 8
"""A label of fewer lesions has no clusters of its own: the centre of one lesion would be that lesion."""

LARGEST = 4000
"""Lesions of a label that are clustered, evenly drawn: more tell nothing new."""


@dataclass(frozen=True, slots=True, eq=False)
class Reach:
    """What lesions learnt from were like, in d features.

    Parameters
    ----------
    median, spread : (d,) arrays
        Median and interquartile range of each feature.
    directions : (k, d) array
        Principal components of the features so scaled, each divided by its standard deviation.
    centres : (m, k) array
        Centres of clusters, of every label, in these directions.
    ordinary : float
        Distance from the nearest centre that `ORDINARY` of the lesions stay below.
    """

    median: NDArray[np.float64]
    spread: NDArray[np.float64]
    directions: NDArray[np.float64]
    centres: NDArray[np.float64]
    ordinary: float

    def distance(self, table: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how far lesions lie from those learnt from, (n,): 1 as far as the farthest hundredth of those.

        Parameters
        ----------
        table : (n, d) array of float
            Features; one that is NaN counts as typical.
        """
        if table.ndim != 2 or table.shape[1] != len(self.median):
            raise ModelError(f"distances are of lesions of {len(self.median)} features, got shape {table.shape}")
        if not len(table):
            return np.zeros(0)
        return _nearest(_scaled(table, self.median, self.spread) @ self.directions.T, self.centres) / self.ordinary


def learn_reach(table: NDArray[np.float64], labels: NDArray[np.integer], seed: int = 0) -> Reach:
    """Learn what lesions are like.

    Parameters
    ----------
    table : (n, d) array of float
        Features, NaN where one is not defined; n at least 2.
    labels : (n,) array of int
        Their labels: each has its own clusters, so that few lesions of one are not lost among many of another.
    seed : int
        Of the clustering.
    """
    undefined = np.isnan(table).all(axis=0)
    known = np.where(undefined, 0.0, table)
    low, median, high = np.nanpercentile(known, [25, 50, 75], axis=0)
    deviation = np.nanstd(known, axis=0)
    spread = np.where(high - low > FEWEST, high - low, np.where(deviation > FEWEST, deviation, 1.0))
    scaled = np.round(_scaled(known, median, spread), DECIMALS)
    found = PCA(min(COMPONENTS, *table.shape), svd_solver="covariance_eigh").fit(scaled)
    # Not centred on the mean: a lesion typical in every feature lies at the origin.
    directions = found.components_ / np.sqrt(np.maximum(found.explained_variance_, FEWEST))[:, None]
    seen = scaled @ directions.T
    names, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
    group = np.where(counts < RARE, int(counts.argmax()), np.arange(len(names)))[place]
    centres = np.concatenate([_centres(seen[group == g], seed) for g in np.unique(group)])
    ordinary = max(float(np.quantile(_nearest(seen, centres), ORDINARY)), FEWEST)
    return Reach(median, spread, directions, centres, ordinary)


def reach_bytes(reach: Reach) -> bytes:
    """Return a reach as the bytes of an npz file; the same reach gives the same bytes."""
    stream = BytesIO()
    np.savez_compressed(
        stream,
        median=reach.median,
        spread=reach.spread,
        directions=reach.directions,
        centres=reach.centres,
        ordinary=reach.ordinary,
    )
    return stream.getvalue()


def read_reach(content: bytes, features: int, where: str) -> Reach:
    """Read the bytes of `reach_bytes` of a model of so many features; `where` is named in errors.

    Raises
    ------
    ModelError
        When they are something else.
    """
    try:
        with np.load(BytesIO(content), allow_pickle=False) as arrays:
            kept = {f.name: arrays[f.name].astype(np.float64) for f in fields(Reach)}
        reach = Reach(**{**kept, "ordinary": float(kept["ordinary"])})
    except (ValueError, KeyError, OSError, EOFError, BadZipFile, TypeError) as error:
        raise ModelError(
            f"a model's reach must be an npz file of its arrays, got {type(error).__name__} in {where}"
        ) from (error)
    k = len(reach.directions)
    shapes = [reach.median.shape, reach.spread.shape, reach.directions.shape, reach.centres.shape[1:]]
    whole = all(np.isfinite(getattr(reach, f.name)).all() for f in fields(reach))
    if shapes != [(features,), (features,), (k, features), (k,)] or not whole or reach.ordinary <= 0:
        raise ModelError(f"a model's reach must fit its {features} features, got arrays of {shapes} in {where}")
    return reach


def _scaled(
    table: NDArray[np.float64], median: NDArray[np.float64], spread: NDArray[np.float64]
) -> NDArray[np.float64]:
    return np.clip(np.nan_to_num((table - median) / spread, nan=0.0, posinf=CLIP, neginf=-CLIP), -CLIP, CLIP)


def _centres(seen: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    drawn = seen[np.unique(np.linspace(0, len(seen) - 1, LARGEST).astype(np.intp))]
    different = len(np.unique(drawn, axis=0))
    clusters = max(1, min(CENTRES, different // 4))
    return np.asarray(KMeans(clusters, n_init=1, random_state=seed).fit(drawn).cluster_centers_, dtype=np.float64)


def _nearest(seen: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of each row to the nearest centre."""
    squared = (seen**2).sum(axis=1)[:, None] - 2 * seen @ centres.T + (centres**2).sum(axis=1)
    return np.asarray(np.sqrt(np.clip(squared.min(axis=1), 0, None)))
