"""Intensity and texture against second implementations, written as the definitions read."""

import numpy as np
import pytest
from features_cases import SPACING, lesions_of, one_lesion, scene
from scipy import stats

from calcscore_features import Settings, compute


@pytest.fixture(scope="module")
def lesions():
    hu, mask = scene(5)
    return lesions_of(mask, hu)


def values_of(lesions, i):
    return lesions.hu[tuple(lesions.voxels[lesions.offsets[i] : lesions.offsets[i + 1]].T)].astype(float)


def plain_statistics(x):
    p10, p25, p75, p90 = np.percentile(x, (10, 25, 75, 90))
    inner = x[(x >= p10) & (x <= p90)]
    several = len(np.unique(x)) > 1
    return {
        "mean_hu": x.mean(),
        "variance_hu2": x.var(),
        "skewness": stats.skew(x) if several else np.nan,
        "excess_kurtosis": stats.kurtosis(x) if several else np.nan,
        "median_hu": np.median(x),
        "min_hu": x.min(),
        "p10_hu": p10,
        "p90_hu": p90,
        "max_hu": x.max(),
        "iqr_hu": stats.iqr(x),
        "range_hu": np.ptp(x),
        "mean_deviation_hu": np.abs(x - x.mean()).mean(),
        "robust_mean_deviation_hu": np.abs(inner - inner.mean()).mean() if len(inner) else np.nan,
        "median_deviation_hu": np.abs(x - np.median(x)).mean(),
        "coefficient_of_variation": stats.variation(x),
        "quartile_dispersion": (p75 - p25) / (p75 + p25),
        "energy_hu2": (x**2).sum(),
        "rms_hu": np.sqrt((x**2).mean()),
        "excess_hu_mm3": (x - 130).clip(0).sum() * np.prod(SPACING),
        "fraction_from_200_hu": (x >= 200).mean(),
        "fraction_from_300_hu": (x >= 300).mean(),
        "fraction_from_400_hu": (x >= 400).mean(),
    }


def test_statistics_are_those_of_numpy_and_scipy(lesions):
    """Every intensity feature of every lesion equals the statistic computed on that lesion alone."""
    found = compute(lesions, families=("intensity",))
    for i in range(len(lesions)):
        wanted = plain_statistics(values_of(lesions, i))
        assert list(wanted) == list(found)
        for name, value in wanted.items():
            assert found[name][i] == pytest.approx(value, rel=1e-9, abs=1e-9, nan_ok=True), name


def test_levels_belong_to_the_higher_weight():
    """A voxel of exactly 200, 300 or 400 HU counts as reaching it, as in the Agatston weights."""
    hu = np.array([[[199, 200, 300, 399, 400]]], np.int16)
    found = compute(one_lesion(np.ones(hu.shape, bool), hu), families=("intensity",))
    shares = [found[f"fraction_from_{level}_hu"][0] for level in (200, 300, 400)]
    assert shares == pytest.approx([0.8, 0.6, 0.2])


@pytest.mark.parametrize("value", [130, 300, -1024, 0, np.float32(130.1)])
def test_constant_lesion_has_no_spread_and_no_skewness(value):
    """Equal voxels have spread exactly zero, and skewness and kurtosis NaN."""
    hu = np.full((3, 3, 3), value, np.float32 if isinstance(value, np.float32) else np.int16)
    found = {k: v[0] for k, v in compute(one_lesion(np.ones((3, 3, 3), bool), hu), families=("intensity",)).items()}
    assert found["variance_hu2"] == found["range_hu"] == found["iqr_hu"] == 0
    assert np.isnan(found["skewness"])
    assert np.isnan(found["excess_kurtosis"])
    assert np.isnan(found["coefficient_of_variation"]) == (value == 0)


