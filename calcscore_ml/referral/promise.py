"""What a referral promises, and the threshold that keeps the promise.

A user names the error that may be left once the referred lesions are decided; the threshold is found on calibration
patients by conformal risk control. Coverage of prediction sets over all candidates would promise nothing here: nearly
all candidates are clear noise, and the errors are in the few lesions that matter. So the error is one of a patient.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from scipy.stats import binom

from calcscore_ml.errors import ResultError

Loss = Literal["lesions", "category", "agatston"]
"""Error of a patient: share of calcified lesions in the wrong artery, wrong risk category, relative Agatston error."""

LOSSES: tuple[Loss, ...] = get_args(Loss)
"""All of them."""

WORDS: dict[Loss, str] = {
    "lesions": "share of a patient's lesions that are in the wrong artery or wrongly counted",
    "category": "share of patients in the wrong risk category",
    "agatston": "relative error of a patient's Agatston score",
}
"""What each is, in words."""

SMALL_AGATSTON = 10.0
"""Errors are relative to the reference score, or to this where that is less [Agatston]: a ratio says nothing there."""

ASSUMPTIONS = (
    "It holds on average over patients drawn as the calibration patients were, with scanners, protocols and burdens in "
    "the same mix, not for each patient or protocol on its own; for experts {experts}; and for this model and recipe "
    "alone."
)
"""What every promise rests on."""

OpenShare = Annotated[float, Field(gt=0, lt=1)]


@dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid"))
class Promise:
    """A referral that keeps an error below what is tolerated; part of a recipe.

    Parameters
    ----------
    loss : {'lesions', 'category', 'agatston'}
        Which error; see `Loss`.
    tolerated : float
        Its largest mean over patients.
    threshold : float
        Lesions whose stake in this loss reaches it are referred; see `calcscore_ml.referral.policy.stake_in`.
    patients : int
        Number of calibration patients.
    confidence : float or None
        Probability, over calibration patients, that the mean is below what is tolerated; None: the mean over
        calibration and later patients together is.
    model_sha256 : str
        Of the model it was calibrated for; a promise does not hold for another.
    calibrated_on : str
        Cohort, in words.
    expert_error : float
        How often the expert errs, 0 to 1: what the promise was calibrated for.
    """

    loss: Loss
    tolerated: OpenShare
    threshold: Annotated[float, Field(ge=0)]
    patients: Annotated[int, Field(ge=1)]
    confidence: OpenShare | None = None
    model_sha256: str = ""
    calibrated_on: str = ""
    expert_error: Annotated[float, Field(ge=0, lt=1)] = 0.0

    def say(self) -> str:
        """Return the promise and what it rests on, in words."""
        how = "on average" if self.confidence is None else f"with confidence {self.confidence:.0%}"
        whose = f" of {self.calibrated_on}" if self.calibrated_on else ""
        errs = f"who err on {self.expert_error:.3g} of the lesions they decide, whichever these are"
        assumed = ASSUMPTIONS.format(experts=errs if self.expert_error else "whose decisions are the reference's")
        return (
            f"Once the referred lesions are decided, the {WORDS[self.loss]} is at most {self.tolerated:.3g} {how}. "
            f"{assumed} Calibrated on {self.patients} patients{whose}."
        )


def stake_of(
    loss: Loss,
    *,
    effect: NDArray[np.float64],
    doubt: NDArray[np.float64],
    change: NDArray[np.float64],
    category: NDArray[np.float64],
    expected: float | NDArray[np.float64],
    expert_error: float = 0.0,
) -> NDArray[np.float64]:
    """Return what each lesion contributes to an expected loss, (n,): what a promise orders lesions by.

    An expert who errs now and then takes as much from a lesion's stake as he is likely to spoil; a lesion of which the
    model is surer than he is has nothing at stake, and is not shown to him.

    Parameters
    ----------
    loss : {'lesions', 'category', 'agatston'}
        Which error.
    effect, doubt, change, category, expected
        As in `calcscore_ml.referral.stakes.Stakes`; `expected` is of each lesion's scan.
    expert_error : float
        How often the expert errs.

    >>> one = np.ones(2)
    >>> stake_of("agatston", effect=100 * one, doubt=one, change=np.array([20.0, 2.0]), category=one, expected=100.0,
    ...     expert_error=0.05).round(3).tolist()
    [0.15, 0.0]
    """
    if loss == "lesions":
        return np.clip(doubt - expert_error, 0, None)
    stake = category if loss == "category" else change / np.maximum(expected, SMALL_AGATSTON)
    if not expert_error:
        return np.asarray(stake)
    # What is left of the probability that the label is wrong, once the expert's own errors are taken off.
    spoilt = np.divide(expert_error * effect, change, out=np.ones(len(change)), where=change > 0)
    return np.asarray(stake * np.clip(1 - spoilt, 0, None))


def monotone(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the largest loss of each patient at each threshold and all lower ones.

    More decided lesions can make a score worse: two errors that cancelled no longer do. Risk control needs a loss that
    never rises as more is referred, and this is the smallest such loss that is never below the true one.

    Parameters
    ----------
    losses : (n_patients, n_thresholds) array of float
        With thresholds rising: the first column refers most.
    """
    return np.maximum.accumulate(losses, axis=1)


