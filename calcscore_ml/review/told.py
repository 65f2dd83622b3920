"""What a page is told of a reading: numbers and texts, ready for JSON, and nothing that names a patient or a path."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calcscore_ml.anatomy import TITLES, Label
from calcscore_ml.reports.pictures import COLOURS, HEART_MARGIN_MM
from calcscore_ml.review.desk import Case
from calcscore_ml.review.lesions import ReviewLesion
from calcscore_ml.review.queue import order_lesions
from calcscore_ml.review.state import Reading, StoredEvent, undone_events
from calcscore_ml.review.words import doubts, told_change, told_event

DRIVERS_MOST = 5
"""Features told of a lesion, strongest first."""

PATH_MOST = 160
"""Points told of an expected artery: closer than a millimetre in the longest."""

HISTORY_MOST = 200
"""Decisions told of a scan, the latest."""

NAMES: tuple[str, ...] = tuple(TITLES[label] for label in Label)
"""Title of each label, by number."""

KEYS: tuple[str, ...] = tuple(str(int(label)) for label in Label)
"""The key that gives each label: its number."""


def told_labels() -> list[dict[str, Any]]:
    """Tell the labels there are, in the order of their keys: 1 to 7, then 0."""
    ordered = sorted(Label, key=lambda label: (label == Label.OTHER, label))
    return [
        {
            "number": int(label),
            "key": KEYS[label],
            "title": label.title,
            "colour": COLOURS[label],
            "coronary": label.is_coronary,
        }
        for label in ordered
    ]


def told_score(reading: Reading) -> dict[str, Any]:
    """Tell a scan's numbers as they stand."""
    asked = [n for n in reading.lesions if n.referred]
    return {
        "scan": reading.scan_id,
        "version": reading.version,
        "headline": reading.headline,
        "valid": reading.result.valid,
        "invalid_reasons": list(reading.result.invalid_reasons),
        "agatston": reading.score.total.agatston,
        "lowest": reading.range.lowest,
        "highest": reading.range.highest,
        "category": reading.category,
        "pending": reading.range.pending,
        "asked": len(asked),
        "decided": sum(n.decided for n in asked),
    }


def told_queue(readings: Mapping[str, Reading], differing: Mapping[str, frozenset[str]]) -> list[dict[str, Any]]:
    """Tell every lesion of every scan, in the order an expert should see them.

    Parameters
    ----------
    readings : mapping of str to Reading
        By scan.
    differing : mapping of str to frozenset of str
        Lesions of each scan on which earlier readings differ: they come first, and are pending until they are decided.
    """
    told = [
        {
            "scan": item.scan_id,
            "key": item.key,
            "label": int(item.lesion.label),
            "effect": item.lesion.effect,
            "pending": item.pending or (not item.lesion.decided and item.key in differing.get(item.scan_id, ())),
            "decided": item.lesion.decided,
            "referred": item.lesion.referred,
            "differs": item.key in differing.get(item.scan_id, ()),
        }
        for item in order_lesions(readings.values())
    ]
    return sorted(told, key=lambda entry: (not entry["pending"], not entry["differs"]))


def told_scan(case: Case, reading: Reading) -> dict[str, Any]:
    """Tell everything about a scan that is no picture."""
    result = case.result
    spacing = np.asarray(result.geometry.spacing)
    return {
        **told_score(reading),
        "shape": list(result.geometry.shape),
        "spacing": spacing.tolist(),
        "shapes": shapes_of(reading),
        "note": reading.note,
        "sites": [
            {"site": s.site, "agatston": s.agatston, "volume_mm3": s.volume_mm3}
            for s in (*reading.score.arteries, *reading.score.elsewhere)
        ],
        "remarks": [r.text for r in result.remarks if r.severity == "warning"],
        "whole_scan": list(result.whole_scan),
        "heart": dict(zip(("lower", "upper"), (c.tolist() for c in heart_crop(case)), strict=True)),
        "arteries": {
            label.name: {"colour": COLOURS[label], "path": np.round(_thinned(path), 1).tolist()}
            for label, path in case.arteries.items()
            if len(path)
        },
        "threshold_hu": case.limits.threshold_hu,
        "lesions": [told_lesion(n) for n in reading.lesions],
        "history": told_history(reading.events),
    }


