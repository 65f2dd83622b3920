"""Features by name, or by a pattern of names."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from calcscore_ml.errors import ModelError

NEAREST = 3
"""Names listed when one is unknown."""


def choose_names(known: Sequence[str], patterns: Sequence[str]) -> tuple[str, ...]:
    """Choose features by exact names and patterns, in which * stands for any characters and ? for one.

    Parameters
    ----------
    known : sequence of str
        Names of all features.
    patterns : sequence of str
        Names and patterns.

    Returns
    -------
    tuple of str
        Names that match any, in the order of `known`.

    Raises
    ------
    ModelError
        When a pattern matches nothing; the names most like it are listed.

    >>> choose_names(["volume_mm3", "heart_z", "heart_y"], ["heart_*"])
    ('heart_z', 'heart_y')
    """
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in known):
            raise _unknown(known, pattern)
    return tuple(name for name in known if any(fnmatchcase(name, pattern) for pattern in patterns))


def check_names(known: Sequence[str], names: Sequence[str]) -> None:
    """Refuse names that are not known; patterns are none.

    Raises
    ------
    ModelError
        Which lists the names most like the first unknown one.
    """
    for name in names:
        if name not in known:
            raise _unknown(known, name)


def _unknown(known: Sequence[str], name: str) -> ModelError:
    nearest = ", ".join(get_close_matches(name, known, NEAREST, cutoff=0.0)) or "none"
    return ModelError(
        f"a feature must be one of the {len(known)} that the recipe asks for, got {name!r}; most like it: {nearest}"
    )
