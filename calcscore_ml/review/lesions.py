"""A lesion as a reading sees it, and the calcium of many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calcscore_ml.anatomy import ARTERIES, Label
from calcscore_ml.errors import ReviewError
from calcscore_ml.referral.decision import most_probable_artery
from calcscore_ml.result import Driver, LesionResult, ScanResult
from calcscore_ml.scores import Calcium


@dataclass(frozen=True, slots=True, eq=False)
class ReviewLesion:
    """What stands of one lesion; arrays are read-only.

    Positions in events count along `voxels`. Their order never changes, and excluded voxels keep their place.

    Parameters
    ----------
    key : str
        See `calcscore_ml.review.events`.
    lesion : int or None
        Lesion of the result it is, or is a part of; None when it was added.
    number : int
        Its id in the score's contributions and in the reviewed result.
    rows : (n,) array of int
        Place of each voxel in the result's calcium; added voxels come after all of these.
    voxels : (n, 3) array of int
        Indices (z, y, x), the excluded ones too.
    hu : (n,) array of int16
        Their values [HU].
    kept : (n,) array of bool
        Whether each voxel counts.
    label : Label
        What it counts as now.
    said : Label
        What the model said; "other" of an added lesion.
    accepted : Label
        What it would count as in the highest score that is still possible.
    probabilities : dict of str to float
        Probability of each label, by title. Empty where no model spoke.
    coronary_probability : float
        Sum over the arteries; 1 where no model spoke.
    reason : str
        Why it was referred, in words.
    referred, decided : bool
        Whether the model asked for an expert, and whether one has spoken.
    decided_by : str
        The observer who spoke last; empty before.
    effect : float
        Agatston score it adds, or would add, if it is coronary.
    volume_mm3 : float
        Of the voxels that count [mm3].
    note : str
        The note that stands.
    drivers : tuple of Driver
        Features that drove its probability, strongest first.
    urgency : float
        How much a decision matters, as the recipe measures it; 0 where it does not.
    origin : LesionResult or None
        What the result says of `lesion`.
    """

    key: str
    lesion: int | None
    number: int
    rows: NDArray[np.intp]
    voxels: NDArray[np.intp]
    hu: NDArray[np.int16]
    kept: NDArray[np.bool_]
    label: Label
    said: Label
    accepted: Label
    probabilities: dict[str, float]
    coronary_probability: float
    reason: str
    referred: bool
    decided: bool
    decided_by: str
    effect: float
    volume_mm3: float
    note: str
    drivers: tuple[Driver, ...]
    urgency: float
    origin: LesionResult | None

    def __post_init__(self) -> None:
        for array in (self.rows, self.voxels, self.hu, self.kept):
            array.flags.writeable = False

    @property
    def pending(self) -> bool:
        """Whether it waits for an expert."""
        return self.referred and not self.decided

    @property
    def excluded(self) -> NDArray[np.intp]:
        """Voxels that were taken out, (m, 3)."""
        return self.voxels[~self.kept]

    @property
    def whole(self) -> bool:
        """Whether it is a lesion of the result as the result has it: not a part, not added, nothing excluded."""
        return self.lesion is not None and self.key == str(self.lesion) and bool(self.kept.all())


def listed_lesions(result: ScanResult, calcium: Calcium) -> tuple[ReviewLesion, ...]:
    """Return the lesions of a result, before anybody has decided.

    Raises
    ------
    ReviewError
        When the calcium has no voxel of a listed lesion.
    """
    order = np.argsort(calcium.lesion, kind="stable")
    ids, first = np.unique(calcium.lesion[order], return_index=True)
    rows_of = dict(zip(ids.tolist(), np.split(order, first[1:]), strict=True)) if len(ids) else {}
    missing = [n.lesion for n in result.lesions if n.lesion not in rows_of]
    if missing:
        raise ReviewError(
            f"every listed lesion must have voxels, got none of lesions {missing[:5]} in the result of "
            f"{result.scan_id}; score the scan again"
        )
    return tuple(_listed(n, calcium, rows_of[n.lesion]) for n in result.lesions)


def find_lesion(lesions: Sequence[ReviewLesion], key: str) -> int:
    """Return the place of the lesion with a key, or raise `ReviewError`."""
    for i, lesion in enumerate(lesions):
        if lesion.key == key:
            return i
    parts = [lesion.key for lesion in lesions if lesion.key.startswith(f"{key}.")]
    why = f"which was split into {', '.join(parts[:6])}" if parts else "which this scan does not list"
    raise ReviewError(f"a decision must be about a lesion of the reading, got {key!r}, {why}; load the reading again")


def numbered(lesions: Sequence[ReviewLesion], result: ScanResult) -> tuple[ReviewLesion, ...]:
    """Give every lesion the id it has in scores: its own, or the next free one for parts and added ones."""
    following = max([result.candidates, *(n.lesion for n in result.lesions)]) + 1
    out = []
    for lesion in lesions:
        if lesion.key == str(lesion.lesion):
            out.append(lesion)
            continue
        out.append(lesion if lesion.number == following else replace(lesion, number=following))
        following += 1
    return tuple(out)


def calcium_as(lesions: Sequence[ReviewLesion], labels: Sequence[Label], like: Calcium) -> Calcium:
    """Return the calcium of lesions under given labels, in the order of the result's; "other" is left out.

    Parameters
    ----------
    lesions : sequence of ReviewLesion
        Their voxels that count are taken.
    labels : sequence of Label
        One per lesion.
    like : Calcium
        Grid and slice thickness.
    """
    used = [(n, int(t)) for n, t in zip(lesions, labels, strict=True) if t != Label.OTHER]
    if not used:
        none = np.zeros(0, dtype=np.intp)
        empty = np.zeros((0, 3), dtype=np.intp), np.zeros(0, dtype=np.int16)
        return Calcium(like.geometry, *empty, none, none.copy(), like.slice_thickness_mm)
    kept = np.concatenate([n.kept for n, _ in used])
    rows = np.concatenate([n.rows for n, _ in used])[kept]
    order = np.argsort(rows, kind="stable")
    sizes = [len(n.rows) for n, _ in used]
    return Calcium(
        like.geometry,
        np.concatenate([n.voxels for n, _ in used])[kept][order],
        np.concatenate([n.hu for n, _ in used])[kept][order],
        np.repeat([n.number for n, _ in used], sizes)[kept][order].astype(np.intp),
        np.repeat([t for _, t in used], sizes)[kept][order].astype(np.intp),
        like.slice_thickness_mm,
    )


def _listed(n: LesionResult, calcium: Calcium, rows: NDArray[np.intp]) -> ReviewLesion:
    shares = np.array([[n.probabilities.get(t.title, 0.0) for t in Label]])
    accepted = most_probable_artery(shares)[0] if n.probabilities else calcium.label[rows[0]]
    return ReviewLesion(
        key=str(n.lesion),
        lesion=n.lesion,
        number=n.lesion,
        rows=rows,
        voxels=calcium.voxels[rows],
        hu=calcium.hu[rows],
        kept=np.ones(len(rows), dtype=bool),
        label=n.label,
        said=n.label,
        accepted=n.label if n.label in ARTERIES else Label(int(accepted)),
        probabilities=n.probabilities,
        coronary_probability=n.coronary_probability,
        reason=n.reason,
        referred=n.referred,
        decided=False,
        decided_by="",
        effect=n.agatston,
        volume_mm3=n.volume_mm3,
        note="",
        drivers=n.drivers,
        urgency=n.urgency,
        origin=n,
    )
