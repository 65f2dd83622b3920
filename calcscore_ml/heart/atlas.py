"""An atlas: a template scan, and what is known about every place in it.

An atlas is data, a folder of open formats that any viewer shows: ``template.nii.gz`` (HU), ``organs.nii.gz`` (numbers
of `Organ`), ``artery_LM.nii.gz`` and so on and ``calcium.nii.gz`` (probabilities, 0 to 255), ``centrelines.csv`` and
``atlas.json`` (heart box, landmarks, registration settings, provenance). Several atlases are several folders in one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from calcscore_ml.anatomy import ARTERIES, Label, Organ
from calcscore_ml.errors import RecipeError, ScanError
from calcscore_ml.files import write_folder_beside, write_text
from calcscore_ml.geometry import Geometry
from calcscore_ml.heart.atlas_files import (
    CENTRELINE_COLUMNS,
    FULL,
    LANDMARKS,
    MAPS,
    SHARES,
    numbers,
    read_card,
    read_centrelines,
    read_map,
    read_organs,
    read_settings,
    read_volume,
)
from calcscore_ml.heart.grid import F32, Grid
from calcscore_ml.heart.group import GROUP, Group, read_group
from calcscore_ml.heart.registration import RegistrationSettings
from calcscore_ml.io.labels import write_labels
from calcscore_ml.io.volumes import write_grid

__all__ = [
    "CENTRELINE_COLUMNS",
    "DEFAULT",
    "FULL",
    "LANDMARKS",
    "MAPS",
    "OUTSIDE_MM",
    "SHARES",
    "Atlas",
    "atlas_folders",
    "read_atlas",
    "read_atlases",
    "write_atlas",
]

OUTSIDE_MM = 30.0
"""A landmark, an artery or the heart box lies no farther outside the template than this: a scan may end within the
heart. Farther off, the millimetres are another file's; our choice."""

DEFAULT = "default"
"""Name of the atlases that come with the package, built from digital patients."""


@dataclass(frozen=True, slots=True, eq=False)
class Atlas:
    """A template and what is known about its places, (z, y, x) [mm] from the template's first voxel.

    Parameters
    ----------
    name : str
        Short.
    grid : Grid
        Of all volumes.
    hu : array of float32
        Template, clipped to the settings' window [HU].
    organs : array of uint8
        `Organ` of every voxel.
    artery : dict of Label to array of float32
        Probability that a patient's artery passes here, by coronary artery.
    calcium : array of float32
        Probability that a patient has coronary calcium here.
    centrelines : dict of Label to (`SHARES`, 3) array
        Mean centreline from origin to end.
    spread_mm : dict of Label to (`SHARES`,) array
        RMS distance at which the patients' own arteries pass.
    landmarks : dict of str to (3,) array
        `LANDMARKS`.
    box_mm : (2, 3) array
        Around the heart.
    settings : RegistrationSettings
        How a scan is registered to it.
    provenance : dict
        From what it was built.
    group : Group or None
        What a scan is registered to first, shared by all atlases of a cohort; None: each is registered to on its own.
    """

    name: str
    grid: Grid
    hu: F32
    organs: NDArray[np.uint8]
    artery: Mapping[Label, F32]
    calcium: F32
    centrelines: Mapping[Label, NDArray[np.float64]]
    spread_mm: Mapping[Label, NDArray[np.float64]]
    landmarks: Mapping[str, NDArray[np.float64]]
    box_mm: NDArray[np.float64]
    settings: RegistrationSettings = field(default_factory=RegistrationSettings)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    group: Group | None = None

    def __post_init__(self) -> None:
        for array in (self.hu, self.organs, self.calcium, self.box_mm):
            array.flags.writeable = False
        for arrays in (self.artery, self.centrelines, self.spread_mm, self.landmarks):
            for array in arrays.values():
                array.flags.writeable = False


