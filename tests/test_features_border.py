"""How lesions lie to the lung beside them."""

import numpy as np
import pytest
from features_cases import SPACING, lesions_of, one_lesion, scene
from scipy.ndimage import distance_transform_edt

from calcscore_features import Settings, compute
from calcscore_features.neighbourhood import LUNG_BELOW_HU

FINE = (1.0, 0.5, 0.5)
Z, Y, X = np.meshgrid(*(np.arange(n) * s for n, s in zip((24, 60, 60), FINE, strict=True)), indexing="ij")


def tissue(lung, noise=0.0, background=40.0):
    """Soft tissue beside lung."""
    hu = np.where(lung, -860.0, background) + noise * np.random.default_rng(0).normal(size=X.shape)
    return hu.astype(np.float32)


def border(mask, hu, spacing=FINE, **chosen):
    """Features of the border of one lesion."""
    found = compute(one_lesion(mask, hu, spacing), settings=Settings(**chosen), families=("border",))
    return {name.removeprefix("border_"): float(values[0]) for name, values in found.items()}


@pytest.mark.parametrize("depth", [0.0, 1.5, 3.0, 6.0, 12.0, 19.0])
def test_a_ball_lies_as_deep_as_it_was_put(depth):
    """A ball in front of a wall of lung is as far from it as it was put, to a voxel; without lung it is 20 mm."""
    ball = (Z - 12) ** 2 + (Y - 15) ** 2 + (X - 4) ** 2 <= 4
    lung = 4 + 2 + depth < X
    hu = tissue(lung)
    hu[ball] = 400
    found = border(ball, hu)
    assert found["lung_distance_mm"] == pytest.approx(depth, abs=0.75)
    assert border(ball, tissue(np.zeros_like(lung)))["lung_distance_mm"] == 20.0
    assert border(ball, hu, shell_mm=1.0)["lung_distance_mm"] == min(found["lung_distance_mm"], 4.0)


@pytest.mark.parametrize(("axis", "sign"), [(a, s) for a in range(3) for s in (-1, 1)])
def test_the_lung_s_side_is_told(axis, sign):
    """A ball whose lung lies on one side points there, and the step across it and its rise are those put in, to 6 %."""
    at = (12.0, 15.0, 15.0)
    ball = (Z - 12) ** 2 + (Y - 15) ** 2 + (X - 15) ** 2 <= 2.25
    hu = tissue(sign * ((Z, Y, X)[axis] - at[axis]) > 1.6)
    hu[ball] = 220
    found = border(ball, hu)
    way = [found[f"lung_{name}"] for name in "zyx"]
    assert np.sign(way[axis]) == sign
    assert np.abs(np.delete(way, axis)).max() < 0.02
    assert 0.6 < found["one_sidedness"] < 1
    assert (found["rise_hu"], found["step_hu"]) == pytest.approx((180.0, 900.0), rel=0.06)
    assert found["overshoot"] == pytest.approx(found["rise_hu"] / found["step_hu"])
    assert found["near_lung_fraction"] > 0.1


def test_lung_all_around_has_no_side():
    """A vessel in the lung: no side, all lung, no step; in plain tissue there is no lung at all."""
    ball = (Z - 12) ** 2 + (Y - 15) ** 2 + (X - 15) ** 2 <= 4
    hu = tissue(~ball)
    hu[ball] = 200
    found = border(ball, hu)
    assert found["one_sidedness"] == pytest.approx(0, abs=1e-9)
    assert found["near_lung_fraction"] == 1
    assert np.isnan([found["overshoot"], found["step_hu"], found["across_fraction"], found["peak_to_noise"]]).all()
    plain = border(ball, tissue(np.zeros_like(ball)))
    assert np.isnan(plain["one_sidedness"])
    assert (plain["near_lung_fraction"], plain["lung_x"]) == (0, 0)


@pytest.mark.parametrize(("across", "along"), [(2, 16), (4, 4), (12, 2)])
def test_a_rim_is_stretched_along_the_border(across, along):
    """The share of a rectangle's spread across the border is that of its width squared."""
    mask = np.zeros(X.shape, dtype=bool)
    mask[12, 30 - along // 2 : 30 + along // 2, 28 - across : 28] = True
    hu = tissue(X >= 14.0)
    hu[mask] = 300
    assert border(mask, hu)["across_fraction"] == pytest.approx(across**2 / (across**2 + along**2), rel=0.01)


@pytest.mark.parametrize("noise", [5.0, 20.0])
def test_a_peak_is_told_in_units_of_the_noise(noise):
    """A lesion of 440 HU in tissue of 40 HU stands out by 400 HU over the noise's SD."""
    ball = (Z - 12) ** 2 + (Y - 15) ** 2 + (X - 15) ** 2 <= 4
    hu = tissue(np.zeros_like(ball), noise)
    hu[ball] = 440
    assert border(ball, hu)["peak_to_noise"] == pytest.approx(400 / noise, rel=0.06)


def test_distances_are_those_of_the_distance_transform():
    """Of every lesion of a scene, the distance to lung is the least of its voxels' distance transform."""
    hu, mask = scene(7)
    hu[:, :, 14:] -= 700
    lesions = lesions_of(mask, hu)
    far = distance_transform_edt(hu >= LUNG_BELOW_HU, sampling=SPACING)[tuple(lesions.voxels.T)]
    wanted = np.minimum(np.minimum.reduceat(far, lesions.offsets[:-1]), 20)
    found = compute(lesions, families=("border",))["border_lung_distance_mm"]
    assert np.ptp(wanted) > 2
    np.testing.assert_allclose(found, wanted, rtol=1e-9)


@pytest.mark.parametrize("block", [1 << 22, 50])
def test_blocks_do_not_matter(monkeypatch, block):
    """Shells taken in small blocks give the features of one large block."""
    hu, mask = scene(7)
    hu[:, :, 14:] -= 700
    lesions = lesions_of(mask, hu)
    wanted = compute(lesions, families=("border",))
    monkeypatch.setattr("calcscore_features.neighbourhood.MAX_SHELL_VOXELS", block)
    for name, values in compute(lesions, families=("border",)).items():
        np.testing.assert_allclose(values, wanted[name], rtol=1e-12, err_msg=name)
