"""The shell around a lesion and its place in the heart."""

import numpy as np
import pytest
from features_cases import BOX, SPACING, lesions_of, one_lesion, scene, select
from scipy.ndimage import distance_transform_edt

from calcscore_features import Lesions, Settings, compute


def plain_shell(lesions, i, radius):
    own = np.zeros(lesions.hu.shape, bool)
    own[tuple(lesions.voxels[lesions.offsets[i] : lesions.offsets[i + 1]].T)] = True
    anyone = np.zeros_like(own)
    anyone[tuple(lesions.voxels.T)] = True
    shell = (distance_transform_edt(~own, sampling=lesions.spacing) <= radius + 1e-9) & ~own
    x = lesions.hu[shell].astype(float)
    return {
        "mean_hu": x.mean(),
        "sd_hu": x.std(),
        "min_hu": x.min(),
        "max_hu": x.max(),
        "lung_fraction": (x < -500).mean(),
        "fat_fraction": ((x >= -150) & (x < -30)).mean(),
        "soft_fraction": ((x >= -30) & (x < 130)).mean(),
        "dense_fraction": (x >= 130).mean(),
        "very_dense_fraction": (x >= 400).mean(),
        "other_lesions_mm3": (shell & anyone).sum() * np.prod(lesions.spacing),
    }


@pytest.mark.parametrize("radius", [0.6, 2.0, 3.1, 5.0])
@pytest.mark.parametrize("block", [1 << 22, 50])
def test_shell_is_that_of_the_distance_transform(monkeypatch, radius, block):
    """The shell is every voxel within the radius of the lesion, whatever the spacing, the border or the block size."""
    monkeypatch.setattr("calcscore_features.neighbourhood.MAX_SHELL_VOXELS", block)
    hu, mask = scene(7)
    hu[:, :, 15:] -= 600
    lesions = lesions_of(mask, hu)
    found = compute(lesions, settings=Settings(shell_mm=radius), families=("neighbourhood",))
    for i in range(len(lesions)):
        wanted = plain_shell(lesions, i, radius)
        assert [f"shell_{name}" for name in wanted] == list(found)
        for name, value in wanted.items():
            assert found[f"shell_{name}"][i] == pytest.approx(value, rel=1e-9), (name, i)


def test_voxel_exactly_at_the_radius_belongs_to_the_shell():
    """Rounding does not decide: 0.1 mm times 3 is within 0.3 mm."""
    hu = np.zeros((1, 1, 9), np.int16)
    hu[0, 0, 7] = 50
    lesion = Lesions(hu, (1, 1, 0.1), np.array([[0, 0, 4]]), np.array([0, 1]))
    found = compute(lesion, settings=Settings(shell_mm=0.3), families=("neighbourhood",))
    assert found["shell_max_hu"][0] == 50


def test_lesion_that_fills_the_scan_has_no_shell():
    """Without a voxel in the shell its statistics are NaN, and no other lesion is in it."""
    found = compute(one_lesion(np.ones((2, 2, 2), bool)), families=("neighbourhood",))
    assert found.pop("shell_other_lesions_mm3")[0] == 0
    assert all(np.isnan(v[0]) for v in found.values())


def test_lesions_that_overlap_are_kept_apart():
    """Lesions that share voxels or fill the same tiny scan are described each by itself."""
    hu = np.arange(4, dtype=np.int16).reshape(1, 1, 4)
    voxels = np.array([[0, 0, 0], [0, 0, 3], [0, 0, 0], [0, 0, 1], [0, 0, 2], [0, 0, 3]])
    lesions = Lesions(hu, (1, 1, 1), voxels, np.array([0, 1, 2, 6]))
    found = compute(lesions, settings=Settings(shell_mm=1.5), families=("neighbourhood",))
    np.testing.assert_array_equal(found["shell_mean_hu"], [1, 2, np.nan])
    np.testing.assert_array_equal(found["shell_other_lesions_mm3"], [1, 1, 0])


def test_other_lesions_are_counted_only_when_asked_for():
    """Two voxels 2 mm apart are in each other's shell; alone, neither has company."""
    mask = np.zeros((1, 1, 5), bool)
    mask[0, 0, [1, 3]] = True
    both = lesions_of(mask, spacing=(1, 1, 1))
    assert compute(both, families=("neighbourhood",))["shell_other_lesions_mm3"].tolist() == [1, 1]
    assert compute(select(both, [0]), families=("neighbourhood",))["shell_other_lesions_mm3"].tolist() == [0]


