"""An ablation as a folder: a table of sets of features, what permuting costs, and a figure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from calcscore_ml.evaluation.intervals import Interval
from calcscore_ml.files import write_bytes, write_text
from calcscore_ml.reports.figures import as_png, blank_figure, error_bars
from calcscore_ml.reports.markdown import markdown_table

MOST_GROUPS = 15
"""So many groups of features are listed, those that matter most first."""


def write_ablation(folder: Path | str, name: str, sets: pd.DataFrame, importance: pd.DataFrame | None = None) -> Path:
    """Write ``NAME.csv``, ``NAME.md`` and ``NAME.png``; return the page.

    Parameters
    ----------
    folder : path
        Where to; files of the same name are replaced.
    name : str
        Of the recipe.
    sets : DataFrame
        A row per set: `set`, `features` (how many), and for each metric its value, ``.low`` and ``.high``.
    importance : DataFrame or None
        A row per group of features: `group`, `lost` (F1 less that with the group permuted), `sd`.
    """
    where = Path(folder)
    metrics = [c for c in sets.columns if f"{c}.low" in sets.columns]
    rows = []
    for _, row in sets.iterrows():
        cells = [str(Interval(row[m], row[f"{m}.low"], row[f"{m}.high"])) for m in metrics]
        rows.append([str(row["set"]), str(int(row["features"])), *cells])
    table = markdown_table(["features", "number", *metrics], rows)
    page = f"# {name}\n\n{table}\n\n![F1 by set of features]({name}.png)\n"
    if importance is not None:
        groups = importance.head(MOST_GROUPS).iterrows()
        lost = [[str(row["group"]), f"{row['lost']:.3f}", f"{row['sd']:.3f}"] for _, row in groups]
        page += "\n" + markdown_table(["features permuted together", "F1 lost", "SD"], lost) + "\n"
        text = importance.to_csv(index=False, lineterminator="\n")
        write_text(where / f"{name}_permuted.csv", text, overwrite=True)
    write_bytes(where / f"{name}.png", ablation_figure(sets), overwrite=True)
    write_text(where / f"{name}.csv", sets.to_csv(index=False, lineterminator="\n"), overwrite=True)
    write_text(where / f"{name}.md", page, overwrite=True)
    return where / f"{name}.md"


def ablation_figure(sets: pd.DataFrame, metric: str = "lesion.f1") -> bytes:
    """Draw a metric of every set of features with its interval, the whole set as a line; a PNG."""
    figure = blank_figure(6.4, 0.24 * len(sets) + 1.2)
    axes = figure.subplots()
    value = sets[metric].to_numpy(dtype=float)
    place = -np.arange(len(sets))
    bars = error_bars(value, sets[f"{metric}.low"], sets[f"{metric}.high"])
    axes.errorbar(value, place, xerr=bars, fmt="o", markersize=4, capsize=2, linewidth=1)
    if (sets["set"] == "all").any():
        axes.axvline(float(value[(sets["set"] == "all").to_numpy()][0]), color="0.7", linewidth=1, zorder=0)
    axes.set_yticks(place, sets["set"], fontsize=8)
    axes.set_xlim(0, 1)
    axes.set_xlabel("F1 of coronary lesions, 95 % interval" if metric == "lesion.f1" else metric)
    return as_png(figure)