def write_atlas(atlas: Atlas, folder: Path | str) -> Path:
    """Write an atlas into a new folder, whole or not at all.

    Raises
    ------
    ResultError
        When the folder exists, or the disk does not take it.
    ScanError
        When the atlas is not one that can be read again.
    """
    folder = Path(folder)
    _check(atlas, folder)
    geometry = Geometry(atlas.grid.shape, (atlas.grid.step_mm,) * 3)
    with write_folder_beside(folder) as beside:
        write_grid(np.rint(atlas.hu).astype(np.int16), geometry, beside / "template.nii.gz")
        write_labels(atlas.organs, geometry, beside / "organs.nii.gz", vocabulary=Organ)
        for name, values in _maps(atlas).items():
            write_grid(np.rint(values * FULL).astype(np.uint8), geometry, beside / f"{name}.nii.gz")
        table = pd.DataFrame(
            [
                (a.name, k / (SHARES - 1), *atlas.centrelines[a][k], atlas.spread_mm[a][k])
                for a in ARTERIES
                for k in range(SHARES)
            ],
            columns=list(CENTRELINE_COLUMNS),
        )
        table.to_csv(beside / "centrelines.csv", index=False, float_format="%.3f", lineterminator="\n")
        card = {
            "name": atlas.name,
            "box_mm": np.round(atlas.box_mm, 3).tolist(),
            "landmarks_mm": {k: np.round(v, 3).tolist() for k, v in atlas.landmarks.items()},
            "registration": asdict(atlas.settings),
            "provenance": dict(atlas.provenance),
        }
        write_text(beside / "atlas.json", json.dumps(card, indent=2, allow_nan=False) + "\n")
    return folder


def read_atlas(folder: Path | str) -> Atlas:
    """Read and check an atlas.

    Raises
    ------
    ScanError
        When a file is missing or is not what an atlas needs; the message names it.
    """
    folder = Path(folder)
    card = read_card(folder / "atlas.json")
    settings = read_settings(card["registration"], folder)
    raw, geometry = read_volume(folder / "template.nii.gz")
    if np.ptp(geometry.spacing) > 1e-4:
        raise ScanError(
            f"an atlas has cubic voxels, got {geometry.spacing} mm in template.nii.gz of {folder.name}; build it anew"
        )
    maps = {name: read_map(folder / f"{name}.nii.gz", geometry) for name in MAPS}
    lines, spread = read_centrelines(folder / "centrelines.csv")
    atlas = Atlas(
        name=str(card["name"]),
        grid=Grid(np.zeros(3), float(geometry.spacing[0]), geometry.shape),
        hu=raw.astype(np.float32),
        organs=read_organs(folder / "organs.nii.gz", geometry),
        artery={a: maps[f"artery_{a.name}"] for a in ARTERIES},
        calcium=maps["calcium"],
        centrelines=lines,
        spread_mm=spread,
        landmarks={k: numbers(card["landmarks_mm"][k], (3,), f"the landmark {k}", folder) for k in LANDMARKS},
        box_mm=numbers(card["box_mm"], (2, 3), "box_mm", folder),
        settings=settings,
        provenance=card["provenance"],
    )
    _check(atlas, folder)
    return atlas


@lru_cache(maxsize=4)
def read_atlases(source: str = DEFAULT) -> tuple[Atlas, ...]:
    """Read the atlases of a folder, or those that come with the package; kept in memory.

    Parameters
    ----------
    source : str
        ``"default"``, the folder of one atlas, or a folder of such folders.

    Raises
    ------
    RecipeError
        When there is no atlas.
    ScanError
        When an atlas is broken, or the atlases were built for different registrations.
    """
    folders = atlas_folders(source)
    atlases = tuple(read_atlas(folder) for folder in folders)
    for folder, atlas in zip(folders, atlases, strict=True):
        strange = [
            f.name
            for f in fields(RegistrationSettings)
            if getattr(atlas.settings, f.name) != getattr(atlases[0].settings, f.name)
        ]
        if strange:
            raise ScanError(
                f"atlases used together share their registration settings, got another {', '.join(strange)} in "
                f"{folder.name} than in {folders[0].name}; build them in one run, or give them folders of their own"
            )
    group = read_group(folders[0].parent / GROUP, atlases[0].settings, tuple(a.name for a in atlases))
    return atlases if group is None else tuple(replace(a, group=group) for a in atlases)


