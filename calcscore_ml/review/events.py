"""What an expert can decide: six kinds of event, each enough to replay it without the scan.

A lesion is named by its key: ``"12"`` for lesion 12 of the result, ``"12.1"`` and ``"12.2"`` for its parts after a
split, ``"+7"`` for one added by the seventh event of a reading.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from calcscore_ml.anatomy import Label
from calcscore_ml.errors import ReviewError

LONGEST_NOTE = 2000
"""Characters of a note."""

MOST_VOXELS = 200_000
"""Voxels in one event: twenty times the largest candidate a recipe allows in the finest scans; our choice."""

KEY_PATTERN = r"^\+?[1-9][0-9]{0,8}(\.[1-9][0-9]{0,3}){0,12}$"
"""What a lesion's key looks like."""

NAME_PATTERN = r"^[A-Za-z0-9_.-]{1,40}\Z"
"""What names of observers and readings look like."""

_UNPRINTED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def _printed(text: str) -> str:
    if _UNPRINTED.search(text):
        raise ValueError("a note must be text with line feeds and tabs, without other control characters")
    return text


def _distinct(numbers: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(numbers)) != len(numbers):
        raise ValueError("positions must be distinct")
    return numbers


Key = Annotated[str, Field(pattern=KEY_PATTERN)]
Whole = Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)]
LabelNumber = Annotated[int, Field(strict=True, ge=0, le=max(Label))]
CalciumNumber = Annotated[int, Field(strict=True, ge=1, le=max(Label))]
Value = Annotated[int, Field(strict=True, ge=-(2**15), le=2**15 - 1)]
Positions = Annotated[tuple[Whole, ...], Field(min_length=1, max_length=MOST_VOXELS), AfterValidator(_distinct)]
Text = Annotated[str, Field(max_length=LONGEST_NOTE), AfterValidator(_printed)]


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LabelLesion(_Event):
    """A lesion gets a label; accepting it is giving it the label the model gave.

    Parameters
    ----------
    lesion : str
        Key of the lesion.
    label : int
        `Label` number, 0 to 7.
    """

    kind: Literal["label"] = "label"
    lesion: Key
    label: LabelNumber


class SplitLesion(_Event):
    """A lesion that merges several things is divided.

    Parameters
    ----------
    lesion : str
        Key of the lesion.
    parts : tuple of tuples of int
        Positions into the lesion's voxels, as `calcscore_ml.review.state` orders them; each position in one part.
    """

    kind: Literal["split"] = "split"
    lesion: Key
    parts: Annotated[tuple[Positions, ...], Field(min_length=2, max_length=1000)]

    @model_validator(mode="after")
    def _once(self) -> Self:
        _distinct(tuple(position for part in self.parts for position in part))
        return self


class ExcludeVoxels(_Event):
    """Voxels of a lesion are no calcium.

    Parameters
    ----------
    lesion : str
        Key of the lesion.
    positions : tuple of int
        Positions into the lesion's voxels, as `calcscore_ml.review.state` orders them.
    """

    kind: Literal["exclude"] = "exclude"
    lesion: Key
    positions: Positions


class AddLesion(_Event):
    """A lesion the model did not list.

    Parameters
    ----------
    voxels : tuple of (int, int, int)
        Indices (z, y, x), distinct.
    hu : tuple of int
        Their values [HU].
    label : int
        `Label` number, 1 to 7.
    """

    kind: Literal["add"] = "add"
    voxels: Annotated[tuple[tuple[Whole, Whole, Whole], ...], Field(min_length=1, max_length=MOST_VOXELS)]
    hu: Annotated[tuple[Value, ...], Field(min_length=1, max_length=MOST_VOXELS)]
    label: CalciumNumber

    @model_validator(mode="after")
    def _paired(self) -> Self:
        if len(self.voxels) != len(self.hu):
            raise ValueError(f"every voxel must have a value, got {len(self.voxels)} voxels and {len(self.hu)} values")
        if len(set(self.voxels)) != len(self.voxels):
            raise ValueError("voxels must be distinct")
        return self


class Note(_Event):
    """A note on a lesion or on the whole scan; the last one stands, and an empty one takes it away.

    Parameters
    ----------
    lesion : str or None
        Key of the lesion; None for the scan.
    text : str
        At most `LONGEST_NOTE` characters.
    """

    kind: Literal["note"] = "note"
    lesion: Key | None = None
    text: Text


class Undo(_Event):
    """An earlier event of the reading has no effect; undoing an undo brings it back.

    Parameters
    ----------
    event : int
        Id of that event in the store.
    """

    kind: Literal["undo"] = "undo"
    event: Annotated[int, Field(strict=True, ge=1, le=2**62)]


Event = Annotated[
    LabelLesion | SplitLesion | ExcludeVoxels | AddLesion | Note | Undo,
    Field(discriminator="kind"),
]
"""Anything an expert can decide."""

_ADAPTER: TypeAdapter[Event] = TypeAdapter(Event)


def parse_event(content: str | bytes) -> Event:
    """Read an event from JSON text.

    Raises
    ------
    ReviewError
        When it is none; the message says which value breaks which rule.

    >>> parse_event('{"kind": "label", "lesion": "12", "label": 1}')
    LabelLesion(kind='label', lesion='12', label=1)
    """
    try:
        return _ADAPTER.validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(step) for step in first["loc"]) or "the whole"
        raise ReviewError(
            f"a decision must be one of label, split, exclude, add, note and undo, with what each asks for; got "
            f"something else: {first['msg']} ({where[:80]}); send it as calcscore_ml.review.events says"
        ) from None


def event_json(event: Event) -> str:
    """Return an event as JSON text; `parse_event` reads it back.

    >>> event_json(LabelLesion(lesion="12", label=1))
    '{"kind":"label","lesion":"12","label":1}'
    """
    return _ADAPTER.dump_json(event).decode()
