"""The arch of the aorta raised to where the scan has it: patients' arches lie higher or lower than registration sees.

The arch the atlases vote for is moved up or down as a whole to where it is soft inside and dark around, and the aorta
below it is stretched to follow.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from calcscore_ml.anatomy import AORTA, Organ
from calcscore_ml.heart.grid import F32, Grid

REACH_MM = (-12.0, 24.0)
"""How far the arch is moved along z at most [mm]; our choice."""

SEEN_HU = (-150.0, 60.0)
"""HU are clipped to it: lung and fat are dark, blood with contrast agent or bone is no better than blood."""

PRICE_HU_PER_MM2 = 0.03
"""Price of moving it [HU/mm2]; our choice."""

LEAST_GAIN_HU = 2.5
"""It stays where the atlases see it unless it gains this much [HU]; our choice."""

FEWEST = 100
"""An arch of fewer voxels is cut off by the scan, and stays [voxels of 4 mm, 6 cm3]; our choice."""


def move_arch(hu: F32, grid: Grid, organs: dict[Organ, F32]) -> dict[Organ, F32]:
    """Move the arch up or down to where the scan has it, and stretch the aorta between its root and the arch.

    Parameters
    ----------
    hu : array of float32
        Coarse copy of the scan [HU].
    grid : Grid
        Of `hu` and `organs`.
    organs : dict of Organ to array of float32
        Shares of the atlases' votes.

    Returns
    -------
    dict of Organ to array of float32
        The same where the arch is cut off or gains nothing; what the aorta gains, the others lose.
    """
    arch = organs[Organ.AORTIC_ARCH] >= 0.5
    levels = np.flatnonzero(arch.any(axis=(1, 2)))
    root = np.flatnonzero((organs[Organ.ASCENDING_AORTA] >= 0.5).any(axis=(1, 2)))
    move = best_move(hu, grid, arch)
    if not move or len(root) == 0 or root[0] >= levels[0]:
        return organs
    aorta = {organ: _stretch(organs[organ], int(root[0]), int(levels[0]), move) for organ in AORTA}
    free = 1 - np.clip(np.sum(list(aorta.values()), axis=0), 0, 1)
    return {o: aorta[o] if o in aorta else np.minimum(v, free).astype(np.float32) for o, v in organs.items()}


def best_move(hu: F32, grid: Grid, arch: NDArray[np.bool_]) -> int:
    """Move of the arch along z that makes it softest inside and darkest around, in whole voxels."""
    margin = 2
    wide = np.pad(arch, margin)
    inside = np.argwhere(ndimage.binary_erosion(wide)) - margin
    rim = ndimage.binary_dilation(wide, iterations=2) & ~ndimage.binary_dilation(wide)
    outside = np.argwhere(rim) - margin
    if arch.sum() < FEWEST or len(inside) == 0:
        return 0
    seen, last = np.clip(hu, *SEEN_HU), np.array(hu.shape) - 1

    def gain(move: int) -> float:
        step = np.array([move, 0, 0])
        soft, dark = (float(seen[tuple(np.clip(part + step, 0, last).T)].mean()) for part in (inside, outside))
        return soft - dark - PRICE_HU_PER_MM2 * (move * grid.step_mm) ** 2

    down, up = (round(mm / grid.step_mm) for mm in REACH_MM)
    best = max(range(down, up + 1), key=gain)
    return best if gain(best) >= gain(0) + LEAST_GAIN_HU else 0


def _stretch(share: F32, root: int, low: int, move: int) -> F32:
    """Take a share along: not at all at the level of the root, wholly from the arch's lower end upwards."""
    levels = np.arange(len(share))
    part = np.clip((levels - root) / max(low + move - root, 1), 0, 1)
    source = np.clip(levels - part * move, 0, len(share) - 1)
    below = np.minimum(source.astype(int), len(share) - 2)
    weight = (source - below).astype(np.float32)[:, None, None]
    return np.asarray(share[below] * (1 - weight) + share[below + 1] * weight)
