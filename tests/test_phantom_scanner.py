"""The scanner of the digital cohort: spectrum, kernels, motion, noise, metal."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.special import ndtr

from calcscore_ml.anatomy import Label
from calcscore_ml.errors import RecipeError
from calcscore_ml.phantom import KERNELS, PROTOCOLS, Protocol, draw_patient, find_kernel, find_protocol, generate
from calcscore_ml.phantom.acquisition import blur, noise
from calcscore_ml.phantom.canvas import Grid
from calcscore_ml.phantom.coronaries import build_coronaries
from calcscore_ml.phantom.deposits import Deposit, excess, sample
from calcscore_ml.phantom.doubling import Doubling
from calcscore_ml.phantom.heart import build_heart
from calcscore_ml.phantom.motion import RESTLESS_MM, SWING_MM, WALL_MM, Motion, beat_curve, draw_motion
from calcscore_ml.phantom.projection import SHOULDERS_MM, STARVATION, artefact, harden, hardened
from calcscore_ml.phantom.protocols import noise_factor
from calcscore_ml.phantom.spectrum import Contrast, calcium_factor, enhance, seen_at
from calcscore_ml.phantom.stents import draw_stents, stent_odds

GATED = find_protocol("gated-3mm")
CHEST = find_protocol("chest-5mm")
AXIS = ((np.arange(192) - 95.5) * 1.6).astype(np.float32)
PLANE = Grid(np.arange(0, 30, 3, dtype=np.float32), AXIS, AXIS)
X, Y = np.meshgrid(AXIS, AXIS)
WATER = np.where(X**2 + Y**2 < 130**2, 0, -1000).astype(np.float32)


def rods(hu=3000.0):
    """A water cylinder with two dense rods, 60 mm apart."""
    plane = WATER.copy()
    for side in (-30, 30):
        plane[(X - side) ** 2 + Y**2 < 25] = hu
    return plane


def drawn_noise(protocol, seed=0, target=PLANE, radii=(150, 150, 150), modulation=0.45):
    """Noise of SD 20 HU in the middle of water cylinders of some radii, at heights of 0, 15 and 30 mm."""
    coarse = np.arange(-210, 211, 6, dtype=np.float32)
    grid = Grid(np.array([0, 15, 30], dtype=np.float32), coarse, coarse)
    far = np.hypot(*np.meshgrid(coarse, coarse))
    body = np.stack([np.where(far < radius, 0.0, -1000.0) for radius in radii]).astype(np.float32)

    def layer(number):
        return np.random.default_rng([seed, 1000 + number])

    return noise(layer, target, protocol, 20.0, body, grid, np.array([15, 0, 0]), modulation)


def likeness(one, other):
    """Correlation of the noise in the middle of two slices."""
    near = np.hypot(X, Y) < 60
    return float(np.corrcoef(one[near], other[near])[0, 1])


def texture(field):
    """Mean frequency of the noise power in the middle [1/mm]."""
    cut = field[:, 32:160, 32:160]
    power = (np.abs(np.fft.fft2(cut)) ** 2).mean(axis=0)
    f = np.hypot(np.fft.fftfreq(128, 1.6)[:, None], np.fft.fftfreq(128, 1.6)[None, :])
    return float((power * f).sum() / power.sum())


def test_calcium_brightens_as_the_voltage_falls():
    """HU of calcium fall steadily from 70 to 140 kV, stay within published calibrations, and tin hardens the beam."""
    factors = [calcium_factor(kv) for kv in range(70, 141, 5)]
    assert (np.diff(factors) < 0).all()
    assert 1.36 <= calcium_factor(80.0) < 1.45
    assert 1.10 < calcium_factor(100.0) < 1.15
    assert calcium_factor(100.0, tin=True) < calcium_factor(120.0)


@pytest.mark.parametrize("kvp", [80.0, 100.0, 140.0])
def test_tissues_follow_the_spectrum(kvp):
    """Bone changes as calcium does, fat the other way, and water-like tissues stay."""
    tissue, factor = draw_patient(2).tissue, calcium_factor(kvp)
    seen = seen_at(tissue, factor)
    assert (seen.cortical_hu > tissue.cortical_hu) == (factor > 1)
    assert (seen.fat_hu < tissue.fat_hu) == (factor > 1)
    assert (seen.muscle_hu, seen.blood_hu, seen.liver_hu) == (tissue.muscle_hu, tissue.blood_hu, tissue.liver_hu)
    assert seen_at(tissue, 1.0) == tissue


def test_contrast_agent_fills_blood():
    """The left heart is as bright as asked; the right less in the arterial phase, alike in the venous; organs too."""
    tissue = draw_patient(2).tissue
    for seed in range(20):
        early = enhance(tissue, Contrast("arterial", (300.0, 500.0)), np.random.default_rng(seed))
        late = enhance(tissue, Contrast("venous", (105.0, 160.0)), np.random.default_rng(seed))
        assert 300 <= early.left_blood_hu <= 500
        assert tissue.blood_hu < early.right_blood_hu < early.left_blood_hu
        assert 105 <= late.left_blood_hu <= 160
        assert late.right_blood_hu == pytest.approx(late.left_blood_hu, rel=0.15)
        assert late.spleen_hu > tissue.spleen_hu + 20
        assert late.blood_hu == tissue.blood_hu
        low = enhance(tissue, Contrast("venous", (105.0, 160.0)), np.random.default_rng(seed), calcium_factor(80.0))
        assert low.left_blood_hu > 1.3 * late.left_blood_hu


def test_contrast_reaches_the_scan():
    """An enhanced scan shows bright blood in the left ventricle, and its header names the agent."""
    small = replace(find_protocol("angiography"), matrix=64, slice_spacing_mm=3.0, slice_thickness_mm=3.0,
                    z_range_mm=(-45.0, -36.0), noise_sd_hu=(1.0, 1.0))  # fmt: skip
    enhanced, plain = generate(3, small), generate(3, replace(small, contrast=None))
    assert enhanced.scan.acquisition.contrast_agent
    assert plain.scan.acquisition.contrast_agent is None
    middle = enhanced.heart_box_mm.mean(axis=0)[1:] / enhanced.scan.geometry.spacing[1:]
    j, i = middle.astype(int)
    lit = [np.percentile(d.scan.hu[:, j - 12 : j + 12, i - 12 : i + 12], 90) for d in (enhanced, plain)]
    assert lit[0] > 200 > 100 > lit[1]


def test_contrast_is_drawn_only_when_named():
    """Protocols with contrast agent have no share; every protocol's name is its own and every kernel can be told."""
    assert all(p.share == 0 for p in PROTOCOLS if p.contrast)
    assert len({p.name for p in PROTOCOLS}) == len(PROTOCOLS)
    assert {p.kernel for p in PROTOCOLS} <= set(KERNELS)
    assert {p.filter for p in PROTOCOLS} == {"", "tin"}
    with pytest.raises(RecipeError, match="angiography"):
        find_protocol("nothing of that kind")


