"""Gaussian derivatives against closed forms and scipy."""

import numpy as np
import pytest
from features_cases import one_lesion
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d

from calcscore_features import Lesions, Settings, compute
from calcscore_features.gaussian import FILTERS, brightest
from calcscore_features.members import Members
from calcscore_features.pyramid import ORDERS, derivative_weights, derivatives

SPACING = np.array([3.0, 0.8, 0.5])


def grid(shape, spacing=SPACING):
    return [g * h for g, h in zip(np.indices(shape), spacing, strict=True)]


def test_filters_are_named_after_their_derivatives():
    """The name of each filter lists the axes it differentiates along."""
    assert ["l" + "x" * x + "y" * y + "z" * z for z, y, x in ORDERS] == list(FILTERS)


@given(st.floats(-0.5, 0.5), st.floats(0.5, 6))
def test_weights_have_the_moments_of_the_continuous_kernels(shift, sigma):
    """At any position between nodes and any width, moments 0 to 2 are (1, 0, s²), (0, 1, 0) and (0, 0, 2)."""
    radius = max(2, int(np.ceil(4.5 * sigma)))
    offset = np.arange(-radius, radius + 1) - shift
    moments = (offset[:, None] ** np.arange(3)).T @ derivative_weights(offset, sigma)
    np.testing.assert_allclose(moments, [[1, 0, 0], [0, 1, 0], [sigma**2, 0, 2]], atol=1e-9)


def test_weights_are_the_gaussian_derivatives_where_those_are_well_sampled():
    """Wide enough, the weights are the sampled derivatives of the Gaussian themselves."""
    u = np.arange(-15.0, 16.0) - 0.3
    g = np.exp(-(u**2) / 18) / np.sqrt(18 * np.pi)
    wanted = np.stack([g, g * u / 9, g * (u**2 / 81 - 1 / 9)], axis=1)
    np.testing.assert_allclose(derivative_weights(u, 3.0), wanted, atol=2e-6)


def test_quadratic_volume_has_its_own_derivatives():
    """On a quadratic volume every scale gives the exact derivatives in mm, on every level of the pyramid."""
    z, y, x = grid((60, 220, 350))
    slope, bend, cross = (0.7, -0.4, 0.3), (0.011, -0.02, 0.03), (0.013, -0.017, 0.019)  # in z, y, x; zy, zx, yx
    middle = np.array([30, 110, 175])
    z, y, x = (a - m for a, m in zip((z, y, x), middle * SPACING, strict=True))
    hu = (
        100
        + sum(s * a for s, a in zip(slope, (z, y, x), strict=True))
        + sum(b / 2 * a**2 for b, a in zip(bend, (z, y, x), strict=True))
        + cross[0] * z * y
        + cross[1] * z * x
        + cross[2] * y * x
    ).astype(np.float32)
    points = middle + np.array([[0, 0, 0], [1, -1, 2], [-3, 5, 7]])
    scales = (0.5, 2.0, 8.0, 16.0)
    found = derivatives(hu, SPACING, points, scales)
    for p, point in enumerate(points):
        dz, dy, dx = (point - middle) * SPACING
        first = {
            "z": slope[0] + bend[0] * dz + cross[0] * dy + cross[1] * dx,
            "y": slope[1] + bend[1] * dy + cross[0] * dz + cross[2] * dx,
            "x": slope[2] + bend[2] * dx + cross[1] * dz + cross[2] * dy,
        }
        second = {"xx": bend[2], "xy": cross[2], "xz": cross[1], "yy": bend[1], "yz": cross[0], "zz": bend[0]}
        for s, scale in enumerate(scales):
            sigma = np.maximum(scale, SPACING / 2)
            wanted = {"l": hu[tuple(point)] + (np.array(bend) * sigma**2).sum() / 2}
            wanted |= {f"l{k}": v for k, v in (first | second).items()}
            for f, name in enumerate(FILTERS):
                assert found[s, f, p] == pytest.approx(wanted[name], rel=2e-3, abs=2e-4), (name, scale)


