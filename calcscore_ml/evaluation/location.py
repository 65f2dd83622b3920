"""How well heart, aorta and coronary arteries were located, where the truth is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from calcscore_ml.anatomy import AORTA, ARTERIES, Label, Organ
from calcscore_ml.heart.grid import extent_mm, within
from calcscore_ml.heart.labelled import Labelled
from calcscore_ml.heart.lines import resample_line
from calcscore_ml.heart.locate import Location
from calcscore_ml.heart.roi import HeartBox

LEAST_IOU, LEAST_DICE, MOST_MM = 0.6, 0.8, 12.0
"""A location has failed when its box overlaps less than the first, its heart less than the second, or its arteries lie
farther than the third from the true ones on average (our choice)."""

FINE = 400
"""Points a found centreline is resampled to before distances to it are measured."""


@dataclass(frozen=True, slots=True)
class LocationError:
    """Errors of one scan.

    Parameters
    ----------
    scan_id, protocol : str
        Which scan.
    trusted : bool
        What the location says of itself.
    remark : str
        Why it is not trusted.
    box_iou : dict of str to float
        Intersection over union with the box around the true heart: "location", "slices" and "lungs".
    heart_dice, aorta_dice : float
        Overlap of the masks; NaN without atlases.
    artery_mm : dict of Label to float
        Mean distance of the points of the true centreline that lie in the scan from the found one; NaN without.
    similarity, spread_mm : float
        What the registrations say of themselves.
    """

    scan_id: str
    protocol: str
    trusted: bool
    remark: str
    box_iou: Mapping[str, float]
    heart_dice: float
    aorta_dice: float
    artery_mm: Mapping[Label, float]
    similarity: float
    spread_mm: float

    @property
    def failed(self) -> bool:
        """Whether the place of a lesion would be wrong."""
        mean = float(np.nanmean(list(self.artery_mm.values()))) if self.artery_mm else np.nan
        values = (self.box_iou["location"] >= LEAST_IOU, self.heart_dice >= LEAST_DICE, mean <= MOST_MM)
        return not all(values)  # a comparison with NaN is false: what was not found has failed


def location_error(location: Location, truth: Labelled) -> LocationError:
    """Compare a location with label volumes of organs and centrelines.

    Parameters
    ----------
    location : Location
        What was found; also what an untrusted one would have said.
    truth : Labelled
        The scan with its organs and centrelines.
    """
    scan = truth.scan
    true_box = truth.box_mm
    boxes = {"location": location.box, "slices": location.starts["slices"], "lungs": location.starts["lungs"]}
    heart = aorta = float("nan")
    arteries: dict[Label, float] = {}
    if location.grid is not None:
        true = location.grid.nearest(truth.organs, scan.geometry.spacing)
        labels = location.labels()
        heart = dice(labels == Organ.HEART, true == Organ.HEART)
        aorta = dice(np.isin(labels, AORTA), np.isin(true, AORTA))
        extent = extent_mm(scan)
        for label in ARTERIES:
            line = truth.branches[label][0]
            line = line[within(line, 0.0, extent)]
            found = resample_line(location.arteries[label].mean(axis=0), FINE)
            arteries[label] = float(cKDTree(found).query(line)[0].mean()) if len(line) else float("nan")
    return LocationError(
        scan_id=truth.row.scan_id,
        protocol=truth.row.protocol,
        trusted=location.trusted,
        remark=location.remark,
        box_iou={name: _iou(box, true_box) for name, box in boxes.items()},
        heart_dice=heart,
        aorta_dice=aorta,
        artery_mm=arteries,
        similarity=location.similarity,
        spread_mm=location.spread_mm,
    )


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Dice coefficient of two masks; 1 when both are empty.

    >>> dice(np.array([True, True]), np.array([True, False]))
    0.6666666666666666
    """
    size = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / size if size else 1.0


def box_iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Intersection over union of two (2, 3) boxes.

    >>> box_iou(np.array([[0, 0, 0], [1, 1, 2]]), np.array([[0, 0, 1], [1, 1, 3]])).__round__(3)
    0.333
    """
    both = np.prod(np.clip(np.minimum(a[1], b[1]) - np.maximum(a[0], b[0]), 0, None))
    return float(both / (np.prod(a[1] - a[0]) + np.prod(b[1] - b[0]) - both))


def location_table(errors: Sequence[LocationError]) -> str:
    """Sum errors up as a Markdown table: mean, and the worst twentieth.

    Returns
    -------
    str
        With one line of what failed and what was noticed.
    """
    columns: dict[str, list[float]] = {
        "box, IoU": [e.box_iou["location"] for e in errors],
        "box of slices alone, IoU": [e.box_iou["slices"] for e in errors],
        "box of lungs alone, IoU": [e.box_iou["lungs"] for e in errors],
        "heart, Dice": [e.heart_dice for e in errors],
        "aorta, Dice": [e.aorta_dice for e in errors],
        **{f"{a.title}, mm": [e.artery_mm.get(a, np.nan) for e in errors] for a in ARTERIES},
        "all arteries, mm": [d for e in errors for d in e.artery_mm.values()],
    }
    lines = ["| what | mean | worst 5 % | worst |", "|---|---|---|---|"]
    for name, values in columns.items():
        far = name.endswith("mm")
        worst = np.nanmax(values) if far else np.nanmin(values)
        digits = 1 if far else 3
        tail = np.nanpercentile(values, 95 if far else 5)
        lines.append(f"| {name} | {np.nanmean(values):.{digits}f} | {tail:.{digits}f} | {worst:.{digits}f} |")
    failed = [e for e in errors if e.failed]
    noticed = sum(not e.trusted for e in failed)
    warned = sum(not e.trusted for e in errors if not e.failed)
    lines += [
        "",
        f"{len(errors)} scans: {len(failed)} failed, {noticed} of them noticed; {warned} of the others not trusted.",
    ]
    return "\n".join(lines)


def _iou(box: HeartBox | None, true_mm: NDArray[np.float64]) -> float:
    return 0.0 if box is None else box_iou(box.as_array(), true_mm)