@pytest.mark.parametrize("kvp", [70.0, 80.0, 100.0, 135.0])
def test_a_deposit_follows_the_spectrum(kvp):
    """The same deposit adds as many more HU as calcium has at that voltage."""
    speck = sample(Deposit(Label.LAD, "LAD", np.zeros((1, 3)), np.array([1.0]), 400.0))
    grid = Grid(np.arange(-12, 12, 3, dtype=np.float32), *(np.arange(-8, 8, 0.5, dtype=np.float32) for _ in range(2)))
    base = excess(speck, grid, GATED)[1].sum()
    assert excess(speck, grid, replace(GATED, kvp=kvp))[1].sum() / base == pytest.approx(calcium_factor(kvp), rel=1e-4)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k.name)
def test_an_edge_shows_the_kernel_s_transfer(kernel):
    """The transfer measured on a painted edge is the closed form of the kernel; wires of calcium show the same."""
    step = 0.2
    axis = (np.arange(-160, 161) * step).astype(np.float32)
    thin = (np.arange(-3, 4) * step).astype(np.float32)
    grid = Grid(np.arange(-6, 7, 1.0, dtype=np.float32), thin, axis)
    edge = np.broadcast_to(np.where(axis > step / 2, 100.0, 0.0), grid.shape).astype(np.float32)
    target = Grid(np.zeros(1, dtype=np.float32), thin[3:4], axis)
    seen = blur(edge, grid, target, replace(GATED, kernel=kernel))[0, 0]
    spread = np.diff(seen)[20:-20]
    frequency = np.arange(0.1, 0.8, 0.1)
    centres = (axis[:-1] + step / 2)[20:-20]
    measured = np.abs((spread * np.exp(-2j * np.pi * frequency[:, None] * centres)).sum(axis=1)) / spread.sum()
    assert measured == pytest.approx(kernel.mtf(frequency), rel=0.03, abs=0.02)
    assert kernel.mtf(0.0) == pytest.approx(1.0)


