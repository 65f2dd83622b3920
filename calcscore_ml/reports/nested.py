"""A checked choice among recipes as a folder: a table of what was tried, and the recipe that was chosen."""

from __future__ import annotations

from pathlib import Path

import tomli_w

from calcscore_ml.files import write_text
from calcscore_ml.nested import Nested

SHOWN = ("lesion.sensitivity", "lesion.ppv", "lesion.f1", "lesion_volume.f1")
"""Metrics in the table, beside the one that was chosen by; of one label, when that is of one label."""


def write_nested(folder: Path | str, name: str, found: Nested) -> Path:
    """Write ``NAME.md`` and ``NAME_chosen.toml``, the recipe that was chosen; return the page.

    Parameters
    ----------
    folder : path
        Where to; files of the same name are replaced.
    name : str
        Of the recipe.
    found : Nested
        What was tried and chosen.
    """
    where = Path(folder)
    label, _, ending = found.metric.rpartition("_")
    of_label = tuple(f"{label}_{name}" for name in ("sensitivity", "ppv", "f1"))
    metrics = tuple(dict.fromkeys((found.metric, *(of_label if ending in ("f1", "ppv", "sensitivity") else SHOWN))))
    folds = len(found.chosen_without)
    lines = ["| tried | chosen in | " + " | ".join(metrics) + " |", "|" + "---|" * (2 + len(metrics))]
    for number, (variant, one) in enumerate(zip(found.variants, found.left_out, strict=True)):
        times = f"{found.chosen_without.count(number)} of {folds}"
        told = f"**{variant.name}**" if number == found.chosen else variant.name
        lines.append(f"| {told} | {times} | " + " | ".join(str(one[m]) for m in metrics) + " |")
    worth = " | ".join(str(found.worth[m]) for m in metrics)
    lines.append(f"| *choosing so* | | {worth} |")
    page = (
        f"# {name}\n\nChosen by {found.metric} in {folds} folds of {found.worth.n_patients} patients: "
        f"**{found.variants[found.chosen].name}**. Each row is of models asked about patients they never saw; the best "
        "is flattered, because it was chosen by them. The last row is of a choice that never saw them either.\n\n"
    )
    recipe = found.variants[found.chosen].recipe.model_dump(mode="json", exclude_none=True)
    write_text(where / f"{name}_chosen.toml", tomli_w.dumps(recipe), overwrite=True)
    text = page + "\n".join(lines).replace("nan [nan, nan]", "-") + "\n"
    return write_text(where / f"{name}.md", text, overwrite=True)
