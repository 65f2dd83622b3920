"""Bringing features of very different units and tails to one scale."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import validate_data

from calcscore_ml.models.tables import plain_table

IQR_OF_NORMAL = 1.349
"""Interquartile range of the standard normal distribution: 2 x 0.6745."""


class AsinhScaler(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Centre, scale and compress features, and clip what lies outside the training table.

    A feature x becomes arcsinh((x - median) / spread): linear near the median, logarithmic in the tails,
    where volumes and textures of lesions spread over decades. It is then divided by its standard deviation,
    so that distances weigh all features alike, and clipped to the training table's `quantile` and 1 -
    `quantile`: a scan from an unknown scanner cannot throw a lesion arbitrarily far from every neighbour.

    Parameters
    ----------
    quantile : float
        Share of training rows clipped at each end.

    Attributes
    ----------
    median_, spread_, deviation_ : (n_features,) arrays
        Median; interquartile range / 1.349 (standard deviation where that is 0, as for rare flags, and 1 for
        a constant); standard deviation after compression.
    lower_, upper_ : (n_features,) arrays
        Limits of the transformed features.
    n_features_in_ : int
        Number of features.

    Examples
    --------
    >>> import numpy as np
    >>> volumes_mm3 = np.array([[1.0], [2.0], [3.0], [4.0], [1000.0]])
    >>> AsinhScaler(quantile=0.0).fit_transform(volumes_mm3).ravel().round(2).tolist()
    [-0.36, -0.21, 0.0, 0.21, 2.36]
    """

    def __init__(self, quantile: float = 0.001) -> None:
        self.quantile = quantile

    def fit(self, X: ArrayLike, y: Any = None) -> Self:  # noqa: ANN401 (scikit-learn's signature)
        """Learn medians, spreads and limits.

        Parameters
        ----------
        X : (n, n_features) array-like
            Feature table without NaN.
        y : object
            Ignored.

        Returns
        -------
        AsinhScaler
            Itself.
        """
        table = validate_data(self, X, dtype=np.float64)
        low, self.median_, high = np.quantile(table, (0.25, 0.5, 0.75), axis=0)
        deviation = table.std(axis=0)
        spread = np.where(high > low, (high - low) / IQR_OF_NORMAL, deviation)
        # Below rounding error of the values themselves a feature is constant.
        floor = 1e-12 * np.maximum(1.0, np.abs(self.median_))
        self.spread_ = np.where(spread > floor, spread, 1.0)
        compressed = np.arcsinh((table - self.median_) / self.spread_)
        deviation = compressed.std(axis=0)
        self.deviation_ = np.where(deviation > 1e-12, deviation, 1.0)
        self.lower_, self.upper_ = np.quantile(compressed / self.deviation_, (self.quantile, 1 - self.quantile), axis=0)
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.float64]:
        """Scale, compress and clip.

        Parameters
        ----------
        X : (n, n_features) array-like
            Feature table without NaN.

        Returns
        -------
        (n, n_features) array of float
            Dimensionless.
        """
        table = plain_table(self, X)
        compressed = np.arcsinh((table - self.median_) / self.spread_) / self.deviation_
        return np.asarray(np.clip(compressed, self.lower_, self.upper_))