def test_kernels_run_from_soft_to_sharp():
    """Each kernel passes more of 0.5 cycles per mm than the one before, and no less noise but for 3 %.

    Soft and standard are as fine as the noise of two scanners, whose kernels hardly differ.
    """
    passed = [float(k.mtf(0.5)) for k in KERNELS]
    gains = [k.noise_gain for k in KERNELS]
    assert passed == sorted(passed)
    assert all(sharper > 0.97 * softer for softer, sharper in pairwise(gains))
    assert gains[-1] > 1.5 * gains[2] > 2.5 * gains[0]


def test_kernels_that_enhance_edges_exceed_one():
    """The transfer of smooth kernels never exceeds 1; it rises to 1.05, 1.4 and 2.1 from medium to lung."""
    frequency = np.linspace(0, 1.5, 301)
    highest = {k.name: float(k.mtf(frequency).max()) for k in KERNELS}
    assert {name for name, peak in highest.items() if peak > 1} == {"medium", "sharp", "lung"}
    assert [highest[name] for name in ("medium", "sharp", "lung")] == pytest.approx([1.05, 1.4, 2.1], abs=0.03)


def test_lung_and_standard_differ_as_a_vendor_s_kernels():
    """Between 0.05 and 0.55 cycles per mm the ratio of transfers is that of a real exposure's two series to 15 %."""
    frequency = np.array([0.065, 0.125, 0.185, 0.245, 0.305, 0.365, 0.425, 0.485, 0.545])
    real = [1.17, 1.56, 2.20, 3.11, 4.28, 5.79, 7.57, 9.65, 12.04]  # Lung-PET-CT-Dx A0001, Philips L over B
    standard, lung = find_kernel("standard"), find_kernel("lung")
    assert lung.mtf(frequency) / standard.mtf(frequency) == pytest.approx(real, rel=0.15)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k.name)
def test_an_edge_of_lung_overshoots_by_the_kernel(kernel):
    """Soft tissue beside lung rises by the closed form of the point spread, and not at all without edge."""
    step = 0.2
    axis = (np.arange(-160, 161) * step).astype(np.float32)
    thin = (np.arange(-3, 4) * step).astype(np.float32)
    grid = Grid(np.arange(-6, 7, 1.0, dtype=np.float32), thin, axis)
    tissue = np.broadcast_to(np.where(axis > step / 2, 40.0, -860.0), grid.shape).astype(np.float32)
    target = Grid(np.zeros(1, dtype=np.float32), thin[3:4], axis)
    seen = blur(tissue, grid, target, replace(GATED, kernel=kernel))[0, 0]
    x = np.linspace(0, 8, 2001)
    wanted = 40 + 900 * max(float((sum(w * ndtr(x / s) for w, s in kernel.lobes) - 1).max()), 0.0)
    assert seen.max() == pytest.approx(wanted, rel=0.02, abs=1)
    assert (seen.max() > 130) == (kernel.edge > 0.9)


def test_a_sixth_of_the_training_cohort_is_sharp():
    """Of those drawn by share, 15 to 20 % have an edge-enhancing kernel, in thick, middle and thin slices."""
    drawn = [p for p in PROTOCOLS if p.share > 0]
    sharp = [p for p in drawn if p.kernel.edge > 1]
    assert 0.15 < sum(p.share for p in sharp) / sum(p.share for p in drawn) < 0.20
    assert {p.slice_thickness_mm for p in sharp} == {1.25, 3.0, 5.0}
    assert {p.kernel.name for p in sharp} == {"sharp", "lung"}


