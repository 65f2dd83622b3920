"""What a page asks for, and the decision it becomes.

A page never says which voxels or values a lesion has: it says where somebody pointed, and the server looks at the scan.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from calcscore_ml.anatomy import Label
from calcscore_ml.errors import ReviewError
from calcscore_ml.review.events import (
    LONGEST_NOTE,
    AddLesion,
    Event,
    ExcludeVoxels,
    LabelLesion,
    Note,
    Positions,
    SplitLesion,
    Undo,
)
from calcscore_ml.review.regions import Limits, grow, split_by_arteries, split_by_plane
from calcscore_ml.review.slices import Axis
from calcscore_ml.review.state import Reading

Key = Annotated[str, Field(min_length=1, max_length=100)]
Number = Annotated[int, Field(strict=True, ge=0, le=max(Label))]
Index = Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)]
Place = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
Point = tuple[Place, Place, Place]


class _Intent(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Labelled(_Intent):
    """A lesion gets a label."""

    kind: Literal["label"]
    lesion: Key
    label: Number


class PlaneSplit(_Intent):
    """A lesion is split along a line drawn in a view, by two points (z, y, x) in voxels."""

    kind: Literal["split plane"]
    lesion: Key
    first: Point
    second: Point
    axis: Axis


class ArterySplit(_Intent):
    """A lesion is split by the nearest expected artery."""

    kind: Literal["split arteries"]
    lesion: Key


class Excluded(_Intent):
    """Voxels of a lesion, by their positions in it, are no calcium."""

    kind: Literal["exclude"]
    lesion: Key
    positions: Positions


class Added(_Intent):
    """What is connected to a bright voxel (z, y, x) is a lesion."""

    kind: Literal["add"]
    voxel: tuple[Index, Index, Index]
    label: Annotated[int, Field(strict=True, ge=1, le=max(Label))]


class Noted(_Intent):
    """A note on a lesion, or on the scan."""

    kind: Literal["note"]
    lesion: Key | None = None
    text: Annotated[str, Field(max_length=LONGEST_NOTE)]


class Undone(_Intent):
    """An event of the reading, by its id, has no effect."""

    kind: Literal["undo"]
    event: Annotated[int, Field(strict=True, ge=1)]


Intent = Annotated[Labelled | PlaneSplit | ArterySplit | Excluded | Added | Noted | Undone, Field(discriminator="kind")]
"""Anything a page can ask to be decided."""


class Asked(_Intent):
    """A whole request: which scan, what was seen of it, what is asked for.

    Parameters
    ----------
    scan : str
        Id of the scan.
    seen : int
        Number of events of the reading that the page had seen.
    intent : Intent
        What is asked for.
    """

    scan: Annotated[str, Field(min_length=1, max_length=400)]
    seen: Annotated[int, Field(strict=True, ge=0)]
    intent: Intent


_ADAPTER = TypeAdapter(Asked)


def parse_asked(body: bytes) -> Asked:
    """Read a request.

    Raises
    ------
    ReviewError
        When it is none; the message says which value breaks which rule, and repeats nothing of it.
    """
    try:
        return _ADAPTER.validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(step) for step in first["loc"])[:80] or "the whole"
        raise ReviewError(
            f"a request must say scan, seen and intent as the page does, got something else: {first['msg']} ({where})"
        ) from None


def needs_scan(intent: Intent) -> bool:
    """Whether the voxels of the scan are looked at."""
    return isinstance(intent, Added)


def to_event(
    intent: Intent,
    reading: Reading,
    limits: Limits,
    paths: Mapping[Label, NDArray[np.floating]],
    hu: NDArray[np.int16] | None,
) -> Event:
    """Turn what is asked for into a decision.

    Parameters
    ----------
    intent : Intent
        What is asked for.
    reading : Reading
        What stands.
    limits : Limits
        What makes voxels a lesion.
    paths : mapping of Label to (k, 3) array
        Expected arteries, in voxels.
    hu : (nz, ny, nx) array of int16 or None
        The scan, where `needs_scan` says so.

    Raises
    ------
    ReviewError
        When it cannot be done; the message says why.
    """
    spacing = reading.calcium.geometry.spacing
    try:
        match intent:
            case Labelled():
                return LabelLesion(lesion=intent.lesion, label=intent.label)
            case Excluded():
                return ExcludeVoxels(lesion=intent.lesion, positions=intent.positions)
            case Noted():
                return Note(lesion=intent.lesion, text=intent.text)
            case Undone():
                return Undo(event=intent.event)
            case PlaneSplit():
                voxels = reading.lesion(intent.lesion).voxels
                parts = split_by_plane(voxels, spacing, intent.first, intent.second, intent.axis)
                return SplitLesion(lesion=intent.lesion, parts=parts)
            case ArterySplit():
                parts = split_by_arteries(reading.lesion(intent.lesion).voxels, spacing, paths)
                return SplitLesion(lesion=intent.lesion, parts=parts)
            case Added():
                assert hu is not None
                taken = [n.voxels for n in reading.lesions] or [np.zeros((0, 3), dtype=np.intp)]
                found = grow(hu, intent.voxel, spacing, limits, np.concatenate(taken))
                values = hu[tuple(found.T)].tolist()
                return AddLesion(voxels=tuple(map(tuple, found.tolist())), hu=tuple(values), label=intent.label)
    except ValidationError as error:
        raise ReviewError(f"a decision must be one that can be stored: {error.errors()[0]['msg']}") from None
