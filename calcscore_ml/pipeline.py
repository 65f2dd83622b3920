"""From a scan to its result, in the order of the one sentence.

A scan becomes candidate lesions; every candidate becomes a row of features; an ensemble gives each row an artery and a
certainty; what is uncertain goes to an expert; what is decided becomes a score.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from calcscore_features import LOCATED, Place
from calcscore_ml.anatomy import ARTERIES, TITLES, Label
from calcscore_ml.candidates import Candidates, find_candidates
from calcscore_ml.evaluation.intervals import or_none
from calcscore_ml.heart.atlas import read_atlases
from calcscore_ml.heart.blood import located_blood_hu
from calcscore_ml.heart.displacement import displacements, drawn_displacement
from calcscore_ml.heart.locate import Location, locate
from calcscore_ml.heart.ostia import ostia_distance_mm
from calcscore_ml.heart.place import measure_places
from calcscore_ml.models.bundle import Bundle, distances, predict
from calcscore_ml.models.card import installed_versions
from calcscore_ml.models.drivers import find_drivers
from calcscore_ml.protocol import outside, protocol_of
from calcscore_ml.quality import Remark, noise_hu, remarks
from calcscore_ml.recipe import Recipe
from calcscore_ml.referral.decision import arteries_by_map, decide, most_probable_artery
from calcscore_ml.referral.policy import Referral, ScanDoubts, refer
from calcscore_ml.referral.promise import Promise
from calcscore_ml.referral.stakes import Stakes, weigh
from calcscore_ml.referral.uncertainty import Uncertainty, measure
from calcscore_ml.result import Driver, LesionResult, LocationSummary, PendingRange, Provenance, ScanResult
from calcscore_ml.scan import Scan
from calcscore_ml.scores import (
    Calcium,
    Contribution,
    MassCalibration,
    ScoreSummary,
    agatston,
    find_calibration,
    find_scheme,
    from_candidates,
    from_label_volume,
    summarise,
)
from calcscore_ml.table import feature_table
from calcscore_ml.validity import why_no_score

CLEAR_OTHER = 0.02
"""A candidate labelled "other" is listed one by one when its probability of being coronary is at least this."""

WIDE_SPREAD_MM = 5.0
"""Atlases whose arteries lie farther apart are trusted with a warning [mm]: at most 3.8 in thirty digital patients, 5.6
in a real one whose heart's lower end is wrong; our choice."""

VERSIONED = ("calcscore-ml", "numpy", "scipy", "scikit-learn", "SimpleITK", "pydicom")
"""Packages a number may depend on; their versions are stored with every result."""


