"""What hangs on each lesion: how likely its label is wrong, and what the score would do if it were.

A doubtful speck of 2 mm3 in a patient at 900 is not worth a look; a doubtful lesion between 0 and 1 is. So three
questions are asked of each lesion: is its artery wrong, how far would the Agatston score move, would the risk category
change? All are answered from the model's probabilities, which must be calibrated for the answers to be worth anything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calcscore_ml.anatomy import ARTERIES
from calcscore_ml.scores.risk import RiskScheme

DRAWS = 2000
"""Scores a scan may have, drawn to see how often its category changes: a standard error of at most 0.011."""

NOTHING = 1e-9
"""A score nearer to 0 is rounding: scores are sums of hundredths at least."""

SURE = 1e-3
"""A lesion whose coronary label is wrong with at most this probability is left as it is while scores are drawn."""


@dataclass(frozen=True, slots=True, eq=False)
class Stakes:
    """What hangs on each of n lesions of one scan; arrays are (n,) and read-only.

    Parameters
    ----------
    effect : array of float
        Agatston score it has if it is coronary.
    doubt : array of float
        Probability that its artery is wrong; "not coronary" is one of the answers.
    change : array of float
        Expected change of the scan's Agatston score when the truth about the lesion becomes known.
    category : array of float
        Probability that the scan's risk category changes with the truth about this lesion, the others being what they
        may be.
    expected : float
        Expected Agatston score of the scan.
    category_wrong : float
        Probability that the risk category is wrong as long as nobody has looked.
    deciding : array of bool
        Whether the scan's risk category would be another if this lesion alone were decided the other way: left out if
        it counts as coronary, counted if it does not.
    """

    effect: NDArray[np.float64]
    doubt: NDArray[np.float64]
    change: NDArray[np.float64]
    category: NDArray[np.float64]
    expected: float
    category_wrong: float
    deciding: NDArray[np.bool_]

    def __post_init__(self) -> None:
        for values in (self.effect, self.doubt, self.change, self.category, self.deciding):
            values.flags.writeable = False

    @property
    def flips(self) -> NDArray[np.float64]:
        """Probability that a lesion is wrongly held to be coronary or not to be, (n,); 0 where it has no effect."""
        return np.divide(self.change, self.effect, out=np.zeros(len(self.effect)), where=self.effect > 0)


def weigh(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.intp],
    effect: NDArray[np.float64],
    scheme: RiskScheme,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Stakes:
    """Weigh what hangs on each lesion of a scan.

    Parameters
    ----------
    probabilities : (n, 8) array of float
        Per `Label`.
    labels : (n,) array of int
        What each lesion counts as.
    effect : (n,) array of float
        Agatston score of each if it is coronary.
    scheme : RiskScheme
        Risk categories.
    draws, seed : int
        How many scores are drawn, and the seed of the draw.

    Notes
    -----
    Lesions are taken to be right or wrong independently of each other. They are not: a scan that confuses the model
    confuses it more than once, so the probabilities for a whole scan are lower bounds on doubt.

    Examples
    --------
    >>> from calcscore_ml.scores.risk import find_scheme
    >>> p = np.array([[0.4, 0.6, 0, 0, 0, 0, 0, 0], [0.4, 0.6, 0, 0, 0, 0, 0, 0]])
    >>> s = weigh(p, np.array([1, 1]), np.array([4.0, 900.0]), find_scheme("standard"))
    >>> s.doubt.tolist(), s.change.round(1).tolist(), round(s.expected, 1), bool(s.category[1] > 0.3 > s.category[0])
    ([0.4, 0.4], [1.6, 360.0], 542.4, True)
    """
    coronary_now = np.isin(labels, ARTERIES)
    coronary = np.clip(probabilities[:, np.array(ARTERIES)].sum(axis=1), 0, 1)
    right = np.where(coronary_now, probabilities[np.arange(len(labels)), labels], 1 - coronary)
    flips = np.where(coronary_now, 1 - coronary, coronary)
    category, wrong = _categories(effect, coronary, coronary_now, flips, scheme, draws, seed)
    return Stakes(
        effect=np.array(effect, dtype=float),
        doubt=np.clip(1 - right, 0, 1),
        change=effect * flips,
        category=category,
        expected=float(effect @ coronary),
        category_wrong=wrong,
        deciding=deciding(effect, coronary_now, scheme),
    )


def deciding(effect: NDArray[np.float64], coronary: NDArray[np.bool_], scheme: RiskScheme) -> NDArray[np.bool_]:
    """Find the lesions of a scan that decide its risk category, each by itself, (n,).

    Parameters
    ----------
    effect : (n,) array of float
        Agatston score of each if it is coronary.
    coronary : (n,) array of bool
        Whether each counts as coronary.
    scheme : RiskScheme
        Risk categories.

    Examples
    --------
    >>> from calcscore_ml.scores.risk import find_scheme
    >>> now = np.array([True, True, False, False])
    >>> deciding(np.array([9.0, 0.6, 0.7, 95.0]), now, find_scheme("standard")).tolist()
    [False, False, False, True]
    """
    total = effect[coronary].sum()
    flipped = total + np.where(coronary, -effect, effect)
    flipped = np.where(np.abs(flipped) < NOTHING, 0.0, flipped)  # what rounds to nothing is nothing
    return np.asarray((scheme.categories(flipped) != scheme.category(float(total))) & (effect > 0))


def _categories(
    effect: NDArray[np.float64],
    coronary: NDArray[np.float64],
    now: NDArray[np.bool_],
    flips: NDArray[np.float64],
    scheme: RiskScheme,
    draws: int,
    seed: int,
) -> tuple[NDArray[np.float64], float]:
    """How often the truth about each lesion, and about all of them, changes the category."""
    out = np.zeros(len(effect))
    open_ = np.flatnonzero((effect > 0) & (flips > SURE))
    if not len(open_):
        return out, 0.0
    sure = float(np.delete(effect * now, open_).sum())
    drawn = np.random.default_rng(seed).random((draws, len(open_))) < coronary[open_]
    parts = drawn * effect[open_]
    total = sure + parts.sum(axis=1)
    of_truth = scheme.categories(total)
    for column, lesion in enumerate(open_):
        # The others as drawn: this lesion as it is labelled now, beside the opposite.
        others = total - parts[:, column]
        without, with_it = (scheme.categories(others + extra) for extra in (0.0, effect[lesion]))
        out[lesion] = flips[lesion] * float((without != with_it).mean())
    as_scored = scheme.category(float(effect[now].sum()))
    return out, float((of_truth != as_scored).mean())
