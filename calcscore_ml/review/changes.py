"""What each decision does to the lesions of a scan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from calcscore_ml.anatomy import ARTERIES, Label
from calcscore_ml.errors import ReviewError
from calcscore_ml.recipe import CandidateSection
from calcscore_ml.result import ScanResult
from calcscore_ml.review.events import AddLesion, Event, ExcludeVoxels, LabelLesion, Note, SplitLesion
from calcscore_ml.review.lesions import ReviewLesion, calcium_as, find_lesion
from calcscore_ml.scores import AgatstonRule, Calcium, agatston


def apply_event(
    lesions: Sequence[ReviewLesion], event: Event, version: int, observer: str, result: ScanResult, calcium: Calcium
) -> tuple[ReviewLesion, ...]:
    """Return the lesions after an event, which is no undo.

    Parameters
    ----------
    lesions : sequence of ReviewLesion
        What stands.
    event : Event
        What is decided.
    version : int
        Of the event in its reading: an added lesion is named by it.
    observer : str
        Who decides.
    result, calcium : ScanResult, Calcium
        Grid, rule and threshold.

    Raises
    ------
    ReviewError
        When the event does not fit the lesions.
    """
    if isinstance(event, AddLesion):
        return (*lesions, _added(lesions, event, version, observer, result, calcium))
    if isinstance(event, Note) and event.lesion is None:
        return tuple(lesions)
    if not isinstance(event, LabelLesion | SplitLesion | ExcludeVoxels | Note) or event.lesion is None:
        raise ReviewError(f"an undo is no change of its own, got {event.kind}; replay the events it leaves standing")
    at = find_lesion(lesions, event.lesion)
    old = lesions[at]
    changed: tuple[ReviewLesion, ...]
    match event:
        case LabelLesion():
            changed = (replace(old, label=Label(event.label), decided=True, decided_by=observer),)
        case Note():
            changed = (replace(old, note=event.text),)
        case ExcludeVoxels():
            changed = (_without(old, event.positions, result.score.rule, calcium),)
        case SplitLesion():
            changed = _parts(old, event.parts, result.score.rule, calcium)
    return (*lesions[:at], *changed, *lesions[at + 1 :])


def _added(
    lesions: Sequence[ReviewLesion],
    event: AddLesion,
    version: int,
    observer: str,
    result: ScanResult,
    calcium: Calcium,
) -> ReviewLesion:
    voxels, hu = np.array(event.voxels, dtype=np.intp), np.array(event.hu, dtype=np.int16)
    shape = calcium.geometry.shape
    if (voxels >= np.array(shape)).any():
        raise ReviewError(f"an added lesion must lie in the scan of shape {shape}, got voxels outside; mark it again")
    section = CandidateSection.model_validate(result.provenance.recipe.get("candidates", {}))
    threshold_hu = section.threshold_for(result.acquisition.kvp)
    if hu.min() < threshold_hu:
        raise ReviewError(
            f"an added lesion must reach {threshold_hu:g} HU in every voxel, got {hu.min()} HU; mark brighter voxels"
        )
    taken = np.concatenate([np.ravel_multi_index(tuple(n.voxels.T), shape) for n in lesions] or [np.zeros(0, int)])
    met = np.isin(taken, np.ravel_multi_index(tuple(voxels.T), shape))
    if met.any():
        owner = np.repeat([n.key for n in lesions], [len(n.rows) for n in lesions])[met][0]
        raise ReviewError(
            f"an added lesion must not share voxels with a listed one, got {int(met.sum())} of lesion {owner}; "
            "label or split that one"
        )
    first = max([len(calcium.hu), *(int(n.rows.max()) + 1 for n in lesions)])
    label = Label(event.label)
    made = ReviewLesion(
        key=f"+{version}",
        lesion=None,
        number=0,
        rows=np.arange(first, first + len(hu)),
        voxels=voxels,
        hu=hu,
        kept=np.ones(len(hu), dtype=bool),
        label=label,
        said=Label.OTHER,
        accepted=label,
        probabilities={},
        coronary_probability=1.0,
        reason="",
        referred=False,
        decided=True,
        decided_by=observer,
        effect=0.0,
        volume_mm3=0.0,
        note="",
        drivers=(),
        urgency=0.0,
        origin=None,
    )
    return _measured(made, result.score.rule, calcium)


def _without(old: ReviewLesion, positions: tuple[int, ...], rule: AgatstonRule, calcium: Calcium) -> ReviewLesion:
    _refuse_outside(old, positions)
    kept = old.kept.copy()
    kept[np.array(positions)] = False
    if not kept.any():
        raise ReviewError(
            f"a lesion must keep a voxel, got all of lesion {old.key} excluded; label it other when it is no calcium"
        )
    return _measured(replace(old, kept=kept), rule, calcium)


def _parts(
    old: ReviewLesion, parts: tuple[tuple[int, ...], ...], rule: AgatstonRule, calcium: Calcium
) -> tuple[ReviewLesion, ...]:
    for part in parts:
        _refuse_outside(old, part)
    count = sum(len(part) for part in parts)
    if count != len(old.rows):
        raise ReviewError(
            f"a split must put every voxel in a part, got {count} of {len(old.rows)} voxels of lesion {old.key}; "
            "load the reading again"
        )
    out = []
    for i, part in enumerate(parts, start=1):
        own = np.sort(np.array(part, dtype=np.intp))
        kept = old.kept[own]
        if not kept.any():
            raise ReviewError(
                f"a part must keep a voxel, got part {i} of lesion {old.key} with all its voxels excluded; split it "
                "elsewhere"
            )
        made = replace(old, key=f"{old.key}.{i}", rows=old.rows[own], voxels=old.voxels[own], hu=old.hu[own], kept=kept)
        out.append(_measured(made, rule, calcium))
    return tuple(out)


def _refuse_outside(old: ReviewLesion, positions: tuple[int, ...]) -> None:
    if max(positions) >= len(old.rows):
        raise ReviewError(
            f"positions must be 0 to {len(old.rows) - 1}, the voxels of lesion {old.key}, got {max(positions)}; "
            "load the reading again"
        )


def _measured(lesion: ReviewLesion, rule: AgatstonRule, calcium: Calcium) -> ReviewLesion:
    """Measure effect and volume of a lesion that is not as the result has it."""
    as_coronary = lesion.accepted if lesion.accepted in ARTERIES else ARTERIES[0]
    alone = calcium_as([lesion], [as_coronary], calcium)
    return replace(
        lesion,
        effect=float(sum(c.score for c in agatston(alone, rule))),
        volume_mm3=len(alone.hu) * calcium.geometry.voxel_volume_mm3,
    )
