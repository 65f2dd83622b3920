"""Policies of referral side by side: a figure and a table of the error left for the lesions asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from calcscore_ml.errors import ResultError
from calcscore_ml.evaluation.referral_policies import ORACLE, RANDOM, PolicyCurve
from calcscore_ml.referral.promise import Loss
from calcscore_ml.reports.curves import CURVES, STYLES
from calcscore_ml.reports.figures import FAINT, as_png, blank_figure

PRICES = (0.25, 0.5, 1.0, 2.0)
"""Lesions per scan at which the table tells what is left."""

DRAWN = ("near one half", "disagreement", "effect of the doubtful", "change", "category")
"""Orders that the figure shows beside chance and oracle; the table has all."""

_TITLES: dict[Loss, str] = {
    "lesions": "share of wrong lesions, mean of patients",
    "category": "share of patients in the wrong category",
    "agatston": "relative error of the Agatston score, mean",
}

Curves = Mapping[Loss, Mapping[str, PolicyCurve]]
"""As `calcscore_ml.evaluation.referral_policies.policy_curves` gives them."""


def policies_figure(curves: Curves, *, up_to: float = 5.0, seconds_per_lesion: float | None = None) -> bytes:
    """Draw the error that each order leaves against the lesions it asks, a panel for each error.

    Parameters
    ----------
    curves : mapping
        Of at least one error.
    up_to : float
        Lesions per scan at the right end.
    seconds_per_lesion : float or None
        For a second axis with the expert's time.

    Returns
    -------
    bytes
        A PNG. The same curves give the same bytes.
    """
    if not curves:
        raise ResultError("a figure of policies needs at least one error, got none")
    figure = blank_figure(4.4 * len(curves), 4.6)
    panels = np.atleast_1d(figure.subplots(1, len(curves)))
    for axes, (loss, named) in zip(panels, curves.items(), strict=True):
        axes.plot(named[RANDOM].referred, named[RANDOM].left, color=FAINT, linewidth=1.4, label="random order")
        drawn = [name for name in DRAWN if name in named]
        for name, colour, style in zip(drawn, CURVES, STYLES, strict=False):
            axes.plot(named[name].referred, named[name].left, color=colour, linestyle=style, linewidth=1.6, label=name)
        axes.plot(named[ORACLE].referred, named[ORACLE].left, color="black", linewidth=1, label="oracle")
        axes.set_xlim(0, up_to)
        axes.set_ylim(0, 1.08 * float(named[ORACLE].left[0]) or 1)
        axes.set_xlabel("lesions referred per scan")
        axes.set_ylabel(_TITLES[loss])
        if seconds_per_lesion is not None:
            each = seconds_per_lesion
            top = axes.secondary_xaxis("top", functions=(lambda x, each=each: x * each, lambda x, each=each: x / each))
            top.set_xlabel("seconds of an expert per scan", fontsize=8)
            top.tick_params(labelsize=7)
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=9, frameon=False
    )
    return as_png(figure)


def policy_rows(curves: Mapping[str, PolicyCurve], prices: Sequence[float] = PRICES) -> list[tuple[str, ...]]:
    """Return a row of text for each order: its name, the error left at each price, and the price of half the error."""
    rows = []
    for name, curve in curves.items():
        half = curve.needed(curve.left[0] / 2)
        told = f"{half:.2f}" if np.isfinite(half) else "never"
        rows.append((name, *(f"{curve.at(price):.3f}" for price in prices), told))
    return rows


def policy_columns(prices: Sequence[float] = PRICES) -> tuple[str, ...]:
    """Return the headings of `policy_rows`."""
    return ("order", *(f"{price:g} lesions" for price in prices), "lesions to halve it")
