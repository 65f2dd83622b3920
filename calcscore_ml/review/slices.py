"""Slices of a scan as PNG pictures, and the pictures that were drawn last.

A picture has a pixel per voxel, so nothing is resampled here; the page stretches it to millimetres. The patient's right
is on the left, front is up in an axial slice and left in a sagittal one, the head is up in the others.
"""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from threading import Lock
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from calcscore_ml.reports.pictures import WINDOW_HU

Axis = Literal["axial", "coronal", "sagittal"]
"""Across which axis a slice lies."""

AXES: dict[Axis, int] = {"axial": 0, "coronal": 1, "sagittal": 2}
"""Axis of the array for each."""

COMPRESSION = 1
"""Of zlib: a picture goes a short way, so time matters more than size."""

SOFT_HU = (-800.0, 80.0)
"""Where a look through the heart ends: lung and blood [HU]."""

CACHE_BYTES = 96 * 1024**2
"""Pictures kept, at most [bytes]: about a thousand slices of 512 x 512."""


@dataclass(frozen=True, slots=True)
class Window:
    """What is black and what is white.

    Parameters
    ----------
    name : str
        What a request asks for.
    low_hu, high_hu : float
        Black at and below, white at and above [HU].
    """

    name: str
    low_hu: float
    high_hu: float

    def __post_init__(self) -> None:
        if not self.low_hu < self.high_hu:
            raise ValueError(f"a window must have low below high, got {self.low_hu} and {self.high_hu} HU")


WINDOWS: dict[str, Window] = {
    w.name: w
    for w in (
        Window("calcium", *WINDOW_HU),
        Window("mediastinum", -125.0, 225.0),
        Window("lung", -1350.0, 150.0),
        Window("bone", -500.0, 1500.0),
    )
}
"""Presets: that of the reports; width 350 at 50, 1500 at -600 and 2000 at 500 HU, as radiology textbooks have them."""


def cut(hu: NDArray[np.int16], axis: Axis, index: int) -> NDArray[np.int16]:
    """Take a slice as it is looked at: (rows, columns).

    Parameters
    ----------
    hu : (nz, ny, nx) array of int16
        The scan.
    axis : {'axial', 'coronal', 'sagittal'}
        Across which axis.
    index : int
        Voxel along it.

    Raises
    ------
    IndexError
        When the scan has no such slice.

    >>> hu = np.arange(8, dtype=np.int16).reshape(2, 2, 2)
    >>> cut(hu, "axial", 0).tolist(), cut(hu, "coronal", 0).tolist()
    ([[0, 1], [2, 3]], [[4, 5], [0, 1]])
    """
    if not 0 <= index < hu.shape[AXES[axis]]:
        raise IndexError(f"slice must be from 0 to {hu.shape[AXES[axis]] - 1}, got {index}")
    plane = np.asarray(np.moveaxis(hu, AXES[axis], 0)[index])
    return plane if axis == "axial" else plane[::-1]


def project(
    hu: NDArray[np.int16], axis: Axis, lower: NDArray[np.integer], upper: NDArray[np.integer]
) -> NDArray[np.int16]:
    """Look through a part of a scan, ``hu[lower:upper]``, as an X-ray does: mean values, seen as `cut` sees them.

    Values are first clipped to fat and blood, so that the heart stands out from the lungs and no rib hides it.
    """
    z, y, x = (slice(int(a), int(b)) for a, b in zip(lower, upper, strict=True))
    plane = np.clip(hu[z, y, x], *SOFT_HU).mean(axis=AXES[axis], dtype=np.float32)
    return np.asarray(np.rint(plane if axis == "axial" else plane[::-1]), dtype=np.int16)


def grey(plane: NDArray[np.int16], window: Window) -> NDArray[np.uint8]:
    """Turn HU into greys, same shape.

    >>> grey(np.array([[-2000, 0, 100, 3000]], dtype=np.int16), Window("w", 0, 200)).tolist()
    [[0, 0, 127, 255]]
    """
    scaled = (plane.astype(np.float32) - window.low_hu) * (255 / (window.high_hu - window.low_hu))
    return np.clip(scaled, 0, 255, out=scaled).astype(np.uint8)


def stretched(plane: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Turn HU into greys from the darkest to the brightest but a hundredth at each end."""
    low, high = np.percentile(plane, (1, 99))
    return grey(plane, Window("stretched", float(low), float(max(high, low + 1))))


def to_png(picture: NDArray[np.uint8]) -> bytes:
    """Return (rows, columns) greys as a PNG of 8 bits."""
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(out, "PNG", compress_level=COMPRESSION)
    return out.getvalue()


class PictureCache:
    """Pictures that were drawn last, within a number of bytes; safe for threads.

    Parameters
    ----------
    limit : int
        Bytes kept at most. A picture larger than that is not kept.
    """

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self.limit = limit
        self.held = 0
        self._pictures: OrderedDict[Hashable, bytes] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._pictures)

    def get(self, key: Hashable, draw: Callable[[], bytes]) -> bytes:
        """Return the picture of that key, drawing it when it is not kept."""
        with self._lock:
            found = self._pictures.get(key)
            if found is not None:
                self._pictures.move_to_end(key)
                return found
        made = draw()
        with self._lock:
            if key not in self._pictures and len(made) <= self.limit:
                self._pictures[key] = made
                self.held += len(made)
                while self.held > self.limit:
                    self.held -= len(self._pictures.popitem(last=False)[1])
        return made
