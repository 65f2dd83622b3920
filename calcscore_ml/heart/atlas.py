"""An atlas: a template scan, and what is known about every place in it.

An atlas is data, a folder of open formats that any viewer shows: ``template.nii.gz`` (HU), ``organs.nii.gz`` (numbers
of `Organ`), ``artery_LM.nii.gz`` and so on and ``calcium.nii.gz`` (probabilities, 0 to 255), ``centrelines.csv`` and
``atlas.json`` (heart box, landmarks, registration settings, provenance). Several atlases are several folders in one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
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
from calcscore_ml.heart.grid import F32, Grid
from calcscore_ml.heart.registration import RegistrationSettings
from calcscore_ml.io.labels import read_labels, write_labels
from calcscore_ml.io.volumes import read_grid, write_grid

SHARES = 41
"""Points of an artery's centreline in an atlas, at equal shares of its length."""

LANDMARKS = ("left ostium", "right ostium", "fork", "apex", "crux", "aortic root")
"""Places every atlas knows: where the left main and the RCA begin, where the left main forks, where LAD and RCA end,
and the lowest part of the ascending aorta."""

CENTRELINE_COLUMNS = ("artery", "share", "z_mm", "y_mm", "x_mm", "spread_mm")
"""Columns of an atlas's centrelines: artery, share of its length from the origin, place in the atlas, and the RMS
distance at which the patients' own arteries pass."""

FULL = 255
"""A probability of 1 in a map's file."""

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

    def __post_init__(self) -> None:
        for array in (self.hu, self.calcium, *self.artery.values()):
            array.flags.writeable = False
        self.organs.flags.writeable = False


def write_atlas(atlas: Atlas, folder: Path | str) -> Path:
    """Write an atlas into a new folder, whole or not at all.

    Raises
    ------
    ResultError
        When the folder exists.
    """
    folder = Path(folder)
    geometry = Geometry(atlas.grid.shape, (atlas.grid.step_mm,) * 3)
    with write_folder_beside(folder) as beside:
        write_grid(np.rint(atlas.hu).astype(np.int16), geometry, beside / "template.nii.gz")
        write_labels(atlas.organs, geometry, beside / "organs.nii.gz", vocabulary=Organ)
        for name, values in _maps(atlas.artery, atlas.calcium).items():
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
        write_text(beside / "atlas.json", json.dumps(card, indent=2) + "\n")
    return folder


def read_atlas(folder: Path | str) -> Atlas:
    """Read and check an atlas.

    Raises
    ------
    ScanError
        When a file is missing or is not what an atlas needs; the message names it.
    """
    folder = Path(folder)
    card = _read_card(folder / "atlas.json")
    raw, geometry = read_grid(folder / "template.nii.gz")
    if len(set(np.round(geometry.spacing, 4))) != 1:
        raise ScanError(f"an atlas has cubic voxels, got {geometry.spacing} mm in {folder.name}; build it anew")
    grid = Grid(np.zeros(3), float(geometry.spacing[0]), geometry.shape)
    organs = read_labels(folder / "organs.nii.gz", geometry, Organ)
    maps = {}
    for name in _maps(dict.fromkeys(ARTERIES, organs), organs):
        values, own = read_grid(folder / f"{name}.nii.gz")
        if not own.matches(geometry):
            raise ScanError(f"an atlas's maps share its template's grid, {name}.nii.gz of {folder.name} does not")
        maps[name] = values.astype(np.float32) / np.float32(FULL)
    lines, spread = _read_centrelines(folder / "centrelines.csv")
    return Atlas(
        name=str(card["name"]),
        grid=grid,
        hu=raw.astype(np.float32),
        organs=organs,
        artery={a: maps[f"artery_{a.name}"] for a in ARTERIES},
        calcium=maps["calcium"],
        centrelines=lines,
        spread_mm=spread,
        landmarks={k: np.asarray(card["landmarks_mm"][k], dtype=np.float64) for k in LANDMARKS},
        box_mm=np.asarray(card["box_mm"], dtype=np.float64),
        settings=_read_settings(card["registration"], folder),
        provenance=card["provenance"],
    )


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
        When an atlas is broken.
    """
    home = Path(str(files("calcscore_ml.heart") / "default_atlas")) if source == DEFAULT else Path(source)
    if (home / "atlas.json").is_file():
        return (read_atlas(home),)
    found = sorted(path.parent for path in home.glob("*/atlas.json"))
    if not found:
        raise RecipeError(
            f"atlases must be folders with an atlas.json, got none in {source}; build them with calcscore atlas build"
        )
    return tuple(read_atlas(folder) for folder in found)


def _maps(artery: Mapping[Label, NDArray[Any]], calcium: NDArray[Any]) -> dict[str, NDArray[Any]]:
    return {**{f"artery_{a.name}": artery[a] for a in ARTERIES}, "calcium": calcium}


def _read_card(path: Path) -> dict[str, Any]:
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        missing = {"name", "box_mm", "landmarks_mm", "registration", "provenance"} - set(card)
        missing |= set(LANDMARKS) - set(card.get("landmarks_mm", {}))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ScanError(f"an atlas needs a readable atlas.json, got {error} in {path.parent.name}") from error
    if missing:
        raise ScanError(f"an atlas.json must name {', '.join(sorted(missing))}, it does not in {path.parent.name}")
    return dict(card)


def _read_settings(content: dict[str, Any], folder: Path) -> RegistrationSettings:
    known = {f.name for f in fields(RegistrationSettings)}
    if set(content) != known:
        strange = ", ".join(sorted(set(content) ^ known))
        raise ScanError(f"registration settings of an atlas must be known and whole, see {strange} in {folder.name}")
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in content.items()}
    return RegistrationSettings(**values)


def _read_centrelines(path: Path) -> tuple[dict[Label, NDArray[np.float64]], dict[Label, NDArray[np.float64]]]:
    try:
        table = pd.read_csv(path)
        parts = {a: table[table["artery"] == a.name] for a in ARTERIES}
        lines = {a: p[["z_mm", "y_mm", "x_mm"]].to_numpy(np.float64) for a, p in parts.items()}
        spread = {a: p["spread_mm"].to_numpy(np.float64) for a, p in parts.items()}
    except (OSError, ValueError, KeyError) as error:
        raise ScanError(f"an atlas needs a readable centrelines.csv, got {error} in {path.parent.name}") from error
    if any(len(line) != SHARES or not np.isfinite(line).all() for line in lines.values()):
        raise ScanError(f"an atlas has {SHARES} points of each coronary artery, not so in {path.parent.name}")
    return lines, spread
