"""How like real scans the digital ones are: candidates by place, tissues, noise, and whether a classifier can tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from calcscore_features import registry
from calcscore_ml.candidates import find_candidates
from calcscore_ml.errors import ResultError
from calcscore_ml.evaluation.image_quality import measure_noise, outline_blur_mm
from calcscore_ml.evaluation.places import OUTSIDE, PLACES, place_candidates
from calcscore_ml.evaluation.two_sample import Rows, TwoSample, two_sample_test, univariate, within_sets
from calcscore_ml.heart.body import body_mask, bone_mask, coarsen
from calcscore_ml.heart.roi import HeartBox, find_heart_box
from calcscore_ml.phantom.protocols import PROTOCOLS, Protocol
from calcscore_ml.quality import CONTRAST_BLOOD_HU, blood_hu, metal_mm3
from calcscore_ml.recipe import CandidateSection, FeatureSection
from calcscore_ml.scan import Scan
from calcscore_ml.table import feature_table

BEYOND_HEART_MM = 45.0
"""Candidates are compared from this far below the heart box to this far above it: scans differ in length [mm]."""

MIN_OF_PLACE = 8
"""A patient with fewer candidates in a place is left out of the test there; our choice."""

FOV_WEIGHT = 0.01
"""Fields of view that differ by 100 mm count as much as slices that differ by 1 mm; our choice."""

IMPLANT_MM3 = 1000.0
"""More metal than this in the body is an implant [mm3]; our choice."""

QUANTILES = (0.1, 0.5, 0.9)
"""Quantiles of the candidates' volumes."""

FAT_HU, LUNG_HU, SOFT_HU = (-140.0, -60.0), (-960.0, -700.0), (0.0, 150.0)
"""Where the voxels of a tissue are looked for in the smoothed scan [HU]; as in docs/phantom.md."""

