"""The digital cohort: same seed same scan, right tissue, right mass, right truth."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from calcscore_ml.anatomy import Label
from calcscore_ml.phantom import PROTOCOLS, draw_patient, find_protocol, generate
from calcscore_ml.phantom.acquisition import noise
from calcscore_ml.phantom.canvas import Ellipsoid, Grid, Tube, cone_distance, field, path, smooth_union, wobble
from calcscore_ml.phantom.coronaries import build_coronaries
from calcscore_ml.phantom.deposits import Deposit, excess, sample
from calcscore_ml.phantom.digital import LESION_COLUMNS, TRUTH_THRESHOLD_HU
from calcscore_ml.phantom.heart import build_heart
from calcscore_ml.phantom.motion import Motion
from calcscore_ml.phantom.painter import Layer, paint_tube, render
from calcscore_ml.scan import OUTSIDE_HU

SMALL = replace(find_protocol("gated-3mm"), matrix=128, z_range_mm=(-45.0, 24.0))
QUIET = replace(
    SMALL,
    name="quiet",
    z_range_mm=(-66.0, 24.0),
    noise_sd_hu=(0.1, 0.1),
    fov_mm=(380.0, 380.0),
    matrix=192,
    heart_centred=False,
)
TINY = replace(SMALL, name="tiny", matrix=64, z_range_mm=(-6.0, 6.0))


@pytest.fixture(scope="module")
def scan():
    """A small gated scan of a woman of 72 with calcium in three arteries, aorta and mitral annulus."""
    return generate(37, SMALL)


@pytest.fixture(scope="module")
def quiet():
    """A whole chest section almost without noise."""
    return generate(16, QUIET)


def at(digital, point, radius_mm=4.0):
    """Median HU of the ball around a point of the patient, (z, y, x) [mm]."""
    spacing = np.array(digital.scan.geometry.spacing)
    z, y, x = ((np.arange(n) * s) for n, s in zip(digital.scan.hu.shape, spacing, strict=True))
    dz, dy, dx = (a - b for a, b in zip((z, y, x), point - digital.origin_mm, strict=True))
    inside = dz[:, None, None] ** 2 + dy[None, :, None] ** 2 + dx[None, None, :] ** 2 < radius_mm**2
    return float(np.median(digital.scan.hu[inside]))


def test_the_same_seed_gives_the_same_bits():
    """Everything comes from the seed."""
    first, second = generate(3, TINY), generate(3, TINY)
    assert first.scan == second.scan
    assert np.array_equal(first.labels, second.labels)
    pd.testing.assert_frame_equal(first.lesions, second.lesions)


def test_other_seeds_give_other_patients():
    """No two seeds share a patient or a scan."""
    patients = [draw_patient(seed) for seed in range(40)]
    assert len({p.heart_scale for p in patients}) == 40
    assert len({p.stream("noise").random() for p in patients}) == 40
    assert patients[0].stream("noise").random() != patients[0].stream("streaks").random()
    assert generate(4, TINY).scan.fingerprint() != generate(3, TINY).scan.fingerprint()


def test_organs_have_their_own_hu(quiet):
    """Blood, muscle of the heart, lung, fat, bone and liver lie where non-contrast CT shows them."""
    patient = quiet.patient
    heart = build_heart(patient)
    assert at(quiet, heart.chambers["left ventricle"].centre) == pytest.approx(patient.tissue.blood_hu, abs=6)
    assert at(quiet, heart.chambers["right atrium"].centre) == pytest.approx(patient.tissue.blood_hu, abs=6)
    aorta = heart.vessels["descending aorta"]
    middle = aorta.points[np.abs(aorta.points[:, 0] + 10).argmin()]
    assert at(quiet, middle) == pytest.approx(patient.tissue.blood_hu, abs=6)
    assert 60 < at(quiet, np.array([-10.0, 0.0, 0.0]), 8.0) < 450, "trabecular bone"
    assert -960 < at(quiet, np.array([-10.0, -105.0, -85.0]), 6.0) < -750, "lung"
    hu = quiet.scan.hu
    assert 20 < patient.tissue.blood_hu < 60
    assert (hu < -950).mean() > 0.1, "air around the patient"
    fat = hu[(hu > -140) & (hu < -60)]
    assert -115 < np.median(fat) < -80


def test_the_scan_is_canonical(quiet):
    """The heart lies to the left of the spine's middle and in front of it."""
    middle = quiet.heart_box_mm.mean(axis=0) + quiet.origin_mm
    assert middle[2] > 5
    spacing = np.array(quiet.scan.geometry.spacing)
    bone = np.argwhere(quiet.scan.hu > 300) * spacing + quiet.origin_mm
    assert np.median(bone[:, 1]) > middle[1]


def test_the_heart_lies_between_the_lungs(quiet):
    """The box of the heart is inside the span of the lungs and as large as a heart."""
    spacing = np.array(quiet.scan.geometry.spacing)
    lung = np.argwhere((quiet.scan.hu > -960) & (quiet.scan.hu < -700)) * spacing
    low, high = np.percentile(lung, 0.5, axis=0), np.percentile(lung, 99.5, axis=0)
    assert (quiet.heart_box_mm[0, 1:] > low[1:] - 8).all()
    assert (quiet.heart_box_mm[1, 1:] < high[1:] + 8).all()
    size = np.diff(quiet.heart_box_mm, axis=0)[0]
    assert (size > 70).all()
    assert (size < 190).all()


