"""The 18 coronary segments: their numbers, names, and where on an artery each one begins."""

from __future__ import annotations

from dataclasses import dataclass

from calcscore_ml.anatomy import Label


@dataclass(frozen=True, slots=True)
class Segment:
    """One coronary segment.

    Parameters
    ----------
    number : int
        1 to 18.
    name : str
        Its usual name.
    label : Label
        The artery its calcium counts for.
    """

    number: int
    name: str
    label: Label


SEGMENTS: tuple[Segment, ...] = (
    Segment(1, "proximal RCA", Label.RCA),
    Segment(2, "mid RCA", Label.RCA),
    Segment(3, "distal RCA", Label.RCA),
    Segment(4, "right posterior descending", Label.RCA),
    Segment(5, "left main", Label.LM),
    Segment(6, "proximal LAD", Label.LAD),
    Segment(7, "mid LAD", Label.LAD),
    Segment(8, "distal LAD", Label.LAD),
    Segment(9, "first diagonal", Label.LAD),
    Segment(10, "second diagonal", Label.LAD),
    Segment(11, "proximal LCX", Label.LCX),
    Segment(12, "first obtuse marginal", Label.LCX),
    Segment(13, "mid and distal LCX", Label.LCX),
    Segment(14, "second obtuse marginal", Label.LCX),
    Segment(15, "left posterior descending", Label.LCX),
    Segment(16, "right posterolateral", Label.RCA),
    Segment(17, "ramus intermedius", Label.LCX),
    Segment(18, "left posterolateral", Label.LCX),
)
"""The segments of the Society of Cardiovascular Computed Tomography's 18-segment diagram, by number.

Numbers, names and borders are our understanding of the diagram, not read off its paper. That the ramus counts for
the LCX is our choice.
"""

BRANCH_SEGMENTS: dict[str, int] = {
    "left main": 5,
    "diagonal 1": 9,
    "diagonal 2": 10,
    "diagonal 3": 10,
    "marginal 1": 12,
    "marginal 2": 14,
    "ramus": 17,
    "right posterior descending": 4,
    "left posterior descending": 15,
    "right posterolateral": 16,
    "left posterolateral": 18,
    "conus": 1,
    "acute marginal": 2,
}
"""Segment of every branch that is one segment. Branches without a number of their own take that of the part of the
artery they leave from, or of the branch before them (our choice)."""

Borders = tuple[tuple[float, int], ...]
"""Where segments begin along a centreline: (arc length [mm], number), ascending, the first at 0."""


def find_segment(number: int) -> Segment:
    """Return the segment of a number.

    >>> find_segment(6).name
    'proximal LAD'
    """
    return SEGMENTS[number - 1]


def lad_borders(length_mm: float, first_diagonal_mm: float) -> Borders:
    """Proximal to the first diagonal, then halves of the rest to the end.

    >>> lad_borders(100.0, 20.0)
    ((0.0, 6), (20.0, 7), (60.0, 8))
    """
    return (0.0, 6), (first_diagonal_mm, 7), (0.5 * (first_diagonal_mm + length_mm), 8)


def lcx_borders(first_marginal_mm: float) -> Borders:
    """Proximal to the first obtuse marginal.

    >>> lcx_borders(25.0)
    ((0.0, 11), (25.0, 13))
    """
    return (0.0, 11), (first_marginal_mm, 13)


def rca_borders(acute_margin_mm: float) -> Borders:
    """Halves of the way to the heart's acute margin, then distal.

    >>> rca_borders(60.0)
    ((0.0, 1), (30.0, 2), (60.0, 3))
    """
    return (0.0, 1), (0.5 * acute_margin_mm, 2), (acute_margin_mm, 3)


def segment_at(borders: Borders, s_mm: float) -> int:
    """Return the number of the segment at an arc length.

    >>> segment_at(lcx_borders(25.0), 30.0)
    13
    """
    return [number for start, number in borders if start <= max(s_mm, 0.0)][-1]
