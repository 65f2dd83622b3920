"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table with a heading; an interval that is not defined is a dash.

    >>> print(markdown_table(["system", "F1"], [["a", "0.5 [0.4, 0.6]"], ["b", "nan [nan, nan]"]]))
    | system | F1 |
    |---|---|
    | a | 0.5 [0.4, 0.6] |
    | b | - |
    """
    lines = ["|" + "".join(f" {cell} |" if cell else " |" for cell in cells) for cells in (head, *rows)]
    lines.insert(1, "|" + "---|" * len(head))
    return "\n".join(lines).replace("nan [nan, nan]", "-")
