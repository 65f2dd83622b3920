"""Noise and sharpness against closed forms, and places of candidates on a drawn chest."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.special import erf

from calcscore_ml.candidates import find_candidates
from calcscore_ml.errors import ResultError
from calcscore_ml.evaluation.image_quality import (
    disc_sharpness,
    edge_sharpness,
    measure_noise,
    noise_of_patches,
    outline_blur_mm,
)
from calcscore_ml.evaluation.places import PLACES, place_candidates
from calcscore_ml.geometry import Geometry
from calcscore_ml.heart.roi import HeartBox
from calcscore_ml.scan import Scan

SPACING = (3.0, 0.8, 0.8)


def white(sd, shape=(6, 120, 120), seed=0):
    return np.random.default_rng(seed).normal(40, sd, shape)


def test_white_noise_has_its_sd_and_a_flat_spectrum():
    """White noise of SD s on pixels dy dx has the spectrum s^2 dy dx at every frequency."""
    found = measure_noise(white(15), SPACING, np.ones((6, 120, 120), bool))
    assert found.sd_hu == pytest.approx(15, rel=0.03)
    assert found.mean_hu == pytest.approx(40, abs=1)
    assert found.nps_hu2_mm2[3:].mean() == pytest.approx(15**2 * 0.8 * 0.8, rel=0.05)


def test_the_spectrum_of_filtered_noise_is_its_filters_square():
    """White noise through a Gaussian has a Gaussian spectrum: exp(-4 pi^2 s^2 f^2), with a known mean."""
    sigma_mm = 0.6
    noise = np.random.default_rng(1).normal(0, 40, (8, 128, 128))
    smooth = np.stack([ndimage.gaussian_filter(n, sigma_mm / 0.5, mode="wrap") for n in noise])
    found = noise_of_patches(list(smooth), (0.5, 0.5))
    f = found.frequency_per_mm
    at = (f > 0.08) & (f < 0.5)
    np.testing.assert_allclose(
        found.nps_hu2_mm2[at], 40**2 * 0.25 * np.exp(-((2 * np.pi * sigma_mm * f[at]) ** 2)), rtol=0.2
    )
    # Mean of f over f exp(-a f^2) from 0: sqrt(pi / a) / 2, with a = 4 pi^2 sigma^2.
    assert found.mean_frequency_per_mm == pytest.approx(np.sqrt(np.pi) / (4 * np.pi * sigma_mm), rel=0.06)


def test_slow_shading_is_no_noise():
    """A slope and a bowl under the noise leave the SD as it is."""
    y, x = np.mgrid[:120, :120] / 120
    found = measure_noise(white(10) + 30 * x + 20 * y**2, SPACING, np.ones((6, 120, 120), bool))
    assert found.sd_hu == pytest.approx(10, rel=0.04)


def test_patches_with_structure_are_left_out():
    """Noise beside a vessel is that of the rest."""
    hu = white(10)
    hu[:, 50:60, :] += 200
    found = measure_noise(hu, SPACING, np.ones((6, 120, 120), bool))
    assert found.sd_hu == pytest.approx(10, rel=0.05)
    assert found.patches > 0


def test_noise_is_measured_in_the_region_alone():
    """Only patches wholly inside the region count; without one there is no number."""
    hu = white(10)
    hu[:, :, 60:] = 40
    region = np.zeros((6, 120, 120), bool)
    region[:, :, :60] = True
    assert measure_noise(hu, SPACING, region).sd_hu == pytest.approx(10, rel=0.05)
    assert np.isnan(measure_noise(hu, SPACING, np.zeros_like(region)).sd_hu)


def disc(sigma_mm, pixel=0.5, radius=12.0, height=400.0, n=120):
    """A cylinder's slice, blurred; sampled ten times finer first."""
    fine = pixel / 5
    at = (np.arange(n * 5) - (n * 5 - 1) / 2) * fine
    image = np.where(np.hypot(at[:, None], at[None, :] - 0.13) < radius, height, 0.0)
    image = ndimage.gaussian_filter(image, sigma_mm / fine)[2::5, 2::5]
    centre = ((n * 5 - 1) / 2 - 2) * fine
    return image, (centre, centre + 0.13)


