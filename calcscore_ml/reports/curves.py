"""Pictures of an evaluation's curves, as PNG: lesions found, reliability of probabilities, worth of referral."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from calcscore_ml.errors import ResultError
from calcscore_ml.evaluation.froc import Froc
from calcscore_ml.evaluation.intervals import Interval
from calcscore_ml.evaluation.referral_curve import ReferralCurve
from calcscore_ml.evaluation.reliability import Reliability
from calcscore_ml.reports.figures import FAINT, LINE, POINT, as_png, blank_figure, error_bars

CURVES = (POINT, LINE, "#6a4c93", "#3a7d44", "#c9a227")
"""Colours of curves in one picture, told apart by their style too."""

STYLES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)))
"""Their styles."""

REACH = 5.0
"""Referred lesions are shown up to so many times the wrong ones; an expert sees no more (our choice)."""


def froc_figure(curve: Froc, *, title: str = "") -> bytes:
    """Draw the sensitivity for coronary lesions against false positives per scan.

    Parameters
    ----------
    curve : Froc
        What to draw. Its sensitivities at given rates are drawn with their intervals, and mark the axis, which is
        scaled by the square root.
    title : str
        Above the figure.

    Returns
    -------
    bytes
        A PNG. The same curve gives the same bytes.

    Raises
    ------
    ResultError
        When there is no coronary lesion to be found.
    """
    if np.isnan(curve.sensitivities).any():
        raise ResultError("a curve of lesions found needs at least one coronary lesion, got none")
    rates = [rate for rate, _ in curve.at]
    right = 1.25 * max([*rates, 1.0])
    figure = blank_figure(5.6, 4.4)
    axes = figure.subplots()
    axes.plot(*froc_line(curve, right), color=POINT, linewidth=1.6, drawstyle="steps-post")
    found = [interval for _, interval in curve.at]
    axes.errorbar(
        rates, [i.value for i in found], yerr=_bars(found), fmt="o", color=LINE, markersize=4, capsize=3, linewidth=1.2
    )
    axes.set_xscale("function", functions=(np.sqrt, np.square))
    axes.set_xlim(0, right)
    axes.set_xticks([0, *rates], ["0", *(f"{rate:g}" for rate in rates)])
    axes.set_xticks([], minor=True)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("false positives per scan")
    axes.set_ylabel("sensitivity, coronary lesions")
    axes.set_title(title or "lesions found as the threshold falls", fontsize=10)
    return as_png(figure)


def reliability_figure(found: Reliability, *, title: str = "", of: str = "coronary") -> bytes:
    """Draw how often lesions are what their probability says.

    Parameters
    ----------
    found : Reliability
        What to draw: a point per bin, with its interval.
    title : str
        Above the figure.
    of : str
        What the probability is of.

    Returns
    -------
    bytes
        A PNG. The same reliability gives the same bytes.

    Raises
    ------
    ResultError
        When there is no lesion.
    """
    if not found.bins:
        raise ResultError("a reliability curve needs at least one lesion, got none")
    figure = blank_figure(4.6, 4.9)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, zorder=1)
    observed = [b.observed for b in found.bins]
    predicted = [b.predicted for b in found.bins]
    axes.plot(predicted, [o.value for o in observed], color=POINT, linewidth=1.2, zorder=2)
    axes.errorbar(
        predicted,
        [o.value for o in observed],
        yerr=_bars(observed),
        fmt="o",
        color=POINT,
        markersize=5,
        capsize=3,
        linewidth=1.2,
        zorder=3,
        clip_on=False,
    )
    axes.set_aspect("equal")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel(f"probability: {of}")
    axes.set_ylabel(f"share that is {of}")
    error, brier = found.calibration_error.value, found.brier.value
    lesions = sum(b.lesions for b in found.bins)
    numbers = f"n = {lesions}, calibration error {error:.3f}, Brier score {brier:.3f}"
    axes.set_title(f"{title}\n{numbers}" if title else numbers, fontsize=10)
    return as_png(figure)


def referral_figure(curves: Mapping[str, ReferralCurve], *, title: str = "") -> bytes:
    """Draw the error left against the lesions referred, for one or more uncertainties of one system.

    Parameters
    ----------
    curves : mapping of str to ReferralCurve
        What to draw, by name; all of one measure and of the same lesions, at most `CURVES`.
    title : str
        Above the figure.

    Returns
    -------
    bytes
        A PNG. The same curves give the same bytes.

    Raises
    ------
    ResultError
        When there is no curve or too many, they are not of the same lesions, or nothing is wrong.
    """
    if not 1 <= len(curves) <= len(CURVES):
        raise ResultError(f"a figure of referral shows 1 to {len(CURVES)} curves, got {len(curves)}")
    first = next(iter(curves.values()))
    for curve in curves.values():
        same_lesions = np.allclose((curve.left[0], curve.referred[-1]), (first.left[0], first.referred[-1]))
        if curve.measure != first.measure or not same_lesions:
            raise ResultError("a figure of referral compares orders of the same lesions by one measure, got others")
    if first.left[0] == 0:
        raise ResultError("a figure of referral needs a wrong lesion, got none")
    figure = blank_figure(5.6, 4.8)
    axes = figure.subplots()
    wrong = first.oracle_referred[np.argmax(first.oracle_left == 0)]
    right = min(REACH * wrong, first.referred[-1])
    ends = [0, first.referred[-1]]
    axes.plot(ends, [first.random_at(x) for x in ends], color=FAINT, linewidth=1.2, label="random order (expected)")
    for (name, curve), colour, style in zip(curves.items(), CURVES, STYLES, strict=False):
        gain = "" if np.isnan(curve.gain.value) else f", gain {curve.gain.value:.2f}"
        axes.plot(curve.referred, curve.left, color=colour, linestyle=style, linewidth=1.6, label=name + gain)
    axes.plot(first.oracle_referred, first.oracle_left, color="black", linewidth=1, label="oracle, gain 1")
    axes.set_xlim(0, right)
    axes.set_ylim(0, 1.05 * first.left[0])
    axes.set_xlabel("lesions referred per scan")
    axes.set_ylabel("wrong lesions left per scan" if first.measure == "lesions" else "wrong volume left per scan [mm³]")
    axes.set_title(title or "error left after referral", fontsize=10)
    figure.legend(loc="outside lower center", ncols=2, fontsize=9, frameon=False)
    return as_png(figure)


def froc_line(curve: Froc, right: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the corners of a curve's steps, level from its last point, where everything is called, to `right`."""
    x, y = curve.false_positives_per_scan, curve.sensitivities
    return np.append(x, max(right, x[-1])), np.append(y, y[-1])


def _bars(intervals: list[Interval]) -> NDArray[np.float64]:
    return error_bars([i.value for i in intervals], [i.low for i in intervals], [i.high for i in intervals])
