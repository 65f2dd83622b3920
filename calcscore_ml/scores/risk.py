"""Risk categories, as data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calcscore_ml.errors import RecipeError


@dataclass(frozen=True, slots=True)
class RiskScheme:
    """A way to group Agatston scores.

    The edge rule, one for all schemes: published bins are on whole numbers while scores are not, so a positive score is
    rounded half up first, and one that would round to 0 counts as 1: calcium found never becomes "no calcium".

    Parameters
    ----------
    name : str
        What a recipe names.
    source : str
        Where the bins were read.
    upper : tuple of int
        Highest whole score of each category but the last.
    titles : tuple of str
        One more than `upper`.
    """

    name: str
    source: str
    upper: tuple[int, ...]
    titles: tuple[str, ...]

    def category(self, score: float) -> int:
        """Return the category of a score, 0 for the lowest.

        >>> [SCHEMES[0].category(s) for s in (0, 0.4, 10.4, 10.5, 100, 400.5)]
        [0, 1, 1, 2, 2, 4]
        """
        whole = 0 if score == 0 else max(1, int(score + 0.5))
        return sum(whole > edge for edge in self.upper)

    def categories(self, scores: NDArray[np.float64]) -> NDArray[np.intp]:
        """Return the category of every score of an array, of the same shape.

        >>> SCHEMES[0].categories(np.array([0, 0.4, 10.5, 400.5])).tolist()
        [0, 1, 2, 4]
        """
        whole = np.where(scores == 0, 0, np.maximum(1, np.floor(scores + 0.5)))
        return np.asarray(np.searchsorted(np.array(self.upper), whole, side="left"), dtype=np.intp)

    def title(self, score: float) -> str:
        """Return the name of the category of a score.

        >>> SCHEMES[0].title(412)
        '> 400'
        """
        return self.titles[self.category(score)]


SCHEMES: tuple[RiskScheme, ...] = (
    RiskScheme(
        "standard",
        "van Velzen 2020: 0, 1-10, 11-100, 101-400, > 400",
        (0, 10, 100, 400),
        ("0", "1-10", "11-100", "101-400", "> 400"),
    ),
    RiskScheme("cac-drs", "CAC-DRS 2018 (Hecht, JCCT 12:185)", (0, 99, 299), ("A0", "A1", "A2", "A3")),
    RiskScheme("robinsca", "Vonder 2018", (0, 10, 99, 399), ("0", "1-10", "11-99", "100-399", ">= 400")),
    RiskScheme("deepcac", "DeepCAC's code, read 2021-06 version", (0, 100, 300), ("0", "1-100", "101-300", "> 300")),
    RiskScheme("ai-cac", "AI-CAC's paper, as read in peers' code", (0, 100, 400), ("0", "1-100", "101-400", "> 400")),
)
"""Every named scheme, the default first."""


def find_scheme(name: str) -> RiskScheme:
    """Return the scheme of that name, or raise `RecipeError` with the names there are."""
    for scheme in SCHEMES:
        if scheme.name == name:
            return scheme
    raise RecipeError(f"a risk scheme must be one of {', '.join(s.name for s in SCHEMES)}; got {name!r}")