def test_noise_follows_photons_and_kernel():
    """A quarter of the slice doubles the noise; fewer kilovolts, tin and sharper kernels add; factors multiply."""
    thin = replace(GATED, slice_thickness_mm=0.75)
    assert noise_factor(GATED, thin) == pytest.approx(2.0)
    assert noise_factor(GATED, replace(GATED, kvp=80.0)) > noise_factor(GATED, replace(GATED, kvp=100.0)) > 1
    assert noise_factor(GATED, replace(GATED, filter="tin")) > 1.5
    assert (
        noise_factor(GATED, replace(GATED, kernel=KERNELS[-1])) > 1 > noise_factor(GATED, replace(GATED, iterative=1.0))
    )
    middle = replace(thin, kernel=KERNELS[0], kvp=100.0, iterative=0.5)
    for last in PROTOCOLS:
        assert noise_factor(GATED, middle) * noise_factor(middle, last) == pytest.approx(noise_factor(GATED, last))
        assert noise_factor(last, last) == pytest.approx(1.0)


def test_texture_follows_the_kernel():
    """Sharper kernels make finer noise, iterative reconstruction coarser; the SD stays the one asked for."""
    soft, sharp = (drawn_noise(replace(CHEST, kernel=KERNELS[k])) for k in (0, -1))
    coarse = drawn_noise(replace(CHEST, kernel=KERNELS[-1], iterative=1.0))
    assert texture(soft) < 0.9 * texture(sharp)
    assert texture(coarse) < 0.95 * texture(sharp)
    near = np.hypot(X, Y) < 40
    for field in (soft, sharp, coarse):
        assert field[:, near].std() == pytest.approx(20.0, rel=0.1)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k.name)
def test_noise_is_finer_than_the_point_spread(kernel):
    """Noise passes more of the high frequencies than an edge does: focal spot and detector blur only what is seen."""
    frequency = np.arange(0.4 if kernel.edge > 1 else 0.3, 1.0, 0.1)  # beyond the peak of those that enhance
    assert (kernel.noise_mtf(frequency) > kernel.mtf(frequency)).all()
    plain = replace(kernel, noise_sigma_mm=None)
    assert plain.noise_mtf(frequency) == pytest.approx(kernel.mtf(frequency))


def test_slices_of_one_exposure_share_their_noise():
    """Three thin slices averaged are the thick one in their middle; the same slice with other spacing is itself."""
    axis = np.arange(10, 25, 1, dtype=np.float32)
    thin = drawn_noise(replace(GATED, slice_thickness_mm=1.0), target=replace(PLANE, z=axis))
    thick = drawn_noise(GATED, target=replace(PLANE, z=axis[1::3]))
    averaged = thin.reshape(5, 3, *thin.shape[1:]).mean(axis=1)
    alike = [likeness(one, other) for one, other in zip(thick, averaged, strict=True)]
    assert min(alike) > 0.97
    assert averaged.std() * np.sqrt(3) == pytest.approx(thick.std(), rel=0.12)
    assert np.array_equal(drawn_noise(GATED, target=replace(PLANE, z=axis[1:2])), thick[:1])
    assert abs(likeness(drawn_noise(GATED, seed=1)[0], drawn_noise(GATED)[0])) < 0.1


def test_neighbouring_slices_share_what_their_profiles_overlap():
    """Touching slices share a tenth of their noise, as real ones do (0.06 to 0.23); half over one another, half."""
    touching, apart = drawn_noise(GATED), drawn_noise(replace(GATED, slice_thickness_mm=1.5))
    half = drawn_noise(replace(GATED, slice_thickness_mm=6.0))
    assert 0.05 < likeness(touching[3], touching[4]) < 0.25
    assert likeness(apart[3], apart[4]) == pytest.approx(0, abs=0.06)
    assert 0.35 < likeness(half[3], half[4]) < 0.65


