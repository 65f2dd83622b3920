"""A trained model as a folder: the estimator, its card, and golden rows that prove it still answers the same.

``model.skops`` is the estimator, ``card.json`` says what it is, ``golden.npz`` holds feature rows and the
probabilities they had when the model was made, ``reach.npz`` what the lesions it learnt from were like (bundles made
before there was one do without). A folder is written whole or not at all.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.pipeline import Pipeline

from calcscore_ml.anatomy import TITLES, Label
from calcscore_ml.errors import ModelError
from calcscore_ml.files import write_folder_beside
from calcscore_ml.models import judge
from calcscore_ml.models.card import (
    ModelCard,
    features_hash,
    installed_versions,
    read_card,
    version_remarks,
    write_card,
)
from calcscore_ml.models.golden import GoldenRows, check_golden, choose_golden, golden_bytes, per_label, read_golden
from calcscore_ml.models.reach import Reach, reach_bytes, read_reach
from calcscore_ml.models.skops_file import dump_estimator, load_estimator

MODEL_FILE, CARD_FILE, GOLDEN_FILE, REACH_FILE = "model.skops", "card.json", "golden.npz", "reach.npz"
"""Files of a bundle."""


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A trained model with all that is needed to use it and to say where it came from.

    Parameters
    ----------
    estimator : sklearn.pipeline.Pipeline
        Fitted; of `calcscore_ml.models.make_estimator`.
    card : ModelCard
        What it says about itself.
    golden : GoldenRows
        Rows that prove it.
    reach : Reach or None
        What the lesions it learnt from were like.
    remarks : tuple of str
        What was noticed while loading.
    """

    estimator: Pipeline
    card: ModelCard
    golden: GoldenRows
    reach: Reach | None = None
    remarks: tuple[str, ...] = ()

    @property
    def identity(self) -> dict[str, str]:
        """What a result stores of its model."""
        return {
            "name": self.card.name,
            "estimator": type(self.estimator[-1]).__name__,
            "model_sha256": self.card.files[MODEL_FILE],
            "training_sha256": self.card.training_sha256,
            "trained_on": self.card.trained_on,
            "intended_use": self.card.intended_use,
        }


def make_bundle(
    estimator: Pipeline,
    *,
    name: str,
    features: tuple[str, ...],
    table: ArrayLike,
    recipe: dict[str, Any],
    training_sha256: str,
    trained_on: str,
    metrics: Mapping[str, float],
    units: Mapping[str, str] | None = None,
    reach: Reach | None = None,
    protocols: Mapping[str, tuple[float, float]] | None = None,
) -> Bundle:
    """Put a fitted estimator and its card together.

    Parameters
    ----------
    estimator : sklearn.pipeline.Pipeline
        Fitted; of `calcscore_ml.models.make_estimator`.
    name : str
        Name of the recipe.
    features : tuple of str
        Columns of the feature table.
    table : (n, n_features) array-like
        The training table; golden rows are drawn from it.
    recipe : dict
        The whole recipe.
    training_sha256, trained_on : str
        Hash of the training table, and the cohort in words.
    metrics : mapping of str to float
        Measured on other patients.
    units : mapping of str to str, optional
        Unit of each feature.
    reach : Reach, optional
        What the training table's lesions were like, see `calcscore_ml.models.reach.learn_reach`.
    protocols : mapping of str to (float, float), optional
        What its scans were like, see `calcscore_ml.protocol.ranges`.

    Returns
    -------
    Bundle
        Not yet on disk.

    Raises
    ------
    ModelError
        When the estimator does not fit the names, or gives labels that are not `Label` numbers.
    """
    values = np.asarray(table, dtype=np.float64)
    if estimator.n_features_in_ != len(features) or values.ndim != 2 or values.shape[1] != len(features):
        raise ModelError(
            f"a model, its table and its feature names must agree, got a model of {estimator.n_features_in_} features, "
            f"a table of shape {values.shape} and {len(features)} names"
        )
    if len(set(features)) != len(features):
        raise ModelError(f"feature names must differ, got {len(features) - len(set(features))} repeated")
    unknown = [c for c in estimator.classes_.tolist() if c not in list(Label)]
    if unknown:
        raise ModelError(f"a model's labels must be numbers 0 to {len(Label) - 1} of Label, got {unknown}")
    golden = choose_golden(estimator, values)
    card = ModelCard(
        name=name,
        features=tuple(features),
        features_sha256=features_hash(tuple(features)),
        labels={int(c): TITLES[Label(c)] for c in estimator.classes_},
        recipe=recipe,
        training_sha256=training_sha256,
        trained_on=trained_on,
        metrics={key: float(value) for key, value in metrics.items()},
        versions=installed_versions(),
        files=_hashes(_contents(estimator, golden, reach)),
        units=dict(units or {}),
        protocols=dict(protocols or {}),
    )
    return Bundle(estimator, card, golden, reach)


