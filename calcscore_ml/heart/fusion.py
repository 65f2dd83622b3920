"""What several registered atlases say together: votes for organs, arteries and landmarks carried to the scan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from calcscore_ml.anatomy import AORTA, ARTERIES, Label, Organ
from calcscore_ml.heart.atlas import LANDMARKS, SHARES, Atlas
from calcscore_ml.heart.grid import F32, Copy
from calcscore_ml.heart.registration import Registration

FUSED = (Organ.HEART, *AORTA, Organ.SPINE, Organ.STERNUM)
"""Organs whose place is taken from the atlases. Lungs and body are seen in the scan itself."""

WEIGHT_SIGMA = 1.5
"""Neighbourhood in which atlas and scan are compared for the weight of an atlas's vote [voxels of the copy]."""

WEIGHT_HU2 = 200.0
"""Squared difference that is noise: atlases nearer than this count alike [HU2]; our choice."""

Pairs = Sequence[tuple[Atlas, Registration]]
Run = Callable[..., Iterable[Any]]
"""What maps a function over atlases or boxes: `map`, or that of a pool, which does several at a time."""


def fuse(copy: Copy, registered: Pairs, run: Run = map) -> dict[Organ, F32]:
    """Votes of the atlases for each organ, weighed where an atlas resembles the scan.

    Parameters
    ----------
    copy : Copy
        Of the scan.
    registered : sequence of (Atlas, Registration)
        At least one.
    run : callable
        As `map`; that of a pool asks several atlases at a time. The sum is taken in their order.

    Returns
    -------
    dict of Organ to (nz, ny, nx) array of float32
        Shares, 0 to 1, of each of `FUSED` on the copy's grid.
    """

    def ask(pair: tuple[Atlas, Registration]) -> tuple[F32, list[F32]]:
        atlas, registration = pair
        at = registration.grid_to_atlas()
        difference = atlas.grid.sample(atlas.hu, at).reshape(copy.grid.shape) - copy.hu
        weight = 1 / (ndimage.gaussian_filter(difference**2, WEIGHT_SIGMA) + np.float32(WEIGHT_HU2))
        masks = ((atlas.organs == organ).astype(np.float32) for organ in FUSED)
        return weight, [weight * atlas.grid.sample(m, at, 0.0).reshape(copy.grid.shape) for m in masks]

    weights, votes = zip(*run(ask, registered), strict=True)
    total = sum(weights)
    return {organ: sum(ballots) / total for organ, ballots in zip(FUSED, zip(*votes, strict=True), strict=True)}


def carry_back(
    registered: Pairs, run: Run = map
) -> tuple[dict[Label, NDArray[np.float64]], dict[str, NDArray[np.float64]]]:
    """Take centrelines and landmarks of every atlas to the scan, all points of an atlas at once.

    Returns
    -------
    arteries : dict of Label to (A, SHARES, 3) array
        Of each of A atlases [mm].
    landmarks : dict of str to (A, 3) array
        `LANDMARKS` [mm].
    """

    def carry(pair: tuple[Atlas, Registration]) -> NDArray[np.float64]:
        atlas, registration = pair
        lines, marks = [atlas.centrelines[n] for n in ARTERIES], [atlas.landmarks[n] for n in LANDMARKS]
        return registration.to_scan(np.vstack([*lines, *marks]))

    points = np.stack(list(run(carry, registered)))
    found = np.split(points[:, : len(ARTERIES) * SHARES], len(ARTERIES), axis=1)
    marks = points[:, len(ARTERIES) * SHARES :]
    return dict(zip(ARTERIES, found, strict=True)), {n: marks[:, k] for k, n in enumerate(LANDMARKS)}
