"""What a model was unsure of, in words an expert reads at a glance."""

from __future__ import annotations

from calcscore_ml.result import LesionResult
from calcscore_ml.review.lesions import ReviewLesion
from calcscore_ml.review.state import StoredEvent, Totals

CLOSE_MARGIN = 0.25
"""Two labels closer than this are called close; our choice."""

LOUD_DISAGREEMENT = 0.1
"""Members of an ensemble that differ by more than this are said to; a third is total disagreement of two."""


def doubts(lesion: LesionResult) -> tuple[str, ...]:
    """Say in sentences what a model was unsure of; nothing when no model spoke.

    Parameters
    ----------
    lesion : LesionResult
        With its probabilities and measures of uncertainty.
    """
    if not lesion.probabilities:
        return ()
    (first, p), (second, q) = sorted(lesion.probabilities.items(), key=lambda item: -item[1])[:2]
    out = []
    if lesion.margin < CLOSE_MARGIN:
        out.append(f"Undecided between {first} ({p:.0%}) and {second} ({q:.0%}).")
    else:
        out.append(f"Most likely {first} ({p:.0%}), next {second} ({q:.0%}).")
    if lesion.disagreement > LOUD_DISAGREEMENT:
        out.append("The members of the ensemble disagree: few lesions like it were learnt from.")
    return tuple(out)


def told_change(before: Totals, after: Totals) -> str:
    """Say how a decision changed the score.

    >>> told_change(Totals(412.0, 390.0, 455.0, "101-400"), Totals(437.2, 437.2, 437.2, "> 400"))
    '412 → 437, category 101-400 → > 400'
    >>> told_change(Totals(12.0, 0.0, 12.0, "11-100"), Totals(12.0, 12.0, 12.0, "11-100"))
    '12, unchanged'
    """
    old, new = f"{before.agatston:.0f}", f"{after.agatston:.0f}"
    score = f"{old} → {new}" if old != new else f"{new}, unchanged"
    if before.category == after.category:
        return score
    return f"{score}, category {before.category} → {after.category}"


def told_event(stored: StoredEvent, titles: tuple[str, ...]) -> str:
    """Say what an event did, without who and when.

    Parameters
    ----------
    stored : StoredEvent
        The event.
    titles : tuple of str
        Title of each label, by number.
    """
    event, key = stored.event, stored.lesion
    match event.kind:
        case "label":
            return f"lesion {key}: {titles[event.label]}"
        case "split":
            return f"lesion {key} split into {len(event.parts)}"
        case "exclude":
            noun = "voxel" if len(event.positions) == 1 else "voxels"
            return f"lesion {key}: {len(event.positions)} {noun} excluded"
        case "add":
            return f"lesion {key} added: {titles[event.label]}"
        case "note":
            what = "note" if event.text else "note taken away"
            return f"lesion {key}: {what}" if event.lesion else f"scan: {what}"
        case "undo":
            return "undone" if key is None else f"lesion {key}: undone"


def status(lesion: ReviewLesion) -> str:
    """Say where a lesion stands: pending, decided by somebody, or never asked about."""
    if lesion.decided:
        return f"decided by {lesion.decided_by}"
    return "pending" if lesion.referred else "not referred"
