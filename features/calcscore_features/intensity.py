"""Intensity: statistics of the HU values in a lesion.

x_k are the n HU values, μ their mean, s² their variance (divided by n), P_q their percentile q (linear
interpolation), T the threshold, v the volume of a voxel.
"""

from __future__ import annotations

import numpy as np

from calcscore_features.feature import Feature, Settings
from calcscore_features.members import Floats, Members, ratio

LEVELS_HU: tuple[int, ...] = (200, 300, 400)
"""Where the Agatston weight rises to 2, 3 and 4 [HU]."""

_CONSTANT = "NaN: all voxels equal"

FEATURES: tuple[Feature, ...] = (
    Feature("mean_hu", "intensity", "HU", "μ", "IBSI Q4LE", ibsi="Q4LE"),
    Feature("variance_hu2", "intensity", "HU2", "s²", "IBSI ECT3", ibsi="ECT3"),
    Feature("skewness", "intensity", "1", "Σ (x_k - μ)³ / (n s³)", "IBSI KE2A", _CONSTANT, "KE2A"),
    Feature("excess_kurtosis", "intensity", "1", "Σ (x_k - μ)⁴ / (n s⁴) - 3", "IBSI IPH6", _CONSTANT, "IPH6"),
    Feature("median_hu", "intensity", "HU", "P_50", "IBSI Y12H", ibsi="Y12H"),
    Feature("min_hu", "intensity", "HU", "min x_k", "IBSI 1GSF", ibsi="1GSF"),
    Feature("p10_hu", "intensity", "HU", "P_10", "IBSI QG58", ibsi="QG58"),
    Feature("p90_hu", "intensity", "HU", "P_90", "IBSI 8DWT", ibsi="8DWT"),
    Feature("max_hu", "intensity", "HU", "max x_k", "IBSI 84IY", ibsi="84IY"),
    Feature("iqr_hu", "intensity", "HU", "P_75 - P_25", "IBSI SALO", ibsi="SALO"),
    Feature("range_hu", "intensity", "HU", "max x_k - min x_k", "IBSI 2OJQ", ibsi="2OJQ"),
    Feature("mean_deviation_hu", "intensity", "HU", "Σ |x_k - μ| / n", "IBSI 4FUA", ibsi="4FUA"),
    Feature(
        "robust_mean_deviation_hu",
        "intensity",
        "HU",
        "mean of |x_k - μ'| over the x_k in [P_10, P_90], μ' their mean",
        "IBSI 1128",
        "NaN: no x_k in [P_10, P_90]",
        "1128",
    ),
    Feature("median_deviation_hu", "intensity", "HU", "Σ |x_k - P_50| / n", "IBSI N72L", ibsi="N72L"),
    Feature("coefficient_of_variation", "intensity", "1", "s / μ", "IBSI 7TET", "NaN: μ = 0", "7TET"),
    Feature(
        "quartile_dispersion",
        "intensity",
        "1",
        "(P_75 - P_25) / (P_75 + P_25)",
        "IBSI 9S40",
        "NaN: P_75 + P_25 = 0",
        "9S40",
    ),
    Feature("energy_hu2", "intensity", "HU2", "Σ x_k²", "IBSI N8CA", ibsi="N8CA"),
    Feature("rms_hu", "intensity", "HU", "√(Σ x_k² / n)", "IBSI 5ZWQ", ibsi="5ZWQ"),
    Feature("excess_hu_mm3", "intensity", "HU mm3", "v Σ max(x_k - T, 0)", "this project"),
    Feature("fraction_from_200_hu", "intensity", "1", "share of x_k ≥ 200", "this project"),
    Feature("fraction_from_300_hu", "intensity", "1", "share of x_k ≥ 300", "this project"),
    Feature("fraction_from_400_hu", "intensity", "1", "share of x_k ≥ 400", "this project"),
)
"""The intensity features in order."""


def compute(members: Members, settings: Settings) -> dict[str, Floats]:
    """Describe the HU values of every lesion.

    Parameters
    ----------
    members : Members
        Voxels of L lesions.
    settings : Settings
        Holds the threshold.

    Returns
    -------
    dict of str to (L,) array of float
        By feature name, in the order of `FEATURES`.

    References
    ----------
    Zwanenburg et al., reference manual arXiv:1612.07003, section 3.3.
    """
    hu, lesion = members.hu, members.lesion
    mean = members.mean(hu)
    low, high = np.minimum.reduceat(hu, members.start), np.maximum.reduceat(hu, members.start)
    deviation = hu - mean[lesion]
    variance = members.mean(deviation**2)
    p10, p25, p50, p75, p90 = _percentiles(members, (10, 25, 50, 75, 90))
    inner = (hu >= p10[lesion]) & (hu <= p90[lesion])
    inner_count = members.total(inner.astype(float))
    inner_mean = ratio(members.total(hu * inner), inner_count)
    inner_deviation = np.where(inner, np.abs(hu - inner_mean[lesion]), 0.0)
    energy = members.total(hu**2)
    values = (
        mean,
        variance,
        ratio(members.mean(deviation**3), variance**1.5),
        ratio(members.mean(deviation**4), variance**2) - 3,
        p50,
        low,
        p10,
        p90,
        high,
        p75 - p25,
        high - low,
        members.mean(np.abs(deviation)),
        ratio(members.total(inner_deviation), inner_count),
        members.mean(np.abs(hu - p50[lesion])),
        ratio(np.sqrt(variance), mean),
        ratio(p75 - p25, p75 + p25),
        energy,
        np.sqrt(energy / members.count),
        members.total(np.maximum(hu - settings.threshold_hu, 0.0)) * members.spacing.prod(),
        *(members.mean((hu >= level).astype(float)) for level in LEVELS_HU),
    )
    return {f.name: v for f, v in zip(FEATURES, values, strict=True)}


def _percentiles(members: Members, ranks: tuple[int, ...]) -> list[Floats]:
    """Percentiles of each lesion by linear interpolation, as ``numpy.percentile`` does by default."""
    ordered = members.hu[np.lexsort((members.hu, members.lesion))]
    found = []
    for rank in ranks:
        scaled = (members.count - 1) * rank  # in hundredths of a step: whole numbers, so no rounding decides
        below, part = scaled // 100, (scaled % 100) / 100
        above = np.minimum(below + 1, members.count - 1)
        a, b = ordered[members.start + below], ordered[members.start + above]
        found.append(a + (b - a) * part)
    return found
