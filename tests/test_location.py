"""Where heart, aorta and arteries lie: grids, surfaces, registration, circles, and the whole of it."""

from dataclasses import replace

import numpy as np
import pytest

from calcscore_features import place
from calcscore_ml.anatomy import ARTERIES, Label, Organ
from calcscore_ml.candidates import find_candidates
from calcscore_ml.geometry import Geometry
from calcscore_ml.heart import locate as locating
from calcscore_ml.heart.aorta import refine_aorta
from calcscore_ml.heart.atlas import LANDMARKS, read_atlases
from calcscore_ml.heart.diaphragm import floor_mm, trim_heart
from calcscore_ml.heart.fusion import FUSED
from calcscore_ml.heart.grid import Copy, Grid, extent_mm, resample
from calcscore_ml.heart.locate import Location, locate
from calcscore_ml.heart.registration import Affine, RegistrationSettings, register
from calcscore_ml.heart.roi import HeartBox
from calcscore_ml.heart.surfaces import Surface
from calcscore_ml.phantom.digital import organ_truth
from calcscore_ml.scan import OUTSIDE_HU, Scan

QUICK = RegistrationSettings(demons_iterations=(30, 20, 5))


@pytest.fixture(scope="module")
def atlases():
    return read_atlases()


@pytest.fixture(scope="module")
def chest(located_chest):
    return located_chest[0]


@pytest.fixture(scope="module")
def located(located_chest):
    return located_chest[1]


def test_a_copy_of_a_ramp_is_the_ramp():
    """Averaging blocks and interpolating leaves a linear image as it is, at any spacing and offset."""
    geometry = Geometry((12, 40, 40), (3.0, 0.8, 0.8))
    z, y, x = (np.arange(n) * s for n, s in zip(geometry.shape, geometry.spacing, strict=True))
    scan = Scan(np.rint(2 * z[:, None, None] + 3 * y[:, None] - 4 * x).astype(np.int16), geometry)
    grid = Grid.cover((6, 5, 5), (27, 25, 25), 4.0)
    hu, known = resample(scan, grid, (-2000, 2000))
    at = grid.points()
    np.testing.assert_allclose(hu.ravel(), at @ [2, 3, -4], atol=0.6)
    assert known.all()


def test_beyond_the_scan_nothing_is_known():
    """Voxels of a copy outside the scan, or outside its reconstruction, are told apart."""
    hu = np.zeros((10, 40, 40), np.int16)
    hu[:, :, :20] = OUTSIDE_HU
    scan = Scan(hu, Geometry(hu.shape, (4.0, 4.0, 4.0)))
    _, known = resample(scan, Grid.cover((-8, 0, 0), (36, 156, 156), 4.0), (-200, 100))
    assert not known[:2].any()
    assert not known[2:, :, :20].any()
    assert known[2:, :, 21:].all()


def test_distance_to_a_ball_is_right():
    """To 0.2 mm on average and 0.8 at worst, negative inside, for a ball drawn softly on 4 mm voxels."""
    grid = Grid.cover((0, 0, 0), (120, 120, 120), 4.0)
    radius = 33.0
    away = np.linalg.norm(grid.points() - 60, axis=1) - radius
    ball = np.clip(0.5 - away / 4, 0, 1).reshape(grid.shape).astype(np.float32)
    at = np.random.default_rng(3).uniform(5, 115, (200, 3))
    true = np.linalg.norm(at - 60, axis=1) - radius
    found = Surface.of(ball, grid).distance(at)
    error = np.abs(found - true)[np.abs(true) > 3]
    assert error.mean() < 0.2
    assert error.max() < 0.8
    assert np.isnan(Surface.of(np.zeros_like(ball), grid).distance(at)).all()