def told_lesion(lesion: ReviewLesion) -> dict[str, Any]:
    """Tell a lesion: what it is, what the model said, and why somebody should look."""
    kept = lesion.hu[lesion.kept]
    voxels = lesion.voxels[lesion.kept]
    origin = lesion.origin
    return {
        "key": lesion.key,
        "label": int(lesion.label),
        "said": int(lesion.said),
        "pending": lesion.pending,
        "referred": lesion.referred,
        "decided": lesion.decided,
        "decided_by": lesion.decided_by,
        "added": lesion.lesion is None,
        "reason": lesion.reason,
        "effect": lesion.effect,
        "volume_mm3": lesion.volume_mm3,
        "mean_hu": float(kept.mean()),
        "peak_hu": int(kept.max()),
        "probabilities": [_number(lesion.probabilities.get(TITLES[label])) for label in Label],
        "coronary": lesion.coronary_probability,
        "doubts": list(doubts(origin)) if origin is not None else [],
        "measures": _measures(lesion),
        "drivers": [
            {
                "feature": d.feature,
                "value": _number(d.value),
                "typical": _number(d.typical),
                "effect": d.effect,
            }
            for d in lesion.drivers[:DRIVERS_MOST]
        ],
        "centre": voxels.mean(axis=0).tolist(),
        "peak": voxels[int(np.argmax(kept))].tolist(),
        "voxels": len(voxels),
        "note": lesion.note,
    }


def told_voxels(reading: Reading) -> dict[str, Any]:
    """Tell the voxels of every lesion, flat (z, y, x, z, y, x, ...), and the positions that are excluded."""
    return {
        "shapes": shapes_of(reading),
        "lesions": {
            n.key: {"voxels": n.voxels.ravel().tolist(), "excluded": np.flatnonzero(~n.kept).tolist()}
            for n in reading.lesions
        },
    }


def shapes_of(reading: Reading) -> str:
    """Return a fingerprint of which voxels belong to which lesion: a page asks for them again when it changes."""
    digest = hashlib.sha256()
    for lesion in reading.lesions:
        digest.update(f"{lesion.key}:{len(lesion.voxels)}:".encode())
        digest.update(np.packbits(lesion.kept).tobytes())
        digest.update(lesion.voxels[:1].tobytes())
    return digest.hexdigest()[:16]


def told_history(events: tuple[StoredEvent, ...]) -> list[dict[str, Any]]:
    """Tell the decisions of a reading, the latest first."""
    undone = undone_events(events)
    return [
        {
            "id": e.id,
            "version": e.version,
            "observer": e.observer,
            "at": e.at.isoformat(timespec="seconds"),
            "kind": e.event.kind,
            "lesion": e.lesion,
            "text": told_event(e, NAMES),
            "undone": e.id in undone,
        }
        for e in reversed(events[-HISTORY_MOST:])
    ]


def told_decision(stored: StoredEvent, reading: Reading) -> dict[str, Any]:
    """Tell what a decision changed in a reading."""
    return {
        "id": stored.id,
        "version": stored.version,
        "observer": stored.observer,
        "kind": stored.event.kind,
        "lesion": stored.lesion,
        "text": told_event(stored, NAMES),
        "label": getattr(stored.event, "label", None),
        "undoes": getattr(stored.event, "event", None),
        "change": told_change(stored.before, stored.after) if reading.result.valid else reading.headline,
    }


def heart_crop(case: Case) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the corners (z, y, x), in voxels, of what a picture of the heart shows: its box, or the whole scan."""
    shape = np.asarray(case.result.geometry.shape)
    box = case.result.heart_box
    if box is None or not box.trusted:
        return np.zeros(3, dtype=int), shape
    spacing = np.asarray(case.result.geometry.spacing)
    lower, upper = (box.as_array() + np.array([[-HEART_MARGIN_MM], [HEART_MARGIN_MM]])) / spacing
    low = np.clip(np.floor(lower), 0, shape - 1).astype(int)
    return low, np.clip(np.ceil(upper), low + 1, shape).astype(int)


def _thinned(path: NDArray[np.floating]) -> NDArray[np.floating]:
    """Points of a path, evenly taken, its ends among them."""
    return np.asarray(path[np.unique(np.linspace(0, len(path) - 1, PATH_MOST).round().astype(int))])


def _measures(lesion: ReviewLesion) -> list[dict[str, Any]]:
    """Measures of uncertainty that are known, each with what it means."""
    n = lesion.origin
    if n is None or not n.probabilities:
        return []
    rows = (
        ("entropy", n.entropy, "0 sure, 1 clueless"),
        ("margin", n.margin, "between the two most probable labels: 1 sure, 0 a tie"),
        ("disagreement", n.disagreement, "of the ensemble's members: 0 when they agree"),
        ("ambiguity", n.ambiguity, "how undecided each member is: 0 sure, 1 clueless"),
        ("distance", n.distance, "from the lesions the model learnt from: above 1 it is unlike most"),
    )
    return [
        {"name": name, "value": float(value), "meaning": meaning}
        for name, value, meaning in rows
        if value is not None and math.isfinite(value)
    ]


def _number(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
