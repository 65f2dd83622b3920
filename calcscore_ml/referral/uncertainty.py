"""How sure an ensemble is of each lesion.

Entropy and margin say how undecided the ensemble is. What its members say splits that in two: disagreement, how far
they differ, is what more training data could resolve; ambiguity, how undecided each of them is, is what it could not. A
lesion that all members call "half LAD, half other" is ambiguous in its features; one on which they differ was rarely
seen in training. Distance says so without asking the ensemble: how far a lesion lies from all that it learnt from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from calcscore_ml.anatomy import ARTERIES
from calcscore_ml.errors import ModelError

SUM_TOLERANCE = 1e-6
"""How far a row of probabilities may be from summing to 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Uncertainty:
    """Certainty of n lesions; all arrays are (n,) and read-only.

    Parameters
    ----------
    coronary : array of float
        Probability of lying in a coronary artery, any of them.
    entropy : array of float
        Entropy of the probabilities over the logarithm of their number: 0 sure, 1 clueless.
    margin : array of float
        Largest probability minus the second largest: 1 sure, 0 a tie.
    disagreement : array of float
        Jensen-Shannon divergence of the members over the same logarithm: 0 when they agree. NaN without
        members.
    ambiguity : array of float
        Mean entropy of the members: with the disagreement, it makes up the entropy of their mean. NaN without members.
    distance : array of float
        From the lesions the model learnt from; above 1 for one in a hundred of those, see
        `calcscore_ml.models.reach.Reach`. NaN where the model does not tell.
    """

    coronary: NDArray[np.float64]
    entropy: NDArray[np.float64]
    margin: NDArray[np.float64]
    disagreement: NDArray[np.float64]
    ambiguity: NDArray[np.float64]
    distance: NDArray[np.float64]

    def __post_init__(self) -> None:
        for values in (
            self.coronary,
            self.entropy,
            self.margin,
            self.disagreement,
            self.ambiguity,
            self.distance,
        ):
            values.flags.writeable = False


def measure(
    probabilities: NDArray[np.float64],
    members: NDArray[np.float64] | None = None,
    distance: NDArray[np.float64] | None = None,
) -> Uncertainty:
    """Measure how sure an ensemble is.

    Parameters
    ----------
    probabilities : (n, 8) array of float
        Per `Label`.
    members : (n_members, n, 8) array of float, optional
        The same of each member of the ensemble.
    distance : (n,) array of float, optional
        From the lesions that were learnt from.

    Returns
    -------
    Uncertainty
        Of n lesions.

    Raises
    ------
    ModelError
        When the probabilities are not probabilities, or members or distances do not fit them.

    References
    ----------
    N. Houlsby et al., "Bayesian active learning for classification and preference learning", arXiv:1112.5745,
    2011: the entropy of the mean less the mean entropy, here for the members of an ensemble.

    Examples
    --------
    >>> sure = np.eye(8)[[1]]
    >>> u = measure(np.stack([sure, sure]).mean(axis=0), np.stack([sure, np.eye(8)[[0]]]))
    >>> float(u.coronary[0]), float(u.entropy[0]), float(u.margin[0]), round(float(u.disagreement[0]), 3)
    (1.0, 0.0, 1.0, 0.333)
    """
    _check(probabilities, "probabilities")
    ordered = np.sort(probabilities, axis=1)
    unknown = np.full(len(probabilities), np.nan)
    if distance is not None and distance.shape != unknown.shape:
        raise ModelError(f"distances must be of the same {len(unknown)} lesions, got shape {distance.shape}")
    if members is None:
        disagreement = ambiguity = unknown
    else:
        if members.ndim != 3 or members.shape[1:] != probabilities.shape:
            raise ModelError(
                f"members must have shape (n_members, {probabilities.shape[0]}, {probabilities.shape[1]}) "
                f"as their ensemble, got {members.shape}"
            )
        _check(members.reshape(-1, members.shape[2]), "members")
        ambiguity = _entropy(members).mean(axis=0)
        disagreement = np.clip(_entropy(members.mean(axis=0)) - ambiguity, 0, None)
    return Uncertainty(
        coronary=np.clip(probabilities[:, np.array(ARTERIES, dtype=np.intp)].sum(axis=1), 0, 1),
        entropy=_entropy(probabilities),
        margin=ordered[:, -1] - ordered[:, -2],
        disagreement=disagreement,
        ambiguity=ambiguity,
        distance=unknown if distance is None else np.array(distance, dtype=float),
    )


def _entropy(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the entropy along the last axis over the logarithm of its length."""
    return np.asarray(entr(probabilities).sum(axis=-1) / np.log(probabilities.shape[-1]))


def _check(probabilities: NDArray[np.float64], name: str) -> None:
    if probabilities.ndim != 2 or probabilities.shape[1] <= max(ARTERIES):
        raise ModelError(f"{name} must have a column per label, got shape {probabilities.shape}")
    if len(probabilities) and not (
        np.abs(probabilities.sum(axis=1) - 1).max() <= SUM_TOLERANCE and probabilities.min() >= 0
    ):
        raise ModelError(f"{name} must be at least 0 and sum to 1 in each row, got rows that do not")
