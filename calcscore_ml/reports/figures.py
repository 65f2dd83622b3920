"""Pictures of an evaluation, as PNG.

Nothing here touches matplotlib's global state, so figures can be drawn in a server's threads; matplotlib is imported
when the first figure is drawn.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from calcscore_ml.anatomy import Label
from calcscore_ml.errors import ResultError
from calcscore_ml.evaluation.agreement import Limits, bland_altman, bland_altman_ratio, intraclass_correlation
from calcscore_ml.evaluation.lesions import LesionReport, need_columns
from calcscore_ml.evaluation.metrics import TRUTH_SUFFIX, score_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 110
"""Resolution of the pictures [dots per inch]."""

POINT, LINE, FAINT = "#1f6f8b", "#b3541e", "#8a8a8a"
"""Scans, what is measured from them, and lines of no error; told apart by the colour-blind too."""


def agreement_figure(patients: pd.DataFrame, score: str = "agatston", *, title: str = "") -> bytes:
    """Draw measured against reference scores: scatter, differences, and ratios.

    Scores span four decades and many are zero, so both scatter and ratios are drawn on ln(score + 1).

    Parameters
    ----------
    patients : DataFrame
        One row per scan, with the columns `score` and ``<score>_truth``.
    score : str
        Which score; a name ending in ``_mm3`` or ``_mg`` gives the unit.
    title : str
        Above the figure.

    Returns
    -------
    bytes
        A PNG. The same scores give the same bytes.

    Raises
    ------
    ResultError
        When a column is missing, or a score is negative or not finite.
    """
    need_columns(patients, [score, score + TRUTH_SUFFIX], "a figure of agreement")
    truth = patients[score + TRUTH_SUFFIX].to_numpy(dtype=float)
    measured = patients[score].to_numpy(dtype=float)
    if not (np.isfinite([truth, measured]).all() and min(truth.min(initial=0), measured.min(initial=0)) >= 0):
        raise ResultError(f"scores must be finite and not negative, got another {score}")
    if not len(truth):
        raise ResultError("a figure of agreement needs at least one scan, got none")
    unit = score_unit(score)
    words = [_WORDS.get(word, word) for word in score.split("_") if word != unit]
    label = " ".join([*words, f"[{_WORDS.get(unit, unit)}]" if unit else "score"])
    figure = blank_figure(13.0, 4.3)
    scatter, differences, ratios = figure.subplots(1, 3)
    _draw_scatter(scatter, truth, measured, label)
    _draw_differences(differences, truth, measured, label)
    _draw_ratios(ratios, truth, measured, label)
    if title:
        figure.suptitle(title)
    return as_png(figure)


def confusion_figure(report: LesionReport, *, volume: bool = False, title: str = "") -> bytes:
    """Draw the table of lesions, reference down and prediction across.

    Colour is the share of the row, so that rare labels are seen as well as common ones; the number is the count.

    Parameters
    ----------
    report : LesionReport
        What to draw. Labels that neither side uses are left out.
    volume : bool
        Draw mm3 instead of lesions.
    title : str
        Above the figure.

    Returns
    -------
    bytes
        A PNG.
    """
    table = np.asarray(report.volumes_mm3 if volume else report.counts, dtype=float)
    used = [label for label in (*_BODY_ORDER, Label.OTHER) if table[label].any() or table[:, label].any()]
    if not used:
        raise ResultError("a figure of lesions needs at least one lesion, got none")
    titles = [label.title for label in used]
    return _table_png(
        table[np.ix_(used, used)], titles, title or ("volume [mm³]" if volume else "lesions"), "predicted"
    )


def category_figure(counts: NDArray[np.integer], titles: tuple[str, ...], *, title: str = "") -> bytes:
    """Draw the table of risk categories, reference down and measured across.

    Parameters
    ----------
    counts : (k, k) array of int
        Scans, as `calcscore_ml.evaluation.summary.Evaluation.category_counts`.
    titles : tuple of str
        The k categories.
    title : str
        Above the figure.

    Returns
    -------
    bytes
        A PNG.
    """
    if counts.shape != (len(titles), len(titles)) or not titles:
        raise ResultError(f"a table of {len(titles)} categories must be square in them, got shape {counts.shape}")
    return _table_png(np.asarray(counts, dtype=float), list(titles), title or "scans by risk category", "measured")


def blank_figure(width: float, height: float) -> Figure:
    """Return an empty figure of this size [inches] that no window or global state knows of."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def as_png(figure: Figure) -> bytes:
    """Return a figure as PNG; the same figure gives the same bytes."""
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    stream = BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def error_bars(value: ArrayLike, low: ArrayLike, high: ArrayLike) -> NDArray[np.float64]:
    """Lengths of error bars below and above, (2, n); NaN, which is not drawn, where an interval is not defined.

    A bootstrap's interval may lie beside its value: there is no bar on that side then.
    """
    middle = np.asarray(value, dtype=float)
    return np.asarray(np.maximum(np.stack([middle - np.asarray(low), np.asarray(high) - middle]), 0))


_WORDS = {"agatston": "Agatston", "mm3": "mm³", "lm": "LM", "lad": "LAD", "lcx": "LCX", "rca": "RCA"}

_BODY_ORDER = (Label.LM, Label.LAD, Label.LCX, Label.RCA, Label.AORTA, Label.AORTIC_VALVE, Label.MITRAL_VALVE)