def warped_copy(atlas, shift_mm, stretch):
    """A copy of a template, moved and stretched about its middle, and the map from the copy to the template."""
    middle = atlas.grid.upper_mm / 2
    affine = Affine(np.diag(stretch), middle - np.diag(stretch) @ middle + shift_mm)
    grid = Grid.cover(atlas.box_mm[0] - 20, atlas.box_mm[1] + 30, 4.0)
    hu = atlas.grid.sample(atlas.hu, affine(grid.points())).reshape(grid.shape)
    return Copy(grid, hu, np.ones(grid.shape, dtype=bool)), affine


def test_registration_finds_a_known_map(atlases):
    """A template moved by 12 mm and stretched by 8 % is found again: points go home to 1.5 mm on average."""
    atlas = replace(atlases[0], settings=QUICK)
    copy, true = warped_copy(atlas, np.array([6.0, -8.0, 7.0]), np.array([1.08, 0.95, 1.04]))
    start = Affine(np.eye(3), np.zeros(3))
    found = register(copy, atlas, start)
    assert found.failure == ""
    at = np.random.default_rng(1).uniform(*true.inverse(atlas.box_mm), (200, 3))
    assert np.linalg.norm(found.to_atlas(at) - true(at), axis=1).mean() < 1.5
    np.testing.assert_allclose(found.to_scan(found.to_atlas(at)), at, atol=0.3)


def test_registration_is_the_same_every_time(atlases):
    """No clock and no thread has a say: two runs agree to the bit."""
    atlas = replace(atlases[1], settings=QUICK)
    copy, _ = warped_copy(atlas, np.array([4.0, 3.0, -5.0]), np.ones(3))
    start = Affine(np.eye(3), np.zeros(3))
    one, two = (register(copy, atlas, start) for _ in range(2))
    assert np.array_equal(one.affine.matrix, two.affine.matrix)
    assert np.array_equal(one.displacement_mm, two.displacement_mm)


@pytest.mark.parametrize("kind", ["noise", "upside down", "flat"])
def test_a_registration_that_failed_says_so(atlases, kind):
    """What is no chest, or a chest on its head, is not registered to the mean scan in silence."""
    atlas = replace(atlases[0].group, settings=QUICK)
    copy, _ = warped_copy(atlas, np.zeros(3), np.ones(3))
    hu = copy.hu
    if kind == "noise":
        hu = np.random.default_rng(2).uniform(-200, 100, hu.shape).astype(np.float32)
    hu = {"noise": hu, "upside down": np.ascontiguousarray(hu[::-1, ::-1]), "flat": np.zeros_like(hu)}[kind]
    start = Affine(np.eye(3), np.zeros(3))
    assert register(replace(copy, hu=hu), atlas, start).failure


def test_the_aorta_is_found_where_its_rim_is():
    """A soft tube in fat, proposed 6 mm away and 1.5 mm too thin, is found to a millimetre in place and size."""
    grid = Grid.cover((0, 0, 0), (100, 140, 140), 4.0)
    y = grid.lower_mm[1] + np.arange(grid.shape[1])[:, None] * 4.0
    x = grid.lower_mm[2] + np.arange(grid.shape[2]) * 4.0

    def tube(cy, cx, radius):
        plane = np.clip(0.5 + (radius - np.hypot(y - cy, x - cx)) / 4, 0, 1)
        return np.repeat(plane[None], grid.shape[0], axis=0).astype(np.float32)

    hu = (-100 + 145 * tube(70, 72, 13.0)).astype(np.float32)
    hu += np.random.default_rng(0).normal(0, 8, hu.shape).astype(np.float32)
    nothing = np.zeros(grid.shape, dtype=np.float32)
    organs = dict.fromkeys(FUSED, nothing) | {Organ.DESCENDING_AORTA: tube(70, 66, 11.5)}
    found = refine_aorta(hu, grid, organs)[Organ.DESCENDING_AORTA]
    area = found[10].sum() * 16
    centre = (found[10] * x).sum() / found[10].sum()
    assert abs(np.sqrt(area / np.pi) - 13.0) < 1.0
    assert abs(centre - 72) < 1.0