@pytest.mark.parametrize("scale", [2.0, 4.0, 8.0])
def test_gaussian_blob_widens_as_blobs_do(scale):
    """A Gaussian blob of width b smoothed by s is one of width √(b² + s²): height, slope and curvature follow."""
    spacing, width = np.array([1.5, 1.0, 0.8]), 6.0
    shape = (101, 141, 175)
    z, y, x = grid(shape, spacing)
    centre = np.array([50, 70, 87]) * spacing
    r2 = (z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2
    hu = (1000 * np.exp(-r2 / (2 * width**2))).astype(np.float32)
    point = np.array([[52, 68, 91]])
    dz, dy, dx = (point[0] - [50, 70, 87]) * spacing
    wide = width**2 + scale**2
    height = 1000 * (width**2 / wide) ** 1.5 * np.exp(-(dz**2 + dy**2 + dx**2) / (2 * wide))
    wanted = [
        height
        * np.prod(
            [{0: 1, 1: -d / wide, 2: d**2 / wide**2 - 1 / wide}[o] for d, o in zip((dz, dy, dx), order, strict=True)]
        )
        for order in ORDERS
    ]
    found = derivatives(hu, spacing, point, (scale,))[0, :, 0]
    np.testing.assert_allclose(found, wanted, rtol=2e-3, atol=2e-4 * height / wide)


def test_filters_are_those_of_scipy():
    """On smooth noise every filter is scipy's, sigma in mm and borders repeated, within 0.5 % of its spread."""
    rng = np.random.default_rng(0)
    spacing = np.array([2.0, 0.8, 0.9])
    hu = rng.normal(0, 300, (30, 80, 90)).astype(np.float32)
    for axis, sigma in enumerate((0.8, 1.2, 1.2)):
        hu = gaussian_filter1d(hu, sigma, axis=axis)
    points = np.stack([rng.integers(0, n, 200) for n in hu.shape], axis=1)
    points[:8] = [(z, y, x) for z in (0, 29) for y in (0, 79) for x in (0, 89)]
    scales = (2.0, 4.0, 8.0)
    found = derivatives(hu, spacing, points, scales)
    for s, scale in enumerate(scales):
        for f, order in enumerate(ORDERS):
            wanted = hu.astype(np.float64)
            for axis in range(3):
                wanted = gaussian_filter1d(
                    wanted, scale / spacing[axis], axis=axis, order=order[axis], mode="nearest", truncate=6
                )
            wanted = wanted[tuple(points.T)] / np.prod(spacing ** np.array(order))
            np.testing.assert_allclose(
                found[s, f], wanted, rtol=0, atol=5e-3 * wanted.std(), err_msg=f"{FILTERS[f]} {scale}"
            )


def test_scale_below_half_a_voxel_counts_as_half_a_voxel():
    """Along each axis no scale is smaller than half the spacing."""
    hu = np.random.default_rng(1).normal(0, 100, (9, 9, 9)).astype(np.float32)
    point = np.array([[4, 4, 4]])
    fine, finer = (derivatives(hu, np.array([2.0, 2.0, 2.0]), point, (s,)) for s in (1.0, 0.1))
    np.testing.assert_array_equal(fine, finer)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5, 40), (3, 2, 1)])
def test_tiny_volume_is_constant_beyond_its_border(shape):
    """A constant volume of any size has its value at every scale, and every derivative exactly zero."""
    hu = np.full(shape, 700, np.int16)
    found = derivatives(hu, SPACING, np.zeros((1, 3), np.intp), (1.0, 4.0, 16.0))
    np.testing.assert_array_equal(found[:, 0], 700)
    np.testing.assert_array_equal(found[:, 1:], 0)


def test_result_does_not_depend_on_the_batch(monkeypatch):
    """Working on few points at a time changes nothing."""
    hu = np.random.default_rng(2).normal(0, 100, (12, 20, 20)).astype(np.float32)
    points = np.argwhere(hu > 200)
    whole = derivatives(hu, SPACING, points, (1.0, 4.0))
    monkeypatch.setattr("calcscore_features.pyramid.PATCH_BYTES", 1)
    np.testing.assert_allclose(derivatives(hu, SPACING, points, (1.0, 4.0)), whole, rtol=1e-6, atol=1e-6)


def test_far_points_do_not_see_the_crop():
    """A point's features are the same whether the pyramid covers it alone or far points too."""
    hu = np.random.default_rng(3).normal(0, 100, (70, 90, 90)).astype(np.float32)
    points = np.array([[2, 3, 4], [35, 44, 47], [69, 89, 89]])
    together = derivatives(hu, np.array([1.0, 1.0, 1.0]), points, (2.0, 4.0))
    for i in range(3):
        alone = derivatives(hu, np.array([1.0, 1.0, 1.0]), points[i : i + 1], (2.0, 4.0))
        np.testing.assert_allclose(alone[..., 0], together[..., i], rtol=1e-6, atol=1e-6)


def test_brightest_voxel_breaks_ties_by_the_centroid_then_by_order():
    """Of several brightest voxels the one nearest the centroid counts; of equally near ones the first in z, y, x."""
    hu = np.full((1, 1, 7), 200, np.int16)
    hu[0, 0, [0, 2, 4]] = 500
    whole = one_lesion(np.ones(hu.shape, bool), hu)
    assert brightest(Members.of(whole)).tolist() == [2]
    part = Lesions(hu, (1, 1, 1), np.array([[0, 0, x] for x in (4, 3, 2, 0, 6)]), np.array([0, 5]))
    assert Members.of(part).voxel[brightest(Members.of(part))].tolist() == [[0, 0, 2]]


def test_hessian_ratios_tell_blobs_lines_and_plates():
    """A ball has blob and line ratio 1, a line has line ratio 1 and blob 0, a plate line ratio 0 and no blob ratio."""
    z, y, x = grid((41, 41, 41), (1, 1, 1))
    forms = {
        "ball": (z - 20) ** 2 + (y - 20) ** 2 + (x - 20) ** 2,
        "line": (z - 20) ** 2 + (y - 20) ** 2,
        "plate": (y - 20) ** 2,
    }
    ratios = {}
    for form, r2 in forms.items():
        hu = (500 * np.exp(-r2 / 32)).astype(np.float32)
        lesion = Lesions(hu, (1, 1, 1), np.array([[20, 20, 20]]), np.array([0, 1]))
        found = compute(lesion, settings=Settings(gaussian_scales_mm=(2.0,)), families=("gaussian",))
        ratios[form] = found["gauss_blob_2mm"][0], found["gauss_line_2mm"][0]
    assert ratios["ball"] == pytest.approx((1, 1), abs=1e-3)
    assert ratios["line"] == pytest.approx((0, 1), abs=1e-3)
    assert ratios["plate"] == pytest.approx((np.nan, 0), abs=1e-3, nan_ok=True)
