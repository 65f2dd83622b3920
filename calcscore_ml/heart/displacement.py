"""How wrong a location may be: displacements of all that was located, to learn from and to average over."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def drawn_displacement(fingerprint: str, error_mm: float) -> NDArray[np.float64]:
    """Draw one displacement of a scan's location, (1, 3) [mm]; the same scan always has the same.

    Parameters
    ----------
    fingerprint : str
        Of the scan, hexadecimal.
    error_mm : float
        Standard deviation along each axis.

    >>> drawn_displacement("0f", 0.0)
    array([[0., 0., 0.]])
    """
    drawn = np.random.default_rng(int(fingerprint[:16], 16)).normal(0, 1, (1, 3))
    return np.asarray(abs(error_mm) * drawn) + 0.0


def displacements(error_mm: float) -> NDArray[np.float64]:
    """Return none, and if there is an error, so much each way along each axis: (1 or 7, 3) [mm].

    >>> displacements(6.0)[:3].tolist(), len(displacements(6.0)), len(displacements(0.0))
    ([[0.0, 0.0, 0.0], [6.0, 0.0, 0.0], [0.0, 6.0, 0.0]], 7, 1)
    """
    none = np.zeros((1, 3))
    return np.vstack([none, error_mm * np.eye(3), -error_mm * np.eye(3) + 0.0]) if error_mm > 0 else none