def test_the_heart_ends_where_it_is_told_to():
    """Nothing is left below the floor, nor of a tongue a ball of 8 mm does not fit into; the rest stays."""
    grid = Grid.cover((0, 0, 0), (160, 160, 160), 4.0)
    ball = (np.linalg.norm(grid.points() - 80, axis=1) < 50).reshape(grid.shape).astype(np.float32)
    tongue = ball.copy()
    tongue[4:10, 19:21, 19:21] = 1
    trimmed = trim_heart(tongue, grid, 50.0)
    heights = grid.lower_mm[0] + np.arange(grid.shape[0]) * 4
    assert not (trimmed[heights < 47] >= 0.5).any()
    assert (trimmed >= 0.5)[heights > 60].sum() > 0.97 * (ball >= 0.5)[heights > 60].sum()
    assert not (trim_heart(tongue, grid, -np.inf)[5] >= 0.5).any()


def test_the_floor_is_the_higher_of_what_is_known(chest):
    """Slices count when they are trusted, the liver where the whole chest is seen and it agrees with them."""
    slices = HeartBox((60.0, 0.0, 0.0), (150.0, 100.0, 100.0))
    lungs = HeartBox((80.0, 0.0, 0.0), (150.0, 100.0, 100.0), on_liver=True)
    wide = Scan(np.zeros((10, 4, 80), np.int16), Geometry((10, 4, 80), (5.0, 4.0, 4.0)))
    assert floor_mm(wide, {"lungs": lungs, "slices": slices}) == 68.0
    assert floor_mm(wide, {"lungs": None, "slices": slices}) == 50.0
    assert floor_mm(wide, {"lungs": None, "slices": replace(slices, trusted=False)}) == -np.inf
    far = replace(lungs, lower_mm=(120.0, 0.0, 0.0))
    assert floor_mm(wide, {"lungs": far, "slices": slices}) == 50.0
    narrow = Scan(np.zeros((10, 4, 40), np.int16), Geometry((10, 4, 40), (5.0, 4.0, 4.0)))
    assert floor_mm(narrow, {"lungs": lungs, "slices": slices}) == 50.0


def test_a_real_heart_is_located(located, chest):
    """On the chest scan of the repository atlases are trusted; arteries leave the aorta and lie near the heart."""
    assert located.trusted
    aorta = Surface.of(np.sum([located.organs[o] for o in (2, 3, 4)], axis=0), located.grid)
    heart = Surface.of(located.organs[Organ.HEART], located.grid)
    for artery in ARTERIES:
        line = located.arteries[artery].mean(axis=0)
        assert np.percentile(np.abs(heart.distance(line)), 90) < 35
    for ostium in ("left ostium", "right ostium"):
        assert np.abs(aorta.distance(located.landmarks[ostium].mean(axis=0)[None])).max() < 9
    assert ((located.box.as_array()[0] >= -5) & (located.box.as_array()[1] <= extent_mm(chest) + 5)).all()


def test_the_number_of_threads_changes_nothing(chest, atlases, located):
    """One thread or several: the same location."""
    alone = locate(chest, atlases, threads=1)
    for artery in ARTERIES:
        assert np.array_equal(alone.arteries[artery], located.arteries[artery])
    assert alone.box == located.box


def test_a_digital_heart_is_where_it_is_known_to_be(located_digital):
    """In a gated digital scan the box, the heart and every artery are near the truth."""
    digital, found = located_digital
    truth = organ_truth(4711, digital.protocol)
    assert found.trusted
    spacing = np.asarray(digital.scan.geometry.spacing)
    at = np.clip(np.rint(found.grid.points() / spacing).astype(int), 0, np.array(digital.scan.hu.shape) - 1)
    true = truth.organs[tuple(at.T)].reshape(found.grid.shape) == Organ.HEART
    mine = found.labels() == Organ.HEART
    assert 2 * (true & mine).sum() / (true.sum() + mine.sum()) > 0.9
    for artery, branch in ((Label.LM, "left main"), (Label.LAD, "LAD"), (Label.LCX, "LCX"), (Label.RCA, "RCA")):
        table = truth.centrelines[truth.centrelines["branch"] == branch]
        line = digital.scan.geometry.to_index(table[["x_mm", "y_mm", "z_mm"]].to_numpy()) * spacing
        line = line[((line >= 0) & (line <= extent_mm(digital.scan))).all(axis=1)]
        near = np.linalg.norm(line[:, None] - found.arteries[artery].mean(axis=0)[None], axis=2).min(axis=1)
        assert near.mean() < 12


