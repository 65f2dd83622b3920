"""Settling what several readings said: what each says of a lesion, how far they agree, and where they do not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from threading import Lock
from typing import Any

import numpy as np

from calcscore_ml.anatomy import TITLES, Label
from calcscore_ml.review.consensus import Comparison, Pair, compare
from calcscore_ml.review.desk import CONSENSUS, Desk
from calcscore_ml.review.lesions import ReviewLesion
from calcscore_ml.review.state import Reading

UNKNOWN = "not defined"
"""Printed for a measure that cannot be computed."""

UNDECIDED, NOT_LISTED = "undecided", "does not list it"
"""What a reading says that has not decided, and one that split or never added a lesion."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the readings say of a lesion of the consensus.

    Parameters
    ----------
    said : tuple of (str, Label or None, str, str)
        Of each reading: its name, the label if it is one and was decided, what it says in words, and its note.
    """

    said: tuple[tuple[str, Label | None, str, str], ...]

    @property
    def agreed(self) -> Label | None:
        """The label of all readings that say something, two at least; None where there is none."""
        labels = [label for _, label, text, _ in self.said if text != UNDECIDED]
        return labels[0] if len(labels) > 1 and len(set(labels)) == 1 and not self.differs else None

    @property
    def differs(self) -> bool:
        """Whether those who decided say different things."""
        return len({text for _, _, text, _ in self.said if text != UNDECIDED}) > 1


class Settling:
    """What earlier readings said, kept up with the store; every method may be called from any thread.

    Parameters
    ----------
    desk : Desk
        Results and readings.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._lock = Lock()
        self._kept: dict[str, tuple[tuple[Reading, ...], dict[str, Opinion]]] = {}

    def names(self) -> tuple[str, ...]:
        """Return the names of the readings there are but the consensus."""
        return tuple(name for name in self._desk.store.readings() if name != CONSENSUS)

    def opinions(self, scan_id: str) -> dict[str, Opinion]:
        """Return what the readings say of each lesion of the consensus, by its key."""
        names = self.names()
        readings = tuple(self._desk.reading(scan_id, name) for name in (*names, CONSENSUS))
        with self._lock:
            kept = self._kept.get(scan_id)
        if kept is not None and len(kept[0]) == len(readings) and all(map(_is, kept[0], readings)):
            return kept[1]
        *others, consensus = readings
        found = {n.key: Opinion(tuple(map(_said, names, others, [n] * len(names)))) for n in consensus.lesions}
        with self._lock:
            self._kept[scan_id] = (readings, found)
        return found

    def agreement(self) -> list[Comparison]:
        """Compare the readings, each with each other one."""
        read = {name: self._desk.readings(name) for name in self.names()}
        return [compare({a: read[a], b: read[b]}) for a, b in combinations(read, 2)]


def told_opinions(settling: Settling, scan_id: str) -> dict[str, Any]:
    """Tell a page what the readings say of each lesion of a scan."""
    return {
        key: {
            "agreed": opinion.agreed is not None,
            "differs": opinion.differs,
            "label": opinion.agreed,
            "said": [
                {"reading": r, "label": label, "text": text, "note": note} for r, label, text, note in opinion.said
            ],
        }
        for key, opinion in settling.opinions(scan_id).items()
        if opinion.said
    }


def told_agreement(settling: Settling, desk: Desk) -> dict[str, Any]:
    """Tell a page how far the readings agree, and what is left to settle."""
    compared = settling.agreement()
    settled = desk.readings(CONSENSUS)
    return {
        "readings": list(settling.names()),
        "pairs": [{"readings": list(c.names), "numbers": _numbers(c)} for c in compared],
        "disagreements": [
            _told_pair(pair, c.names, settled[pair.scan_id])
            for c in compared
            for pair in c.disagreements
        ],
    }  # fmt: skip


def _said(name: str, reading: Reading, lesion: ReviewLesion) -> tuple[str, Label | None, str, str]:
    """What a reading says where a lesion of the consensus lies."""
    there = _overlapping(lesion, reading.lesions)
    if not there:
        return name, None, NOT_LISTED, ""
    note = "; ".join(n.note for n in there if n.note)
    if len(there) > 1:
        return name, None, " and ".join(f"{n.label.title}" for n in there) + " (split)", note
    (one,) = there
    excluded = int((~one.kept).sum() - (~lesion.kept).sum())
    text = one.label.title if one.decided else UNDECIDED
    text += f", {excluded} voxels excluded" if excluded > 0 else ""
    return name, one.label if one.decided else None, text, note


def _overlapping(lesion: ReviewLesion, others: Sequence[ReviewLesion]) -> list[ReviewLesion]:
    same = [n for n in others if n.key == lesion.key and np.array_equal(n.voxels, lesion.voxels)]
    if same:
        return same
    low, high = lesion.voxels.min(axis=0), lesion.voxels.max(axis=0)
    own = {tuple(v) for v in lesion.voxels.tolist()}
    near = (n for n in others if (n.voxels.max(axis=0) >= low).all() and (n.voxels.min(axis=0) <= high).all())
    return [n for n in near if not own.isdisjoint(map(tuple, n.voxels.tolist()))]


def _numbers(c: Comparison) -> list[tuple[str, str]]:
    """Name and value of each measure of agreement, as printed."""
    limits = c.limits
    spread = f"{limits.bias:.1f} ({limits.lower:.1f} to {limits.upper:.1f})"
    return [
        ("lesions both decided", str(len(c.pairs))),
        ("same label", _percent(c.agreement)),
        ("kappa, labels", _number(c.kappa)),
        ("kappa, coronary or not", _number(c.kappa_coronary)),
        ("found by one alone", str(len(c.alone))),
        ("scans both finished", str(c.scans)),
        ("ICC of Agatston", _number(c.icc)),
        ("difference, 95 % limits", spread if math.isfinite(limits.bias) else UNKNOWN),
    ]


def _told_pair(pair: Pair, names: tuple[str, str], settled: Reading) -> dict[str, Any]:
    said = [
        f"{name}: {TITLES[label] if key is not None else 'nothing'}"
        for name, key, label in zip(names, (pair.first_key, pair.second_key), (pair.first, pair.second), strict=True)
    ]
    key = next((k for k in (pair.first_key, pair.second_key) if k is not None), "")
    whole = key.partition(".")[0]
    here = [n for n in settled.lesions if n.key == key] or [
        n for n in settled.lesions if n.key.partition(".")[0] == whole
    ]
    return {
        "scan": pair.scan_id,
        "key": here[0].key if here else None,
        "name": key,
        "text": "; ".join(said),
        "effect": pair.effect,
        "settled": bool(here) and all(n.decided for n in here),
    }


def _is(a: object, b: object) -> bool:
    return a is b


def _number(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else UNKNOWN


def _percent(value: float) -> str:
    return f"{value:.0%}" if math.isfinite(value) else UNKNOWN
