"""Results of made-up scans, and decisions on them."""

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import numpy as np
from hypothesis import strategies as st
from scipy import ndimage

from calcscore_ml.anatomy import ARTERIES, TITLES, Label
from calcscore_ml.candidates import find_candidates
from calcscore_ml.errors import ReviewError
from calcscore_ml.geometry import Geometry
from calcscore_ml.referral.decision import decide, most_probable_artery
from calcscore_ml.result import Driver, LesionResult, PendingRange, Provenance, ScanResult
from calcscore_ml.review.events import AddLesion, ExcludeVoxels, LabelLesion, Note, SplitLesion, Undo
from calcscore_ml.review.state import StoredEvent, about, advance, start, what_if
from calcscore_ml.scan import Acquisition, Scan
from calcscore_ml.scores import RULES, MassCalibration, agatston, find_rule, find_scheme, from_candidates, summarise

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
"""When made-up observers begin."""

MODEL = {"name": "made", "model_sha256": "0" * 64}


@lru_cache(maxsize=64)
def made_result(seed=0, rule="agatston", scan_id="scan-1", size=(8, 40, 40), blobs=7, pending=0.5):
    """A result and its calcium: blobs in noise, random probabilities, some of the lesions referred."""
    rng = np.random.default_rng(seed)
    hu = np.zeros(size)
    at = np.stack([rng.integers(0, n, blobs) for n in size])
    hu[tuple(at)] = rng.uniform(2e4, 1e5, blobs)
    hu = np.clip(ndimage.gaussian_filter(hu, (0.8, 1.5, 1.5)), -1000, 1500).astype(np.int16)
    scan = Scan(hu, Geometry(size, (1.5, 0.6, 0.7), (-10, -20, 30)), Acquisition(slice_thickness_mm=3.0, kvp=120.0))
    found = find_candidates(scan, threshold_hu=130, min_volume_mm3=0.5)
    n = len(found)
    shares = rng.dirichlet(np.full(len(Label), 0.4), n)
    labels, accepted = decide(shares), most_probable_artery(shares)
    referred = rng.random(n) < pending
    rule, calibration, scheme = find_rule(rule), MassCalibration(0.75, "the tests"), find_scheme("standard")

    def scored(decided):
        return summarise(from_candidates(found, decided, 3.0), rule, calibration, scheme)

    effect = np.zeros(n)
    for c in agatston(from_candidates(found, accepted, 3.0), rule):
        effect[c.lesion - 1] += c.score
    lesions = []
    for i in range(n):
        own = slice(found.offsets[i], found.offsets[i + 1])
        centre = found.voxels[own].mean(axis=0)
        lesions.append(
            LesionResult(
                lesion=i + 1,
                label=Label(int(labels[i])),
                probabilities={TITLES[t]: float(shares[i, t]) for t in Label},
                coronary_probability=float(shares[i, list(ARTERIES)].sum()),
                entropy=0.5,
                margin=0.1,
                disagreement=0.2,
                referred=bool(referred[i]),
                reason="coronary with probability 0.50" if referred[i] else "",
                volume_mm3=float(found.volumes_mm3[i]),
                mean_hu=float(found.hu[own].mean()),
                peak_hu=float(found.hu[own].max()),
                agatston=float(effect[i]),
                index=tuple(float(v) for v in centre),
                position_mm=tuple(float(v) for v in scan.geometry.to_world(centre)),
                urgency=float(rng.integers(0, 3)),
                drivers=(Driver("volume", 3.0, 1.0, 0.25),),
            )
        )
    score = scored(labels)
    result = ScanResult(
        scan_id=scan_id,
        geometry=scan.geometry,
        acquisition=scan.acquisition,
        remarks=(),
        heart_box=None,
        score=score,
        range=PendingRange(
            scored(np.where(referred, 0, labels)).total.agatston,
            scored(np.where(referred, accepted, labels)).total.agatston,
            int(referred.sum()),
        ),
        candidates=n,
        dropped_small=0,
        dropped_large=0,
        lesions=tuple(lesions),
        provenance=Provenance(scan.fingerprint(), {"candidates": {"min_volume_mm3": 0.5}}, MODEL, {}, {}),
    )
    return result, from_candidates(found, np.where(labels != 0, labels, accepted), 3.0)


def store(reading, event, observer="anna", name="shared", number=None):
    """The event as a store would keep it as the next of a reading."""
    version = reading.version + 1
    return StoredEvent(
        id=number or 100 + version,
        scan_id=reading.scan_id,
        reading=name,
        version=version,
        observer=observer,
        at=NOON + timedelta(seconds=version),
        event=event,
        lesion=about(reading, event),
        old_label=None,
        new_label=None,
        model_sha256="0" * 64,
        before=reading.totals,
        after=reading.totals,
    )