def test_labels_are_bright_and_match_the_table(scan):
    """Every labelled voxel is at least 130 HU, and the table counts exactly those of each label."""
    assert scan.labels.dtype == np.uint8
    assert not scan.labels.flags.writeable
    assert scan.scan.hu[scan.labels > 0].min() >= TRUTH_THRESHOLD_HU
    assert tuple(scan.lesions.columns) == LESION_COLUMNS
    counted = scan.lesions.groupby("label")["voxels"].sum()
    for label in Label:
        if label is not Label.OTHER:
            assert int((scan.labels == label).sum()) == int(counted.get(int(label), 0))
    assert set(np.unique(scan.labels)) >= {0, int(Label.LAD), int(Label.RCA)}


def test_a_lesion_lies_where_its_voxels_are(scan):
    """World coordinates of the table lead back to labelled voxels."""
    geometry = scan.scan.geometry
    seen = scan.lesions[(scan.lesions.voxels >= 4) & (scan.lesions.label > 0)]
    assert len(seen) >= 3
    for row in seen.itertuples():
        where = geometry.to_index((row.x_mm, row.y_mm, row.z_mm)) * geometry.spacing
        voxels = np.argwhere(scan.labels == row.label) * geometry.spacing
        assert np.linalg.norm(voxels - where, axis=1).min() < 4.0


def test_coronary_lesions_lie_on_their_artery(scan):
    """The centre of a coronary lesion is within 5 mm of the centreline of its artery."""
    branches = build_coronaries(build_heart(scan.patient))
    geometry = scan.scan.geometry
    coronary = scan.lesions[scan.lesions.artery != ""]
    assert len(coronary) > 5
    for row in coronary.itertuples():
        point = geometry.to_index((row.x_mm, row.y_mm, row.z_mm)) * geometry.spacing + scan.origin_mm
        own = np.vstack([b.points for b in branches if b.label == row.label])
        assert np.linalg.norm(own - point, axis=1).min() < 5.0, row


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda p: p.name)
def test_no_mass_is_lost(protocol):
    """The noise-free excess of a deposit, summed over the scan, is its mass, under every protocol and motion."""
    rng = np.random.default_rng(7)
    pixel = protocol.fov_mm[0] / 512
    grid = Grid(np.arange(-30, 30, protocol.slice_spacing_mm, dtype=np.float32),
                *(np.arange(-25, 25, pixel, dtype=np.float32) for _ in range(2)))  # fmt: skip
    for radius, swing in ((0.5, 0.0), (1.4, 3.0), (3.2, 6.0)):
        centres = rng.uniform(-1, 1, 3) + np.array([[0, 0, 0], [0.8 * radius, 0, 0.5 * radius]])
        sampled = sample(Deposit(Label.LAD, "LAD", centres, np.full(2, radius), 400.0))
        motion = Motion({Label.LAD: np.array([0.3, 0.9, 0.2]) * swing})
        _, hu = excess(sampled, grid, protocol, motion.path_of(Label.LAD))
        found = float(hu.sum()) * protocol.slice_spacing_mm * pixel**2 / protocol.calcium_gain / 1000
        assert found == pytest.approx(sampled.mass_mg, rel=0.02)


@pytest.mark.parametrize("radius", [0.5, 1.0, 2.5])
def test_a_ball_has_the_volume_of_a_ball(radius):
    """Sampling every 0.3 mm keeps the volume of a ball to 3 %, and its centre."""
    centre = np.array([[1.23, -4.56, 7.89]])
    sampled = sample(Deposit(Label.LAD, "LAD", centre, np.array([radius]), 500.0))
    assert sampled.volume_mm3 == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.03)
    assert sampled.mass_mg == pytest.approx(sampled.volume_mm3 * 0.5)
    assert sampled.centre_mm == pytest.approx(centre[0], abs=0.02)


def test_thicker_slices_dilute_a_small_lesion():
    """Partial volume: the same speck is brighter in 2.5 mm than in 5 mm slices."""
    speck = sample(Deposit(Label.RCA, "RCA", np.zeros((1, 3)), np.array([0.9]), 600.0))
    peak = {}
    for name in ("gated-2.5mm", "chest-5mm"):
        protocol = find_protocol(name)
        axis = np.arange(-12, 12, 0.5, dtype=np.float32)
        z = np.arange(-20, 20, protocol.slice_spacing_mm, dtype=np.float32)
        peak[name] = float(excess(speck, Grid(z, axis, axis), protocol)[1].max())
    assert peak["gated-2.5mm"] > 1.5 * peak["chest-5mm"]