SMOOTH_MM = 5.0
"""Width of the mean in the slice before tissues are looked for [mm]."""


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One scan, measured.

    Parameters
    ----------
    numbers : dict of str to float
        HU of tissues, noise, sharpness, counts and volumes; NaN where the scan does not show it.
    features : DataFrame
        A row per candidate near the heart's height; a column per feature.
    place : (n,) array of str
        Where each lies; see `calcscore_ml.evaluation.places`.
    height : (n,) array of float
        Height of each above the heart box's lower end [mm].
    """

    numbers: dict[str, float]
    features: pd.DataFrame
    place: NDArray[np.str_]
    height: NDArray[np.float64]


def measure_scan(scan: Scan) -> Measured:
    """Measure a scan by the rules that hold for real and digital ones alike.

    Parameters
    ----------
    scan : Scan
        A chest or cardiac CT.

    Raises
    ------
    ResultError
        When no heart is found.
    """
    box = find_heart_box(scan)
    if box is None:
        raise ResultError("realism is measured around the heart, and no heart was found in the scan")
    limits = CandidateSection()
    threshold_hu = float(limits.threshold_hu) if limits.threshold_hu != "by kvp" else 130.0
    found = find_candidates(
        scan, threshold_hu=threshold_hu, min_volume_mm3=limits.min_volume_mm3, max_volume_mm3=limits.max_volume_mm3
    )
    place = place_candidates(scan, found, box)
    table = feature_table(scan, found, FeatureSection().settings(threshold_hu), heart_box=box)
    height = found.centroids()[:, 0] * scan.geometry.spacing[0] - box.lower_mm[0]
    top = box.upper_mm[0] - box.lower_mm[0] + BEYOND_HEART_MM
    near = (height >= -BEYOND_HEART_MM) & (height <= top)
    numbers = _tissues(scan, box) | {"candidates": float(len(found)), "near_heart": float(near.sum())}
    numbers["dropped_large"] = float(found.dropped_large)
    for name in PLACES:
        mine = near & (place == name)
        numbers[f"count_{name}"] = float(mine.sum())
        for q in QUANTILES:
            volumes = found.volumes_mm3[mine]
            numbers[f"volume_{name}_{q:.0%}_mm3"] = float(np.quantile(volumes, q)) if len(volumes) else float("nan")
    return Measured(numbers, table[near].reset_index(drop=True), place[near], height[near])


def matched_protocol(scan: Scan) -> Protocol | None:
    """Find the protocol nearest to a real scan, with the real scan's grid; None when none is like it.

    Parameters
    ----------
    scan : Scan
        A real scan. Blood brighter than without contrast agent asks for a protocol with it.
    """
    box = find_heart_box(scan)
    enhanced = box is not None and blood_hu(scan, box.as_array()) > CONTRAST_BLOOD_HU
    gated = bool(scan.acquisition.ecg_gated)
    dz, dy, _ = scan.geometry.spacing
    fov = dy * scan.geometry.shape[1]

    def unlike(protocol: Protocol) -> float:
        low, high = protocol.fov_mm
        return abs(protocol.slice_spacing_mm - dz) + FOV_WEIGHT * abs(min(max(fov, low), high) - fov)

    like = [p for p in PROTOCOLS if p.gated == gated and (p.contrast is not None) == enhanced]
    if not like:
        return None
    best = min(like, key=unlike)
    thickness = scan.acquisition.slice_thickness_mm or dz
    return replace(
        best, fov_mm=(fov, fov), matrix=scan.geometry.shape[1], slice_spacing_mm=dz, slice_thickness_mm=thickness
    )


def on_grid_of(digital: Scan, real: Scan) -> Scan:
    """Give a digital scan the exact spacing of the real one it is matched with, rounding taken away."""
    spacing = real.geometry.spacing
    if not np.allclose(digital.geometry.spacing, spacing, rtol=1e-3):
        raise ResultError(f"matched scans need one spacing, got {digital.geometry.spacing} beside {spacing} mm")
    return replace(digital, geometry=replace(digital.geometry, spacing=spacing))


def holds_metal(scan: Scan) -> bool:
    """Whether the body holds more metal than clips and leads: an implant."""
    return metal_mm3(scan) > IMPLANT_MM3


def rows_of(sets: Mapping[str, tuple[Measured, Sequence[Measured]]]) -> tuple[Rows, NDArray[np.str_]]:
    """Pool the candidates of matched scans: by set, the real one and the digital ones. Returns their places too."""
    parts: list[tuple[Measured, bool, str, str]] = []
    for name, (real, digital) in sets.items():
        parts.append((real, True, name, name))
        parts += [(one, False, f"{name}/digital-{i}", name) for i, one in enumerate(digital)]
    counts = [len(m.features) for m, *_ in parts]
    real_flag, patient, matched = (np.repeat(np.array([p[k] for p in parts]), counts) for k in (1, 2, 3))
    features = pd.concat([m.features for m, *_ in parts], ignore_index=True)
    rows = Rows(features, real_flag.astype(bool), patient, matched, np.concatenate([m.height for m, *_ in parts]))
    return rows, np.concatenate([m.place for m, *_ in parts])


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """How well real and digital candidates are told apart.

    Parameters
    ----------
    everything, without_location : TwoSample
        With all features the models use, and without those that say where in the heart box a candidate lies.
    within : dict of str to (float, float)
        Of `calcscore_ml.evaluation.two_sample.within_sets`, without location.
    univariate : dict of str to DataFrame
        By place, and "all": one feature at a time.
    by_place : dict of str to TwoSample
        Without location, where two sets have candidates of both kinds: by place, and "inside the body", all but
        "outside".
    """

    everything: TwoSample
    without_location: TwoSample
    within: dict[str, tuple[float, float]]
    univariate: dict[str, pd.DataFrame]
    by_place: dict[str, TwoSample]


def tell_apart(rows: Rows, place: NDArray[np.str_], *, seed: int = 0) -> Told:
    """Run every two-sample test of the report; see `Told`."""
    groups = {f.name: f.family for f in registry()}
    image = rows.columns([n for n in rows.features.columns if groups[n] != "location"])
    by_place = {}
    inside = _enough(image.take(place != OUTSIDE))
    if _testable(inside) >= 2:
        by_place["inside the body"] = two_sample_test(inside, importance=False, seed=seed)
    tables = {"all": univariate(image, seed=seed)}
    for name in PLACES:
        part = _enough(image.take(place == name))
        if len(part.real) and len(np.unique(part.real)) == 2:
            tables[name] = univariate(part, seed=seed)
        if _testable(part) >= 2:
            by_place[name] = two_sample_test(part, importance=False, seed=seed)
    return Told(
        two_sample_test(rows, groups=groups, importance=False, seed=seed),
        two_sample_test(image, groups=groups, seed=seed),
        within_sets(image, seed=seed),
        tables,
        by_place,
    )


def _enough(rows: Rows) -> Rows:
    """Leave out patients with fewer than `MIN_OF_PLACE` candidates."""
    people, of, count = np.unique(rows.patient, return_inverse=True, return_counts=True)
    return rows.take(count[of] >= MIN_OF_PLACE) if len(people) else rows


def _testable(rows: Rows) -> int:
    return sum(len(np.unique(rows.real[rows.matched == s])) == 2 for s in np.unique(rows.matched))


def _tissues(scan: Scan, box: HeartBox) -> dict[str, float]:
    """HU of tissues, noise where it can be measured, and the blur of the outline."""
    spacing = scan.geometry.spacing
    coarse, block = coarsen(scan)
    step = np.asarray(spacing, dtype=np.float64) * block.astype(np.float64)
    body = body_mask(coarse, step)
    bone = bone_mask(coarse, body, step)
    inside = coarse[body & ~bone]
    out = {"blood_hu": blood_hu(scan, box.as_array())}
    for name, (low, high) in (("fat_hu", FAT_HU), ("lung_hu", LUNG_HU)):
        voxels = inside[(inside > low) & (inside < high)]
        out[name] = float(np.median(voxels)) if len(voxels) else float("nan")
    out["air_hu"] = float(np.median(coarse[(~body) & (coarse > -1024)])) if (~body).any() else float("nan")
    dense = coarse[bone & (coarse > 0)]
    for q in (50, 90):
        out[f"bone_p{q}_hu"] = float(np.percentile(dense, q)) if len(dense) else float("nan")
    for name, region in _regions(scan, box).items():
        noise = measure_noise(scan.hu, spacing, region, 20.0 if name != "muscle" else 14.0)
        out[f"{name}_hu"] = noise.mean_hu
        out[f"{name}_sd_hu"] = noise.sd_hu
        out[f"{name}_nps_mean_per_mm"] = noise.mean_frequency_per_mm
    out["outline_blur_mm"] = outline_blur_mm(scan.hu[::4], spacing)
    return out


def _regions(scan: Scan, box: HeartBox) -> dict[str, NDArray[np.bool_]]:
    """Soft tissue of the heart, of the liver and of the back, each cut by the heart box."""
    spacing = np.asarray(scan.geometry.spacing)
    width = [1, *np.maximum(1, np.rint(SMOOTH_MM / spacing[1:])).astype(int)]
    smooth = ndimage.uniform_filter(scan.hu.astype(np.float32), width)
    soft = (smooth > SOFT_HU[0]) & (smooth < SOFT_HU[1])
    low, high = (np.rint(corner / spacing).astype(int) for corner in box.as_array())
    low = np.clip(low, 0, scan.hu.shape)
    heart, liver, muscle = (np.zeros_like(soft) for _ in range(3))
    at = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    heart[at] = soft[at]
    middle = (low[2] + high[2]) // 2
    liver[: low[0] + 4, : high[1] + 40, :middle] = soft[: low[0] + 4, : high[1] + 40, :middle]
    muscle[low[0] :, high[1] + 20 :] = soft[low[0] :, high[1] + 20 :]
    return {"heart": heart, "liver": liver, "muscle": muscle}