def after(reading, *events, observer="anna"):
    """The reading after some events."""
    for event in events:
        reading = advance(reading, (store(reading, event, observer),))
    return reading


def made_event(reading, kind, a, b):
    """A decision that fits a reading, chosen by numbers; None where there is none of the kind."""
    if kind == "undo":
        return Undo(event=reading.events[a % len(reading.events)].id) if reading.events else None
    if kind == "add":
        return free_block(reading, a, b)
    lesion = reading.lesions[a % len(reading.lesions)]
    n = len(lesion.rows)
    if kind == "label":
        return LabelLesion(lesion=lesion.key, label=b % len(Label))
    if kind == "note":
        return Note(lesion=lesion.key if b % 3 else None, text=f"note {b}")
    if kind == "exclude":
        left = np.flatnonzero(lesion.kept)
        taken = np.random.default_rng(b).permutation(left)[: b % len(left)]
        return ExcludeVoxels(lesion=lesion.key, positions=tuple(taken.tolist())) if len(taken) else None
    part = np.random.default_rng(b).integers(0, 2 + b % 2, n)
    parts = [np.flatnonzero(part == p) for p in np.unique(part)]
    if len(parts) < 2 or not all(lesion.kept[p].any() for p in parts):
        return None
    return SplitLesion(lesion=lesion.key, parts=tuple(tuple(p.tolist()) for p in parts))


def free_block(reading, a, b):
    """A bright block of voxels that no lesion has."""
    shape = np.array(reading.calcium.geometry.shape)
    rng = np.random.default_rng(a)
    taken = np.concatenate([n.voxels for n in reading.lesions])
    for _ in range(20):
        first = rng.integers(0, shape - (1, 2, 2))
        block = first + np.array([(0, y, x) for y in range(2) for x in range(2)])
        if not (block[:, None] == taken[None]).all(axis=2).any():
            hu = rng.integers(130, 900, 4)
            return AddLesion(
                voxels=tuple(tuple(v) for v in block.tolist()), hu=tuple(hu.tolist()), label=1 + b % (len(Label) - 1)
            )
    return None


def snapshot(reading):
    """Everything a reading says but its history, as plain values that can be compared."""
    lesions = []
    for lesion in reading.lesions:
        values = {f.name: getattr(lesion, f.name) for f in fields(lesion)}
        lesions.append({k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in values.items()})
    return lesions, reading.score, reading.range, reading.note


def fits(reading, event):
    """Whether an event can be decided in a reading."""
    try:
        what_if(reading, event)
    except ReviewError:
        return False
    return True


def history(made, kinds):
    """The reading of a result after as many of some decisions as fit."""
    reading = start(*made)
    for kind, a, b in kinds:
        event = made_event(reading, kind, a, b)
        if event is not None and fits(reading, event):
            reading = after(reading, event, observer="ab"[b % 2])
    return reading


KINDS = ("label", "split", "exclude", "add", "note", "undo")
ROUNDED = {"ai-cac"}
"""Rules that round each lesion to a whole number: less calcium may round to more."""

rules = st.sampled_from([r.name for r in RULES])
exact = rules.filter(lambda name: name not in ROUNDED)
steps = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 50), st.integers(0, 50)), max_size=8)
readings = st.builds(history, st.builds(made_result, st.integers(0, 9), rules), steps)
unrounded = st.builds(history, st.builds(made_result, st.integers(0, 9), exact), steps)

keys = st.from_regex(r"\+?[1-9][0-9]{0,3}(\.[1-9]){0,3}", fullmatch=True)
positions = st.lists(st.integers(0, 10**6), min_size=1, max_size=8, unique=True).map(tuple)
index = st.integers(0, 2**31 - 1)
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t"), max_size=40)


@st.composite
def splits(draw):
    numbers = draw(st.lists(st.integers(0, 999), min_size=2, max_size=10, unique=True))
    cut = draw(st.integers(1, len(numbers) - 1))
    return SplitLesion(lesion=draw(keys), parts=(tuple(numbers[:cut]), tuple(numbers[cut:])))


@st.composite
def additions(draw):
    voxels = draw(st.lists(st.tuples(index, index, index), min_size=1, max_size=6, unique=True))
    hu = draw(st.lists(st.integers(-(2**15), 2**15 - 1), min_size=len(voxels), max_size=len(voxels)))
    return AddLesion(voxels=tuple(voxels), hu=tuple(hu), label=draw(st.integers(1, 7)))


events = st.one_of(
    st.builds(LabelLesion, lesion=keys, label=st.integers(0, 7)),
    splits(),
    st.builds(ExcludeVoxels, lesion=keys, positions=positions),
    additions(),
    st.builds(Note, lesion=st.none() | keys, text=texts),
    st.builds(Undo, event=st.integers(1, 2**40)),
)
