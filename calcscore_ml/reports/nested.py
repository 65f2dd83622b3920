"""A checked choice among recipes as a folder: a table of what was tried, and the recipe that was chosen."""

from __future__ import annotations

from pathlib import Path

import tomli_w

from calcscore_ml.ablation import METRICS
from calcscore_ml.files import write_text
from calcscore_ml.nested import Nested
from calcscore_ml.reports.markdown import markdown_table


def write_nested(folder: Path | str, name: str, found: Nested) -> Path:
    """Write ``NAME.md`` and ``NAME_chosen.toml``, the recipe that was chosen; return the page.

    The table has the metric that was chosen by, and `calcscore_ml.ablation.METRICS` or, when it is of one label, the
    label's.

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
    metrics = tuple(dict.fromkeys((found.metric, *(of_label if ending in ("f1", "ppv", "sensitivity") else METRICS))))
    folds = len(found.chosen_without)
    rows = []
    for number, (variant, one) in enumerate(zip(found.variants, found.left_out, strict=True)):
        times = f"{found.chosen_without.count(number)} of {folds}"
        told = f"**{variant.name}**" if number == found.chosen else variant.name
        rows.append([told, times, *(str(one[m]) for m in metrics)])
    rows.append(["*choosing so*", "", *(str(found.worth[m]) for m in metrics)])
    page = (
        f"# {name}\n\nChosen by {found.metric} in {folds} folds of {found.worth.n_patients} patients: "
        f"**{found.variants[found.chosen].name}**. Each row is of models asked about patients they never saw; the best "
        "is flattered, because it was chosen by them. The last row is of a choice that never saw them either.\n\n"
    )
    recipe = found.variants[found.chosen].recipe.model_dump(mode="json", exclude_none=True)
    write_text(where / f"{name}_chosen.toml", tomli_w.dumps(recipe), overwrite=True)
    table = markdown_table(["tried", "chosen in", *metrics], rows)
    return write_text(where / f"{name}.md", f"{page}{table}\n", overwrite=True)
