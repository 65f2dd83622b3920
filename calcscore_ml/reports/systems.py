"""Several systems on the same patients: a table of how each does, of their differences from one, and figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from calcscore_ml.assessment import Assessment
from calcscore_ml.errors import ResultError
from calcscore_ml.evaluation.comparison import ComparedMetric, compare_systems
from calcscore_ml.evaluation.curves import CLEAR_BELOW
from calcscore_ml.evaluation.froc import froc
from calcscore_ml.evaluation.lesions import with_missed
from calcscore_ml.files import write_bytes, write_text
from calcscore_ml.reports.curves import froc_line
from calcscore_ml.reports.figures import as_png, blank_figure, error_bars
from calcscore_ml.reports.system_tables import (
    COMPARED,
    aortic_table,
    calibration_table,
    differences_table,
    subgroups,
    subgroups_table,
    systems_table,
)

PAGE = "systems.md"
"""The page of a comparison."""

SUBGROUPS = ("slice_thickness_mm", "reference_category")
"""Groups of scans worth a row of their own; others would be of very few."""

MOST_FALSE = 3.0
"""The figure shows curves up to so many false positives per scan; our choice."""


def compared(found: Mapping[str, Assessment], best: str) -> dict[str, dict[str, ComparedMetric]]:
    """Compare every other system with one, resampling the same patients for both.

    Parameters
    ----------
    found : mapping of str to Assessment
        Systems by name.
    best : str
        The one the others are compared with.

    Returns
    -------
    dict of str to dict of str to ComparedMetric
        By system and metric of `COMPARED`; the difference is of `best` less the other. The left main counts as it does
        in the evaluation of `best`.

    Raises
    ------
    ResultError
        When there is no such system.
    """
    if best not in found:
        raise ResultError(f"systems are compared with one of them, got {best!r} for {', '.join(found)}")
    tables = {name: (with_missed(one.lesions, one.missed), one.scans) for name, one in found.items()}
    as_lad = found[best].automatic.settings.left_main_as_lad
    out = {}
    for name, table in tables.items():
        if name != best:
            metrics = {m.name: m for m in compare_systems(table, tables[best], left_main_as_lad=as_lad)}
            out[name] = {metric: metrics[metric] for metric in COMPARED if metric in metrics}
    return out


def systems_figure(found: Mapping[str, Assessment]) -> bytes:
    """Draw the FROC curve of every system, and F1 by lesions with its interval, as one PNG."""
    figure = blank_figure(10.5, 5.4)
    left, right = figure.subplots(1, 2, width_ratios=[1.5, 1.0])
    for number, (name, one) in enumerate(found.items()):
        colour, dash = f"C{number % 10}", ("-", "--")[number // 10]
        curve = froc(one.lesions, one.scans, missed=one.missed, n=2)
        left.plot(
            *froc_line(curve, MOST_FALSE),
            color=colour,
            linestyle=dash,
            linewidth=1.4,
            drawstyle="steps-post",
            label=name,
        )
        f1 = one.automatic["lesion.f1"]
        bars = error_bars([f1.value], [f1.low], [f1.high])
        right.errorbar([f1.value], [-number], xerr=bars, fmt="o", color=colour, capsize=3, markersize=4)
    left.set_xlim(0, MOST_FALSE)
    left.set_ylim(0, 1.02)
    left.set_xlabel("false positives per scan")
    left.set_ylabel("sensitivity, coronary lesions")
    figure.legend(fontsize=8, loc="outside lower center", ncols=6, frameon=False)
    right.set_yticks([-n for n in range(len(found))], list(found), fontsize=8)
    right.set_xlim(0, 1)
    right.set_xlabel("F1 of coronary lesions, 95 % interval")
    return as_png(figure)


def write_systems(
    folder: Path | str, found: Mapping[str, Assessment], best: str, published: Mapping[str, str], heading: str
) -> Path:
    """Write tables, differences, figure and the numbers behind them; return the page, ``systems.md``.

    Files that are there are replaced: ask `PAGE` first.
    """
    where = Path(folder)
    parts = {
        "": systems_table(found, published),
        "Lesions found and F1": "![FROC and F1](systems.png)",
        f"What {best} gains": differences_table(compared(found, best), best),
        "Calcium of the aorta": aortic_table(found),
        f"Probabilities of lesions at least {CLEAR_BELOW:.0%} probably coronary": calibration_table(found),
    }
    groups = subgroups(found)
    if len(groups):
        parts["F1 (false positives a scan) by subgroup"] = subgroups_table(found)
        write_text(where / "subgroups.csv", groups.to_csv(index=False, lineterminator="\n"), overwrite=True)
    write_bytes(where / "systems.png", systems_figure(found), overwrite=True)
    rows = [one.scans.drop(columns="patient_id").assign(system=name) for name, one in found.items()]
    write_text(where / "scans.csv", pd.concat(rows).to_csv(index=False, lineterminator="\n"), overwrite=True)
    text = "\n\n".join(f"## {title}\n\n{part}" if title else part for title, part in parts.items() if part)
    return write_text(where / PAGE, f"# {heading}\n\n{text}\n", overwrite=True)