def test_a_modulated_dose_evens_out_the_noise():
    """A wider part of the body is noisier than a narrow one, less so the more of it the tube current makes up for."""
    near = np.hypot(X, Y) < 40
    ratios = []
    for modulation in (0.0, 0.5, 1.0):
        field = drawn_noise(CHEST, radii=(110, 150, 190), modulation=modulation)
        ratios.append(field[-1][near].std() / field[0][near].std())
    assert ratios[0] > 1.5 * ratios[1] > 1.5 * ratios[2]
    assert ratios[2] == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("protocol", [GATED, CHEST], ids=["gated", "free"])
def test_the_right_artery_moves_most(protocol):
    """Over many patients the RCA is smeared more than the LCX, and that more than the LAD."""
    smear = {label: [] for label in (Label.RCA, Label.LCX, Label.LAD)}
    for seed in range(60):
        motion = draw_motion(draw_patient(seed), protocol)
        for label, found in smear.items():
            found.append(np.linalg.norm(np.ptp(motion.path_of(label)(0.0), axis=0)))
    assert np.mean(smear[Label.RCA]) > np.mean(smear[Label.LCX]) > np.mean(smear[Label.LAD])


def test_a_trigger_stills_the_heart():
    """The same speck of the RCA stays brighter in a triggered scan, averaged over patients."""
    speck = sample(Deposit(Label.RCA, "RCA", np.zeros((1, 3)), np.array([1.0]), 500.0))
    grid = Grid(np.arange(-12, 13, 3, dtype=np.float32), *(np.arange(-12, 12, 0.6, dtype=np.float32) for _ in range(2)))
    peaks = {}
    for gated in (True, False):
        protocol = replace(GATED, gated=gated)
        paths = [draw_motion(draw_patient(seed), protocol).path_of(Label.RCA) for seed in range(12)]
        peaks[gated] = np.mean([excess(speck, grid, protocol, path)[1].max() for path in paths])
    assert peaks[True] > 1.25 * peaks[False]


@pytest.mark.parametrize("rate", [45.0, 60.0, 75.0, 90.0, 110.0])
def test_a_beat_goes_out_and_comes_back(rate):
    """At every rate the way leads from 0 to 1 and back, without a jump, and rests at end-systole."""
    phase, way = beat_curve(rate)
    assert (way.min(), way.max()) == pytest.approx((0, 1), abs=1e-9)
    assert np.abs(np.diff(np.append(way, way[0]))).max() < 0.06
    seconds = phase * 60 / rate
    assert (way > 0.98).sum() * (seconds[1] - seconds[0]) > 0.05
    peak = int(way.argmax())
    assert (np.diff(way[: peak + 1]) >= 0).all()
    assert (np.diff(way[peak:]) <= 1e-12).all()


def test_fast_hearts_have_no_diastolic_rest():
    """The longest time within a twentieth of the way after filling shrinks as the rate rises, and is gone at 100."""
    rests = []
    for rate in (50.0, 65.0, 80.0, 100.0):
        phase, way = beat_curve(rate)
        late = way[int(way.argmax()) :]
        still = max((np.abs(late - level) < 0.05).sum() for level in (0.12, 0.16, 0.20))
        rests.append(still * phase[1] * 60 / rate)
    assert rests[0] > rests[1] > rests[2] > rests[3]
    assert rests[0] > 0.3
    assert rests[3] < 0.06


def test_arteries_move_no_faster_than_published():
    """Of an average patient the right coronary artery is fastest, and no artery's peak velocity exceeds 109 mm/s."""
    phase, way = beat_curve(67.0)
    fastest = np.abs(np.diff(way)).max() / phase[1] * 67 / 60
    speed = {label: SWING_MM[label] * fastest for label in (Label.RCA, Label.LCX, Label.LM, Label.LAD)}
    assert list(speed) == sorted(speed, key=speed.__getitem__, reverse=True)
    assert 22 < speed[Label.LAD] < speed[Label.RCA] < 109


