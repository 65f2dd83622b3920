"""One sheet that shows where heart, aorta and arteries were found, so that a reader sees whether to believe it.

Seven axial slices from the bottom of the heart to the arch, and a coronal and a sagittal slice through the heart's
centre with the arteries projected onto them. Every view is `View`'s way up.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from skimage.measure import find_contours

from calcscore_ml.anatomy import ARTERIES, TITLES, Label, Organ
from calcscore_ml.heart.grid import F32, Grid, extent_mm
from calcscore_ml.heart.lines import refine_line
from calcscore_ml.heart.locate import Location
from calcscore_ml.reports.pictures import COLOURS, webp
from calcscore_ml.reports.planes import View, grey
from calcscore_ml.scan import Scan

HEART_COLOUR, BOX_COLOUR = "#ffffff", "#9fb0c0"
"""Of the heart's outline and of its box; aorta and arteries have the colours of their labels."""

START_COLOURS = {"slices": "#f0e442", "lungs": "#b8a1ff"}
"""Of the boxes found without atlases, drawn when the atlases are not trusted."""

VIEW_PIXELS, GAP_PIXELS = 316, 6
"""Width of a view, and between two; three stand side by side."""

MARGIN_MM = ((30.0, 25.0, 35.0), (30.0, 60.0, 35.0))
"""Shown around the heart box, below and above it along (z, y, x): behind it lie the descending aorta and the spine."""

LEGEND_PIXELS = 86
"""Height of the legend under the views."""

BELOW_OSTIUM = (
    ("bottom of the heart", 0.1),
    ("lower heart", 0.35),
    ("middle of the heart", 0.6),
    ("upper heart", 0.85),
)
"""Axial slices below the left ostium, as shares of the way there from the bottom of the heart box."""

NEAR_MM = 4.0
"""An axial slice shows the parts of arteries no farther above or below it [mm]."""

OVER = 2
"""Lines are drawn at this multiple of the sheet's resolution, and averaged."""


