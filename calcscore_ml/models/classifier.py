"""What all classifiers of lesions have in common."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin


class LesionClassifier(ClassifierMixin, BaseEstimator):
    """Base of the package's classifiers: subclasses say how probable each class is, and learn `classes_`."""

    classes_: NDArray[Any]

    @abstractmethod
    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return (n, n_classes) probabilities; rows sum to 1."""

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the most probable label of each row, (n,)."""
        probabilities = self.predict_proba(X)
        return np.asarray(self.classes_[probabilities.argmax(axis=1)])