def test_what_is_not_calcium_of_the_heart_moves_with_what_holds_it():
    """A node in front of the spine follows a slab's step and no beat; in the spine it rests; a stent beats."""
    motion = Motion({Label.OTHER: np.zeros(3), Label.LAD: np.array([0.0, 6.0, 0.0])}, window_s=0.4, phase=0.2,
                    edges_mm=(0.0,), steps_mm=((0.0, 0.0, 0.0), (0.0, 3.0, -4.0)))  # fmt: skip
    assert motion.path_of(Label.OTHER, -80.0)(3.0).tolist() == [[0.0, 3.0, -4.0]]
    assert motion.path_of(Label.OTHER, -28.0)(3.0)[0] == pytest.approx((0.0, 1.5, -2.0))
    assert not motion.path_of(Label.OTHER, 0.0)(3.0).any()
    assert np.ptp(motion.path_of(Label.LAD, -80.0)(3.0)[:, 1]) > 2
    old = next(
        p for p in map(draw_patient, range(4000)) if p.age_years > 50 and p.stream("stents").random() < stent_odds(p)
    )
    stents = draw_stents(old, build_coronaries(build_heart(old)))
    assert stents
    assert all(s.label is Label.OTHER and s.moves_as in (Label.LAD, Label.LCX, Label.RCA) for s in stents)


def test_phases_change_along_the_table_only_without_trigger():
    """Without a trigger a lesion lies elsewhere in the next slice and comes back a beat later; with one it rests."""
    patient = draw_patient(1)
    free, still = (replace(draw_motion(patient, p), breath_mm=0.0) for p in (CHEST, GATED))
    path = free.path_of(Label.RCA)
    quarter, beat = path(free.travel_mm / 4).mean(axis=0), path(free.travel_mm).mean(axis=0)
    assert np.linalg.norm(path(0.0).mean(axis=0) - quarter) > 0.5
    assert path(0.0).mean(axis=0) == pytest.approx(beat, abs=1e-6)
    held = replace(still, edges_mm=(), steps_mm=((0.0, 0.0, 0.0),)).path_of(Label.RCA)
    assert held(0.0) == pytest.approx(held(40.0))


def test_slabs_step_in_some_triggered_scans():
    """A minority of triggered scans have steps between slabs, constant within a slab; scans without trigger none."""
    motions = [draw_motion(draw_patient(seed), GATED) for seed in range(120)]
    stepped = [m for m in motions if m.edges_mm]
    assert 0.1 < len(stepped) / 120 < 0.45
    for motion in stepped:
        assert len(motion.steps_mm) == len(motion.edges_mm) + 1
        first = motion.edges_mm[0]
        assert motion.step(first - 1) == pytest.approx(motion.step(first - 9))
        assert np.linalg.norm(motion.step(first + 1) - motion.step(first - 1)) > 0
    assert not any(draw_motion(draw_patient(seed), CHEST).edges_mm for seed in range(20))


def test_steps_move_the_heart_and_not_the_spine():
    """A step displaces what lies in front of the spine, by its size, together with the calcium; the spine stays."""
    axis = np.arange(-80, 41, 1.0, dtype=np.float32)
    grid = Grid(np.arange(-9, 10, 1.5, dtype=np.float32), axis, axis)
    anatomy = np.full(grid.shape, -100, dtype=np.float32)
    for y in (-50, 20):
        anatomy[:, (axis > y - 6)[:, None] & (axis < y + 6)[:, None] & (np.abs(axis) < 6)[None, :]] = 100
    motion = Motion({Label.LAD: np.zeros(3)}, edges_mm=(0.0,), steps_mm=((0.0, 0.0, 0.0), (0.0, 3.0, -4.0)))
    target = Grid(np.array([-3.0, 3.0], dtype=np.float32), axis, axis)
    seen = blur(anatomy, grid, target, GATED, motion.step)
    front, back = axis < -35, axis > 0
    for rows, expected in ((front, (3.0, -4.0)), (back, (0.0, 0.0))):
        weights = seen[:, rows] + 100
        y = (weights * axis[rows][:, None]).sum(axis=(1, 2)) / weights.sum(axis=(1, 2))
        x = (weights * axis).sum(axis=(1, 2)) / weights.sum(axis=(1, 2))
        assert (y[1] - y[0], x[1] - x[0]) == pytest.approx(expected, abs=0.1)
    assert motion.path_of(Label.LAD)(3.0)[0] == pytest.approx((0.0, 3.0, -4.0))
    still = blur(anatomy, grid, target, GATED)
    assert np.array_equal(still[0], seen[0])


