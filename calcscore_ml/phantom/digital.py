"""One digital scan from one seed: patient, organs, calcium, scanner, truth."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from calcscore_ml.geometry import Geometry
from calcscore_ml.phantom.abdomen import abdomen_layers
from calcscore_ml.phantom.acquisition import blur, noise, streaks
from calcscore_ml.phantom.arms import arm_layers, arms_down
from calcscore_ml.phantom.calcification import draw_coronary_calcium
from calcscore_ml.phantom.canvas import F32, Grid, onto
from calcscore_ml.phantom.coronaries import Branch, build_coronaries, paint_coronaries
from calcscore_ml.phantom.couch import paint_clutter, paint_couch
from calcscore_ml.phantom.deposits import Deposit, excess, sample
from calcscore_ml.phantom.doubling import Doubling
from calcscore_ml.phantom.heart import Heart, build_heart, heart_grid, heart_layers, mediastinum, pericardium
from calcscore_ml.phantom.lookalikes import draw_lookalikes, paint_metal
from calcscore_ml.phantom.lungs import paint_lung_vessels
from calcscore_ml.phantom.motion import Motion, draw_motion
from calcscore_ml.phantom.organs import OrganTruth, draw_organs
from calcscore_ml.phantom.painter import compact, render
from calcscore_ml.phantom.patient import Patient, Tissue, draw_patient
from calcscore_ml.phantom.projection import harden
from calcscore_ml.phantom.protocols import PROTOCOLS, Protocol, find_protocol
from calcscore_ml.phantom.ribs import paint_ribs
from calcscore_ml.phantom.skeleton import flat_bone_layers
from calcscore_ml.phantom.spectrum import enhance, seen_at
from calcscore_ml.phantom.spine import spine_layers
from calcscore_ml.phantom.stents import draw_stents
from calcscore_ml.phantom.take import PLAIN, Take
from calcscore_ml.phantom.thorax import build_thorax, lung_layers, midline_layers, wall_layers
from calcscore_ml.scan import OUTSIDE_HU, Acquisition, Scan

GENERATION = 6
"""Counts changes of the generator that change its scans; cohorts of different generations are not mixed."""

TRUTH_THRESHOLD_HU = 130
"""A labelled voxel has at least this HU in the noisy scan: the threshold of calcium scoring."""

TRUTH_EXCESS_HU = 30.0
"""... and at least this much of it comes from the lesion. Below, noise is the main reason the voxel is bright."""

MAXIMUM_HU = 3071
"""Largest HU of a 12-bit scanner; metal is clipped there."""

FINEST_PIXEL_MM = 0.88
"""Anatomy is painted on pixels at least about half this size; calcium always on its own finer grid."""

LESION_COLUMNS = (
    "lesion", "label", "artery", "segment", "place", "mass_mg", "volume_mm3", "density_mg_per_ml", "x_mm", "y_mm",
    "z_mm", "voxels", "peak_excess_hu",
)  # fmt: skip
"""Columns of the truth table."""

WIDE_FOV_MM = 480.0
"""Fields of view of radiotherapy, whose couches are foam, begin here (our choice)."""

EDGE_MM = {True: 1.0, False: 3.0}
"""Width of the edges of the chambers: with a trigger, or where two positions of the wall are seen; and smeared by the
beat (our choice)."""

SUBSLICE_MM = 1.67
"""Largest distance between the sub-slices a slice is made of."""


@dataclass(frozen=True, slots=True, eq=False)
class DigitalScan:
    """A scan and everything that is true about it.

    Parameters
    ----------
    scan : Scan
        What a scanner would have made.
    labels : (nz, ny, nx) array of uint8
        `Label` of every voxel that is at least `TRUTH_THRESHOLD_HU` because of a true lesion, 0 elsewhere. Read-only.
    lesions : DataFrame
        One row per true lesion, visible or not: lesion, label, artery, segment, place, mass_mg, volume_mm3,
        density_mg_per_ml, x_mm, y_mm, z_mm (world, LPS), voxels (labelled ones), peak_excess_hu (without noise).
    heart_box_mm : (2, 3) array
        Corners of the box around the chambers, index x spacing along (z, y, x) [mm]. It may reach beyond the scan.
    origin_mm : (3,) array
        Where voxel (0, 0, 0) lies in the patient's own (z, y, x) [mm]; array mm = patient mm - origin.
    patient : Patient
        Whose scan it is.
    protocol : Protocol
        How it was made.
    take : Take
        Which of several scans of the patient.
    """

    scan: Scan
    labels: NDArray[np.uint8]
    lesions: pd.DataFrame
    heart_box_mm: NDArray[np.float64]
    origin_mm: NDArray[np.float64]
    patient: Patient
    protocol: Protocol
    take: Take = PLAIN


def generate(seed: int, protocol: Protocol | str | None = None, take: Take = PLAIN) -> DigitalScan:
    """Make a digital scan.

    Parameters
    ----------
    seed : int
        Not negative. Same seed and protocol, same bits.
    protocol : Protocol, str or None
        How the patient is scanned; a name from `PROTOCOLS`; or None to draw one of those by their shares.
    take : Take
        Which of several scans of this patient.

    Returns
    -------
    DigitalScan
        Scan and truth.

    Raises
    ------
    RecipeError
        When there is no protocol of that name.
    """
    patient = draw_patient(seed)
    rng = patient.stream("protocol")
    if protocol is None:
        shares = np.array([p.share for p in PROTOCOLS])
        protocol = PROTOCOLS[int(rng.choice(len(PROTOCOLS), p=shares / shares.sum()))]
    elif isinstance(protocol, str):
        protocol = find_protocol(protocol)
    # One thread: sums in another order would change bits, and cohorts run one scan per core anyway.
    with threadpool_limits(limits=1, user_api="blas"):
        return _generate(patient, take.vary(protocol), take)


def organ_truth(seed: int, protocol: Protocol, take: Take = PLAIN) -> OrganTruth:
    """Tell where the organs lie in the scan that `generate` makes of the same arguments, without making it.

    Parameters
    ----------
    seed : int
        Of the patient.
    protocol : Protocol
        How the patient is scanned.
    take : Take
        Which of several scans of this patient.
    """
    patient, protocol = draw_patient(seed), take.vary(protocol)
    with threadpool_limits(limits=1, user_api="blas"):
        target, world = _place_grid(patient, protocol, take)
        return draw_organs(patient, target, world, protocol.slice_thickness_mm)


@dataclass(frozen=True, slots=True, eq=False)
class _Added:
    deposit: Deposit
    volume_mm3: float
    mass_mg: float
    centre_mm: NDArray[np.float64]
    window: tuple[slice, slice, slice]
    hu: F32


def _generate(patient: Patient, protocol: Protocol, take: Take) -> DigitalScan:
    target, world = _place_grid(patient, protocol, take)
    heart = build_heart(replace(patient, tissue=_seen(patient, protocol)))
    branches = build_coronaries(heart)
    motion = draw_motion(patient, protocol, take.repeat)
    clean, body, body_grid, metal = _paint(heart, branches, protocol, target, motion)
    deposits: list[Deposit] = []
    if take.calcium:
        deposits = draw_coronary_calcium(patient, branches) + draw_stents(patient, branches) + draw_lookalikes(heart)
    added = _add_calcium(clean, deposits, target, protocol, motion)
    rays = streaks(patient.stream("streaks"), target, metal)
    if rays is not None:
        clean += rays
    dose = patient.stream("dose")
    sd = float(dose.uniform(*protocol.noise_sd_hu)) * _size_effect(patient) / np.sqrt(take.dose)
    modulation = float(dose.uniform(*protocol.dose_modulation))
    harden(patient.stream("starvation", take.repeat), clean, target, metal, shoulders=protocol.starved, sd_hu=sd)
    root = np.asarray(patient.valve_mm) + np.array([8.0, 0.0, 0.0])

    def layer(number: int) -> np.random.Generator:
        return patient.stream(f"noise {number}", take.repeat)

    clean += noise(layer, target, protocol, sd, body, body_grid, root, modulation)
    if protocol.circular:
        _, y, x = target.mesh
        radius = 0.5 * (float(target.x[-1]) - float(target.x[0]))
        outside = (y - target.y.mean()) ** 2 + (x - target.x.mean()) ** 2 > radius**2
        clean[:, outside[0]] = OUTSIDE_HU
    hu = np.clip(np.rint(clean), OUTSIDE_HU, MAXIMUM_HU).astype(np.int16)
    labels, voxels = _truth(hu, added)
    scan = Scan(hu, world, _acquisition(patient, protocol, target))
    origin = np.array([target.z[0], target.y[0], target.x[0]], dtype=np.float64)
    labels.flags.writeable = False
    table = _lesion_table(added, voxels, origin, world)
    return DigitalScan(scan, labels, table, heart.box - origin, origin, patient, protocol, take)


def _seen(patient: Patient, protocol: Protocol) -> Tissue:
    tissue = seen_at(patient.tissue, protocol.spectrum_factor)
    if protocol.contrast is None:
        return tissue
    return enhance(tissue, protocol.contrast, patient.stream("contrast"), protocol.spectrum_factor)


def _place_grid(patient: Patient, protocol: Protocol, take: Take) -> tuple[Grid, Geometry]:
    rng = patient.stream("placement", take.repeat if take.moved else 0)
    fov = float(rng.uniform(*protocol.fov_mm))
    pixel = fov / protocol.matrix
    if protocol.heart_centred:
        centre = np.array([0, patient.valve_mm[1] + 2, patient.valve_mm[2] + 14]) + rng.normal(0, 5, 3)
    else:
        centre = np.array([0, -62.0, 0]) + rng.normal(0, 8, 3)
    steps = (np.arange(protocol.matrix) - (protocol.matrix - 1) / 2) * pixel
    low = protocol.z_range_mm[0] + float(rng.uniform(-8, 8))
    z = low + protocol.slice_spacing_mm * np.arange(protocol.slices)
    grid = Grid(*(axis.astype(np.float32) for axis in (z, centre[1] + steps, centre[2] + steps)))
    table = rng.uniform([-20, -180, -900], [20, -120, 100])
    origin = (float(grid.x[0]) + table[0], float(grid.y[0]) + table[1], float(grid.z[0]) + table[2])
    return grid, Geometry(grid.shape, (protocol.slice_spacing_mm, pixel, pixel), origin)


def _paint(
    heart: Heart, branches: tuple[Branch, ...], protocol: Protocol, target: Grid, motion: Motion
) -> tuple[F32, F32, Grid, list[tuple[NDArray[np.float64], float]]]:
    patient = heart.patient
    thick = protocol.slice_thickness_mm
    z_low, z_high = float(target.z[0]) - thick, float(target.z[-1]) + thick
    beat = EDGE_MM[protocol.gated or motion.wall_share > 0]
    grid = heart_grid(patient, z_low - 4, z_high + 4)
    thorax = build_thorax(patient, z_low - 6, z_high + 6)
    sac = pericardium(heart, grid)
    between = mediastinum(heart, sac, grid, (thorax.gullet, *thorax.airways.values()))
    hanging = arms_down(patient, gated=protocol.gated)
    layers = compact(arm_layers(patient, z_low - 4, z_high + 4)) if hanging else []
    layers += compact(wall_layers(thorax))
    layers += compact(lung_layers(thorax, onto(between, grid, thorax.grid)))
    layers += abdomen_layers(thorax)
    layers += compact(heart_layers(heart, grid, sac, onto(thorax.cavity, thorax.grid, grid), beat))
    layers += compact(midline_layers(thorax, grid))
    layers += compact(spine_layers(patient, z_low - 4, z_high + 4))
    layers += compact(flat_bone_layers(patient, z_low - 4, z_high + 4, arms_hang=hanging))
    fine = _fine_grid(target, protocol)
    volume = render(layers, fine)
    paint_lung_vessels(volume, fine, heart)
    paint_coronaries(volume, fine, heart, branches, 1.2 if protocol.gated else 2.6)
    paint_ribs(volume, fine, patient)
    paint_couch(volume, fine, thorax, foam=min(protocol.fov_mm) >= WIDE_FOV_MM)
    paint_clutter(volume, fine, thorax, gated=protocol.gated)
    metal = paint_metal(volume, fine, heart, gated=protocol.gated)
    heights = np.arange(z_low, z_high + 15, 15, dtype=np.float32)
    coarse = Grid(heights, np.arange(-290, 121, 6, dtype=np.float32), np.arange(-270, 271, 6, dtype=np.float32))
    seen = blur(volume, fine, target, protocol, motion.step, Doubling(motion, heart.box))
    return seen, render(layers, coarse), coarse, metal


def _fine_grid(target: Grid, protocol: Protocol) -> Grid:
    thick = protocol.slice_thickness_mm
    sub = thick / np.ceil(thick / SUBSLICE_MM)
    z = np.arange(float(target.z[0]) - thick + sub / 2, float(target.z[-1]) + thick, sub, dtype=np.float32)
    pixel = float(target.x[1] - target.x[0])
    step = pixel * max(1, int(FINEST_PIXEL_MM / pixel))
    y, x = (
        np.arange(float(a[0]) - 3 * step, float(a[-1]) + 3 * step, step, dtype=np.float32) for a in (target.y, target.x)
    )
    return Grid(z, y, x)


def _add_calcium(clean: F32, deposits: list[Deposit], target: Grid, protocol: Protocol, motion: Motion) -> list[_Added]:
    added = []
    for deposit in deposits:
        sampled = sample(deposit)
        moves_as = deposit.label if deposit.moves_as is None else deposit.moves_as
        window, hu = excess(sampled, target, protocol, motion.path_of(moves_as, float(sampled.centre_mm[1])))
        if hu.size == 0 or float(hu.max()) < 0.5:
            continue  # above or below the slices
        clean[window] += hu
        added.append(_Added(deposit, sampled.volume_mm3, sampled.mass_mg, sampled.centre_mm, window, hu))
    return added


def _truth(hu: NDArray[np.int16], added: list[_Added]) -> tuple[NDArray[np.uint8], list[int]]:
    """Label each bright voxel with the lesion that adds most to it."""
    labels = np.zeros(hu.shape, dtype=np.uint8)
    best = np.full(hu.shape, np.float32(0))
    owner = np.full(hu.shape, -1, dtype=np.int32)
    for k, one in enumerate(added):
        lead = one.hu > best[one.window]
        best[one.window][lead] = one.hu[lead]
        owner[one.window][lead] = k
    counts = []
    for k, one in enumerate(added):
        mine = (owner[one.window] == k) & (best[one.window] >= TRUTH_EXCESS_HU) & (hu[one.window] >= TRUTH_THRESHOLD_HU)
        labels[one.window][mine] = int(one.deposit.label)
        counts.append(int(mine.sum()))
    return labels, counts


def _lesion_table(added: list[_Added], voxels: list[int], origin: NDArray[np.float64], world: Geometry) -> pd.DataFrame:
    rows = []
    for k, (one, count) in enumerate(zip(added, voxels, strict=True)):
        label = one.deposit.label
        x, y, z = world.to_world((one.centre_mm - origin) / world.spacing)
        artery = label.name if label.is_coronary else ""
        size = (one.mass_mg, one.volume_mm3, one.deposit.density_mg_per_ml)
        where = (float(x), float(y), float(z))
        rows.append(
            (k, int(label), artery, one.deposit.segment, one.deposit.place, *size, *where, count, float(one.hu.max()))
        )
    return pd.DataFrame(rows, columns=list(LESION_COLUMNS))


def _size_effect(patient: Patient) -> float:
    width = 2 * (patient.chest_half_width_mm + patient.muscle_mm + patient.fat_mm + 12)
    return float(np.exp(0.0032 * (width - 320)))


def _acquisition(patient: Patient, protocol: Protocol, target: Grid) -> Acquisition:
    return Acquisition(
        kvp=protocol.kvp,
        slice_thickness_mm=protocol.slice_thickness_mm,
        kernel=protocol.kernel.name,
        contrast_agent=None if protocol.contrast is None else "iodine",
        manufacturer="calcscore-ml",
        model="digital phantom",
        ecg_gated=protocol.gated,
        reconstruction_diameter_mm=float(target.x[-1] - target.x[0]) * protocol.matrix / (protocol.matrix - 1),
        age_years=patient.age_years,
        sex=patient.sex,
    )
