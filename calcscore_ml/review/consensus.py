"""How far two readings of the same scans agree, and where they do not.

Lesions are paired where both readings decided. One that both have with the same voxels is paired by its key. Where one
reading split a lesion, or both split or added it differently, each lesion is paired with the one of the other reading
that shares most of its voxels, from either side: a split that differs by a sliver does not count as two opinions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calcscore_ml.anatomy import Label
from calcscore_ml.errors import ReviewError
from calcscore_ml.evaluation.agreement import (
    Limits,
    bland_altman,
    category_accuracy,
    cohen_kappa,
    intraclass_correlation,
)
from calcscore_ml.review.lesions import ReviewLesion
from calcscore_ml.review.state import Reading

FEWEST_SCANS = 3
"""Scans from which the agreement of scores is told: with two, any two differences fit; our choice."""


@dataclass(frozen=True, slots=True)
class Pair:
    """What two readings say of a lesion.

    Parameters
    ----------
    scan_id : str
        The scan.
    first_key, second_key : str or None
        Key in each reading; None where that reading has nothing there.
    first, second : Label
        Label in each; "other" where it has nothing there.
    shared : int
        Voxels both have.
    effect : float
        The larger of the Agatston scores it adds, or would add, if it is coronary.
    """

    scan_id: str
    first_key: str | None
    second_key: str | None
    first: Label
    second: Label
    shared: int
    effect: float

    @property
    def agrees(self) -> bool:
        """Whether both say the same."""
        return self.first == self.second


@dataclass(frozen=True, slots=True)
class Comparison:
    """Agreement of two readings; what is not defined is NaN.

    Parameters
    ----------
    names : (str, str)
        Of the readings.
    pairs : tuple of Pair
        Lesions both decided, by scan and place.
    alone : tuple of Pair
        Lesions that one reading added and the other has nothing of.
    agreement : float
        Share of pairs with one label.
    kappa : float
        Cohen's kappa over the eight labels, unweighted.
    kappa_coronary : float
        Cohen's kappa over coronary or not.
    scans : int
        Scans in which neither reading has a pending lesion.
    icc : float
        Intraclass correlation ICC(A,1) of their Agatston scores; NaN for fewer than `FEWEST_SCANS`.
    limits : Limits
        Bland and Altman's, of second minus first; NaN for fewer than `FEWEST_SCANS`.
    scores : tuple of (str, float, float)
        Those scans with both Agatston scores.
    """

    names: tuple[str, str]
    pairs: tuple[Pair, ...]
    alone: tuple[Pair, ...]
    agreement: float
    kappa: float
    kappa_coronary: float
    scans: int
    icc: float
    limits: Limits
    scores: tuple[tuple[str, float, float], ...]

    @property
    def disagreements(self) -> tuple[Pair, ...]:
        """Return what must be settled, of most effect first: different labels, and lesions only one has."""
        open_ = [*(p for p in self.pairs if not p.agrees), *self.alone]
        return tuple(sorted(open_, key=lambda p: (-p.effect, p.scan_id, p.first_key or "", p.second_key or "")))


def compare(readings: Mapping[str, Mapping[str, Reading]]) -> Comparison:
    """Compare two readings.

    Parameters
    ----------
    readings : mapping of str to mapping of str to Reading
        Scans by id, of each reading by name; scans that only one has are left out.

    Raises
    ------
    ReviewError
        When there are not two, or they are of different results.
    """
    if len(readings) != 2:
        raise ReviewError(f"two readings are compared, got {len(readings)} ({', '.join(readings)}); name two of them")
    (first_name, first), (second_name, second) = readings.items()
    pairs: list[Pair] = []
    alone: list[Pair] = []
    scores: list[tuple[str, float, float]] = []
    for scan_id in sorted(first.keys() & second.keys()):
        a, b = first[scan_id], second[scan_id]
        if a.result.provenance.scan_sha256 != b.result.provenance.scan_sha256 or len(a.listed) != len(b.listed):
            raise ReviewError(
                f"two readings must be of one result, got different ones of {scan_id}; review the same "
                "folder of results"
            )
        both, only = _paired(a, b)
        pairs.extend(both)
        alone.extend(only)
        if not (a.range.pending or b.range.pending):
            scores.append((scan_id, a.score.total.agatston, b.score.total.agatston))
    labels = np.array([(p.first, p.second) for p in pairs], dtype=np.intp).reshape(-1, 2)
    coronary = np.array([(p.first.is_coronary, p.second.is_coronary) for p in pairs], dtype=np.intp).reshape(-1, 2)
    totals = np.array([s[1:] for s in scores]).reshape(-1, 2)
    enough = len(scores) >= FEWEST_SCANS
    nan = float("nan")
    return Comparison(
        names=(first_name, second_name),
        pairs=tuple(pairs),
        alone=tuple(alone),
        agreement=category_accuracy(labels[:, 0], labels[:, 1]),
        kappa=cohen_kappa(labels[:, 0], labels[:, 1], len(Label), "none"),
        kappa_coronary=cohen_kappa(coronary[:, 0], coronary[:, 1], 2, "none"),
        scans=len(scores),
        icc=intraclass_correlation(totals) if enough else nan,
        limits=bland_altman(totals[:, 0], totals[:, 1]) if enough else Limits(nan, nan, nan),
        scores=tuple(scores),
    )


def _paired(a: Reading, b: Reading) -> tuple[list[Pair], list[Pair]]:
    """Pair the decided lesions of two readings of a scan, and find those that one has alone."""
    overlap = _overlaps(a, b)
    found: set[tuple[int, int]] = set()
    if overlap.size:
        found |= {(i, int(overlap[i].argmax())) for i in range(len(overlap)) if overlap[i].any()}
        found |= {(int(overlap[:, j].argmax()), j) for j in range(overlap.shape[1]) if overlap[:, j].any()}
    pairs = [
        _pair(a.scan_id, a.lesions[i], b.lesions[j], int(overlap[i, j]))
        for i, j in sorted(found)
        if a.lesions[i].decided and b.lesions[j].decided
    ]
    met = {i for i, _ in found}, {j for _, j in found}
    alone = [_pair(a.scan_id, n, None, 0) for i, n in enumerate(a.lesions) if i not in met[0]]
    alone += [_pair(a.scan_id, None, n, 0) for j, n in enumerate(b.lesions) if j not in met[1]]
    return pairs, [p for p in alone if not p.agrees]


def _overlaps(a: Reading, b: Reading) -> NDArray[np.intp]:
    """Voxels that each lesion of one reading shares with each of the other, (lesions of a, lesions of b)."""
    places, owners = [], []
    for reading in (a, b):
        voxels = np.concatenate([n.voxels for n in reading.lesions] or [np.zeros((0, 3), dtype=np.intp)])
        places.append(np.ravel_multi_index(tuple(voxels.T), reading.calcium.geometry.shape))
        owners.append(np.repeat(np.arange(len(reading.lesions)), [len(n.rows) for n in reading.lesions]))
    _, mine, theirs = np.intersect1d(places[0], places[1], assume_unique=True, return_indices=True)
    out = np.zeros((len(a.lesions), len(b.lesions)), dtype=np.intp)
    np.add.at(out, (owners[0][mine], owners[1][theirs]), 1)
    return out


def _pair(scan_id: str, first: ReviewLesion | None, second: ReviewLesion | None, shared: int) -> Pair:
    label = [Label.OTHER if n is None else n.label for n in (first, second)]
    return Pair(
        scan_id=scan_id,
        first_key=None if first is None else first.key,
        second_key=None if second is None else second.key,
        first=label[0],
        second=label[1],
        shared=shared,
        effect=max(n.effect for n in (first, second) if n is not None),
    )
