"""How libsvm, inside scikit-learn's SVC, lays out its decisions between pairs of classes."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from sklearn.svm import SVC


def class_expansion(machine: SVC) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Reduce one-against-one decisions to class scores.

    Parameters
    ----------
    machine : SVC
        Fitted on class numbers 0 to n_classes - 1.

    Returns
    -------
    weights : (n_support, n_classes) array
        So that a class's score is kernel @ weights + constants.
    constants : (n_classes,) array
        See above.

    Notes
    -----
    In libsvm's layout the decision of classes i < j weighs the vectors of class i by row j - 1 of the dual
    coefficients and those of class j by row i. scikit-learn turns the sign for two classes.
    """
    n_classes = len(machine.classes_)
    dual, intercept = np.asarray(machine.dual_coef_), np.asarray(machine.intercept_)
    sign = -1.0 if n_classes == 2 else 1.0
    owner = np.repeat(np.arange(n_classes), machine.n_support_)
    weights, constants = np.zeros((len(owner), n_classes)), np.zeros(n_classes)
    for pair, (i, j) in enumerate(combinations(range(n_classes), 2)):
        decision = sign * np.where(owner == i, dual[j - 1], np.where(owner == j, dual[i], 0.0))
        weights[:, i] += decision
        weights[:, j] -= decision
        constants[i] += sign * intercept[pair]
        constants[j] -= sign * intercept[pair]
    return weights / (n_classes - 1), constants / (n_classes - 1)
