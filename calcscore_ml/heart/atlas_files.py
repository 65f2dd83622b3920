"""Files of an atlas: each is read, checked and named in the error when it is not what an atlas needs."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from calcscore_ml.anatomy import ARTERIES, Label, Organ
from calcscore_ml.configs import problems
from calcscore_ml.errors import GeometryError, ScanError
from calcscore_ml.geometry import Geometry
from calcscore_ml.heart.grid import F32
from calcscore_ml.heart.registration import RegistrationSettings
from calcscore_ml.io.labels import read_labels
from calcscore_ml.io.volumes import read_grid

SHARES = 41
"""Points of an artery's centreline in an atlas, at equal shares of its length."""

LANDMARKS = ("left ostium", "right ostium", "fork", "apex", "crux", "aortic root")
"""Places every atlas knows: where the left main and the RCA begin, where the left main forks, where LAD and RCA end,
and the lowest part of the ascending aorta."""

CENTRELINE_COLUMNS = ("artery", "share", "z_mm", "y_mm", "x_mm", "spread_mm")
"""Columns of an atlas's centrelines: artery, share of its length from the origin, place in the atlas, and the RMS
distance at which the patients' own arteries pass."""

MAPS = (*(f"artery_{a.name}" for a in ARTERIES), "calcium")
"""Names of the maps of probability, and of their files."""

FULL = 255
"""A probability of 1 in a map's file."""


def read_card(path: Path) -> dict[str, Any]:
    """Read ``atlas.json``: names with values, whole; `ScanError` when it is not."""
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    missing = {"name", "box_mm", "landmarks_mm", "registration", "provenance"} - set(_table(card, "a card", path))
    if not missing:
        _table(card["provenance"], "provenance", path)
        missing = set(LANDMARKS) - set(_table(card["landmarks_mm"], "landmarks_mm", path))
    if missing:
        raise ScanError(
            f"an atlas.json must name {', '.join(sorted(missing))}, it does not in {path.parent.name}; build it anew"
        )
    return dict(card)


def read_settings(content: object, folder: Path) -> RegistrationSettings:
    """Check the registration settings of a card; `ScanError` when one is unknown, absent or out of range."""
    named = _table(content, "registration", folder / "atlas.json")
    known = {f.name for f in fields(RegistrationSettings)}
    if set(named) != known:
        strange = ", ".join(sorted(set(named) ^ known))
        raise ScanError(f"registration settings of an atlas must be known and whole, see {strange} in {folder.name}")
    try:
        settings = TypeAdapter(RegistrationSettings).validate_json(json.dumps(named), strict=True)
    except ValidationError as error:
        raise ScanError(
            f"registration settings of an atlas must be in range, got {problems(error)} in atlas.json of {folder.name}"
        ) from error
    counts = (*settings.affine_shrink, *settings.demons_shrink, *settings.demons_iterations, settings.affine_iterations)
    fine = (
        settings.step_mm > 0
        and settings.window_hu[0] < settings.window_hu[1]
        and 0 < settings.affine_sampling <= 1
        and settings.demons_smoothing > 0
        and settings.affine_shrink
        and min(counts) >= 1
        and len(settings.demons_shrink) == len(settings.demons_iterations) > 0
        and min(*settings.below_mm, *settings.above_mm) >= 0
    )
    if not fine:
        raise ScanError(
            "registration settings of an atlas must be in range: sizes and counts above 0, windows ascending, as many "
            f"demons_iterations as demons_shrink; not so in atlas.json of {folder.name}; build it anew"
        )
    return settings


def read_volume(path: Path) -> tuple[NDArray[np.generic], Geometry]:
    """Read a volume; `ScanError` when it is missing or damaged."""
    try:
        return read_grid(path)
    except (OSError, ScanError, GeometryError) as error:
        raise _unreadable(path, error) from error


def read_map(path: Path, geometry: Geometry) -> F32:
    """Read a map of probability on the template's grid, 0 to 1; `ScanError` when it is none."""
    stored, own = read_volume(path)
    values = stored.astype(np.float32)
    if not own.matches(geometry):
        raise ScanError(
            f"an atlas's maps share its template's grid, {path.name} of {path.parent.name} does not; build it anew"
        )
    if not ((values >= 0) & (values <= FULL) & (values == np.rint(values))).all():
        raise ScanError(
            f"an atlas's probabilities are whole numbers from 0 to {FULL}, got others in {path.name} of "
            f"{path.parent.name}; multiply shares by {FULL} and round them"
        )
    return np.asarray(values / np.float32(FULL))


def read_organs(path: Path, geometry: Geometry) -> NDArray[np.uint8]:
    """Read the label volume of organs on the template's grid; `ScanError` when it is none."""
    try:
        return read_labels(path, geometry, Organ)
    except (OSError, ScanError, GeometryError) as error:
        raise _unreadable(path, error) from error


def read_centrelines(path: Path) -> tuple[dict[Label, NDArray[np.float64]], dict[Label, NDArray[np.float64]]]:
    """Read centrelines, (`SHARES`, 3), and spreads, (`SHARES`,) [mm]; `ScanError` when one is not whole."""
    try:
        table = pd.read_csv(path)
        absent = [c for c in CENTRELINE_COLUMNS if c not in table]
        if absent:
            raise ValueError(f"no column {', '.join(absent)}")
        parts = {a: table.loc[table["artery"] == a.name, list(CENTRELINE_COLUMNS[1:])] for a in ARTERIES}
        values = {a: part.to_numpy(np.float64) for a, part in parts.items()}
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    shares = np.linspace(0, 1, SHARES)
    for artery, rows in values.items():
        if len(rows) != SHARES or not np.isfinite(rows).all() or np.abs(rows[:, 0] - shares).max() > 1e-3:
            raise ScanError(
                f"an atlas has {SHARES} points of each coronary artery, from its origin to its end at equal shares; "
                f"not so for {artery.name} in {path.name} of {path.parent.name}; build it anew"
            )
    return {a: rows[:, 1:4].copy() for a, rows in values.items()}, {a: rows[:, 4].copy() for a, rows in values.items()}


def numbers(content: object, shape: tuple[int, ...], what: str, folder: Path) -> NDArray[np.float64]:
    """Check finite numbers of a card, of a shape; `what` names them in the `ScanError`."""
    try:
        values = np.asarray(content, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.zeros(0)
    if values.shape != shape or not np.isfinite(values).all():
        raise ScanError(
            f"{what} must be {' x '.join(map(str, shape))} numbers of millimetres, got {content!r:.60} in atlas.json "
            f"of {folder.name}; build it anew"
        )
    return values


def _table(content: object, what: str, path: Path) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise ScanError(f"{what} must be names with values, got {content!r:.40} in {path.name} of {path.parent.name}")
    return content


def _unreadable(path: Path, error: Exception) -> ScanError:
    reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    return ScanError(
        f"an atlas needs a readable {path.name}, got {reason} in the folder {path.parent.name}; copy the folder again, "
        "or build it anew"
    )
