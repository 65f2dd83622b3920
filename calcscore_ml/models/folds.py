"""Dealing patients into folds and drawing rows of imbalanced tables.

A *fold* is a set of rows kept apart. A *group* is a patient: lesions of one patient are alike, so a patient
is never cut in two. *Positive* rows carry any label but the negative one ("other").
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calcscore_ml.errors import ModelError

Codes = NDArray[np.intp]
"""Labels or groups as numbers 0 to n - 1."""


def group_codes(groups: ArrayLike | None, n_rows: int) -> Codes | None:
    """Number the groups 0 to n - 1.

    Parameters
    ----------
    groups : (n_rows,) array-like or None
        Patient of each row.
    n_rows : int
        Rows of the table.

    Returns
    -------
    (n_rows,) array of int, or None
        None when `groups` is None.

    Raises
    ------
    ModelError
        When there is not one group per row.

    >>> group_codes(["b", "a", "b"], 3).tolist()
    [1, 0, 1]
    """
    if groups is None:
        return None
    array = np.asarray(groups)
    if array.shape != (n_rows,):
        raise ModelError(f"groups must name one patient per row, got shape {array.shape} for {n_rows} rows")
    return np.unique(array, return_inverse=True)[1].astype(np.intp)


def negative_code(classes: NDArray[Any], codes: Codes, negative_label: object | None) -> int:
    """Find which class is "other".

    Parameters
    ----------
    classes : (n_classes,) array
        Sorted labels.
    codes : (n,) array of int
        Class number of each row.
    negative_label : object or None
        The label that means "other"; None chooses the most frequent one (the first among equals).

    Returns
    -------
    int
        Position in `classes`.

    Raises
    ------
    ModelError
        When the label does not occur.

    >>> negative_code(np.array([0, 3]), np.array([1, 1, 0]), None)
    1
    """
    if negative_label is None:
        return int(np.bincount(codes, minlength=len(classes)).argmax())
    found = np.flatnonzero(classes == negative_label)
    if not len(found):
        raise ModelError(
            f"the training labels must include the negative label {negative_label!r}, got {classes.tolist()}"
        )
    return int(found[0])


def deal_folds(codes: Codes, groups: Codes | None, n_folds: int, rng: np.random.Generator) -> Codes:
    """Deal rows into folds that hold equal shares of every class.

    Parameters
    ----------
    codes : (n,) array of int
        Class number of each row.
    groups : (n,) array of int or None
        Group number of each row; a group stays in one fold. The groups richest in some class are dealt first,
        each to the fold whose shares of its classes are smallest.
    n_folds : int
        Number of folds.
    rng : numpy.random.Generator
        Source of the order among equals.

    Returns
    -------
    (n,) array of int
        Fold of each row, 0 to n_folds - 1.

    >>> deal_folds(np.array([0, 0, 1, 1]), None, 2, np.random.default_rng(0)).tolist()
    [0, 1, 0, 1]
    """
    fold = np.empty(len(codes), dtype=np.intp)
    if groups is None:
        shuffled = rng.permutation(len(codes))
        by_class = shuffled[np.argsort(codes[shuffled], kind="stable")]
        fold[by_class] = np.arange(len(codes)) % n_folds
        return fold
    n_groups, n_classes = int(groups.max()) + 1, int(codes.max()) + 1
    counts = np.bincount(groups * n_classes + codes, minlength=n_groups * n_classes).reshape(n_groups, n_classes)
    shares = counts / np.maximum(counts.sum(axis=0), 1)
    shuffled = rng.permutation(n_groups)
    order = shuffled[np.argsort(-shares[shuffled].max(axis=1), kind="stable")]
    held = np.zeros((n_folds, n_classes))
    fold_of_group = np.empty(n_groups, dtype=np.intp)
    for group in order:
        chosen = int((held @ shares[group]).argmin()) if held.any() else 0
        fold_of_group[group] = chosen
        held[chosen] += shares[group]
    return np.asarray(fold_of_group[groups], dtype=np.intp)


def draw_evenly(codes: Codes, size: int, rng: np.random.Generator) -> Codes:
    """Draw rows so that classes are as equal in number as they can be.

    Classes smaller than an equal share are kept whole, and what they leave is shared by the others.

    Parameters
    ----------
    codes : (n,) array of int
        Class number of each row.
    size : int
        Rows wanted; all rows are returned, sorted, when there are no more.
    rng : numpy.random.Generator
        Source of the draw.

    Returns
    -------
    (m,) array of int
        Sorted row numbers without repeats, m <= size.

    >>> codes = np.array([0] * 90 + [1] * 10)
    >>> np.bincount(codes[draw_evenly(codes, 40, np.random.default_rng(0))]).tolist()
    [30, 10]
    """
    if len(codes) <= size:
        return np.arange(len(codes), dtype=np.intp)
    counts = np.bincount(codes)
    present = np.flatnonzero(counts)
    left, drawn = size, []
    for rank, code in enumerate(present[np.argsort(counts[present], kind="stable")]):
        take = min(int(counts[code]), left // (len(present) - rank))
        drawn.append(rng.choice(np.flatnonzero(codes == code), take, replace=False))
        left -= take
    return np.sort(np.concatenate(drawn)).astype(np.intp)
