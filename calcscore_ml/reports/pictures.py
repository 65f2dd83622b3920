"""Pictures of a scan for its report: each lesion, all candidates at a glance, and the whole heart.

Pictures are PNG or WebP bytes made with Pillow. Every array picture is (rows, columns) with the patient's right on the
left, as radiologists look at scans; front is up.
"""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from calcscore_ml.anatomy import Label
from calcscore_ml.candidates import Candidates
from calcscore_ml.heart.roi import HeartBox
from calcscore_ml.scan import OUTSIDE_HU, Scan
from calcscore_ml.scores import Calcium

WINDOW_HU = (-160.0, 440.0)
"""Black and white of every picture: soft tissue grey, calcium bright [HU]."""

COLOURS: dict[Label, str] = {
    Label.OTHER: "#9a9a9a",
    Label.LM: "#cc79a7",
    Label.LAD: "#ff6b3d",
    Label.LCX: "#e69f00",
    Label.RCA: "#56b4e9",
    Label.AORTA: "#2fbf8f",
    Label.AORTIC_VALVE: "#f0e442",
    Label.MITRAL_VALVE: "#b8a1ff",
}
"""Colour of each label, told apart with any colour vision (after Okabe and Ito) and on black."""

CLOSE_MM, CONTEXT_MM = 40.0, 150.0
"""Width of a lesion's two pictures [mm]."""

PICTURE_PIXELS = 168
"""Width of a lesion's picture on the page."""

THUMBNAIL_MM, THUMBNAIL_PIXELS = 30.0, 36
"""Width of a thumbnail on the contact sheet."""

SHEET_COLUMNS, SHEET_MOST = 28, 1400
"""Thumbnails in a row of a contact sheet, and the most one sheet holds."""

OVERVIEW_PIXELS_PER_MM = 2.2
"""Scale of the overview."""

HEART_MARGIN_MM = 12.0
"""Shown around the heart box in the overview [mm]."""


def lesion_pictures(scan: Scan, voxels: NDArray[np.intp], hu: NDArray[np.int16], colour: str) -> tuple[bytes, bytes]:
    """Draw one lesion in the axial slice of its highest value: close, and with the heart around it.

    Parameters
    ----------
    scan : Scan
        What it was found in.
    voxels : (n, 3) array of int
        Its voxels (z, y, x).
    hu : (n,) array of int16
        Their values [HU].
    colour : str
        Of the outline.

    Returns
    -------
    close, context : bytes
        WebP pictures, `PICTURE_PIXELS` wide.
    """
    z = int(voxels[np.argmax(hu), 0])
    inside = voxels[voxels[:, 0] == z][:, 1:]
    centre = inside.mean(axis=0)
    pictures = []
    for width_mm in (CLOSE_MM, CONTEXT_MM):
        patch, scale, corner = _patch(scan, z, centre, width_mm, PICTURE_PIXELS)
        image = Image.fromarray(_grey(patch)).convert("RGB")
        draw = ImageDraw.Draw(image)
        if width_mm == CLOSE_MM:
            for line in _outline(inside):
                draw.line([tuple(((p - corner) * scale)[::-1]) for p in line], fill=colour, width=1)
        else:
            y, x = (centre - corner) * scale
            draw.ellipse((x - 9, y - 9, x + 9, y + 9), outline=colour, width=2)
        pictures.append(webp(image, 82))
    return pictures[0], pictures[1]