def location_picture(scan: Scan, location: Location) -> bytes:
    """Draw heart, aorta, heart box and arteries on slices of the scan.

    Parameters
    ----------
    scan : Scan
        The scan.
    location : Location
        Of this scan. When it is not trusted, only the boxes found without atlases are drawn, and the remark is written.

    Returns
    -------
    bytes
        A WebP picture, `VIEW_PIXELS` x 3 and two gaps wide.
    """
    views = views_of(scan, location)
    tiles = [_draw(scan, location, view, name) for name, view in views]
    step = VIEW_PIXELS + GAP_PIXELS
    foot = 2 * step + max(tile.height for tile in tiles[6:])
    sheet = Image.new("RGB", (3 * step - GAP_PIXELS, foot + LEGEND_PIXELS), "#10151b")
    for k, tile in enumerate(tiles):
        sheet.paste(tile, (k % 3 * step, k // 3 * step))
    _legend(ImageDraw.Draw(sheet), location, foot + 8, VIEW_PIXELS / views[0][1].pixels_per_mm)
    return webp(sheet, 80)


def views_of(scan: Scan, location: Location) -> list[tuple[str, View]]:
    """Choose seven axial, a coronal and a sagittal view, all of one scale.

    Returns
    -------
    list of (str, View)
        With the name that is written on it. Axial ones lie on slices of the scan.
    """
    extent = extent_mm(scan)
    box = np.stack([np.zeros(3), extent]) if location.box is None else location.box.as_array()
    bottom, top = np.clip(box[:, 0], 0, extent[0])
    low, high = box + np.array(MARGIN_MM) * [[-1], [1]]
    levels = [("", float(level)) for level in np.linspace(bottom, top, 9)[1:-1]]
    if location.trusted and location.grid is not None:
        ostium = float(location.landmarks["left ostium"][:, 0].mean())
        arch = _height_of(location.organs[Organ.AORTIC_ARCH], location.grid, ostium)
        high[0] = max(high[0], arch + MARGIN_MM[1][0])
        levels = [(name, bottom + share * (ostium - bottom)) for name, share in BELOW_OSTIUM]
        levels += [("left ostium", ostium), ("above the ostia", (ostium + arch) / 2)]
        # Where the arch is widest in the last plane, the scan ends below it.
        levels += [("aortic arch" if arch < location.grid.upper_mm[0] else "highest found", arch)]
    side = max(high[1] - low[1], high[2] - low[2], (high[0] - low[0]) / 1.4)
    for axis in (1, 2):
        centre = (low[axis] + high[axis]) / 2
        low[axis], high[axis] = centre - side / 2, centre + side / 2
    out, scale = [], VIEW_PIXELS / side
    for name, level in levels:
        number = int(np.clip(np.rint(level / scan.geometry.spacing[0]), 0, len(scan.hu) - 1))
        out.append((f"slice {number}  {name}", View(0, number * scan.geometry.spacing[0], low, high, scale)))
    for axis, name, what in ((1, "coronal", "row"), (2, "sagittal", "column")):
        middle = float(box[:, axis].mean())
        number = round(middle / scan.geometry.spacing[axis])
        out.append((f"{name}, {what} {number}", View(axis, middle, low, high, scale)))
    return out


def _height_of(share: F32, grid: Grid, above_mm: float) -> float:
    """Height at which an organ is largest [mm]; a little above a place when it is nowhere in the grid."""
    areas = (share >= 0.5).sum(axis=(1, 2))
    return float(grid.lower_mm[0] + areas.argmax() * grid.step_mm) if areas.any() else above_mm + 2 * NEAR_MM


def _draw(scan: Scan, location: Location, view: View, name: str) -> Image.Image:
    picture = Image.fromarray(grey(scan, view)).convert("RGBA")
    lines = Image.new("RGBA", (OVER * picture.width, OVER * picture.height))
    draw = ImageDraw.Draw(lines)
    if location.trusted and location.grid is not None:
        if location.box is not None:
            _box(draw, view, location.box.as_array(), BOX_COLOUR)
        for share, colour in (
            (location.organs[Organ.HEART], HEART_COLOUR),
            (location.aorta, COLOURS[Label.AORTA]),
        ):
            values = location.grid.sample(share, _held(view.points().reshape(-1, 3), location.grid), 0.0)
            for contour in find_contours(values.reshape(picture.height, picture.width), 0.5):
                draw.line(_flat(contour[:, ::-1] + 0.5), fill=colour, width=3, joint="curve")
        for label in reversed(ARTERIES):  # the short left main last, so that nothing covers it
            for own in location.arteries[label]:
                _artery(draw, view, own, COLOURS[label] + "78", 2)
        for label in reversed(ARTERIES):
            _artery(draw, view, location.arteries[label].mean(axis=0), COLOURS[label], 5)
    else:
        for start, box in location.starts.items():
            if box is not None:
                _box(draw, view, box.as_array(), START_COLOURS[start])
    picture.alpha_composite(lines.reduce(OVER))
    text = ImageDraw.Draw(picture)
    for place, words in (((5, 3), name), ((5, picture.height // 2), "R" if view.axis < 2 else "front")):
        text.text(place, words, fill="#ffffff", font=ImageFont.load_default(13), stroke_width=2, stroke_fill="#000000")
    return picture.convert("RGB")


def _held(points: NDArray[np.float64], grid: Grid) -> NDArray[np.float64]:
    """Move points in the outer half of a grid's border voxels to their centres, between which alone it interpolates."""
    inside = np.clip(points, grid.lower_mm, grid.upper_mm)
    return np.where(np.abs(points - inside) <= grid.step_mm / 2, inside, points)


def _artery(draw: ImageDraw.ImageDraw, view: View, line: NDArray[np.float64], colour: str, width: int) -> None:
    """Draw an (n, 3) centreline; in an axial slice only what is near it."""
    fine, _ = refine_line(line)
    near = np.abs(fine[:, 0] - view.at_mm) <= NEAR_MM if view.axis == 0 else np.ones(len(fine), dtype=bool)
    for run in _runs(near):
        draw.line(_flat(view.pixels(fine[run])), fill=colour, width=width, joint="curve")
        if width > OVER:  # round ends, so that an artery seen end on is a dot
            for x, y in OVER * view.pixels(fine[run])[[0, -1]]:
                draw.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=colour)


def _runs(near: NDArray[np.bool_]) -> Iterator[slice]:
    parts, _ = ndimage.label(near)
    yield from (part for (part,) in ndimage.find_objects(parts))


def _box(draw: ImageDraw.ImageDraw, view: View, box: NDArray[np.float64], colour: str) -> None:
    if box[0, view.axis] <= view.at_mm <= box[1, view.axis]:
        corners = np.sort(OVER * view.pixels(box), axis=0)
        draw.rectangle(tuple(corners.ravel().tolist()), outline=colour, width=2)


def _flat(pixels: NDArray[np.float64]) -> list[float]:
    """Columns and rows as Pillow wants them, at the resolution lines are drawn with."""
    return [float(v) for v in (OVER * pixels).ravel()]


def _legend(draw: ImageDraw.ImageDraw, location: Location, y: int, width_mm: float) -> None:
    notes = [f"Each view is {width_mm:.0f} mm wide; R: the patient's right."]
    if location.trusted:
        entries = [("heart", HEART_COLOUR), ("heart box", BOX_COLOUR), (TITLES[Label.AORTA], COLOURS[Label.AORTA])]
        entries += [(TITLES[a], COLOURS[a]) for a in ARTERIES]
        notes.append(f"Arteries by each of {len(location.registered)} atlases, faint, and their mean, bold;")
        notes.append(f"in axial slices within {NEAR_MM:.0f} mm.")
        notes.append(f"Similarity {location.similarity:.2f}, spread {location.spread_mm:.1f} mm.")
    else:
        entries = [(f"heart box by {k}", START_COLOURS[k]) for k, box in location.starts.items() if box is not None]
        notes.insert(0, f"NOT TRUSTED: {location.remark}. No outline is drawn.")
    x, font = 8, ImageFont.load_default(14)
    for words, colour in entries:
        draw.line((x, y + 9, x + 22, y + 9), fill=colour, width=3)
        draw.text((x + 28, y), words, fill="#e8edf2", font=font)
        x += 28 + round(font.getlength(words)) + 22
    fill = "#e8edf2" if location.trusted else "#ffc46b"
    draw.text((8, y + 26), textwrap.fill(" ".join(notes), 125), fill=fill, font=font)
