"""The result of a scan after its review, as `calcscore_ml.result.write_result` takes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from calcscore_ml.anatomy import Label
from calcscore_ml.result import LesionResult, ScanResult
from calcscore_ml.review.events import Note, Undo
from calcscore_ml.review.lesions import ReviewLesion, calcium_as
from calcscore_ml.review.state import Reading, StoredEvent, undone_events
from calcscore_ml.scores import Calcium


def to_result(reading: Reading, stored: Sequence[StoredEvent] | None = None) -> tuple[ScanResult, Calcium]:
    """Return the reviewed result and its calcium; read again, it scores what the reading does.

    Parts and added lesions have ids of their own, excluded voxels are gone, decided lesions are no longer referred.

    Parameters
    ----------
    reading : Reading
        What stands.
    stored : sequence of StoredEvent, optional
        Its events, for who decided and how often; the reading's own when not given.

    Returns
    -------
    result : ScanResult
        With `provenance.model` naming the observers (``reviewed_by``) and the number of decisions that stand
        (``decisions``).
    calcium : Calcium
        Voxels of every lesion, each under the label it would have if accepted.
    """
    events = reading.events if stored is None else tuple(stored)
    result = reading.result
    undone = undone_events(events)
    standing = [e for e in events if e.id not in undone and not isinstance(e.event, Undo | Note)]
    model = dict(result.provenance.model)
    if events:
        model["reviewed_by"] = ", ".join(sorted({e.observer for e in events}))
        model["decisions"] = str(len(standing))
    labels = [n.label if n.label != Label.OTHER else n.accepted for n in reading.lesions]
    reviewed = replace(
        result,
        score=reading.score,
        range=reading.range,
        lesions=tuple(_lesion(n, reading) for n in reading.lesions),
        provenance=replace(result.provenance, model=model),
    )
    return reviewed, calcium_as(reading.lesions, labels, reading.calcium)


def _lesion(n: ReviewLesion, reading: Reading) -> LesionResult:
    reason = f"decided by {n.decided_by}" if n.decided else n.reason
    if n.whole and n.origin is not None:
        return replace(n.origin, label=n.label, referred=n.pending, reason=reason)
    voxels, hu = n.voxels[n.kept], n.hu[n.kept]
    centre = voxels.mean(axis=0)
    z, y, x = (float(v) for v in centre)
    world = reading.calcium.geometry.to_world(centre)
    measured = LesionResult(
        lesion=n.number,
        label=n.label,
        probabilities=n.probabilities,
        coronary_probability=n.coronary_probability,
        entropy=0.0,
        margin=1.0,
        disagreement=0.0,
        referred=n.pending,
        reason=reason,
        volume_mm3=n.volume_mm3,
        mean_hu=float(hu.mean()),
        peak_hu=float(hu.max()),
        agatston=n.effect,
        index=(z, y, x),
        position_mm=(float(world[0]), float(world[1]), float(world[2])),
    )
    if n.origin is None:
        return measured
    same = ("volume_mm3", "mean_hu", "peak_hu", "agatston", "index", "position_mm", "lesion", "label", "referred")
    return replace(n.origin, reason=reason, **{name: getattr(measured, name) for name in same})