def test_a_wall_that_moves_is_seen_twice():
    """With two positions of the wall the left border has two steps, as high as their shares; the right one has one."""
    axis = np.arange(-100, 101, 1.0, dtype=np.float32)
    grid = Grid(np.arange(-9, 10, 1.5, dtype=np.float32), axis, axis)
    anatomy = np.full(grid.shape, -850, dtype=np.float32)
    anatomy[:, (np.abs(axis + 40) < 40)[:, None] & (np.abs(axis) < 50)[None, :]] = 50
    box = np.array([[-60.0, -80.0, -50.0], [60.0, 0.0, 50.0]])
    travel = {"rate_per_min": 60.0, "window_s": 0.22, "phase": 0.15, "travel_mm": 1e6, "wall_mm": 8.0}
    doubled = Doubling(Motion({}, **travel, wall_share=0.4), box)
    target = Grid(np.zeros(1, dtype=np.float32), axis, axis)
    once, twice = (blur(anatomy, grid, target, GATED, None, d)[0] for d in (None, doubled))
    row, shift = 50, doubled.shift(0.0)
    assert 3 < np.linalg.norm(shift) < 8
    between = 100 + round(50 + shift[2] / 2)
    assert twice[row, between] == pytest.approx(50 - 0.4 * 900, abs=25)
    assert np.array_equal(once[:, :90], twice[:, :90])
    assert np.array_equal(once[axis > 10], twice[axis > 10])
    assert not Doubling(Motion({}, **travel | {"wall_mm": 0.0}), box).shift(0.0).any()
    assert not doubled.shift(80.0).any(), "above the heart nothing is doubled"


def test_walls_are_doubled_only_without_trigger():
    """A minority of scans without a trigger sees two positions of the wall, none with one, no further than it moves."""
    free = [draw_motion(draw_patient(seed), CHEST) for seed in range(200)]
    assert 0.3 < np.mean([m.wall_share > 0 for m in free]) < 0.5
    assert all((m.wall_share > 0) == (m.wall_mm > 0) for m in free)
    assert not any(draw_motion(draw_patient(seed), GATED).wall_share for seed in range(60))
    travels = [m.wall_travel(z) for m in free[:40] for z in np.arange(-60, 40, 10.0)]
    assert max(travels) <= WALL_MM[1]


def test_metal_darkens_what_lies_between():
    """Between two dense rods there is a dark band; off their line there is none, and denser rods make it darker."""
    dark = []
    for hu in (1000.0, 3000.0):
        added = artefact(np.random.default_rng(0), rods(hu), PLANE, starvation=0.0)
        dark.append(added[(np.abs(X) < 12) & (np.abs(Y) < 5)].mean())
    assert abs(added[(np.abs(X) < 12) & (np.abs(Y - 60) < 10)].mean()) < 0.1 * abs(dark[1])
    assert dark[1] < dark[0] < 0
    assert dark[1] < -10


def test_water_hardens_nothing():
    """The correction for water is exact: a water cylinder of any size gets no artefact."""
    assert not artefact(np.random.default_rng(0), WATER, PLANE).any()
    lengths = np.array([0.0, 50.0, 200.0, 400.0])
    assert hardened(lengths, np.zeros(4)) == pytest.approx(np.zeros(4), abs=1e-9)
    errors = hardened(np.full(5, 200.0), np.array([0.0, 1.0, 5.0, 20.0, 50.0]))
    assert (np.diff(errors) < 0).all()
    assert abs(errors[1]) < 0.005