@dataclass(frozen=True, slots=True)
class Described:
    """A scan's candidates and what is known of each.

    Parameters
    ----------
    candidates : Candidates
        L lesions.
    location : Location
        What places are relative to.
    table : pandas.DataFrame
        L rows of features.
    displaced : tuple of pandas.DataFrame
        The same rows as if the location were wrong, for each displacement that the recipe averages over.
    seconds : dict of str to float
        Time of each stage [s].
    """

    candidates: Candidates
    location: Location
    table: pd.DataFrame
    displaced: tuple[pd.DataFrame, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scored:
    """A result with what its report needs.

    Parameters
    ----------
    result : ScanResult
        What is said.
    calcium : Calcium
        Voxels of every listed lesion, each under the label it has if accepted.
    candidates : Candidates
        All candidates.
    location : Location
        Where heart, aorta and arteries lie.
    uncertainty : Uncertainty or None
        How sure the ensemble is of each candidate; None where an observer labelled.
    stakes : Stakes or None
        What hangs on each candidate; None where an observer labelled.
    likeliest : (L,) array of int or None
        The artery each candidate lies in if it lies in one; None where an observer labelled.
    """

    result: ScanResult
    calcium: Calcium
    candidates: Candidates
    location: Location
    uncertainty: Uncertainty | None = None
    stakes: Stakes | None = None
    likeliest: NDArray[np.intp] | None = None


def describe_scan(scan: Scan, recipe: Recipe, *, learning: bool = False) -> Described:
    """Find the candidates of a scan and describe each by the features of the recipe's families.

    Parameters
    ----------
    scan : Scan
        The scan.
    recipe : Recipe
        Threshold, limits, features, and by how much the location is taken to be wrong.
    learning : bool
        Describe it for a model to learn from: with one random displacement of the location, drawn from the scan's
        fingerprint, instead of those averaged over.
    """
    seconds: dict[str, float] = {}
    section = recipe.candidates
    threshold_hu = section.threshold_for(scan.acquisition.kvp)
    with _timed(seconds, "location"):
        location = find_location(scan, recipe)
    with _timed(seconds, "candidates"):
        candidates = find_candidates(
            scan,
            threshold_hu=threshold_hu,
            connectivity=section.connectivity,
            min_volume_mm3=section.min_volume_mm3,
            max_volume_mm3=section.max_volume_mm3,
            location=location if section.split_at_aorta else None,
        )
    where = recipe.location
    moves = (
        drawn_displacement(scan.fingerprint(), where.learnt_error_mm)
        if learning
        else displacements(where.scored_error_mm)
    )
    with _timed(seconds, "place"):
        places: tuple[Place | None, ...] = (None,) * len(moves)
        if recipe.features.needs_place:
            centroids_mm = candidates.centroids() * np.asarray(scan.geometry.spacing)
            places = measure_places(scan, location, centroids_mm, moves)
    with _timed(seconds, "features"):
        describe = partial(feature_table, scan, candidates, recipe.features.settings(threshold_hu))
        boxes = [None if location.box is None else location.box.moved(move) for move in moves]
        table = describe(recipe.features.families, boxes[0], places[0])
        located = tuple(f for f in recipe.features.families if f in LOCATED)
        others = zip(boxes[1:], places[1:], strict=True)
        displaced = tuple(table.assign(**describe(located, box, place)) for box, place in others)
    return Described(candidates, location, table, displaced, seconds)


def find_location(scan: Scan, recipe: Recipe) -> Location:
    """Find heart, aorta and arteries by the atlases a recipe names."""
    wanted = recipe.location.atlases
    return locate(scan, read_atlases(wanted) if wanted else ())


def score_scan(
    scan: Scan,
    bundle: Bundle,
    recipe: Recipe,
    *,
    scan_id: str,
    calibration: MassCalibration | None = None,
    described: Described | None = None,
) -> Scored:
    """Score a scan with a trained model; a result whose scan allows no score says why (`invalid_reasons`).

    Parameters
    ----------
    scan : Scan
        The scan.
    bundle : Bundle
        The model.
    recipe : Recipe
        The recipe it was trained by; its decision, referral and score sections may be changed.
    scan_id : str
        Name in the result.
    calibration : MassCalibration or None
        For the mass; the best known for the scan when not given.
    described : Described or None
        What `describe_scan` says of the scan by this recipe, when it is at hand: several models share it.
    """
    described = described or describe_scan(scan, recipe.for_scoring())
    seconds, candidates = dict(described.seconds), described.candidates
    with _timed(seconds, "model"):
        answers = [predict(bundle, table) for table in (described.table, *described.displaced)]
        probabilities = np.mean([mean for mean, _ in answers], axis=0)
        members = np.concatenate([each for _, each in answers])
        if recipe.decision.artery_by == "map":
            maps = described.table[[f"{a.name.lower()}_probability" for a in ARTERIES]].to_numpy()
            as_lad = recipe.model.left_main_as == "LAD"
            probabilities = arteries_by_map(probabilities, maps, left_main_as_lad=as_lad)
        uncertainty = measure(probabilities, members, distances(bundle, described.table))
    labels = decide(probabilities, recipe.decision.coronary_threshold)
    accepted = most_probable_artery(probabilities)

    with _timed(seconds, "scores"):
        rule = recipe.rule_for(scan.acquisition.kvp)
        thickness = scan.acquisition.slice_thickness_mm
        as_coronary = from_candidates(candidates, accepted, thickness)
        effect = _per_lesion(agatston(as_coronary, rule), len(candidates))
        scheme = find_scheme(recipe.scores.risk)
        stakes = weigh(probabilities, labels, effect, scheme, seed=recipe.model.seed)
        unseen = outside(protocol_of(scan), bundle.card.protocols)
        doubts = ScanDoubts(described.location.trusted, described.location.spread_mm, unseen)
        near = None if recipe.referral.near_ostia_mm is None else ostia_distance_mm(described.location, candidates)
        referral = refer(recipe.referral, uncertainty, stakes, doubts, near)
        referred = referral.referred
        shown = (labels != Label.OTHER) | (uncertainty.coronary >= CLEAR_OTHER) | referred

        def total(decided: NDArray[np.intp]) -> ScoreSummary:
            calcium = from_candidates(candidates, decided, thickness)
            return summarise(calcium, rule, used, scheme)

        used = calibration or find_calibration(scan.acquisition, recipe.scores.mass_factor_mg_per_ml_hu)
        score = total(labels)
        pending = PendingRange(
            lowest=total(np.where(referred, 0, labels)).total.agatston,
            highest=total(np.where(referred, accepted, labels)).total.agatston,
            pending=int(referred.sum()),
        )
    with _timed(seconds, "drivers"):
        asked = np.flatnonzero(referred)
        drivers = dict(zip(asked.tolist(), find_drivers(bundle, described.table.iloc[asked]), strict=True))
    blood = located_blood_hu(scan, described.location)
    result = _result(scan, recipe, described, score, pending, scan_id, seconds, bundle.identity, blood)
    listed = np.where(shown, np.where(labels != Label.OTHER, labels, accepted), Label.OTHER)
    lesions = tuple(
        replace(
            _lesion(candidates, i, labels[i], effect[i]),
            **_judged(i, probabilities[i], uncertainty, stakes, referral),
            drivers=tuple(Driver(name, or_none(v), or_none(t), e) for name, v, t, e in drivers.get(i, ())),
        )
        for i in np.flatnonzero(shown).tolist()
    )
    promise = recipe.referral.promise
    result = replace(
        result,
        remarks=(*_told(unseen, promise, bundle), *result.remarks),
        lesions=lesions,
        whole_scan=referral.whole_scan,
        promise="" if promise is None else promise.say(),
        invalid_reasons=why_no_score(
            scan,
            described.location,
            blood_hu=blood,
            noise_hu=noise_hu(scan),
            atlases=bool(recipe.location.atlases),
        ),
    )
    calcium = from_candidates(candidates, listed, thickness)
    return Scored(result, calcium, candidates, described.location, uncertainty, stakes, accepted)


def score_labelled(
    scan: Scan,
    labels: NDArray[np.integer],
    recipe: Recipe,
    *,
    scan_id: str,
    calibration: MassCalibration | None = None,
) -> Scored:
    """Score a scan by an observer's label volume: no model, nothing pending, and a score whatever the scan is.

    Parameters
    ----------
    scan : Scan
        The scan.
    labels : (nz, ny, nx) array of int
        `Label` numbers, 0 elsewhere.
    recipe : Recipe
        Threshold and scores.
    scan_id : str
        Name in the result.
    calibration : MassCalibration or None
        For the mass; the best known for the scan when not given.
    """
    seconds: dict[str, float] = {}
    threshold_hu = recipe.candidates.threshold_for(scan.acquisition.kvp)
    with _timed(seconds, "scores"):
        calcium, score = summarise_labels(scan, labels, recipe, calibration)
    order = np.argsort(calcium.lesion, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(calcium.lesion)[1:])]).astype(np.intp)
    candidates = Candidates(scan.geometry, calcium.voxels[order], calcium.hu[order], offsets, threshold_hu)
    of_lesion = calcium.label[order][offsets[:-1]]
    effect = _per_lesion(score.contributions, len(candidates))
    with _timed(seconds, "location"):
        location = find_location(scan, recipe)
    described = Described(candidates, location, pd.DataFrame(index=candidates.ids), seconds=seconds)
    pending = PendingRange(score.total.agatston, score.total.agatston, 0)
    model, blood = {"name": "none: labels by an observer"}, located_blood_hu(scan, location)
    result = _result(scan, recipe, described, score, pending, scan_id, seconds, model, blood)
    lesions = tuple(_lesion(candidates, i, of_lesion[i], effect[i]) for i in range(len(candidates)))
    return Scored(replace(result, lesions=lesions), calcium, candidates, location)


