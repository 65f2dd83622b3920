"""A model over a labelled cohort: what it decides on each scan, beside the reference.

A scan without a score counts as one that found nothing and got its category wrong, also after the expert.

Evaluates exactly what a user gets from `calcscore_ml.pipeline.score_scan`, twice: on its own, and after an expert who
answers every referred lesion as the reference does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from calcscore_features import FAMILIES
from calcscore_ml.batch import collect
from calcscore_ml.candidates import Candidates
from calcscore_ml.errors import ManifestError, ResultError
from calcscore_ml.evaluation.metrics import NO_SCORE
from calcscore_ml.evaluation.summary import Evaluation, evaluate
from calcscore_ml.heart.ostia import ostia_distance_mm
from calcscore_ml.io import read_scan
from calcscore_ml.io.labels import read_labels
from calcscore_ml.manifest import ManifestRow, need_labels
from calcscore_ml.models.bundle import Bundle
from calcscore_ml.pipeline import Described, describe_scan, score_scan, summarise_labels
from calcscore_ml.recipe import Recipe
from calcscore_ml.scan import Scan
from calcscore_ml.scan_row import GROUPS, scan_row
from calcscore_ml.scores import find_scheme, from_candidates, summarise
from calcscore_ml.table import truth_labels

Systems = Mapping[str, tuple[Bundle, Recipe]]
"""Systems by name: a model each, and the recipe it was trained by, maybe with other referral or scores."""


@dataclass(frozen=True, slots=True, eq=False)
class ScanAssessment:
    """One scan, system and reference side by side.

    Parameters
    ----------
    lesions : pandas.DataFrame
        A row per candidate: scan_id, truth, predicted, referred, volume_mm3, what it adds to the Agatston score if it
        is coronary, how sure the model is of it (see `calcscore_ml.referral.uncertainty.Uncertainty`), the likeliest
        artery, what hangs on it (see `calcscore_ml.referral.stakes.Stakes`), and its distance to the ostia.
    missed : pandas.DataFrame
        Reference lesions no candidate covers: scan_id, truth, volume_mm3.
    scan : dict
        A row of scores and their references, see `calcscore_ml.scan_row.scan_row`, what was referred, and why there is
        no score (`no_score`, `invalid_reasons`); the scores are what was computed nevertheless.
    after_expert : dict
        The same once referred lesions carry the reference label.
    """

    lesions: pd.DataFrame
    missed: pd.DataFrame
    scan: dict[str, object]
    after_expert: dict[str, object]


@dataclass(frozen=True, slots=True, eq=False)
class Assessment:
    """A whole cohort.

    Parameters
    ----------
    automatic, after_expert : Evaluation
        Without an expert, and with one who is right.
    scans : pandas.DataFrame
        A row per scan: scores, references, and what was referred.
    lesions : pandas.DataFrame
        A row per candidate.
    missed : pandas.DataFrame
        Reference lesions no candidate covers.
    failed : tuple of (str, str)
        Scans that could not be read, and why.
    model : dict of str to str
        Identity of the model.
    recipe : dict
        The whole recipe.
    """

    automatic: Evaluation
    after_expert: Evaluation
    scans: pd.DataFrame
    lesions: pd.DataFrame
    missed: pd.DataFrame
    failed: tuple[tuple[str, str], ...] = ()
    model: dict[str, str] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)


def assess_cohort(
    rows: Sequence[ManifestRow],
    bundle: Bundle,
    recipe: Recipe,
    *,
    workers: int = 1,
    by: str | Sequence[str] = (),
    left_main_as_lad: bool = False,
    resamples: int = 1000,
    on_scan: Callable[[], None] = lambda: None,
) -> Assessment:
    """Score a labelled cohort and compare with its reference.

    Where the recipe counts the left main as LAD, the reference is counted so too.

    Parameters
    ----------
    rows : sequence of ManifestRow
        Scans with labels.
    bundle : Bundle
        The model.
    recipe : Recipe
        Its recipe, maybe with other referral or scores.
    workers : int
        Scans at a time.
    by : str or sequence of str
        Any of `calcscore_ml.scan_row.GROUPS`: ``"protocol"`` to evaluate each protocol on its own too.
    left_main_as_lad : bool
        Count the left main as LAD on both sides, as orCaScore's reference does.
    resamples : int
        Of the bootstrap over patients.
    on_scan : callable
        Called after each scan.

    Raises
    ------
    ManifestError
        When a row has no labels, or no scan could be read.
    ResultError
        When there is no such group.
    """
    found = assess_systems(
        rows,
        {recipe.name: (bundle, recipe)},
        workers=workers,
        by=by,
        left_main_as_lad=left_main_as_lad,
        resamples=resamples,
        on_scan=on_scan,
    )
    return found[recipe.name]


def assess_systems(
    rows: Sequence[ManifestRow],
    systems: Systems,
    *,
    workers: int = 1,
    by: str | Sequence[str] = (),
    left_main_as_lad: bool = False,
    resamples: int = 1000,
    on_scan: Callable[[], None] = lambda: None,
) -> dict[str, Assessment]:
    """Score a labelled cohort with several systems, each scan read, located and described once for all that agree.

    Parameters
    ----------
    rows : sequence of ManifestRow
        Scans with labels.
    systems : mapping of str to (Bundle, Recipe)
        Each system's model and recipe.
    workers, by, left_main_as_lad, resamples, on_scan
        As `assess_cohort` takes them.

    Returns
    -------
    dict of str to Assessment
        In the order of the systems; all of the same scans.
    """
    columns = (by,) if isinstance(by, str) else tuple(by)
    strange = sorted(set(columns) - set(GROUPS))
    if strange:
        raise ResultError(f"an evaluation is split by {', '.join(GROUPS)}, got {', '.join(map(repr, strange))}")
    need_labels(rows, "to evaluate")
    assess = partial(assess_scan, systems=systems)
    done, failed = collect(assess, rows, name=lambda r: r.scan_id, workers=workers, on_item=on_scan)
    if not done:
        raise ManifestError(f"there must be a readable scan to evaluate, got none of {len(rows)}")
    out = {}
    for name, (bundle, recipe) in systems.items():
        parts = [by_system[name] for by_system in done.values()]
        lesions = pd.concat([p.lesions for p in parts], ignore_index=True)
        missed = pd.concat([p.missed for p in parts], ignore_index=True)
        decided = lesions.assign(predicted=np.where(lesions["referred"], lesions["truth"], lesions["predicted"]))
        automatic, after = (
            evaluate(
                table,
                pd.DataFrame(scans),
                missed=missed,
                by=columns,
                scheme=find_scheme(recipe.scores.risk),
                left_main_as_lad=left_main_as_lad or recipe.model.left_main_as == "LAD",
                n=resamples,
            )
            for table, scans in ((lesions, [p.scan for p in parts]), (decided, [p.after_expert for p in parts]))
        )
        scans = pd.DataFrame([p.scan for p in parts])
        plain = recipe.model_dump(mode="json")
        out[name] = Assessment(automatic, after, scans, lesions, missed, failed, bundle.identity, plain)
    return out


def assess_scan(row: ManifestRow, systems: Systems) -> dict[str, ScanAssessment]:
    """Score one labelled scan with each system and put it beside its reference."""
    assert row.labels is not None  # checked by assess_systems
    scan = read_scan(row.image)
    labels = read_labels(row.labels, scan.geometry)
    families: dict[str, set[str]] = {}
    for _, recipe in systems.values():
        families.setdefault(_agreement(recipe), set()).update(recipe.for_scoring().features.families)
    described: dict[str, Described] = {}
    found = {}
    for name, (bundle, recipe) in systems.items():
        key = _agreement(recipe)
        if key not in described:
            wanted = tuple(f for f in FAMILIES if f in families[key])
            features = recipe.features.model_copy(update={"families": wanted, "only": ()})
            described[key] = describe_scan(scan, recipe.model_copy(update={"features": features}))
        found[name] = _assess(row, scan, labels, bundle, recipe, described[key])
    return found


def _agreement(recipe: Recipe) -> str:
    """What recipes agree on that share a scan's candidates, its location and its table of features."""
    kept, left = {"candidates", "location", "features"}, {"features": {"families", "only"}}
    return recipe.model_dump_json(include=kept, exclude=left)