def test_only_slices_with_metal_change():
    """Slices without metal keep their bits, however strong the metal elsewhere; thin electrodes change none."""
    clean = np.stack([rods(900.0)] * 4 + [rods()] + [rods(900.0)] * 5)  # bone hardens too, but is left alone
    before = clean.copy()
    changed = harden(np.random.default_rng(0), clean, PLANE, [(np.array([12.0, 0.0, 30.0]), 90.0)])
    assert changed.tolist() == [4]
    assert np.array_equal(np.delete(clean, 4, axis=0), np.delete(before, 4, axis=0))
    assert not np.array_equal(clean[4], before[4])
    after = clean.copy()
    assert not len(harden(np.random.default_rng(0), clean, PLANE, [(np.array([12.0, 0.0, 30.0]), 6.0)]))
    assert np.array_equal(clean, after)


def test_starved_rays_make_streaks():
    """Rays through much metal are noisier than the rest: two draws differ along them, and hardly elsewhere."""
    one, two = (artefact(np.random.default_rng(seed), rods(), PLANE) for seed in (0, 1))
    difference = np.abs(one - two)
    along = (np.abs(Y) < 3) & (np.abs(X) < 20)
    assert difference[along].mean() > 1.5 * difference[(np.abs(X) < 20) & (np.abs(Y - 90) < 10)].mean()


def test_noisier_scans_have_noisier_streaks():
    """The same metal streaks more in a scan of more noise: two draws differ in proportion to its SD."""
    spread = []
    for sd in (6.0, 24.0):
        scans = [np.stack([rods()] * 10) for _ in range(2)]
        for seed, scan in enumerate(scans):
            harden(np.random.default_rng(seed), scan, PLANE, [(np.array([12.0, 0.0, 30.0]), 90.0)], sd_hu=sd)
        spread.append(np.abs(scans[0][4] - scans[1][4]).mean())
    assert spread[1] == pytest.approx(4 * spread[0], rel=0.05)


def test_a_protocol_of_one_s_own():
    """A protocol needs a name only, and is then a plain gated scan at 120 kV without contrast agent."""
    own = Protocol("own")
    assert (own.kvp, own.filter, own.contrast, own.iterative) == (120.0, "", None, 0.0)
    assert own.calcium_gain == own.calcium_hu_per_mg_ml


def test_the_heart_of_a_breathing_patient_wanders():
    """In free breathing the heart rises and sinks along the scan, by no more than the breath; held breath keeps it."""
    breathing = find_protocol("attenuation-5mm")
    heights = np.arange(-140, 140, 5.0)
    moved = np.array([draw_motion(draw_patient(3), breathing).step(z)[0] for z in heights])
    assert 0.8 * breathing.breathing_mm < np.ptp(moved) <= breathing.breathing_mm
    held = [draw_motion(draw_patient(seed), CHEST) for seed in range(200)]
    wander = np.array([np.ptp([m.step(z)[0] for z in heights[::8]]) for m in held])
    assert 0.05 < (wander > 0).mean() < 0.2, "a few do not hold it"
    assert wander.max() <= RESTLESS_MM[1]
    assert not any(draw_motion(draw_patient(seed), GATED).breath_mm for seed in range(60))
    again = draw_motion(draw_patient(3), breathing, 1)
    assert again.breath_phase != draw_motion(draw_patient(3), breathing).breath_phase


def test_shoulders_are_streaked_only_where_photons_starve():
    """A starved protocol changes slices through the shoulders and no others, the more the fewer photons there are."""
    low = replace(find_protocol("attenuation-5mm"), matrix=128, noise_sd_hu=(20.0, 20.0), z_range_mm=(60.0, 130.0))
    low = replace(low, slice_spacing_mm=10.0, slice_thickness_mm=10.0)
    starved, plain = (generate(5, replace(low, starved=s)) for s in (True, False))
    height = starved.origin_mm[0] + 10.0 * np.arange(len(starved.scan.hu))
    change = np.abs(starved.scan.hu.astype(int) - plain.scan.hu).max(axis=(1, 2))
    assert (change[height > SHOULDERS_MM] > 5).all()
    assert (change[height < SHOULDERS_MM] == 0).all()
    streaks = [
        np.std(artefact(np.random.default_rng(0), rods(), PLANE, share * STARVATION)[np.abs(Y) < 3])
        for share in (0.0, 1.0, 4.0)
    ]
    assert streaks[0] < streaks[1] < streaks[2]
