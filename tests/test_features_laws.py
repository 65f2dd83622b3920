"""Laws that hold for every feature, whatever it measures."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from features_cases import BOX, SPACING, a_place, lesions_of, moved, scene, select
from hypothesis import given, settings
from hypothesis import strategies as st

from calcscore_features import ALL, Lesions, Settings, compute, registry

LENGTH_POWER = {
    "1": 0,
    "bit": 0,
    "HU": 0,
    "HU2": 0,
    "mm": 1,
    "mm2": 2,
    "mm3": 3,
    "1/mm": -1,
    "HU mm3": 3,
    "HU/mm": -1,
    "HU/mm2": -2,
}
LOCAL = ("size", "shape", "intensity", "texture")
CHOSEN = Settings(gaussian_scales_mm=(1, 2, 4), crowd_mm=(6, 10))
FEATURES = {f.name: f for f in registry(CHOSEN)}
GAUSS_RTOL = 1e-3
"""Single precision and the pyramid's grid; relative to the spread of the filter over the lesions."""


def agree(found, wanted, name, gauss=1e-5):
    """Equal to rounding; Gaussian features relative to their spread."""
    if name.startswith("gauss_"):
        ok = ~np.isnan(wanted)
        np.testing.assert_array_equal(np.isnan(found), ~ok, err_msg=name)
        scale = max(np.std(wanted[ok]), 1e-9) if ok.any() else 1.0
        np.testing.assert_allclose(found[ok], wanted[ok], rtol=0, atol=gauss * scale, err_msg=name)
    else:
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9, err_msg=name)


@pytest.fixture(scope="module")
def lesions():
    hu, mask = scene()
    return lesions_of(mask, hu)


@pytest.fixture(scope="module")
def table(lesions):
    return compute(lesions, settings=CHOSEN, heart_box_mm=BOX)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_values_are_finite_or_documented_nan(data):
    """In volumes down to one voxel, every value is finite, or NaN and the catalogue says when; no warning escapes."""
    shape = data.draw(st.tuples(*[st.integers(1, 5)] * 3))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    flat = data.draw(st.booleans())
    hu = np.full(shape, 200, np.int16) if flat else rng.integers(-1024, 3072, shape).astype(np.int16)
    mask = rng.random(shape) < data.draw(st.sampled_from([0.2, 0.6, 1.0]))
    mask.flat[0] |= not mask.any()
    spacing = data.draw(st.tuples(*[st.sampled_from([0.3, 1.0, 5.0])] * 3))
    found = compute(lesions_of(mask, hu, spacing), heart_box_mm=BOX)
    for f in ALL:
        assert not np.isinf(found[f.name]).any(), f.name
        assert f.degenerate or not np.isnan(found[f.name]).any(), f.name


def nan_names(hu, voxels):
    lesion = Lesions(hu, (3.0, 0.7, 0.5), np.array(voxels), np.array([0, len(voxels)]))
    found = compute(lesion, settings=CHOSEN, heart_box_mm=BOX, place=a_place(1))
    missing = {name for name, v in found.items() if np.isnan(v[0])}
    assert missing >= NO_LUNG, "there is neither lung nor soft tissue in this scan"
    return missing - NO_LUNG


ONE_VOXEL = {f.name for f in ALL if "one voxel" in f.degenerate}
EQUAL = {f.name for f in ALL if "voxels equal" in f.degenerate}
PAIRS = {f.name for f in ALL if "neighbouring" in f.degenerate}
ONE_LEVEL = {f.name for f in ALL if "of one level" in f.degenerate}
NONE_INSIDE = "robust_mean_deviation_hu"
PLANAR = "volume_density_ellipsoid"
ALONE = "crowd_nearest_mm"
NO_LUNG = {f.name for f in ALL if f.family == "border" and "no lung" in f.degenerate} | {"border_peak_to_noise"}


def test_degenerate_lesions_lack_exactly_what_the_catalogue_says():
    """One voxel, two far ones, two equal ones, a flat patch, a proper lesion: NaN only where the catalogue says."""
    hu = np.random.default_rng(4).uniform(130, 900, (9, 9, 9)).astype(np.float32)
    even = hu.copy()
    even[4, 4, 3:6] = 300
    square = [[4, y, x] for y in (3, 4, 5) for x in (3, 4, 5, 6)]
    assert len(ONE_VOXEL) == 8
    assert len(PAIRS) == 25
    assert nan_names(hu, [[4, 4, 4]]) == ONE_VOXEL | EQUAL | PAIRS | {PLANAR, ALONE}
    assert nan_names(hu, [[4, 4, 4], [4, 4, 7]]) == PAIRS | {PLANAR, NONE_INSIDE, ALONE}
    assert nan_names(even, [[4, 4, 3], [4, 4, 4]]) == EQUAL | ONE_LEVEL | {PLANAR, ALONE}
    assert nan_names(hu, square) == {PLANAR, ALONE}
    assert nan_names(hu, [*square, [5, 4, 4]]) == {ALONE}