def _draw_scatter(axes: Axes, truth: NDArray[np.float64], measured: NDArray[np.float64], label: str) -> None:
    top = _top(truth, measured)
    axes.plot([0, top], [0, top], color=FAINT, linewidth=1, zorder=1)
    axes.scatter(truth, measured, s=14, color=POINT, alpha=0.6, linewidths=0, zorder=2, clip_on=False)
    _log_axis(axes, "x", top)
    _log_axis(axes, "y", top)
    axes.set_aspect("equal")
    axes.set_xlabel(f"reference {label}")
    axes.set_ylabel(f"measured {label}")
    icc = intraclass_correlation(np.column_stack([truth, measured]))
    axes.set_title(f"n = {len(truth)}, ICC(A,1) {'undefined' if np.isnan(icc) else f'= {icc:.3f}'}", fontsize=10)


def _draw_differences(axes: Axes, truth: NDArray[np.float64], measured: NDArray[np.float64], label: str) -> None:
    limits = bland_altman(truth, measured)
    axes.axhline(0, color=FAINT, linewidth=1, zorder=1)
    middle = (truth + measured) / 2
    axes.scatter(middle, measured - truth, s=14, color=POINT, alpha=0.6, linewidths=0, zorder=2, clip_on=False)
    for value, style in ((limits.bias, "-"), (limits.lower, "--"), (limits.upper, "--")):
        axes.axhline(value, color=LINE, linestyle=style, linewidth=1.2, zorder=3)
    _log_axis(axes, "x", _top(middle))
    axes.set_xlabel(f"mean {label}")
    axes.set_ylabel("measured \N{MINUS SIGN} reference")
    axes.set_title(_limits_text("bias", limits, ".1f"), fontsize=10)


def _draw_ratios(axes: Axes, truth: NDArray[np.float64], measured: NDArray[np.float64], label: str) -> None:
    limits = bland_altman_ratio(truth, measured)
    ratio = (measured + 1) / (truth + 1)
    middle = np.sqrt((truth + 1) * (measured + 1)) - 1
    axes.axhline(1, color=FAINT, linewidth=1, zorder=1)
    axes.scatter(middle, ratio, s=14, color=POINT, alpha=0.6, linewidths=0, zorder=2, clip_on=False)
    for value, style in ((limits.bias, "-"), (limits.lower, "--"), (limits.upper, "--")):
        axes.axhline(value, color=LINE, linestyle=style, linewidth=1.2, zorder=3)
    axes.set_yscale("log")
    reach = 1.15 * float(np.nanmax(np.abs(np.log([*ratio, limits.lower, limits.upper, 1.5]))))
    axes.set_ylim(np.exp(-reach), np.exp(reach))
    steps = [step for step in _RATIO_TICKS if abs(np.log(step)) <= reach]
    axes.set_yticks(_thin(steps), [f"{step:g}" for step in _thin(steps)])
    axes.set_yticks([], minor=True)
    _log_axis(axes, "x", _top(middle))
    axes.set_xlabel(f"geometric mean {label}")
    axes.set_ylabel("(measured + 1) / (reference + 1)")
    axes.set_title(_limits_text("ratio", limits, ".2f"), fontsize=10)


_RATIO_TICKS = (0.001, 0.01, 0.1, 0.2, 0.5, 0.8, 1.0, 1.25, 2.0, 5.0, 10.0, 100.0, 1000.0)


def _thin(steps: list[float]) -> list[float]:
    return [step for step in steps if len(steps) <= 7 or step in (0.001, 0.01, 0.1, 0.5, 1.0, 2.0, 10.0, 100.0, 1000.0)]


def _limits_text(name: str, limits: Limits, form: str) -> str:
    bias, lower, upper = (
        format(v, form).replace("-", "\N{MINUS SIGN}") for v in (limits.bias, limits.lower, limits.upper)
    )
    return f"{name} {bias}, " + ("limits undefined" if np.isnan(limits.lower) else f"limits {lower} to {upper}")


def _top(*scores: NDArray[np.float64]) -> float:
    return 1.3 * max(10.0, *(float(s.max()) for s in scores))


def _log_axis(axes: Axes, which: str, top: float) -> None:
    """Scale an axis by ln(x + 1), with ticks at powers of ten."""
    scale, limit = (axes.set_xscale, axes.set_xlim) if which == "x" else (axes.set_yscale, axes.set_ylim)
    scale("function", functions=(np.log1p, np.expm1))
    limit(0, top)
    ticks = [tick for tick in (0, 10, 100, *((400,) if top < 900 else (1000, 10000, 100000))) if tick <= top]
    if which == "x":
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
    else:
        axes.set_yticks(ticks, [str(tick) for tick in ticks])


def _table_png(table: NDArray[np.float64], titles: list[str], heading: str, across: str) -> bytes:
    side = len(titles)
    rows = table.sum(axis=1, keepdims=True)
    share = np.divide(table, rows, out=np.zeros_like(table), where=rows > 0)
    figure = blank_figure(1.9 + 0.75 * side, 1.5 + 0.6 * side)
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1.25, aspect="auto")
    for (row, column), value in np.ndenumerate(table):
        shown = "" if value == 0 else f"{value:,.0f}" if value >= 10 or value == round(value) else f"{value:.1f}"
        dark = share[row, column] > 0.75
        axes.text(column, row, shown, ha="center", va="center", fontsize=9, color="white" if dark else "black")
    axes.set_xticks(range(side), titles, rotation=35, ha="right")
    axes.set_yticks(range(side), titles)
    axes.set_xlabel(across)
    axes.set_ylabel("reference")
    axes.set_title(f"{heading}; colour: share of the row", fontsize=10)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return as_png(figure)
