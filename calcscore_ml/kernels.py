"""How sharp a reconstruction kernel is, read from the name its vendor gave it.

Names say it in four ways: Siemens by a number (B30f, Br60), Canon by a code (FC13, FC51), GE in words (STANDARD, LUNG),
Philips by letters (B, YA, L). Digital scans carry the words of their own kernels.
"""

from __future__ import annotations

import re
from enum import Enum


class Sharpness(Enum):
    """How sharp a kernel is."""

    SOFT = "soft"
    """Made for soft tissue and for scores: edges do not overshoot."""
    MEDIUM = "medium"
    """Sharper, or with a slight overshoot."""
    SHARP = "sharp"
    """Edge-enhancing, made for lung and bone: edges overshoot by up to a third of their height, which raises scores."""
    UNKNOWN = "unknown"
    """No name of the table."""


WORDS: dict[str, Sharpness] = {
    # GE
    "SOFT": Sharpness.SOFT, "STANDARD": Sharpness.SOFT, "STND": Sharpness.SOFT, "DETAIL": Sharpness.MEDIUM,
    "CHEST": Sharpness.MEDIUM, "LUNG": Sharpness.SHARP, "BONE": Sharpness.SHARP, "BONEPLUS": Sharpness.SHARP,
    "EDGE": Sharpness.SHARP, "ULTRA": Sharpness.SHARP,
    # Philips, and the words it prints beside its letters
    "A": Sharpness.SOFT, "B": Sharpness.SOFT, "C": Sharpness.MEDIUM, "D": Sharpness.SHARP, "E": Sharpness.SHARP,
    "F": Sharpness.SHARP, "L": Sharpness.SHARP, "YA": Sharpness.MEDIUM, "YB": Sharpness.SHARP, "YC": Sharpness.SHARP,
    "CA": Sharpness.SOFT, "CB": Sharpness.SOFT, "CC": Sharpness.MEDIUM, "CD": Sharpness.SHARP,
    "XCA": Sharpness.SOFT, "XCB": Sharpness.SOFT, "XCC": Sharpness.MEDIUM, "XCD": Sharpness.SHARP,
    "UA": Sharpness.SOFT, "UB": Sharpness.SOFT, "UC": Sharpness.SOFT,
    # digital scans: soft, standard and lung are above
    "SMOOTH": Sharpness.SOFT, "CALCIUM": Sharpness.SOFT, "MEDIUM": Sharpness.MEDIUM, "VESSEL": Sharpness.MEDIUM,
    "SHARP": Sharpness.SHARP,
}  # fmt: skip
"""Names in words and letters. GE's words and the order A, B, C, D of Philips are the vendors'; of Philips' B and L one
exposure was measured (docs/phantom.md); where a class begins, and the other letters, are our reading."""

SIEMENS = re.compile(r"[BDHIJQSTU][A-Z]?(\d\d)[A-Z]?")
"""Siemens: letters of the family (B body, H head, Q quantitative, U ultra-high resolution, I and J iterative), and a
number that grows with sharpness; the last letter goes with the rotation's time."""

SIEMENS_MEDIUM, SIEMENS_SHARP = 45, 50
"""Numbers from which a kernel is medium and sharp. Siemens' manual (Somatom Sensation, A60) calls B10 and B20 soft, B30
and B40 standard for the body, and B50 to B80 sharper; 45 is our choice."""

CANON = re.compile(r"FC(\d\d)(-[A-Z])?")
"""Canon, formerly Toshiba: FC and two digits."""

CANON_DECADES = {0: Sharpness.SOFT, 1: Sharpness.SOFT, 2: Sharpness.SOFT, 3: Sharpness.SHARP, 4: Sharpness.SOFT,
                 5: Sharpness.SHARP, 6: Sharpness.SOFT, 8: Sharpness.SHARP}  # fmt: skip
"""By the first digit: body with (0) and without (1) correction of beam hardening, head (2, 6), bone and ear (3), heart
(4), lung (5), high resolution (8). FC13 is a soft tissue and FC55 a lung kernel (Korean J Radiol 19:888, 2018); the
rest is our reading."""

CANON_MEDIUM = frozenset({4, 5, 14, 15, 44, 45})
"""The sharpest body and heart kernels (our reading)."""


def sharpness(kernel: str | None) -> Sharpness:
    """Return how sharp a kernel is.

    Parameters
    ----------
    kernel : str or None
        As in the header; parts after a slash, backslash or blank are strengths of iterative reconstruction or more
        words. The sharpest part counts.

    Returns
    -------
    Sharpness
        `UNKNOWN` when there is no name, or none of the table.

    >>> [sharpness(name).value for name in ("Br36d", "B70f", "FC12", "LUNG", "YA", "house blend")]
    ['soft', 'sharp', 'soft', 'sharp', 'medium', 'unknown']
    """
    parts = [p for p in re.split(r"[^A-Z0-9-]+", (kernel or "").upper()) if p]
    found = {_part(p) for p in parts if len(parts) == 1 or len(p) > 1}
    order = (Sharpness.SHARP, Sharpness.MEDIUM, Sharpness.SOFT)
    return next((s for s in order if s in found), Sharpness.UNKNOWN)


def _part(name: str) -> Sharpness:
    if name in WORDS:
        return WORDS[name]
    if siemens := SIEMENS.fullmatch(name):
        number = int(siemens[1])
        if number >= SIEMENS_SHARP:
            return Sharpness.SHARP
        return Sharpness.MEDIUM if number >= SIEMENS_MEDIUM else Sharpness.SOFT
    if canon := CANON.fullmatch(name):
        number = int(canon[1])
        return Sharpness.MEDIUM if number in CANON_MEDIUM else CANON_DECADES.get(number // 10, Sharpness.UNKNOWN)
    return Sharpness.UNKNOWN