def summarise_labels(
    scan: Scan, labels: NDArray[np.integer], recipe: Recipe, calibration: MassCalibration | None = None
) -> tuple[Calcium, ScoreSummary]:
    """Compute the scores of an observer's label volume, as a recipe says.

    Parameters
    ----------
    scan, labels, recipe, calibration
        As `score_labelled` takes them.

    Returns
    -------
    calcium : Calcium
        What was labelled, at or above the recipe's threshold.
    summary : ScoreSummary
        Its scores.
    """
    kvp = scan.acquisition.kvp
    calcium = from_label_volume(
        scan, labels, threshold_hu=recipe.candidates.threshold_for(kvp), connectivity=recipe.candidates.connectivity
    )
    used = calibration or find_calibration(scan.acquisition, recipe.scores.mass_factor_mg_per_ml_hu)
    return calcium, summarise(calcium, recipe.rule_for(kvp), used, find_scheme(recipe.scores.risk))


def doubts(location: Location, recipe: Recipe) -> tuple[Remark, ...]:
    """Warn when places of lesions are not known as well as a recipe wants."""
    if location.trusted and location.spread_mm > WIDE_SPREAD_MM:
        text = (
            f"The atlases' arteries lie {location.spread_mm:.1f} mm apart, farther than in digital patients: look at "
            "the picture of heart and arteries before the labels are believed."
        )
        return (Remark("location", "warning", text),)
    if location.trusted or not recipe.location.atlases:
        return ()
    text = f"Heart and arteries could not be located ({location.remark}): labels rest on the lesions themselves."
    return (Remark("location", "warning", text),)


