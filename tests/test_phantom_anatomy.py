"""The anatomy of digital patients: every structure at its place, at its HU and as often as said."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import find_objects, label, uniform_filter

from calcscore_ml.phantom import draw_patient, find_protocol, generate
from calcscore_ml.phantom.abdomen import BRIGHT_MEAL_SHARE, abdomen_layers, has_bright_meal
from calcscore_ml.phantom.arms import ARMS_DOWN_SHARE, arms_down, humerus_mm
from calcscore_ml.phantom.canvas import Grid, zyx
from calcscore_ml.phantom.couch import paint_clutter, paint_couch
from calcscore_ml.phantom.heart import build_heart, heart_grid, heart_layers, pericardium
from calcscore_ml.phantom.painter import AIR_HU, Layer, compact, render
from calcscore_ml.phantom.ribs import DROP_MM, _rib, paint_ribs
from calcscore_ml.phantom.skeleton import flat_bone_layers
from calcscore_ml.phantom.spine import levels, spine_layers
from calcscore_ml.phantom.thorax import build_thorax, lung_layers, midline_layers

CHEST = replace(
    find_protocol("chest-5mm"), matrix=160, fov_mm=(560.0, 560.0), z_range_mm=(-40.0, -10.0), noise_sd_hu=(0.1, 0.1)
)
HANGING = 3
"""A patient whose arms hang."""
MEALS = (5, 7, 9, 10)
"""Patients with a bright meal; some only in the bowel."""
PLAIN_PATIENT = 2
"""A patient with neither."""


def slab(low, high, step=1.5, half=60.0, back=90.0, front=-40.0):
    """A grid around the spine."""
    y = np.arange(front, back, step, dtype=np.float32)
    return Grid(np.arange(low, high, step, dtype=np.float32), y, np.arange(-half, half, step, dtype=np.float32))


def test_how_often_arms_hang():
    """The share of hanging arms is the one said, and no gated scan shows them."""
    patients = [draw_patient(seed) for seed in range(600)]
    assert np.mean([arms_down(p, gated=False) for p in patients]) == pytest.approx(ARMS_DOWN_SHARE, abs=0.04)
    assert not any(arms_down(p, gated=True) for p in patients)


def test_how_often_a_meal_is_bright():
    """The share of bright meals is the one said."""
    share = np.mean([has_bright_meal(draw_patient(seed)) for seed in range(600)])
    assert share == pytest.approx(BRIGHT_MEAL_SHARE, abs=0.045)


def test_hanging_arms_are_bone_in_muscle_beside_the_trunk():
    """A scan without gating shows the humerus where it should be, in muscle, and a gated scan shows none."""
    patient = draw_patient(HANGING)
    for gated, expected in ((False, True), (True, False)):
        digital = generate(HANGING, replace(CHEST, gated=gated))
        hu, origin = digital.scan.hu, digital.origin_mm
        spacing = np.array(digital.scan.geometry.spacing)
        for side in (-1, 1):
            point = zyx(humerus_mm(patient, side)[2])
            point[0] = -25.0
            line = np.array([zyx(p) for p in humerus_mm(patient, side)])
            point[2] = np.interp(point[0], line[::-1, 0], line[::-1, 2])
            point[1] = np.interp(point[0], line[::-1, 0], line[::-1, 1])
            k, i, j = np.rint((point - origin) / spacing).astype(int)
            around = hu[k, i - 6 : i + 7, j - 6 : j + 7]
            assert (around.max() > 600) is np.bool_(expected)
            if expected:
                ring = hu[k, i, [j - 8, j + 8]]
                assert ((ring > 0) & (ring < 110)).all()


def test_only_bright_meals_are_bright():
    """Large bright volumes below the diaphragm are in patients with a bright meal, below it, and nowhere else."""
    found = {}
    for seed in (*MEALS, PLAIN_PATIENT):
        patient = draw_patient(seed)
        thorax = build_thorax(patient, -110.0, 0.0)
        axis = np.arange(-150, 151, 3, dtype=np.float32)
        grid = Grid(np.arange(-110, 0, 3, dtype=np.float32), axis - np.float32(60), axis)
        volume = render(abdomen_layers(thorax), grid)
        bright = (volume > 130) & (volume < 800)
        found[seed] = float(bright.sum()) * 27
        assert not bright[grid.z > patient.dome_mm + 12].any()
        assert (volume < -800).any(), "gas"
    assert min(found[seed] for seed in MEALS) > 8000 > found[PLAIN_PATIENT]


@pytest.mark.parametrize("seed", [1, 4, 8])
def test_the_spine_has_bone_at_every_height(seed):
    """Bone behind the canal, the body in front of it, discs that are not bone, and a canal free of bone."""
    patient = draw_patient(seed)
    volume = render(spine_layers(patient, -50, 50), grid := slab(-45, 45))
    z, y, x = np.broadcast_arrays(*grid.mesh)
    behind = (y > 29) & (y < 45) & (np.abs(x) < 25)
    assert all((volume[k][behind[k]] > 250).sum() > 15 for k in range(len(grid.z)))
    assert (np.where((np.hypot(x, y - 22) < 4), volume, 0) < 130).all()
    lamina = (y > 28) & (y < 38) & (np.abs(x) > 4) & (np.abs(x) < 8)
    assert np.mean([volume[k][lamina[k]].max() > 250 for k in range(len(grid.z))]) > 0.7
    period, phase = levels(patient)
    near_disc = np.abs(np.mod(z - phase + period / 2, period) - period / 2) < 0.8
    assert np.median(volume[near_disc & (np.hypot(x, y) < 8)]) == pytest.approx(88, abs=20)
    marrow = volume[(np.abs(np.mod(z - phase, period) - period / 2) < 6) & (np.hypot(x, y + 2) < 8)]
    assert np.median(marrow) == pytest.approx(patient.tissue.trabecular_hu, rel=0.4, abs=30)
    inside = (np.abs(np.mod(z - phase, period) - period / 2) < 6) & (np.hypot(x, y + 2) < 8)
    fine = volume - uniform_filter(volume, 5)
    assert fine[inside].std() > 0.12 * patient.tissue.trabecular_hu, "trabecular texture"


def test_no_lung_behind_the_vertebral_body():
    """Beside the canal lies soft tissue, not lung."""
    patient = draw_patient(PLAIN_PATIENT)
    thorax = build_thorax(patient, -20, 20)
    nothing = np.full(thorax.grid.shape, np.float32(50))
    layers = lung_layers(thorax, nothing) + spine_layers(patient, -20, 20)
    volume = render(layers, grid := slab(-15, 15))
    _, y, x = np.broadcast_arrays(*grid.mesh)
    beside = (y > 14) & (y < 30) & (np.abs(x) < 18)
    assert (volume[beside] > -300).all()


def test_bone_thins_with_age():
    """Marrow of the old is darker, and its coarse texture is kept."""
    young = [p.tissue.trabecular_hu for p in map(draw_patient, range(300)) if p.age_years < 55]
    old = [p.tissue.trabecular_hu for p in map(draw_patient, range(300)) if p.age_years > 72]
    assert np.mean(young) - np.mean(old) > 25


def test_ribs_slope():
    """Ribs fall to the front: every slice cuts many of them, each over a short length."""
    patient = draw_patient(PLAIN_PATIENT)
    axis = np.arange(-220, 221, 2, dtype=np.float32)
    grid = Grid(np.arange(-30, 31, 6, dtype=np.float32), axis - np.float32(60), axis)
    volume = np.full(grid.shape, np.float32(40))
    paint_ribs(volume, grid, patient)
    for plane in volume:
        pieces, count = label(plane > 300)
        assert count >= 8
        assert max((piece[0].stop - piece[0].start) * 2 for piece in find_objects(pieces)) < 130, "mm, front to back"
    for number in range(2, 9):
        points = _rib(patient, number, 0.0, 1, np.random.default_rng(0))[0].points
        assert points[0, 0] - points[-1, 0] == pytest.approx(DROP_MM[number - 1], rel=0.2)
    assert np.all(np.diff(DROP_MM[:8]) > 0)
    assert volume[volume > 160].std() > 80, "cortex and marrow differ"


def test_shoulders_have_a_socket_spine_and_head():
    """The head of the humerus lies beside the shoulder blade, on both sides, and hanging arms leave it downwards."""
    patient = draw_patient(PLAIN_PATIENT)
    axis = np.arange(-230, 231, 3, dtype=np.float32)
    grid = Grid(np.arange(20, 190, 3, dtype=np.float32), np.arange(-80, 121, 3, dtype=np.float32), axis)
    up = render(flat_bone_layers(patient, 20, 190), grid) > 0
    down = render(flat_bone_layers(patient, 20, 190, arms_hang=True), grid) > 0
    assert up[grid.z > 175].sum() > 4 * down[grid.z > 175].sum()
    for side in (-1, 1):
        assert up[:, :, np.sign(grid.x) == side].sum() * 0.027 > 60, "cm3 of bone"


def test_the_couch_lies_behind_the_patient_and_never_in_them():
    """Couch, cables and cloth fill air only; the couch is behind the body."""
    for seed in range(4):
        thorax = build_thorax(draw_patient(seed), -40, 40)
        axis = np.arange(-250, 251, 3, dtype=np.float32)
        grid = Grid(np.arange(-30, 30, 3, dtype=np.float32), np.arange(-290, 140, 2, dtype=np.float32), axis)
        before = render([Layer(thorax.grid, thorax.skin, 40.0)], grid)
        after = before.copy()
        paint_couch(after, grid, thorax)
        changed = after != before
        assert changed.any()
        assert (before[changed] < -690).all()
        body = np.argwhere(before > 0)
        assert (np.argwhere(after - before > 200)[:, 1] >= body[:, 1].max() - 45).all()
        paint_clutter(after, grid, thorax, gated=True)
        assert np.array_equal(after[before > -600], before[before > -600])


def test_a_foam_couch_is_never_bright():
    """Radiotherapy couches give no candidates; others do in some patients."""
    bright = {True: 0, False: 0}
    for seed in range(8):
        thorax = build_thorax(draw_patient(seed), -10, 10)
        axis = np.arange(-250, 251, 1, dtype=np.float32)
        grid = Grid(np.arange(-6, 6, 3, dtype=np.float32), np.arange(-20, 190, 1, dtype=np.float32), axis)
        for foam in bright:
            air = np.full(grid.shape, np.float32(AIR_HU))
            paint_couch(air, grid, thorax, foam=foam)
            bright[foam] += int((air >= 130).any())
    assert bright[True] == 0
    assert bright[False] >= 4


def test_gated_scans_have_electrodes():
    """Metal sticks to the skin in front of every gated scan's patient."""
    for seed in range(4):
        thorax = build_thorax(draw_patient(seed), -100, 60)
        axis = np.arange(-180, 181, 1.5, dtype=np.float32)
        grid = Grid(np.arange(-95, -40, 3, dtype=np.float32), np.arange(-290, 0, 1.5, dtype=np.float32), axis)
        air = np.full(grid.shape, np.float32(AIR_HU))
        paint_clutter(air, grid, thorax, gated=True)
        assert air.max() > 700