@pytest.mark.parametrize("name", ["gated-3mm", "gated-3mm-overlap", "chest-2.5mm"])
def test_noise_is_as_strong_as_asked_and_strongest_inside(name):
    """The SD at the reference is the one asked for; near the skin of a water cylinder it is lower."""
    coarse = np.arange(-210, 211, 6, dtype=np.float32)
    body_grid = Grid(np.array([0, 15, 30], dtype=np.float32), coarse, coarse)
    _, y, x = body_grid.mesh
    body = np.broadcast_to(np.where(y**2 + x**2 < 170**2, 0.0, -1000.0), body_grid.shape).astype(np.float32)
    axis = ((np.arange(192) - 95.5) * 1.8).astype(np.float32)
    target = Grid(np.arange(0, 30, 3, dtype=np.float32), axis, axis)
    protocol = replace(find_protocol(name), matrix=192)
    drawn = noise(
        lambda layer: np.random.default_rng([1, 1000 + layer]),
        target, protocol, 20.0, body, body_grid, np.array([15.0, 0.0, 0.0]),
    )  # fmt: skip
    far = np.hypot(*np.meshgrid(axis, axis, indexing="ij"))
    assert drawn[:, far < 30].std() == pytest.approx(20.0, rel=0.08)
    assert drawn[:, (far > 140) & (far < 160)].std() < 0.95 * drawn[:, far < 30].std()
    assert abs(drawn.mean()) < 0.5


@pytest.mark.parametrize(("name", "first"), [("LAD", 8), ("LAD", 45), ("LCX", 8), ("RCA", 8)])
def test_arteries_hug_the_heart(name, first):
    """LAD, LCX and RCA run within 8 mm of the surface of chambers and pulmonary trunk, in every patient."""
    for seed in range(6):
        heart = build_heart(draw_patient(seed))
        branch = next(b for b in build_coronaries(heart) if b.name == name)
        assert 45 < branch.length_mm < 200
        p = branch.points[first:]
        shapes = [*heart.chambers.values(), heart.vessels["pulmonary trunk"]]
        nearest = np.min([c.distance(p[:, 0], p[:, 1], p[:, 2]) for c in shapes], axis=0)
        assert np.percentile(np.abs(nearest), 90) < 8.0, (seed, branch.name)


def test_padding_outside_the_circle():
    """A circular reconstruction is padded in its corners and nowhere else."""
    digital = generate(5, replace(TINY, circular=True))
    assert (digital.scan.hu[:, 0, 0] == OUTSIDE_HU).all()
    assert digital.scan.hu[:, 32, 32].min() > -200


def test_distances_of_simple_shapes():
    """Balls and cones have the distances of geometry."""
    ball = Ellipsoid(np.array([1.0, 2.0, 3.0]), np.array([5.0, 5.0, 5.0]))
    assert float(ball.distance(1.0, 2.0, 11.0)) == pytest.approx(3.0, abs=1e-4)
    assert float(cone_distance(0, 0, 5, (0, 0, 0), (0, 0, 10), 2.0, 4.0)) == pytest.approx(-3.0)
    grid = Grid.box((-9, -9, -9), (9, 9, 9), 1.0)
    tube = Tube(np.array([[0.0, 0, -5], [0, 0, 5]]), np.array([3.0, 3.0]))
    assert field(grid, [tube])[9, 9, 9] == pytest.approx(-3.0)
    a, b = field(grid, [ball]), field(grid, [tube])
    joined = smooth_union(a, b, 4.0)
    assert (joined <= np.minimum(a, b) + 1e-4).all()
    assert (joined >= np.minimum(a, b) - 1.01).all()


def test_painted_volume_is_the_shape_s():
    """Anti-aliased edges keep a ball's volume, whether painted as a layer or as a tube."""
    grid = Grid.box((-12, -12, -12), (12, 12, 12), 0.8)
    ball = Ellipsoid(np.zeros(3), np.full(3, 7.0))
    coarse = Grid.box((-13, -13, -13), (13, 13, 13), 2.0)
    painted = render([Layer(coarse, field(coarse, [ball]), 0.0)], grid)
    volume = float(((painted + 1000) / 1000).sum()) * 0.8**3
    assert volume == pytest.approx(4 / 3 * np.pi * 343, rel=0.04)
    empty = np.zeros(grid.shape, dtype=np.float32)
    paint_tube(empty, grid, Tube(np.array([[0.0, 0, -6], [0, 0, 6]]), np.array([2.0, 2.0])), 100.0)
    assert float(empty.sum()) * 0.8**3 / 100 == pytest.approx(np.pi * 4 * 12 + 4 / 3 * np.pi * 8, rel=0.06)


def test_wobble_has_the_spread_asked_for():
    """A smooth random field has mean near 0 and the amplitude asked for."""
    grid = Grid.box((0, 0, 0), (90, 90, 90), 2.0)
    drawn = wobble(np.random.default_rng(0), grid, 5.0, 3.0)
    assert drawn.std() == pytest.approx(3.0, rel=0.2)
    assert drawn.shape == grid.shape


def test_a_path_keeps_its_ends():
    """Smoothing moves neither end."""
    line = path([(0, 0, 0), (5, 9, 2), (20, 3, 4)], 1.0)
    assert line[0] == pytest.approx((0, 0, 0))
    assert line[-1] == pytest.approx((20, 3, 4))