def choose_threshold(
    losses: NDArray[np.float64],
    thresholds: NDArray[np.float64],
    tolerated: float,
    *,
    confidence: float | None = None,
    binary: bool = False,
) -> float:
    """Return the highest threshold that keeps a promise.

    Parameters
    ----------
    losses : (n_patients, n_thresholds) array of float
        Loss of each calibration patient, 0 to 1, when lesions at or above each threshold are decided.
    thresholds : (n_thresholds,) array of float
        Rising.
    tolerated : float
        Largest mean loss.
    confidence : float or None
        See `Promise`.
    binary : bool
        Whether every loss is 0 or 1, which makes the bound with confidence tighter.

    Raises
    ------
    ResultError
        When losses are not between 0 and 1, thresholds do not rise, or no threshold keeps the promise.

    References
    ----------
    A. N. Angelopoulos, S. Bates, A. Fisch, L. Lei, T. Schuster, "Conformal risk control", ICLR 2024, for the mean.
    A. N. Angelopoulos, S. Bates, E. J. Candes, M. I. Jordan, L. Lei, "Learn then test", arXiv:2110.01052, for the
    p-values of Hoeffding and Bentkus and the sequence of tests.

    Examples
    --------
    >>> losses = np.array([[0.0, 0.0, 1.0]] * 19 + [[0.0, 1.0, 1.0]])
    >>> choose_threshold(losses, np.array([0.0, 0.5, 0.9]), 0.1)
    0.5
    """
    n, count = losses.shape
    if count != len(thresholds) or not n or not count or (np.diff(thresholds) < 0).any():
        raise ResultError(
            "losses must have a patient a row and a rising threshold a column, "
            f"got shape {losses.shape} and {len(thresholds)} thresholds"
        )
    if not (losses.min() >= 0 and losses.max() <= 1):
        raise ResultError(f"losses must lie between 0 and 1, got {losses.min():.3g} to {losses.max():.3g}")
    mean = monotone(losses).mean(axis=0)
    if confidence is None:
        kept = (n * mean + 1) / (n + 1) <= tolerated
        least = (n * mean[0] + 1) / (n + 1)
    else:
        kept = p_values(mean, n, tolerated, binary=binary) <= 1 - confidence
        least = float("nan")
    # Losses rise with the threshold, so what passes comes first: a sequence of tests that the first failure ends.
    passed = int(np.count_nonzero(kept))
    if not passed:
        raise ResultError(_impossible(n, float(mean[0]), least, tolerated, confidence))
    return float(thresholds[passed - 1])


def p_values(mean: NDArray[np.float64], n: int, tolerated: float, *, binary: bool = False) -> NDArray[np.float64]:
    """Return how probable a mean loss as low as each of these is over n patients, were the true mean above `tolerated`.

    >>> p_values(np.array([0.0, 0.1]), 100, 0.05, binary=True).round(3).tolist()
    [0.006, 0.989]
    """
    low = np.minimum(mean, tolerated)
    with np.errstate(divide="ignore", invalid="ignore"):
        first = np.where(low > 0, low * np.log(low / tolerated), 0.0)
    hoeffding = np.exp(-n * (first + (1 - low) * np.log((1 - low) / (1 - tolerated))))
    # A sum of 0-1 losses that is whole but for rounding is not rounded up to the next.
    bentkus = binom.cdf(np.ceil(n * mean - 1e-9), n, tolerated) * (1 if binary else np.e)
    return np.asarray(np.minimum(np.minimum(hoeffding, bentkus), 1.0))


def _impossible(n: int, mean: float, least: float, tolerated: float, confidence: float | None) -> str:
    """Say why no threshold keeps a promise."""
    what = "no threshold keeps the promise: "
    if confidence is None:
        what += (
            f"with {n} calibration patients and every lesion at stake decided, at least {least:.3g} must be tolerated"
        )
    else:
        what += f"{n} calibration patients do not show a loss below {tolerated:.3g} with confidence {confidence:.0%}"
    if mean > 0:
        what += f" (what no candidate covers, and the expert's errors, leave a loss of {mean:.3g})"
    return f"{what}, got {tolerated:.3g}; tolerate more, or bring more patients"
