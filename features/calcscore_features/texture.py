"""Texture: the grey-level co-occurrence matrix (GLCM) of a lesion.

Grey levels are i = floor((x - T) / w) + 1 with threshold T and bin width w. P(i, j) is the share of
neighbouring voxel pairs with levels i and j, over the 13 directions of a 3 x 3 x 3 cube, both ways round, all
in one matrix ("3D, merged"); both voxels lie in the lesion. p(i) is its row sum with mean μ and variance s²;
d = |i - j| and t = i + j have shares p_d and p_t; N is the highest level in the lesion. Sums run over i and
j; entropies are in bits, H = -Σ P log2 P.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from calcscore_features.feature import Feature, Settings
from calcscore_features.members import Floats, Ints, Members, ratio

DIRECTIONS: tuple[tuple[int, ...], ...] = tuple(d for d in product((-1, 0, 1), repeat=3) if d > (0, 0, 0))
"""The 13 neighbours (z, y, x) that, with their opposites, make up the 26."""

_PAIR = "NaN: no two neighbouring voxels"
_LEVEL = "NaN: no two neighbouring voxels, or all of one level"


def _feature(name: str, unit: str, formula: str, ibsi: str, degenerate: str = _PAIR) -> Feature:
    return Feature(f"glcm_{name}", "texture", unit, formula, f"IBSI {ibsi} (3D, merged)", degenerate, ibsi)


FEATURES: tuple[Feature, ...] = (
    _feature("joint_max", "1", "max P", "GYBY"),
    _feature("joint_average", "1", "Σ i P", "60VM"),
    _feature("joint_variance", "1", "Σ (i - μ)² P", "UR99"),
    _feature("joint_entropy_bit", "bit", "-Σ P log2 P", "TU9B"),
    _feature("difference_average", "1", "Σ d p_d", "TF7R"),
    _feature("difference_variance", "1", "Σ (d - Σ d p_d)² p_d", "D3YU"),
    _feature("difference_entropy_bit", "bit", "-Σ p_d log2 p_d", "NTRS"),
    _feature("sum_average", "1", "Σ t p_t", "ZGXS"),
    _feature("sum_variance", "1", "Σ (t - Σ t p_t)² p_t", "OEEB"),
    _feature("sum_entropy_bit", "bit", "-Σ p_t log2 p_t", "P6QZ"),
    _feature("angular_second_moment", "1", "Σ P²", "8ZQL"),
    _feature("contrast", "1", "Σ d² P", "ACUI"),
    _feature("dissimilarity", "1", "Σ d P", "8S9J"),
    _feature("inverse_difference", "1", "Σ P / (1 + d)", "IB1Z"),
    _feature("inverse_difference_normalised", "1", "Σ P / (1 + d / N)", "NDRX"),
    _feature("inverse_difference_moment", "1", "Σ P / (1 + d²)", "WF0Z"),
    _feature("inverse_difference_moment_normalised", "1", "Σ P / (1 + d² / N²)", "1QCO"),
    _feature("inverse_variance", "1", "Σ P / d² over d > 0", "E8JP"),
    _feature("correlation", "1", "(Σ i j P - μ²) / s²", "NI2N", _LEVEL),
    _feature("autocorrelation", "1", "Σ i j P", "QWB0"),
    _feature("cluster_tendency", "1", "Σ (t - 2 μ)² P", "DG8W"),
    _feature("cluster_shade", "1", "Σ (t - 2 μ)³ P", "7NFM"),
    _feature("cluster_prominence", "1", "Σ (t - 2 μ)⁴ P", "AE86"),
    _feature("information_correlation_1", "1", "(H - 2 H_p) / H_p with H_p = -Σ p log2 p", "R8DG", _LEVEL),
    _feature("information_correlation_2", "1", "√(1 - exp(-2 (2 H_p - H)))", "JN9H"),
)
"""The texture features in order."""


def compute(members: Members, settings: Settings) -> dict[str, Floats]:
    """Describe the co-occurrence of grey levels in every lesion.

    Only the (lesion, i, j) that occur are ever stored.

    Parameters
    ----------
    members : Members
        Voxels of L lesions.
    settings : Settings
        Holds threshold, bin width and the highest HU told apart. HU below the threshold count as level 1.

    Returns
    -------
    dict of str to (L,) array of float
        By feature name, in the order of `FEATURES`.

    References
    ----------
    Zwanenburg et al., reference manual arXiv:1612.07003, section 3.6. Haralick et al., IEEE SMC 3:610 (1973).
    """
    count = len(members)
    owner, i, j, p = _matrices(members, settings)
    size = int(max(i.max(initial=1), j.max(initial=1))) + 1

    def total(values: Floats) -> Floats:
        return np.asarray(np.bincount(owner, weights=values, minlength=count), dtype=np.float64)

    def entropy(code: Ints, per_lesion: int) -> Floats:
        """Entropy of the shares gathered by a whole-number code below `per_lesion`."""
        place, which = np.unique(owner * per_lesion + code, return_inverse=True)
        share = np.bincount(which, weights=p)
        bits = np.bincount(place // per_lesion, weights=-share * np.log2(share), minlength=count)
        return np.asarray(bits, dtype=np.float64)

    distance, both = np.abs(i - j).astype(float), (i + j).astype(float)
    level_i, level_j = i.astype(float), j.astype(float)
    mean = total(level_i * p)
    variance = total((level_i - mean[owner]) ** 2 * p)
    highest = np.maximum.reduceat(_levels(members, settings), members.start).astype(float)[owner]
    apart = total(distance * p)
    contrast = total(distance**2 * p)
    centred = both - 2 * mean[owner]
    tendency = total(centred**2 * p)
    product_mean = total(level_i * level_j * p)
    joint_entropy = total(-p * np.log2(p))
    level_entropy = entropy(i, size)
    shared = np.maximum(2 * level_entropy - joint_entropy, 0.0)
    largest = np.zeros(count)
    np.maximum.at(largest, owner, p)
    values = (
        largest,
        mean,
        variance,
        joint_entropy,
        apart,
        total((distance - apart[owner]) ** 2 * p),
        entropy(np.abs(i - j), size),
        2 * mean,
        tendency,
        entropy(i + j, 2 * size),
        total(p**2),
        contrast,
        apart,
        total(p / (1 + distance)),
        total(p / (1 + distance / highest)),
        total(p / (1 + distance**2)),
        total(p / (1 + (distance / highest) ** 2)),
        total(np.where(distance > 0, p / np.maximum(distance, 1) ** 2, 0.0)),
        ratio(total((level_i - mean[owner]) * (level_j - mean[owner]) * p), variance),
        product_mean,
        tendency,
        total(centred**3 * p),
        total(centred**4 * p),
        ratio(-shared, level_entropy),
        np.sqrt(-np.expm1(-2 * shared)),
    )
    paired = np.bincount(owner, minlength=count) > 0
    return {f.name: np.where(paired, v, np.nan) for f, v in zip(FEATURES, values, strict=True)}


def _levels(members: Members, settings: Settings) -> Ints:
    """Grey level of every voxel, 1 at the threshold."""
    clipped = np.clip(members.hu, settings.threshold_hu, settings.glcm_max_hu)
    return np.floor((clipped - settings.threshold_hu) / settings.glcm_bin_width_hu).astype(np.intp) + 1


def _matrices(members: Members, settings: Settings) -> tuple[Ints, Ints, Ints, Floats]:
    """Entries of all co-occurrence matrices: lesion, i, j and share, (m,) each."""
    level = _levels(members, settings)
    size = int(level.max()) + 1
    codes = []
    for direction in DIRECTIONS:
        other = members.find(int(np.array(direction) @ members.stride))
        here = np.flatnonzero(other >= 0)
        there = other[here]
        for a, b in ((here, there), (there, here)):
            codes.append((members.lesion[here] * size + level[a]) * size + level[b])
    code, times = np.unique(np.concatenate(codes), return_counts=True)
    pair, j = np.divmod(code, size)
    owner, i = np.divmod(pair, size)
    pairs = np.bincount(owner, weights=times, minlength=len(members))
    return owner, i, j, times / pairs[owner]
