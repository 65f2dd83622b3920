"""One thread for matrix products and neighbour searches.

Scans are scored in parallel, one process each; threads inside would fight over the same cores (a busy machine
ran our neighbour searches ten times slower with two threads than with one), and sums in another order change
the last digits.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache

from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]


def one_thread() -> AbstractContextManager[object]:
    """Hold OpenMP and BLAS to one thread inside a ``with`` block.

    >>> with one_thread():
    ...     pass
    """
    limits: AbstractContextManager[object] = _controller().limit(limits=1)
    return limits


@cache
def _controller() -> ThreadpoolController:
    """Find the thread pools, once: the libraries are loaded by now, and looking takes a while."""
    return ThreadpoolController()