@pytest.mark.parametrize("radii", [(5.0, 9.0), (7.0,)])
def test_crowd_is_counted_among_the_centres_of_all_others(radii):
    """Over all pairs of lesions: those within a radius, and the nearest, by plain distances of their mean voxels."""
    hu, mask = scene(3)
    lesions = lesions_of(mask, hu)
    found = compute(lesions, settings=Settings(crowd_mm=radii), families=("crowd",))
    groups = np.split(lesions.voxels * np.array(lesions.spacing), lesions.offsets[1:-1])
    centres = np.array([voxels.mean(axis=0) for voxels in groups])
    away = np.linalg.norm(centres[:, None] - centres, axis=2) + np.diag(np.full(len(centres), np.inf))
    for radius, counted in zip(radii, found.values(), strict=False):
        np.testing.assert_array_equal(counted, (away <= radius).sum(axis=1))
        assert len(np.unique(counted)) > 1
    np.testing.assert_allclose(found["crowd_nearest_mm"], away.min(axis=1))


def test_a_lesion_alone_has_no_crowd():
    """No other lesion within any radius, and none that is nearest."""
    found = compute(one_lesion(np.ones((2, 2, 2), bool)), families=("crowd",))
    assert [v[0] for v in found.values()][:2] == [0, 0]
    assert np.isnan(found["crowd_nearest_mm"][0])


def test_lesion_exactly_at_the_radius_is_counted():
    """Rounding does not decide: 0.1 mm times 3 is within 0.3 mm."""
    mask = np.zeros((1, 1, 9), bool)
    mask[0, 0, [0, 3]] = True
    found = compute(lesions_of(mask, spacing=(1, 1, 0.1)), settings=Settings(crowd_mm=(0.3,)), families=("crowd",))
    assert found["crowd_0p3mm"].tolist() == [1, 1]


def at(points_mm, box=BOX):
    """Locate single voxels at points of a 0.5 mm grid."""
    voxels = np.rint(np.asarray(points_mm) / 0.5).astype(int)
    lesions = Lesions(np.zeros((80, 40, 40), np.int16), (0.5, 0.5, 0.5), voxels, np.arange(len(voxels) + 1))
    return compute(lesions, heart_box_mm=box, families=("location",))


def test_corners_and_centre_of_the_box_are_zero_one_and_half():
    """The lower corner is at 0, the upper at 1 and the centre at one half, with offsets in mm from the centre."""
    centre = BOX.mean(axis=0)
    found = at([BOX[0], BOX[1], centre])
    for a, axis in enumerate("zyx"):
        np.testing.assert_allclose(found[f"heart_{axis}"], [0, 1, 0.5])
        np.testing.assert_allclose(found[f"heart_offset_{axis}_mm"], [BOX[0, a] - centre[a], BOX[1, a] - centre[a], 0])
    np.testing.assert_allclose(found["heart_depth_mm"], [0, 0, 3], atol=1e-12)
    assert np.isnan(found["heart_angle_cos"][2])
    assert np.isnan(found["heart_angle_sin"][2])


def test_depth_is_the_signed_distance_to_the_box():
    """Depth is positive inside, zero on the surface, and minus the Euclidean distance outside."""
    found = at([[17, 2, 4.5], [17, 9, 4.5], [17, 12, 11.5], [34, 12, 7.5]])
    np.testing.assert_allclose(found["heart_depth_mm"], [1, 0, -5, -5], atol=1e-12)


def test_angle_turns_from_left_to_back():
    """The patient's left is at angle 0, the back at 90 degrees; distances are from the box's centre."""
    z, y, x = 17.0, 5.0, 4.5
    found = at([[z, y, x + 3], [z, y + 3, x], [z + 6, y - 3, x - 4]])
    np.testing.assert_allclose(found["heart_angle_cos"], [1, 0, -0.8], atol=1e-12)
    np.testing.assert_allclose(found["heart_angle_sin"], [0, 1, -0.6], atol=1e-12)
    np.testing.assert_allclose(found["heart_axial_distance_mm"], [3, 3, 5])
    np.testing.assert_allclose(found["heart_distance_mm"], [3, 3, np.sqrt(61)])


def test_lesion_lies_where_its_centroid_does():
    """Location is that of the mean of the voxel centres, in mm of the array."""
    hu, mask = scene(8)
    lesions = lesions_of(mask, hu)
    found = compute(lesions, heart_box_mm=BOX, families=("location",))
    for i in range(len(lesions)):
        centroid = lesions.voxels[lesions.offsets[i] : lesions.offsets[i + 1]].mean(axis=0) * SPACING
        np.testing.assert_allclose(
            [found[f"heart_offset_{a}_mm"][i] for a in "zyx"], centroid - BOX.mean(axis=0), rtol=1e-9, atol=1e-9
        )
