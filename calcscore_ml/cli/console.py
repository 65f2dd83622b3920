"""What all commands share: progress, tables, machine output and exit codes."""

from __future__ import annotations

import functools
import json
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from calcscore_ml.errors import CalcscoreError, GeometryError, ScanError, SeriesChoiceError

P = ParamSpec("P")
R = TypeVar("R")

screen = Console(stderr=True, highlight=False)
"""For people: progress, tables and errors go to standard error, so that standard output stays for machines."""


class Exit(IntEnum):
    """Exit codes of every command."""

    DONE = 0
    SOME_FAILED = 1
    WRONG_USE = 2


def command(function: Callable[P, R]) -> Callable[P, R]:
    """Turn expected errors of a command into a message and an exit code."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except SeriesChoiceError as error:
            complain(str(error))
            raise typer.Exit(Exit.WRONG_USE) from error
        except (ScanError, GeometryError) as error:
            complain(str(error))
            raise typer.Exit(Exit.SOME_FAILED) from error
        except CalcscoreError as error:
            complain(str(error))
            raise typer.Exit(Exit.WRONG_USE) from error

    return run


def complain(message: str) -> None:
    """Print an error for people."""
    screen.print("error:", style="bold red", end=" ")
    screen.print(message, markup=False, soft_wrap=True)


def emit(content: Any) -> None:  # noqa: ANN401 (anything JSON can hold)
    """Print machine output: one JSON document on standard output; what is not a number is null."""
    sys.stdout.write(json.dumps(_finite(content), indent=1, allow_nan=False) + "\n")


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[], None]]:
    """Show a progress bar where there is a terminal, and give the function that moves it on by one."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=screen, disable=not screen.is_terminal, transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda: bar.advance(task)


def table(title: str, columns: tuple[str, ...], rows: list[tuple[object, ...]], text: tuple[int, ...] = (0,)) -> None:
    """Print a table for people; columns in `text`, the first unless said otherwise, are words, the others numbers."""
    made = Table(title=title, title_justify="left", header_style="bold")
    for i, column in enumerate(columns):
        made.add_column(column, justify="left" if i in text else "right", no_wrap=i == 0, overflow="fold")
    for row in rows:
        made.add_row(*(f"{v:.1f}" if isinstance(v, float) else str(v) for v in row))
    screen.print(made)


def _finite(content: Any) -> Any:  # noqa: ANN401 (anything JSON can hold)
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