def predict(bundle: Bundle, table: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ask a model about lesions.

    Parameters
    ----------
    bundle : Bundle
        The model.
    table : pandas.DataFrame
        n rows with at least the model's features as columns, in any order; NaN where a feature is not
        defined.

    Returns
    -------
    probabilities : (n, 8) array of float
        Per `Label`; 0 for a label the model never saw. Rows sum to 1.
    members : (n_members, n, 8) array of float
        The same of each member of the ensemble.

    Raises
    ------
    ModelError
        When a feature is missing.
    """
    missing = [f for f in bundle.card.features if f not in table.columns]
    if missing:
        raise ModelError(
            f"a feature table must hold the model's {len(bundle.card.features)} features, got none named "
            f"{', '.join(missing[:5])}{' and others' if len(missing) > 5 else ''}; "
            "use the recipe the model was trained by"
        )
    values = table.loc[:, list(bundle.card.features)].to_numpy(dtype=np.float64)
    classes = bundle.estimator.classes_
    if not len(values):
        return np.zeros((0, len(Label))), np.zeros((bundle.estimator[-1].n_members, 0, len(Label)))
    probabilities, members = judge(bundle.estimator, values)
    return per_label(probabilities, classes), per_label(members, classes)


def distances(bundle: Bundle, table: pd.DataFrame) -> NDArray[np.float64] | None:
    """Return how far lesions lie from those a model learnt from, (n,); None when the model does not know.

    Parameters
    ----------
    bundle : Bundle
        The model.
    table : pandas.DataFrame
        As `predict` takes it.
    """
    if bundle.reach is None:
        return None
    return bundle.reach.distance(table.loc[:, list(bundle.card.features)].to_numpy(dtype=np.float64))


def save_bundle(folder: Path | str, bundle: Bundle, overwrite: bool = False) -> Path:
    """Write a bundle, whole or not at all.

    Parameters
    ----------
    folder : path
        The bundle's folder.
    bundle : Bundle
        The model.
    overwrite : bool
        Replace an existing bundle. Nothing but a bundle is ever replaced.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ModelError
        When the folder holds something other than a bundle.
    ResultError
        When it exists and `overwrite` is false, or the disk does not take it.
    """
    target = Path(folder)
    contents = _contents(bundle.estimator, bundle.golden, bundle.reach)
    card = replace(bundle.card, files=_hashes(contents))
    old = None
    if overwrite and target.is_dir() and any(target.iterdir()):
        if not (target / CARD_FILE).is_file():
            raise ModelError(f"only a model bundle is replaced, got a folder without {CARD_FILE}: {target}")
        old = target.with_name(f".{target.name}.replaced")
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
    try:
        with write_folder_beside(target) as beside:
            for name, content in contents.items():
                (beside / name).write_bytes(content)
            (beside / CARD_FILE).write_bytes(write_card(card))
    except BaseException:
        if old is not None and not target.exists():
            old.rename(target)
        raise
    if old is not None:
        shutil.rmtree(old)
    return target


def load_bundle(folder: Path | str) -> Bundle:
    """Read a bundle, checking hashes, types and golden rows.

    Parameters
    ----------
    folder : path
        The bundle's folder.

    Returns
    -------
    Bundle
        With a remark for each package of another version.

    Raises
    ------
    ModelError
        When a file is missing, altered or not a skops file, holds a type that is not allowed, or the model no
        longer answers as it did.
    """
    home = Path(folder)
    card = read_card(_read(home / CARD_FILE), str(home / CARD_FILE))
    names = [MODEL_FILE, GOLDEN_FILE, *([REACH_FILE] if REACH_FILE in card.files else [])]
    contents = {name: _read(home / name) for name in names}
    for file, digest in _hashes(contents).items():
        if card.files.get(file) != digest:
            said = card.files.get(file, "none")
            raise ModelError(
                f"a model's files must match the hashes on its card, got SHA-256 {digest[:12]} for {said[:12]} of "
                f"{home / file}; the copy is broken or altered, fetch the bundle again"
            )
    estimator = load_estimator(contents[MODEL_FILE], str(home / MODEL_FILE))
    golden = read_golden(contents[GOLDEN_FILE], str(home / GOLDEN_FILE))
    reach = None
    if REACH_FILE in contents:
        reach = read_reach(contents[REACH_FILE], len(card.features), str(home / REACH_FILE))
    trained_with = ", ".join(f"{name} {version}" for name, version in sorted(card.versions.items()))
    check_golden(estimator, golden, f"install {trained_with}, or train it again", str(home))
    return Bundle(estimator, card, golden, reach, version_remarks(card.versions))


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ModelError(
            f"a model bundle is a folder of {MODEL_FILE}, {CARD_FILE} and {GOLDEN_FILE}, "
            f"got {error.strerror} for {file}"
        ) from error


def _contents(estimator: Pipeline, golden: GoldenRows, reach: Reach | None) -> dict[str, bytes]:
    """Every file of a bundle but its card, which names their hashes."""
    contents = {MODEL_FILE: dump_estimator(estimator), GOLDEN_FILE: golden_bytes(golden)}
    return contents if reach is None else {**contents, REACH_FILE: reach_bytes(reach)}


def _hashes(contents: Mapping[str, bytes]) -> dict[str, str]:
    return {name: sha256(content).hexdigest() for name, content in contents.items()}