def plain_texture(voxels, level):
    """GLCM features by dense matrices and double sums, from the formulas of the IBSI manual."""
    at = {tuple(v): k for v, k in zip(voxels.tolist(), level.tolist(), strict=True)}
    n = max(at.values())
    P = np.zeros((n, n))
    for (z, y, x), a in at.items():
        for dz, dy, dx in np.ndindex(3, 3, 3):
            b = at.get((z + dz - 1, y + dy - 1, x + dx - 1))
            if (dz, dy, dx) != (1, 1, 1) and b is not None:
                P[a - 1, b - 1] += 1
    if not P.sum():
        return None
    P /= P.sum()
    i, j = np.mgrid[1 : n + 1, 1 : n + 1]
    d, t, p = np.abs(i - j), i + j, P.sum(axis=1)
    k = np.arange(1, n + 1)
    mu = (k * p).sum()
    s2 = ((k - mu) ** 2 * p).sum()
    pd = np.array([P[d == v].sum() for v in range(n)])
    pt = np.array([P[t == v].sum() for v in range(2, 2 * n + 1)])
    kd, kt = np.arange(n), np.arange(2, 2 * n + 1)

    def entropy(q):
        q = np.ravel(q)[np.ravel(q) > 0]
        return -(q * np.log2(q)).sum()

    pp = np.outer(p, p)
    some = pp > 0
    hxy1, hxy2 = -(P[some] * np.log2(pp[some])).sum(), -(pp[some] * np.log2(pp[some])).sum()
    mean_d, mean_t = (kd * pd).sum(), (kt * pt).sum()
    off = d > 0
    return {
        "joint_max": P.max(),
        "joint_average": (i * P).sum(),
        "joint_variance": ((i - mu) ** 2 * P).sum(),
        "joint_entropy_bit": entropy(P),
        "difference_average": mean_d,
        "difference_variance": ((kd - mean_d) ** 2 * pd).sum(),
        "difference_entropy_bit": entropy(pd),
        "sum_average": mean_t,
        "sum_variance": ((kt - mean_t) ** 2 * pt).sum(),
        "sum_entropy_bit": entropy(pt),
        "angular_second_moment": (P**2).sum(),
        "contrast": (d**2 * P).sum(),
        "dissimilarity": (d * P).sum(),
        "inverse_difference": (P / (1 + d)).sum(),
        "inverse_difference_normalised": (P / (1 + d / n)).sum(),
        "inverse_difference_moment": (P / (1 + d**2)).sum(),
        "inverse_difference_moment_normalised": (P / (1 + d**2 / n**2)).sum(),
        "inverse_variance": (P[off] / d[off] ** 2).sum(),
        "correlation": ((i - mu) * (j - mu) * P).sum() / s2 if (p > 0).sum() > 1 else np.nan,
        "autocorrelation": (i * j * P).sum(),
        "cluster_tendency": ((t - 2 * mu) ** 2 * P).sum(),
        "cluster_shade": ((t - 2 * mu) ** 3 * P).sum(),
        "cluster_prominence": ((t - 2 * mu) ** 4 * P).sum(),
        "information_correlation_1": (entropy(P) - hxy1) / entropy(p) if (p > 0).sum() > 1 else np.nan,
        "information_correlation_2": np.sqrt(max(0, 1 - np.exp(-2 * (hxy2 - entropy(P))))),
    }


@pytest.mark.parametrize("width", [7.0, 50.0])
def test_texture_is_that_of_dense_matrices(lesions, width):
    """Every texture feature of every lesion equals the IBSI formula on that lesion's own dense matrix."""
    found = compute(lesions, settings=Settings(glcm_bin_width_hu=width), families=("texture",))
    pairs = 0
    for i in range(len(lesions)):
        voxels = lesions.voxels[lesions.offsets[i] : lesions.offsets[i + 1]]
        level = np.floor((values_of(lesions, i) - 130) / width).astype(int) + 1
        wanted = plain_texture(voxels, level)
        if wanted is None:
            assert all(np.isnan(v[i]) for v in found.values())
            continue
        pairs += 1
        assert [f"glcm_{name}" for name in wanted] == list(found)
        for name, value in wanted.items():
            assert found[f"glcm_{name}"][i] == pytest.approx(value, rel=1e-9, abs=2e-7, nan_ok=True), name
    assert pairs > 5


def test_metal_and_noise_stay_in_the_outermost_bins():
    """HU above the maximum share the highest level, HU below the threshold the lowest."""
    hu = np.array([[[100, 3071, 32767, -1024]]], np.int16)
    found = compute(one_lesion(np.ones(hu.shape, bool), hu), families=("texture",))
    highest = (3071 - 130) // 50 + 1
    # Pairs, both ways: (1, highest), (highest, highest) and (highest, 1).
    assert found["glcm_joint_average"][0] == pytest.approx((2 * 1 + 4 * highest) / 6)
    assert found["glcm_joint_max"][0] == pytest.approx(1 / 3)


def test_flat_texture_has_its_limits():
    """One grey level: entropy and contrast 0, energy 1, and correlations NaN."""
    found = {k: v[0] for k, v in compute(one_lesion(np.ones((2, 2, 2), bool)), families=("texture",)).items()}
    assert found["glcm_joint_entropy_bit"] == found["glcm_contrast"] == found["glcm_information_correlation_2"] == 0
    assert found["glcm_angular_second_moment"] == found["glcm_inverse_difference"] == 1
    assert np.isnan(found["glcm_correlation"])
    assert np.isnan(found["glcm_information_correlation_1"])