def contact_sheets(scan: Scan, candidates: Candidates, rows: NDArray[np.integer]) -> list[tuple[bytes, int]]:
    """Put thumbnails of many candidates on few sheets.

    Parameters
    ----------
    scan : Scan
        What they were found in.
    candidates : Candidates
        All of them.
    rows : (k,) array of int
        Which to show, as 0-based rows.

    Returns
    -------
    list of (bytes, int)
        WebP sheets and the number of thumbnails on each.
    """
    if len(rows) == 0:
        return []
    # The highest voxel of each lesion: thousands of them, so found without a loop.
    peak = np.lexsort((candidates.hu, candidates.owner))[candidates.offsets[rows + 1] - 1]
    centre = candidates.voxels[peak]
    step = THUMBNAIL_MM / THUMBNAIL_PIXELS
    offsets = (np.arange(THUMBNAIL_PIXELS) - THUMBNAIL_PIXELS / 2) * step
    _, ny, nx = scan.hu.shape
    y = np.clip(np.rint(centre[:, 1, None] + offsets / scan.geometry.spacing[1]).astype(int), 0, ny - 1)
    x = np.clip(np.rint(centre[:, 2, None] + offsets / scan.geometry.spacing[2]).astype(int), 0, nx - 1)
    sheets = []
    for first in range(0, len(rows), SHEET_MOST):
        part = slice(first, first + SHEET_MOST)
        tiles = _grey(scan.hu[centre[part, 0][:, None, None], y[part][:, :, None], x[part][:, None, :]])
        count = len(tiles)
        high = -(-count // SHEET_COLUMNS)
        padded = np.zeros((high * SHEET_COLUMNS, THUMBNAIL_PIXELS, THUMBNAIL_PIXELS), np.uint8)
        padded[:count] = tiles
        padded[:, -1, :] = padded[:, :, -1] = 0
        sheet = padded.reshape(high, SHEET_COLUMNS, THUMBNAIL_PIXELS, THUMBNAIL_PIXELS).swapaxes(1, 2)
        sheets.append((webp(Image.fromarray(sheet.reshape(high * THUMBNAIL_PIXELS, -1)), 50), count))
    return sheets


def overview(scan: Scan, calcium: Calcium, heart_box: HeartBox | None) -> bytes:
    """Draw the heart from the front and from below, as maximum projections with the lesions in their colours.

    Parameters
    ----------
    scan : Scan
        The scan.
    calcium : Calcium
        Lesions to mark.
    heart_box : HeartBox or None
        Drawn, with a margin, when it is trusted; otherwise the whole scan is drawn.

    Returns
    -------
    bytes
        A PNG picture.
    """
    spacing = np.asarray(scan.geometry.spacing)
    shape = np.asarray(scan.hu.shape)
    low, high = np.zeros(3, int), shape
    if heart_box is not None and heart_box.trusted:
        corners = heart_box.as_array() + np.array([[-HEART_MARGIN_MM], [HEART_MARGIN_MM]])
        low = np.clip(np.floor(corners[0] / spacing), 0, shape - 1).astype(int)
        high = np.clip(np.ceil(corners[1] / spacing), low + 1, shape).astype(int)
    part = scan.hu[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
    marked = (calcium.voxels >= low).all(axis=1) & (calcium.voxels < high).all(axis=1)
    voxels, labels = calcium.voxels[marked] - low, calcium.label[marked]
    views = []
    for axis, (rows, columns) in ((1, (0, 2)), (0, (1, 2))):
        image = np.repeat(_grey(part.max(axis=axis))[:, :, None] // 2, 3, axis=2)
        for label in np.unique(labels):
            own = voxels[labels == label]
            image[own[:, rows], own[:, columns]] = _rgb(COLOURS[Label(int(label))])
        picture = image[::-1] if axis == 1 else image  # head up in the front view
        scale = spacing[[rows, columns]] * OVERVIEW_PIXELS_PER_MM
        height, width = (round(n * f) for n, f in zip(picture.shape[:2], scale, strict=True))
        view = Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR)
        if heart_box is not None and heart_box.trusted:
            edges = (heart_box.as_array() / spacing - low)[:, [rows, columns]] * scale
            if axis == 1:
                edges[:, 0] = height - edges[::-1, 0]
            (top, left), (bottom, right) = edges.tolist()
            ImageDraw.Draw(view).rectangle((left, top, right, bottom), outline="#7a8794")
        views.append(view)
    gap = 8
    sheet = Image.new("RGB", (sum(v.width for v in views) + gap, max(v.height for v in views)))
    sheet.paste(views[0], (0, 0))
    sheet.paste(views[1], (views[0].width + gap, 0))
    return png(sheet)


def png(image: Image.Image) -> bytes:
    """Return a picture as PNG bytes."""
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


def webp(image: Image.Image, quality: int) -> bytes:
    """Return a picture as WebP bytes, a tenth of the PNG's where the picture is mostly noise."""
    out = io.BytesIO()
    image.save(out, "WEBP", quality=quality)
    return out.getvalue()


def embed(picture: bytes) -> str:
    """Return picture bytes as an address a page can hold.

    >>> embed(b"RIFF....WEBP")[:16]
    'data:image/webp;'
    """
    kind = "webp" if picture[:4] == b"RIFF" else "png"
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


def _grey(hu: NDArray[np.integer] | NDArray[np.floating]) -> NDArray[np.uint8]:
    low, high = WINDOW_HU
    return np.asarray(np.clip((hu.astype(np.float32) - low) * (255 / (high - low)), 0, 255), dtype=np.uint8)


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _patch(
    scan: Scan, z: int, centre: NDArray[np.float64], width_mm: float, pixels: int
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """Cut a square out of a slice; returns it, pixels per voxel and the index of its corner, both (y, x)."""
    spacing = np.asarray(scan.geometry.spacing[1:])
    half = width_mm / 2 / spacing
    low = np.floor(centre - half).astype(int)
    high = np.ceil(centre + half).astype(int) + 1
    cut = np.full(high - low, OUTSIDE_HU, dtype=np.float32)  # black where the scan ends
    first, last = np.maximum(low, 0), np.minimum(high, scan.hu.shape[1:])
    inside = tuple(slice(a, b) for a, b in zip(first - low, last - low, strict=True))
    cut[inside] = scan.hu[z, first[0] : last[0], first[1] : last[1]]
    picture = Image.fromarray(cut).resize((pixels, pixels), Image.Resampling.BICUBIC)
    return np.asarray(picture), pixels / (high - low), low.astype(float)


def _outline(inside: NDArray[np.intp]) -> list[NDArray[np.float64]]:
    """Edges between voxels inside and outside, as lines in (y, x); a voxel's area is [i, i + 1)."""
    present = {(int(y), int(x)) for y, x in inside}
    edges = []
    for y, x in present:
        for dy, dx, a, b in (
            (-1, 0, (0, 0), (0, 1)),
            (1, 0, (1, 0), (1, 1)),
            (0, -1, (0, 0), (1, 0)),
            (0, 1, (0, 1), (1, 1)),
        ):
            if (y + dy, x + dx) not in present:
                edges.append(np.array([[y + a[0], x + a[1]], [y + b[0], x + b[1]]], dtype=float))
    return edges
