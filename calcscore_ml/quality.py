"""What a reader of the score should know about the scan: remarks on its quality.

A remark never stops a score; what does is in `calcscore_ml.validity`.
A *warning* says that the number may not mean what it usually means (another tube voltage,
contrast agent, coarse slices); a *note* says what was noticed and repaired, or what the header leaves open.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from calcscore_ml.errors import GeometryError
from calcscore_ml.kernels import Sharpness, sharpness
from calcscore_ml.scan import Scan

Severity = Literal["note", "warning"]
"""How much a remark matters."""

REFERENCE_KVP = 120.0
"""The 130 HU threshold belongs to this tube voltage; calcium is brighter at less [kV] (McCollough et al., Radiology
2007, doi 10.1148/radiol.2432050808)."""

REFERENCE_SPACING_MM = 3.0
"""Agatston scored slices of 3 mm without gap (Agatston et al., JACC 1990, doi 10.1016/0735-1097(90)90282-T) [mm]."""

SPACING_TOLERANCE_MM = 0.1
"""Spacings this close are called equal [mm]."""

CONTRAST_BLOOD_HU = 70.0
"""Blood brighter than this holds contrast agent [HU]. Without, it is 30 to 60 HU; chest scans gave 39 to 47 HU
without, 127 in a late and 409 in an arterial phase (`calcscore_ml.heart.blood.located_blood_hu`)."""

BLOOD_RANGE_HU = (-20.0, 600.0)
"""Where blood is looked for: above fat, below dense bone; early arterial phases reach 500 [HU]."""

SMOOTHING_MM = 5.0
"""Width of the mean that removes noise before blood is looked for [mm]."""

METAL_HU = 2500
"""Voxels from here on are metal; cortical bone and calcium stay below 2000 [HU]."""

METAL_VOLUME_MM3 = 10.0
"""From this volume on, metal is remarked: a clip, a lead, a valve or a stent [mm3]."""

HIGH_NOISE_HU = 30.0
"""A third of the way from blood (40) to the threshold (130): above, three SD of noise in blood are candidates [HU]."""

SOFT_TISSUE_HU = (-50.0, 200.0)
"""Noise is measured where all voxels of a patch lie in this range [HU]."""

PATCH = 7
"""Side of the patches noise is measured in [pixels]."""

QUIET_PERCENTILE = 25.0
"""Patches with an edge in them spread more than noise does; the quietest quarter has few. On two chest scans this gives
10.7 and 24.0 HU, where regions drawn by hand gave about 10 and 24 HU."""

BODY_HU = -300
"""Between lung or air and soft tissue [HU]."""

BODY_STEP = 4
"""The body is found on every fourth pixel."""

BODY_OPENING_MM = 16.0
"""Width of what is cut off the body: table tops, sheets and leads outside it are thinner [mm]."""

COVERAGE_MM = 100.0
"""A scan shorter than this along the body hardly holds a whole heart [mm]."""

FIELD_OF_VIEW_MM = 160.0
"""A narrower image hardly holds a whole heart [mm]."""


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing to know about a scan.

    Parameters
    ----------
    code : str
        Short and stable, for programs.
    severity : {'note', 'warning'}
        How much it matters.
    text : str
        One sentence for people.
    """

    code: str
    severity: Severity
    text: str


def remarks(scan: Scan, blood_hu: float | None = None) -> tuple[Remark, ...]:
    """Say what should be known about a scan before its score is read.

    Parameters
    ----------
    scan : Scan
        The scan.
    blood_hu : float or None
        Brightness of blood in the heart, from `blood_hu`; `None` when unknown [HU].

    Returns
    -------
    tuple of Remark
        Warnings before notes, otherwise in the order acquisition, image, reader.
    """
    found = [*_on_acquisition(scan), *_on_image(scan, blood_hu)]
    found += [Remark("reader", "note", f"{text[:1].upper()}{text[1:]}.") for text in scan.remarks]
    return tuple(sorted(found, key=lambda remark: remark.severity == "note"))