def test_left_and_right_blood_fill_their_own_vessels():
    """With contrast, the left ventricle and aorta hold left blood, the right atrium and lung artery right blood."""
    patient = draw_patient(PLAIN_PATIENT)
    patient = replace(patient, tissue=replace(patient.tissue, left_blood_hu=400.0, right_blood_hu=150.0))
    heart = build_heart(patient)
    grid = heart_grid(patient, -40, 70)
    sac = pericardium(heart, grid)
    volume = render(heart_layers(heart, grid, sac, np.full(grid.shape, np.float32(-60)), 1.0), grid)

    def at(point):
        k, i, j = (int(np.searchsorted(a, v)) for a, v in zip((grid.z, grid.y, grid.x), point, strict=True))
        return float(np.median(volume[k - 1 : k + 2, i - 1 : i + 2, j - 1 : j + 2]))

    assert at(heart.chambers["left ventricle"].centre) == pytest.approx(400, abs=12)
    assert at(heart.chambers["right atrium"].centre) == pytest.approx(150, abs=12)
    for name, hu in (("ascending aorta", 400), ("pulmonary trunk", 150), ("superior vena cava", 150)):
        points = heart.vessels[name].points
        assert at(points[len(points) // 2]) == pytest.approx(hu, abs=12), name


def test_the_thyroid_is_bright_at_the_top():
    """In some patients the thyroid, about 108 HU, lies beside the windpipe at the top of the chest, never below."""
    seen = 0
    for seed in range(12):
        patient = draw_patient(seed)
        thorax = build_thorax(patient, 60, 170)
        grid = heart_grid(patient, 60, 170)
        volume = render(midline_layers(thorax, grid), grid)
        bright = volume > 80
        assert not bright[grid.z < 100].any()
        seen += bool(bright.any())
    assert 2 <= seen <= 10


def test_compact_layers_paint_the_same():
    """Cutting layers changes no voxel, and drops those that paint nothing."""
    thorax = build_thorax(draw_patient(PLAIN_PATIENT), -20, 0)
    layers = [Layer(thorax.grid, thorax.skin, 40.0), Layer(thorax.grid, thorax.skin + 5, thorax.cavity)]
    layers.append(Layer(thorax.grid, np.full(thorax.grid.shape, np.float32(50)), 10.0))
    cut = compact(layers)
    assert len(cut) == 2
    axis = np.arange(-200, 201, 5, dtype=np.float32)
    grid = Grid(np.arange(-18, 0, 4, dtype=np.float32), axis - np.float32(60), axis)
    assert np.array_equal(render(cut, grid), render(layers, grid))
