"""The classifiers of slices: three logistic regressions, kept as plain arrays that cannot run anything."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calcscore_ml.errors import ModelError
from calcscore_ml.files import write_beside
from calcscore_ml.heart.slice_features import CELLS, SLABS, TISSUES, CoarseScan, thumbnails

MODEL_FILE = Path(__file__).with_name("slices.npz")
"""The classifiers that come with the package, written by `scripts/train_heart_slices.py`."""

MOST_LOG_ODDS = 4.0
"""No single slice counts for more than this; our choice."""

FEATURES = len(SLABS) * len(TISSUES) * CELLS**2
"""Features of a slice."""


@dataclass(frozen=True, slots=True, eq=False)
class SliceModel:
    """Three logistic regressions, one per direction (axial, coronal, sagittal).

    Parameters
    ----------
    mean, weight : (3, features) array of float32
        What an unknown cell is taken for, and the log odds per share of tissue.
    bias : (3,) array of float32
        Log odds of a slice like the mean.
    """

    mean: NDArray[np.float32]
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    def __post_init__(self) -> None:
        for name in ("mean", "weight", "bias"):
            array = np.array(getattr(self, name), dtype=np.float32)
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        shapes = self.mean.shape, self.weight.shape, self.bias.shape
        if shapes != ((3, FEATURES), (3, FEATURES), (3,)) or not np.isfinite(self.weight).all():
            raise ModelError(
                f"a slice model holds three classifiers of {FEATURES} finite weights, got arrays of {shapes}; train it "
                "again with scripts/train_heart_slices.py"
            )

    def log_odds(self, tissues: CoarseScan, axis: int, centre_mm: ArrayLike) -> NDArray[np.float64]:
        """Log odds that each slice holds the heart, NaN for a slice of which nothing is known; see `thumbnails`."""
        away = thumbnails(tissues, axis, centre_mm) - self.mean[axis]
        seen = tissues.known.any(axis=tuple({0, 1, 2} - {axis}))
        odds = np.nan_to_num(away, nan=0.0) @ self.weight[axis] + self.bias[axis]
        return np.where(seen, np.clip(odds, -MOST_LOG_ODDS, MOST_LOG_ODDS), np.nan).astype(float)


def read_slice_model(path: Path | str = MODEL_FILE) -> SliceModel:
    """Read classifiers from a file of plain arrays (`.npz`); pickled objects are refused.

    Raises
    ------
    ModelError
        When the file does not hold three classifiers over the features of `thumbnails`.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return SliceModel(arrays["mean"], arrays["weight"], arrays["bias"])
    except (KeyError, ValueError, OSError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise ModelError(
            f"a slice model holds the plain arrays mean, weight and bias, got {error} in {Path(path).name}"
        ) from error


def write_slice_model(path: Path | str, model: SliceModel, overwrite: bool = False) -> Path:
    """Write classifiers whole or not at all; return the file's path."""
    with write_beside(path, overwrite) as beside, beside.open("wb") as file:
        np.savez_compressed(file, mean=model.mean, weight=model.weight, bias=model.bias)
    return Path(path)
