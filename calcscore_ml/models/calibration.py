"""From the scores of a classifier to probabilities at the true prevalence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from calcscore_ml.models.folds import Codes
from calcscore_ml.models.threads import one_thread

RIDGE = 1.0
"""Weight, in rows, of the pull towards slope 1 and offset 0: decides only where a class has next to no
rows."""

SLOPE_LIMITS = (1e-3, 1e3)
"""The slope stays positive, so that calibration never reverses the order of the scores."""


@dataclass(frozen=True, slots=True, eq=False)
class SoftmaxCalibration:
    """Probability = softmax(slope x score + offset), with one slope and an offset per class.

    Parameters
    ----------
    slope : float
        Positive; its inverse is the temperature.
    offset : (n_classes,) array of float
        Sums to 0.
    """

    slope: float
    offset: NDArray[np.float64]

    def __call__(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn (..., n_classes) scores into probabilities.

        >>> SoftmaxCalibration(1.0, np.zeros(2))(np.log(np.array([[0.2, 0.8]]))).tolist()
        [[0.2, 0.8]]
        """
        return np.asarray(softmax(self.slope * scores + self.offset, axis=-1))


def fit_calibration(scores: NDArray[np.float64], codes: Codes, weights: NDArray[np.float64]) -> SoftmaxCalibration:
    """Fit a calibration by maximum likelihood.

    Parameters
    ----------
    scores : (n, n_classes) array of float
        Of rows the classifier never saw.
    codes : (n,) array of int
        True class number of each row.
    weights : (n,) array of float
        Rows of the table that each row stands for.

    Returns
    -------
    SoftmaxCalibration
        The likelihood is concave, so there is one.

    References
    ----------
    J. C. Platt, "Probabilistic outputs for support vector machines", 1999 (two classes); C. Guo et al., "On
    calibration of modern neural networks", ICML 2017 (one temperature for many classes).
    """
    rows = np.arange(len(codes))
    total = weights.sum()

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        slope, offset = parameters[0], parameters[1:]
        logs = log_softmax(slope * scores + offset, axis=1)
        residual = np.exp(logs)
        residual[rows, codes] -= 1
        residual *= weights[:, None]
        pull = np.concatenate([[slope - 1], offset])
        value = -(weights * logs[rows, codes]).sum() + RIDGE / 2 * (pull**2).sum()
        gradient = np.concatenate([[(residual * scores).sum()], residual.sum(axis=0)]) + RIDGE * pull
        return float(value / total), gradient / total

    start = np.zeros(scores.shape[1] + 1)
    start[0] = 1.0
    bounds = [SLOPE_LIMITS] + [(None, None)] * scores.shape[1]
    with one_thread():
        options = {"ftol": 1e-12, "gtol": 1e-8}
        found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return SoftmaxCalibration(float(found.x[0]), found.x[1:] - found.x[1:].mean())
