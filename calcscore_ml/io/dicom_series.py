"""Series of DICOM slices: which one is the scan, in which order its slices lie, and whether any is missing."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from math import atan2, degrees
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calcscore_ml.errors import ScanError, SeriesChoiceError
from calcscore_ml.io.acquisition import number, text
from calcscore_ml.io.dicom_headers import Found, Slice

MIN_SLICES = 3
"""Fewer slices are a localizer, a monitoring series or a snapshot, and are passed over when a real series is there."""

SPACING_TOLERANCE_MM = 0.01
"""Slice positions are written with two or three decimals; differences up to this are rounding."""

SPACING_TOLERANCE = 0.01
"""Or up to this part of the distance between slices, whichever is larger."""

SIDEWAYS_TOLERANCE = 0.1
"""How far a slice may lie off the straight line through all slices [pixels]."""

TILT_DEG = 0.5
"""Above, slices are sheared against the table's travel: a tilted gantry [degrees]."""

MAX_OBLIQUE_DEG = 20.0
"""Agatston is defined on axial slices; a slice normal may lie this far off the body axis [degrees]. Our limit: an
untilted chest is within a few degrees of it, a coronal or short-axis series far beyond."""


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """Slices in order, and the grid they form.

    Parameters
    ----------
    slices : tuple of Slice
        Feet to head along the normal, duplicates included.
    positions : (n,) array of float
        Of each slice along the normal [mm].
    direction : (3, 3) array of float
        Columns: world direction of a row, of a column, and of the normal.
    spacing_mm : float
        Distance between neighbouring slices, at right angles to them [mm].
    tilt_deg : float
        Between normal and displacement; 0 below `TILT_DEG` [degrees].
    """

    slices: tuple[Slice, ...]
    positions: NDArray[np.float64]
    direction: NDArray[np.float64]
    spacing_mm: float
    tilt_deg: float


def choose_series(found: Found, series: int | str | None, path: Path) -> tuple[tuple[Slice, ...], tuple[str, ...]]:
    """Choose the slices of one series.

    Parameters
    ----------
    found : Found
        What `find_slices` returned.
    series : int, str or None
        Number in the list of series (from 1), or SeriesInstanceUID. `None` when there should be one only.
    path : Path
        Named in errors.

    Returns
    -------
    slices : tuple of Slice
        Of the chosen series.
    remarks : tuple of str
        What was passed over.

    Raises
    ------
    ScanError
        When there is no CT series.
    SeriesChoiceError
        When there are several and none was chosen, or the chosen one does not exist.
    """
    groups: dict[tuple[object, ...], list[Slice]] = defaultdict(list)
    for image in found.slices:
        groups[image.key].append(image)
    if not groups:
        raise _nothing_found(found, path)
    ordered = sorted(groups.values(), key=lambda g: (g[0].series_number, -len(g), g[0].storage.path))
    lines = tuple(f"{n}: {_describe(group)}" for n, group in enumerate(ordered, start=1))
    if series is not None:
        return tuple(_named(ordered, series, lines, path)), ()
    large = [group for group in ordered if len(group) >= MIN_SLICES]
    if len(large) == 1 or len(ordered) == 1:
        chosen = large[0] if large else ordered[0]
        passed = len(found.slices) - len(chosen)
        remark = f"{passed} images that are no series of slices were passed over"
        return tuple(chosen), (remark,) if passed else ()
    raise SeriesChoiceError(_choice(f"got {len(ordered)} in {path.name}", lines), lines)


def stack_slices(slices: tuple[Slice, ...], path: Path) -> Stack:
    """Put slices in order along their normal and check that none is missing.

    InstanceNumber, SliceLocation and file names are not looked at: only positions are true.

    Parameters
    ----------
    slices : tuple of Slice
        Of one series.
    path : Path
        Named in errors.

    Returns
    -------
    Stack
        In order.

    Raises
    ------
    ScanError
        When slices are missing, irregular, sideways shifted or not axial.
    """
    direction = _direction(slices[0], path)
    normal = direction[:, 2]
    points = np.array([s.position for s in slices])
    along = points @ normal
    order = np.argsort(along, kind="stable")
    slices, points, along = tuple(slices[i] for i in order), points[order], along[order]
    distinct = np.concatenate([[True], np.diff(along) > SPACING_TOLERANCE_MM])
    places, points = along[distinct], points[distinct]
    if len(places) < 2:
        raise ScanError(
            f"a scan needs at least two slices to know their distance, got {len(places)} in {path.name}; "
            "give the folder of the whole series"
        )
    spacing = _check_regular(places, path)
    lateral = points - points[0] - np.outer(places - places[0], normal)
    slope = lateral[-1] / (places[-1] - places[0])
    off = np.abs(lateral - np.outer(places - places[0], slope)).max()
    pixel = min(slices[0].pixel_spacing)
    if off > SIDEWAYS_TOLERANCE * pixel:
        raise ScanError(
            f"the slices of a scan must lie on a straight line, but one in {path.name} lies {off:.2f} mm beside it; "
            "two reconstructions may be mixed, export one of them"
        )
    tilt = degrees(atan2(float(np.linalg.norm(slope)), 1.0))
    return Stack(slices, along, direction, spacing, tilt if tilt > TILT_DEG else 0.0)