def _assess(
    row: ManifestRow, scan: Scan, labels: NDArray[np.integer], bundle: Bundle, recipe: Recipe, described: Described
) -> ScanAssessment:
    scored = score_scan(scan, bundle, recipe, scan_id=row.scan_id, described=described)
    candidates, result = scored.candidates, scored.result
    assert scored.uncertainty is not None  # scored by a model
    assert scored.stakes is not None
    predicted, referred = np.zeros((2, len(candidates)), dtype=np.intp)
    for lesion in result.lesions:
        predicted[lesion.lesion - 1] = lesion.label
        referred[lesion.lesion - 1] = lesion.referred
    truth = truth_labels(candidates, labels)

    reference, wanted = summarise_labels(scan, labels, recipe)
    decided = np.where(referred > 0, truth, predicted)
    thickness = scan.acquisition.slice_thickness_mm
    after = summarise(from_candidates(candidates, decided, thickness), wanted.rule, wanted.calibration, wanted.scheme)
    counts = {
        "referred": result.range.pending,
        "whole_scan": bool(result.whole_scan),
        "lowest": result.range.lowest,
        "highest": result.range.highest,
        NO_SCORE: not result.valid,
        "invalid_reasons": " ".join(result.invalid_reasons),
    }
    describe = partial(
        scan_row, scan.acquisition, patient_id=row.patient_id, scan_id=row.scan_id, protocol=row.protocol
    )
    return ScanAssessment(
        lesions=pd.DataFrame(
            {
                "scan_id": row.scan_id,
                "truth": truth,
                "predicted": predicted,
                "referred": referred > 0,
                "volume_mm3": candidates.volumes_mm3,
                **asdict(scored.uncertainty),
                "likeliest": scored.likeliest,
                "agatston": scored.stakes.effect,
                "doubt": scored.stakes.doubt,
                "change": scored.stakes.change,
                "category": scored.stakes.category,
                "deciding": scored.stakes.deciding,
                "ostia_mm": ostia_distance_mm(scored.location, candidates),
            }
        ),
        missed=_missed(row.scan_id, candidates, reference.voxels, reference.lesion, reference.label),
        scan={**describe(result.score, wanted), **counts},
        after_expert={**describe(after, wanted), **counts},
    )


def _missed(
    scan_id: str,
    candidates: Candidates,
    voxels: NDArray[np.intp],
    lesion: NDArray[np.intp],
    label: NDArray[np.intp],
) -> pd.DataFrame:
    """Reference lesions that no candidate touches: below the limits on volume, or grown into bone that was left out."""
    shape = candidates.geometry.shape
    covered = np.isin(
        np.ravel_multi_index(tuple(voxels.T), shape), np.ravel_multi_index(tuple(candidates.voxels.T), shape)
    )
    ids, first, place = np.unique(lesion, return_index=True, return_inverse=True)
    seen = np.bincount(place, weights=covered, minlength=len(ids)) > 0
    sizes = np.bincount(place, minlength=len(ids)) * candidates.geometry.voxel_volume_mm3
    truth = label[first] if len(ids) else np.zeros(0, dtype=np.intp)
    return pd.DataFrame({"scan_id": scan_id, "truth": truth[~seen], "volume_mm3": sizes[~seen]})
