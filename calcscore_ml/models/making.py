"""How a recipe's words become a classifier, whatever classifiers it is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from sklearn.base import BaseEstimator
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline

from calcscore_ml.anatomy import Label
from calcscore_ml.errors import ModelError
from calcscore_ml.models.bagged_svm import BaggedSVM
from calcscore_ml.models.knn import PrevalenceKNN
from calcscore_ml.models.merged import MergedClassifier
from calcscore_ml.models.names import choose_names
from calcscore_ml.models.preprocess import AsinhScaler
from calcscore_ml.models.rules import RuleClassifier, check_rules
from calcscore_ml.models.sequential_knn import SequentialKNN
from calcscore_ml.models.subset import FeatureSubset
from calcscore_ml.models.svm_bag import SVMBag
from calcscore_ml.models.trees import TreeEnsemble
from calcscore_ml.models.two_stage import TwoStage

ClassifierName = Literal["sequential_knn", "bagged_svm", "knn", "svm", "trees", "two_stage", "merged", "rules"]

CLASSIFIERS: tuple[tuple[ClassifierName, type], ...] = (
    ("sequential_knn", SequentialKNN),
    ("bagged_svm", BaggedSVM),
    ("knn", PrevalenceKNN),
    ("svm", SVMBag),
    ("trees", TreeEnsemble),
    ("two_stage", TwoStage),
    ("merged", MergedClassifier),
    ("rules", RuleClassifier),
)
"""What a recipe may name as its classifier. "knn" and "svm" are the stages of the first two on their own."""

WHOLE = ("negative_label", "random_state")
"""Parameters that the whole classifier hands to its parts."""


def make_estimator(
    name: ClassifierName, parameters: Mapping[str, Any], random_state: int = 0, features: Sequence[str] = ()
) -> Pipeline:
    """Make an unfitted pipeline: fill missing features, scale, classify.

    A feature that is NaN, because a lesion is too small to define it, gets the training table's median; a
    feature that is NaN in the whole table becomes 0. Rules take features as they are: their pipeline is the
    classifier alone.

    Parameters
    ----------
    name : {'sequential_knn', 'bagged_svm', 'knn', 'svm', 'trees', 'two_stage', 'merged', 'rules'}
        Classifier.
    parameters : mapping
        Its parameters; `negative_label` is 0, "other", unless given. Where a classifier is made of others ("first"
        and "second" of two_stage, each of "classifiers" of merged), a mapping stands for each: its "estimator",
        parameters of that and, if it shall see some only, its "features" by names and patterns.
    random_state : int
        Seed.
    features : sequence of str
        Names of the table's columns; needed by rules, and where "features" are named.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Its last step is "classifier".

    Raises
    ------
    ModelError
        When a classifier, parameter or feature is unknown.

    >>> list(make_estimator("bagged_svm", {"C": 2.0}).named_steps)
    ['imputer', 'scaler', 'classifier']
    >>> make_estimator("two_stage", {"second": {"estimator": "svm", "C": 10.0}})[-1].second.C
    10.0
    """
    chosen = {"negative_label": int(Label.OTHER), "random_state": random_state, **parameters}
    classifier = _classifier(name, chosen, tuple(features))
    if isinstance(classifier, RuleClassifier):
        return Pipeline([("classifier", classifier)])
    imputer = SimpleImputer(strategy="median", keep_empty_features=True)
    return Pipeline([("imputer", imputer), ("scaler", AsinhScaler()), ("classifier", classifier)])


def _classifier(name: str, parameters: Mapping[str, Any], features: tuple[str, ...]) -> BaseEstimator:
    """One classifier, its parts made first."""
    known: dict[str, type] = dict(CLASSIFIERS)
    if name not in known:
        raise ModelError(f"a classifier must be one of {', '.join(known)}, got {name!r}")
    allowed = set(known[name]().get_params()) - {"columns"}
    unknown = sorted(set(parameters) - allowed)
    if unknown:
        raise ModelError(f"{name} has no parameter {', '.join(unknown)}; it has {', '.join(sorted(allowed))}")
    given = dict(parameters)
    if name == "two_stage":
        given |= {stage: _part(stage, given[stage], features) for stage in ("first", "second") if stage in given}
    if name == "merged":
        parts = given.get("classifiers")
        if not isinstance(parts, Mapping):
            raise ModelError(f"merged needs classifiers, a table by name for each, got {parts!r}")
        given["classifiers"] = [(part, _part(f"classifiers.{part}", parts[part], features)) for part in parts]
    if name == "rules":
        if not given.get("limits"):
            raise ModelError("rules need limits, or every lesion would be coronary; got none")
        check_rules(given["limits"], given.get("arteries", {}), features)
        given["columns"] = features
    made: BaseEstimator = known[name](**given)
    return made


def _part(where: str, table: object, features: tuple[str, ...]) -> BaseEstimator:
    """A classifier inside another, from its table."""
    if not isinstance(table, Mapping) or "estimator" not in table:
        raise ModelError(f"{where} must be a table with an estimator and its parameters, got {table!r}")
    if table["estimator"] == "rules":
        raise ModelError(f"rules take features as they are and cannot be a part of another classifier, got {where}")
    parameters = {key: value for key, value in table.items() if key not in ("estimator", "features")}
    if set(WHOLE) & set(parameters):
        raise ModelError(f"{' and '.join(WHOLE)} are those of the whole classifier, got them in {where}")
    if "features" not in table:
        return _classifier(table["estimator"], parameters, features)
    wanted = table["features"]
    if not isinstance(wanted, list | tuple) or not wanted:
        raise ModelError(f"features must be a list of names and patterns, got {wanted!r} in {where}")
    seen = choose_names(features, wanted)
    return FeatureSubset(_classifier(table["estimator"], parameters, seen), [features.index(name) for name in seen])
