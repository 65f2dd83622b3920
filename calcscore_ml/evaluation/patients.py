"""Which patient each scan and each lesion belongs to: what is resampled is patients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from calcscore_ml.errors import ResultError
from calcscore_ml.evaluation.lesions import need_columns


@dataclass(frozen=True, slots=True, eq=False)
class Patients:
    """The patients of a table of scans and of a table of lesions.

    Parameters
    ----------
    ids : tuple of str
        In order, so that the order of the tables changes nothing.
    of_scan, of_lesion : arrays of int
        Position in `ids` of the patient of each row of the two tables.
    """

    ids: tuple[str, ...]
    of_scan: NDArray[np.intp]
    of_lesion: NDArray[np.intp]

    @property
    def scans(self) -> NDArray[np.float64]:
        """Scans of each patient, (n_patients,)."""
        return np.bincount(self.of_scan, minlength=len(self.ids)).astype(float)

    def tally(self, kind: NDArray[np.intp], kinds: int, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Add up the lesions of each patient, kind by kind.

        Parameters
        ----------
        kind : (n_lesions,) array of int
            0 to `kinds` - 1.
        kinds : int
            How many there are.
        weights : (n_lesions,) array
            What each lesion adds; 1 to count.

        Returns
        -------
        (n_patients, kinds) array
            Sums of weights.
        """
        cell = self.of_lesion * kinds + kind
        sums = np.bincount(cell, weights=weights, minlength=len(self.ids) * kinds)
        return sums.reshape(len(self.ids), kinds).astype(np.float64)


def find_patients(scans: pd.DataFrame, lesions: pd.DataFrame) -> Patients:
    """Look up the patient of every scan and lesion.

    Parameters
    ----------
    scans : DataFrame
        One row per scan: `patient_id`, `scan_id`.
    lesions : DataFrame
        One row per lesion: `scan_id`.

    Raises
    ------
    ResultError
        When a column is missing, a scan is unknown or repeated, or there is none.

    Examples
    --------
    >>> scans = pd.DataFrame({"patient_id": ["q", "p"], "scan_id": ["a", "b"]})
    >>> find_patients(scans, pd.DataFrame({"scan_id": ["a", "a", "b"]})).of_lesion.tolist()
    [1, 1, 0]
    """
    need_columns(scans, ["patient_id", "scan_id"], "a table of scans")
    repeated = int(scans["scan_id"].duplicated().sum())
    if repeated or scans["patient_id"].isna().any():
        raise ResultError(f"a table of scans has one row per scan and names its patient, got {repeated} repeated scans")
    if scans.empty:
        raise ResultError("an evaluation needs at least one scan, got an empty table of scans")
    of_scan, names = pd.factorize(scans["patient_id"].astype(str).to_numpy(dtype=object), sort=True)
    scan = pd.Index(scans["scan_id"]).get_indexer(pd.Index(lesions["scan_id"]))
    if (scan < 0).any():
        strangers = lesions["scan_id"][scan < 0].nunique()
        raise ResultError(f"every lesion's scan must stand in the table of scans, got {strangers} scans that do not")
    return Patients(tuple(names), of_scan, of_scan[scan])
