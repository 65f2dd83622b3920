"""What a trained model says about itself."""

from __future__ import annotations

from dataclasses import field
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from calcscore_ml.errors import ModelError

SCHEMA_VERSION = 1
"""Layout of a bundle; raised when an older program could misread a newer bundle."""

INTENDED_USE = (
    "Research use only; not a medical device. Scores coronary calcium in non-contrast CT like the scans it was "
    "trained on; not for contrast-enhanced CT, and not for decisions about a patient."
)
"""Said by every card."""

VERSIONED = ("calcscore-ml", "numpy", "scikit-learn", "skops")
"""Packages whose versions a card notes."""


@dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid", ser_json_inf_nan="constants"))
class ModelCard:
    """What a trained model says about itself; stored as ``card.json``.

    A card holds no date and nothing of a patient: the same training gives the same card.

    Parameters
    ----------
    name : str
        Name of the recipe.
    features : tuple of str
        Columns of the feature table, in order.
    features_sha256 : str
        Of their names.
    labels : dict of int to str
        Label numbers the model can give, and their titles.
    recipe : dict
        The whole recipe.
    training_sha256 : str
        Of the training table.
    trained_on : str
        Cohort, in words.
    metrics : dict of str to float
        Measured on other patients.
    versions : dict of str to str
        Of the packages trained with.
    files : dict of str to str
        SHA-256 of ``model.skops``, ``golden.npz`` and, where there is one, ``reach.npz``.
    units : dict of str to str
        Unit of each feature, where given.
    protocols : dict of str to (float, float)
        Range of the scans it learnt from, see `calcscore_ml.protocol`; empty when not recorded.
    intended_use : str
        What it is for and what not.
    schema_version : int
        Layout of the bundle.
    """

    name: str
    features: tuple[str, ...]
    features_sha256: str
    labels: dict[int, str]
    recipe: dict[str, Any]
    training_sha256: str
    trained_on: str
    metrics: dict[str, float]
    versions: dict[str, str]
    files: dict[str, str]
    units: dict[str, str] = field(default_factory=dict)
    protocols: dict[str, tuple[float, float]] = field(default_factory=dict)
    intended_use: str = INTENDED_USE
    schema_version: int = SCHEMA_VERSION


_CARD: TypeAdapter[ModelCard] = TypeAdapter(ModelCard)


def write_card(card: ModelCard) -> bytes:
    """Write a card as indented JSON with a final line end."""
    return _CARD.dump_json(card, indent=2) + b"\n"


def read_card(content: bytes, where: str) -> ModelCard:
    """Read and check a card.

    Parameters
    ----------
    content : bytes
        JSON.
    where : str
        File named in errors.

    Raises
    ------
    ModelError
        When it is not JSON, lacks a field, has an unknown one, is of another layout, or its feature names
        were changed.
    """
    try:
        card = _CARD.validate_json(content)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'the card'}: {e['msg']}" for e in error.errors())
        raise ModelError(f"a model card must hold exactly the known fields, got {problems} in {where}") from error
    if card.schema_version != SCHEMA_VERSION:
        raise ModelError(
            f"a model card must be of layout {SCHEMA_VERSION}, got {card.schema_version} in {where}; "
            "update calcscore-ml, or train the model again"
        )
    if features_hash(card.features) != card.features_sha256:
        raise ModelError(
            f"a card's feature names must match their hash, got other names in {where}; train the model again"
        )
    return card


def features_hash(features: tuple[str, ...]) -> str:
    """Return the SHA-256 of feature names in order.

    >>> features_hash(("volume_mm3", "peak_hu"))[:8]
    '1800c6da'
    """
    return sha256("\n".join(features).encode()).hexdigest()


def installed_versions(names: tuple[str, ...] = VERSIONED) -> dict[str, str]:
    """Return the versions of packages; one run from its source, uninstalled, has none."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def version_remarks(trained_with: dict[str, str]) -> tuple[str, ...]:
    """Say which packages differ in major or minor version from those a model was trained with.

    >>> version_remarks({"skops": "0.1.0"})[0].startswith("trained with skops 0.1.0, loaded with ")
    True
    """
    installed = installed_versions()
    return tuple(
        f"trained with {name} {trained}, loaded with {installed[name]}: golden rows agree"
        for name, trained in sorted(trained_with.items())
        if name in installed and trained.split(".")[:2] != installed[name].split(".")[:2]
    )
