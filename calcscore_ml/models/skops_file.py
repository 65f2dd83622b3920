"""Trained estimators as skops files: no pickle, a pinned list of types, the same bytes for the same model.

A pickle or joblib file can run any program when it is loaded. A skops file names types and arrays; only types
that skops trusts, and those of `ALLOWED_TYPES`, are ever made.
"""

from __future__ import annotations

import json
import warnings
import zipfile
from hashlib import sha256
from io import BytesIO
from typing import Any

import skops.io
from sklearn.exceptions import InconsistentVersionWarning
from skops.io.exceptions import UntrustedTypesFoundException

from calcscore_ml.errors import ModelError

ALLOWED_TYPES: tuple[str, ...] = (
    "calcscore_ml.models.bagged_svm.BaggedSVM",
    "calcscore_ml.models.knn.PrevalenceKNN",
    "calcscore_ml.models.merged.MergedClassifier",
    "calcscore_ml.models.preprocess.AsinhScaler",
    "calcscore_ml.models.rules.RuleClassifier",
    "calcscore_ml.models.sequential_knn.SequentialKNN",
    "calcscore_ml.models.subset.FeatureSubset",
    "calcscore_ml.models.svm_bag.SVMBag",
    "calcscore_ml.models.trees.TreeEnsemble",
    "calcscore_ml.models.two_stage.TwoStage",
    "numpy.dtype",
)
"""Types that a model file may hold beyond scikit-learn's and numpy's that skops itself trusts."""

ZIP_MAGIC = b"PK\x03\x04"
"""How a skops file begins: it is a zip archive."""

SCHEMA_FILE = "schema.json"
"""skops' description of the objects in its archive."""

EPOCH = (1980, 1, 1, 0, 0, 0)
"""Date of every archive member: the earliest zip can say, so that bytes do not depend on the clock."""


def dump_estimator(estimator: object) -> bytes:
    """Write an estimator.

    skops names arrays by memory address; here nodes are numbered in order and arrays named by content, so
    equal models give equal bytes.

    Parameters
    ----------
    estimator : object
        Fitted estimator of allowed types.

    Returns
    -------
    bytes
        A skops file.

    Raises
    ------
    ModelError
        When a type is not allowed.
    """
    raw = skops.io.dumps(estimator)
    check_types(raw, "the estimator to be saved")
    with zipfile.ZipFile(BytesIO(raw)) as archive:
        arrays = {name: archive.read(name) for name in archive.namelist() if name != SCHEMA_FILE}
        schema = json.loads(archive.read(SCHEMA_FILE))
    names = {name: f"{sha256(content).hexdigest()[:16]}.{name.rpartition('.')[2]}" for name, content in arrays.items()}
    _renumber(schema, names, [0])
    members = {names[name]: content for name, content in arrays.items()}
    target = BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(members):
            archive.writestr(_entry(name), members[name])
        archive.writestr(_entry(SCHEMA_FILE), json.dumps(schema, indent=1))
    return target.getvalue()


def load_estimator(content: bytes, where: str) -> Any:  # noqa: ANN401 (scikit-learn's estimators are untyped)
    """Read an estimator without running code from the file.

    Parameters
    ----------
    content : bytes
        A skops file.
    where : str
        File named in errors.

    Returns
    -------
    object
        The estimator.

    Raises
    ------
    ModelError
        When the file is not a skops file or holds a type that is not allowed.
    """
    check_types(content, where)
    try:
        with warnings.catch_warnings():
            # Another version is a remark of the bundle, judged by its golden rows.
            warnings.simplefilter("ignore", InconsistentVersionWarning)
            return skops.io.loads(content, trusted=list(ALLOWED_TYPES))
    except (UntrustedTypesFoundException, *_MALFORMED) as error:
        raise ModelError(f"a model must be a whole skops file, got {_reason(error)} in {where}") from error


def check_types(content: bytes, where: str) -> None:
    """Refuse what is not a skops file, and types that are not allowed; see `load_estimator`."""
    if not content.startswith(ZIP_MAGIC):
        raise ModelError(
            "a model must be a skops file, which names types and arrays only; a pickle or joblib file can run any "
            f"program when loaded, so {where} was not opened. Train the model again with `calcscore train`"
        )
    try:
        found = skops.io.get_untrusted_types(data=content)
    except _MALFORMED as error:
        raise ModelError(f"a model must be a whole skops file, got {_reason(error)} in {where}") from error
    foreign = sorted(set(found) - set(ALLOWED_TYPES))
    if foreign:
        raise ModelError(
            f"a model may only hold scikit-learn's types and calcscore-ml's own, got {', '.join(foreign)} in {where}; "
            "do not load it unless you know who made it"
        )


_MALFORMED = (
    zipfile.BadZipFile,
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    ImportError,
    EOFError,
    RecursionError,
)
"""What reading a damaged or forged archive raises."""


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def _renumber(node: object, names: dict[str, str], last: list[int]) -> None:
    """Number nodes in order of appearance and rename array files, in place."""
    if isinstance(node, list):
        for child in node:
            _renumber(child, names, last)
    if isinstance(node, dict):
        if "__id__" in node:
            last[0] += 1
            node["__id__"] = last[0]
        for key, child in node.items():
            if key == "file" and child in names:
                node[key] = names[child]
            else:
                _renumber(child, names, last)