def test_lesion_does_not_know_the_others(lesions, table):
    """Each lesion alone, in any order of its voxels, has the features it has among the others."""
    rng = np.random.default_rng(1)
    for i in range(0, len(lesions), 3):
        alone = select(lesions, [i])
        shuffled = Lesions(alone.hu, alone.spacing, rng.permutation(alone.voxels), alone.offsets)
        found = compute(shuffled, settings=CHOSEN, heart_box_mm=BOX)
        for name, values in found.items():
            if name != "shell_other_lesions_mm3" and FEATURES[name].family != "crowd":
                np.testing.assert_allclose(values, table[name][i : i + 1], rtol=1e-10, atol=1e-12, err_msg=name)


def test_order_of_lesions_is_the_order_of_rows(lesions, table):
    """Lesions in another order give the same rows in that order."""
    order = np.random.default_rng(2).permutation(len(lesions))
    found = compute(select(lesions, order), settings=CHOSEN, heart_box_mm=BOX)
    for name, values in found.items():
        np.testing.assert_allclose(values, table[name][order], rtol=1e-12, atol=1e-12, err_msg=name)


def test_integer_and_float_volumes_agree(lesions):
    """The same whole HU as int16 and as float32 give the same features."""
    whole = np.rint(lesions.hu)
    tables = [
        compute(Lesions(whole.astype(t), SPACING, lesions.voxels, lesions.offsets), settings=CHOSEN)
        for t in (np.int16, np.float32)
    ]
    for name, values in tables[0].items():
        np.testing.assert_array_equal(values, tables[1][name], err_msg=name)


