"""Centrelines: lines of points, (n, 3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FINE = 8
"""Points a line is refined to between two of its own."""


def arc_mm(line: NDArray[np.float64]) -> NDArray[np.float64]:
    """Arc length at every point of an (n, 3) line, from its first, (n,) [mm]."""
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])


def resample_line(line: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Place `count` points at equal shares of the length of an (n, 3) line."""
    s = arc_mm(line)
    return _interpolate(np.linspace(0, s[-1], count), s, line)


def refine_line(line: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Put `FINE` steps between every two points of an (n, 3) line: the points (m, 3), and where they stand, 0 to 1."""
    shares = np.linspace(0, 1, FINE * (len(line) - 1) + 1)
    return _interpolate(shares, np.linspace(0, 1, len(line)), line), shares


def _interpolate(at: NDArray[np.float64], where: NDArray[np.float64], line: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([np.interp(at, where, line[:, i]) for i in range(3)], axis=1)