def test_without_atlases_there_is_a_box_and_no_claim(chest):
    """The boxes of lungs and slices are found, nothing is trusted, and the remark says why."""
    found = locate(chest, ())
    assert found.box is not None
    assert not found.trusted
    assert "no atlas" in found.remark
    assert not found.arteries


def test_what_is_no_chest_is_not_located(atlases):
    """Water has no heart: no box, no artery, a remark."""
    hu = np.zeros((20, 60, 60), np.int16)
    found = locate(Scan(hu, Geometry(hu.shape, (3.0, 3.0, 3.0))), atlases)
    assert found.box is None
    assert not found.trusted
    assert found.remark


@pytest.mark.parametrize(
    ("change", "words"),
    [("MOST_SPREAD_MM", "apart"), ("FAR_MM", "slices"), ("LEAST_INSIDE", "only")],
)
def test_every_check_can_refuse(monkeypatch, located, chest, change, words):
    """A location is doubted when its atlases disagree, when boxes disagree, or when little of the heart is seen."""
    monkeypatch.setattr(locating, change, 2.0 if change == "LEAST_INSIDE" else -1.0)
    assert words in locating._doubt(located, located.box, chest)
    assert locating._doubt(located, None, chest)


def two_organs(split_at):
    """A bright bar from the aorta into the spine, and a location whose aorta ends at `split_at` mm."""
    hu = np.zeros((8, 30, 30), np.int16)
    hu[2:6, 14:17, 4:26] = 400
    scan = Scan(hu, Geometry(hu.shape, (4.0, 4.0, 4.0)))
    grid = Grid.cover((0, 0, 0), (28, 116, 116), 4.0)
    organs = {organ: np.zeros(grid.shape, dtype=np.float32) for organ in FUSED}
    organs[Organ.DESCENDING_AORTA][:, :, : split_at // 4] = 1
    organs[Organ.SPINE][:, :, 20:] = 1
    return scan, Location(None, {}, trusted=True, grid=grid, organs=organs)


def test_what_reaches_into_the_spine_is_split_at_the_aorta():
    """The part in the aorta becomes a candidate of its own; no voxel is lost, and none counted twice."""
    scan, location = two_organs(40)
    whole, split = find_candidates(scan), find_candidates(scan, location=location)
    assert len(whole) == 1
    assert len(split) == 2
    assert sorted(map(tuple, split.voxels)) == sorted(map(tuple, whole.voxels))
    columns = [split.voxels[split.owner == k][:, 2] for k in range(2)]
    assert max(columns[0]) < min(columns[1]) or max(columns[1]) < min(columns[0])


def test_what_does_not_touch_the_spine_stays_whole():
    """Calcium of the aorta that reaches out of it is one candidate, unless it reaches the spine."""
    scan, location = two_organs(40)
    location.organs[Organ.SPINE][:] = 0
    assert len(find_candidates(scan, location=location)) == 1
    assert len(find_candidates(scan, location=replace(location, trusted=False))) == 1


def test_features_and_atlases_speak_of_the_same_things():
    """The order of arteries and the names of landmarks are those of the features."""
    assert tuple(artery.name.lower() for artery in ARTERIES) == place.ARTERIES
    assert tuple(name.replace(" ", "_") for name in LANDMARKS) == place.LANDMARKS