def test_tight_crop_changes_nothing_inside(lesions, table):
    """Cutting the volume down to one lesion's bounding box leaves size, shape, intensity and texture as they were."""
    for i in range(len(lesions)):
        one = select(lesions, [i])
        low, high = one.voxels.min(axis=0), one.voxels.max(axis=0) + 1
        crop = one.hu[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
        found = compute(moved(one, crop, -low), families=LOCAL)
        for name, values in found.items():
            np.testing.assert_allclose(values, table[name][i : i + 1], rtol=1e-12, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("pad", [(8, 8, 8), (5, 3, 7)])
def test_going_on_at_the_border_changes_no_gaussian(lesions, table, pad):
    """Padding with the outermost voxels changes no Gaussian feature: to rounding if the grids match, else to 0.1 %."""
    padded = np.pad(lesions.hu, [(p, p + 1) for p in pad], mode="edge")
    found = compute(moved(lesions, padded, pad), settings=CHOSEN, families=("gaussian",))
    for name, values in found.items():
        if not name.startswith(("gauss_blob", "gauss_line")):
            agree(values, table[name], name, gauss=1e-5 if pad == (8, 8, 8) else GAUSS_RTOL)


@pytest.mark.parametrize("shift", [(4, 8, 8), (1, 2, 3)])
def test_translation_changes_nothing(lesions, shift):
    """A scene that moves inside a wider scan, and its heart with it, keeps every feature."""
    tables = []
    for move in ((0, 0, 0), shift):
        low = np.array([6, 14, 18]) + move
        wide = np.full(np.add(lesions.hu.shape, (18, 40, 52)), -90, np.float32)
        wide[tuple(slice(a, a + n) for a, n in zip(low, lesions.hu.shape, strict=True))] = lesions.hu
        box = BOX + np.array(move) * SPACING
        tables.append(compute(moved(lesions, wide, low), settings=CHOSEN, heart_box_mm=box))
    for name, values in tables[0].items():
        if not name.startswith(("gauss_blob", "gauss_line")):
            agree(tables[1][name], values, name, gauss=1e-5 if shift == (4, 8, 8) else GAUSS_RTOL)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_axes_are_alike(lesions, table, order):
    """Swapping axes together with spacing and box swaps the features named after axes and keeps all others."""
    swapped = Lesions(
        np.ascontiguousarray(lesions.hu.transpose(order)),
        tuple(SPACING[a] for a in order),
        lesions.voxels[:, order],
        lesions.offsets,
    )
    found = compute(swapped, settings=CHOSEN, heart_box_mm=BOX[:, order])
    new_name = {"zyx"[old]: "zyx"[new] for new, old in enumerate(order)}
    for name, values in table.items():
        if name in (
            "slice_count",
            "max_slice_area_mm2",
            "heart_axial_distance_mm",
            "heart_angle_cos",
            "heart_angle_sin",
            "border_across_fraction",
        ):
            continue  # slices are axial by definition
        parts = name.split("_")
        if parts[0] == "gauss":
            axes = sorted(new_name[a] for a in parts[1][1:]) if parts[1] not in ("blob", "line") else []
            parts[1] = parts[1] if parts[1] in ("blob", "line") else "l" + "".join(axes)
        else:
            parts = [new_name.get(p, p) for p in parts]
        agree(found["_".join(parts)], values, name, gauss=2e-4)


@pytest.mark.parametrize("axis", range(3))
def test_mirror_turns_only_what_points(lesions, table, axis):
    """Mirroring an axis turns odd derivatives and the way to the lung, and nothing but the place in the heart."""
    voxels = lesions.voxels.copy()
    voxels[:, axis] = lesions.hu.shape[axis] - 1 - voxels[:, axis]
    found = compute(Lesions(np.flip(lesions.hu, axis), SPACING, voxels, lesions.offsets), settings=CHOSEN)
    for name, values in table.items():
        if name.startswith(("heart_", "gauss_blob", "gauss_line")):
            continue
        letters = name.split("_")[1][1:] if name.startswith("gauss_") else ""
        letters = name[-1] if name in ("border_lung_z", "border_lung_y", "border_lung_x") else letters
        agree(found[name], values * (-1) ** letters.count("zyx"[axis]), name, gauss=GAUSS_RTOL)


def test_lengths_scale_by_their_unit(lesions, table):
    """Twice the spacing, box, shell and scales: lengths double, areas grow fourfold, volumes eightfold, by unit."""
    doubled = Lesions(lesions.hu, tuple(2 * s for s in SPACING), lesions.voxels, lesions.offsets)
    wide = Settings(gaussian_scales_mm=(2, 4, 8), shell_mm=2 * CHOSEN.shell_mm, crowd_mm=(12, 20))
    found = compute(doubled, settings=wide, heart_box_mm=2 * BOX)
    for (name, values), other in zip(table.items(), found.values(), strict=True):
        if FEATURES[name].unit == "ln mm3":
            np.testing.assert_allclose(other, values + np.log(8), rtol=1e-12)
        else:
            agree(other, values * 2.0 ** LENGTH_POWER[FEATURES[name].unit], name, gauss=1e-5)


def test_doubled_hu_scale_by_their_unit(lesions, table):
    """Twice the HU (threshold and bins too): HU double, HU2 grow fourfold, plain numbers and texture stay."""
    doubled = Lesions(lesions.hu * 2, SPACING, lesions.voxels, lesions.offsets)
    twice = replace(CHOSEN, threshold_hu=260, glcm_bin_width_hu=100, glcm_max_hu=6142)
    found = compute(doubled, settings=twice, heart_box_mm=BOX)
    for name, values in table.items():
        if name.startswith(("fraction_from", "border_")) or name.endswith("_fraction"):
            continue  # these count against fixed HU
        power = {"HU": 1, "HU/mm": 1, "HU/mm2": 1, "HU mm3": 1, "HU2": 2}.get(FEATURES[name].unit, 0)
        agree(found[name], values * 2.0**power, name)


def test_shifted_hu_move_only_positions(lesions, table):
    """100 HU more (threshold too): positions on the HU scale move by 100; spread, texture, slope and shape stay."""
    raised = Lesions(lesions.hu + np.float32(100), SPACING, lesions.voxels, lesions.offsets)
    higher = replace(CHOSEN, threshold_hu=230, glcm_max_hu=3171)
    found = compute(raised, settings=higher, heart_box_mm=BOX)
    positions = {
        "mean_hu",
        "median_hu",
        "min_hu",
        "max_hu",
        "p10_hu",
        "p90_hu",
        "shell_mean_hu",
        "shell_min_hu",
        "shell_max_hu",
    }
    positions |= {f"gauss_l_{s}mm_hu" for s in (1, 2, 4)}
    by_origin = {"coefficient_of_variation", "quartile_dispersion", "energy_hu2", "rms_hu", "centre_of_mass_shift_mm"}
    for name, values in table.items():
        if name in by_origin or name.startswith(("fraction_from", "border_")) or name.endswith("_fraction"):
            continue  # these depend on where 0 HU lies
        np.testing.assert_allclose(
            found[name], values + (100 if name in positions else 0), rtol=3e-4, atol=3e-4, err_msg=name
        )