@pytest.mark.parametrize("sigma_mm", [0.6, 1.0])
def test_the_transfer_of_a_blurred_disc_is_the_blurs(sigma_mm):
    """A disc under a Gaussian of SD s has the transfer exp(-2 pi^2 s^2 f^2)."""
    image, centre = disc(sigma_mm)
    found = disc_sharpness(image, (0.5, 0.5), centre, 12.0)
    assert found.step_hu == pytest.approx(400, rel=0.02)
    for transfer in (0.5, 0.2):
        expected = np.sqrt(-np.log(transfer) / 2) / np.pi / sigma_mm
        assert found.frequency_at(transfer) == pytest.approx(expected, rel=0.06)


def test_an_edge_needs_points():
    """Too few points are refused."""
    with pytest.raises(ResultError, match="bins"):
        edge_sharpness(np.array([-1.0, 1.0]), np.array([0.0, 1.0]), 0.1)


@pytest.mark.parametrize("sigma_mm", [0.8, 1.5])
def test_the_outline_has_the_blur_it_was_given(sigma_mm):
    """A wall of soft tissue in air, blurred, gives its blur back; noise does not change it."""
    x = (np.arange(200) - 100) * 0.8
    wall = -1000 + 520 * (erf((x + 50.3) / sigma_mm / np.sqrt(2)) - erf((x - 50.1) / sigma_mm / np.sqrt(2)))
    hu = np.broadcast_to(wall, (3, 100, 200)) + np.random.default_rng(0).normal(0, 15, (3, 100, 200))
    assert outline_blur_mm(hu, SPACING) == pytest.approx(sigma_mm, rel=0.15)


def chest():
    """An oval body with a spine and a table, and one candidate in each place."""
    hu = np.full((30, 128, 160), -1000, np.int16)
    y, x = np.mgrid[:128, :160] * 2.0
    hu[:, ((y - 120) / 80) ** 2 + ((x - 160) / 130) ** 2 < 1] = 40
    hu[:, ((y - 170) / 16) ** 2 + ((x - 160) / 16) ** 2 < 1] = 250
    hu[:, 98:100, 20:140] = 200  # a table that touches the back, thinner than what is cut off
    marks = {"heart": (18, 60, 80), "abdomen": (4, 50, 70), "elsewhere": (27, 60, 80), "bone": (15, 85, 89)}
    for at in marks.values():
        hu[at] = 400
    hu[10, 10, 10] = 500
    box = HeartBox((30.0, 80.0, 120.0), (70.0, 150.0, 220.0))
    return Scan(hu, Geometry(hu.shape, (3.0, 2.0, 2.0))), box, {**marks, "outside": (10, 10, 10)}


def test_every_place_is_told():
    """Candidates in air, bone, heart, abdomen and elsewhere are called so; the table is outside though it touches."""
    scan, box, marks = chest()
    found = find_candidates(scan)
    place = dict(zip(map(tuple, found.voxels[found.offsets[:-1]]), place_candidates(scan, found, box), strict=True))
    assert {name: str(place[at]) for name, at in marks.items()} == {name: name for name in marks}
    assert place[0, 98, 20] == "outside"
    assert set(PLACES) == set(place.values())


def test_without_a_box_nothing_lies_in_the_heart():
    """No heart box, no heart and no abdomen; no candidates, no places."""
    scan, _, _ = chest()
    found = find_candidates(scan)
    assert not {"heart", "abdomen"} & set(place_candidates(scan, found, None).tolist())
    assert len(place_candidates(scan, find_candidates(scan, threshold_hu=2000), None)) == 0