def blood_hu(scan: Scan, heart_box_mm: ArrayLike) -> float:
    """Estimate how bright blood is: the commonest smoothed value in the heart.

    Parameters
    ----------
    scan : Scan
        The scan.
    heart_box_mm : (2, 3) array-like
        Lower and upper corner of the heart, (z, y, x) in array millimetres (index times spacing).

    Returns
    -------
    float
        In `BLOOD_RANGE_HU`; NaN when the box holds no such voxel [HU].

    Raises
    ------
    GeometryError
        When the box is not (2, 3) or holds no voxel of the scan.
    """
    box = np.asarray(heart_box_mm, dtype=float)
    if box.shape != (2, 3) or not np.isfinite(box).all():
        raise GeometryError(
            f"a heart box is a lower and an upper corner, (2, 3) finite numbers in mm, got {box.tolist()}"
        )
    spacing = np.array(scan.geometry.spacing)
    lower = np.clip(np.floor(box[0] / spacing), 0, scan.geometry.shape).astype(int)
    upper = np.clip(np.ceil(box[1] / spacing) + 1, 0, scan.geometry.shape).astype(int)
    if (upper <= lower).any():
        raise GeometryError(
            f"a heart box must hold a part of the scan, got {box.tolist()} mm for {scan.geometry.shape} voxels"
        )
    heart = scan.hu[tuple(slice(a, b) for a, b in zip(lower, upper, strict=True))].astype(np.float32)
    width = np.maximum(1, np.rint(SMOOTHING_MM / spacing)).astype(int)
    smooth = ndimage.uniform_filter(heart, width.tolist())
    values = smooth[tuple(slice(n // 2, None, n) for n in width)]  # one voxel per window
    low, high = BLOOD_RANGE_HU
    counts, edges = np.histogram(values, bins=int(high - low), range=BLOOD_RANGE_HU)
    if not counts.any():
        return float("nan")
    peak = int(ndimage.gaussian_filter1d(counts.astype(float), 5.0).argmax())
    return float(edges[peak] + 0.5)


def noise_hu(scan: Scan) -> float:
    """Estimate image noise: the SD in the quieter patches of soft tissue.

    Parameters
    ----------
    scan : Scan
        The scan; every fourth slice is looked at.

    Returns
    -------
    float
        NaN when there is no soft tissue [HU].
    """
    low, high = SOFT_TISSUE_HU
    found: list[NDArray[np.float64]] = []
    for hu in scan.hu[::4]:
        ny, nx = (n // PATCH for n in hu.shape)
        patches = hu[: ny * PATCH, : nx * PATCH].reshape(ny, PATCH, nx, PATCH).swapaxes(1, 2)
        patches = patches.reshape(ny * nx, PATCH * PATCH)
        means = patches.mean(axis=1)
        inside = patches[(means > low) & (means < high)]
        inside = inside[((inside > low - 100) & (inside < high + 100)).all(axis=1)]
        found.append(inside.std(axis=1, ddof=1))
    spread = np.concatenate(found) if found else np.empty(0)
    return float(np.percentile(spread, QUIET_PERCENTILE)) if spread.size else float("nan")


def describe(scan: Scan) -> dict[str, object]:
    """Say what was understood of a scan, ready for JSON.

    Parameters
    ----------
    scan : Scan
        The scan.

    Returns
    -------
    dict
        Shape, spacing and extent in (z, y, x), direction, HU range, noise, acquisition, remarks and fingerprint;
        nothing that names a patient.
    """
    geometry = scan.geometry
    normal = np.array(geometry.direction)[:, 2]
    noise = noise_hu(scan)
    return {
        "shape": list(geometry.shape),
        "spacing_mm": list(geometry.spacing),
        "extent_mm": [n * s for n, s in zip(geometry.shape, geometry.spacing, strict=True)],
        "origin_mm": list(geometry.origin),
        "direction": [list(row) for row in geometry.direction],
        "oblique_deg": float(np.degrees(np.arctan2(np.hypot(normal[0], normal[1]), normal[2]))),
        "lowest_hu": int(scan.hu.min()),
        "highest_hu": int(scan.hu.max()),
        "noise_hu": noise if np.isfinite(noise) else None,
        "acquisition": asdict(scan.acquisition),
        "remarks": [asdict(remark) for remark in remarks(scan)],
        "fingerprint": scan.fingerprint(),
    }


def _on_acquisition(scan: Scan) -> list[Remark]:
    made, found = scan.acquisition, list[Remark]()

    def add(code: str, severity: Severity, text: str) -> None:
        found.append(Remark(code, severity, text))

    if made.kvp is None:
        add("kvp_unknown", "warning", "The tube voltage is unknown; the 130 HU threshold belongs to 120 kVp.")
    elif made.kvp != REFERENCE_KVP:
        add("kvp", "warning", f"The tube voltage is {made.kvp:g} kVp; the 130 HU threshold belongs to 120 kVp.")
    if made.contrast_agent is not None:
        add("contrast_header", "warning", f"The header names a contrast agent ({made.contrast_agent}).")
    if made.ecg_gated is False:
        add("not_gated", "warning", "The scan was not gated by ECG: motion blurs and doubles calcium.")
    elif made.ecg_gated is None:
        add("gating_unknown", "note", "The header does not say whether the scan was gated by ECG.")
    if sharpness(made.kernel) is Sharpness.SHARP:
        add("sharp_kernel", "warning", f"The kernel {made.kernel} sharpens edges, which raises scores.")
    spacing, thickness = scan.geometry.spacing[0], made.slice_thickness_mm
    if abs(spacing - REFERENCE_SPACING_MM) > SPACING_TOLERANCE_MM:
        add("slice_spacing", "warning", f"Slices are {spacing:.3g} mm apart; Agatston scores are defined for 3 mm.")
    if thickness is None:
        add("thickness_unknown", "note", "The slice thickness is unknown.")
    elif thickness > spacing + SPACING_TOLERANCE_MM:
        add("overlap", "note", f"Slices overlap: {thickness:.3g} mm thick, {spacing:.3g} mm apart.")
    elif thickness < spacing - SPACING_TOLERANCE_MM:
        add(
            "gap", "warning", f"Tissue between slices was not imaged: {thickness:.3g} mm thick, {spacing:.3g} mm apart."
        )
    if made.gantry_tilt_deg:
        tilt = f"The gantry was tilted by {made.gantry_tilt_deg:.1f} degrees"
        add("tilt", "warning", f"{tilt}: areas are right, but each slice is shifted against the next.")
    return found


def _on_image(scan: Scan, blood: float | None) -> list[Remark]:
    found, geometry = list[Remark](), scan.geometry
    if blood is not None and blood > CONTRAST_BLOOD_HU:
        text = f"Blood in the heart is {blood:.0f} HU, as after contrast agent (without: 30 to 60 HU)."
        found.append(Remark("contrast_blood", "warning", text))
    metal = metal_mm3(scan)
    if metal >= METAL_VOLUME_MM3:
        text = f"The body holds {metal:.0f} mm3 of metal ({METAL_HU} HU or more): streaks may be taken for calcium."
        found.append(Remark("metal", "warning", text))
    noise = noise_hu(scan)
    if noise > HIGH_NOISE_HU:
        text = f"The noise is {noise:.0f} HU: specks of it pass the threshold."
        found.append(Remark("noise", "warning", text))
    nz, ny, nx = (n * s for n, s in zip(geometry.shape, geometry.spacing, strict=True))
    if nz < COVERAGE_MM:
        text = f"The scan covers {nz:.0f} mm along the body, hardly a whole heart."
        found.append(Remark("coverage", "warning", text))
    if min(ny, nx) < FIELD_OF_VIEW_MM:
        text = f"The image is {min(ny, nx):.0f} mm wide, hardly a whole heart."
        found.append(Remark("field_of_view", "warning", text))
    return found


def metal_mm3(scan: Scan) -> float:
    """Volume of metal inside the body [mm3]; parts of the table and things that lie on it do not count."""
    metal = scan.hu >= METAL_HU
    if not metal.any():
        return 0.0
    coarse = scan.hu[:, ::BODY_STEP, ::BODY_STEP] > BODY_HU
    width = [1, *(max(1, round(BODY_OPENING_MM / (s * BODY_STEP))) for s in scan.geometry.spacing[1:])]
    opened = ndimage.binary_opening(coarse, np.ones(width))
    parts, count = ndimage.label(opened)
    if not count:
        return 0.0
    body = parts == np.bincount(parts.ravel())[1:].argmax() + 1
    body = np.stack([ndimage.binary_fill_holes(each) for each in body])
    _, ny, nx = scan.hu.shape
    fine = body.repeat(BODY_STEP, axis=1)[:, :ny].repeat(BODY_STEP, axis=2)[:, :, :nx]
    return float(np.count_nonzero(metal & fine) * scan.geometry.voxel_volume_mm3)