def _per_lesion(contributions: tuple[Contribution, ...], count: int) -> NDArray[np.float64]:
    """Agatston score of each lesion, (count,)."""
    lesions = np.array([c.lesion for c in contributions], dtype=np.intp)
    return np.bincount(lesions - 1, weights=[c.score for c in contributions], minlength=count).astype(float)


def _result(
    scan: Scan,
    recipe: Recipe,
    described: Described,
    score: ScoreSummary,
    pending: PendingRange,
    scan_id: str,
    seconds: dict[str, float],
    model: dict[str, str],
    blood: float | None,
) -> ScanResult:
    location = described.location
    return ScanResult(
        scan_id=scan_id,
        geometry=scan.geometry,
        acquisition=scan.acquisition,
        remarks=(*doubts(location, recipe), *remarks(scan, blood)),
        heart_box=location.box,
        location=LocationSummary.of(location),
        score=score,
        range=pending,
        candidates=len(described.candidates),
        dropped_small=described.candidates.dropped_small,
        dropped_large=described.candidates.dropped_large,
        lesions=(),
        provenance=Provenance(
            scan_sha256=scan.fingerprint(),
            recipe=recipe.model_dump(mode="json"),
            model=model,
            versions=installed_versions(VERSIONED),
            seconds=seconds,
        ),
    )


def _told(unseen: tuple[str, ...], promise: Promise | None, bundle: Bundle) -> tuple[Remark, ...]:
    """Warn of a protocol that the model never saw, and of a promise made for another model."""
    found = []
    if unseen:
        text = f"The model has not learnt from scans like this one ({'; '.join(unseen)}): look at its lesions."
        found.append(Remark("protocol", "warning", text))
    if promise is not None and promise.model_sha256 != bundle.identity["model_sha256"]:
        text = "What the recipe's referral promises was calibrated for another model: it does not hold for this one."
        found.append(Remark("promise", "warning", text))
    return tuple(found)


def _judged(
    i: int, probabilities: NDArray[np.float64], uncertainty: Uncertainty, stakes: Stakes, referral: Referral
) -> dict[str, Any]:
    """What a model adds to a lesion."""
    return {
        "probabilities": {TITLES[t]: float(probabilities[t]) for t in Label},
        "coronary_probability": float(uncertainty.coronary[i]),
        "entropy": float(uncertainty.entropy[i]),
        "margin": float(uncertainty.margin[i]),
        "disagreement": float(uncertainty.disagreement[i]),
        "ambiguity": or_none(float(uncertainty.ambiguity[i])),
        "distance": or_none(float(uncertainty.distance[i])),
        "referred": bool(referral.referred[i]),
        "reason": referral.reasons[i],
        "doubt": float(stakes.doubt[i]),
        "change": float(stakes.change[i]),
        "category": float(stakes.category[i]),
        "urgency": float(referral.urgency[i]),
    }


def _lesion(candidates: Candidates, i: int, label: int, effect: float) -> LesionResult:
    """Say of a lesion what its voxels say, and that an observer is sure of it."""
    own = slice(candidates.offsets[i], candidates.offsets[i + 1])
    hu, centre = candidates.hu[own], candidates.voxels[own].mean(axis=0)
    z, y, x = (float(v) for v in centre)
    world = candidates.geometry.to_world(centre)
    return LesionResult(
        lesion=i + 1,
        label=Label(int(label)),
        probabilities={},
        coronary_probability=1.0,
        entropy=0.0,
        margin=1.0,
        disagreement=0.0,
        referred=False,
        reason="",
        volume_mm3=float(candidates.volumes_mm3[i]),
        mean_hu=float(hu.mean()),
        peak_hu=float(hu.max()),
        agatston=float(effect),
        index=(z, y, x),
        position_mm=(float(world[0]), float(world[1]), float(world[2])),
    )


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - start
