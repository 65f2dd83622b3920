"""Outlines of calcium as OsiriX and Horos export them: a property list of regions, slice by slice.

The file comes from elsewhere: only XML is read, entities are refused (`plistlib` does so), its size is limited, and
what it holds is checked before it is used.
"""

from __future__ import annotations

import plistlib
from dataclasses import dataclass
from pathlib import Path
from xml.parsers.expat import ExpatError

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, ValidationError

from calcscore_ml.errors import ScanError

LARGEST_BYTES = 32 * 2**20
"""Larger files are refused; our choice. A patient with a hundred outlines of a hundred points needs about one MB."""

PLIST_FAILURES = (ValueError, ExpatError, AttributeError, LookupError)
"""What plistlib raises when a file is damaged, or holds an element it does not know."""


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """One region drawn in one slice.

    Parameters
    ----------
    index : int
        Slice, from 0, feet to head.
    name : str
        What the observer called it.
    points : (n, 2) array of float
        Corners (x, y): column and row, pixel centres at whole numbers. Empty when the file gives none.
    mean_hu : float or None
        Mean of its pixels when it was drawn, if the file gives it [HU].
    """

    index: int
    name: str
    points: NDArray[np.float64]
    mean_hu: float | None = None


def read_outlines(path: Path | str) -> tuple[Outline, ...]:
    """Read the outlines of one scan.

    Parameters
    ----------
    path : path
        XML property list.

    Returns
    -------
    tuple of Outline
        In the order of the file, those without points too.

    Raises
    ------
    ScanError
        When the file is too large, damaged, or does not hold what outlines need.
    """
    path = Path(path)
    with path.open("rb") as file:
        content = file.read(LARGEST_BYTES + 1)
    if len(content) > LARGEST_BYTES:
        raise ScanError(
            f"a file of outlines may have {LARGEST_BYTES // 2**20} MB, but {path.name} is larger; check what it is"
        )
    try:
        held = _File.model_validate(plistlib.loads(content, fmt=plistlib.FMT_XML))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ScanError(
            "outlines must be a list Images with ImageIndex and ROIs, each with Name and Point_px, but in "
            f"{path.name} {where or 'the root'}: {first['msg']}; export it again"
        ) from error
    except PLIST_FAILURES as error:
        raise ScanError(
            f"outlines must be a whole XML property list, but {path.name} is not ({error}); copy it again"
        ) from error
    return tuple(
        Outline(image.index, roi.name.strip(), _points(roi.points, path), roi.mean)
        for image in held.images
        for roi in image.rois
    )


class _Roi(BaseModel):
    name: str = Field(alias="Name")
    points: list[str] = Field(alias="Point_px", default=[])
    mean: float | None = Field(alias="Mean", default=None)


class _Image(BaseModel):
    index: int = Field(alias="ImageIndex")
    rois: list[_Roi] = Field(alias="ROIs")


class _File(BaseModel):
    images: list[_Image] = Field(alias="Images")


def _points(texts: list[str], path: Path) -> NDArray[np.float64]:
    """Return points of texts "(x, y)", (n, 2)."""
    try:
        points = np.array([[float(v) for v in text.strip("() ").split(",")] for text in texts]).reshape(len(texts), 2)
    except ValueError as error:
        raise ScanError(f'a point of an outline must be "(x, y)", got {texts[:3]} in {path.name}') from error
    if not np.isfinite(points).all():
        raise ScanError(f"a point of an outline must be finite, got {texts[:3]} in {path.name}")
    return points