def refuse_oblique(normal: NDArray[np.float64], path: Path) -> None:
    """Raise a `ScanError` when a slice normal, (x, y, z), lies more than `MAX_OBLIQUE_DEG` off the body axis."""
    angle = degrees(atan2(float(np.hypot(normal[0], normal[1])), abs(float(normal[2]))))
    if angle > MAX_OBLIQUE_DEG:
        raise ScanError(
            f"calcium is scored on axial slices (within {MAX_OBLIQUE_DEG:g} degrees), got slices {angle:.0f} degrees "
            f"off in {path.name}; choose the axial series"
        )


def _direction(image: Slice, path: Path) -> NDArray[np.float64]:
    row, column = np.array(image.orientation).reshape(2, 3)
    lengths = np.linalg.norm([row, column], axis=1)
    if np.abs(lengths - 1).max() > 1e-3 or abs(row @ column) > 1e-3:
        raise ScanError(
            f"ImageOrientationPatient must be two unit vectors at right angles, got {image.orientation} in "
            f"{image.storage.path.name}; export the series again"
        )
    row = row / lengths[0]
    column = column - (column @ row) * row
    column = column / np.linalg.norm(column)
    normal = np.cross(row, column)
    refuse_oblique(normal, path)
    return np.column_stack([row, column, normal])


def _check_regular(places: NDArray[np.float64], path: Path) -> float:
    """Return the distance between slices: the mean, once all are known to be equal [mm]."""
    steps = np.diff(places)
    step = float(np.sort(steps)[(len(steps) - 1) // 2])  # the lower median, itself one of the steps
    tolerance = max(SPACING_TOLERANCE_MM, SPACING_TOLERANCE * step)
    whole = np.rint(steps / step)
    if (np.abs(steps - np.maximum(whole, 1) * step) > tolerance * np.maximum(whole, 1)).any():
        raise ScanError(
            f"slices must be equally far apart, got distances from {steps.min():.3f} to {steps.max():.3f} mm in "
            f"{path.name}; two reconstructions may be mixed, or slices were removed; export one whole series"
        )
    missing = [place + step * k for place, n in zip(places, whole, strict=False) for k in range(1, int(n))]
    if missing:
        shown = ", ".join(f"{place:.2f}" for place in missing[:5]) + (", ..." if len(missing) > 5 else "")
        raise ScanError(
            f"slices must follow each other without a gap, but {len(missing)} are missing in {path.name}, "
            f"at {shown} mm along the body axis; export the series again"
        )
    return float((places[-1] - places[0]) / (len(places) - 1))


def _named(groups: list[list[Slice]], series: int | str, lines: tuple[str, ...], path: Path) -> list[Slice]:
    if isinstance(series, int) or series.isdigit():
        if 1 <= int(series) <= len(groups):
            return groups[int(series) - 1]
    else:
        same = [group for group in groups if group[0].series == series]
        if len(same) == 1:
            return same[0]
    raise SeriesChoiceError(_choice(f"got no single series {series} in {path.name}", lines), lines)


def _choice(came: str, lines: tuple[str, ...]) -> str:
    return "\n".join(
        [f"one series must be chosen, {came}; choose by number with --series N:", *(f"  {s}" for s in lines)]
    )


def _describe(group: list[Slice]) -> str:
    """One line on a series that names nobody."""
    first = group[0]
    normal = np.cross(first.orientation[:3], first.orientation[3:])
    places = np.unique(np.round(np.array([s.position for s in group]) @ normal, 3))
    kvp = number(first.header, "KVP")
    parts = [
        f"{len(group)} slices of {first.storage.columns}x{first.storage.rows}",
        f"{first.pixel_spacing[0]:.3f} mm pixels",
        f"{np.median(np.diff(places)):.2f} mm apart" if len(places) > 1 else "one position",
        f"kernel {text(first.header, 'ConvolutionKernel') or 'unknown'}",
        f"{kvp:g} kVp" if kvp else "kVp unknown",
    ]
    return ", ".join(parts)


def _nothing_found(found: Found, path: Path) -> ScanError:
    seen = ", ".join(f"{count} {reason}" for reason, count in sorted(found.left_out.items())) or "no files"
    return ScanError(
        f"a scan must be a series of CT slices with positions, got {seen} in {path.name or path}; "
        "give the folder of one CT series, or a NIfTI, NRRD or MetaImage volume"
    )