def atlas_folders(source: str = DEFAULT) -> tuple[Path, ...]:
    """Find the folders of the atlases `read_atlases` reads, in its order: numbers ascending, then names.

    Raises
    ------
    RecipeError
        When there is none.
    """
    home = Path(str(files("calcscore_ml.heart") / "default_atlas")) if source == DEFAULT else Path(source)
    if _holds_atlas(home):
        return (home,)
    # Names with a dot are what a killed run left behind, half-written.
    found = [path for path in home.glob("*/") if not path.name.startswith(".") and _holds_atlas(path)]
    if not found:
        came = f"none in {source}" if source != DEFAULT else "none with this installation of calcscore-ml"
        raise RecipeError(
            f"atlases must be folders with an atlas.json, got {came}; build them with calcscore atlas build"
        )
    return tuple(sorted(found, key=lambda f: (int(f.name) if f.name.isdecimal() else math.inf, f.name)))


def _maps(atlas: Atlas) -> dict[str, F32]:
    return dict(zip(MAPS, (*(atlas.artery[a] for a in ARTERIES), atlas.calcium), strict=True))


def _holds_atlas(folder: Path) -> bool:
    """Whether any file of an atlas is there: one that lacks a file is broken, not absent."""
    return any((folder / name).is_file() for name in ("atlas.json", "template.nii.gz", "centrelines.csv"))


def _check(atlas: Atlas, folder: Path) -> None:
    """Check what no single file can show; raise `ScanError`."""

    def refuse(rule: str, file: str) -> ScanError:
        return ScanError(f"{rule}; not so in {file} of {folder.name}; build it anew")

    low, high = atlas.settings.window_hu
    if abs(atlas.settings.step_mm - atlas.grid.step_mm) > 1e-4:
        raise refuse(
            f"an atlas's voxels are as large as its registration's step_mm {atlas.settings.step_mm:g}",
            "template.nii.gz",
        )
    if not ((atlas.hu >= low - 0.5) & (atlas.hu <= high + 0.5)).all():
        raise refuse(f"a template is clipped to its registration's window {low:g} to {high:g} HU", "template.nii.gz")
    for organ in (Organ.HEART, Organ.ASCENDING_AORTA):
        if not (atlas.organs == organ).any():
            raise refuse(f"an atlas has a {organ.title}", "organs.nii.gz")
    for name, values in _maps(atlas).items():
        if not ((values >= 0) & (values <= 1 + 1e-6)).all():
            raise refuse("probabilities lie between 0 and 1", f"{name}.nii.gz")
    if not (atlas.box_mm[0] < atlas.box_mm[1]).all():
        raise refuse("a heart box's lower ends come first", "atlas.json")
    places = {"box_mm": atlas.box_mm, **{f"the landmark {k}": atlas.landmarks.get(k) for k in LANDMARKS}}
    for name, place in places.items():
        if place is None or not _within(place, atlas.grid):
            raise refuse(f"{name} lies in the template, give or take {OUTSIDE_MM:g} mm", "atlas.json")
    for artery in ARTERIES:
        if not _within(atlas.centrelines[artery], atlas.grid):
            raise refuse(f"the {artery.name} lies in the template, give or take {OUTSIDE_MM:g} mm", "centrelines.csv")
        if not (atlas.spread_mm[artery] >= 0).all():
            raise refuse("spread_mm is 0 or more", "centrelines.csv")


def _within(points_mm: NDArray[np.float64], grid: Grid) -> bool:
    return bool(((points_mm >= grid.lower_mm - OUTSIDE_MM) & (points_mm <= grid.upper_mm + OUTSIDE_MM)).all())
