"""From a labelled cohort to a table of lesions: what ensembles are trained on.

Features of a scan are computed once and kept beside the cohort, so an interrupted run goes on where it was, and a
second ensemble trains on the same table.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from calcscore_features import registry
from calcscore_ml.anatomy import Label
from calcscore_ml.batch import collect
from calcscore_ml.candidates import THRESHOLD_HU
from calcscore_ml.errors import ManifestError, ModelError
from calcscore_ml.files import write_beside
from calcscore_ml.io import read_scan
from calcscore_ml.io.labels import read_labels
from calcscore_ml.manifest import ManifestRow, need_labels
from calcscore_ml.models import fit_estimator, make_estimator
from calcscore_ml.models.bundle import Bundle, make_bundle
from calcscore_ml.models.reach import learn_reach
from calcscore_ml.pipeline import describe_scan
from calcscore_ml.protocol import protocol_of, ranges
from calcscore_ml.recipe import Recipe
from calcscore_ml.table import truth_labels

Described = tuple[pd.DataFrame, NDArray[np.intp], dict[str, float]]
"""Features, labels and protocol of one scan."""


@dataclass(frozen=True, slots=True, eq=False)
class LesionTable:
    """Candidates of many scans: a row each.

    Parameters
    ----------
    features : pandas.DataFrame
        n rows, a column per feature.
    truth : (n,) array of int
        `Label` of each.
    scan_id, patient_id : (n,) arrays of str
        Where each comes from.
    failed : tuple of (str, str)
        Scans that could not be read, and why.
    protocols : tuple of dict
        Of the scans, see `calcscore_ml.protocol.protocol_of`.
    """

    features: pd.DataFrame
    truth: NDArray[np.intp]
    scan_id: NDArray[np.str_]
    patient_id: NDArray[np.str_]
    failed: tuple[tuple[str, str], ...] = ()
    protocols: tuple[dict[str, float], ...] = ()

    def fingerprint(self) -> str:
        """Return a SHA-256 of features and labels."""
        digest = hashlib.sha256(",".join(self.features.columns).encode())
        digest.update(np.ascontiguousarray(self.features.to_numpy(), dtype="<f8").data)
        digest.update(np.ascontiguousarray(self.truth, dtype="<i8").data)
        return digest.hexdigest()

    def rows(self, chosen: NDArray[np.bool_ | np.intp]) -> LesionTable:
        """Return some of the lesions: those where `chosen`, (n,), is true, or those of these numbers."""
        return replace(
            self,
            features=self.features.iloc[np.arange(len(self.truth))[chosen]].reset_index(drop=True),
            truth=self.truth[chosen],
            scan_id=self.scan_id[chosen],
            patient_id=self.patient_id[chosen],
        )


def lesion_table(
    rows: Sequence[ManifestRow],
    recipe: Recipe,
    *,
    cache: Path | None = None,
    workers: int = 1,
    on_scan: Callable[[], None] = lambda: None,
) -> LesionTable:
    """Describe every candidate of a labelled cohort.

    Parameters
    ----------
    rows : sequence of ManifestRow
        Scans, each with labels.
    recipe : Recipe
        Candidates and features.
    cache : Path or None
        Folder where the features of finished scans are kept.
    workers : int
        Scans at a time.
    on_scan : callable
        Called after each scan.

    Returns
    -------
    LesionTable
        In the order of scan ids, whatever finished first.

    Raises
    ------
    ManifestError
        When a row has no labels, or no scan could be read.
    """
    need_labels(rows, "of a training cohort")
    patient = {r.scan_id: r.patient_id for r in rows}
    describe = partial(_describe, recipe=recipe, cache=cache)
    parts, failed = collect(describe, rows, name=lambda r: r.scan_id, workers=workers, on_item=on_scan)
    if not parts:
        first = f": {failed[0][0]}: {failed[0][1]}" if failed else ""
        raise ManifestError(f"a training cohort needs at least one readable scan, got none of {len(rows)}{first}")
    return assemble(parts, patient, failed)


def assemble(
    parts: Mapping[str, Described], patients: Mapping[str, str], failed: tuple[tuple[str, str], ...]
) -> LesionTable:
    """Put the lesions of scans into one table.

    Parameters
    ----------
    parts : mapping of str to (DataFrame, array of int, dict)
        Features, labels and protocol of each scan, by its id; at least one.
    patients : mapping of str to str
        Patient of each scan; one that is not named is a patient of its own.
    failed : tuple of (str, str)
        Scans that could not be read, and why.
    """
    features, labels, protocols = zip(*parts.values(), strict=True)
    sizes = [len(own) for own in labels]
    return LesionTable(
        features=pd.concat(features, ignore_index=True),
        truth=np.concatenate(labels),
        scan_id=np.repeat(np.array(list(parts), dtype=np.str_), sizes),
        patient_id=np.repeat(np.array([patients.get(s, s) for s in parts], dtype=np.str_), sizes),
        failed=failed,
        protocols=protocols,
    )


def as_learnt(table: LesionTable, recipe: Recipe) -> LesionTable:
    """Return the features that a recipe's model learns from, and the labels it tells apart.

    One table of whole families so serves every recipe that asks for some of its features or labels.

    Parameters
    ----------
    table : LesionTable
        Of `lesion_table`.
    recipe : Recipe
        Its features, `model.targets` and `model.left_main_as`.

    Raises
    ------
    ModelError
        When the table lacks a feature that the recipe names.
    """
    names = recipe.features.names()
    missing = [name for name in names if name not in table.features.columns]
    if missing:
        raise ModelError(
            f"a lesion table must hold the {len(names)} features that the recipe learns from, got none named "
            f"{', '.join(missing[:5])}{' and others' if len(missing) > 5 else ''}; make it by this recipe"
        )
    return replace(table, features=table.features[list(names)], truth=recipe.model.learnt(table.truth))


def train(table: LesionTable, recipe: Recipe, *, trained_on: str, metrics: dict[str, float] | None = None) -> Bundle:
    """Train the recipe's ensemble on a table of lesions.

    Parameters
    ----------
    table : LesionTable
        What to learn from; patients are kept apart in every fold inside.
    recipe : Recipe
        The ensemble, its parameters and seed.
    trained_on : str
        Said by the model's card.
    metrics : dict or None
        Measured on other patients, for the card.
    """
    learnt = as_learnt(table, recipe)
    features, values = tuple(learnt.features.columns), learnt.features.to_numpy()
    estimator = make_estimator(recipe.model.estimator, recipe.model.parameters, recipe.model.seed, features)
    estimator = fit_estimator(estimator, values, learnt.truth, learnt.patient_id)
    return make_bundle(
        estimator,
        name=recipe.name,
        features=features,
        table=values,
        recipe=recipe.model_dump(mode="json"),
        training_sha256=learnt.fingerprint(),
        trained_on=trained_on,
        metrics=metrics or {},
        units={f.name: f.unit for f in registry(recipe.features.settings(THRESHOLD_HU)) if f.name in features},
        reach=learn_reach(values, learnt.truth, recipe.model.seed),
        protocols=ranges(table.protocols),
    )


def counts(table: LesionTable) -> dict[str, int]:
    """Number of lesions by the title of their label."""
    return {label.title: int((table.truth == label).sum()) for label in Label}


def _describe(row: ManifestRow, recipe: Recipe, cache: Path | None) -> Described:
    """Features, truth and protocol of one scan, from the cache when it is there."""
    file = None if cache is None else cache / f"{row.scan_id}-{_key(row, recipe)}.npz"
    if file is not None and file.is_file():
        with np.load(file, allow_pickle=False) as kept:
            protocol = json.loads(str(kept["protocol"])) if "protocol" in kept else protocol_of(read_scan(row.image))
            return pd.DataFrame(kept["features"], columns=list(kept["names"])), kept["truth"].astype(np.intp), protocol
    scan = read_scan(row.image)
    described = describe_scan(scan, recipe, learning=True)
    assert row.labels is not None  # checked by lesion_table
    truth = truth_labels(described.candidates, read_labels(row.labels, scan.geometry))
    features, protocol = described.table.reset_index(drop=True), protocol_of(scan)
    if file is not None:
        with write_beside(file, overwrite=True) as beside, beside.open("wb") as stream:
            np.savez_compressed(
                stream,
                features=features.to_numpy(),
                names=np.array(features.columns, dtype=np.str_),
                truth=truth,
                protocol=np.array(json.dumps(protocol)),
            )
    return features, truth, protocol


def _key(row: ManifestRow, recipe: Recipe) -> str:
    """What the features of a scan depend on: the recipe's part of it and the image.

    Whole families are kept, so recipes that differ only in which features they learn from share them.
    """
    kept = {"candidates", "location", "features"}
    sections = recipe.model_dump(mode="json", include=kept, exclude={"features": {"only"}})
    text = json.dumps([sections, row.sha256 or str(row.image), str(row.labels)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
