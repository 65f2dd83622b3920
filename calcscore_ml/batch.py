"""Many scans: each in its own process, none stopping the others."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from joblib import Parallel, delayed

from calcscore_ml.errors import CalcscoreError

Item = TypeVar("Item")
Value = TypeVar("Value")

EXPECTED_ERRORS: tuple[type[Exception], ...] = (CalcscoreError, OSError, MemoryError)
"""What a bad scan, a full disk or a too large scan raises; told as it is. Anything else is a fault of the program."""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Item, Value]):
    """What became of one scan.

    Parameters
    ----------
    item : object
        What was asked for.
    value : object or None
        The answer.
    error : str
        Why there is none; empty when there is.
    """

    item: Item
    value: Value | None = None
    error: str = ""


def for_each(
    function: Callable[[Item], Value], items: Sequence[Item], workers: int = 1
) -> Iterator[Outcome[Item, Value]]:
    """Apply a function to every item and yield outcomes as they come.

    Parameters
    ----------
    function : callable
        Takes an item. With several workers it and the items must be picklable.
    items : sequence
        Scans, or whatever the function takes.
    workers : int
        Processes. With 1, everything runs here.

    Yields
    ------
    Outcome
        In the order of finishing; an error becomes an outcome.
    """
    if workers == 1 or len(items) < 2:
        for item in items:
            yield _attempt(function, item)
        return
    tasks = (delayed(_attempt)(function, item) for item in items)
    yield from Parallel(n_jobs=workers, return_as="generator_unordered")(tasks)


def collect(
    function: Callable[[Item], Value],
    items: Sequence[Item],
    *,
    name: Callable[[Item], str],
    workers: int = 1,
    on_item: Callable[[], object] = lambda: None,
) -> tuple[dict[str, Value], tuple[tuple[str, str], ...]]:
    """Apply a function to every item and keep values and errors by name, in the order of names.

    Parameters
    ----------
    function, items, workers
        As for `for_each`.
    name : callable
        Unique name of an item.
    on_item : callable
        Called after each.

    Returns
    -------
    values : dict of str to object
        By name.
    failed : tuple of (str, str)
        Name and error of each item that has no value.
    """
    values: dict[str, Value] = {}
    failed: list[tuple[str, str]] = []
    for outcome in for_each(function, items, workers):
        if outcome.value is None:
            failed.append((name(outcome.item), outcome.error))
        else:
            values[name(outcome.item)] = outcome.value
        on_item()
    return dict(sorted(values.items())), tuple(sorted(failed))


def _attempt(function: Callable[[Item], Value], item: Item) -> Outcome[Item, Value]:
    try:
        return Outcome(item, function(item))
    except EXPECTED_ERRORS as error:
        return Outcome(item, error=f"{error}" or type(error).__name__)
    except Exception as error:  # noqa: BLE001 (ten thousand scans must not stop for a fault of ours with one of them)
        where = traceback.extract_tb(error.__traceback__)[-1]
        fault = f"{type(error).__name__}: {error} ({Path(where.filename).name}, line {where.lineno})"
        return Outcome(item, error=f"a fault of calcscore-ml, please report it: {fault}")
