"""Draw digital scans beside real ones, in the same windows, and the truth of one: the pictures of docs/.

python scripts/picture_phantom.py OUTPUT_FOLDER [REAL_SCAN_FOLDER ...]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from calcscore_ml.evaluation.realism import matched_protocol
from calcscore_ml.heart.roi import find_heart_box
from calcscore_ml.io import read_scan
from calcscore_ml.phantom import PROTOCOLS, DigitalScan, generate
from calcscore_ml.scan import Scan

WINDOW_HU = (-160.0, 240.0)
BONE_WINDOW_HU = (-300.0, 900.0)
TILE = 210  # pixels
MATCHED_SEED = 7001
COLOURS = ((255, 70, 70), (70, 160, 255), (70, 230, 70), (255, 220, 0), (255, 0, 255), (0, 255, 255), (255, 140, 0))


def tile(
    plane: NDArray[np.integer],
    spacing: tuple[float, float, float],
    extent_mm: float,
    window_hu: tuple[float, float] = WINDOW_HU,
) -> NDArray[np.uint8]:
    low, high = window_hu
    grey = np.clip((plane - low) / (high - low), 0, 1) * 255 // 6 * 6  # fewer greys, smaller file
    span = tuple(int(extent_mm / s / 2) for s in spacing[1:])
    padded = np.pad(grey, [(s, s) for s in span])
    cut = padded[tuple(slice(n // 2, n // 2 + 2 * s) for n, s in zip(plane.shape, span, strict=True))]
    return np.asarray(Image.fromarray(cut.astype(np.uint8)).resize((TILE, TILE), Image.Resampling.LANCZOS)) // 6 * 6


def row(scan: Scan, extent_mm: float, columns: int = 6) -> NDArray[np.uint8]:
    levels = np.linspace(0.22, 0.75, columns) * len(scan.hu)
    return np.hstack([tile(scan.hu[int(k)], scan.geometry.spacing, extent_mm) for k in levels])


def beside(real: Scan, seed: int) -> Image.Image | None:
    """Real and digital at the same heights of the heart box: soft tissue, then bone; None when nothing is like it."""
    protocol = matched_protocol(real)
    if protocol is None:
        return None
    rows = []
    scans = [real, generate(seed, protocol).scan]
    for window_hu in (WINDOW_HU, BONE_WINDOW_HU):
        for scan in scans:
            box = find_heart_box(scan)
            assert box is not None  # both are chests
            heights = np.linspace(box.lower_mm[0] - 40, box.upper_mm[0] + 40, 6) / scan.geometry.spacing[0]
            planes = [scan.hu[int(np.clip(round(h), 0, len(scan.hu) - 1))] for h in heights]
            rows.append(np.hstack([tile(p, scan.geometry.spacing, 400, window_hu) for p in planes]))
    return Image.fromarray(np.vstack(rows))


def truth(digital: DigitalScan) -> Image.Image:
    slices = sorted(np.argsort((digital.labels > 0).sum(axis=(1, 2)))[-6:])
    plain = np.hstack([tile(digital.scan.hu[k], digital.scan.geometry.spacing, 190) for k in slices])
    colour = np.repeat(plain[..., None], 3, axis=2)
    for label, rgb in enumerate(COLOURS, start=1):
        planes = [np.where(digital.labels[k] == label, 2000, -2000) for k in slices]
        mask = np.hstack([tile(p, digital.scan.geometry.spacing, 190) for p in planes]) > 90
        colour[mask] = rgb
    return Image.fromarray(np.vstack([np.repeat(plain[..., None], 3, axis=2), colour])).quantize(96)


def main(output: Path, folders: list[Path]) -> None:
    for folder in folders:
        real = read_scan(folder)
        whole = find_heart_box(real) is not None and real.hu.shape[1] == 512
        picture = beside(real, MATCHED_SEED) if whole else None
        if picture is not None:
            picture.save(output / f"realism_{folder.name}.png", optimize=True)
        protocol = min(PROTOCOLS, key=lambda p: p.gated + abs(p.slice_thickness_mm - real.geometry.spacing[0]))
        rows = [row(real, 380)] + [row(generate(seed, protocol).scan, 380) for seed in (4, 10)]
        Image.fromarray(np.vstack(rows)).save(output / f"phantom_beside_{folder.name}.png", optimize=True)
    truth(generate(114, "gated-3mm")).save(output / "phantom_truth.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(p) for p in sys.argv[2:]])
